//! `[store]`: where what outlives a process is kept.

use std::fmt;

use serde::Deserialize;
use toml::Spanned;

use crate::seal::{MasterKey, MasterKeys};
use crate::toml::{Document, Error, SecretName};

/// Where what outlives a process is kept.
#[derive(Clone, Debug)]
pub struct Store {
    /// Where it is.
    pub url: StoreUrl,
    /// What seals users' keys for providers; without it none are kept.
    pub master_keys: Option<MasterKeys>,
}

/// Where a store is. Its `Debug` leaves the URL out: it may hold a password.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// A SQLite file: the whole `sqlite:...`.
    Sqlite(String),
    /// A Postgres server: the whole `postgres://...`.
    Postgres(String),
    /// The name of a Worker's D1 binding.
    D1(String),
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite(_) => "Sqlite(..)",
            Self::Postgres(_) => "Postgres(..)",
            Self::D1(_) => "D1(..)",
        })
    }
}

/// The text as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoreEntry {
    url: Spanned<UrlEntry>,
    master_key: Option<Spanned<SecretName>>,
    previous_master_key: Option<Spanned<SecretName>>,
}

#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields, expecting = "expected a URL, or { env = \"NAME\" }")]
enum UrlEntry {
    Written(String),
    Named { env: String },
}

impl StoreEntry {
    pub(crate) fn resolve(self, document: &Document<'_>) -> Result<Store, Error> {
        let Self { url, master_key, previous_master_key } = self;
        let master_keys = master_keys(master_key, previous_master_key, document)?;
        let start = url.span().start;
        let wrong = |what: &str| {
            let expected = "\"sqlite:FILE\", \"postgres://...\", or at the edge \"d1:BINDING\"";
            document.at(start, "store.url", what, expected)
        };
        let url = match url.into_inner() {
            UrlEntry::Written(url) => url,
            UrlEntry::Named { env } => document
                .secret(&env)
                .ok_or_else(|| wrong(&format!("{env} is not set")))?
                .trim()
                .to_owned(),
        };
        // The URL is not repeated: it may hold a password.
        match url.split_once(':') {
            Some(("sqlite", file)) if !file.is_empty() => Ok(StoreUrl::Sqlite(url)),
            Some(("postgres" | "postgresql", rest)) if rest.starts_with("//") => {
                Ok(StoreUrl::Postgres(url))
            }
            Some(("d1", binding)) if is_identifier(binding) => Ok(StoreUrl::D1(binding.to_owned())),
            _ => Err(wrong("not a store URL")),
        }
        .map(|url| Store { url, master_keys })
    }
}

/// As JavaScript has them, and with them wrangler.
fn is_identifier(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.bytes().next().is_some_and(|b| !b.is_ascii_digit())
}

/// The previous key may be gone from the environment: then it was rotated out.
fn master_keys(
    current: Option<Spanned<SecretName>>,
    previous: Option<Spanned<SecretName>>,
    document: &Document<'_>,
) -> Result<Option<MasterKeys>, Error> {
    let read = |entry: &Spanned<SecretName>, key: &str| {
        let env = &entry.get_ref().env;
        let Some(value) = document.secret(env) else { return Ok(None) };
        let wrong = |expected: String| {
            let what = format!("{env} is not a master key");
            document.at(entry.span().start, key, &what, &expected)
        };
        MasterKey::parse(value.trim()).map(Some).map_err(wrong)
    };
    let previous = match &previous {
        Some(entry) => read(entry, "store.previous_master_key")?,
        None => None,
    };
    let Some(entry) = &current else { return Ok(None) };
    let current = read(entry, "store.master_key")?.ok_or_else(|| {
        let what = format!("{} is not set", entry.get_ref().env);
        let expected = "32 random bytes, such as the output of `openssl rand -base64 32`";
        document.at(entry.span().start, "store.master_key", &what, expected)
    })?;
    Ok(Some(MasterKeys::new(current, previous)))
}
