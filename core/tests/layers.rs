//! Which modules of core may use which: dependencies point down, and the configuration is on top.

use std::fs;
use std::path::{Path, PathBuf};

/// Who may use the configuration as a whole. Everything else owns its section of it, or is given
/// what it needs.
const ABOVE_CONFIG: [&str; 4] = ["config", "gateway", "provider_keys", "request"];

#[test]
fn no_module_uses_the_configuration_that_assembles_it() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for file in files(&src) {
        let path = file.strip_prefix(&src).expect("it is below").display().to_string();
        let module = path.split(['/', '.']).next().unwrap_or_default();
        if ABOVE_CONFIG.contains(&module) || path.contains("tests") {
            continue;
        }
        let text = fs::read_to_string(&file).expect("sources are UTF-8");
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        assert!(!code.contains("crate::config"), "{path} uses the configuration");
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder can be read");
    let paths = entries.map(|entry| entry.expect("so can its entries").path());
    paths
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|kind| kind == "rs"))
        .collect()
}
