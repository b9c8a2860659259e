//! Builds the new tree: one thread goes through what is to be done, and others copy and link.

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
use super::throttle::Throttle;
use crate::error::{Error, Kind, Result, io};
use crate::store::files::connection::blocking::stopped;
use crate::store::files::connection::directory::{Directory, stat_of};
use crate::store::files::connection::stat::{FileKind, Stat};
use crate::store::files::connection::told::At;
use crate::store::files::rows::decision::Rules;
use crate::store::files::rows::listing::{Entry, order};
use crate::store::files::rows::walk::{SOURCE, TARGET};
use crate::store::files::rows::warnings::Warning;
use crate::store::files::rows::work::{Action, Work};
use crate::store::files::schema::options::Link;

/// So many names of a directory are done in one go, by one thread: two that make files in one directory wait for each other,
const TOGETHER: usize = 512;
/// unless so many bytes have to be copied.
const BYTES: u64 = 8 << 20;

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
    /// Is told of progress.
    pub(in crate::store::files) told: &'a Told<'a>,
}

/// What becomes of a name.
enum Step {
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
    names: Vec<(CString, Step)>,
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
            let mut foreman = Foreman {
                build: &self,
                sender,
                part: 0,
                stop: &stop,
            };
            let out = Arc::new(Out::root(root, &self.shared));
            let walked = foreman.go_through(out);
            drop(foreman);
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
        let mut copier = Copier::new(stop, &copied, self.throttle);
        let mut path = batch.above.clone();
        let mut done = 0;
        for (name, step) in &batch.names {
            path.truncate(batch.above.len());
            path.extend_from_slice(name.as_bytes());
            let mut one = One {
                build: self,
                batch,
                name,
                path: &path,
                copier: &mut copier,
            };
            let is_there = match *step {
                Step::Copy(kind) => one.copy(SOURCE, kind)?,
                Step::TakeOver(kind, is_same) => {
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

/// A directory that the foreman is in.
struct Level {
    out: Arc<Out>,
    sides: [Option<Arc<Directory>>; 2],
    names: Vec<(CString, Step)>,
    bytes: u64,
    path: Vec<u8>,
}

impl Level {
    fn new(out: Arc<Out>, path: &[u8]) -> Self {
        Self {
            out,
            sides: [None, None],
            names: Vec::new(),
            bytes: 0,
            path: path.to_vec(),
        }
    }

    /// Whether a path is that of a name in this directory.
    fn has(&self, path: &[u8]) -> bool {
        let rest = match &*self.path {
            [] => Some(path),
            above => (path.strip_prefix(above)).and_then(|rest| rest.strip_prefix(b"/")),
        };
        rest.is_some_and(|name| !name.contains(&b'/'))
    }
}

/// Goes through what is to be done, makes directories, and puts the rest into the queue.
struct Foreman<'a> {
    build: &'a Build<'a>,
    sender: SyncSender<Batch>,
    /// The part that it is in.
    part: usize,
    stop: &'a CancellationToken,
}

impl Foreman<'_> {
    fn go_through(&mut self, root: Arc<Out>) -> Result<()> {
        let mut level = Level::new(root, b"");
        level.sides = self.build.roots.clone();
        if let Some(source) = &level.sides[SOURCE] {
            let found = source.own_stat().at("cannot look at", b"")?;
            level.out.is_like(found, source);
        }
        let mut above: Vec<Level> = Vec::new();
        let mut tasks = self.build.work.tasks()?;
        while let Some((entry, action)) = tasks.task()? {
            stopped(self.stop)?;
            while !level.has(&entry.path) {
                self.send(&mut level)?;
                let none = || Error::new(Kind::Internal, "the list of a run's work is broken");
                level = above.pop().ok_or_else(none)?;
            }
            if let Action::Enter { sides, is_doomed } = action {
                let inner = self.enter(&level, entry, sides, is_doomed)?;
                above.push(std::mem::replace(&mut level, inner));
            } else {
                self.add(&mut level, entry, action)?;
            }
            tasks.advance()?;
        }
        self.send(&mut level)?;
        while let Some(mut level) = above.pop() {
            self.send(&mut level)?;
        }
        Ok(())
    }

    fn enter(
        &self,
        level: &Level,
        entry: &Entry,
        sides: [bool; 2],
        is_doomed: bool,
    ) -> Result<Level> {
        let name = entry.place()?.1;
        let out = Arc::new(level.out.inner(name.clone(), &entry.path));
        if !is_doomed {
            out.made()?;
        }
        let mut inner = Level::new(out, &entry.path);
        // The first one that it is like is the source's, where it has one.
        for side in [SOURCE, TARGET].into_iter().filter(|side| sides[*side]) {
            let Some(above) = &level.sides[side] else {
                continue;
            };
            match above.open(&name) {
                Ok(directory) => {
                    let directory = Arc::new(directory);
                    let found = directory.own_stat().at("cannot look at", &entry.path)?;
                    if !(sides[SOURCE] && self.build.roots[SOURCE].is_none()) {
                        inner.out.is_like(found, &directory);
                    }
                    inner.sides[side] = Some(directory);
                }
                // It is no directory any more.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) if side == SOURCE => {
                    let warnings = &self.build.shared.warnings;
                    warnings.add(Warning::Vanished, &entry.path);
                }
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(error) => return Err(error).at("cannot open directory", &entry.path),
            }
        }
        Ok(inner)
    }

    fn add(&mut self, level: &mut Level, entry: &Entry, action: Action) -> Result<()> {
        let kind = entry.stat.kind;
        let step = match action {
            Action::Delete | Action::Enter { .. } => return Ok(()),
            Action::Copy if self.build.roots[SOURCE].is_none() => return Ok(()),
            Action::Copy => Step::Copy(kind),
            Action::TakeOver { is_same } => Step::TakeOver(kind, is_same),
        };
        if action == Action::Copy || self.build.link != Link::Hard {
            level.bytes += entry.stat.stored;
        }
        level.names.push((entry.place()?.1, step));
        if level.names.len() >= TOGETHER || level.bytes >= BYTES {
            self.send(level)?;
        }
        Ok(())
    }

    /// Has the names that were gathered copied.
    fn send(&mut self, level: &mut Level) -> Result<()> {
        if level.names.is_empty() {
            return Ok(());
        }
        let mut above = level.path.clone();
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
        level.bytes = 0;
        // Nobody takes it any more where all have failed, which is told elsewhere.
        self.sender.send(batch).map_err(|_| {
            self.stop.cancel();
            Error::new(Kind::Internal, "nobody copies any more")
        })
    }
}
