//! Writes files and objects into a bucket, several at a time.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

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
use crate::store::files::rows::tree::{At, Tree};
use crate::store::files::rows::warnings::{Warning, Warnings};
use crate::store::files::rows::work::{Action, Work};

/// What is written, and whence.
pub(super) struct Sending {
    pub(super) s3: Arc<S3>,
    pub(super) source: At,
    pub(super) work: Work,
    pub(super) told: Arc<Told>,
    pub(super) warnings: Arc<Warnings>,
    pub(super) context: Context,
}

/// An object that is to be written.
struct Task {
    path: String,
    found: Stat,
    /// Where its file is, if it is here.
    from: Option<(Arc<Directory>, std::ffi::CString)>,
}

/// Refuses a source that is neither here nor in a bucket.
pub(super) fn not_here(tree: &Tree) -> Error {
    let what = format!("{} cannot be copied into a bucket", tree.told);
    Error::new(Kind::Config, what)
        .hint("copy it into a directory of this machine, and that into the bucket")
}

/// Writes all that is to be copied.
pub(super) async fn send(sending: Sending) -> Result<()> {
    let Sending {
        s3,
        source,
        work,
        told,
        warnings,
        context,
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
    });
    let (sender, mut tasks) = mpsc::channel(256);
    let reading = blocking(&cancel, move |stop| {
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
                    from,
                };
                if sender.blocking_send(task).is_err() {
                    return Ok(());
                }
            }
            list.advance()?;
        }
        Ok(())
    });
    let writing = async {
        let mut flight = JoinSet::new();
        loop {
            tokio::select! {
                task = tasks.recv(), if flight.len() < at_once => {
                    let Some(task) = task else { break };
                    flight.spawn(one(Arc::clone(&shared), bucket.clone(), task));
                }
                Some(done) = flight.join_next() => landed(done)?,
            }
        }
        while let Some(done) = flight.join_next().await {
            landed(done)?;
        }
        Ok(())
    };
    tokio::try_join!(reading, writing).map(|_| ())
}

fn landed(done: std::result::Result<Result<()>, tokio::task::JoinError>) -> Result<()> {
    done.map_err(|error| Error::new(Kind::Internal, "a worker died").because(error))?
}

async fn one(shared: Arc<Shared>, bucket: Option<Arc<S3>>, task: Task) -> Result<()> {
    let Task { path, found, from } = task;
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
