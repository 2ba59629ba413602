//! Every scenario on every runner, each a test by the name `runner::scenario`:
//! `cargo test -p streamgate-tests --test scenarios native::cut_midway`.

use std::path::Path;

use libtest_mimic::{Arguments, Failed, Trial};
use streamgate_tests::scenario::{self, Runner, Scenario};
use streamgate_tests::{run, simulator};

/// Runs mostly wait, for each other's sockets and for clocks, so more of them than cores go well.
const AT_ONCE: usize = 8;

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let files = scenario::files(&folder).expect("the folder of scenarios can be read");
    let trials = files.iter().flat_map(|path| trials(path)).collect();
    libtest_mimic::run(&arguments, trials).exit();
}

fn trials(path: &Path) -> Vec<Trial> {
    let scenario = match Scenario::load(path) {
        Ok(scenario) => scenario,
        Err(why) => {
            return vec![Trial::test(format!("load::{}", path.display()), || {
                Err(Failed::from(why))
            })];
        }
    };
    let runners = scenario.runners.clone();
    runners.into_iter().map(|runner| trial(runner, scenario.clone())).collect()
}

fn trial(runner: Runner, scenario: Scenario) -> Trial {
    Trial::test(format!("{runner}::{}", scenario.name), move || {
        let ran = match runner {
            Runner::Core => simulator::run(&scenario),
            Runner::Native | Runner::Worker => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(run::over_http(&scenario, runner))
            }
        };
        ran.map_err(|wrong| Failed::from(format!("{}\n\n{wrong}", scenario.why)))
    })
}
