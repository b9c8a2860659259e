//! The driver of SQLite: what a task may ask of it, and how its sources and targets are opened.

use async_trait::async_trait;

use crate::config::StoreFormat;
use crate::config::job::{Publish, Task};
use crate::error::{Error, Kind, Result};
use crate::store::sqlite::connection::location::Location;
use crate::store::sqlite::rows::inserts::RowsCodec;
use crate::store::sqlite::schema::archived;
use crate::store::sqlite::source::SqliteSource;
use crate::store::sqlite::target::SqliteTarget;
use crate::store::sqlite::url::Format;
use crate::store::{
    Codec, Context, Driver, Fate, ManualClient, Part, Refusal, Restored, Selection, Source, Target,
};

/// SQLite, for the registry.
pub static DRIVER: SqliteDriver = SqliteDriver;

/// The driver of SQLite.
pub struct SqliteDriver;

#[async_trait]
impl Driver for SqliteDriver {
    fn format(&self) -> &'static dyn StoreFormat {
        &Format
    }

    fn refusals(&self, task: &Task) -> Vec<Refusal> {
        refusals(task)
    }

    fn ignores_case(&self) -> bool {
        true
    }

    /// The file has to be there and to be a database.
    async fn open_source(&self, task: &Task, context: &Context) -> Result<Box<dyn Source>> {
        let location = Location::of(task.source.url.address()?)?;
        if !location.exists() {
            return Err(Error::new(
                Kind::Connection,
                format!("the source {} is not there", location.file.display()),
            )
            .hint("check the source's path"));
        }
        Ok(Box::new(SqliteSource::open(location, context).await?))
    }

    /// The file may be missing; its directory may not.
    async fn open_target(&self, task: &Task, context: &Context) -> Result<Box<dyn Target>> {
        let location = Location::of(task.target.url.address()?)?;
        location.refuse_companion()?;
        Ok(Box::new(SqliteTarget::new(location, task, context)))
    }

    fn codecs(&self) -> &'static [&'static dyn Codec] {
        &[&RowsCodec]
    }

    async fn read_definitions(
        &self,
        stored: &[u8],
        parts: Vec<Part>,
        left_out: Vec<(String, Fate)>,
        selection: &Selection,
    ) -> Result<Restored> {
        archived::read(stored, parts, &left_out, selection)
    }

    fn manual_client(&self) -> Option<ManualClient> {
        Some(ManualClient {
            command: "sqlite3 -bail",
            statement: "",
            database: "FILE.db",
            before: "",
        })
    }
}

/// What a task asks that SQLite cannot do.
fn refusals(task: &Task) -> Vec<Refusal> {
    let mut found = Vec::new();
    if task.jobs.is_some_and(|jobs| jobs > 1) {
        found.push(Refusal {
            key: "jobs",
            why: "an SQLite file has one writer: `jobs` is 1 or not set".to_owned(),
        });
    }
    if task.places.contains_key("roles") {
        found.push(Refusal {
            key: "roles",
            why: "an SQLite file knows no roles: leave `roles` out".to_owned(),
        });
    }
    if task.publish == Publish::InPlace {
        found.push(Refusal {
            key: "publish",
            why: "SQLite's copies are always written into the live file itself, in one transaction: `publish` is \"swap\" or not set".to_owned(),
        });
    }
    if task.throttle.is_some() {
        found.push(Refusal {
            key: "throttle",
            why: "an SQLite file is read in one go and not over a network: `throttle` is not set"
                .to_owned(),
        });
    }
    if task.max_replication_lag.is_some() {
        found.push(Refusal {
            key: "max_replication_lag",
            why: "an SQLite file has no replication: `max_replication_lag` is not set".to_owned(),
        });
    }
    found
}
