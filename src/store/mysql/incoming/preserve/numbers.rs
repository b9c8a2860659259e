//! What the next row of a kept table gets for its number: it is past the rows that are there.

use std::collections::BTreeSet;

use super::preserved::{Preserved, Taken, place};
use crate::error::Result;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::schema::create_table::Create;
use crate::store::mysql::sql::names::{Names, literal, quoted, within};
use crate::store::mysql::sql::version::Flavour;

/// Counters go on where live's left off.
pub(in crate::store::mysql) async fn auto_increment(
    session: &mut Session,
    live: (&str, &str),
    to: (&str, &str),
) -> Result<()> {
    if session.version().is_mysql(8, 0) {
        // It answers from a cache otherwise.
        session
            .run("SET SESSION information_schema_stats_expiry = 0")
            .await?;
    }
    let row = session
        .query_opt(&format!(
            "SELECT AUTO_INCREMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
            literal(live.0),
            literal(live.1)
        ))
        .await?;
    if let Some(next) = row.map(|row| row.maybe(0)).transpose()?.flatten() {
        session
            .run(&format!(
                "ALTER TABLE {} AUTO_INCREMENT = {next}",
                within(to.0, to.1)
            ))
            .await?;
    }
    Ok(())
}

/// Sequences of live's own that these tables take numbers from.
pub(super) async fn counted_by(
    session: &mut Session,
    names: &Names,
    tables: &[String],
) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    if session.version().flavour == Flavour::MySql || tables.is_empty() {
        return Ok(found);
    }
    let rows = session
        .query(&format!(
            "SELECT TABLE_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {} AND COLUMN_DEFAULT LIKE '%nextval(%'",
            literal(&names.live)
        ))
        .await?;
    for row in rows {
        let table = row.text(0)?;
        if !tables.contains(&table) {
            continue;
        }
        let create = session
            .query_one(&format!(
                "SHOW CREATE TABLE {}",
                within(&names.live, &table)
            ))
            .await?
            .definition(1)?;
        for (_, schema, sequence) in Create::parse(&create)?.sequences() {
            if schema.is_none_or(|schema| schema == names.live) {
                found.insert(sequence);
            }
        }
    }
    Ok(found)
}

impl Preserved {
    /// Finds the sequences that kept tables take numbers from, wherever these are from.
    pub(super) async fn find_counters(&self, session: &mut Session, names: &Names) -> Result<()> {
        let mut found = Vec::new();
        for table in self.tables.iter().filter(|table| !table.is_sequence) {
            let create = session
                .query_one(&format!(
                    "SHOW CREATE TABLE {}",
                    within(&names.incoming, &table.name)
                ))
                .await?
                .definition(1)?;
            let Ok(create) = Create::parse(&create) else {
                continue;
            };
            for (column, schema, sequence) in create.sequences() {
                if schema.is_none_or(|schema| schema == names.incoming) {
                    found.push(Taken {
                        table: table.name.clone(),
                        column,
                        sequence,
                    });
                }
            }
        }
        *self.taken.lock() = found;
        Ok(())
    }

    /// Lets those sequences stand past the rows.
    pub(in crate::store::mysql) async fn advance(
        &self,
        session: &mut Session,
        names: &Names,
        staged: &[(String, String)],
    ) -> Result<()> {
        let taken = {
            let taken = self.taken.lock();
            taken.clone()
        };
        for Taken {
            table,
            column,
            sequence,
        } in taken
        {
            let ours = within(&names.incoming, &sequence);
            let row = session
                .query_one(&format!(
                    "SELECT next_not_cached_value, increment FROM {ours}"
                ))
                .await
                .map_err(|error| error.within(format!("the sequence {sequence} of {table}")))?;
            let number = |text: String| text.parse::<i128>().unwrap_or(0);
            let (next, step) = (number(row.text(0)?), number(row.text(1)?));
            let extreme = if step < 0 { "MIN" } else { "MAX" };
            let to = place(names, staged, &table);
            let last = session
                .query_one(&format!(
                    "SELECT {extreme}({}) FROM {}",
                    quoted(&column),
                    within(to.0, to.1)
                ))
                .await?
                .maybe(0)?
                .and_then(|text| text.parse::<i128>().ok());
            if let Some(last) = last
                && (if step < 0 { last <= next } else { last >= next })
            {
                session
                    .run(&format!("DO SETVAL({ours}, {last}, 1)"))
                    .await?;
            }
        }
        Ok(())
    }
}
