//! Secrets at rest: sealed with XChaCha20-Poly1305 under a master key that only the environment
//! has, and bound to what they are for, so that a row copied to another user's opens nothing.
//!
//! A sealed text is the base64 of a 24-byte nonce, the ciphertext and its 16-byte tag. Nonces are
//! random: of 192 bits, none comes twice.

use std::fmt;

use base64ct::{Base64, Encoding as _};
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use sha2::{Digest as _, Sha256};

use crate::failure::{Failure, Reason};

/// Random bytes that sealing takes.
pub const NONCE_BYTES: usize = 24;

/// Bytes in a master key.
const KEY_BYTES: usize = 32;

/// The master key that seals and, during a rotation, the previous one, which only opens.
#[derive(Clone, Debug)]
pub struct MasterKeys {
    current: MasterKey,
    previous: Option<MasterKey>,
}

/// One master key. Its `Debug` shows its name only.
#[derive(Clone)]
pub struct MasterKey {
    id: String,
    cipher: XChaCha20Poly1305,
}

/// A secret, sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// What the store keeps.
    pub text: String,
    /// The name of the master key that opens it.
    pub key_id: String,
}

impl MasterKey {
    /// Reads 32 bytes, written as 64 hexadecimal digits or as base64. The error says what was
    /// expected and does not repeat what is there.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected = || format!("{KEY_BYTES} bytes as hexadecimal or base64");
        let bytes =
            from_hex(text).or_else(|| Base64::decode_vec(text).ok()).ok_or_else(expected)?;
        let key: [u8; KEY_BYTES] = bytes.try_into().map_err(|_| expected())?;
        let digest =
            Sha256::new_with_prefix(b"streamgate master key ").chain_update(key).finalize();
        let id = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { id, cipher: XChaCha20Poly1305::new(&key.into()) })
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({})", self.id)
    }
}

impl MasterKeys {
    /// `previous` only opens.
    pub fn new(current: MasterKey, previous: Option<MasterKey>) -> Self {
        Self { current, previous }
    }

    /// Whether this is the id of the key that seals.
    pub fn is_current(&self, key_id: &str) -> bool {
        key_id == self.current.id
    }

    /// Seals a secret and binds it to `place`, the texts that identify where it is stored. A nonce must
    /// never be used twice.
    pub fn seal(&self, secret: &str, place: &[&str], nonce: [u8; NONCE_BYTES]) -> Sealed {
        let MasterKey { id, cipher } = &self.current;
        let aad = associated(id, place);
        let payload = Payload { msg: secret.as_bytes(), aad: &aad };
        let sealed = cipher.encrypt(&XNonce::from(nonce), payload);
        let sealed = sealed.expect("a secret is shorter than 256 GiB");
        Sealed { text: Base64::encode_string(&[&nonce[..], &sealed].concat()), key_id: id.clone() }
    }

    /// Opens what was sealed for the same place.
    pub fn open(&self, sealed: &Sealed, place: &[&str]) -> Result<String, Failure> {
        let keys = [Some(&self.current), self.previous.as_ref()];
        let key = keys.into_iter().flatten().find(|key| key.id == sealed.key_id);
        let key = key.ok_or_else(|| {
            let detail = format!(
                "A saved key was sealed with the master key {}, which is not configured.",
                sealed.key_id
            );
            Failure::new(Reason::SealBroken, detail)
        })?;
        open(key, &sealed.text, place).ok_or_else(|| Reason::SealBroken.into())
    }
}

fn open(key: &MasterKey, text: &str, place: &[&str]) -> Option<String> {
    let bytes = Base64::decode_vec(text).ok()?;
    let (nonce, sealed) = bytes.split_first_chunk::<NONCE_BYTES>()?;
    let aad = associated(&key.id, place);
    let payload = Payload { msg: sealed, aad: &aad };
    String::from_utf8(key.cipher.decrypt(&XNonce::from(*nonce), payload).ok()?).ok()
}

/// The associated data of a place: each text with its length, so that no two places encode alike.
fn associated(key_id: &str, place: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for text in ["streamgate", key_id].iter().chain(place) {
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text.as_bytes());
    }
    bytes
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if text.len() != 2 * KEY_BYTES || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const BASE64: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const PLACE: [&str; 3] = ["ada", "openai", ""];

    fn keys(current: &str, previous: Option<&str>) -> MasterKeys {
        let key = |text| MasterKey::parse(text).unwrap();
        MasterKeys::new(key(current), previous.map(key))
    }

    #[test]
    fn a_master_key_is_32_bytes_in_either_form() {
        assert_eq!(MasterKey::parse(HEX).unwrap().id, MasterKey::parse(BASE64).unwrap().id);
        for wrong in ["", "secret", &HEX[1..], &format!("{HEX}00"), &HEX.replace('f', "g"), "AAEC"]
        {
            let error = MasterKey::parse(wrong).unwrap_err();
            assert!(error.contains("32 bytes") && !error.contains("secret"), "{error}");
        }
        assert!(!format!("{:?}", keys(HEX, None)).contains("0001"));
    }

    #[test]
    fn what_is_sealed_opens_at_its_place_only() {
        let keys = keys(HEX, None);
        let sealed = keys.seal("sk-Žluťoučký", &PLACE, [7; NONCE_BYTES]);
        assert!(keys.is_current(&sealed.key_id));
        assert_eq!(keys.open(&sealed, &PLACE).unwrap(), "sk-Žluťoučký");
        for place in [
            ["bob", "openai", ""],
            ["ada", "openaj", ""],
            ["ada", "openai", "https://x.example"],
            ["adao", "penai", ""],
            ["ada", "", "openai"],
        ] {
            assert_eq!(keys.open(&sealed, &place).unwrap_err().reason, Reason::SealBroken);
        }
    }

    #[test]
    fn a_nonce_makes_another_text() {
        let keys = keys(HEX, None);
        let of = |nonce| keys.seal("secret", &PLACE, [nonce; NONCE_BYTES]).text;
        assert_ne!(of(1), of(2));
        assert!(!of(1).contains("secret"));
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let keys = keys(HEX, None);
        let sealed = keys.seal("secret", &PLACE, [7; NONCE_BYTES]);
        let bytes = Base64::decode_vec(&sealed.text).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let changed = Sealed { text: Base64::encode_string(&changed), ..sealed.clone() };
            assert!(keys.open(&changed, &PLACE).is_err(), "byte {at}");
        }
        for text in ["", "AAAA", "not base64", &sealed.text[..40]] {
            let cut = Sealed { text: text.into(), ..sealed.clone() };
            assert!(keys.open(&cut, &PLACE).is_err(), "{text}");
        }
    }

    #[test]
    fn the_previous_key_still_opens_and_no_longer_seals() {
        let other = HEX.replace("00", "ff");
        let old = keys(HEX, None).seal("secret", &PLACE, [7; NONCE_BYTES]);
        let rotating = keys(&other, Some(HEX));
        assert_eq!(rotating.open(&old, &PLACE).unwrap(), "secret");
        assert!(!rotating.is_current(&old.key_id));
        let new = rotating.seal("secret", &PLACE, [8; NONCE_BYTES]);
        let failure = keys(HEX, None).open(&new, &PLACE).unwrap_err();
        assert!(failure.message().contains(&new.key_id), "{failure}");
        // Naming another key does not help.
        let renamed = Sealed { key_id: old.key_id, ..new };
        assert!(rotating.open(&renamed, &PLACE).is_err());
    }

    /// What was sealed by a released version opens for ever.
    #[test]
    fn a_sealed_text_of_old() {
        let sealed = keys(HEX, None).seal("secret", &PLACE, [7; NONCE_BYTES]);
        let expected = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHldo4qjsdkNEialgJc3blNcpd+xtnvQ==";
        assert_eq!(sealed.text, expected);
    }
}
