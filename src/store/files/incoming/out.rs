//! A directory of the new tree. It gets its owner, permissions and time when nobody writes into it any more.

use std::ffi::CString;
use std::sync::{Arc, OnceLock};

use super::metadata::Metadata;
use super::recycle::{Recycled, reuse};
use crate::error::{Error, Kind, Result};
use crate::store::files::connection::directory::Directory;
use crate::store::files::connection::stat::Stat;
use crate::store::files::rows::warnings::Warnings;
use crate::sync::Mutex;

/// What all directories of a new tree share.
pub(in crate::store::files) struct Shared {
    /// Whether they get the owners of those that they are made after.
    pub(in crate::store::files) keeps_owners: bool,
    /// What is told at the end.
    pub(in crate::store::files) warnings: Arc<Warnings>,
    /// The first that failed.
    failure: Mutex<Option<Error>>,
}

impl Shared {
    /// Of a new tree.
    pub(in crate::store::files) fn new(keeps_owners: bool, warnings: Arc<Warnings>) -> Self {
        Self {
            keeps_owners,
            warnings,
            failure: Mutex::new(None),
        }
    }

    /// Notes a failure, unless there was one.
    pub(in crate::store::files) fn fail(&self, error: Error) {
        self.failure.lock().get_or_insert(error);
    }

    /// Whether something failed.
    pub(in crate::store::files) fn has_failed(&self) -> bool {
        self.failure.lock().is_some()
    }

    /// The failure, if there was one.
    pub(in crate::store::files) fn outcome(&self) -> Result<()> {
        self.failure.lock().take().map_or(Ok(()), Err)
    }
}

/// A directory of the new tree; it may not be made before it has something in it.
pub(in crate::store::files) struct Out {
    above: Option<(Arc<Out>, CString)>,
    path: Box<[u8]>,
    made: OnceLock<Arc<Directory>>,
    /// What it has already, if it is one of a tree that is used again.
    recycled: OnceLock<Arc<Recycled>>,
    like: OnceLock<(Stat, Arc<Directory>)>,
    shared: Arc<Shared>,
}

impl Out {
    /// The tree's own directory, which is there. `recycles`: it is one that is used again.
    pub(in crate::store::files) fn root(
        directory: Arc<Directory>,
        recycles: bool,
        shared: &Arc<Shared>,
    ) -> Self {
        let recycled = OnceLock::new();
        if recycles {
            let _ = recycled.set(Arc::default());
        }
        Self {
            above: None,
            path: Box::default(),
            made: OnceLock::from(directory),
            recycled,
            like: OnceLock::new(),
            shared: Arc::clone(shared),
        }
    }

    /// One in this one.
    pub(in crate::store::files) fn inner(self: &Arc<Self>, name: CString, path: &[u8]) -> Self {
        Self {
            above: Some((Arc::clone(self), name)),
            path: path.into(),
            made: OnceLock::new(),
            recycled: OnceLock::new(),
            like: OnceLock::new(),
            shared: Arc::clone(&self.shared),
        }
    }

    /// Has it made after another directory, of which this is known.
    pub(in crate::store::files) fn is_like(&self, found: Stat, directory: &Arc<Directory>) {
        // The first one said is the source's, where it has one.
        let _ = self.like.set((found, Arc::clone(directory)));
    }

    /// It, made if it was not. Called by the one thread that walks.
    pub(in crate::store::files) fn made(&self) -> Result<&Arc<Directory>> {
        if let (None, Some((above, name))) = (self.made.get(), &self.above) {
            let parent = above.made()?;
            let reused = match above.recycled() {
                Some(_) => reuse(parent, name, &self.path)?,
                None => None,
            };
            let directory = if let Some(reused) = reused {
                let _ = self.recycled.set(Arc::default());
                reused
            } else {
                let made = parent.make(name);
                made.map_err(|error| not_made(error, &self.path))?
            };
            let _ = self.made.set(Arc::new(directory));
        }
        let missing = || Error::new(Kind::Internal, "a directory was not made");
        self.made.get().ok_or_else(missing)
    }

    /// What it has already, if it is one of a tree that is used again, and was made.
    pub(super) fn recycled(&self) -> Option<&Arc<Recycled>> {
        self.recycled.get()
    }

    fn finish(&self) -> Result<()> {
        let (Some(made), Some((like, from))) = (self.made.get(), self.like.get()) else {
            return Ok(());
        };
        let metadata = Metadata {
            like,
            mode: like.mode,
            keeps_owner: self.shared.keeps_owners,
        };
        metadata.give(made, Some(from), &self.path, &self.shared.warnings)
    }
}

/// What has been made and is there already is a name that the file system takes for another one.
pub(in crate::store::files) fn not_made(error: rustix::io::Errno, path: &[u8]) -> Error {
    use crate::store::files::connection::told::{failed, told};
    if error != rustix::io::Errno::EXIST {
        return failed("cannot make", path, error);
    }
    let what = format!(
        "{} is there already: the target's file system takes it for another name of the source",
        told(path)
    );
    Error::new(Kind::Verify, what)
        .hint("names that differ in case or in the form of their letters are one there: leave one of them out with `exclude`")
}

impl Drop for Out {
    fn drop(&mut self) {
        if !self.shared.has_failed()
            && let Err(error) = self.finish()
        {
            self.shared.fail(error);
        }
    }
}
