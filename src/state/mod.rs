//! The state store: history, progress, logs, the queue, pauses, holds, tokens and the audit list, in SQLite under
//! `state_dir`.
//!
//! Several processes use one `state.db` at once: runs write what happens as it happens, the command line and the daemon
//! read it. Every call is one short transaction and blocks; a writer waits for another for up to ten seconds. A `kill -9`
//! loses nothing that was written; what must outlast a power cut as well (a run's begin and end, holds) is synced.
//! No secret and no row of a copied store is ever in here.

mod answers;
mod audit;
mod copied;
mod daemon;
mod errors;
#[cfg(test)]
mod example;
#[cfg(test)]
mod fuzz;
mod handle;
mod history;
mod holds;
mod logs;
mod mask_keys;
mod masked;
mod open;
mod overview;
mod pauses;
pub mod presence;
mod prune;
mod queue;
mod record;
mod run;
mod schema;
mod strict;
mod tables;
mod tokens;

use chrono::{DateTime, Utc};

pub use audit::{Audited, BEGUN};
pub use copied::{CopiedTable, CopiedTables, StepTime, TABLES};
pub use daemon::{Daemon, KnownJob};
use handle::Durable;
pub use handle::State;
pub use history::Page;
pub use holds::Hold;
pub use logs::LogLine;
pub use masked::{Masked, MaskedTable};
pub use overview::{JobOverview, Total};
pub use pauses::{Pause, Paused};
pub use prune::Pruned;
pub use queue::{Entry, Queued};
pub use record::Beat;
pub use run::{NewRun, Outcome, Run, RunState, TaskProgress, TaskRow, Trigger, Verb, apart};
pub use tokens::{Scope, Token, TokenKind, hash_of, secret};

/// What the steps of a run begin with in which its live target is emptied and not loaded yet.
pub const IN_PLACE: &str = "in place: ";

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
