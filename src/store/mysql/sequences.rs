//! Sequences (MariaDB): their options, and where they stand.

use serde::{Deserialize, Serialize};

use super::connection::Session;
use super::names::quoted;
use crate::error::Result;
use crate::store::Fate;

/// One sequence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sequence {
    pub(super) name: String,
    /// What `SHOW CREATE SEQUENCE` prints.
    pub(super) create: String,
    /// Its only row, in order: next value that no cache holds, minimum, maximum, start, increment, cache, cycle, cycles done.
    pub(super) row: Vec<String>,
    pub(super) fate: Fate,
}

impl Sequence {
    /// Lets another one of the same options stand where this one stands: a sequence takes its row as an INSERT
    /// ("SEQUENCE Overview", MariaDB's documentation).
    /// `name`: the other one's, as a statement writes it.
    pub(super) fn restore(&self, name: &str) -> String {
        format!("INSERT INTO {name} VALUES ({})", self.row.join(", "))
    }
}

/// How many are asked in one statement.
const AT_ONCE: usize = 200;

/// Reads these, in the session's schema.
pub(super) async fn read(
    session: &mut Session,
    named: Vec<(String, Fate)>,
) -> Result<Vec<Sequence>> {
    let mut found = Vec::with_capacity(named.len());
    for batch in named.chunks(AT_ONCE) {
        let union: Vec<String> = batch
            .iter()
            .enumerate()
            .map(|(at, (name, _))| {
                format!(
                    "SELECT {at}, next_not_cached_value, minimum_value, maximum_value, start_value, increment, cache_size, cycle_option, cycle_count FROM {}",
                    quoted(name)
                )
            })
            .collect();
        let rows = session.query(&union.join(" UNION ALL ")).await?;
        for ((name, fate), row) in batch.iter().zip(&rows) {
            let create = session
                .query_one(&format!("SHOW CREATE SEQUENCE {}", quoted(name)))
                .await
                .map_err(|error| error.within(format!("sequence `{name}`")))?
                .text(1)?;
            let row = (1..9).map(|at| row.text(at)).collect::<Result<Vec<_>>>()?;
            found.push(Sequence {
                name: name.clone(),
                create,
                row,
                fate: *fate,
            });
        }
    }
    Ok(found)
}
