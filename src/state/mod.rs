//! The state store: history, progress, logs, the queue, pauses and holds, in SQLite under `state_dir`.
//!
//! Several processes use one `state.db` at once: runs write what happens as it happens, the command line and the daemon
//! read it. Every call is one short transaction and blocks; a writer waits for another for up to ten seconds. A `kill -9`
//! loses nothing that was written; what must outlast a power cut as well (a run's begin and end, holds) is synced.
//! No secret and no row of a copied store is ever in here.

mod daemon;
mod history;
mod holds;
mod logs;
mod open;
mod overview;
mod pauses;
mod prune;
mod queue;
mod run;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use rusqlite::{Connection, Transaction, TransactionBehavior};

pub use daemon::{Daemon, KnownJob};
pub use holds::Hold;
pub use logs::LogLine;
pub use overview::{JobOverview, Total};
pub use pauses::Pause;
pub use prune::Pruned;
pub use queue::{Entry, Queued};
pub use run::{NewRun, Outcome, Run, RunState, TaskProgress, TaskRow, Trigger, Verb, apart};

use crate::error::Result;

/// What the steps of a run begin with in which its live target is emptied and not loaded yet.
pub const IN_PLACE: &str = "in place: ";

/// A handle on the state store. Clones share one connection.
#[derive(Clone)]
pub struct State {
    inner: Arc<Inner>,
}

struct Inner {
    connection: Mutex<Connection>,
    file: PathBuf,
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

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A panic elsewhere rolled its transaction back: the connection itself is sound.
        self.inner
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(
        &self,
        what: &str,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let mut connection = self.connection();
        connection
            .transaction()
            .and_then(|transaction| work(&transaction))
            .map_err(|error| open::error(&self.inner.file, what, error))
    }

    /// `work` may fail for reasons of its own; the change is then not made.
    fn write<T>(
        &self,
        what: &str,
        durable: Durable,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<Result<T>>,
    ) -> Result<T> {
        let mut connection = self.connection();
        let change = || {
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
        let outcome = change();
        if matches!(durable, Durable::Power) {
            // Harmless where it fails: the connection then goes on syncing more than it has to.
            let _ = connection.pragma_update(None, "synchronous", "NORMAL");
        }
        outcome.map_err(|error| open::error(&self.inner.file, what, error))?
    }
}

/// Times are stored as microseconds since 1970, in UTC.
fn stored(at: DateTime<Utc>) -> i64 {
    at.timestamp_micros()
}

fn loaded(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or_default()
}

#[cfg(test)]
mod tests;
