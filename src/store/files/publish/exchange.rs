//! Live's files exchanged for others, one name after the other, as a list of changes says: to publish, to undo that, and to roll
//! back and forth. What is put in place comes from one tree, and what makes way for it goes into another, so that the same can be
//! done backwards, and gone on with wherever it was cut short.

use std::ffi::CStr;
use std::sync::Arc;

use rustix::fs::{AtFlags, linkat, renameat, unlinkat};
use rustix::io::Errno;

use super::list::{Change, Changes, Seen, Traits};
use super::paths::{Paths, is_in, split};
use super::probe::has_links;
use crate::error::Result;
use crate::store::files::connection::directory::Directory;
use crate::store::files::connection::stat::{FileKind, Stat};
use crate::store::files::connection::told::{At, told};
use crate::store::files::incoming::metadata::Metadata;
use crate::store::files::rows::warnings::Warnings;

/// So many names that were left alone are told.
const NAMED: u64 = 20;

/// What live becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store::files) enum Way {
    /// What the run made of it.
    Forth,
    /// What it was.
    Back,
}

/// What becomes of what somebody has written into live since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store::files) enum Others {
    /// It makes way as all else does, and is kept.
    Kept,
    /// It stays, and what was there before the run is left where it is.
    Stay,
}

/// Live, and the two trees beside it.
#[derive(Clone)]
pub(in crate::store::files) struct Trees {
    /// What is changed.
    pub(in crate::store::files) live: Arc<Directory>,
    /// What live gets comes from here.
    pub(in crate::store::files) give: Arc<Directory>,
    /// What makes way goes there.
    pub(in crate::store::files) take: Arc<Directory>,
    /// A directory of ours beside them, for what has to be tried out.
    pub(in crate::store::files) own: Arc<Directory>,
}

/// How live's files are exchanged.
#[derive(Debug, Clone, Copy)]
pub(in crate::store::files) struct Manner {
    /// What it becomes.
    pub(in crate::store::files) way: Way,
    /// What becomes of what is somebody else's.
    pub(in crate::store::files) others: Others,
    /// What is no directory, and is in the place of one, makes way, too.
    pub(in crate::store::files) clears_way: bool,
    /// What is replaced has to be kept, even where its name is away for a moment for it; else it is lost where no file can have
    /// two names.
    pub(in crate::store::files) keeps_all: bool,
}

/// What came of it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(in crate::store::files) struct Outcome {
    /// Names that are somebody else's, and were left alone.
    pub(in crate::store::files) left: u64,
    /// Files that were replaced, and could not be kept; on the way back: that stay as the run has made them for that.
    pub(in crate::store::files) lost: u64,
}

/// Exchanges all names of a list. Directories keep what they have: see [`dress`].
pub(in crate::store::files) fn exchange(
    changes: &Changes,
    trees: &Trees,
    manner: Manner,
) -> Result<Outcome> {
    let mut work = Exchange::of(trees, manner);
    let mut reading = changes.read()?;
    while let Some((path, change)) = reading.next()? {
        work.put(&path, &change)?;
    }
    let outcome = work.outcome;
    // Directories that were open may have been exchanged.
    let mut work = Exchange::of(trees, manner);
    work.outcome = outcome;
    let mut reading = changes.read()?;
    while let Some((path, change)) = reading.next()? {
        work.unmake(Some(&path))?;
        work.remove(path, &change)?;
    }
    work.unmake(None)?;
    Ok(work.outcome)
}

struct Exchange {
    manner: Manner,
    live: Paths,
    give: Paths,
    take: Paths,
    own: Arc<Directory>,
    /// Whether files can have two names here, once that was asked.
    has_links: Option<bool>,
    /// Directories that go as soon as nothing is left in them.
    made: Vec<Vec<u8>>,
    outcome: Outcome,
}

impl Exchange {
    fn of(trees: &Trees, manner: Manner) -> Self {
        Self {
            manner,
            live: Paths::of(&trees.live),
            give: Paths::of(&trees.give),
            take: Paths::of(&trees.take),
            own: Arc::clone(&trees.own),
            has_links: None,
            made: Vec::new(),
            outcome: Outcome::default(),
        }
    }

    /// Puts what there is in place.
    fn put(&mut self, path: &[u8], change: &Change) -> Result<()> {
        match change {
            Change::Kept(..) => return Ok(()),
            Change::Made(_) => {
                if self.manner.way == Way::Forth {
                    self.enter(path, path)?;
                }
                return Ok(());
            }
            Change::Replaced(_) | Change::Added(_) | Change::Deleted => {}
        }
        let (above, name) = split(path)?;
        let Some((give, given)) = found(&mut self.give, above, &name, path)? else {
            return self.miss(above, &name, (path, change));
        };
        let Some(live) = self.enter(above, path)? else {
            return Ok(());
        };
        if let Some(there) = live.find(&name).at("cannot look at", path)? {
            if there.id == given.id {
                // It was kept under a second name, and nothing took its place.
                return unlinkat(&*give, &*name, AtFlags::empty()).at("cannot remove", path);
            }
            if self.is_left(&there, change, path) || !self.keep(&live, &there, &given, path)? {
                return Ok(());
            }
        }
        renameat(&*give, &*name, &*live, &*name).at("cannot put in place", path)
    }

    /// Counts what cannot go back: live has what the run has made of it, and nothing else was kept.
    fn miss(&mut self, above: &[u8], name: &CStr, (path, change): (&[u8], &Change)) -> Result<()> {
        if let (Change::Replaced(seen), Way::Back) = (change, self.manner.way)
            && let Some((_, there)) = found(&mut self.live, above, name, path)?
        {
            self.outcome.lost += u64::from(Seen::of(&there) == *seen);
        }
        Ok(())
    }

    /// A directory of live's, made where it is missing, for what has this path; `None`: something that is no directory is in
    /// its place, and stays.
    fn enter(&mut self, directory: &[u8], path: &[u8]) -> Result<Option<Arc<Directory>>> {
        while let Some(blocked) = self.live.blocked(directory)? {
            if self.manner.clears_way {
                if self.clear_way(&blocked)? {
                    continue;
                }
            } else if self.manner.others != Others::Stay {
                // To make it says what is wrong.
                break;
            }
            self.leave(path);
            return Ok(None);
        }
        self.live.make(directory).map(Some)
    }

    /// Keeps what is in the place of a directory; `false`: there is no room for it.
    fn clear_way(&mut self, path: &[u8]) -> Result<bool> {
        let (above, name) = split(path)?;
        let live = self.live.make(above)?;
        let Some(take) = self.room(above)? else {
            return Ok(false);
        };
        if take.find(&name).at("cannot look at", path)?.is_some() {
            return Ok(false);
        }
        renameat(&*live, &*name, &*take, &*name).at("cannot keep", path)?;
        tracing::warn!(
            file = told(path),
            "somebody has put it in the place of a directory since; it makes way, and is kept"
        );
        Ok(true)
    }

    /// Where what makes way in a directory goes; `None`: what was there in the place of the directory lies there.
    fn room(&mut self, directory: &[u8]) -> Result<Option<Arc<Directory>>> {
        match self.take.blocked(directory)? {
            Some(_) => Ok(None),
            None => self.take.make(directory).map(Some),
        }
    }

    /// Whether what is in live is somebody else's, and stays.
    fn is_left(&mut self, there: &Stat, change: &Change, path: &[u8]) -> bool {
        let is_ours = match change {
            Change::Replaced(seen) | Change::Added(seen) => Seen::of(there) == *seen,
            _ => false,
        };
        if is_ours || self.manner.others == Others::Kept || self.manner.way == Way::Forth {
            return false;
        }
        self.leave(path);
        true
    }

    fn leave(&mut self, path: &[u8]) {
        self.outcome.left += 1;
        if self.outcome.left <= NAMED {
            tracing::warn!(
                file = told(path),
                "somebody has written it since, and it stays as it is"
            );
        }
    }

    /// Keeps what makes way; `false`: it cannot, and stays.
    fn keep(&mut self, live: &Directory, there: &Stat, given: &Stat, path: &[u8]) -> Result<bool> {
        let (above, name) = split(path)?;
        let Some(take) = self.room(above)? else {
            self.leave(path);
            return Ok(false);
        };
        match take.find(&name).at("cannot look at", path)? {
            Some(taken) if taken.id == there.id => return Ok(true),
            // It came while the name was away, and there is no room for a second one.
            Some(_) => {
                self.leave(path);
                return Ok(false);
            }
            None => {}
        }
        let is_directory = [there.kind, given.kind].contains(&FileKind::Directory);
        if !is_directory {
            match linkat(live, &*name, &*take, &*name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => return Ok(true),
                Err(error) if self.is_lost(error, path)? => {
                    self.outcome.lost += 1;
                    return Ok(true);
                }
                // Then its name is away for a moment.
                Err(_) => {}
            }
        }
        renameat(live, &*name, &*take, &*name).at("cannot keep", path)?;
        Ok(true)
    }

    /// Whether what makes way is lost, as it could not get a second name for this reason; else it can give its only one.
    fn is_lost(&mut self, error: Errno, path: &[u8]) -> Result<bool> {
        match error {
            // Whatever it was. A full disk, too, has room for a name that goes elsewhere.
            _ if self.manner.keeps_all => Ok(false),
            Errno::OPNOTSUPP | Errno::NOSYS | Errno::XDEV => Ok(true),
            // This file has as many names as one can have.
            Errno::MLINK => Ok(false),
            // FAT says the same as a system that lets nobody link what is somebody else's (fs.protected_hardlinks in proc(5)).
            Errno::PERM => {
                let has_links = match self.has_links {
                    Some(has_links) => has_links,
                    None => has_links(&self.own)?,
                };
                self.has_links = Some(has_links);
                Ok(!has_links)
            }
            error => Err(error).at("cannot keep", path),
        }
    }

    /// Takes away what is not to be there.
    fn remove(&mut self, path: Vec<u8>, change: &Change) -> Result<()> {
        let goes = match (change, self.manner.way) {
            (Change::Made(_), Way::Back) => {
                self.made.push(path);
                return Ok(());
            }
            (Change::Added(_), way) => way == Way::Back,
            (Change::Deleted, way) => way == Way::Forth,
            _ => false,
        };
        if !goes {
            return Ok(());
        }
        let (above, name) = split(&path)?;
        let Some((live, there)) = found(&mut self.live, above, &name, &path)? else {
            return Ok(());
        };
        // It has made way already, and what is there now came from elsewhere.
        if found(&mut self.take, above, &name, &path)?.is_some() {
            return Ok(());
        }
        if self.is_left(&there, change, &path) {
            return Ok(());
        }
        let Some(take) = self.room(above)? else {
            self.leave(&path);
            return Ok(());
        };
        renameat(&*live, &*name, &*take, &*name).at("cannot take away", &path)
    }

    /// Removes directories that were made, and that are behind us: those that are empty.
    fn unmake(&mut self, path: Option<&[u8]>) -> Result<()> {
        while let Some(made) = self.made.last()
            && path.is_none_or(|path| !is_in(path, made))
        {
            let (above, name) = split(made)?;
            if let Some(live) = self.live.find(above)? {
                match unlinkat(&*live, &*name, AtFlags::REMOVEDIR) {
                    Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {
                    }
                    Err(error) => return Err(error).at("cannot remove", made),
                }
            }
            self.made.pop();
        }
        Ok(())
    }
}

/// A name in a tree, and the directory that it is in.
fn found(
    tree: &mut Paths,
    above: &[u8],
    name: &CStr,
    path: &[u8],
) -> Result<Option<(Arc<Directory>, Stat)>> {
    let Some(directory) = tree.find(above)? else {
        return Ok(None);
    };
    let found = directory.find(name).at("cannot look at", path)?;
    Ok(found.map(|found| (directory, found)))
}

/// Gives live's directories what they had, or what the run gave them; the innermost first. Those of somebody else keep what they
/// have.
pub(in crate::store::files) fn dress(
    changes: &Changes,
    live: &Arc<Directory>,
    way: Way,
    keeps_owners: bool,
) -> Result<()> {
    let mut paths = Paths::of(live);
    let mut open: Vec<(Vec<u8>, Arc<Directory>, Traits)> = Vec::new();
    let warnings = Warnings::default();
    let give = |(path, directory, traits): (Vec<u8>, Arc<Directory>, Traits)| {
        let metadata = Metadata {
            like: &traits.stat(),
            mode: traits.mode,
            keeps_owner: keeps_owners,
        };
        metadata.give_if_ours(&directory, &path, &warnings)
    };
    let mut reading = changes.read()?;
    while let Some((path, change)) = reading.next()? {
        while open.last().is_some_and(|(above, ..)| !is_in(&path, above)) {
            open.pop().map_or(Ok(()), give)?;
        }
        let traits = match (change, way) {
            (Change::Kept(old, _), Way::Back) => Some(old),
            (Change::Kept(_, new) | Change::Made(new), Way::Forth) => new,
            _ => None,
        };
        if let Some(traits) = traits
            && let Some(directory) = paths.find(&path)?
        {
            open.push((path, directory, traits));
        }
    }
    while let Some(last) = open.pop() {
        give(last)?;
    }
    warnings.tell();
    Ok(())
}
