//! What a walk of two trees shows: names, what has them on either side, and where it goes on.

use std::ffi::CString;
use std::sync::Arc;

use rustix::io::Errno;

use super::listing::Entry;
use crate::error::Result;
use crate::store::files::connection::directory::Directory;
use crate::store::files::connection::stat::{FileKind, Stat};
use crate::store::files::connection::told::At;

/// The source's side.
pub(in crate::store::files) const SOURCE: usize = 0;
/// The target's side: live, or what is built.
pub(in crate::store::files) const TARGET: usize = 1;

/// A name on one side.
pub(in crate::store::files) struct Side<'a> {
    /// Its kind.
    pub(in crate::store::files) kind: FileKind,
    /// The directory that it is in; of a listing there is none.
    pub(in crate::store::files) directory: Option<&'a Arc<Directory>>,
    /// The inode that its directory says; 0: nobody knows.
    pub(in crate::store::files) inode: u64,
    /// What is known of it, if that was asked for before.
    pub(super) stat: Option<Stat>,
    /// Where it stands, of a listing.
    pub(super) entry: Option<&'a Entry>,
}

/// A name, and what has it on either side.
pub(in crate::store::files) struct Pair<'a> {
    /// The name.
    pub(in crate::store::files) name: &'a CString,
    /// Its path in the trees.
    pub(in crate::store::files) path: &'a [u8],
    /// The source's and the target's.
    pub(in crate::store::files) sides: [Option<Side<'a>>; 2],
}

impl Pair<'_> {
    /// The kind on a side; `None`: there is nothing.
    pub(in crate::store::files) fn kind(&self, side: usize) -> Option<FileKind> {
        self.sides[side].as_ref().map(|side| side.kind)
    }

    /// What is known of it on a side; `None`: it is gone.
    pub(in crate::store::files) fn stat(&self, side: usize) -> Result<Option<Stat>> {
        match &self.sides[side] {
            Some(Side {
                stat: Some(found), ..
            }) => Ok(Some(*found)),
            Some(Side {
                directory: Some(directory),
                ..
            }) => directory.find(self.name).at("cannot look at", self.path),
            _ => Ok(None),
        }
    }

    /// The tag of an object on a side, if a list says it.
    pub(in crate::store::files) fn tag(&self, side: usize) -> Option<&[u8]> {
        let entry = self.sides[side].as_ref()?.entry?;
        let is_file = entry.stat.kind == FileKind::Regular;
        entry.link.as_deref().filter(|_| is_file)
    }

    /// Where a link on a side leads; `None`: it is none, or is gone.
    pub(in crate::store::files) fn link(&self, side: usize) -> Result<Option<Vec<u8>>> {
        match &self.sides[side] {
            Some(Side {
                entry: Some(entry), ..
            }) => Ok(entry.link.clone()),
            Some(Side {
                directory: Some(directory),
                ..
            }) => match directory.link(self.name) {
                Err(Errno::NOENT | Errno::INVAL) => Ok(None),
                link => link.map(Some).at("cannot read link", self.path),
            },
            _ => Ok(None),
        }
    }
}

/// Where the walk goes on.
pub(in crate::store::files) struct Descent<L> {
    /// What the visitor keeps of the directory.
    pub(in crate::store::files) level: L,
    /// On which sides it is read.
    pub(in crate::store::files) sides: [bool; 2],
}

/// Is shown two trees, name by name.
pub(in crate::store::files) trait Visitor {
    /// What is kept of a directory while the walk is in it.
    type Level;
    /// A name; a directory is walked if the visitor says so.
    fn entry(
        &mut self,
        level: &mut Self::Level,
        pair: &Pair<'_>,
    ) -> Result<Option<Descent<Self::Level>>>;
    /// Whether a directory of the source will not be walked: then it is not read ahead.
    fn passes_by(&self, _path: &[u8]) -> bool {
        false
    }
    /// A directory was opened on a side; the trees themselves are, too.
    fn opened(
        &mut self,
        _level: &mut Self::Level,
        _side: usize,
        _found: &Stat,
        _path: &[u8],
    ) -> Result<()> {
        Ok(())
    }
    /// A directory of the source was there, and then no more.
    fn vanished(&mut self, _path: &[u8]) {}
    /// All that is in a directory was shown.
    fn leave(&mut self, _level: Self::Level, _path: &[u8]) -> Result<()> {
        Ok(())
    }
}
