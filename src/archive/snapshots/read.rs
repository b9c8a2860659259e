//! Reads stored files, several at once, each held against the manifest.

use std::sync::Arc;

use futures_util::StreamExt;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::archive::bucket::{Bucket, Upload};
use crate::archive::files::{self, Trouble};
use crate::archive::layout::Name;
use crate::archive::manifest::File;
use crate::error::{Error, Kind, Result};

/// How many files are read at once.
const AT_ONCE: usize = 4;

/// An observer of how many bytes were read.
pub trait Watch: Send + Sync {
    /// So many bytes are to come.
    fn expect(&self, bytes: u64);
    /// So many bytes more, as stored.
    fn add(&self, bytes: u64);
}

impl Watch for () {
    fn expect(&self, _bytes: u64) {}
    fn add(&self, _bytes: u64) {}
}

/// What is wrong with a file that could be read, as the second half of a sentence: `block 3 of 7 is not ...`.
pub(super) type Fault = String;

/// Reads a file to its end and hands its bytes on, unless `to` is `None`. The outer error: it cannot be read; the inner
/// one: it is not what was written. `stop` ends it between two blocks.
pub(super) async fn checked(
    from: &Bucket,
    name: &Name,
    file: &File,
    mut to: Option<&mut Upload>,
    watch: &dyn Watch,
    stop: &CancellationToken,
) -> Result<Result<(), Fault>> {
    let mut blocks = files::examined(from, &name.to_string(), file);
    loop {
        let next = tokio::select! {
            biased;
            () = stop.cancelled() => return Err(cancelled()),
            next = blocks.next() => next,
        };
        let block = match next {
            None => return Ok(Ok(())),
            Some(Ok(block)) => block,
            Some(Err(Trouble::Damaged(fault))) => return Ok(Err(fault)),
            Some(Err(Trouble::Unread(error))) if error.kind() == Kind::Absent => {
                return Ok(Err("it is not there".to_owned()));
            }
            Some(Err(Trouble::Unread(error))) => return Err(error),
        };
        watch.add(block.len() as u64);
        if let Some(to) = to.as_deref_mut() {
            to.write(block).await?;
        }
    }
}

fn cancelled() -> Error {
    // Which signal it was is known further out.
    Error::new(Kind::Cancelled(15), "cancelled")
}

/// Does something with every file, several at once, and collects what comes of each, in no order. The first error stops
/// all, and so does `cancel`; when this returns nobody is at work any more.
pub(super) async fn each<F, T>(
    files: impl IntoIterator<Item = File>,
    cancel: &CancellationToken,
    work: impl Fn(Arc<File>, CancellationToken) -> F,
) -> Result<Vec<(Arc<File>, T)>>
where
    F: Future<Output = Result<T>> + Send + 'static,
    T: Send + 'static,
{
    let stop = cancel.child_token();
    let (mut running, mut done, mut failed) = (JoinSet::new(), Vec::new(), None);
    let mut files = files.into_iter();
    loop {
        while running.len() < AT_ONCE
            && !stop.is_cancelled()
            && let Some(file) = files.next()
        {
            let file = Arc::new(file);
            let work = work(Arc::clone(&file), stop.clone());
            running.spawn(async move { work.await.map(|result| (file, result)) });
        }
        let result = match running.join_next().await {
            None => break,
            Some(Ok(result)) => result,
            Some(Err(error)) => {
                Err(Error::new(Kind::Internal, "a file's reader has died").because(error))
            }
        };
        match result {
            Ok(result) => done.push(result),
            Err(error) => {
                // What a disk or a server is at cannot be called back: it is waited for.
                stop.cancel();
                failed.get_or_insert(error);
            }
        }
    }
    match failed {
        Some(error) => Err(error),
        None if cancel.is_cancelled() => Err(cancelled()),
        None => Ok(done),
    }
}
