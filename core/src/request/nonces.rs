//! Nonces for sealing, as many as a request needs, from the random bytes it came with.

use sha2::{Digest as _, Sha256};

use super::RANDOM_BYTES;
use crate::seal::NONCE_BYTES;

/// As many as the hash gives: no fewer bits than a nonce has.
pub(super) const SEED_BYTES: usize = 32;

/// Gives nonces that nobody can foresee and that never come twice: hashes of a secret seed and a
/// count. Who knows one of them knows nothing of the others.
pub(super) struct Nonces {
    seed: [u8; SEED_BYTES],
    given: u32,
}

impl Nonces {
    pub(super) fn new(seed: [u8; SEED_BYTES]) -> Self {
        Self { seed, given: 0 }
    }

    /// The next nonce.
    pub(super) fn next(&mut self) -> [u8; NONCE_BYTES] {
        let hash = Sha256::new_with_prefix(b"streamgate nonce ")
            .chain_update(self.seed)
            .chain_update(self.given.to_be_bytes())
            .finalize();
        self.given += 1;
        let mut nonce = [0; NONCE_BYTES];
        nonce.copy_from_slice(&hash[..NONCE_BYTES]);
        nonce
    }
}

/// The answer's name, which everybody may know, and the seed, which nobody may.
pub(super) fn split(random: &[u8; RANDOM_BYTES]) -> ([u8; 16], [u8; SEED_BYTES]) {
    let (mut id, mut seed) = ([0; 16], [0; SEED_BYTES]);
    id.copy_from_slice(&random[..16]);
    seed.copy_from_slice(&random[16..]);
    (id, seed)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_nonce_comes_twice_for_a_seed_or_for_two() {
        let given = |seed| {
            let mut nonces = Nonces::new([seed; SEED_BYTES]);
            (0..100).map(|_| nonces.next()).collect::<Vec<_>>()
        };
        let all: HashSet<_> = given(1).into_iter().chain(given(2)).collect();
        assert_eq!(all.len(), 200);
    }

    #[test]
    fn the_name_and_the_seed_share_no_byte() {
        let random = std::array::from_fn(|index| index as u8);
        let (id, seed) = split(&random);
        assert!(id.iter().all(|byte| !seed.contains(byte)));
    }
}
