//! Names of the new tree, and how each gets there: copied, linked from live, or left where it is in a tree that is used again.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, ftruncate, ioctl_ficlone, linkat, symlinkat};
use rustix::io::Errno;
use tokio_util::sync::CancellationToken;

use super::copy::Copier;
use super::metadata::Metadata;
use super::out::{Out, Shared, not_made};
use super::queue::Queue;
use super::recycle::{Live, Old, Recycled};
use super::throttle::Throttle;
use crate::error::Result;
use crate::store::files::connection::directory::{Directory, stat_of};
use crate::store::files::connection::stat::{FileKind, Moment, Stat};
use crate::store::files::connection::told::At;
use crate::store::files::rows::decision::{Rules, fixed};
use crate::store::files::rows::pair::{SOURCE, TARGET};
use crate::store::files::rows::warnings::Warning;
use crate::store::files::rows::work::Work;
use crate::store::files::schema::options::Link;

/// Is told of a part's number, and of files and bytes of it that are in.
pub(in crate::store::files) type Told<'a> = dyn Fn(usize, u64, u64) + Sync + 'a;

/// What a new tree is built of.
pub(in crate::store::files) struct Build<'a> {
    /// What decided.
    pub(in crate::store::files) rules: &'a Rules,
    /// How what has not changed is taken over.
    pub(in crate::store::files) link: Link,
    /// The source if it is on this machine, and live if there is one. What is made after directories of a source elsewhere is
    /// finished later, as is what is copied from it.
    pub(in crate::store::files) roots: [Option<Arc<Directory>>; 2],
    /// What is to be done.
    pub(in crate::store::files) work: &'a Work,
    /// Where parts begin.
    pub(in crate::store::files) starts: &'a [Box<[u8]>],
    /// Threads that copy.
    pub(in crate::store::files) workers: usize,
    /// The pace that the task asks for.
    pub(in crate::store::files) throttle: Option<&'a Throttle>,
    /// What all directories share.
    pub(in crate::store::files) shared: Arc<Shared>,
    /// Whether the new tree takes live's place as a whole.
    pub(in crate::store::files) replaces_live: bool,
    /// Whether its directory is that of an earlier run's tree, of which is used again what can be.
    pub(in crate::store::files) recycles: bool,
    /// What of live was changed later may not be as it was planned.
    pub(in crate::store::files) since: Moment,
    /// Is told of progress.
    pub(in crate::store::files) told: &'a Told<'a>,
}

/// What becomes of a name.
pub(super) enum Step {
    /// It is copied from the source.
    Copy(FileKind),
    /// It is live's, of which this is the inode; if that goes away, the source's where it has the same.
    TakeOver {
        kind: FileKind,
        is_same: bool,
        inode: u64,
    },
    /// It is a directory, with which somebody else is busy.
    Directory,
}

/// Names of one directory.
pub(super) struct Batch {
    /// Is finished once no batch has it any more; `None`: somebody else does that.
    pub(super) out: Option<Arc<Out>>,
    pub(super) into: Arc<Directory>,
    pub(super) sides: [Option<Arc<Directory>>; 2],
    /// No name in live's has changed since the run was planned.
    pub(super) is_as_planned: bool,
    /// The directory's path, with a slash if there is one.
    pub(super) above: Vec<u8>,
    pub(super) part: usize,
    pub(super) names: Vec<(CString, Step)>,
    /// The last name of the batch before.
    pub(super) behind: Option<CString>,
    /// No other names of the directory come behind these.
    pub(super) is_last: bool,
}

impl Batch {
    /// Of a directory into which something is taken over from live alone.
    pub(super) fn of(new: &Arc<Directory>, live: &Arc<Directory>) -> Self {
        Self {
            out: None,
            into: Arc::clone(new),
            sides: [None, Some(Arc::clone(live))],
            is_as_planned: false,
            above: Vec::new(),
            part: 0,
            names: Vec::new(),
            behind: None,
            is_last: true,
        }
    }

    /// What the directory has already, if it is used again.
    fn old(&self) -> Result<Option<Old<'_>>> {
        let Some(recycled) = self.out.as_ref().and_then(|out| out.recycled()) else {
            return Ok(None);
        };
        let recycled: &Recycled = recycled;
        let live = match &self.sides[TARGET] {
            None => Live::None,
            Some(_) if self.is_as_planned => Live::AsPlanned,
            Some(live) => Live::Now(live),
        };
        let old = recycled.behind(self.behind.as_deref(), &self.into, live);
        old.map(Some).at("cannot read directory", &self.above)
    }
}

impl Build<'_> {
    /// Copies and links what comes, until nothing does or something failed.
    pub(super) fn work(&self, queue: &Queue<Batch>, files: &AtomicU64, stop: &CancellationToken) {
        while let Some(batch) = queue.next() {
            if stop.is_cancelled() {
                continue;
            }
            match self.do_batch(&batch, stop) {
                Ok(done) => {
                    files.fetch_add(done, Ordering::Relaxed);
                    (self.told)(batch.part, done, 0);
                }
                Err(error) => {
                    self.shared.fail(error);
                    stop.cancel();
                }
            }
        }
    }

    fn do_batch(&self, batch: &Batch, stop: &CancellationToken) -> Result<u64> {
        let copied = |bytes| (self.told)(batch.part, 0, bytes);
        let mut copier = Copier::new(stop, &copied, self.throttle);
        let mut path = batch.above.clone();
        let mut done = 0;
        let mut old = batch.old()?;
        for (name, step) in &batch.names {
            path.truncate(batch.above.len());
            path.extend_from_slice(name.as_bytes());
            let mut one = One::new(self, batch, name, &path, &mut copier);
            if let Some(old) = &mut old
                && one.is_left(old, step)?
            {
                done += u64::from(!matches!(step, Step::Directory));
                continue;
            }
            let came = match *step {
                Step::Copy(kind) => one.copy(SOURCE, kind)?,
                Step::TakeOver { kind, is_same, .. } => {
                    one.take_over(kind)? || (is_same && one.copy(SOURCE, kind)?)
                }
                Step::Directory => continue,
            };
            if !came {
                self.shared.warnings.add(Warning::Vanished, &path);
            }
            done += u64::from(came || one.keep()?);
        }
        if let (Some(old), true) = (old, batch.is_last) {
            old.clear_rest()?;
        }
        Ok(done)
    }
}

/// One name on its way into the new tree.
pub(super) struct One<'a, 'b> {
    build: &'a Build<'a>,
    batch: &'a Batch,
    name: &'a CString,
    path: &'a [u8],
    copier: &'a mut Copier<'b>,
}

impl<'a, 'b> One<'a, 'b> {
    pub(super) fn new(
        build: &'a Build<'a>,
        batch: &'a Batch,
        name: &'a CString,
        path: &'a [u8],
        copier: &'a mut Copier<'b>,
    ) -> Self {
        Self {
            build,
            batch,
            name,
            path,
            copier,
        }
    }

    /// Whether what the directory has already stays. What does not, and all that comes before it and is nobody's, makes way.
    fn is_left(&self, old: &mut Old<'_>, step: &Step) -> Result<bool> {
        let mut is_left = matches!(step, Step::Directory);
        if old.has(self.name)? && !is_left {
            is_left = matches!(step, Step::TakeOver { inode, .. } if old.is(self.name, *inode));
            if !is_left {
                old.make_way()?;
            }
        }
        old.pass(self.name);
        Ok(is_left)
    }

    /// Copies it from a side; `false`: it is not there, or is another kind of thing now.
    fn copy(&mut self, side: usize, kind: FileKind) -> Result<bool> {
        let Some(from) = &self.batch.sides[side] else {
            return Ok(false);
        };
        match kind {
            FileKind::Link => self.copy_link(from),
            FileKind::Regular => self.copy_file(from, false),
            FileKind::Directory | FileKind::Special => Ok(false),
        }
    }

    /// What has vanished from the source stays as live has it: whether it is to go is the next run's to say, within its limit.
    pub(super) fn keep(&mut self) -> Result<bool> {
        let Some(live) = &self.batch.sides[TARGET] else {
            return Ok(false);
        };
        match live.find(self.name).at("cannot look at", self.path)? {
            Some(found) if found.kind != FileKind::Directory => self.take_over(found.kind),
            _ => Ok(false),
        }
    }

    /// Takes live's over.
    fn take_over(&mut self, kind: FileKind) -> Result<bool> {
        let Some(live) = &self.batch.sides[TARGET] else {
            return Ok(false);
        };
        let link = self.build.link;
        if link == Link::Hard || kind == FileKind::Special {
            let (name, flags) = (self.name.as_c_str(), AtFlags::empty());
            match linkat(live, name, &self.batch.into, name, flags) {
                Ok(()) => return Ok(true),
                Err(Errno::NOENT) => return Ok(false),
                Err(Errno::PERM) if self.build.replaces_live => self.refuse_fixed(live)?,
                // Too many names, or a file that is not ours to link.
                Err(Errno::MLINK | Errno::PERM | Errno::XDEV | Errno::OPNOTSUPP) => {}
                Err(error) => return Err(not_made(error, self.path)),
            }
        }
        if link != Link::Hard && self.build.replaces_live {
            self.refuse_fixed(live)?;
        }
        match kind {
            FileKind::Regular => self.copy_file(live, link == Link::Reflink),
            kind => self.copy(TARGET, kind),
        }
    }

    /// Refuses to put another file in the place of one that must not be changed: it could never be removed from previous, either.
    fn refuse_fixed(&self, live: &Directory) -> Result<()> {
        let is_fixed = live.is_fixed(self.name).at("cannot look at", self.path)?;
        if is_fixed {
            Err(fixed(self.path))
        } else {
            Ok(())
        }
    }

    fn copy_link(&self, from: &Directory) -> Result<bool> {
        let (name, into) = (self.name.as_c_str(), &self.batch.into);
        let found = from.find(name).at("cannot look at", self.path)?;
        let leads_to = match from.link(name) {
            Err(Errno::NOENT | Errno::INVAL) => return Ok(false),
            leads_to => leads_to.at("cannot read link", self.path)?,
        };
        let Some(found) = found else {
            return Ok(false);
        };
        symlinkat(&*leads_to, into, name).map_err(|error| not_made(error, self.path))?;
        self.metadata(&found).give_link(into, name, self.path)?;
        Ok(true)
    }

    fn copy_file(&mut self, from: &Directory, shares: bool) -> Result<bool> {
        let file = match from.read_file(self.name) {
            // Another kind of thing has taken its place.
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => return Ok(false),
            file => file.at("cannot read", self.path)?,
        };
        let found = stat_of(&file).at("cannot look at", self.path)?;
        if found.kind != FileKind::Regular {
            return Ok(false);
        }
        let into = &self.batch.into;
        // Nobody else gets to it yet. What runs as its owner it becomes when it has that owner.
        let mode = self.build.rules.mode(&found) & 0o777 | 0o600;
        let made = into.make_file(self.name, mode);
        let made = made.map_err(|error| not_made(error, self.path))?;
        let found = self.fill(&file, &made, found, shares)?;
        let warnings = &self.build.shared.warnings;
        let metadata = self.metadata(&found);
        metadata.give(made.as_fd(), Some(file.as_fd()), self.path, warnings)?;
        Ok(true)
    }

    /// Copies content; returns what is known of the file that was copied.
    fn fill(&mut self, file: &OwnedFd, made: &OwnedFd, found: Stat, shares: bool) -> Result<Stat> {
        let warnings = &self.build.shared.warnings;
        if shares {
            match ioctl_ficlone(made, file) {
                Ok(()) => return Ok(found),
                Err(_) => warnings.add(Warning::NotShared, self.path),
            }
        }
        self.copier.copy(file, made, &found, self.path)?;
        let after = stat_of(file).at("cannot look at", self.path)?;
        if after.is_still(&found) {
            return Ok(found);
        }
        ftruncate(made, 0).at("cannot write", self.path)?;
        self.copier.copy(file, made, &after, self.path)?;
        let last = stat_of(file).at("cannot look at", self.path)?;
        if !last.is_still(&after) {
            warnings.add(Warning::Changed, self.path);
        }
        Ok(after)
    }

    fn metadata<'s>(&self, like: &'s Stat) -> Metadata<'s> {
        Metadata {
            like,
            mode: self.build.rules.mode(like),
            keeps_owner: self.build.rules.keeps_owners,
        }
    }
}
