//! `[timeouts]` and `[fallback]`. Each key has a default.

use std::time::Duration;

use serde::Deserialize;

use crate::health;
use crate::toml::{seconds, seconds_or_zero};

/// Deadlines of one attempt (`total`: of the complete answer), and how long a client waits for a
/// sign of life.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// Until the connection stands.
    #[serde(deserialize_with = "seconds")]
    pub connect: Duration,
    /// From the call until the response's first byte.
    #[serde(deserialize_with = "seconds")]
    pub first_byte: Duration,
    /// From the call until the first content.
    #[serde(deserialize_with = "seconds")]
    pub first_content: Duration,
    /// From the call until the complete response has arrived, where it is not a stream.
    #[serde(deserialize_with = "seconds")]
    pub whole: Duration,
    /// From one sign of life of the upstream to the next, once there is content.
    #[serde(deserialize_with = "seconds")]
    pub between_tokens: Duration,
    /// From the request to the end of its answer.
    #[serde(deserialize_with = "seconds")]
    pub total: Duration,
    /// How long the response's head waits for content before it is sent with a heartbeat.
    #[serde(deserialize_with = "seconds")]
    pub head: Duration,
    /// How long a stream is silent before a heartbeat.
    #[serde(deserialize_with = "seconds")]
    pub heartbeat: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(15),
            first_content: Duration::from_secs(30),
            whole: Duration::from_secs(120),
            between_tokens: Duration::from_secs(20),
            total: Duration::from_secs(600),
            head: Duration::from_secs(10),
            heartbeat: Duration::from_secs(15),
        }
    }
}

/// What happens when a target fails.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fallback {
    /// What happens to an answer that breaks after its first content.
    pub midstream: Midstream,
    /// The user message that asks a model to continue an answer; none if empty.
    pub instruction: String,
    /// What a client gets when no target is left; `None` leaves it to the client's protocol: a
    /// message where the protocol can mark it as a fallback, else an error.
    pub exhausted: Option<Exhausted>,
    /// How long the first content may take before the next target is started too; zero is never.
    #[serde(deserialize_with = "seconds_or_zero")]
    pub hedge_after: Duration,
    /// How often targets that failed transiently are called again when none is left.
    pub retries: u32,
    /// How long the first such wait is; each doubles, with jitter. A target's `Retry-After` counts
    /// instead.
    #[serde(deserialize_with = "seconds")]
    pub backoff: Duration,
    /// The longest such wait: a target that asks for a longer one is not called again.
    #[serde(deserialize_with = "seconds")]
    pub wait: Duration,
    /// When a failing target is left alone.
    pub breaker: health::Settings,
}

impl Default for Fallback {
    fn default() -> Self {
        Self {
            midstream: Midstream::Continue,
            instruction: String::new(),
            exhausted: None,
            hedge_after: Duration::ZERO,
            retries: 2,
            backoff: Duration::from_millis(250),
            wait: Duration::from_secs(10),
            breaker: health::Settings::default(),
        }
    }
}

/// What happens to an answer that breaks after its first content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Midstream {
    /// The next target continues it.
    Continue,
    /// It fails with a typed error.
    Stop,
}

/// What a client gets when no target is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exhausted {
    /// An answer that states what is wrong and what can be done.
    Message,
    /// A typed error.
    Error,
}
