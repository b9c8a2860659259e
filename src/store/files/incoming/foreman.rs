//! Goes through what is to be done, makes directories, and has others copy and link what is in them.

use std::ffi::CString;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::SyncSender;

use rustix::io::Errno;
use tokio_util::sync::CancellationToken;

use super::build::{Batch, Build, Step};
use super::out::Out;
use super::queue::Queue;
use super::recycle::clear;
use crate::error::{Error, Kind, Result, io};
use crate::store::files::connection::blocking::stopped;
use crate::store::files::connection::directory::Directory;
use crate::store::files::connection::told::At;
use crate::store::files::rows::decision::fixed;
use crate::store::files::rows::listing::{Entry, order};
use crate::store::files::rows::pair::{SOURCE, TARGET};
use crate::store::files::rows::warnings::Warning;
use crate::store::files::rows::work::Action;
use crate::store::files::schema::options::Link;

/// So many names of a directory are done in one go, by one thread: two that make files in one directory wait for each other,
const TOGETHER: usize = 512;
/// unless so many bytes have to be copied.
const BYTES: u64 = 8 << 20;

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
            let out = Arc::new(Out::root(root, self.recycles, &self.shared));
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
}

/// A directory that the foreman is in.
struct Level {
    out: Arc<Out>,
    sides: [Option<Arc<Directory>>; 2],
    /// No name in live's has changed since the run was planned.
    is_as_planned: bool,
    names: Vec<(CString, Step)>,
    /// The last name that was sent.
    sent: Option<CString>,
    bytes: u64,
    path: Vec<u8>,
}

impl Level {
    fn new(out: Arc<Out>, path: &[u8]) -> Self {
        Self {
            out,
            sides: [None, None],
            is_as_planned: false,
            names: Vec::new(),
            sent: None,
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
        if let Some(live) = &level.sides[TARGET] {
            let found = live.own_stat().at("cannot look at", b"")?;
            level.is_as_planned = found.changed < self.build.since;
        }
        let mut above: Vec<Level> = Vec::new();
        let mut tasks = self.build.work.tasks()?;
        while let Some((entry, action)) = tasks.task()? {
            stopped(self.stop)?;
            while !level.has(&entry.path) {
                self.send(&mut level, true)?;
                let none = || Error::new(Kind::Internal, "the list of a run's work is broken");
                level = above.pop().ok_or_else(none)?;
            }
            if let Action::Enter { sides, is_doomed } = action {
                let inner = self.enter(&level, entry, sides, is_doomed)?;
                if level.out.recycled().is_some() {
                    level.names.push((entry.place()?.1, Step::Directory));
                    self.send_if_many(&mut level)?;
                }
                above.push(std::mem::replace(&mut level, inner));
            } else {
                self.add(&mut level, entry, action)?;
            }
            tasks.advance()?;
        }
        self.send(&mut level, true)?;
        while let Some(mut level) = above.pop() {
            self.send(&mut level, true)?;
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
        } else if level.out.recycled().is_some() {
            // It is made anew, if at all.
            clear(level.out.made()?, &name, None)?;
        }
        let mut inner = Level::new(out, &entry.path);
        // The first one that it is like is the source's, where it has one.
        for side in [SOURCE, TARGET].into_iter().filter(|side| sides[*side]) {
            let Some(above) = &level.sides[side] else {
                continue;
            };
            if side == TARGET && above.is_fixed(&name).at("cannot look at", &entry.path)? {
                return Err(fixed(&entry.path));
            }
            match above.open(&name) {
                Ok(directory) => {
                    let directory = Arc::new(directory);
                    let found = directory.own_stat().at("cannot look at", &entry.path)?;
                    if !(sides[SOURCE] && self.build.roots[SOURCE].is_none()) {
                        inner.out.is_like(found, &directory);
                    }
                    inner.sides[side] = Some(directory);
                    if side == TARGET {
                        inner.is_as_planned = found.changed < self.build.since;
                    }
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
            Action::TakeOver { is_same } => Step::TakeOver {
                kind,
                is_same,
                inode: entry.stat.id.1,
            },
        };
        if action == Action::Copy || self.build.link != Link::Hard {
            level.bytes += entry.stat.stored;
        }
        level.names.push((entry.place()?.1, step));
        self.send_if_many(level)
    }

    fn send_if_many(&mut self, level: &mut Level) -> Result<()> {
        if level.names.len() >= TOGETHER || level.bytes >= BYTES {
            self.send(level, false)?;
        }
        Ok(())
    }

    /// Has the names that were gathered copied. After the last ones of a directory that is used again, what else is in it goes.
    fn send(&mut self, level: &mut Level, is_last: bool) -> Result<()> {
        let clears = is_last && level.out.recycled().is_some();
        if level.names.is_empty() && !clears {
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
        let last = level.names.last().map(|(name, _)| name.clone());
        let batch = Batch {
            into: Arc::clone(level.out.made()?),
            out: Some(Arc::clone(&level.out)),
            sides: level.sides.clone(),
            is_as_planned: level.is_as_planned,
            above,
            part: self.part,
            names: std::mem::take(&mut level.names),
            behind: level.sent.clone(),
            is_last,
        };
        level.sent = last.or(level.sent.take());
        level.bytes = 0;
        // Nobody takes it any more where all have failed, which is told elsewhere.
        self.sender.send(batch).map_err(|_| {
            self.stop.cancel();
            Error::new(Kind::Internal, "nobody copies any more")
        })
    }
}
