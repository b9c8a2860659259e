//! The rows of one table that the target keeps: taken from a snapshot of live, held against it, and followed.

use rusqlite::{Connection, ErrorCode, Row, Statement};

use crate::error::{Error, Kind, Result};
use crate::store::Checksum;
use crate::store::sqlite::connection::errors::{explain, own_message};
use crate::store::sqlite::connection::messages;
use crate::store::sqlite::rows::checksum::ChecksumBuilder;
use crate::store::sqlite::rows::values::encode;
use crate::store::sqlite::schema::definitions::Definitions;
use crate::store::sqlite::schema::names::{list, quoted};
use crate::store::sqlite::schema::objects::{Object, Table};
use crate::store::sqlite::schema::rowid::Alias;
use crate::store::sqlite::schema::tokens::tokens;

/// A table whose rows are live's: as live has it, and as incoming has it.
#[derive(Debug, Clone)]
pub(in crate::store::sqlite) struct Rows {
    pub(in crate::store::sqlite) ours: Table,
    pub(in crate::store::sqlite) theirs: Table,
    /// Incoming has it as live does, since the source's definition cannot hold its rows.
    pub(in crate::store::sqlite) is_own: bool,
}

/// What incoming's definition makes of live's rows.
enum Fit {
    Same,
    /// It cannot hold them, and this is why.
    Not(String),
}

impl Rows {
    /// One that only live has.
    pub(in crate::store::sqlite) fn own(table: &Table) -> Self {
        Self {
            ours: table.clone(),
            theirs: table.clone(),
            is_own: true,
        }
    }

    /// Takes live's rows into incoming's table, which is empty: with the source's definition, or else with live's own.
    pub(in crate::store::sqlite) fn take(
        &mut self,
        incoming: &Connection,
        source: &Definitions,
        live: &Definitions,
    ) -> Result<()> {
        let failed = |error| self.failed(error);
        incoming
            .execute_batch("PRAGMA ignore_check_constraints = OFF; SAVEPOINT envsyncd_kept")
            .map_err(failed)?;
        let indexes: Vec<&Object> = indexes(source, &self.theirs.name).collect();
        let fit = self.fill(incoming, &indexes, live)?;
        incoming
            .execute_batch(match fit {
                Fit::Same => "RELEASE envsyncd_kept; PRAGMA ignore_check_constraints = ON",
                Fit::Not(_) => {
                    "ROLLBACK TO envsyncd_kept; RELEASE envsyncd_kept; PRAGMA ignore_check_constraints = ON"
                }
            })
            .map_err(failed)?;
        let Fit::Not(why) = fit else {
            return Ok(());
        };
        if self.ours.shadow_of.is_some() {
            return Err(self.lost(&why));
        }
        incoming
            .execute_batch(&format!("DROP TABLE main.{}", quoted(&self.theirs.name)))
            .and_then(|()| self.ours.create(incoming))
            .map_err(failed)?;
        tracing::warn!(
            table = self.ours.name,
            why,
            "is kept with the target's own definition: the source's cannot hold its rows"
        );
        *self = Self::own(&self.ours);
        self.take_unchanged(incoming, live)
    }

    /// Takes live's rows into a table that is defined as live's is.
    pub(in crate::store::sqlite) fn take_unchanged(
        &self,
        incoming: &Connection,
        live: &Definitions,
    ) -> Result<()> {
        let indexes: Vec<&Object> = indexes(live, &self.ours.name).collect();
        match self.fill(incoming, &indexes, live)? {
            Fit::Same => Ok(()),
            Fit::Not(why) => Err(self.lost(&why)),
        }
    }

    fn lost(&self, why: &str) -> Error {
        Error::new(
            Kind::Verify,
            format!(
                "`{}` cannot be kept: its rows would not be what they are on the target: {why}",
                self.ours.name
            ),
        )
        .hint("bring the definition on the source and that on the target together, or do not keep the table")
    }

    fn failed(&self, error: rusqlite::Error) -> Error {
        explain(error, &format!("kept table `{}`", self.ours.name))
    }

    fn fill(&self, incoming: &Connection, indexes: &[&Object], live: &Definitions) -> Result<Fit> {
        let done = self
            .copy(incoming)
            .and_then(|()| indexes.iter().try_for_each(|index| index.create(incoming)));
        if let Err(error) = done {
            return self.refused(error);
        }
        if !self
            .counts_on(incoming, live)
            .map_err(|error| self.failed(error))?
        {
            return Ok(Fit::Not(
                "its AUTOINCREMENT stands past its rows".to_owned(),
            ));
        }
        self.compare(incoming)
    }

    /// What refuses rows because of what they are is no fault.
    fn refused(&self, error: rusqlite::Error) -> Result<Fit> {
        match messages::code(&error) {
            Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::Unknown) => {
                Ok(Fit::Not(own_message(&error)))
            }
            _ => Err(self.failed(error)),
        }
    }

    /// No clause of the table's own may decide what becomes of a row.
    fn copy(&self, incoming: &Connection) -> rusqlite::Result<()> {
        incoming.execute_batch(&format!(
            "DELETE FROM main.{table}; {}",
            self.insert(""),
            table = quoted(&self.theirs.name)
        ))
    }

    fn insert(&self, which: &str) -> String {
        let (into, from) = self.names();
        format!(
            "INSERT OR ABORT INTO main.{} ({}) SELECT {} FROM live.{} AS t NOT INDEXED {which}",
            quoted(&self.theirs.name),
            list(&into),
            qualified(&from),
            quoted(&self.ours.name)
        )
    }

    /// The columns that a row has in incoming and in live. The rowid is one of them, a column or not, where both have one.
    fn names(&self) -> (Vec<String>, Vec<String>) {
        let with = |key: Option<Alias>| {
            key.filter(|_| self.has_keys())
                .map(str::to_owned)
                .into_iter()
                .chain(self.ours.columns.iter().cloned())
                .collect()
        };
        (with(self.theirs.key), with(self.ours.key))
    }

    fn has_keys(&self) -> bool {
        self.theirs.key.is_some() && self.ours.key.is_some()
    }

    /// The query for all that can be read of a row, what is computed included.
    fn select(&self, schema: &str, which: &str) -> String {
        let (table, key) = match schema {
            "main" => (&self.theirs.name, self.theirs.key),
            _ => (&self.ours.name, self.ours.key),
        };
        let names: Vec<String> = key
            .filter(|_| self.has_keys())
            .map(str::to_owned)
            .into_iter()
            .chain(self.ours.columns.iter().cloned())
            .chain(self.ours.computed.iter().cloned())
            .chain(self.ours.seen.iter().cloned())
            .collect();
        format!(
            "SELECT {} FROM {schema}.{} AS t NOT INDEXED {which}",
            qualified(&names),
            quoted(table)
        )
    }

    /// Holds incoming's rows against live's: count and checksum.
    fn compare(&self, incoming: &Connection) -> Result<Fit> {
        if self.ours.rowid.is_some() && self.theirs.key.is_none() {
            return Ok(Fit::Not("its rows have no rowid there".to_owned()));
        }
        let expected = self
            .sum(incoming, "live", "")
            .map_err(|error| self.failed(error))?;
        match self.sum(incoming, "main", "") {
            Err(error) => self.refused(error),
            Ok(arrived) if arrived == expected => Ok(Fit::Same),
            Ok(arrived) if arrived.rows == expected.rows => {
                Ok(Fit::Not("values would be changed".to_owned()))
            }
            Ok(arrived) => Ok(Fit::Not(format!(
                "{} of {} rows would arrive",
                arrived.rows, expected.rows
            ))),
        }
    }

    fn sum(
        &self,
        connection: &Connection,
        schema: &str,
        which: &str,
    ) -> rusqlite::Result<Checksum> {
        let mut statement = connection.prepare(&self.select(schema, which))?;
        let values = statement.column_count();
        let mut rows = statement.query([])?;
        let mut summer = ChecksumBuilder::default();
        while let Some(row) = rows.next()? {
            summer.add(row, values)?;
        }
        Ok(summer.total())
    }

    /// Whether the next row would get a number that live would give it, too: without AUTOINCREMENT that is the one after the
    /// highest that is there.
    fn counts_on(&self, incoming: &Connection, live: &Definitions) -> rusqlite::Result<bool> {
        let Some(counter) = live.sequences.get(&self.ours.name) else {
            return Ok(true);
        };
        if is_autoincrement(&self.theirs) {
            return Ok(true);
        }
        let Some(key) = self.ours.key else {
            return Ok(true);
        };
        incoming.query_row(
            &format!(
                "SELECT coalesce(max(t.{key}), 0) >= ?1 FROM live.{} AS t",
                quoted(&self.ours.name)
            ),
            [counter],
            |row| row.get(0),
        )
    }

    /// Whether incoming's rows are still what live's are.
    pub(in crate::store::sqlite) fn is_untouched(&self, incoming: &Connection) -> Result<()> {
        let expected = self
            .sum(incoming, "live", "")
            .map_err(|error| self.failed(error))?;
        match self.sum(incoming, "main", "") {
            Ok(found) if found == expected => return Ok(()),
            Err(error) if messages::code(&error) != Some(ErrorCode::Unknown) => {
                return Err(self.failed(error));
            }
            // Other rows, or no such table or column any more.
            _ => {}
        }
        let name = self.ours.shadow_of.as_ref().unwrap_or(&self.ours.name);
        Err(Error::new(
            Kind::Verify,
            format!("the rows of {name}, which the target keeps, were changed in the copy"),
        )
        .hint("let no script write to a table that is kept"))
    }

    /// Brings what changed on live since the snapshot `before` into incoming. Returns whether anything did, and whether a row that others may refer to is gone.
    pub(super) fn follow(&self, incoming: &Connection, now: &Definitions) -> Result<Followed> {
        let failed = |error| self.failed(error);
        if !self.counts_on(incoming, now).map_err(failed)? {
            return Err(self.changed_too_much());
        }
        if !self.has_keys() || self.ours.shadow_of.is_some() {
            let sum = |schema| self.sum(incoming, schema, "");
            if sum("before").map_err(failed)? == sum("live").map_err(failed)? {
                return Ok(Followed::default());
            }
            incoming
                .pragma_update(None, "ignore_check_constraints", self.is_own)
                .and_then(|()| self.copy(incoming))
                .map_err(failed)?;
            self.is_same(incoming, "", "")?;
            return Ok(Followed {
                is_changed: true,
                is_less: true,
            });
        }
        let found = self.changes(incoming).map_err(failed)?;
        if !found.is_changed {
            return Ok(found);
        }
        let new = |table: &Table| {
            let key = table.key.unwrap_or("rowid");
            format!("WHERE t.{key} IN (SELECT key FROM temp.envsyncd_changed WHERE is_there)")
        };
        // Live's own rows were there whatever its CHECKs say.
        incoming
            .execute_batch(&format!(
                "PRAGMA ignore_check_constraints = {}; \
                 DELETE FROM main.{} WHERE {} IN (SELECT key FROM temp.envsyncd_changed); {}",
                self.is_own,
                quoted(&self.theirs.name),
                self.theirs.key.unwrap_or("rowid"),
                self.insert(&new(&self.ours))
            ))
            .map_err(failed)?;
        self.is_same(incoming, &new(&self.ours), &new(&self.theirs))?;
        Ok(found)
    }

    fn is_same(&self, incoming: &Connection, ours: &str, theirs: &str) -> Result<()> {
        let failed = |error| self.failed(error);
        let expected = self.sum(incoming, "live", ours).map_err(failed)?;
        if self.sum(incoming, "main", theirs).map_err(failed)? == expected {
            return Ok(());
        }
        Err(self.changed_too_much())
    }

    fn changed_too_much(&self) -> Error {
        Error::new(
            Kind::Verify,
            format!(
                "`{}` was written to while the copy was made, and what was written cannot be kept as it is",
                self.ours.name
            ),
        )
        .hint("run the job again")
    }

    /// Lists the keys of rows that are not the same in both snapshots, to the last bit.
    fn changes(&self, incoming: &Connection) -> rusqlite::Result<Followed> {
        incoming.execute_batch(
            "CREATE TABLE IF NOT EXISTS temp.envsyncd_changed (key INTEGER PRIMARY KEY, is_there); \
             DELETE FROM temp.envsyncd_changed",
        )?;
        let ordered = format!("ORDER BY t.{}", self.ours.key.unwrap_or("rowid"));
        let mut note = incoming.prepare("INSERT INTO temp.envsyncd_changed VALUES (?1, ?2)")?;
        let mut old = incoming.prepare(&self.select("before", &ordered))?;
        let mut new = incoming.prepare(&self.select("live", &ordered))?;
        let (mut old, mut new) = (OrderedRows::of(&mut old)?, OrderedRows::of(&mut new)?);
        let mut found = Followed::default();
        loop {
            let is_there = match (old.key, new.key) {
                (None, None) => return Ok(found),
                (Some(before), Some(now)) if before == now => {
                    if old.row != new.row {
                        found.is_changed = true;
                        // Others may refer to any of its columns.
                        found.is_less = true;
                        note.execute((now, true))?;
                    }
                    old.next()?;
                    new.next()?;
                    continue;
                }
                (Some(before), now) if now.is_none_or(|now| before < now) => false,
                _ => true,
            };
            found.is_changed = true;
            if is_there {
                note.execute((new.key, true))?;
                new.next()?;
            } else {
                found.is_less = true;
                note.execute((old.key, false))?;
                old.next()?;
            }
        }
    }
}

/// What became of a kept table between two snapshots.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::store::sqlite) struct Followed {
    pub(in crate::store::sqlite) is_changed: bool,
    /// A row that others may refer to may be gone.
    pub(super) is_less: bool,
}

/// Rows in the order of their rowids, one at a time.
struct OrderedRows<'a> {
    rows: rusqlite::Rows<'a>,
    values: usize,
    key: Option<i64>,
    row: Vec<u8>,
}

impl<'a> OrderedRows<'a> {
    fn of(statement: &'a mut Statement<'_>) -> rusqlite::Result<Self> {
        let values = statement.column_count();
        let mut reader = Self {
            rows: statement.query([])?,
            values,
            key: None,
            row: Vec::new(),
        };
        reader.next()?;
        Ok(reader)
    }

    fn next(&mut self) -> rusqlite::Result<()> {
        self.row.clear();
        self.key = match self.rows.next()? {
            None => None,
            Some(row) => {
                encode(row, self.values, &mut self.row)?;
                Some(key(row)?)
            }
        };
        Ok(())
    }
}

fn key(row: &Row<'_>) -> rusqlite::Result<i64> {
    row.get(0)
}

/// Columns of `t`. A name that stands alone in double quotes would be a text where there is no such column.
fn qualified(names: &[String]) -> String {
    let all: Vec<String> = names
        .iter()
        .map(|name| format!("t.{}", quoted(name)))
        .collect();
    all.join(", ")
}

fn indexes<'a>(definitions: &'a Definitions, table: &'a str) -> impl Iterator<Item = &'a Object> {
    definitions
        .others
        .iter()
        .filter(move |object| object.kind == "index" && object.table.eq_ignore_ascii_case(table))
}

/// Whether a table counts on where it left off, rows or none.
pub(super) fn is_autoincrement(table: &Table) -> bool {
    tokens(&table.sql)
        .iter()
        .any(|token| token.is("autoincrement"))
}
