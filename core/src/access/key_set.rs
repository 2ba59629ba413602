//! The key set (RFC 7517, section 5) of whoever signs tokens: as it was last fetched, and whether it
//! is time to fetch it again.
//!
//! It is fetched when a token names a key that is not in it, for then keys were rotated, and when it
//! is old. A fetch that fails leaves the keys there were.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::signature::{Jwk, VerifyingKey};
use crate::json;
use crate::time::Instant;

/// How long keys are used without asking whether they still hold.
const FRESH: Duration = Duration::from_secs(600);

/// After a fetch: how long a token with an unknown key is refused without another. Anybody can make
/// up such tokens.
const REFETCH: Duration = Duration::from_secs(30);

/// The same after a fetch that failed.
const RETRY: Duration = Duration::from_secs(2);

/// How long a fetch may take: the caller waits for it. One that nobody reports on ends then too.
pub(crate) const KEY_SET_TIME_MAX: Duration = Duration::from_secs(5);

/// Fetches at the same time: each request that needs the keys fetches for itself, up to so many.
const FETCHES_MAX: usize = 8;

/// Keys in a set; providers have a handful.
const KEYS_MAX: usize = 64;

/// The largest set that is read, in bytes.
pub const KEY_SET_BYTES_MAX: usize = 256 * 1024;

/// Keys that check signatures.
pub(super) type Keys = Arc<[VerifyingKey]>;

/// What is known of a key set.
#[derive(Debug, Default)]
pub(super) struct KeySet {
    keys: Option<(Keys, Instant)>,
    /// When a fetch last ended, and how long there is to be no other.
    ended: Option<(Instant, Duration)>,
    /// When those began that have not ended.
    under_way: Vec<Instant>,
}

/// What to do about a token.
#[derive(Debug)]
pub(super) enum Lookup {
    /// Check it with these.
    Use(Keys),
    /// Fetch the set first.
    Fetch,
    /// Its key is not in the set.
    Unknown,
    /// There are no keys, and it is too early to try again.
    Unavailable {
        /// When it is not.
        until: Instant,
    },
}

impl KeySet {
    /// What to do about a token for which those keys come into question.
    pub(super) fn look_up(&mut self, now: Instant, fits: impl Fn(&VerifyingKey) -> bool) -> Lookup {
        let may_fetch = self.may_fetch(now);
        match &self.keys {
            Some((keys, fetched)) if keys.iter().any(fits) => {
                let is_due = now >= *fetched + FRESH && self.under_way.is_empty();
                if is_due && may_fetch { self.fetch(now) } else { Lookup::Use(keys.clone()) }
            }
            _ if may_fetch => self.fetch(now),
            Some(_) => Lookup::Unknown,
            None => {
                let until = self.ended.map_or(now + RETRY, |(at, pause)| at + pause);
                Lookup::Unavailable { until }
            }
        }
    }

    /// The keys there are, fresh or not.
    pub(super) fn keys(&self) -> Option<Keys> {
        self.keys.as_ref().map(|(keys, _)| keys.clone())
    }

    /// Takes in the result of a fetch. The error is why that is no key set; the former keys stay.
    pub(super) fn fetched(
        &mut self,
        now: Instant,
        body: Result<&[u8], String>,
    ) -> Result<(), String> {
        self.under_way.pop();
        match body.and_then(read) {
            Ok(keys) => {
                self.keys = Some((keys, now));
                self.ended = Some((now, REFETCH));
                Ok(())
            }
            Err(why) => {
                self.ended = Some((now, RETRY));
                Err(why)
            }
        }
    }

    fn may_fetch(&mut self, now: Instant) -> bool {
        self.under_way.retain(|began| now < *began + KEY_SET_TIME_MAX);
        let paused = self.ended.is_some_and(|(at, pause)| now < at + pause);
        !paused && self.under_way.len() < FETCHES_MAX
    }

    fn fetch(&mut self, now: Instant) -> Lookup {
        self.under_way.push(now);
        Lookup::Fetch
    }
}

/// The keys of a set that can be used; the others are for somebody else.
fn read(body: &[u8]) -> Result<Keys, String> {
    #[derive(Deserialize)]
    struct Set<'a> {
        #[serde(borrow)]
        keys: Vec<&'a RawValue>,
    }
    let set: Set<'_> = json::read_bytes(body).map_err(|error| format!("no key set: {error}"))?;
    let read = |key: &RawValue| VerifyingKey::from_jwk(&json::read::<Jwk>(key.get()).ok()?).ok();
    let keys: Keys = set.keys.into_iter().filter_map(read).take(KEYS_MAX).collect();
    if keys.is_empty() {
        return Err("no key in the set is for RS256 or ES256".into());
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: fn(u64) -> Instant = Instant::from_millis;

    /// The key of RFC 7515, appendix A.3, under a name.
    fn set(kid: &str) -> Vec<u8> {
        format!(
            r#"{{"keys": [{{"kty": "oct", "k": "c2VjcmV0"}}, 7, {{"kty": "EC", "crv": "P-256",
            "kid": "{kid}", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}}]}}"#
        )
        .into_bytes()
    }

    fn fits(kid: &'static str) -> impl Fn(&VerifyingKey) -> bool {
        move |key| key.is_for(super::super::signature::Algorithm::ES256, Some(kid))
    }

    fn fetched(set_of: &str, at: Instant) -> KeySet {
        let mut set_known = KeySet::default();
        assert!(matches!(set_known.look_up(at, fits("a")), Lookup::Fetch));
        set_known.fetched(at, Ok(&set(set_of))).unwrap();
        set_known
    }

    #[test]
    fn a_known_key_is_used_and_an_unknown_one_fetched_once_in_a_while() {
        let mut known = fetched("a", AT(0));
        assert!(matches!(known.look_up(AT(1), fits("a")), Lookup::Use(_)));
        assert!(matches!(known.look_up(AT(29_999), fits("b")), Lookup::Unknown));
        assert!(matches!(known.look_up(AT(30_000), fits("b")), Lookup::Fetch));
        known.fetched(AT(30_100), Ok(&set("b"))).unwrap();
        assert!(matches!(known.look_up(AT(30_101), fits("b")), Lookup::Use(_)));
        assert!(matches!(known.look_up(AT(30_101), fits("a")), Lookup::Unknown));
    }

    /// Whoever comes while another fetches the rotated keys must not be refused for it.
    #[test]
    fn several_fetch_at_once_up_to_a_bound() {
        let mut known = fetched("a", AT(0));
        for _ in 0..FETCHES_MAX {
            assert!(matches!(known.look_up(AT(60_000), fits("b")), Lookup::Fetch));
        }
        assert!(matches!(known.look_up(AT(60_000), fits("b")), Lookup::Unknown));
        // Fetches that nobody reports on are forgotten.
        assert!(matches!(known.look_up(AT(70_000), fits("b")), Lookup::Fetch));
    }

    #[test]
    fn old_keys_are_fetched_anew_by_one_and_used_by_the_others() {
        let mut known = fetched("a", AT(0));
        assert!(matches!(known.look_up(AT(600_000), fits("a")), Lookup::Fetch));
        assert!(matches!(known.look_up(AT(600_001), fits("a")), Lookup::Use(_)));
    }

    #[test]
    fn a_failed_fetch_keeps_the_keys() {
        for body in [Err("unreachable".into()), Ok(b"<html>".as_slice()), Ok(b"{\"keys\":[]}")] {
            let mut known = fetched("a", AT(0));
            assert!(matches!(known.look_up(AT(600_000), fits("a")), Lookup::Fetch));
            assert!(known.fetched(AT(600_100), body).is_err());
            assert!(matches!(known.look_up(AT(600_200), fits("a")), Lookup::Use(_)));
            assert!(matches!(known.look_up(AT(602_200), fits("a")), Lookup::Fetch));
        }
    }

    #[test]
    fn without_keys_it_says_when_to_come_back() {
        let mut known = KeySet::default();
        assert!(matches!(known.look_up(AT(0), fits("a")), Lookup::Fetch));
        known.fetched(AT(100), Err("unreachable".into())).unwrap_err();
        let lookup = known.look_up(AT(200), fits("a"));
        assert!(
            matches!(lookup, Lookup::Unavailable { until } if until == AT(2_100)),
            "{lookup:?}"
        );
        assert!(matches!(known.look_up(AT(2_100), fits("a")), Lookup::Fetch));
    }
}
