//! Where a model's bytes come from, as a file that llama.cpp can open.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::EngineError;

/// The model that the program carries in itself: small, honest about it, and always there.
pub static TINY: &[u8] = include_bytes!("../../model/tiny.gguf");

/// Where a model's bytes come from.
#[derive(Debug, Clone)]
pub enum ModelSource {
    /// A GGUF file in the program's own memory, as [`TINY`].
    Embedded(&'static [u8]),
    /// A GGUF file on disk; the first part if the model is split.
    File(PathBuf),
}

impl ModelSource {
    /// Size of the source in bytes; none while its file is missing.
    pub fn bytes(&self) -> Option<u64> {
        match self {
            Self::Embedded(bytes) => Some(bytes.len() as u64),
            Self::File(path) => path.metadata().ok().map(|file| file.len()),
        }
    }

    /// Opens the source. It must stay open until llama.cpp has loaded it.
    pub(super) fn open(&self) -> Result<OpenSource, EngineError> {
        match self {
            Self::Embedded(bytes) => embedded(bytes).map_err(|error| unreadable(&error)),
            Self::File(path) => OpenSource::at(path),
        }
    }
}

/// A model's file, open for its header and with a path for llama.cpp.
#[derive(Debug)]
pub(super) struct OpenSource {
    pub(super) file: File,
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    /// Removes the copy of an embedded model where one had to be written to disk.
    #[cfg(not(target_os = "linux"))]
    _copy: Option<tempfile::TempPath>,
}

impl OpenSource {
    fn at(path: &Path) -> Result<Self, EngineError> {
        let file = File::open(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => EngineError::Missing { path: path.to_owned() },
            _ => unreadable(&error),
        })?;
        let metadata = file.metadata().map_err(|error| unreadable(&error))?;
        if !metadata.is_file() {
            return Err(EngineError::NotGguf);
        }
        Ok(Self {
            file,
            path: path.to_owned(),
            bytes: metadata.len(),
            #[cfg(not(target_os = "linux"))]
            _copy: None,
        })
    }
}

/// Puts the bytes into a file in memory that has a path while it is open.
#[cfg(target_os = "linux")]
fn embedded(bytes: &[u8]) -> std::io::Result<OpenSource> {
    use std::io::{Seek, Write};
    use std::os::fd::AsRawFd;

    use rustix::fs::{MemfdFlags, memfd_create};

    let mut file = File::from(memfd_create("model", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    Ok(OpenSource { file, path, bytes: bytes.len() as u64 })
}

/// Puts the bytes into a temporary file that is removed once the model is loaded.
#[cfg(not(target_os = "linux"))]
fn embedded(bytes: &[u8]) -> std::io::Result<OpenSource> {
    use std::io::{Seek, Write};

    let mut file = tempfile::Builder::new().suffix(".gguf").tempfile()?;
    file.write_all(bytes)?;
    file.rewind()?;
    let (file, copy) = file.into_parts();
    let path = copy.to_path_buf();
    Ok(OpenSource { file, path, bytes: bytes.len() as u64, _copy: Some(copy) })
}

fn unreadable(error: &std::io::Error) -> EngineError {
    EngineError::Unreadable { reason: error.to_string() }
}
