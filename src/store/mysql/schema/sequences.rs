//! Sequences (MariaDB): their options, and where they stand.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::store::Fate;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::sql::names::{Names, quoted, within};

/// One sequence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store::mysql) struct Sequence {
    pub(in crate::store::mysql) name: String,
    /// What `SHOW CREATE SEQUENCE` prints.
    pub(in crate::store::mysql) create: String,
    /// Its only row, in order: next value that no cache holds, minimum, maximum, start, increment, cache, cycle, cycles done.
    pub(in crate::store::mysql) row: Vec<String>,
    pub(in crate::store::mysql) fate: Fate,
}

impl Sequence {
    /// Lets another one of the same options stand where this one stands: a sequence takes its row as an INSERT
    /// ("SEQUENCE Overview", MariaDB's documentation).
    /// `name`: the other one's, as a statement writes it.
    pub(in crate::store::mysql) fn restore(&self, name: &str) -> String {
        format!("INSERT INTO {name} VALUES ({})", self.row.join(", "))
    }
}

/// How many are asked in one statement.
const AT_ONCE: usize = 200;

/// Reads these, in the session's schema.
pub(in crate::store::mysql) async fn read(
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

async fn definition(session: &mut Session, schema: &str, name: &str) -> Result<String> {
    session
        .query_one(&format!("SHOW CREATE SEQUENCE {}", within(schema, name)))
        .await?
        .definition(1)
}

/// Lets incoming have a sequence of live's, as live has it; the session is in incoming. Returns whether it was another one's
/// there.
pub(in crate::store::mysql) async fn keep(
    session: &mut Session,
    names: &Names,
    name: &str,
) -> Result<bool> {
    let own = definition(session, &names.live, name).await?;
    // 4089, 1146: there is none yet.
    let there = definition(session, &names.incoming, name).await.ok();
    let is_other = there.as_ref() != Some(&own);
    if is_other {
        session
            .run(&format!(
                "USE {}; DROP SEQUENCE IF EXISTS {}",
                quoted(&names.incoming),
                quoted(name)
            ))
            .await?;
        session.run(&own).await?;
    }
    stand(session, names, name).await?;
    Ok(is_other)
}

/// Lets incoming's sequence stand where live's of the same name stands.
pub(in crate::store::mysql) async fn stand(
    session: &mut Session,
    names: &Names,
    name: &str,
) -> Result<()> {
    let rows = read_row(session, &within(&names.live, name)).await?;
    session
        .run(&format!(
            "INSERT INTO {} VALUES ({})",
            within(&names.incoming, name),
            rows.join(", ")
        ))
        .await
        .map(drop)
}

async fn read_row(session: &mut Session, name: &str) -> Result<Vec<String>> {
    let row = session
        .query_one(&format!(
            "SELECT next_not_cached_value, minimum_value, maximum_value, start_value, increment, cache_size, cycle_option, cycle_count FROM {name}"
        ))
        .await?;
    (0..8).map(|at| row.text(at)).collect()
}
