//! The snapshots of an archive: which there are, which one is meant, whether one is whole, which go, and a copy of one.
//!
//! A snapshot is a folder with a manifest in it. What is wrong with it is found in this order: a format that is newer than
//! ours, an authentication that does not hold (where there is a key), a manifest that cannot be read or contradicts itself,
//! a manifest that is another snapshot's. Only a manifest that passes all of these is ever used.

mod choose;
mod collect;
mod fetch;
mod mark;
mod note;
mod pen;
mod prune;
mod read;
mod verify;

use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use tokio::sync::Mutex;

pub use self::choose::{Chosen, Which};
pub use self::mark::Mark;
pub use self::note::WriterNote;
pub use self::pen::Pen;
pub use self::prune::{Abandoned, Plan, Pruned};
pub use self::read::Watch;
pub use self::verify::{Problem, Report};
use super::bucket::Bucket;
use super::layout::{MAC, MANIFEST, Name, WRITER};
use super::mac::{Key, Wrong};
use super::manifest::{LONGEST as LONGEST_MANIFEST, Manifest, VERSION};
use crate::config::job::{Endpoint, StoreKind};
use crate::error::{Error, Kind, Result};
use crate::store::Lookup;

/// How many manifests are read at once: one of a terabyte has some 20 MB.
const AT_ONCE: usize = 8;

/// Bytes of `writer.json`, which has some hundred.
const LONGEST_NOTE: usize = 16 * 1024;

/// Bytes of `manifest.mac`, which has 65.
const LONGEST_MAC: usize = 1024;

/// An archive's snapshots. Cheap to clone.
#[derive(Clone)]
pub struct Snapshots {
    bucket: Bucket,
    key: Option<Key>,
    /// Held while a manifest of more than [`SMALL`] bytes is in memory: what is in it takes several times as much.
    large: Arc<Mutex<()>>,
}

/// Bytes of a manifest of which several may be read at once.
const SMALL: usize = 4 * 1024 * 1024;

/// The content of an archive.
#[derive(Debug)]
pub struct Listing {
    /// Newest first.
    pub snapshots: Vec<Snapshot>,
    /// Folders without a manifest: being written, or left by a run that died. Newest first.
    pub unfinished: Vec<Unfinished>,
}

/// A folder with a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its folder's name.
    pub name: Name,
    /// Whether its manifest can be used.
    pub state: State,
}

impl Snapshot {
    /// The moment that the data is of; `None`: its manifest cannot be used.
    fn taken_at(&self) -> Option<DateTime<Utc>> {
        match &self.state {
            State::Good(summary) => Some(summary.taken_at),
            State::Flawed(_) => None,
        }
    }
}

/// Whether a manifest can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant)] // nearly all are good
pub enum State {
    /// It can be used; whether all files are there and good is another question, see [`Snapshots::verify`].
    Good(Box<Summary>),
    /// It cannot.
    Flawed(Flaw),
}

/// A snapshot's manifest in brief.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The job, environment and store that it is of.
    pub series: Series,
    /// The run that made it, a UUID.
    pub run: String,
    /// The machine that made it.
    pub host: String,
    /// The envsyncd that made it.
    pub tool_version: String,
    /// The server's version.
    pub server_version: String,
    /// The moment that the data is of.
    pub taken_at: DateTime<Utc>,
    /// When it was complete.
    pub finished_at: DateTime<Utc>,
    /// How many parts.
    pub parts: usize,
    /// How many rows.
    pub rows: u64,
    /// Bytes of the rows, before compression.
    pub bytes: u64,
    /// Bytes as stored, without the manifest itself.
    pub size: u64,
    /// Those that its own push has stored: the others it shares with older snapshots.
    pub own_size: u64,
    /// What the files are encrypted with, if they are.
    pub encryption: Option<String>,
    /// Whether a key says that it is authentic; without a key nobody has looked.
    pub authentic: bool,
}

/// Snapshots that follow each other: of one job, one environment and one kind of store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// The job that makes them.
    pub job: String,
    /// The environment that their data is of.
    pub origin: String,
    /// The store.
    pub kind: StoreKind,
}

/// What is wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flaw {
    /// It cannot be read, or contradicts itself.
    Damaged(String),
    /// Its format has this version, and we do not know it.
    Newer(u32),
    /// There is a key, and the snapshot is not authenticated.
    MacMissing,
    /// It is not authentic: written or changed by somebody without the key.
    MacWrong,
    /// It is the manifest of this snapshot, put under another name.
    Misnamed(String),
}

/// A folder without a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// Its name.
    pub name: Name,
    /// Who writes or wrote it, if that can be read.
    pub writer: Option<WriterNote>,
    /// When its newest object was written, by the server's clock; `None`: it has none.
    pub newest: Option<DateTime<Utc>>,
    /// Bytes of its objects.
    pub size: u64,
}

/// A snapshot's folder, after its manifest was read.
enum Folder {
    Good(Box<Manifest>, Bytes),
    Flawed(Flaw),
    Unfinished,
}

impl Snapshots {
    /// The snapshots of an archive that is open already.
    pub fn new(bucket: Bucket, key: Option<Key>) -> Self {
        Self {
            bucket,
            key,
            large: Arc::default(),
        }
    }

    /// Opens an archive, with its key if it has one. Nothing is asked of a server yet.
    pub async fn open(endpoint: &Endpoint, lookup: &Lookup) -> Result<Self> {
        let key = match &endpoint.archive {
            Some(archive) => Key::of(archive, lookup).await?,
            None => None,
        };
        Ok(Self::new(Bucket::open(endpoint, lookup).await?, key))
    }

    /// For people: the URL, without anything secret.
    pub fn place(&self) -> &str {
        self.bucket.place()
    }

    /// Whether manifests are checked against a key.
    pub fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// All snapshots with what their manifests are worth, and what is not finished.
    pub async fn list(&self) -> Result<Listing> {
        let (mut snapshots, mut unfinished) = (Vec::new(), Vec::new());
        let mut looks = stream::iter(self.names().await?)
            .map(|name| async move { self.look(name).await })
            .buffered(AT_ONCE);
        while let Some(found) = looks.try_next().await? {
            match found {
                Ok(snapshot) => snapshots.push(snapshot),
                Err(Some(folder)) => unfinished.push(folder),
                // Somebody has pruned it meanwhile.
                Err(None) => {}
            }
        }
        // Names tell seconds apart, and what is newer within one stands in the manifests.
        snapshots.sort_by_key(|it| Reverse((it.name.at, it.taken_at())));
        Ok(Listing {
            snapshots,
            unfinished,
        })
    }

    /// The names of all folders that are snapshots' or may become one, newest first.
    async fn names(&self) -> Result<Vec<Name>> {
        let mut names: Vec<Name> = self
            .bucket
            .folders()
            .await?
            .iter()
            .filter_map(|folder| Name::parse(folder))
            .collect();
        names.sort_by(|a, b| b.cmp(a));
        names.dedup();
        Ok(names)
    }

    async fn look(&self, name: Name) -> Result<Result<Snapshot, Option<Unfinished>>> {
        let small = self.read_up_to(&name, SMALL).await?;
        let (folder, _alone) = if let Some(folder) = small {
            (folder, None)
        } else {
            let alone = self.large.lock().await;
            (self.read(&name).await?, Some(alone))
        };
        Ok(match folder {
            Folder::Good(manifest, _) => Ok(Snapshot {
                name,
                state: State::Good(Box::new(Summary::new(&manifest, self.has_key()))),
            }),
            Folder::Flawed(flaw) => Ok(Snapshot {
                name,
                state: State::Flawed(flaw),
            }),
            Folder::Unfinished => Err(self.unfinished(name).await?),
        })
    }

    async fn unfinished(&self, name: Name) -> Result<Option<Unfinished>> {
        let objects = self.bucket.list(&name.to_string()).await?;
        if objects.is_empty() {
            return Ok(None);
        }
        let path = format!("{name}/{WRITER}");
        let writer = match self.bucket.get(&path, LONGEST_NOTE).await {
            Ok(writer) => writer,
            // Nobody's whom we know.
            Err(error) if error.kind() == Kind::Verify => None,
            Err(error) => return Err(error),
        };
        let sizes = objects.iter().map(|object| object.size);
        Ok(Some(Unfinished {
            writer: writer.and_then(|json| WriterNote::parse(&json)),
            newest: objects.iter().map(|object| object.modified).max(),
            size: sizes.fold(0, u64::saturating_add),
            name,
        }))
    }

    /// Reads a folder's manifest and says what it is worth. A server that cannot be asked is an error, and no flaw.
    async fn read(&self, name: &Name) -> Result<Folder> {
        let folder = self.read_up_to(name, LONGEST_MANIFEST).await?;
        Ok(folder.unwrap_or_else(|| {
            Folder::Flawed(Flaw::Damaged(format!(
                "the manifest is damaged: it is longer than {LONGEST_MANIFEST} bytes"
            )))
        }))
    }

    /// The same; `None` if the manifest has more bytes than that.
    async fn read_up_to(&self, name: &Name, most: usize) -> Result<Option<Folder>> {
        let path = format!("{name}/{MANIFEST}");
        let json = match self.bucket.get(&path, most).await {
            Ok(Some(json)) => json,
            Ok(None) => return Ok(Some(Folder::Unfinished)),
            Err(error) if error.kind() == Kind::Verify => return Ok(None),
            Err(error) => return Err(error),
        };
        self.judged(name, json).await.map(Some)
    }

    /// Checks a manifest that was read.
    async fn judged(&self, name: &Name, json: Bytes) -> Result<Folder> {
        if let Some(version) = Manifest::version_of(&json).filter(|version| *version > VERSION) {
            return Ok(Folder::Flawed(Flaw::Newer(version)));
        }
        if let Some(key) = &self.key {
            let path = format!("{name}/{MAC}");
            let mac = match self.bucket.get(&path, LONGEST_MAC).await {
                Err(error) if error.kind() == Kind::Verify => {
                    return Ok(Folder::Flawed(Flaw::MacWrong));
                }
                mac => mac?,
            };
            match key.check(&json, mac.as_deref()) {
                Ok(()) => {}
                Err(Wrong::Other) => return Ok(Folder::Flawed(Flaw::MacWrong)),
                // Who prunes takes the manifest first: between our two questions both may have gone.
                Err(Wrong::Missing) => {
                    let path = format!("{name}/{MANIFEST}");
                    return Ok(if self.bucket.has(&path).await? {
                        Folder::Flawed(Flaw::MacMissing)
                    } else {
                        Folder::Unfinished
                    });
                }
            }
        }
        Ok(match Manifest::parse(&json) {
            Err(error) => Folder::Flawed(Flaw::Damaged(error.to_string())),
            Ok(manifest) if manifest.snapshot != name.to_string() => {
                Folder::Flawed(Flaw::Misnamed(manifest.snapshot))
            }
            Ok(manifest) => Folder::Good(Box::new(manifest), json),
        })
    }
}

impl Series {
    /// A manifest's.
    pub fn of(manifest: &Manifest) -> Self {
        Self {
            job: manifest.job.clone(),
            origin: manifest.origin.clone(),
            kind: manifest.kind,
        }
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {})", self.job, self.origin, self.kind)
    }
}

impl Summary {
    /// The summary of a manifest.
    pub fn new(manifest: &Manifest, authentic: bool) -> Self {
        Self {
            series: Series::of(manifest),
            run: manifest.run.clone(),
            host: manifest.host.clone(),
            tool_version: manifest.tool_version.clone(),
            server_version: manifest.server_version.clone(),
            taken_at: manifest.taken_at,
            finished_at: manifest.finished_at,
            parts: manifest.parts.len(),
            rows: manifest.rows(),
            bytes: (manifest.parts.iter()).fold(0, |sum, part| sum.saturating_add(part.bytes)),
            size: manifest.size(),
            own_size: manifest.own_size(),
            encryption: manifest.encryption.clone(),
            authentic,
        }
    }
}

impl Flaw {
    /// One word for tables and `--json`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Damaged(_) => "damaged",
            Self::Newer(_) => "newer",
            Self::MacMissing | Self::MacWrong => "not authentic",
            Self::Misnamed(_) => "misnamed",
        }
    }

    /// As an error of whoever wanted this snapshot.
    pub fn error(&self, name: &Name) -> Error {
        let hint = match self {
            Self::Damaged(_) => "take another snapshot, and remove this one by hand",
            Self::Newer(_) => {
                "upgrade envsyncd on this host, at least to the version that made the snapshot"
            }
            Self::MacMissing => {
                "it was written without a key, or its manifest.mac was removed: find out by whom before you use it"
            }
            Self::MacWrong => {
                "see that both sides have the same key; if they have, somebody has changed the snapshot"
            }
            Self::Misnamed(_) => "somebody has moved or copied it: remove it by hand",
        };
        Error::new(Kind::Verify, format!("snapshot {name}: {self}")).hint(hint)
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged(why) => f.write_str(why),
            Self::Newer(version) => write!(
                f,
                "its format is {version}, and this envsyncd reads up to {VERSION}"
            ),
            Self::MacMissing => f.write_str("it is not authenticated, and there is a key"),
            Self::MacWrong => f.write_str(
                "it is not authentic: its manifest does not belong to manifest.mac and the key",
            ),
            Self::Misnamed(other) => write!(f, "its manifest is that of {other}"),
        }
    }
}
