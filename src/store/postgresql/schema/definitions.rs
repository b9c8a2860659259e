//! All definitions of a database: everything but rows that a copy of it needs.

use std::collections::{HashMap, HashSet};
use std::sync::MutexGuard;

use serde::{Deserialize, Serialize};

use super::{
    code, collations, constraints, dependencies, large_objects, left_out, pg_dump, properties,
    requirements, rights, sequences, toc, toc_json,
};
use crate::error::Result;
use crate::sync::Mutex;

/// Everything but rows that a copy of a database needs.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definitions {
    /// The `pg_dump` that made this, and that can do the same for the target; `None`: they were put away since.
    #[serde(skip)]
    pub(in crate::store::postgresql) dump: Option<pg_dump::PgDump>,
    /// The source's major version.
    pub(in crate::store::postgresql) major: u32,
    #[serde(rename = "traits")]
    pub(in crate::store::postgresql) properties: properties::Properties,
    pub(in crate::store::postgresql) sequences: Vec<sequences::Sequence>,
    /// Materialized views that have rows.
    #[serde(serialize_with = "toc_json::in_order")]
    pub(in crate::store::postgresql) populated: HashSet<(String, String)>,
    /// What is not made, as (catalogue, oid).
    #[serde(serialize_with = "toc_json::in_order")]
    pub(in crate::store::postgresql) gone: HashSet<(u32, u32)>,
    /// Tables whose rows are the target's own.
    #[serde(rename = "kept")]
    pub(in crate::store::postgresql) preserved: Vec<(String, String)>,
    /// Parts that are an extension's table, with the condition on their rows: it may have others from its script.
    #[serde(serialize_with = "toc_json::by_key")]
    pub(in crate::store::postgresql) conditions: HashMap<usize, String>,
    /// Large objects' owners, grants and comments.
    pub(in crate::store::postgresql) large: Vec<large_objects::Described>,
    /// Parts whose rows may belong into another partition on the target, and the table that sorts them out.
    #[serde(serialize_with = "toc_json::by_key")]
    pub(in crate::store::postgresql) by_root: HashMap<usize, (String, String)>,
    /// Parts whose rows, out of a dump, are in other words than a server of ours has for them.
    #[serde(skip)]
    pub(in crate::store::postgresql) in_other_words: HashSet<usize>,
    /// Constraints that are made in two statements, by their oid.
    #[serde(serialize_with = "toc_json::by_key")]
    pub(in crate::store::postgresql) in_two: HashMap<u32, constraints::InTwo>,
    /// Taken away by who makes incoming.
    pub(in crate::store::postgresql) toc: Mutex<toc::Toc>,
    /// Owners and grants.
    pub(in crate::store::postgresql) rights: Vec<rights::Right>,
    pub(in crate::store::postgresql) collations: Vec<collations::Collation>,
    #[serde(rename = "needs")]
    pub(in crate::store::postgresql) requirements: requirements::Requirements,
    /// What stands on what: for who leaves something out when the source cannot be asked any more. Only surveys for
    /// archives have it.
    #[serde(rename = "lineage")]
    pub(in crate::store::postgresql) dependencies: Option<dependencies::Dependencies>,
    /// What of the source's catalogue was left out so, in its words.
    #[serde(skip)]
    pub(in crate::store::postgresql) uncatalogued: HashSet<String>,
    /// What is cut out of definitions that stay, as it needs what is left out.
    #[serde(skip)]
    pub(in crate::store::postgresql) cuts: Vec<left_out::Cut>,
    /// What runs code of others while the copy is built. `None`: nobody could be asked.
    #[serde(skip)]
    pub(in crate::store::postgresql) code: Option<Vec<code::Code>>,
}

impl Definitions {
    /// A `pg_dump` that can read the target.
    pub(in crate::store::postgresql) async fn dump(&self) -> Result<pg_dump::PgDump> {
        match &self.dump {
            Some(dump) => Ok(dump.clone()),
            None => pg_dump::PgDump::find(self.major).await,
        }
    }

    /// The table of contents.
    pub(in crate::store::postgresql) fn toc(&self) -> MutexGuard<'_, toc::Toc> {
        self.toc.lock()
    }

    /// Takes the table of contents away: what is made of it need not be kept twice.
    pub(in crate::store::postgresql) fn take_toc(&self) -> toc::Toc {
        std::mem::take(&mut *self.toc())
    }
}
