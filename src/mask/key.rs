//! The masks' key: what is made of it is the same everywhere that it is the same.

use hmac::{Hmac, Mac as _};
use secrecy::zeroize::{Zeroize as _, Zeroizing};
use secrecy::{ExposeSecret as _, SecretBox};
use sha2::Sha256;

use super::cmac::Cmac;
use crate::error::{Error, Kind, Result};

/// How many bytes a key has at least.
pub const SHORTEST: usize = 32;

/// A key of random bytes has more different ones than this. `aaaa...` and `0000...` have not.
const FEWEST_DIFFERENT: usize = 8;

/// What keys of ours are extracted with (RFC 5869, the salt). Another number would change every masked value.
const SALT: &[u8] = b"envsyncd masks, version 1";

/// The masks' key. Every kind has a key of its own that is derived from it.
pub struct Key(SecretBox<[u8; 32]>);

impl Key {
    /// From a secret of 32 bytes or more.
    pub fn new(secret: &[u8]) -> Result<Self> {
        let hint = "make one with `head -c 32 /dev/urandom | base64`";
        if secret.len() < SHORTEST {
            let why = format!(
                "the masks' key has {} bytes, and {SHORTEST} are needed",
                secret.len()
            );
            return Err(Error::new(Kind::Config, why).hint(hint));
        }
        let mut seen = [false; 256];
        for byte in secret {
            seen[usize::from(*byte)] = true;
        }
        if seen.iter().filter(|seen| **seen).count() < FEWEST_DIFFERENT {
            let why = "the masks' key is the same few bytes over and over";
            return Err(Error::new(Kind::Config, why).hint(hint));
        }
        let mut extracted = hmac(SALT, &[secret]);
        let key = Self(SecretBox::new(Box::new(extracted)));
        extracted.zeroize();
        Ok(key)
    }

    /// What tells one key from another in records and manifests, and tells nothing of the key.
    pub fn fingerprint(&self) -> String {
        let mut digits = String::new();
        for byte in &self.derive("fingerprint", "")[..8] {
            digits.push_str(&format!("{byte:02x}"));
        }
        digits
    }

    /// The function of one kind. `options` has those that make it another one.
    pub(super) fn prf(&self, kind: &str, options: &str) -> Prf {
        Prf(Cmac::new(&self.derive(kind, options)))
    }

    /// Thirty-two bytes for one kind.
    pub(super) fn derive(&self, kind: &str, options: &str) -> Zeroizing<[u8; 32]> {
        // RFC 5869's first block. The zero keeps a kind's end from being an option's beginning.
        let parts = [kind.as_bytes(), &[0], options.as_bytes(), &[1]];
        Zeroizing::new(hmac(self.0.expose_secret(), &parts))
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({})", self.fingerprint())
    }
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// A keyed function from values to what looks random (CMAC with AES-256, made one-way).
#[derive(Clone)]
pub(super) struct Prf(Cmac);

impl Prf {
    /// Of a value.
    pub(super) fn of(&self, value: &[u8]) -> Seed {
        Seed(self.0.one_way(value))
    }
}

/// Sixteen bytes that only who has the key can make of a value.
#[derive(Clone, Copy)]
pub(super) struct Seed(pub(super) [u8; 16]);

impl Seed {
    /// One of two numbers.
    pub(super) fn number(&self, at: usize) -> u64 {
        let bytes = &self.0[at * 8..at * 8 + 8];
        u64::from_be_bytes(bytes.try_into().expect("eight bytes"))
    }

    /// One of two numbers, brought below `limit`.
    pub(super) fn below(&self, at: usize, limit: usize) -> usize {
        reduce(self.number(at), limit as u64) as usize
    }

    /// As many numbers as are wanted.
    pub(super) fn stream(&self) -> Stream {
        Stream([0, 1].map(|at| self.number(at)))
    }
}

/// A number of 64 bits brought below `limit`, without the bias of a remainder that would matter.
pub(super) fn reduce(number: u64, limit: u64) -> u64 {
    ((u128::from(number) * u128::from(limit)) >> 64) as u64
}

/// Numbers out of a seed (xoroshiro128++). The seed is secret already, so that they need not be hard to foretell.
pub(super) struct Stream([u64; 2]);

impl Stream {
    pub(super) fn next(&mut self) -> u64 {
        let [first, second] = self.0;
        let made = first
            .wrapping_add(second)
            .rotate_left(17)
            .wrapping_add(first);
        let mixed = first ^ second;
        self.0 = [
            first.rotate_left(49) ^ mixed ^ (mixed << 21),
            mixed.rotate_left(28),
        ];
        made
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        reduce(self.next(), limit as u64) as usize
    }

    /// A digit as ASCII.
    pub(super) fn digit(&mut self) -> u8 {
        b'0' + self.below(10) as u8
    }
}

/// The key of tests, and of the examples in the documentation.
#[cfg(test)]
pub(super) fn of_tests() -> Key {
    Key::new(b"the key of the documentation's examples").expect("long enough")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_key_is_refused_and_never_shown() {
        let error = Key::new(b"swordfish").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the masks' key has 9 bytes, and 32 are needed; make one with `head -c 32 /dev/urandom | base64`"
        );
        let error = Key::new(&[b'0'; 64]).unwrap_err().to_string();
        assert!(error.contains("over and over"), "{error}");
        assert!(Key::new(&[1; 31]).is_err());
        let shown = format!("{:?}", of_tests());
        assert!(!shown.contains("documentation"), "{shown}");
    }

    #[test]
    fn a_fingerprint_tells_keys_apart_and_stays() {
        let other = Key::new(b"another key, which is long enough, too").unwrap();
        assert_ne!(of_tests().fingerprint(), other.fingerprint());
        assert_eq!(of_tests().fingerprint(), "483dc7ea4e3b0ab5");
    }

    #[test]
    fn each_kind_and_its_options_have_keys_of_their_own() {
        let key = of_tests();
        assert_ne!(key.derive("city", "en"), key.derive("city", "de"));
        assert_ne!(key.derive("city", "en"), key.derive("cityen", ""));
        assert_eq!(key.derive("city", "en"), of_tests().derive("city", "en"));
    }

    /// RFC 4231, test case 2, and RFC 5869's third case, which has neither salt nor info.
    #[test]
    fn keys_are_derived_by_hmac_with_sha_256() {
        let made = hmac(b"Jefe", &[b"what do ya want ", b"for nothing?"]);
        assert_eq!(made[..4], [0x5b, 0xdc, 0xc1, 0x46]);
        let extracted = hmac(&[0; 32], &[&[0x0b; 22]]);
        assert_eq!(extracted[..4], [0x19, 0xef, 0x24, 0xa3]);
    }

    #[test]
    fn numbers_are_below_their_limit() {
        assert_eq!(reduce(u64::MAX, 10), 9);
        assert_eq!(reduce(0, 10), 0);
        let mut stream = of_tests().prf("test", "").of(b"x").stream();
        let mut seen = [0_u32; 10];
        (0..10_000).for_each(|_| seen[stream.below(10)] += 1);
        assert!(
            seen.iter().all(|count| (800..1200).contains(count)),
            "{seen:?}"
        );
    }
}
