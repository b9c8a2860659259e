//! Dumps as the stores' own tools write and read them (`pg_dump`, `mariadb-dump`, `mysqldump`), for archives that others
//! write or read: a dump becomes a source when its definitions are made beside incoming, and a surveyed source becomes a dump
//! ([`super::Dumps`]).

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{Chunk, Chunks};
use crate::error::{Error, Kind, Result};
use crate::sync::Mutex;

/// So many chunks are read ahead, while the target is at others.
const AHEAD: usize = 4;

/// A dump's bytes as the store's own tool writes them, cut anywhere, without a gzip around them: SQL for MySQL,
/// PostgreSQL's custom format. An error ends them, and then they were not whole.
pub type Dump = BoxStream<'static, Result<Bytes>>;

/// A dump's file, which is read from its beginning as often as it is wanted.
#[async_trait]
pub trait DumpFile: Send + Sync {
    /// Its name, for errors.
    fn name(&self) -> &str;
    /// Its bytes.
    async fn open(&self) -> Result<Dump>;
}

/// Rows of each table in a dump, by [`super::Part::label`]; whole once the dump has ended. What is not in it could not be
/// counted. Where a dump is of the survey ([`super::Dumps::are_of_the_survey`]), they are held against the source's.
pub type Counted = Arc<Mutex<HashMap<String, u64>>>;

/// A dump that a tool is writing.
pub struct Dumping {
    /// Its bytes. They end well only after the tool did: with its exit status 0, and nothing on its standard error that
    /// says otherwise.
    pub bytes: Dump,
    /// The rows that have passed.
    pub rows: Counted,
}

/// A dump's rows, read ahead of who takes the chunks by what `read` returns. Dropped, they end the reading.
pub fn read_ahead<R>(read: impl FnOnce(mpsc::Sender<Result<Chunk>>) -> R) -> Chunks
where
    R: Future<Output = Result<()>> + Send + 'static,
{
    let (to, from) = mpsc::channel(AHEAD);
    let read = read(to.clone());
    let mut reading = JoinSet::new();
    reading.spawn(async move {
        if let Err(error) = read.await {
            // Who does not listen any more has an error of its own.
            let _ = to.send(Err(error)).await;
        }
    });
    let state = (from, reading);
    stream::unfold(state, |(mut from, mut reading)| async move {
        if let Some(chunk) = from.recv().await {
            return Some((chunk, (from, reading)));
        }
        match reading.join_next().await {
            Some(Err(broke)) => {
                let error = Error::new(Kind::Internal, "reading a dump broke").because(broke);
                Some((Err(error), (from, reading)))
            }
            _ => None,
        }
    })
    .boxed()
}

/// The error of a chunk that nobody takes any more.
pub fn unwanted() -> Error {
    Error::new(Kind::Internal, "nobody takes a dump's rows any more")
}
