//! Directories that are read before the walk comes to them, so that it need not wait for each by itself.

use std::ffi::CString;
use std::sync::Arc;
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

/// One that is wanted soon.
struct Wanted {
    above: Arc<Directory>,
    name: CString,
    looks: bool,
    read: Sender<Result<Contents, Errno>>,
}

/// Threads that read ahead, once there is something for them.
pub(super) struct Ahead<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    wanted: Option<Sender<Wanted>>,
    has_large: bool,
}

impl<'scope, 'env> Ahead<'scope, 'env> {
    /// None yet.
    pub(super) fn new(scope: &'scope Scope<'scope, 'env>) -> Self {
        Self {
            scope,
            wanted: None,
            has_large: false,
        }
    }

    /// How many directories of one are to be read ahead.
    pub(super) fn depth(&self) -> usize {
        if self.has_large { FEW } else { MANY }
    }

    /// One that has so many names was read.
    pub(super) fn read(&mut self, names: usize) {
        self.has_large |= names > LARGE;
    }

    /// Has a directory read; it comes out of what is returned, or nothing does.
    pub(super) fn ask(
        &mut self,
        above: &Arc<Directory>,
        name: CString,
        looks: bool,
    ) -> Receiver<Result<Contents, Errno>> {
        let (read, receiver) = channel();
        let above = Arc::clone(above);
        let sender = self.wanted.get_or_insert_with(|| start(self.scope));
        // Where nobody reads, whoever waits hears so, and reads by itself.
        let _ = sender.send(Wanted {
            above,
            name,
            looks,
            read,
        });
        receiver
    }
}

fn start<'scope>(scope: &'scope Scope<'scope, '_>) -> Sender<Wanted> {
    let (sender, receiver) = channel::<Wanted>();
    let receiver = Arc::new(Mutex::new(receiver));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    for _ in 0..cores.min(THREADS) {
        let receiver = Arc::clone(&receiver);
        let reading = move || {
            loop {
                let next = receiver.lock().recv();
                let Ok(wanted) = next else { break };
                // Nobody waits for it any more, if the walk has ended.
                let contents = Contents::open(&wanted.above, &wanted.name, wanted.looks);
                let _ = wanted.read.send(contents);
            }
        };
        // Without a thread the walk reads by itself.
        let _ = std::thread::Builder::new()
            .name("read-ahead".to_owned())
            .spawn_scoped(scope, reading);
    }
    sender
}
