//! Users' own keys for providers, sealed: what is kept cannot be read without the master key.

use super::{Row, Statement};
use crate::failure::Failure;

/// One user's key for one provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderKey {
    /// Whose it is.
    pub user: String,
    /// The provider's name in the configuration.
    pub provider: String,
    /// The key, encrypted.
    pub sealed: String,
    /// Which master key opens it.
    pub key_id: String,
    /// Where the user has the provider called; empty for where the configuration says.
    pub base_url: String,
    /// When it was first set, in seconds since 1970.
    pub created: u64,
    /// When it was last set.
    pub updated: u64,
}

/// Keeps a key in place of the one before.
pub fn upsert(key: &ProviderKey) -> Statement {
    Statement::new(
        "INSERT INTO provider_keys \
         (user_id, provider, sealed, key_id, base_url, created, updated) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
         ON CONFLICT (user_id, provider) DO UPDATE SET sealed = excluded.sealed, \
         key_id = excluded.key_id, base_url = excluded.base_url, updated = excluded.updated",
        [
            key.user.as_str().into(),
            key.provider.as_str().into(),
            key.sealed.as_str().into(),
            key.key_id.as_str().into(),
            key.base_url.as_str().into(),
            key.created.into(),
            key.updated.into(),
        ],
    )
}

/// Seals a key anew that is still sealed as `before`: one row with its user, or none if it was set
/// or deleted meanwhile.
pub fn reseal(key: &ProviderKey, before: &str) -> Statement {
    Statement::new(
        "UPDATE provider_keys SET sealed = ?3, key_id = ?4 \
         WHERE user_id = ?1 AND provider = ?2 AND sealed = ?5 RETURNING user_id",
        [
            key.user.as_str().into(),
            key.provider.as_str().into(),
            key.sealed.as_str().into(),
            key.key_id.as_str().into(),
            before.into(),
        ],
    )
}

/// Forgets a key: one row with its user, or none if there was none.
pub fn delete(user: &str, provider: &str) -> Statement {
    Statement::new(
        "DELETE FROM provider_keys WHERE user_id = ?1 AND provider = ?2 RETURNING user_id",
        [user.into(), provider.into()],
    )
}

/// Finds one user's keys: rows for [`read`].
pub fn of_user(user: &str) -> Statement {
    Statement::new(
        "SELECT user_id, provider, sealed, key_id, base_url, created, updated \
         FROM provider_keys WHERE user_id = ?1 ORDER BY provider",
        [user.into()],
    )
}

/// Lists everybody's keys: rows for [`read`].
pub fn list() -> Statement {
    Statement::new(
        "SELECT user_id, provider, sealed, key_id, base_url, created, updated \
         FROM provider_keys ORDER BY user_id, provider",
        [],
    )
}

/// Reads a row.
pub fn read(row: &Row) -> Result<ProviderKey, Failure> {
    Ok(ProviderKey {
        user: row.text(0)?,
        provider: row.text(1)?,
        sealed: row.text(2)?,
        key_id: row.text(3)?,
        base_url: row.text(4)?,
        created: row.unsigned(5)?,
        updated: row.unsigned(6)?,
    })
}
