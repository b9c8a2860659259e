//! PostgreSQL: rows by COPY between two servers, definitions by `pg_dump`, incoming as a database of its own.

mod address;
mod adopt;
mod advice;
mod batch;
mod belongings;
mod beyond;
mod binding;
mod carry;
mod catalogue;
mod chain;
mod code;
mod collations;
mod complete;
mod computed;
mod conditions;
mod confirm;
mod connection;
mod constraints;
mod derive;
mod dump;
pub(super) mod dumped;
mod fitness;
mod foreign;
mod framing;
#[cfg(test)]
mod fuzz;
mod gate;
mod harmless;
mod in_place;
mod incoming;
mod kept;
mod lag;
mod large;
mod large_as_sql;
mod left_out;
mod lineage;
mod load;
mod login;
mod lot;
mod marks;
mod means;
mod needs;
mod numbering;
mod objects;
mod ownership;
mod picked;
mod planning;
pub(super) mod portable;
mod programs;
mod publications;
mod publish;
mod relay;
mod restore;
mod rights;
mod roles;
mod room;
mod said;
mod scripts;
mod sequences;
mod settings;
mod settled;
mod source;
mod split;
mod spoken;
mod stored;
mod survey;
mod swap;
mod target;
mod toc;
mod traits;
mod transactions;
mod unknown;
pub(super) mod url;
mod waited;
mod wire;

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use self::connection::{Address, Session, quoted};
use super::{Checksum, Context, Part, Unable};
use crate::config::job::{Endpoint, Task};
use crate::error::Result;
use crate::policy::Identity;

pub use self::source::Source;
pub use self::target::Target;
pub use self::url::KIND;

/// Everything but rows that a copy of a database needs.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definitions {
    /// The `pg_dump` that made this, and that can do the same for the target; `None`: they were put away since.
    #[serde(skip)]
    dump: Option<dump::PgDump>,
    /// The source's major version.
    major: u32,
    traits: traits::Traits,
    sequences: Vec<sequences::Sequence>,
    /// Materialized views that have rows.
    #[serde(serialize_with = "stored::in_order")]
    populated: HashSet<(String, String)>,
    /// What is not made, as (catalogue, oid).
    #[serde(serialize_with = "stored::in_order")]
    gone: HashSet<(u32, u32)>,
    /// Tables whose rows are the target's own.
    kept: Vec<(String, String)>,
    /// Parts that are an extension's table, with the condition on their rows: it may have others from its script.
    #[serde(serialize_with = "stored::by_key")]
    conditions: HashMap<usize, String>,
    /// Large objects' owners, grants and comments.
    large: Vec<large::Described>,
    /// Parts whose rows may belong into another partition on the target, and the table that sorts them out.
    #[serde(serialize_with = "stored::by_key")]
    by_root: HashMap<usize, (String, String)>,
    /// Constraints that are made in two statements, by their oid.
    #[serde(serialize_with = "stored::by_key")]
    in_two: HashMap<u32, constraints::InTwo>,
    /// Taken away by who makes incoming.
    toc: Mutex<toc::Toc>,
    /// Owners and grants.
    rights: Vec<rights::Right>,
    collations: Vec<collations::Collation>,
    needs: needs::Needs,
    /// What stands on what: for who leaves something out when the source cannot be asked any more. Only surveys for
    /// archives have it.
    lineage: Option<lineage::Lineage>,
    /// What of the source's catalogue was left out so, in its words.
    #[serde(skip)]
    uncatalogued: HashSet<String>,
    /// What is cut out of definitions that stay, as it needs what is left out.
    #[serde(skip)]
    cuts: Vec<left_out::Cut>,
    /// What runs code of others while the copy is built. `None`: nobody could be asked.
    #[serde(skip)]
    code: Option<Vec<code::Code>>,
}

impl Definitions {
    /// A `pg_dump` that can read the target.
    async fn dump(&self) -> Result<dump::PgDump> {
        match &self.dump {
            Some(dump) => Ok(dump.clone()),
            None => dump::PgDump::find(self.major).await,
        }
    }
}

/// What a task asks that PostgreSQL cannot do: nothing of what there is so far.
pub fn unable(_task: &Task) -> Vec<Unable> {
    Vec::new()
}

/// Opens a source.
pub async fn open_source(endpoint: &Endpoint, context: &Context) -> Result<Box<dyn super::Source>> {
    let address = address(endpoint, context, "source").await?;
    Ok(Box::new(Source::open(address, context).await?))
}

/// Opens a target.
pub async fn open_target(task: &Task, context: &Context) -> Result<Box<dyn super::Target>> {
    let address = address(&task.target, context, "target").await?;
    Ok(Box::new(Target::open(address, task, context).await?))
}

/// Opens what measures the source's lag.
pub async fn open_gauge(endpoint: &Endpoint, context: &Context) -> Result<Box<dyn super::Gauge>> {
    let address = address(endpoint, context, "source").await?;
    Ok(Box::new(lag::Gauge::new(address)))
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

/// The server's identity, and the database's in it, if it is there.
async fn identity(session: &Session, database: &str) -> Result<Identity> {
    let row = session
        .query_one(
            "SELECT (SELECT system_identifier::text FROM pg_control_system()), (SELECT oid FROM pg_database WHERE datname = $1)",
            &[&database],
        )
        .await
        .map_err(session.explain())?;
    let system: String = row.get(0);
    Ok(Identity {
        thing: row
            .get::<_, Option<u32>>(1)
            .map(|oid| format!("{system}/{oid}")),
        place: format!("postgresql {system}/{database}"),
    })
}

fn table_name(part: &Part) -> String {
    match &part.schema {
        Some(schema) => format!("{}.{}", quoted(schema), quoted(&part.name)),
        None => quoted(&part.name),
    }
}

fn column_list(columns: &[String]) -> String {
    columns
        .iter()
        .map(|column| quoted(column))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Rows of a part; `objects` are the large objects that are one.
async fn count(
    session: &Session,
    part: &Part,
    condition: &str,
    objects: &[large::Described],
) -> Result<u64> {
    if large::is(part) {
        return large::count(session, &large::oids(objects)).await;
    }
    let query = format!(
        "SELECT pg_catalog.count(*) FROM ONLY {} {condition}",
        table_name(part)
    );
    let row = planning::query_one(session, &query)
        .await
        .map_err(|error| error.within(format!("counting the rows of {}", part.label())))?;
    Ok(row.get::<_, i64>(0) as u64)
}

/// Rows and the sum of their hashes; two sums of halves, as one of whole hashes could overflow.
async fn checksum(
    session: &Session,
    part: &Part,
    condition: &str,
    root: Option<&(String, String)>,
    objects: &[large::Described],
) -> Result<Checksum> {
    if large::is(part) {
        let (rows, sum) = large::checksum(session, &large::oids(objects)).await?;
        return Ok(Checksum { rows, sum });
    }
    let from = rows_of(part, condition, root);
    sum(session, &part.label(), &part.columns, &from).await
}

/// Where a part's rows are, to be compared.
fn rows_of(part: &Part, condition: &str, root: Option<&(String, String)>) -> String {
    // Rows that were sorted out anew can only be compared all together.
    let from = root.map_or_else(
        || format!("ONLY {}", table_name(part)),
        |(schema, name)| format!("{}.{}", quoted(schema), quoted(name)),
    );
    format!("{from} {condition}")
}

/// The same of any rows.
async fn sum(session: &Session, label: &str, columns: &[String], from: &str) -> Result<Checksum> {
    let row = if columns.is_empty() {
        "''".to_owned()
    } else {
        format!("ROW({})::pg_catalog.text", column_list(columns))
    };
    let query = format!(
        "SELECT pg_catalog.count(*), coalesce(pg_catalog.sum(h & 4294967295), 0)::pg_catalog.text || '/' || \
                coalesce(pg_catalog.sum(h >> 32), 0)::pg_catalog.text \
         FROM (SELECT pg_catalog.hashtextextended({row} COLLATE pg_catalog.\"C\", 0) AS h FROM {from}) AS rows"
    );
    let row = planning::query_one(session, &query)
        .await
        .map_err(|error| error.within(format!("checksum of {label}")))?;
    Ok(Checksum {
        rows: row.get::<_, i64>(0) as u64,
        sum: row.get(1),
    })
}
