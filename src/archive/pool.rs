//! What snapshots of a job share: parts that have not changed since the newest snapshot are not stored again. They lie in the
//! job's pool, `pool/JOB/ID/FILE`, in files that are written once, each under a name that says nothing of what is in it; the
//! manifests that refer to them say what that is, by digests.
//!
//! A digest is over the part's stream as it is before compression, or over what is known of the part without reading it, and
//! over whom it is encrypted for. Where there is a key, it is a keyed one. What is encrypted without a key is not shared: plain
//! digests would let everybody who sees a manifest try what is in it.

use std::collections::HashMap;

use super::Secrets;
use super::bucket::{Bucket, Object};
use super::layout;
use super::manifest::{Manifest, Stored};
use crate::error::Result;
use crate::sync::Mutex;

/// What a digest is of.
#[derive(Debug, Clone, Copy)]
pub(super) enum Of {
    /// A part's content.
    Content,
    /// What is known of a part without reading it.
    Likeness,
}

/// Makes digests.
#[derive(Clone)]
pub(super) struct Digests {
    key: Option<[u8; 32]>,
    recipients: [u8; 32],
}

impl Digests {
    /// For an archive with these secrets; `None`: nothing is shared there.
    pub(super) fn of(secrets: &Secrets) -> Option<Self> {
        let (key, recipients) = (&secrets.key, &secrets.recipients);
        if key.is_none() && recipients.is_some() {
            return None;
        }
        let recipients = recipients.as_ref();
        Some(Self {
            key: key.as_ref().map(super::mac::Key::for_pool),
            recipients: recipients.map_or([0; 32], super::crypt::Recipients::digest),
        })
    }

    /// The digest of what has this hash.
    pub(super) fn digest(&self, of: Of, hash: &[u8; 32]) -> String {
        let mut hasher = match &self.key {
            Some(key) => blake3::Hasher::new_keyed(key),
            None => blake3::Hasher::new_derive_key("envsyncd 2026-11-29 archive pool, no key v1"),
        };
        let of = match of {
            Of::Content => b'c',
            Of::Likeness => b'l',
        };
        hasher.update(&[of]).update(&self.recipients).update(hash);
        hasher.finalize().to_hex().to_string()
    }
}

/// What there is already when a push begins.
#[derive(Default)]
pub(super) struct Known(Mutex<Parts>);

#[derive(Default)]
struct Parts {
    all: Vec<Option<Stored>>,
    /// The places of parts by their contents, and by what was known of them.
    contents: HashMap<String, usize>,
    likenesses: HashMap<String, usize>,
}

impl Known {
    /// What a snapshot has in its job's pool, as far as it is there.
    pub(super) async fn of(manifest: Manifest, bucket: &Bucket) -> Result<Self> {
        let there = bucket.list(&layout::pool(&manifest.job)).await?;
        Ok(Self::among(manifest, there))
    }

    fn among(manifest: Manifest, there: Vec<Object>) -> Self {
        let there: HashMap<String, u64> = (there.into_iter())
            .map(|object| (object.path, object.size))
            .collect();
        let mut parts = Parts::default();
        for stored in manifest.parts {
            let is_there = |file: &super::manifest::File| {
                file.pool && there.get(&file.path) == Some(&file.size)
            };
            if !stored.files.iter().all(is_there) {
                continue;
            }
            let place = parts.all.len();
            if let Some(content) = &stored.content {
                parts.contents.insert(content.clone(), place);
            }
            if let Some(likeness) = &stored.likeness {
                parts.likenesses.insert(likeness.clone(), place);
            }
            parts.all.push(Some(stored));
        }
        Self(Mutex::new(parts))
    }

    /// Whether there is anything.
    pub(super) fn is_any(&self) -> bool {
        !self.0.lock().all.is_empty()
    }

    /// Takes the part with this digest, once.
    pub(super) fn take(&self, of: Of, digest: &str) -> Option<Stored> {
        let mut parts = self.0.lock();
        let places = match of {
            Of::Content => &parts.contents,
            Of::Likeness => &parts.likenesses,
        };
        let place = *places.get(digest)?;
        parts.all[place].take()
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;
    use crate::archive::crypt::Recipients;
    use crate::archive::mac::Key;

    fn secrets(key: Option<&str>, recipients: &[&str]) -> Secrets {
        let recipients: Vec<String> = recipients.iter().map(|&one| one.to_owned()).collect();
        Secrets {
            key: key.map(|key| Key::new(&SecretString::from(key)).unwrap()),
            recipients: Recipients::parse(&recipients).unwrap(),
            identity: None,
        }
    }

    #[test]
    fn a_digest_depends_on_all_that_makes_a_stored_part_another_one() {
        let one = age::x25519::Identity::generate().to_public().to_string();
        let two = age::x25519::Identity::generate().to_public().to_string();
        let digest = |key, recipients: &[&str], of| {
            let digests = Digests::of(&secrets(key, recipients))?;
            Some(digests.digest(of, &[7; 32]))
        };
        let key = Some("0123456789abcdef");
        let all = [
            digest(None, &[], Of::Content),
            digest(None, &[], Of::Likeness),
            digest(key, &[], Of::Content),
            digest(Some("0123456789abcdeF"), &[], Of::Content),
            digest(key, &[&one], Of::Content),
            digest(key, &[&two], Of::Content),
            digest(key, &[&one, &two], Of::Content),
        ];
        let different: std::collections::HashSet<_> = all.iter().flatten().collect();
        assert_eq!(different.len(), all.len());
        assert_eq!(digest(key, &[&two, &one], Of::Content), all[6]);
        assert_eq!(digest(None, &[&one], Of::Content), None);
    }
}
