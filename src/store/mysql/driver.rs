//! What the rest of the house knows of MySQL and MariaDB: what they cannot do, and how a source and a target are opened.

use super::connection::address::Address;
use super::source::Source;
use super::target::Target;
use crate::config::job::{Publish, Task};
use crate::error::Result;
use crate::store::{self, Context, Unable};

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
pub async fn open_source(task: &Task, context: &Context) -> Result<Box<dyn store::Source>> {
    let address = Address::of(&task.source, context, "source").await?;
    Ok(Box::new(Source::open(address, task, context).await?))
}

/// Opens a target.
pub async fn open_target(task: &Task, context: &Context) -> Result<Box<dyn store::Target>> {
    let address = Address::of(&task.target, context, "target").await?;
    Ok(Box::new(Target::open(address, task, context).await?))
}
