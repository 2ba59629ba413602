//! Every client protocol against every provider protocol, each a test by the name
//! `runner::client::provider::case::way`:
//! `cargo test -p streamgate-tests --test grid native::anthropic::gemini`.

use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};
use streamgate_tests::grid::{self, Grid, Pair};
use streamgate_tests::scenario::Runner;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::OnceCell;

/// The shells, started when first asked; dropped, and so killed, with the last test.
struct Shells {
    native: OnceCell<Result<Grid, String>>,
    worker: OnceCell<Result<Grid, String>>,
    /// Drives both, so it goes last.
    runtime: Runtime,
}

impl Shells {
    fn new() -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        Ok(Self { native: OnceCell::new(), worker: OnceCell::new(), runtime })
    }

    fn check(&self, runner: Runner, pair: &Pair) -> Result<(), String> {
        let shell = match runner {
            Runner::Core => return grid::on_core(pair),
            Runner::Native => &self.native,
            Runner::Worker => &self.worker,
        };
        self.runtime.block_on(async {
            let grid = shell.get_or_init(|| Grid::start(runner)).await.as_ref()?;
            grid.check(pair).await
        })
    }
}

fn main() {
    let arguments = Arguments::from_args();
    let shells = Arc::new(Shells::new().expect("a runtime can be started"));
    let trials = Runner::all().into_iter().flat_map(|runner| {
        let shells = shells.clone();
        Pair::all().map(move |pair| {
            let shells = shells.clone();
            let check = move || shells.check(runner, &pair).map_err(Failed::from);
            Trial::test(format!("{runner}::{pair}"), check)
        })
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    drop(shells);
    conclusion.exit();
}
