//! MySQL and MariaDB: a database (schema) of a server. Rows go from `SELECT` to `LOAD DATA LOCAL`, incoming is a schema
//! of its own beside live, and one `RENAME TABLE` publishes it.

mod address;
mod aftermath;
mod auth;
mod by_hand;
mod carry;
mod catalogue;
mod census;
mod charsets;
mod complete;
mod confirm;
mod connection;
mod ddl;
mod definitions;
mod derive;
mod doubts;
pub(super) mod dump;
mod encryption;
mod engines;
mod errors;
mod exclusion;
mod executing;
mod fitness;
mod footprint;
#[cfg(test)]
mod fuzz;
mod grants;
mod holders;
mod incoming;
mod journal;
mod json;
mod known;
mod letters;
mod lexer;
mod lines;
mod load;
mod lock;
mod making;
mod mark;
mod messages;
mod names;
mod objects;
mod piece;
mod plain;
mod point;
mod pool;
pub(super) mod portable;
mod primary;
mod publish;
mod quiet;
mod reach;
mod reading;
mod references;
mod rewrite;
mod rights;
mod rows;
mod scanner;
mod schemas;
mod script;
mod select;
mod sequences;
mod server_key;
mod settings;
mod source;
mod split;
mod staying;
mod summing;
mod swap;
mod target;
mod typed;
pub(super) mod url;
mod uses;
mod version;
mod vetting;
mod wire;
mod zones;

use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use self::address::Address;
use self::connection::Session;
use self::names::literal;
use self::version::Flavour;
use super::{Context, Part, Unable};
use crate::config::job::{Endpoint, Publish, Task};
use crate::error::{Error, Result};
use crate::policy::Identity;

pub use self::definitions::Definitions;
pub use self::source::Source;
pub use self::target::Target;
pub use self::url::KIND;

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
pub async fn open_source(task: &Task, context: &Context) -> Result<Box<dyn super::Source>> {
    let address = address(&task.source, context, "source").await?;
    Ok(Box::new(Source::open(address, task, context).await?))
}

/// Opens a target.
pub async fn open_target(task: &Task, context: &Context) -> Result<Box<dyn super::Target>> {
    let address = address(&task.target, context, "target").await?;
    Ok(Box::new(Target::open(address, task, context).await?))
}

async fn address(endpoint: &Endpoint, context: &Context, side: &'static str) -> Result<Address> {
    let password = match &endpoint.password {
        Some(secret) => {
            let what = format!("the {side}'s password");
            Some(secret.resolve(&what, &*context.lookup).await?)
        }
        None => None,
    };
    let application = format!("envsyncd {} {}", context.claim.job, context.claim.run);
    let url = endpoint.url.address()?;
    Ok(Address::new(url, password, side, &application))
}

/// The server's identity, and the database's in it, if it is there. A server is known by what it was given at its
/// making, and by where it runs, since both can be copied with a machine or a data directory.
async fn identity(session: &mut Session, database: &str) -> Result<Identity> {
    let made = match session.version().flavour {
        Flavour::MySql => "server_uuid",
        Flavour::MariaDb => "server_uid",
    };
    let mut hash = Sha256::new();
    for row in session
        .query(&format!(
            "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('{made}', 'hostname', 'port', 'datadir', 'socket')"
        ))
        .await?
    {
        hash.update(row.text(0)?);
        hash.update([0]);
        hash.update(row.text(1)?);
        hash.update([0]);
    }
    let hash: [u8; 32] = hash.finalize().into();
    let half = hash[..16].try_into().expect("sixteen bytes");
    let server = format!("{:032x}", u128::from_be_bytes(half));
    let row = session
        .query_one(&format!(
            "SELECT @@lower_case_table_names, (SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {})",
            literal(database)
        ))
        .await?;
    let name = if row.number(0)? == 0 {
        database.to_owned()
    } else {
        database.to_lowercase()
    };
    Ok(Identity {
        thing: row.maybe(1)?.map(|_| format!("{server}/{name}")),
        place: format!("mysql {server}/{name}"),
    })
}

/// `small and 9 more tables`.
fn lot_label(parts: &[Part]) -> String {
    match parts {
        [one] => one.label(),
        [first, rest @ ..] => format!("{} and {} more tables", first.label(), rest.len()),
        [] => "no tables".to_owned(),
    }
}

/// Ends when the server does not answer this session any more.
async fn lost(session: &Mutex<Session>) -> Error {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if let Err(error) = session.lock().await.ping().await {
            return error;
        }
    }
}
