//! The primitives of the format, read with the end of the file in mind.

use std::io::{BufReader, ErrorKind, Read};

use super::{EngineError, broken};

/// No key, token or template is longer.
const STRING_BYTES_MAX: u64 = 16 << 20;

/// Reads little-endian values and knows how far the file goes.
pub(super) struct Reader<R> {
    inner: BufReader<R>,
    position: u64,
    file_bytes: u64,
}

impl<R: Read> Reader<R> {
    pub(super) fn new(inner: R, file_bytes: u64) -> Self {
        Self { inner: BufReader::with_capacity(64 << 10, inner), position: 0, file_bytes }
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    pub(super) fn magic(&mut self) -> Result<(), EngineError> {
        const MAGIC: &[u8; 4] = b"GGUF";
        if self.file_bytes >= 4 && self.array::<4>()? == *MAGIC {
            return Ok(());
        }
        Err(EngineError::NotGguf)
    }

    pub(super) fn version(&mut self) -> Result<(), EngineError> {
        match self.u32()? {
            2 | 3 => Ok(()),
            version if version & 0xffff == 0 => Err(broken("the file is big-endian")),
            version => Err(broken(format!("GGUF version {version}, expected 2 or 3"))),
        }
    }

    /// A count of things, refused beyond `most`.
    pub(super) fn count(&mut self, what: &str, most: u64) -> Result<u64, EngineError> {
        match self.u64()? {
            count if count <= most => Ok(count),
            count => Err(broken(format!("{what} {count}, expected up to {most}"))),
        }
    }

    pub(super) fn string(&mut self) -> Result<Vec<u8>, EngineError> {
        let length = self.count("string length", STRING_BYTES_MAX)?;
        self.require(length)?;
        let mut bytes = vec![0; usize::try_from(length).expect("bounded above")];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// A string that must be text: keys and names.
    pub(super) fn text(&mut self) -> Result<String, EngineError> {
        String::from_utf8(self.string()?).map_err(|_| broken("a name is not UTF-8"))
    }

    pub(super) fn u32(&mut self) -> Result<u32, EngineError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, EngineError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], EngineError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn skip(&mut self, bytes: u64) -> Result<(), EngineError> {
        self.require(bytes)?;
        let skipped = std::io::copy(&mut self.inner.by_ref().take(bytes), &mut std::io::sink())
            .map_err(unreadable)?;
        self.position += skipped;
        if skipped < bytes { Err(self.truncated(bytes - skipped)) } else { Ok(()) }
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), EngineError> {
        self.require(bytes.len() as u64)?;
        match self.inner.read_exact(bytes) {
            Ok(()) => {
                self.position += bytes.len() as u64;
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                Err(self.truncated(bytes.len() as u64))
            }
            Err(error) => Err(unreadable(error)),
        }
    }

    /// Fails unless `bytes` more are in the file, before anything is allocated for them.
    fn require(&self, bytes: u64) -> Result<(), EngineError> {
        match self.file_bytes.checked_sub(self.position) {
            Some(left) if left >= bytes => Ok(()),
            Some(_) | None => Err(self.truncated(bytes)),
        }
    }

    fn truncated(&self, missing: u64) -> EngineError {
        EngineError::Truncated {
            needed_bytes: self.position.saturating_add(missing),
            actual_bytes: self.file_bytes,
        }
    }
}

fn unreadable(error: std::io::Error) -> EngineError {
    EngineError::Unreadable { reason: error.to_string() }
}
