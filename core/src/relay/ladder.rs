//! Which target is called next.
//!
//! A pass tries each target in order, leaving out those whose breaker is open. Targets that failed
//! transiently are tried again in a later pass, each when it is ready: after its `Retry-After`, or
//! a backoff that doubles from pass to pass, with jitter from the answer's seed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::Fallback;
use crate::failure::Failure;
use crate::target::Target;
use crate::time::Instant;

pub(super) struct Ladder {
    targets: Vec<Arc<Target>>,
    /// The turns of this pass, the next first.
    pass: VecDeque<Turn>,
    /// The targets to retry in the next pass: their indices, their `Retry-After`, and when they
    /// failed.
    again: Vec<(usize, Option<Duration>, Instant)>,
    passes: u32,
    random: u64,
}

/// When a target may be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    /// Not before this.
    pub(super) ready: Instant,
    /// Its index among the targets.
    pub(super) index: usize,
}

impl Ladder {
    pub(super) fn new(targets: Vec<Arc<Target>>, seed: u64) -> Self {
        let pass = (0..targets.len()).map(|index| Turn { ready: Instant::ZERO, index }).collect();
        Self { targets, pass, again: Vec::new(), passes: 0, random: seed }
    }

    pub(super) fn target(&self, index: usize) -> Arc<Target> {
        self.targets[index].clone()
    }

    /// The next turn of this pass.
    pub(super) fn next(&self) -> Option<Turn> {
        self.pass.front().copied()
    }

    /// The next turn of this pass is over.
    pub(super) fn take_turn(&mut self) {
        self.pass.pop_front();
    }

    /// The target at this index failed transiently: the next pass may try it again.
    pub(super) fn allow_retry(&mut self, index: usize, failure: &Failure, now: Instant) {
        self.again.push((index, failure.retry_after, now));
    }

    /// The answer of the target at this index broke off: the targets after it are asked to continue,
    /// itself last if it may be asked `again`.
    pub(super) fn continue_after(&mut self, index: usize, again: bool) {
        self.again.clear();
        if again && !self.pass.iter().any(|turn| turn.index == index) {
            self.pass.push_back(Turn { ready: Instant::ZERO, index });
        }
    }

    /// Begins the next pass, in the order in which targets are ready; `false` if there is none.
    pub(super) fn next_pass(&mut self, fallback: &Fallback, now: Instant) -> bool {
        let passes = self.passes;
        self.passes += 1;
        if passes >= fallback.retries {
            return false;
        }
        let backoff = fallback.backoff.saturating_mul(1 << passes.min(16));
        let jittered = backoff.mul_f64(0.5 + self.fraction() / 2.0).min(fallback.wait);
        let again = std::mem::take(&mut self.again).into_iter();
        let mut turns: Vec<_> = again
            .filter(|(_, asked, _)| asked.is_none_or(|asked| asked <= fallback.wait))
            .map(|(index, asked, since)| {
                let ready = asked.map_or(now + jittered, |asked| since + asked);
                Turn { ready, index }
            })
            .collect();
        turns.sort_unstable();
        self.pass = turns.into();
        !self.pass.is_empty()
    }

    /// The next random number from 0 to 1: splitmix64.
    fn fraction(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        (z >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The wait that a `Retry-After` asks for, from its two headers and the date it was read at.
///
/// `retry-after-ms` counts before `retry-after`; that is seconds, or an HTTP date (RFC 9110,
/// section 10.2.3). A date that is past asks for no wait.
pub(super) fn retry_after(
    header: Option<&str>,
    header_ms: Option<&str>,
    unix_now: Duration,
) -> Option<Duration> {
    let ms = header_ms.and_then(|text| text.trim().parse::<f64>().ok());
    if let Some(wait) = ms.and_then(|ms| Duration::try_from_secs_f64(ms / 1000.0).ok()) {
        return Some(wait);
    }
    let text = header?.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = httpdate::parse_http_date(text).ok()?;
    let at = date.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(at.saturating_sub(unix_now))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row: `retry-after`, `retry-after-ms`, milliseconds to wait.
    #[test]
    fn every_form_of_retry_after() {
        let now = Duration::from_secs(1_700_000_000);
        let rows = [
            (Some("5"), None, Some(5000)),
            (Some(" 1.5 "), None, Some(1500)),
            (Some("0"), None, Some(0)),
            (Some("5"), Some("250"), Some(250)),
            (Some("5"), Some("soon"), Some(5000)),
            (None, Some("250"), Some(250)),
            (Some("Tue, 14 Nov 2023 22:13:30 GMT"), None, Some(10_000)),
            (Some("Tue, 14 Nov 2023 22:13:00 GMT"), None, Some(0)),
            (Some("Tuesday, 14-Nov-23 22:13:30 GMT"), None, Some(10_000)),
            (Some("-5"), None, None),
            (Some("NaN"), None, None),
            (Some("soon"), None, None),
            (None, None, None),
        ];
        for (header, header_ms, expected) in rows {
            let wait = retry_after(header, header_ms, now).map(|wait| wait.as_millis());
            assert_eq!(wait, expected, "{header:?} {header_ms:?}");
        }
    }
}
