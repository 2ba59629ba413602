//! A point in time as a number. Core never reads a clock: shells pass the time in, it may stand
//! still (a Worker's clock does between I/O), and it never runs back.

use std::ops::Add;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Microseconds since an origin of the shell's choosing.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Instant(u64);

impl Instant {
    /// The origin.
    pub const ZERO: Self = Self(0);

    /// The instant `us` microseconds after the origin.
    pub const fn from_micros(us: u64) -> Self {
        Self(us)
    }

    /// The instant `ms` milliseconds after the origin.
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms.saturating_mul(1000))
    }

    /// Microseconds since the origin.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        // In 64 bits: deadlines are moved with every chunk.
        let us = rhs.as_secs().saturating_mul(1_000_000);
        Self(self.0.saturating_add(us).saturating_add(u64::from(rhs.subsec_micros())))
    }
}

/// A point in time as RFC 3339 has it, in UTC, by the seconds since 1970.
pub(crate) fn rfc3339(unix_seconds: u64) -> String {
    let time = UNIX_EPOCH + Duration::from_secs(unix_seconds.min(LAST_SECOND));
    humantime::format_rfc3339_seconds(time).to_string()
}

/// The last second of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_wraps_and_never_runs_back() {
        let late = Instant::from_micros(u64::MAX) + Duration::MAX;
        assert_eq!(late.as_micros(), u64::MAX);
        assert_eq!(Instant::ZERO.since(late), Duration::ZERO);
        assert_eq!(
            Instant::from_millis(3).since(Instant::from_millis(1)),
            Duration::from_millis(2)
        );
    }

    #[test]
    fn a_date_has_four_digits_of_a_year() {
        assert_eq!(rfc3339(1_700_000_000), "2023-11-14T22:13:20Z");
        assert_eq!(rfc3339(u64::MAX), "9999-12-31T23:59:59Z");
    }
}
