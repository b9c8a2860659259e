//! What a survey found of a tree.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::filter::Filter;
use crate::config::job::Task;
use crate::error::{Error, Kind, Result};
use crate::store::files::connection::directory::Directory;
use crate::store::files::connection::stat::Moment;
use crate::store::{Catalogue, Definitions};

/// A tree that was surveyed.
pub(in crate::store::files) struct Tree {
    /// Where it is.
    pub(in crate::store::files) path: PathBuf,
    /// Its directory.
    pub(in crate::store::files) directory: Arc<Directory>,
    /// Which of its files are copied.
    pub(in crate::store::files) filter: Arc<Filter>,
    /// Where each part begins, by its number: the path of its first file, in the order in which trees are walked.
    pub(in crate::store::files) starts: Vec<Box<[u8]>>,
    /// Files that are copied, links included.
    pub(in crate::store::files) files: u64,
    /// What is changed later may be copied or not.
    pub(in crate::store::files) since: Moment,
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, files) = (&self.path, self.files);
        write!(f, "Tree({}, {files} files)", path.display())
    }
}

impl Definitions for Tree {
    fn to_json(&self) -> Result<Vec<u8>> {
        Err(Error::new(
            Kind::Config,
            "files are not put into archives yet",
        ))
    }

    fn catalogue(&self, stored: Catalogue, _task: &Task) -> Result<Catalogue> {
        Ok(stored)
    }
}
