//! The state store: history, progress, logs, the queue, pauses and holds, in SQLite under `state_dir`.
//!
//! Several processes use one `state.db` at once: runs write what happens as it happens, the command line and the daemon
//! read it. Every call is one short transaction and blocks; a writer waits for another for up to ten seconds. A `kill -9`
//! loses nothing that was written; what must outlast a power cut as well (a run's begin and end, holds) is synced.
//! No secret and no row of a copied store is ever in here.

mod daemon;
#[cfg(test)]
mod fuzz;
mod history;
mod holds;
mod logs;
mod open;
mod overview;
mod pauses;
pub mod presence;
mod prune;
mod queue;
mod run;
mod strict;

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard};

use chrono::{DateTime, Utc};
use rusqlite::{Connection, Transaction, TransactionBehavior};

pub use daemon::{Daemon, KnownJob};
pub use history::Beat;
pub use holds::Hold;
pub use logs::LogLine;
pub use overview::{JobOverview, Total};
pub use pauses::Pause;
pub use prune::Pruned;
pub use queue::{Entry, Queued};
pub use run::{NewRun, Outcome, Run, RunState, TaskProgress, TaskRow, Trigger, Verb, apart};

use crate::error::{Error, Kind, Result};
use crate::sync::Mutex;
use crate::trust::{self, Rights};

/// What the steps of a run begin with in which its live target is emptied and not loaded yet.
pub const IN_PLACE: &str = "in place: ";

/// A handle on the state store. Clones share one connection.
#[derive(Clone)]
pub struct State {
    inner: Arc<Inner>,
}

struct Inner {
    store: Mutex<Store>,
    file: PathBuf,
    /// Root's in a directory that is somebody else's are no more than theirs.
    rights: Rights,
    /// Whether a file that was taken away is made anew. Who only looks makes nothing.
    makes: bool,
    /// How often it was made anew, or found to be another one.
    renewed: AtomicU64,
}

/// The open file.
struct Store {
    connection: Connection,
    /// What tells it from one that has taken its place; `None`: it is in memory.
    files: Option<open::Files>,
}

impl Deref for Store {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Store {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

/// How much of the machine's misfortune a change has to survive.
#[derive(Clone, Copy)]
enum Durable {
    /// A killed process.
    Process,
    /// A power cut.
    Power,
}

impl State {
    /// The database's file.
    pub fn file(&self) -> &Path {
        &self.inner.file
    }

    /// Whether nobody else can have written what is in it: where this is root, and the directory or the file is somebody else's,
    /// what it says is no reason to do anything with root's rights.
    pub fn is_our_own(&self) -> bool {
        let theirs = |path: &Path| trust::of_directory(path).is_some();
        let file = self.file();
        !self.inner.rights.are_anothers() && !theirs(file) && !file.parent().is_some_and(theirs)
    }

    /// How often the file was removed or replaced under this handle, and opened anew since. What was known from the one
    /// before may not be in it.
    pub fn renewed(&self) -> u64 {
        self.inner.renewed.load(Ordering::SeqCst)
    }

    /// Looks whether the file is still the one that is open, and opens what has taken its place.
    pub fn look(&self) -> Result<()> {
        self.with(|_| Ok(()))
    }

    /// Works on the file that has the name. SQLite itself would go on with one that was removed, and whatever is written there
    /// is lost.
    fn with<T>(&self, work: impl FnOnce(&mut Connection) -> Result<T>) -> Result<T> {
        let (outcome, is_new) = self.locked(work);
        // Not under the lock: what is logged goes into the state store, too.
        if is_new {
            tracing::warn!(
                file = %self.inner.file.display(),
                "the state store was removed or replaced while it was in use: what was recorded before may be lost, and what comes is recorded in the new one"
            );
        }
        strict::tell(&self.inner.file);
        outcome
    }

    /// The second: whether the file was made anew.
    fn locked<T>(&self, work: impl FnOnce(&mut Connection) -> Result<T>) -> (Result<T>, bool) {
        let mut store = self.connection();
        let _used = self.inner.rights.used();
        let is_there = (store.files.as_ref()).is_none_or(|files| files.are_there(&self.inner.file));
        if !is_there && let Err(error) = self.renew(&mut store) {
            return (Err(error), false);
        }
        (work(&mut store.connection), !is_there)
    }

    fn renew(&self, store: &mut Store) -> Result<()> {
        let file = &self.inner.file;
        if !self.inner.makes {
            return Err(Error::new(
                Kind::State,
                format!(
                    "{} was removed or replaced while it was being read",
                    file.display()
                ),
            )
            .hint("run this again"));
        }
        let directory = file.parent().unwrap_or(file);
        *store = open::anew(directory, store.files.as_ref())?;
        self.inner.renewed.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn connection(&self) -> MutexGuard<'_, Store> {
        // A panic elsewhere with the lock rolled its transaction back: the connection itself is sound.
        self.inner.store.lock()
    }

    fn read<T>(
        &self,
        what: &str,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T> {
        self.with(|connection| {
            connection
                .transaction()
                .and_then(|transaction| work(&transaction))
                .map_err(|error| open::error(&self.inner.file, what, error))
        })
    }

    /// `work` may fail for reasons of its own; the change is then not made.
    fn write<T>(
        &self,
        what: &str,
        durable: Durable,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<Result<T>>,
    ) -> Result<T> {
        self.with(|connection| {
            let change = |connection: &mut Connection| {
                if matches!(durable, Durable::Power) {
                    connection.pragma_update(None, "synchronous", "FULL")?;
                }
                // IMMEDIATE: a reader that becomes a writer half-way could not wait for another writer.
                let transaction =
                    connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                let outcome = work(&transaction)?;
                if outcome.is_ok() {
                    transaction.commit()?;
                }
                Ok(outcome)
            };
            let outcome = change(connection);
            if matches!(durable, Durable::Power) {
                // Harmless where it fails: the connection then goes on syncing more than it has to.
                let _ = connection.pragma_update(None, "synchronous", "NORMAL");
            }
            outcome.map_err(|error| open::error(&self.inner.file, what, error))?
        })
    }
}

/// Times are stored as microseconds since 1970, in UTC.
fn stored(at: DateTime<Utc>) -> i64 {
    at.timestamp_micros()
}

#[cfg(test)]
fn loaded(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or_default()
}

#[cfg(test)]
mod tests;
