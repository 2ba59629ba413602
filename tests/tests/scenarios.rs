//! Every scenario on every runner, each a test by the name `runner::scenario`:
//! `cargo test -p streamgate-tests --test scenarios native::cut_midway`.

use std::path::Path;
use std::sync::RwLock;

use libtest_mimic::{Arguments, Failed, Trial};
use streamgate_tests::scenario::{self, Runner, Scenario};
use streamgate_tests::{faults, run};

/// Runs mostly wait, for each other's sockets and for clocks, so more of them than cores go well.
const AT_ONCE: usize = 8;

/// Held by one that measures, shared by those that do not.
static MACHINE: RwLock<()> = RwLock::new(());

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let files = scenario::files(&folder).expect("the folder of scenarios can be read");
    let mut trials: Vec<_> = files.iter().flat_map(|path| trials(path)).collect();
    trials.push(Trial::test("faults::every_number_is_explained", || {
        faults::check().map_err(Failed::from)
    }));
    libtest_mimic::run(&arguments, trials).exit();
}

fn trials(path: &Path) -> Vec<Trial> {
    let scenarios = match Scenario::load_all(path) {
        Ok(scenarios) => scenarios,
        Err(why) => {
            return vec![Trial::test(format!("load::{}", path.display()), || {
                Err(Failed::from(why))
            })];
        }
    };
    let on_each = |scenario: Scenario| {
        let runners = scenario.runners.clone();
        runners.into_iter().map(move |runner| trial(runner, scenario.clone()))
    };
    scenarios.into_iter().flat_map(on_each).collect()
}

fn trial(runner: Runner, scenario: Scenario) -> Trial {
    Trial::test(format!("{runner}::{}", scenario.name), move || {
        let ran = match runner {
            Runner::Core => run::on_core(&scenario),
            Runner::Native | Runner::Worker => over_http(&scenario, runner),
        };
        ran.map_err(|wrong| Failed::from(format!("{}\n\n{wrong}", scenario.why)))
    })
}

fn over_http(scenario: &Scenario, runner: Runner) -> Result<(), String> {
    // A lock that another test poisoned locks nonetheless.
    let (_alone, _among_others) = if scenario.is_timed() {
        (Some(MACHINE.write()), None)
    } else {
        (None, Some(MACHINE.read()))
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(run::over_http(scenario, runner))
}
