//! What a survey found of a tree.

use std::ffi::CString;
use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use rustix::io::Errno;
use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

use super::stored::Stored;
use crate::config::job::Task;
use crate::error::Result;
use crate::store::files::connection::directory::Directory;
use crate::store::files::connection::stat::{Moment, Stat};
use crate::store::files::connection::told::At as _;
use crate::store::files::rows::decision::Likeness;
use crate::store::files::rows::listing::{Listing, Writer, order};
use crate::store::files::rows::walk::Root;
use crate::store::files::rows::warnings::Warnings;
use crate::store::files::rows::work::Work;
use crate::store::files::schema::filter::Filter;
use crate::store::{Catalogue, Definitions, Part};
use crate::sync::Mutex;

/// The name of the part with the list of all that is in the tree.
pub(in crate::store::files) const LIST: &str = "list";

/// A tree on another machine, or in something that is no file system: what a tree here, into which it is copied, asks of it.
#[async_trait]
pub(in crate::store::files) trait Fetch: Send + Sync {
    /// What is in it now.
    async fn list(&self) -> Result<Listing>;
    /// Copies the files and links whose action is [`Action::Copy`] into a tree in which their directories are already; returns
    /// how many have arrived. Those that have vanished meanwhile are told by a warning.
    ///
    /// [`Action::Copy`]: crate::store::files::rows::work::Action::Copy
    async fn fetch(&self, fetching: Fetching) -> Result<u64>;
    /// What compares its files with those of a tree here; `None`: they are compared as files are.
    fn likeness(&self, _by_content: bool, _stop: &CancellationToken) -> Option<Arc<dyn Likeness>> {
        None
    }
    /// Whether nobody knows the permissions and owners of its directories: see [`Stat::is_vague`].
    fn is_vague(&self) -> bool {
        false
    }
    /// Whether it finds out by itself which files have another content: see [`Fetch::differing`].
    fn compares_contents(&self) -> bool {
        false
    }
    /// Which files of a list have another content than those of a tree here, in the order of the walk.
    async fn differing(
        &self,
        _list: &Work,
        _live: &Arc<Directory>,
        _warnings: &Warnings,
    ) -> Result<Listing> {
        Writer::new().finish()
    }
    /// The bucket that it is in, if it is in one.
    #[cfg(feature = "s3")]
    fn bucket(&self) -> Option<&Arc<crate::s3::S3>> {
        None
    }
    /// Refuses a copy whose files have another content than those of the tree, unless they were changed since the run began.
    async fn compare(
        &self,
        copy: &Arc<Directory>,
        since: Moment,
        warnings: &Warnings,
    ) -> Result<()>;
    /// The time there.
    async fn now(&self) -> Result<Moment> {
        Ok(clock())
    }
    /// Devices and inodes of its directory and of all those above it, if it is on this machine under another name.
    fn chain(&self) -> &[(u64, u64)] {
        &[]
    }
}

/// The time here.
pub(in crate::store::files) fn clock() -> Moment {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default();
    (now.as_secs() as i64, now.subsec_nanos())
}

/// Files' times are those of the clock's last tick, of which there are a hundred a second or more.
const TICKS: u32 = 20_000_000;

/// A time here before which everything was what it is now, unless its time of the last change says otherwise.
pub(in crate::store::files) fn some_ticks_ago() -> Moment {
    let (seconds, nanoseconds) = clock();
    // What is too near to a whole second is a second earlier.
    match nanoseconds.checked_sub(TICKS) {
        Some(nanoseconds) => (seconds, nanoseconds),
        None => (seconds - 1, nanoseconds + 1_000_000_000 - TICKS),
    }
}

/// Is told of a path, and of files and bytes that have come from there on.
pub(in crate::store::files) type Told = dyn Fn(&[u8], u64, u64) + Send + Sync;

/// What is fetched.
pub(in crate::store::files) struct Fetching {
    /// What is to be done.
    pub(in crate::store::files) work: Work,
    /// The tree that it comes into.
    pub(in crate::store::files) into: Arc<Directory>,
    /// Whether owners are kept.
    pub(in crate::store::files) keeps_owners: bool,
    /// Is told of progress.
    pub(in crate::store::files) told: Arc<Told>,
    /// What is told at the end.
    pub(in crate::store::files) warnings: Arc<Warnings>,
    /// Whoever writes into the tree has it: until it is free, nothing is removed.
    pub(in crate::store::files) busy: Arc<OwnedMutexGuard<()>>,
}

/// Where a tree is.
#[derive(Clone)]
pub(in crate::store::files) enum At {
    /// On this machine.
    Here(Arc<Directory>),
    /// Elsewhere.
    Elsewhere(Arc<dyn Fetch>),
}

/// Hashes of what is known of each part without reading it, by its number; `None`: nothing can be said, or it was found
/// otherwise when it was read.
pub(in crate::store::files) type Likenesses = Arc<Mutex<Vec<Option<[u8; 32]>>>>;

/// A tree that was surveyed.
pub(in crate::store::files) struct Tree {
    /// Its name, as people know it.
    pub(in crate::store::files) told: String,
    /// Where it is.
    pub(in crate::store::files) at: At,
    /// What is in it.
    pub(in crate::store::files) listing: Listing,
    /// Which of its files are copied.
    pub(in crate::store::files) filter: Arc<Filter>,
    /// Where each part begins, by its number: the path of its first file, in the order in which trees are walked.
    pub(in crate::store::files) starts: Vec<Box<[u8]>>,
    /// What is known of each part without reading it, where it is packed for an archive.
    pub(in crate::store::files) likenesses: Likenesses,
    /// Files that are copied, links included.
    pub(in crate::store::files) files: u64,
    /// What is changed later may be copied or not.
    pub(in crate::store::files) since: Moment,
}

impl Tree {
    /// What is walked: the tree itself where files have to be read, else what was seen of it.
    pub(in crate::store::files) fn root(&self, is_read: bool) -> Root {
        match &self.at {
            At::Here(directory) if is_read => Root::Directory(Arc::clone(directory)),
            _ => Root::Listing(self.listing.clone()),
        }
    }

    /// Its directory, if it is on this machine.
    pub(in crate::store::files) fn directory(&self) -> Option<&Arc<Directory>> {
        match &self.at {
            At::Here(directory) => Some(directory),
            At::Elsewhere(_) => None,
        }
    }

    /// The bucket that it is in, if it is in one.
    #[cfg(feature = "s3")]
    pub(in crate::store::files) fn bucket(&self) -> Option<&Arc<crate::s3::S3>> {
        match &self.at {
            At::Here(_) => None,
            At::Elsewhere(fetch) => fetch.bucket(),
        }
    }

    /// The number of the part that a path is in.
    pub(in crate::store::files) fn part_of(&self, path: &[u8]) -> usize {
        part_of(&self.starts, path)
    }
}

/// The number of the part that a path is in, of parts that begin so.
pub(in crate::store::files) fn part_of(starts: &[Box<[u8]>], path: &[u8]) -> usize {
    let begun = starts.partition_point(|start| order(start, path).is_le());
    begun.saturating_sub(1)
}

/// What is known of a file in a directory, or below it, now; `None`: it is gone.
pub(in crate::store::files) fn look(directory: &Directory, path: &[u8]) -> Result<Option<Stat>> {
    let mut at = None;
    let mut names = path.split(|byte| *byte == b'/').peekable();
    while let Some(name) = names.next() {
        let name = CString::new(name).unwrap_or_default();
        let directory = at.as_ref().unwrap_or(directory);
        if names.peek().is_none() {
            return directory.find(&name).at("cannot look at", path);
        }
        at = match directory.open(&name) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            opened => Some(opened.at("cannot open directory", path)?),
        };
    }
    Ok(None)
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (told, files) = (&self.told, self.files);
        write!(f, "Tree({told}, {files} files)")
    }
}

impl Definitions for Tree {
    fn to_json(&self) -> Result<Vec<u8>> {
        let stored = Stored {
            told: self.told.clone(),
            files: self.files,
            starts: self.starts.clone(),
        };
        stored.to_json()
    }

    fn likeness(&self, part: &Part) -> Option<[u8; 32]> {
        let likeness = self.likenesses.lock().get(part.id).copied().flatten();
        likeness.filter(|_| part.slice.is_some())
    }

    fn is_for_people(&self, part: &Part) -> bool {
        part.name != LIST
    }

    fn catalogue(&self, stored: Catalogue, _task: &Task) -> Result<Catalogue> {
        Ok(stored)
    }
}
