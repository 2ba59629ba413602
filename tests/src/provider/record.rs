//! What a fake provider was asked, and how it went.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::wire::{Progress, Request};

/// One call as the provider saw it. Times count from the provider's epoch.
#[derive(Clone, Debug, Default)]
pub struct CallRecord {
    /// `POST`.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body; a string where it was no JSON.
    pub body: Value,
    /// When the whole request had come.
    pub came: Duration,
    /// How many bytes were sent in reply, head and framing included.
    pub sent_bytes: usize,
    /// How many of them had been sent when it first had to wait for the peer to read.
    pub held_bytes: Option<usize>,
    /// When the peer was seen to close before the script was through.
    pub closed: Option<Duration>,
    /// When the script had been played to its end, be it a clean one or a cut.
    pub ended: Option<Duration>,
    /// No script was left for it.
    pub unscripted: bool,
}

/// The calls of one provider.
#[derive(Debug)]
pub(super) struct Log {
    epoch: Instant,
    calls: Mutex<Vec<CallRecord>>,
}

impl Log {
    pub(super) fn new(epoch: Instant) -> Self {
        Self { epoch, calls: Mutex::new(Vec::new()) }
    }

    pub(super) fn calls(&self) -> Vec<CallRecord> {
        self.lock().clone()
    }

    /// Adds a call and returns its index.
    pub(super) fn open(&self, request: &Request) -> usize {
        let text = || Value::String(String::from_utf8_lossy(&request.body).into_owned());
        let record = CallRecord {
            method: request.method.clone(),
            path: request.path.clone(),
            headers: request.headers.clone(),
            body: serde_json::from_slice(&request.body).unwrap_or_else(|_| text()),
            came: self.epoch.elapsed(),
            ..CallRecord::default()
        };
        let mut calls = self.lock();
        calls.push(record);
        calls.len() - 1
    }

    pub(super) fn add_progress(&self, index: usize, progress: Progress) {
        let call = &mut self.lock()[index];
        match progress {
            Progress::Sent(bytes) => call.sent_bytes += bytes,
            Progress::Held => {
                call.held_bytes.get_or_insert(call.sent_bytes);
            }
        }
    }

    pub(super) fn mark_ended(&self, index: usize) {
        self.lock()[index].ended = Some(self.epoch.elapsed());
    }

    pub(super) fn mark_closed(&self, index: usize) {
        self.lock()[index].closed = Some(self.epoch.elapsed());
    }

    pub(super) fn mark_unscripted(&self, index: usize) {
        self.lock()[index].unscripted = true;
    }

    fn lock(&self) -> MutexGuard<'_, Vec<CallRecord>> {
        self.calls.lock().expect("no one panics while holding the calls")
    }
}
