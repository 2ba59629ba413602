//! `[limits]`: bounds on bytes.

use serde::Deserialize;

use crate::toml::bytes;

/// Bounds on bytes.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ByteLimits {
    /// The largest request body a client may send.
    #[serde(deserialize_with = "bytes")]
    pub request_bytes: usize,
    /// The largest single event, or complete answer, an upstream may send.
    #[serde(deserialize_with = "bytes")]
    pub event_bytes: usize,
    /// The longest text of one answer.
    #[serde(deserialize_with = "bytes")]
    pub answer_bytes: usize,
}

impl Default for ByteLimits {
    fn default() -> Self {
        Self { request_bytes: 1 << 20, event_bytes: 16 << 20, answer_bytes: 64 << 20 }
    }
}
