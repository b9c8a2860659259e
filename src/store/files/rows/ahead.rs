//! Directories that are read before the walk comes to them, so that it need not wait for each by itself.

use std::ffi::CString;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Scope;

use rustix::io::Errno;

use crate::store::files::connection::directory::Directory;
use crate::store::files::connection::names::Names;
use crate::store::files::connection::stat::Stat;
use crate::sync::Mutex;

/// Threads that read, at the most.
const THREADS: usize = 4;
/// So many of a directory's own are read ahead: the threads have always something to do,
const MANY: usize = 12;
/// and so many where there are directories with more names than this, so that few of them are in memory.
const FEW: usize = 3;
const LARGE: usize = 4096;
/// While the walk has not come to so many names that were read ahead, in all directories and on both sides, no more than those
/// few are read: what is large is known only when it has been read.
const MOST: usize = 50_000;

/// A directory that was read.
pub(super) struct Contents {
    pub(super) directory: Arc<Directory>,
    pub(super) own: Stat,
    pub(super) names: Names,
    /// Whether what is known of its files was asked for at once.
    pub(super) looks: bool,
}

impl Contents {
    /// Reads an open one. If it was removed after it was opened, it is empty.
    pub(super) fn of(directory: Arc<Directory>, looks: bool) -> Result<Self, Errno> {
        let own = directory.own_stat()?;
        let mut names = match directory.names() {
            Err(Errno::NOENT) => Names::default(),
            names => names?,
        };
        if looks {
            names.look(&*directory);
        }
        Ok(Self {
            directory,
            own,
            names,
            looks,
        })
    }

    /// Opens and reads one in another.
    pub(super) fn open(above: &Directory, name: &CString, looks: bool) -> Result<Self, Errno> {
        Self::of(Arc::new(above.open(name)?), looks)
    }
}

/// The names that were read ahead, and that the walk has not come to.
struct Budget {
    names: AtomicUsize,
    most: usize,
}

impl Budget {
    fn is_used_up(&self) -> bool {
        self.names.load(Ordering::Relaxed) >= self.most
    }
}

/// What a directory takes of the budget, until the walk comes to it or wants it no more.
struct Share {
    budget: Arc<Budget>,
    names: usize,
}

impl Share {
    fn of(budget: &Arc<Budget>, read: &Result<Contents, Errno>) -> Self {
        let names = read.as_ref().map_or(0, |contents| contents.names.len());
        budget.names.fetch_add(names, Ordering::Relaxed);
        Self {
            budget: Arc::clone(budget),
            names,
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.names.fetch_sub(self.names, Ordering::Relaxed);
    }
}

/// What comes of a directory that is read ahead.
type Read = (Result<Contents, Errno>, Share);

/// A directory that is read ahead.
pub(super) struct Coming(Receiver<Read>);

impl Coming {
    /// Waits for it. `None`: it is not read ahead, and whoever wants it reads it.
    pub(super) fn take(self) -> Option<Result<Contents, Errno>> {
        let (read, _share) = self.0.recv().ok()?;
        Some(read)
    }
}

/// One that is wanted soon.
struct Wanted {
    above: Arc<Directory>,
    name: CString,
    looks: bool,
    /// It is among the few that come next.
    is_next: bool,
    read: Sender<Read>,
}

impl Wanted {
    /// Reads it, unless there is no room for it.
    fn read(self, budget: &Arc<Budget>) {
        if !self.is_next && budget.is_used_up() {
            return;
        }
        let read = Contents::open(&self.above, &self.name, self.looks);
        // Too many are open; when the walk comes to it there may be fewer.
        if matches!(read, Err(Errno::MFILE | Errno::NFILE)) {
            return;
        }
        let share = Share::of(budget, &read);
        // Nobody waits for it any more, if the walk has ended.
        let _ = self.read.send((read, share));
    }
}

/// Threads that read ahead, once there is something for them.
pub(super) struct Ahead<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    wanted: Option<Sender<Wanted>>,
    budget: Arc<Budget>,
    has_large: bool,
}

impl<'scope, 'env> Ahead<'scope, 'env> {
    /// None yet.
    pub(super) fn new(scope: &'scope Scope<'scope, 'env>) -> Self {
        Self::within(scope, MOST)
    }

    fn within(scope: &'scope Scope<'scope, 'env>, most: usize) -> Self {
        let names = AtomicUsize::new(0);
        Self {
            scope,
            wanted: None,
            budget: Arc::new(Budget { names, most }),
            has_large: false,
        }
    }

    /// How many directories of one are to be read ahead.
    pub(super) fn depth(&self) -> usize {
        if self.has_large || self.budget.is_used_up() {
            FEW
        } else {
            MANY
        }
    }

    /// One that has so many names was read.
    pub(super) fn read(&mut self, names: usize) {
        self.has_large |= names > LARGE;
    }

    /// Has a directory read of which so many others come before; it comes out of what is returned, or nothing does.
    pub(super) fn ask(
        &mut self,
        above: &Arc<Directory>,
        name: CString,
        looks: bool,
        before: usize,
    ) -> Coming {
        let (read, receiver) = channel();
        let above = Arc::clone(above);
        let sender = (self.wanted).get_or_insert_with(|| start(self.scope, &self.budget));
        // Where nobody reads, whoever waits hears so, and reads by itself.
        let _ = sender.send(Wanted {
            above,
            name,
            looks,
            is_next: before < FEW,
            read,
        });
        Coming(receiver)
    }
}

fn start<'scope>(scope: &'scope Scope<'scope, '_>, budget: &Arc<Budget>) -> Sender<Wanted> {
    let (sender, receiver) = channel::<Wanted>();
    let receiver = Arc::new(Mutex::new(receiver));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    for _ in 0..cores.min(THREADS) {
        let (receiver, budget) = (Arc::clone(&receiver), Arc::clone(budget));
        let reading = move || {
            loop {
                let next = receiver.lock().recv();
                let Ok(wanted) = next else { break };
                wanted.read(&budget);
            }
        };
        // Without a thread the walk reads by itself.
        let _ = std::thread::Builder::new()
            .name("read-ahead".to_owned())
            .spawn_scoped(scope, reading);
    }
    sender
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIRECTORIES: usize = 40;

    fn ask(ahead: &mut Ahead<'_, '_>, above: &Arc<Directory>, before: usize) -> Vec<Coming> {
        let names = (0..DIRECTORIES).map(|name| CString::new(name.to_string()).unwrap());
        names
            .map(|name| ahead.ask(above, name, false, before))
            .collect()
    }

    #[test]
    fn no_more_names_are_read_ahead_than_fit_but_for_the_next_few() {
        let place = tempfile::tempdir().unwrap();
        for directory in 0..DIRECTORIES {
            let directory = place.path().join(directory.to_string());
            std::fs::create_dir(&directory).unwrap();
            for file in 0..10 {
                std::fs::write(directory.join(file.to_string()), "").unwrap();
            }
        }
        let above = Arc::new(Directory::at(place.path()).unwrap());
        let budget = std::thread::scope(|scope| {
            let mut ahead = Ahead::within(scope, 15);
            assert_eq!(ahead.depth(), MANY);
            let asked = ask(&mut ahead, &above, FEW);
            // The walk does not come to them.
            let read: Vec<Read> = (asked.into_iter())
                .filter_map(|coming| coming.0.recv().ok())
                .collect();
            let fit = 2..=2 + THREADS;
            assert!(fit.contains(&read.len()), "{}", read.len());
            assert_eq!(ahead.depth(), FEW);
            let next = ask(&mut ahead, &above, 0).into_iter();
            let next: Vec<_> = next.filter_map(Coming::take).collect();
            assert!(next.iter().all(Result::is_ok));
            assert_eq!(next.len(), DIRECTORIES);
            // Now it does.
            drop(read);
            assert_eq!(ahead.depth(), MANY);
            let again = ask(&mut ahead, &above, FEW).into_iter();
            assert!(again.filter_map(Coming::take).count() > 0);
            // Nobody wants these any more.
            drop(ask(&mut ahead, &above, FEW));
            Arc::clone(&ahead.budget)
        });
        assert_eq!(budget.names.load(Ordering::Relaxed), 0);
    }
}
