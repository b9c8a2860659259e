//! Writes files and objects into a bucket, several at a time.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::{RwLock, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::fetch::at_once;
use super::flight::{MEMORY, Shared, Told};
use super::parents::Parents;
use super::relay::Relay;
use super::upload::Upload;
use crate::error::{Error, Kind, Result};
use crate::s3::S3;
use crate::store::Context;
use crate::store::files::connection::blocking::{blocking, stopped};
use crate::store::files::connection::directory::Directory;
use crate::store::files::connection::stat::Stat;
use crate::store::files::incoming::throttle::Throttle;
use crate::store::files::rows::listing::Listing;
use crate::store::files::rows::sorter::Sorter;
use crate::store::files::rows::tree::{At, Tree};
use crate::store::files::rows::warnings::{Warning, Warnings};
use crate::store::files::rows::work::{Action, Work};
use crate::sync::Mutex;

/// What is written, and whence.
pub(super) struct Sending {
    pub(super) s3: Arc<S3>,
    pub(super) source: At,
    pub(super) work: Work,
    pub(super) told: Arc<Told>,
    pub(super) warnings: Arc<Warnings>,
    pub(super) context: Context,
    /// So many bytes a second.
    pub(super) throttle: Option<u64>,
    /// Held by whatever is on its way. `None`: nobody has to know what has been written, and what is on its way when it fails is
    /// cut off.
    pub(super) busy: Option<Arc<RwLock<()>>>,
}

/// Objects on their way. Where somebody waits until they have landed, they go on when nobody wants them any more, to the next piece.
struct Flight {
    tasks: JoinSet<Result<()>>,
    busy: Option<Arc<RwLock<()>>>,
    _stops: DropGuard,
}

impl Drop for Flight {
    fn drop(&mut self) {
        if self.busy.is_some() {
            self.tasks.detach_all();
        }
    }
}

impl Flight {
    async fn begin(&mut self, shared: &Arc<Shared>, bucket: Option<Arc<S3>>, task: Task) {
        let busy = match &self.busy {
            Some(busy) => Some(Arc::clone(busy).read_owned().await),
            None => None,
        };
        let shared = Arc::clone(shared);
        self.tasks.spawn(async move {
            let _until_landed = busy;
            one(shared, bucket, task).await
        });
    }
}

/// An object that is to be written.
struct Task {
    path: String,
    found: Stat,
    /// The tag of its object, if it is in a bucket.
    tag: Option<String>,
    /// Where its file is, if it is here.
    from: Option<(Arc<Directory>, std::ffi::CString)>,
}

/// Refuses a source that is neither here nor in a bucket.
pub(super) fn not_here(tree: &Tree) -> Error {
    let what = format!("{} cannot be copied into a bucket", tree.told);
    Error::new(Kind::Config, what)
        .hint("copy it into a directory of this machine, and that into the bucket")
}

/// Writes all that is to be copied. Returns what was written, if somebody has to know.
pub(super) async fn send(sending: Sending) -> Result<Option<Listing>> {
    let Sending {
        s3,
        source,
        work,
        told,
        warnings,
        context,
        throttle,
        busy,
    } = sending;
    let mut unfinished: HashMap<String, Vec<String>> = HashMap::new();
    for (path, id) in s3.unfinished().await? {
        unfinished.entry(path).or_default().push(id);
    }
    let (directory, bucket) = match &source {
        At::Here(directory) => (Some(Arc::clone(directory)), None),
        At::Elsewhere(fetch) => (None, fetch.bucket().cloned()),
    };
    let is_one_server = bucket
        .as_ref()
        .is_some_and(|from| from.server() == s3.server());
    if is_one_server && throttle.is_some() {
        tracing::info!("what the server copies by itself keeps to no pace");
    }
    let cancel = context.cancel.clone();
    let at_once = at_once(&context);
    let shared = Arc::new(Shared {
        s3,
        told,
        warnings: Arc::clone(&warnings),
        context,
        unfinished,
        memory: Arc::new(Semaphore::new(MEMORY as usize)),
        copies_itself: AtomicBool::new(is_one_server),
        throttle: throttle.map(Throttle::new),
        stop: cancel.child_token(),
        written: busy.is_some().then(|| Mutex::new(Sorter::new())),
    });
    let (sender, mut tasks) = mpsc::channel(256);
    let reading = blocking(&cancel, move |stop| {
        give_out(&work, directory, &sender, stop)
    });
    let writing = async {
        let mut flight = Flight {
            tasks: JoinSet::new(),
            busy,
            _stops: shared.stop.clone().drop_guard(),
        };
        loop {
            tokio::select! {
                task = tasks.recv(), if flight.tasks.len() < at_once => {
                    let Some(task) = task else { break };
                    flight.begin(&shared, bucket.clone(), task).await;
                }
                Some(done) = flight.tasks.join_next() => landed(done)?,
            }
        }
        while let Some(done) = flight.tasks.join_next().await {
            landed(done)?;
        }
        Ok(())
    };
    tokio::try_join!(reading, writing)?;
    shared.all_written()
}

/// Goes through what is to be done, and says where each file comes from.
fn give_out(
    work: &Work,
    directory: Option<Arc<Directory>>,
    sender: &mpsc::Sender<Task>,
    stop: &CancellationToken,
) -> Result<()> {
    let mut parents = directory.map(Parents::of);
    let mut list = work.tasks()?;
    while let Some((entry, action)) = list.task()? {
        stopped(stop)?;
        if action == Action::Copy {
            let from = match &mut parents {
                Some(parents) => Some(parents.of_path(&entry.path)?),
                None => None,
            };
            let task = Task {
                path: String::from_utf8_lossy(&entry.path).into_owned(),
                found: entry.stat,
                tag: (entry.link.as_deref())
                    .map(|tag| String::from_utf8_lossy(tag).into_owned())
                    .filter(|_| from.is_none()),
                from,
            };
            if sender.blocking_send(task).is_err() {
                return Ok(());
            }
        }
        list.advance()?;
    }
    Ok(())
}

fn landed(done: std::result::Result<Result<()>, tokio::task::JoinError>) -> Result<()> {
    done.map_err(|error| Error::new(Kind::Internal, "a worker died").because(error))?
}

async fn one(shared: Arc<Shared>, bucket: Option<Arc<S3>>, task: Task) -> Result<()> {
    let Task {
        path,
        found,
        tag,
        from,
    } = task;
    let has_arrived = match (from, bucket) {
        (Some((directory, name)), _) => {
            let upload = Upload {
                shared: Arc::clone(&shared),
                path: path.clone(),
                found,
                directory,
                name: Arc::new(name),
            };
            upload.run().await?
        }
        (None, Some(from)) => {
            let relay = Relay {
                shared: Arc::clone(&shared),
                from,
                path: path.clone(),
                size: found.size,
                tag,
            };
            relay.run().await?
        }
        (None, None) => false,
    };
    if !has_arrived {
        shared.warnings.add(Warning::Vanished, path.as_bytes());
        return Ok(());
    }
    shared.count(path.as_bytes(), 1, 0);
    Ok(())
}
