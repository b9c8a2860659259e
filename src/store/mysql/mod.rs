//! MySQL and MariaDB: a database (schema) of a server.

#[allow(dead_code)] // nothing runs scripts yet
mod script;

use super::{Context, Source, Target, Unable};
use crate::config::job::{Endpoint, Publish, Task};
use crate::error::{Error, Kind, Result};

/// What a task asks that MySQL cannot do.
pub fn unable(task: &Task) -> Vec<Unable> {
    let mut found = Vec::new();
    if task.places.contains_key("roles") {
        found.push(Unable {
            key: "roles",
            why: "MySQL's grants belong to names and are not copied; as whom views, routines, triggers and events run is `definer`: leave `roles` out".to_owned(),
        });
    }
    if task.publish == Publish::InPlace {
        found.push(Unable {
            key: "publish",
            why: "MySQL's copies cannot be loaded in place yet: `publish` is \"swap\" or not set"
                .to_owned(),
        });
    }
    if task.max_replication_lag.is_some() {
        found.push(Unable {
            key: "max_replication_lag",
            why: "the lag of MySQL's replication is not measured yet: `max_replication_lag` is not set; `throttle` slows a run down".to_owned(),
        });
    }
    found
}

/// Opens a source.
#[allow(clippy::unused_async)] // every store's is
pub async fn open_source(_endpoint: &Endpoint, _context: &Context) -> Result<Box<dyn Source>> {
    Err(Error::new(Kind::Internal, "this store cannot copy yet"))
}

/// Opens a target.
#[allow(clippy::unused_async)] // every store's is
pub async fn open_target(_task: &Task, _context: &Context) -> Result<Box<dyn Target>> {
    Err(Error::new(Kind::Internal, "this store cannot copy yet"))
}
