//! API keys that clients authenticate with. Only their hashes are kept.

use super::{Row, Statement};
use crate::failure::Failure;

/// One API key, without the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// What it is called in commands; unique.
    pub id: String,
    /// The SHA-256 of the key, in lower-case hexadecimal; unique.
    pub sha256: String,
    /// Whose it is.
    pub user: String,
    /// The plan it is for; empty for none.
    pub plan: String,
    /// What its maker calls it.
    pub name: String,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// When it was revoked; `None` while it is good.
    pub revoked: Option<u64>,
}

/// Keeps a new key.
pub fn insert(key: &ApiKey) -> Statement {
    Statement::new(
        "INSERT INTO api_keys (id, sha256, user_id, plan, name, created, revoked) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        [
            key.id.as_str().into(),
            key.sha256.as_str().into(),
            key.user.as_str().into(),
            key.plan.as_str().into(),
            key.name.as_str().into(),
            key.created.into(),
            key.revoked.unwrap_or(0).into(),
        ],
    )
}

/// Finds the key of this hash, revoked or not: rows for [`read`].
pub fn by_sha256(sha256: &str) -> Statement {
    Statement::new(
        "SELECT id, sha256, user_id, plan, name, created, revoked FROM api_keys WHERE sha256 = ?1",
        [sha256.into()],
    )
}

/// Lists all keys, the oldest first: rows for [`read`].
pub fn list() -> Statement {
    Statement::new(
        "SELECT id, sha256, user_id, plan, name, created, revoked FROM api_keys \
         ORDER BY created, id",
        [],
    )
}

/// Revokes a key that is good: one row with its name, or none if there is no such key.
pub fn revoke(id: &str, now: u64) -> Statement {
    Statement::new(
        "UPDATE api_keys SET revoked = ?2 WHERE id = ?1 AND revoked = 0 RETURNING id",
        [id.into(), now.into()],
    )
}

/// Reads a row.
pub fn read(row: &Row) -> Result<ApiKey, Failure> {
    Ok(ApiKey {
        id: row.text(0)?,
        sha256: row.text(1)?,
        user: row.text(2)?,
        plan: row.text(3)?,
        name: row.text(4)?,
        created: row.unsigned(5)?,
        revoked: Some(row.unsigned(6)?).filter(|&at| at > 0),
    })
}
