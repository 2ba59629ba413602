//! The documentation, tested: the examples of the protocols' pages run against the built server, each
//! page a test by its name; the references compared with what they document; links followed.
//! `UPDATE_EXPECT=1 cargo test -p streamgate-tests --test docs` rewrites examples and references.

use libtest_mimic::{Arguments, Failed, Trial};
use streamgate_tests::docs::{self, configuration, errors, links, log};
use tokio::runtime::Builder;

/// Pages whose TOML examples are configurations.
const CONFIGURED: [&str; 3] = ["README.md", "docs/access.md", "docs/edge.md"];

fn main() {
    let arguments = Arguments::from_args();
    let mut trials = vec![
        Trial::test("links", || links::check().map_err(Failed::from)),
        Trial::test("reference::configuration", || configuration::check().map_err(Failed::from)),
        Trial::test("reference::errors", || errors::check().map_err(Failed::from)),
        Trial::test("reference::log", || log::check().map_err(Failed::from)),
    ];
    trials.extend(CONFIGURED.map(|page| {
        Trial::test(page, || configuration::check_examples(page).map_err(Failed::from))
    }));
    trials.extend(docs::pages().into_iter().map(|path| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Trial::test(name, move || {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(docs::check(&path)).map_err(Failed::from)
        })
    }));
    libtest_mimic::run(&arguments, trials).exit();
}
