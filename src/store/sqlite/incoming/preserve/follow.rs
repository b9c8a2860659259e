//! Brings what changed on live while the copy was made into incoming.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::Connection;

use super::attach::attached;
use super::rows::Rows;
use super::{NAMED, Preserved, read};
use crate::error::{Error, Kind, Result};
use crate::store::Selection;
use crate::store::catalogue::first_of;
use crate::store::sqlite::connection::errors::explain;
use crate::store::sqlite::incoming::sequences::rebuild;
use crate::store::sqlite::schema::definitions::Definitions;

/// How many rows of a table refer to rows of another that are not there.
type Dangling = BTreeMap<(String, String), i64>;

impl Preserved {
    /// Brings what changed on live between two snapshots into incoming.
    pub(in crate::store::sqlite) fn catch_up(
        &self,
        incoming: &Connection,
        old: &Path,
        new: &Path,
        source: &Definitions,
        selection: &Selection,
    ) -> Result<()> {
        let now = read(new, selection)?;
        let again = Self::plan(source, &now, selection)?;
        if self.shape() != again.shape() {
            return Err(Error::new(
                Kind::Verify,
                "the target's own tables were altered while the copy was made",
            )
            .hint("run the job again"));
        }
        attached(incoming, &[("live", new), ("before", old)], |incoming| {
            self.follow(incoming, source, &now)
        })
    }

    fn shape(&self) -> BTreeSet<(&str, &str)> {
        let tables = self
            .rows
            .iter()
            .map(|rows| &rows.ours)
            .chain(&self.tables)
            .chain(&self.renewed)
            .map(|table| (table.name.as_str(), table.sql.as_str()));
        let others = self
            .others
            .iter()
            .map(|object| (object.name.as_str(), object.sql.as_str()));
        tables.chain(others).collect()
    }

    fn follow(&self, incoming: &Connection, source: &Definitions, now: &Definitions) -> Result<()> {
        let failed = |error| explain(error, "foreign keys of incoming");
        let own = self
            .tables
            .iter()
            .filter(|table| !table.is_virtual)
            .map(Rows::own);
        let all: Vec<Rows> = self.rows.iter().cloned().chain(own).collect();
        let mut before = Dangling::new();
        for rows in &all {
            before.extend(dangling(incoming, &rows.theirs.name).map_err(failed)?);
        }
        let mut changed: Vec<&str> = Vec::new();
        let mut checked = BTreeSet::new();
        for rows in &all {
            let followed = rows.follow(incoming, now)?;
            if followed.is_changed {
                changed.push(&rows.theirs.name);
                checked.insert(rows.theirs.name.clone());
            }
            if followed.is_less {
                checked.extend(children(incoming, &rows.theirs.name).map_err(failed)?);
            }
        }
        if changed.is_empty() {
            return self.sequences(incoming, now);
        }
        self.sequences(incoming, now)?;
        // What is over a view may be over any of them.
        let indexes: Vec<(&str, String)> = self
            .indexes(source)
            .into_iter()
            .filter(|(_, content)| {
                changed
                    .iter()
                    .any(|name| name.eq_ignore_ascii_case(content))
                    || source.any_case(content).is_none()
            })
            .collect();
        rebuild(incoming, &indexes)?;
        refuse_dangling(incoming, source, &before, checked)
    }
}

/// Refuses rows of these tables that refer to rows that are not there, unless they did before or do on the source.
fn refuse_dangling(
    incoming: &Connection,
    source: &Definitions,
    before: &Dangling,
    tables: BTreeSet<String>,
) -> Result<()> {
    let mut lost = BTreeSet::new();
    for table in tables {
        let found = dangling(incoming, &table)
            .map_err(|error| explain(error, "foreign keys of incoming"))?;
        for (pair, count) in found {
            let was_there = before.get(&pair).copied().unwrap_or(0);
            if count > was_there && !is_broken_on(source, &pair) {
                lost.insert(format!("`{}` to `{}`", pair.0, pair.1));
            }
        }
    }
    if lost.is_empty() {
        return Ok(());
    }
    let lost: Vec<String> = lost.into_iter().collect();
    Err(Error::new(
        Kind::Verify,
        format!(
            "kept rows that were written while the copy was made would refer to rows that are not there: from {}",
            first_of(&lost, NAMED)
        ),
    )
    .hint("remove such rows from the target, or keep both tables, and run the job again"))
}

/// Whether the source itself has such rows.
fn is_broken_on(source: &Definitions, (child, parent): &(String, String)) -> bool {
    source.broken_keys.as_ref().is_some_and(|broken| {
        broken
            .iter()
            .any(|(table, of)| table.eq_ignore_ascii_case(child) && of.eq_ignore_ascii_case(parent))
    })
}

fn dangling(connection: &Connection, table: &str) -> rusqlite::Result<Dangling> {
    let found = connection
        .prepare(
            "SELECT \"table\", parent, count(*) FROM pragma_foreign_key_check(?1, 'main') GROUP BY 1, 2",
        )
        .and_then(|mut statement| {
            statement
                .query_map([table], |row| {
                    Ok(((row.get(0)?, row.get(1)?), row.get(2)?))
                })?
                .collect()
        });
    match found {
        // Keys that make no sense hold nothing.
        Err(error) if error.to_string().contains("foreign key mismatch") => Ok(Dangling::new()),
        other => other,
    }
}

/// The tables that refer to a table.
fn children(connection: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    connection
        .prepare(
            "SELECT DISTINCT s.name FROM main.sqlite_schema s, pragma_foreign_key_list(s.name, 'main') k \
             WHERE s.type = 'table' AND k.\"table\" = ?1 COLLATE NOCASE",
        )?
        .query_map([table], |row| row.get(0))?
        .collect()
}
