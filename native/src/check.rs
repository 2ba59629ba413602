//! `streamgate check`: what is wrong with a file, or that nothing is.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::configuration;
use crate::models::{self, Summary};

/// What a GGUF file begins with.
const GGUF_MAGIC: [u8; 4] = *b"GGUF";

/// Reports on stdout that the file is fine, or on stderr what is wrong with it.
pub(crate) fn file(path: &Path) -> bool {
    match judge(path) {
        Ok(fine) => println!("{}: {fine}", path.display()),
        Err(fault) => {
            eprintln!("{fault}");
            return false;
        }
    }
    true
}

fn judge(path: &Path) -> Result<String, String> {
    let is_model = is_model(path).map_err(|error| format!("{}: {error}", path.display()))?;
    if is_model { model(path) } else { configuration(path) }
}

/// By its extension or its first bytes. Anything else is taken for a configuration.
fn is_model(path: &Path) -> io::Result<bool> {
    let mut magic = Vec::new();
    File::open(path)?.take(4).read_to_end(&mut magic)?;
    Ok(magic == GGUF_MAGIC || path.extension().is_some_and(|name| name == "gguf"))
}

fn model(path: &Path) -> Result<String, String> {
    let header = models::header(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(format!("fine: {}", Summary(&header)))
}

/// A configuration is fine if it can be served. A model or key that is missing on this machine is
/// reported, but is not an error of the file.
fn configuration(path: &Path) -> Result<String, String> {
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let config = configuration::parse(path, &text)?;
    models::engine(&config).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(format!("fine\n{}", models::listing(&config).trim_end()))
}
