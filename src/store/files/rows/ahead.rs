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

/// A directory that was read.
pub(super) struct Contents {
    pub(super) directory: Arc<Directory>,
    pub(super) own: Stat,
    pub(super) names: Names,
}

impl Contents {
    /// Reads an open one. If it was removed after it was opened, it is empty.
    pub(super) fn of(directory: Arc<Directory>) -> Result<Self, Errno> {
        let own = directory.own_stat()?;
        let mut names = match directory.names() {
            Err(Errno::NOENT) => Names::default(),
            names => names?,
        };
        names.look(&*directory);
        Ok(Self {
            directory,
            own,
            names,
        })
    }

    /// Opens and reads one in another.
    pub(super) fn open(above: &Directory, name: &CString) -> Result<Self, Errno> {
        Self::of(Arc::new(above.open(name)?))
    }
}

/// One that is wanted soon.
struct Wanted {
    above: Arc<Directory>,
    name: CString,
    read: Sender<Result<Contents, Errno>>,
}

/// Threads that read ahead, once there is something for them.
pub(super) struct Ahead<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    wanted: Option<Sender<Wanted>>,
}

impl<'scope, 'env> Ahead<'scope, 'env> {
    /// None yet.
    pub(super) fn new(scope: &'scope Scope<'scope, 'env>) -> Self {
        Self {
            scope,
            wanted: None,
        }
    }

    /// Has a directory read; it comes out of what is returned, or nothing does.
    pub(super) fn ask(
        &mut self,
        above: &Arc<Directory>,
        name: CString,
    ) -> Receiver<Result<Contents, Errno>> {
        let (read, receiver) = channel();
        let above = Arc::clone(above);
        let sender = self.wanted.get_or_insert_with(|| start(self.scope));
        // Where nobody reads, whoever waits hears so, and reads by itself.
        let _ = sender.send(Wanted { above, name, read });
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
                let _ = wanted
                    .read
                    .send(Contents::open(&wanted.above, &wanted.name));
            }
        };
        // Without a thread the walk reads by itself.
        let _ = std::thread::Builder::new()
            .name("read-ahead".to_owned())
            .spawn_scoped(scope, reading);
    }
    sender
}
