//! What SQLite is to the rest of envsyncd: what a task may ask of it, and how its sources and targets are opened.

use crate::config::job::{Endpoint, Publish, Task};
use crate::error::{Error, Kind, Result};
use crate::store::sqlite::connection::location::Location;
use crate::store::sqlite::source::SqliteSource;
use crate::store::sqlite::target::SqliteTarget;
use crate::store::{Context, Source, Target, Unable};

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
    let location = Location::of(&endpoint.url)?;
    if !location.exists() {
        return Err(Error::new(
            Kind::Connection,
            format!("the source {} is not there", location.file.display()),
        )
        .hint("check the source's path"));
    }
    Ok(Box::new(SqliteSource::open(location, context).await?))
}

/// Opens a target. The file may be missing; its directory may not.
#[allow(clippy::unused_async)] // every store's is
pub async fn open_target(task: &Task, context: &Context) -> Result<Box<dyn Target>> {
    let location = Location::of(&task.target.url)?;
    location.refuse_companion()?;
    Ok(Box::new(SqliteTarget::new(location, task, context)))
}
