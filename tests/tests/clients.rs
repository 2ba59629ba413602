//! Real clients against the native server, each case a test by the name `client::upstream::case`:
//! `cargo xtask clients codex`. The heavy ones are ignored unless requested, as that does.

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use streamgate_tests::clients::{Client, namespace};
use tokio::runtime::Builder;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    if !arguments.list
        && let Err(why) = namespace::enter()
    {
        println!("clients skipped: no network namespace can be made here ({why})");
        return ExitCode::SUCCESS;
    }
    let clients = Client::all().expect("the files in tests/clients can be read");
    let trials = clients.iter().flat_map(|client| {
        client.trials().into_iter().map(|trial| {
            let name = trial.name();
            let check = move || {
                let runtime = Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(trial.check()).map_err(Failed::from)
            };
            Trial::test(name, check).with_ignored_flag(client.is_heavy)
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
