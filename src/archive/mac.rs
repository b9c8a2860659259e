//! A manifest's authentication: who has the key knows that nobody without it wrote or changed the snapshot, since the
//! manifest has its name and the hashes of all its files.

use secrecy::{ExposeSecret, SecretString};

use crate::config::archive::Archive;
use crate::error::{Error, Kind, Result};
use crate::store::Lookup;

/// Ties the derived key to this one use of it (BLAKE3's specification, section 2.3: `derive_key`). Never to be changed.
const CONTEXT: &str = "envsyncd 2026-11-21 archive manifest authentication v1";

/// The same for the digests of what lies in a pool.
const POOL_CONTEXT: &str = "envsyncd 2026-11-29 archive pool digests v1";

/// Less could be guessed by trying: a key is hashed once, and quickly.
const SHORTEST: usize = 8;

/// The key that manifests are authenticated with. Its `Debug` shows nothing.
#[derive(Clone)]
pub struct Key([u8; 32]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

/// What is wrong with a manifest's authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// There is none, and there should be.
    Missing,
    /// It is that of another manifest or another key.
    Other,
}

impl Key {
    /// Fetches an archive's, if it has one.
    pub async fn of(archive: &Archive, lookup: &Lookup) -> Result<Option<Self>> {
        let Some(secret) = &archive.key else {
            return Ok(None);
        };
        let secret = secret.resolve("the archive's `key`", &**lookup);
        Self::new(&secret.await?).map(Some)
    }

    /// From the secret that both sides have.
    pub fn new(secret: &SecretString) -> Result<Self> {
        let secret = secret.expose_secret();
        if secret.len() < SHORTEST {
            return Err(Error::new(
                Kind::Config,
                format!("the archive's `key` is shorter than {SHORTEST} characters"),
            )
            .hint("make one with `openssl rand -hex 32`, and give it to both sides"));
        }
        Ok(Self(blake3::derive_key(CONTEXT, secret.as_bytes())))
    }

    /// The key of the digests of what lies in a pool: who has not ours cannot tell from them what that is.
    pub(super) fn for_pool(&self) -> [u8; 32] {
        blake3::derive_key(POOL_CONTEXT, &self.0)
    }

    /// What is written into `manifest.mac`: 64 hexadecimal digits and a line feed.
    pub fn mac(&self, manifest: &[u8]) -> String {
        format!("{}\n", blake3::keyed_hash(&self.0, manifest).to_hex())
    }

    /// Holds a manifest as it was read against what was read of its `manifest.mac`.
    pub fn check(&self, manifest: &[u8], mac: Option<&[u8]>) -> Result<(), Wrong> {
        let Some(mac) = mac else {
            return Err(Wrong::Missing);
        };
        let given = blake3::Hash::from_hex(mac.trim_ascii()).map_err(|_| Wrong::Other)?;
        // A `Hash` is compared in constant time.
        if given == blake3::keyed_hash(&self.0, manifest) {
            Ok(())
        } else {
            Err(Wrong::Other)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(secret: &str) -> Key {
        Key::new(&SecretString::from(secret)).unwrap()
    }

    #[test]
    fn what_was_authenticated_is_authentic_and_nothing_else_is() {
        let key_ = key("0123456789abcdef");
        let mac = key_.mac(b"manifest");
        assert_eq!(mac.len(), 65);
        let check = |key: &Key, manifest: &[u8], mac: Option<&str>| {
            key.check(manifest, mac.map(str::as_bytes))
        };
        assert_eq!(check(&key_, b"manifest", Some(&mac)), Ok(()));
        assert_eq!(check(&key_, b"manifest", Some(mac.trim())), Ok(()));
        assert_eq!(check(&key_, b"manifesT", Some(&mac)), Err(Wrong::Other));
        assert_eq!(
            check(&key_, b"manifest", Some(&mac[1..])),
            Err(Wrong::Other)
        );
        assert_eq!(check(&key_, b"manifest", Some("")), Err(Wrong::Other));
        assert_eq!(check(&key_, b"manifest", None), Err(Wrong::Missing));
        let other = key("0123456789abcdeF");
        assert_eq!(check(&other, b"manifest", Some(&mac)), Err(Wrong::Other));
        // Without the derivation, a plain keyed hash or a plain hash would do.
        assert_ne!(mac.trim(), blake3::hash(b"manifest").to_hex().as_str());
    }

    #[test]
    fn a_key_that_could_be_guessed_is_refused_and_no_key_is_shown() {
        let error = Key::new(&SecretString::from("hunter2")).unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert_eq!(format!("{:?}", key("0123456789abcdef")), "Key");
    }
}
