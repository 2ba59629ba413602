//! API keys that were found in the store, so that not every request queries it.
//!
//! Only valid keys are cached: one that was just made is accepted at once, and one that was revoked
//! is accepted no longer than [`FRESH`].

use std::time::Duration;

use super::Caller;
use super::key::{Digest, Ring};
use crate::time::Instant;

/// How long a key is accepted without a query.
const FRESH: Duration = Duration::from_secs(10);

/// Keys that are cached; beyond that, the cache starts again empty.
const KEYS_MAX: usize = 10_000;

/// Keys by digest, each with its holder and the time of its query.
#[derive(Debug, Default)]
pub(super) struct KnownKeys {
    keys: Ring<(Caller, Instant)>,
    count: usize,
}

impl KnownKeys {
    /// Who holds the key of this digest, if it was found recently.
    pub(super) fn find(&self, digest: &Digest, now: Instant) -> Option<&Caller> {
        let (caller, queried) = self.keys.get(digest)?;
        (now < *queried + FRESH).then_some(caller)
    }

    /// Caches who holds a key, by a query made at `now`.
    pub(super) fn note(&mut self, digest: Digest, caller: Caller, now: Instant) {
        if self.count >= KEYS_MAX && self.keys.get(&digest).is_none() {
            *self = Self::default();
        }
        if self.keys.insert(digest, (caller, now)).is_none() {
            self.count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: fn(u64) -> Instant = Instant::from_millis;

    fn ada() -> Caller {
        Caller { user: "ada".parse().unwrap(), plan: None }
    }

    #[test]
    fn a_key_is_known_for_a_while_and_no_other_is() {
        let mut known = KnownKeys::default();
        known.note(Digest::of("a"), ada(), AT(5));
        let user = |key, at| known.find(&Digest::of(key), at).map(|caller| caller.user.clone());
        assert_eq!(user("a", AT(10_004)).as_deref(), Some("ada"));
        assert_eq!(user("a", AT(10_005)), None);
        assert_eq!(user("b", AT(6)), None);
    }

    #[test]
    fn there_is_a_bound() {
        let mut known = KnownKeys::default();
        let digest = |n: usize| Digest::of(&n.to_string());
        for n in 0..=KEYS_MAX {
            known.note(digest(n), ada(), AT(0));
            known.note(digest(n), ada(), AT(1));
        }
        assert!(known.find(&digest(KEYS_MAX), AT(2)).is_some());
        assert!(known.find(&digest(0), AT(2)).is_none());
        assert_eq!(known.keys.iter().count(), 1);
    }
}
