//! envsyncd copies an environment's data into the environment below it: production into staging, staging into
//! integration. Each run builds a complete copy beside the live target, verifies it, and publishes it in one step.
//!
//! # The map of the house
//!
//! A module imports only from modules further down this list, and siblings inside `store/` never see each other; a test
//! (`tests/it/layering.rs`) holds the code to it.
//!
//! | module | what it is |
//! | --- | --- |
//! | `main.rs` | parses the command line and maps the outcome to an exit code |
//! | [`cli`] | one file a verb; the only place that knows a terminal |
//! | `http` | the API and the control panel: what the state store has, and requests into the queue |
//! | [`proxy`] | files of a directory to whoever asks; what is missing is had from production |
//! | [`daemon`] | keeps schedules, and starts and supervises runs; [`daemon::planner`] says what is due |
//! | [`control`] | what people and programs ask for: one way for the command line and the API, all of it audited |
//! | [`run`] | one way to start a run ([`run::start`]), then one straight line: a file a step, and one that walks them |
//! | [`report`] | what others read: logs, status files, metrics, the monitoring plugin; and who is told |
//! | [`state`] | history and its totals, progress, logs, the queue, pauses, holds, tokens, the audit list, in SQLite |
//! | [`guard`] | locks, the reboot lock, priority, memory, signals, and the programs that a run calls |
//! | [`archive`] | a stored export in a directory or a bucket: a source and a target, too |
//! | [`store`] | what a store is ([`store::Driver`]), the registry, and a folder a store |
//! | [`s3`] | buckets of S3-compatible servers, which archives and trees of files lie in |
//! | [`config`] | files as they are written; settings and jobs once they are known to be right |
//! | [`mask`] | what becomes of personal data on its way: pure, a value at a time |
//! | [`policy`], [`schedule`], [`secret`], [`trust`], [`process`], [`limits`], `tls`, [`sync`], [`error`] | leaves, which import nothing of ours but `process`, `limits`, `sync` and `error` |
//!
//! Stores, archives, the daemon and the like are features (`Cargo.toml`). In place of what is left out of a build stands a
//! `without.rs` that says so.
//!
//! # What always holds
//!
//! 1. **Never uphill.** [`policy::permit`] is asked before a server is; a thing is never copied onto itself, whatever its
//!    two names are ([`policy::distinct`], by the server's own identity).
//! 2. **Never half.** Nobody who uses the live target notices anything until [`store::Complete::publish`] returns, and that
//!    is one atomic step. Until then [`store::Target::discard`] leaves nothing behind; what a killed process left is
//!    cleared by the next one ([`run::recover`]).
//! 3. **Never silent.** Whatever comes of a run is in the history, the status file and the log ([`run::record`]), in one
//!    line that says what failed and what to do ([`error::Error`]). No secret and no row's content is ever in there.
//! 4. **Checked first.** A copy is held against the source ([`store::Catalogue`], row counts, checksums) before the
//!    job's own scripts change it, and both come before anyone can see it.
//! 5. **Everything held is freed.** Locks, children, sessions and maintenance belong to guards that free them when
//!    dropped, and to locks that die with their process.
//! 6. **Parsed once.** A file, a validated [`config::job::Job`] and a running [`run::RunContext`] are three types; after
//!    validation no option is looked at twice.

// What a store alone has no use for; the whole build tells what nobody uses.
// So much fits a screen (clippy.toml has the number).
#![cfg_attr(not(test), warn(clippy::too_many_lines))]
#![cfg_attr(not(feature = "all"), allow(dead_code))]

#[cfg(feature = "archive")]
pub mod archive;
#[cfg(not(feature = "archive"))]
#[path = "archive/without.rs"]
pub mod archive;
pub mod cli;
pub mod config;
pub mod control;
#[cfg(feature = "daemon")]
pub mod daemon;
#[cfg(not(feature = "daemon"))]
#[path = "daemon/without.rs"]
pub mod daemon;
pub mod error;
#[cfg(test)]
mod fuzz;
pub mod guard;
#[cfg(feature = "http")]
pub mod http;
pub mod limits;
pub mod mask;
pub mod policy;
pub mod process;
#[cfg(feature = "file_proxy")]
pub mod proxy;
#[cfg(not(feature = "file_proxy"))]
#[path = "proxy/without.rs"]
pub mod proxy;
pub mod report;
pub mod run;
#[cfg(feature = "s3")]
pub mod s3;
pub mod schedule;
pub mod secret;
pub mod state;
pub mod store;
pub mod sync;
#[cfg(any(
    feature = "archive",
    feature = "file_proxy",
    feature = "http",
    feature = "icinga",
    feature = "mysql",
    feature = "postgresql",
    feature = "s3"
))]
mod tls;
pub mod trust;
