//! Builds the new tree: one thread walks source and live, and others copy and link.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;

use rustix::fs::{AtFlags, ftruncate, ioctl_ficlone, linkat, symlinkat};
use rustix::io::Errno;
use tokio_util::sync::CancellationToken;

use super::copy::Copier;
use super::metadata::Metadata;
use super::out::{Out, Shared, not_made};
use super::queue::Queue;
use crate::error::{Error, Kind, Result, io};
use crate::store::files::connection::directory::{Directory, stat_of};
use crate::store::files::connection::stat::{FileKind, Stat};
use crate::store::files::connection::told::At;
use crate::store::files::rows::decision::{Decision, Rules, Under};
use crate::store::files::rows::walk::{Descent, Pair, SOURCE, TARGET, Visitor, order, walk};
use crate::store::files::rows::warnings::Warning;
use crate::store::files::schema::options::Link;

/// So many names of a directory are copied in one go.
const TOGETHER: usize = 64;

/// Is told of a part's number, and of files and bytes of it that are in.
pub(in crate::store::files) type Told<'a> = dyn Fn(usize, u64, u64) + Sync + 'a;

/// What a new tree is built of.
pub(in crate::store::files) struct Build<'a> {
    /// What decides.
    pub(in crate::store::files) rules: &'a Rules,
    /// How what has not changed is taken over.
    pub(in crate::store::files) link: Link,
    /// The source, and live if there is one.
    pub(in crate::store::files) roots: [Option<Arc<Directory>>; 2],
    /// Where parts begin.
    pub(in crate::store::files) starts: &'a [Box<[u8]>],
    /// Threads that copy.
    pub(in crate::store::files) workers: usize,
    /// What all directories share.
    pub(in crate::store::files) shared: Arc<Shared>,
    /// Is told of progress.
    pub(in crate::store::files) told: &'a Told<'a>,
}

/// What becomes of a name.
enum Action {
    /// It is copied from the source.
    Copy(FileKind),
    /// It is live's; if that goes away, the source's where it has one.
    TakeOver(FileKind, bool),
}

/// Names of one directory.
struct Batch {
    /// Is finished once no batch has it any more.
    _out: Arc<Out>,
    into: Arc<Directory>,
    sides: [Option<Arc<Directory>>; 2],
    /// The directory's path, with a slash if there is one.
    above: Vec<u8>,
    part: usize,
    names: Vec<(CString, Action)>,
}

impl Build<'_> {
    /// Builds; returns how many files the new tree has.
    pub(in crate::store::files) fn run(
        self,
        root: Arc<Directory>,
        stop: &CancellationToken,
    ) -> Result<u64> {
        let stop = stop.child_token();
        let files = AtomicU64::new(0);
        let (sender, queue) = Queue::new();
        std::thread::scope(|scope| -> Result<()> {
            for _ in 0..self.workers {
                let (build, queue, files, stop) = (&self, &queue, &files, &stop);
                let working = move || build.work(queue, files, stop);
                std::thread::Builder::new()
                    .name("files".to_owned())
                    .spawn_scoped(scope, working)
                    .map_err(io("cannot start a thread"))?;
            }
            let out = Arc::new(Out::root(root, &self.shared));
            let mut walker = Walker {
                build: &self,
                sender,
                part: 0,
                stop: &stop,
            };
            let level = Level::new(out, Under::Both);
            let walked = walk(self.roots.clone(), level, &mut walker, &stop);
            if let Err(error) = walked {
                self.shared.fail(error);
                stop.cancel();
            }
            Ok(())
        })?;
        self.shared.outcome()?;
        Ok(files.into_inner())
    }

    /// Copies and links what comes, until nothing does or something failed.
    fn work(&self, queue: &Queue<Batch>, files: &AtomicU64, stop: &CancellationToken) {
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
        let mut copier = Copier::new(stop, &copied);
        let mut path = batch.above.clone();
        let mut done = 0;
        for (name, action) in &batch.names {
            path.truncate(batch.above.len());
            path.extend_from_slice(name.as_bytes());
            let mut one = One {
                build: self,
                batch,
                name,
                path: &path,
                copier: &mut copier,
            };
            let is_there = match *action {
                Action::Copy(kind) => one.copy(SOURCE, kind)?,
                Action::TakeOver(kind, is_same) => {
                    one.take_over(kind)? || (is_same && one.copy(SOURCE, kind)?)
                }
            };
            if is_there {
                done += 1;
            } else {
                self.shared.warnings.add(Warning::Vanished, &path);
            }
        }
        Ok(done)
    }
}

/// One name on its way into the new tree.
struct One<'a, 'b> {
    build: &'a Build<'a>,
    batch: &'a Batch,
    name: &'a CString,
    path: &'a [u8],
    copier: &'a mut Copier<'b>,
}

impl One<'_, '_> {
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
                // Too many names, or a file that is not ours to link.
                Err(Errno::MLINK | Errno::PERM | Errno::XDEV | Errno::OPNOTSUPP) => {}
                Err(error) => return Err(not_made(error, self.path)),
            }
        }
        match kind {
            FileKind::Regular => self.copy_file(live, link == Link::Reflink),
            kind => self.copy(TARGET, kind),
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
        let made = into.make_file(self.name, 0o600);
        let made = made.map_err(|error| not_made(error, self.path))?;
        let found = self.fill(&file, &made, found, shares)?;
        let warnings = &self.build.shared.warnings;
        let metadata = self.metadata(&found);
        metadata.give(made.as_fd(), file.as_fd(), self.path, warnings)?;
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

/// A directory that the walk is in.
struct Level {
    out: Arc<Out>,
    under: Under,
    sides: [Option<Arc<Directory>>; 2],
    names: Vec<(CString, Action)>,
}

impl Level {
    fn new(out: Arc<Out>, under: Under) -> Self {
        Self {
            out,
            under,
            sides: [None, None],
            names: Vec::new(),
        }
    }
}

/// Walks, and puts work into the queue.
struct Walker<'a> {
    build: &'a Build<'a>,
    sender: SyncSender<Batch>,
    /// The part that the walk is in.
    part: usize,
    stop: &'a CancellationToken,
}

impl Walker<'_> {
    /// Has the names that were gathered copied.
    fn send(&mut self, level: &mut Level, above: &[u8]) -> Result<()> {
        if level.names.is_empty() {
            return Ok(());
        }
        let mut above = above.to_vec();
        if !above.is_empty() {
            above.push(b'/');
        }
        if let Some((name, _)) = level.names.first() {
            let first = [&above, name.as_bytes()].concat();
            let starts = self.build.starts;
            let begins = |part: usize| {
                starts
                    .get(part)
                    .is_some_and(|start| order(start, &first).is_le())
            };
            while begins(self.part + 1) {
                self.part += 1;
            }
        }
        let batch = Batch {
            into: Arc::clone(level.out.made()?),
            _out: Arc::clone(&level.out),
            sides: level.sides.clone(),
            above,
            part: self.part,
            names: std::mem::take(&mut level.names),
        };
        // Nobody takes it any more where all have failed, which is told elsewhere.
        self.sender.send(batch).map_err(|_| {
            self.stop.cancel();
            Error::new(Kind::Internal, "nobody copies any more")
        })
    }
}

impl Visitor for Walker<'_> {
    type Level = Level;

    fn entry(&mut self, level: &mut Level, pair: &Pair<'_>) -> Result<Option<Descent<Level>>> {
        let decision = (self.build.rules).decide(level.under, pair, &self.build.shared.warnings)?;
        let kind = pair.kind(SOURCE).unwrap_or(FileKind::Special);
        let action = match decision {
            Decision::Nothing | Decision::Delete => return Ok(None),
            Decision::Copy(..) => Action::Copy(kind),
            Decision::Same => Action::TakeOver(kind, true),
            Decision::Keep => {
                let kind = pair.kind(TARGET).unwrap_or(FileKind::Special);
                Action::TakeOver(kind, false)
            }
            Decision::Enter(sides, under) => {
                let out = Arc::new(level.out.inner(pair.name.to_owned(), pair.path));
                if under != Under::Doomed {
                    out.made()?;
                }
                let level = Level::new(out, under);
                return Ok(Some(Descent { level, sides }));
            }
        };
        level.names.push((pair.name.to_owned(), action));
        if level.names.len() >= TOGETHER {
            let end = pair.path.len().saturating_sub(pair.name.count_bytes() + 1);
            self.send(level, &pair.path[..end])?;
        }
        Ok(None)
    }

    fn opened(
        &mut self,
        level: &mut Level,
        side: usize,
        directory: &Arc<Directory>,
        _path: &[u8],
    ) -> Result<()> {
        // The source is opened first.
        level.out.is_like(directory)?;
        level.sides[side] = Some(Arc::clone(directory));
        Ok(())
    }

    fn vanished(&mut self, path: &[u8]) {
        self.build.shared.warnings.add(Warning::Vanished, path);
    }

    fn leave(&mut self, mut level: Level, path: &[u8]) -> Result<()> {
        self.send(&mut level, path)
    }
}
