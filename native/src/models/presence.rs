//! Whether a target is available, found out without loading or calling it.

use std::fmt;
use std::path::{Path, PathBuf};

use streamgate_core::target::{ApiKey, Target};

use super::{is_local, model, remedy};
use crate::engine::{EngineError, ModelSource, gguf};

/// Whether a target is available, and where.
pub(super) enum Presence {
    /// A provider answers for it.
    Remote,
    NoKey {
        env: String,
    },
    /// A provider answers for it, to users who gave their own key.
    UserKeys,
    Embedded,
    File {
        path: PathBuf,
        header: gguf::Header,
    },
    Missing {
        path: PathBuf,
    },
    Broken {
        error: String,
    },
}

/// Checks a target.
pub(super) fn presence(target: &Target) -> Presence {
    if !is_local(target) {
        return match &target.provider.api_key {
            ApiKey::Unset { env } => Presence::NoKey { env: env.clone() },
            ApiKey::Unusable(_) => Presence::UserKeys,
            ApiKey::None | ApiKey::Set(_) => Presence::Remote,
        };
    }
    match model(target).map(|model| model.source) {
        Err(error) => Presence::Broken { error },
        Ok(ModelSource::Embedded(_)) => Presence::Embedded,
        Ok(ModelSource::File(path)) => match header(&path) {
            Ok(header) => Presence::File { path, header },
            Err(EngineError::Missing { path }) => Presence::Missing { path },
            Err(error) => Presence::Broken { error: format!("{}: {error}", path.display()) },
        },
    }
}

impl fmt::Display for Presence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Remote => f.write_str("called over HTTP"),
            Self::UserKeys => f.write_str("called over HTTP, with users' own keys"),
            Self::NoKey { env } => write!(f, "no key: {env} is not set"),
            Self::Embedded => f.write_str("built in"),
            Self::File { path, header } => write!(f, "{}: {}", path.display(), Summary(header)),
            Self::Missing { path } => {
                let path = path.display();
                write!(f, "missing: {path} is not there. {}", remedy(&path))
            }
            Self::Broken { error } => f.write_str(error),
        }
    }
}

/// A model's header in a few words.
pub(crate) struct Summary<'h>(pub(crate) &'h gguf::Header);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = self.0;
        let name = header.name.as_deref().unwrap_or("a model without a name");
        let megabytes = header.file_bytes.div_ceil(1_000_000);
        let (architecture, window) = (&header.architecture, header.window_tokens);
        write!(f, "{name}, {architecture}, {window} tokens of context, {megabytes} MB")
    }
}

/// Reads and checks a model file's header.
pub(crate) fn header(path: &Path) -> Result<gguf::Header, EngineError> {
    let unreadable = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => EngineError::Missing { path: path.to_owned() },
        _ => EngineError::Unreadable { reason: error.to_string() },
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let bytes = file.metadata().map_err(unreadable)?.len();
    gguf::check(std::io::BufReader::new(file), bytes)
}
