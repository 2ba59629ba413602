//! The examples in the documentation of the protocols, run against the built server: each page a
//! test by its name. `UPDATE_EXPECT=1 cargo test -p streamgate-tests --test docs` writes down what
//! came.

use libtest_mimic::{Arguments, Failed, Trial};
use streamgate_tests::docs;
use tokio::runtime::Builder;

fn main() {
    let arguments = Arguments::from_args();
    let trials = docs::pages().into_iter().map(|path| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Trial::test(name, move || {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(docs::check(&path)).map_err(Failed::from)
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}
