//! API keys: random texts of which only the SHA-256 is kept.
//!
//! Their 256 random bits need no salt and no slow hash: there is nothing to guess.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// How a key begins, so that one that leaked is recognised.
const PREFIX: &str = "sg_";

/// Random bytes in a key.
pub const KEY_RANDOM_BYTES: usize = 32;

/// How many hexadecimal digits of its digest name a key.
const ID_DIGITS: usize = 12;

/// A new API key: seen once, by who makes it.
pub struct Key(String);

impl Key {
    /// The key made of these random bytes.
    pub fn new(random: [u8; KEY_RANDOM_BYTES]) -> Self {
        Self(format!("{PREFIX}{}", hex(&random)))
    }

    /// Whether a credential looks like one.
    pub(super) fn is_one(credential: &str) -> bool {
        credential.starts_with(PREFIX)
    }

    /// The key itself, for its owner.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// The SHA-256 of an API key. Compared in constant time.
#[derive(Clone, Copy, Debug)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of a key as it was sent.
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// What the key is called in lists and logs: it does not lead back to it.
    pub fn id(&self) -> String {
        self.to_string()[..ID_DIGITS].to_owned()
    }

    /// The place in an index: its first bytes. Whoever measures how long the search takes learns
    /// some of a digest, and nothing of the key.
    fn place(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Digest {}

/// In hexadecimal, lower case.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl FromStr for Digest {
    type Err = ();

    /// Reads 64 hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, ()> {
        let digits = text.as_bytes();
        let mut bytes = [0; 32];
        if digits.len() != 2 * bytes.len() {
            return Err(());
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |at: usize| (pair[at] as char).to_digit(16).ok_or(());
            *byte = u8::try_from(digit(0)? << 4 | digit(1)?).map_err(|_| ())?;
        }
        Ok(Self(bytes))
    }
}

/// What belongs to each of many keys.
#[derive(Clone, Debug)]
pub(super) struct Ring<T>(BTreeMap<u64, Vec<(Digest, T)>>);

impl<T> Default for Ring<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> Ring<T> {
    /// Adds a key; what belonged to it before is given back.
    pub(super) fn insert(&mut self, digest: Digest, value: T) -> Option<T> {
        let bucket = self.0.entry(digest.place()).or_default();
        match bucket.iter_mut().find(|(known, _)| *known == digest) {
            Some((_, known)) => Some(std::mem::replace(known, value)),
            None => {
                bucket.push((digest, value));
                None
            }
        }
    }

    /// What belongs to the key of this digest.
    pub(super) fn get(&self, digest: &Digest) -> Option<&T> {
        let bucket = self.0.get(&digest.place())?;
        bucket.iter().find(|(known, _)| known == digest).map(|(_, value)| value)
    }

    /// Every key there is.
    pub(super) fn iter(&self) -> impl Iterator<Item = &(Digest, T)> {
        self.0.values().flatten()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes every write");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The digest of "abc" in FIPS 180-4's example.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_digest_is_the_sha_256_in_hexadecimal() {
        let digest = Digest::of("abc");
        assert_eq!(digest.to_string(), ABC);
        assert_eq!(digest.id(), "ba7816bf8f01");
        assert_eq!(ABC.parse(), Ok(digest));
        assert_eq!(ABC.to_uppercase().parse(), Ok(digest));
    }

    #[test]
    fn what_is_no_digest_is_not_read() {
        for text in ["", "ab", &ABC[1..], &format!("{ABC}00"), &ABC.replace('b', "g")] {
            assert_eq!(text.parse::<Digest>(), Err(()), "{text}");
        }
    }

    #[test]
    fn a_key_is_recognised_and_not_shown() {
        let key = Key::new([0xa5; KEY_RANDOM_BYTES]);
        assert_eq!(key.reveal(), format!("sg_{}", "a5".repeat(32)));
        assert_eq!(key.digest(), Digest::of(key.reveal()));
        assert_eq!(format!("{key:?}"), "Key(..)");
    }

    #[test]
    fn a_ring_finds_each_key_and_no_other() {
        let mut ring = Ring::default();
        for n in 0..100 {
            assert_eq!(ring.insert(Digest::of(&n.to_string()), n), None);
        }
        for n in 0..100 {
            assert_eq!(ring.get(&Digest::of(&n.to_string())), Some(&n));
        }
        assert_eq!(ring.get(&Digest::of("100")), None);
        assert_eq!(ring.insert(Digest::of("7"), 70), Some(7));
        assert_eq!(ring.iter().count(), 100);
    }

    /// Digests that share their place are still told apart.
    #[test]
    fn a_shared_place_is_no_match() {
        let mut other = Digest::of("abc");
        other.0[31] ^= 1;
        let mut ring = Ring::default();
        ring.insert(Digest::of("abc"), "abc");
        assert_eq!(ring.get(&other), None);
        ring.insert(other, "other");
        assert_eq!(
            (ring.get(&Digest::of("abc")), ring.get(&other)),
            (Some(&"abc"), Some(&"other"))
        );
    }
}
