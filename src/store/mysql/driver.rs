//! The driver of MySQL and MariaDB.

use async_trait::async_trait;

use super::connection::address::Address;
use super::dump::Dumps;
use super::portable::stored;
use super::rows::codec::LoadData;
use super::source::Source;
use super::target::Target;
use super::url::Format;
use crate::config::StoreFormat;
use crate::config::job::{Publish, Task};
use crate::error::Result;
use crate::store::{self, Codec, Context, Fate, ManualClient, Part, Refusal, Restored, Selection};

/// The driver.
pub static DRIVER: Mysql = Mysql;

/// MySQL and MariaDB.
pub struct Mysql;

#[async_trait]
impl store::Driver for Mysql {
    fn format(&self) -> &'static dyn StoreFormat {
        &Format
    }

    fn refusals(&self, task: &Task) -> Vec<Refusal> {
        refusals(task)
    }

    async fn open_source(&self, task: &Task, context: &Context) -> Result<Box<dyn store::Source>> {
        let address = Address::of(&task.source, context, "source").await?;
        Ok(Box::new(Source::open(address, task, context).await?))
    }

    async fn open_target(&self, task: &Task, context: &Context) -> Result<Box<dyn store::Target>> {
        let address = Address::of(&task.target, context, "target").await?;
        Ok(Box::new(Target::open(address, task, context).await?))
    }

    fn codecs(&self) -> &'static [&'static dyn Codec] {
        &[&LoadData]
    }

    async fn read_definitions(
        &self,
        stored: &[u8],
        parts: Vec<Part>,
        left_out: Vec<(String, Fate)>,
        selection: &Selection,
    ) -> Result<Restored> {
        stored::read(stored, parts, &left_out, selection)
    }

    fn manual_client(&self) -> Option<ManualClient> {
        Some(ManualClient {
            command: "${CLIENT:-mariadb} --local-infile=1",
            statement: "-e",
            database: "-h HOST -u USER DATABASE",
            before: "",
        })
    }

    fn dumps(&self) -> Option<&dyn store::Dumps> {
        Some(&Dumps)
    }
}

/// What a task asks that MySQL cannot do.
fn refusals(task: &Task) -> Vec<Refusal> {
    let mut found = Vec::new();
    if task.places.contains_key("roles") {
        found.push(Refusal {
            key: "roles",
            why: "MySQL's grants belong to names and are not copied; as whom views, routines, triggers and events run is `definer`: leave `roles` out".to_owned(),
        });
    }
    if task.publish == Publish::InPlace {
        found.push(Refusal {
            key: "publish",
            why: "MySQL's copies cannot be loaded in place yet: `publish` is \"swap\" or not set"
                .to_owned(),
        });
    }
    if task.max_replication_lag.is_some() {
        found.push(Refusal {
            key: "max_replication_lag",
            why: "the lag of MySQL's replication is not measured yet: `max_replication_lag` is not set; `throttle` slows a run down".to_owned(),
        });
    }
    found
}
