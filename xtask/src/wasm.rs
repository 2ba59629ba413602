//! Checks on a WebAssembly module: its imports and its compressed size.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use wasmparser::{Parser, Payload, TypeRef};

/// Every import of a module except memory, as `module.name`.
pub(crate) fn imports(module: &[u8]) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
        if let Payload::ImportSection(section) = payload? {
            for import in section.into_imports() {
                let import = import?;
                if !matches!(import.ty, TypeRef::Memory(_)) {
                    names.push(format!("{}.{}", import.module, import.name));
                }
            }
        }
    }
    Ok(names)
}

/// Bytes after gzip, which is what Cloudflare limits.
pub(crate) fn gzipped_bytes(files: impl IntoIterator<Item = PathBuf>) -> Result<usize> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    for path in files {
        let mut file = File::open(&path).with_context(|| path.display().to_string())?;
        io::copy(&mut file, &mut encoder)?;
    }
    Ok(encoder.finish()?.len())
}

#[cfg(test)]
mod tests {
    use super::imports;

    const HEADER: &[u8] = b"\0asm\x01\0\0\0";
    /// One function type, without parameters or results.
    const TYPES: &[u8] = b"\x01\x04\x01\x60\0\0";
    /// The function `env.now`.
    const FUNCTION: &[u8] = b"\x02\x0b\x01\x03env\x03now\0\0";
    /// The memory `env.memory`, of at least one page.
    const MEMORY: &[u8] = b"\x02\x0f\x01\x03env\x06memory\x02\0\x01";

    #[test]
    fn imports_are_listed_by_name() {
        let module = [HEADER, TYPES, FUNCTION].concat();
        assert_eq!(imports(&module).unwrap(), ["env.now"]);
    }

    #[test]
    fn memory_is_not_listed() {
        assert!(imports(HEADER).unwrap().is_empty());
        assert!(imports(&[HEADER, MEMORY].concat()).unwrap().is_empty());
    }

    #[test]
    fn other_bytes_are_rejected() {
        assert!(imports(b"text").is_err());
    }
}
