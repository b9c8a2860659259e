//! Dumps as the stores' own tools write and read them (`pg_dump`, `mariadb-dump`, `mysqldump`), for archives that others
//! write or read: a dump becomes a source by being restored beside incoming, and a surveyed source becomes a dump.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::stream::BoxStream;

#[cfg(feature = "mysql")]
use super::mysql;
#[cfg(feature = "postgresql")]
use super::postgresql;
use super::{Context, Source, Survey, Unable};
use crate::config::job::{StoreKind, Task, Verify};
use crate::error::{Error, Kind, Result};

/// A dump's bytes as the store's own tool writes them, cut anywhere, without a gzip around them: SQL for MySQL,
/// PostgreSQL's custom format. An error ends them, and then they were not whole.
pub type Dump = BoxStream<'static, Result<Bytes>>;

/// Rows of each table in a dump, by [`super::Part::label`]; whole once the dump has ended. What is not in it could not be
/// counted. Where a dump [`is_of_the_survey`], they are held against the source's.
pub type Counted = Arc<Mutex<HashMap<String, u64>>>;

/// A dump that a tool is writing.
pub struct Dumping {
    /// Its bytes. They end well only after the tool did: with its exit status 0, and nothing on its standard error that
    /// says otherwise.
    pub bytes: Dump,
    /// The rows that have passed.
    pub rows: Counted,
}

/// What a task asks of a dump that is restored (a pull) or written (a push) and that the store's own tools cannot do; for
/// `validate`, and before every run.
pub fn unable(task: &Task) -> Vec<Unable> {
    let mut all = Vec::new();
    if task.throttle.is_some() {
        all.push(Unable {
            key: "throttle",
            why: "with format = \"govuk\" the store's own tool moves the rows, and keeps to no pace; leave `throttle` out"
                .to_owned(),
        });
    }
    if task.max_replication_lag.is_some() {
        all.push(Unable {
            key: "max_replication_lag",
            why: "with format = \"govuk\" the store's own tool reads the rows, and does not pause; leave `max_replication_lag` out"
                .to_owned(),
        });
    }
    if task.pushes() && task.verify == Verify::Checksum {
        all.push(Unable {
            key: "verify",
            why: "a dump is not read back: rows are counted while it is written; take verify = \"rows\""
                .to_owned(),
        });
    }
    all.extend(match task.kind {
        #[cfg(feature = "mysql")]
        StoreKind::Mysql => mysql::dump::unable(task),
        #[cfg(feature = "postgresql")]
        StoreKind::Postgresql => postgresql::dumped::unable(task),
        #[allow(unreachable_patterns)]
        kind => vec![Unable {
            key: "kind",
            why: format!("{kind} has no dumps: format = \"govuk\" is for postgresql and mysql"),
        }],
    });
    all
}

/// Whether a dump's file has gzip around it. (PostgreSQL's custom format is compressed in itself.)
pub fn is_zipped(kind: StoreKind) -> bool {
    kind != StoreKind::Postgresql
}

/// Whether a dump is of the survey's very point in time, so that its rows are the survey's. (MySQL's tools have one of their
/// own, and hold their rows against the survey's by themselves.)
pub fn is_of_the_survey(kind: StoreKind) -> bool {
    kind == StoreKind::Postgresql
}

/// Restores a dump into a staging thing on the target's server, and opens that as a source; `name` is the file's, for
/// errors. It is called under the target's lock, after its sweep. The whole dump is read; whatever in it fails, is missing
/// at its end or reaches out of the staging thing is an error with `name` and the statement or object.
///
/// The staging thing is named by the run, like incoming: the source drops it in `close`, which may be called twice;
/// [`super::Target::discard`] drops it where this was ended half-way; and [`super::Target::sweep`] what dead runs left.
#[cfg_attr(
    not(any(feature = "mysql", feature = "postgresql")),
    allow(unused_variables, clippy::unused_async)
)]
pub async fn restore(
    task: &Task,
    context: &Context,
    dump: Dump,
    name: &str,
) -> Result<Box<dyn Source>> {
    match task.kind {
        #[cfg(feature = "mysql")]
        StoreKind::Mysql => mysql::dump::restore(task, context, dump, name).await,
        #[cfg(feature = "postgresql")]
        StoreKind::Postgresql => postgresql::dumped::restore(task, context, dump, name).await,
        #[allow(unreachable_patterns)]
        kind => Err(without(kind)),
    }
}

/// Dumps a surveyed source by the store's own tool, at the survey's point in time, without what the survey's `left_out`
/// has. An error before the first byte is this one's, a later one is the stream's. Dropped, it ends the tool.
#[cfg_attr(
    not(any(feature = "mysql", feature = "postgresql")),
    allow(unused_variables, clippy::unused_async)
)]
pub async fn dump(
    task: &Task,
    context: &Context,
    source: &dyn Source,
    survey: &Survey,
) -> Result<Dumping> {
    match task.kind {
        #[cfg(feature = "mysql")]
        StoreKind::Mysql => mysql::dump::dump(task, context, source, survey).await,
        #[cfg(feature = "postgresql")]
        StoreKind::Postgresql => postgresql::dumped::dump(task, context, source, survey).await,
        #[allow(unreachable_patterns)]
        kind => Err(without(kind)),
    }
}

#[allow(dead_code)]
fn without(kind: StoreKind) -> Error {
    Error::new(Kind::Config, format!("{kind} has no dumps")).hint("take format = \"envsyncd\"")
}
