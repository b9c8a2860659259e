//! SQLite: a database file.
//!
//! The source is read in one transaction. Incoming is a file beside live, `LIVE.envsyncd-incoming-RUN`; a whole copy
//! takes it page by page through SQLite's backup interface, a partial one row by row, so that what is left out never
//! reaches the target's disk. Publish writes incoming's pages into live's own file in one transaction, because an
//! application that has the file open goes on with it: a renamed file would leave it with the old one. Before that, live
//! is copied to `LIVE.envsyncd-snapshot-RUN`, which becomes `LIVE.envsyncd-previous`. `LIVE.envsyncd-marks` says which of
//! these are ours. After scripts incoming is written anew, so that nothing of what they removed is in it.
//!
//! At its peak the target's disk holds live, previous, a snapshot, incoming, and a journal as big as the larger of live
//! and incoming.

use super::{Context, Server, Source, Target, Unable};
use crate::config::job::{Endpoint, Publish, Task};
use crate::error::{Error, Kind, Result};

mod by_hand;
mod confirm;
mod connection;
mod copy;
mod cut;
mod definition;
mod derive;
mod finish;
#[cfg(test)]
mod fuzz;
mod handle;
mod inserts;
mod kept;
mod literals;
mod live;
mod load;
mod lock;
mod marks;
mod messages;
mod module;
mod needs;
mod place;
pub(super) mod portable;
mod publish;
mod references;
mod room;
mod rows;
mod schema;
mod scratch;
mod script;
mod source;
mod stored;
mod target;
#[cfg(test)]
mod tests;
mod tokens;
mod unknown;
pub(super) mod url;
mod views;

pub use schema::Definitions;
pub use url::KIND;

/// What a task asks that SQLite cannot do.
pub fn unable(task: &Task) -> Vec<Unable> {
    let mut found = Vec::new();
    if task.jobs.is_some_and(|jobs| jobs > 1) {
        found.push(Unable {
            key: "jobs",
            why: "an SQLite file has one writer: `jobs` is 1 or not set".to_owned(),
        });
    }
    if task.places.contains_key("roles") {
        found.push(Unable {
            key: "roles",
            why: "an SQLite file knows no roles: leave `roles` out".to_owned(),
        });
    }
    if task.publish == Publish::InPlace {
        found.push(Unable {
            key: "publish",
            why: "SQLite's copies are always written into the live file itself, in one transaction: `publish` is \"swap\" or not set".to_owned(),
        });
    }
    if task.throttle.is_some() {
        found.push(Unable {
            key: "throttle",
            why: "an SQLite file is read in one go and not over a network: `throttle` is not set"
                .to_owned(),
        });
    }
    if task.max_replication_lag.is_some() {
        found.push(Unable {
            key: "max_replication_lag",
            why: "an SQLite file has no replication: `max_replication_lag` is not set".to_owned(),
        });
    }
    found
}

/// Opens a source. The file has to be there and to be a database.
pub async fn open_source(endpoint: &Endpoint, context: &Context) -> Result<Box<dyn Source>> {
    let place = place::Place::of(endpoint.url.address()?)?;
    if !place.exists() {
        return Err(Error::new(
            Kind::Connection,
            format!("the source {} is not there", place.file.display()),
        )
        .hint("check the source's path"));
    }
    Ok(Box::new(source::SqliteSource::open(place, context).await?))
}

/// Opens a target. The file may be missing; its directory may not.
#[allow(clippy::unused_async)] // every store's is
pub async fn open_target(task: &Task, context: &Context) -> Result<Box<dyn Target>> {
    let place = place::Place::of(task.target.url.address()?)?;
    place.refuse_companion()?;
    Ok(Box::new(target::SqliteTarget::new(place, task, context)))
}

/// The SQLite that we bring along: a file has no server, and no version that matters.
fn server() -> Server {
    Server {
        kind: KIND,
        version: rusqlite::version().to_owned(),
        major: 3,
    }
}
