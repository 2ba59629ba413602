//! `[limits]`: bounds on bytes.

use serde::Deserialize;

use crate::toml::bytes;

/// Bounds on bytes.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ByteLimits {
    /// The largest request body a client may send, also once it is decompressed.
    #[serde(deserialize_with = "bytes")]
    pub request_bytes: usize,
    /// The largest single event, or complete answer, an upstream may send.
    #[serde(deserialize_with = "bytes")]
    pub event_bytes: usize,
    /// The longest text of one answer.
    #[serde(deserialize_with = "bytes")]
    pub answer_bytes: usize,
}

/// What Anthropic accepts: a conversation holds its images and documents in every request. A Worker
/// has 128 MB in all, and needs a body several times over.
const REQUEST_BYTES: usize = if cfg!(target_family = "wasm") { 8 << 20 } else { 32 << 20 };

impl Default for ByteLimits {
    fn default() -> Self {
        Self { request_bytes: REQUEST_BYTES, event_bytes: 16 << 20, answer_bytes: 64 << 20 }
    }
}
