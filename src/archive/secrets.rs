//! The keys of an archive.

use super::crypt::{Identity, Recipients};
use super::mac::Key;
use crate::config::archive::Archive;
use crate::error::Result;
use crate::store::Lookup;

/// What makes a snapshot authentic, and who can read it.
#[derive(Clone, Default)]
pub struct Secrets {
    /// Authenticates manifests.
    pub key: Option<Key>,
    /// The recipients that files are encrypted for.
    pub recipients: Option<Recipients>,
    /// The identity that files are decrypted with.
    pub identity: Option<Identity>,
}

impl Secrets {
    /// Fetches an archive's.
    pub async fn of(archive: &Archive, lookup: &Lookup) -> Result<Self> {
        let identity = match &archive.identity {
            Some(secret) => {
                let secret = secret.resolve("the archive's `identity`", &**lookup);
                Some(Identity::parse(&secret.await?)?)
            }
            None => None,
        };
        Ok(Self {
            key: Key::of(archive, lookup).await?,
            recipients: Recipients::parse(&archive.recipients)?,
            identity,
        })
    }
}
