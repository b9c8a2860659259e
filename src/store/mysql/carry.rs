//! What the target keeps of its own: rows of `keep` tables, and with `overlay` the tables that only it has.
//!
//! They are copied into incoming, beside the new tables that their foreign keys point to. What live changes in them
//! meanwhile is taken again at publish, at last under the lock under which the tables change places.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use super::connection::Session;
use super::names::{Names, literal, quoted, within};
use crate::error::{Error, Kind, Result};

/// A table whose rows come from live.
#[derive(Debug)]
struct Table {
    name: String,
    /// Those that are not computed, as live has them.
    columns: Vec<String>,
    is_sequence: bool,
    /// Only live has it.
    is_extra: bool,
}

/// What comes from live.
#[derive(Debug, Default)]
pub(super) struct Carried {
    tables: Vec<Table>,
    /// Tables that foreign keys connect to others.
    bound: Mutex<BTreeSet<String>>,
    /// What live's rows were when they were copied.
    sums: Mutex<BTreeMap<String, String>>,
}

/// A column is cut by no server that is this strict; a zero date is what it is.
const STRICT: &str = "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO,STRICT_ALL_TABLES,ALLOW_INVALID_DATES', foreign_key_checks = 0";
const LAX: &str =
    "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES', foreign_key_checks = 1";

impl Carried {
    /// `kept`: tables of the source whose rows are live's, as far as live has them; `extra`: tables that only live has.
    pub(super) async fn plan(
        session: &mut Session,
        names: &Names,
        kept: &[String],
        extra: &[String],
    ) -> Result<Self> {
        let mut carried = Self::default();
        let rows = session
            .query(&format!(
                "SELECT TABLE_NAME, TABLE_TYPE = 'SEQUENCE' FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} \
                 AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED', 'SEQUENCE') ORDER BY TABLE_NAME",
                literal(&names.live)
            ))
            .await?;
        for row in rows {
            let name = row.text(0)?;
            let is_extra = extra.contains(&name);
            if is_extra || kept.contains(&name) {
                carried.tables.push(Table {
                    columns: columns(session, &names.live, &name).await?,
                    name,
                    is_sequence: row.number(1)? == 1,
                    is_extra,
                });
            }
        }
        Ok(carried)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// Their names.
    pub(super) fn tables(&self) -> impl Iterator<Item = &str> {
        self.tables.iter().map(|table| table.name.as_str())
    }

    /// Those that only live has: no catalogue of incoming is to list them.
    pub(super) fn extra(&self) -> impl Iterator<Item = &str> {
        self.tables
            .iter()
            .filter(|table| table.is_extra)
            .map(|table| table.name.as_str())
    }

    /// Makes the tables that only live has, and copies all rows. Incoming's tables have their indexes and foreign keys.
    pub(super) async fn fill(&self, session: &mut Session, names: &Names) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        session
            .run(&format!("USE {}", quoted(&names.incoming)))
            .await?;
        session.run(STRICT).await?;
        for table in self.tables.iter().filter(|table| table.is_extra) {
            let kind = if table.is_sequence {
                "SEQUENCE"
            } else {
                "TABLE"
            };
            let made = session
                .query_one(&format!(
                    "SHOW CREATE {kind} {}",
                    within(&names.live, &table.name)
                ))
                .await?
                .definition(1)?;
            session
                .run(&made)
                .await
                .map_err(|error| error.within(format!("keeping the table {}", table.name)))?;
        }
        for table in &self.tables {
            self.copy(session, names, table, (&names.incoming, &table.name))
                .await?;
        }
        session.run(LAX).await?;
        self.check_keys(session, names, &[]).await
    }

    /// Copies a table's rows; those that are there go.
    async fn copy(
        &self,
        session: &mut Session,
        names: &Names,
        table: &Table,
        to: (&str, &str),
    ) -> Result<()> {
        let (from, into) = (within(&names.live, &table.name), within(to.0, to.1));
        if table.is_sequence {
            let next = session
                .query_one(&format!(
                    "SELECT next_not_cached_value, cycle_count FROM {from}"
                ))
                .await?;
            return session
                .run(&format!(
                    "DO SETVAL({into}, {}, 0, {})",
                    next.text(0)?,
                    next.text(1)?
                ))
                .await
                .map(drop);
        }
        let have: BTreeSet<String> = columns(session, to.0, to.1)
            .await?
            .into_iter()
            .map(|column| column.to_lowercase())
            .collect();
        let lost: Vec<&str> = table
            .columns
            .iter()
            .filter(|column| !have.contains(&column.to_lowercase()))
            .map(String::as_str)
            .collect();
        if !lost.is_empty() {
            return Err(Error::new(
                Kind::Verify,
                format!(
                    "the rows of {} cannot be kept: the source's table has no column {}",
                    table.name,
                    lost.join(", ")
                ),
            )
            .hint("drop the columns on the target, or take the table out of `keep`"));
        }
        let sum = checksum(session, &names.live, &table.name).await?;
        let list: Vec<String> = table.columns.iter().map(|column| quoted(column)).collect();
        let list = list.join(", ");
        let copied = async {
            session.run("START TRANSACTION").await?;
            session.run(&format!("DELETE FROM {into}")).await?;
            session
                .run(&format!(
                    "INSERT INTO {into} ({list}) SELECT {list} FROM {from}"
                ))
                .await?;
            session.run("COMMIT").await
        };
        if let Err(error) = copied.await {
            let _ = session.run("ROLLBACK").await;
            return Err(error.within(format!("keeping the rows of {}", table.name)));
        }
        self.sums
            .lock()
            .expect("no one panics with this lock")
            .insert(table.name.clone(), sum);
        Ok(())
    }

    /// Counters go on where live's left off.
    async fn counters(
        &self,
        session: &mut Session,
        names: &Names,
        table: &Table,
        to: (&str, &str),
    ) -> Result<()> {
        let row = session
            .query_opt(&format!(
                "SELECT AUTO_INCREMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
                literal(&names.live),
                literal(&table.name)
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

    fn has_changed(&self, table: &Table, sum: &str) -> bool {
        let sums = self.sums.lock().expect("no one panics with this lock");
        table.is_sequence || sums.get(&table.name).is_none_or(|before| before != sum)
    }

    /// Rows that changed on live since they were copied are copied again. `staged`: what tables are called in live.
    pub(super) async fn catch_up(
        &self,
        session: &mut Session,
        names: &Names,
        staged: &[(String, String)],
    ) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let mut changed = false;
        for table in &self.tables {
            let sum = checksum(session, &names.live, &table.name).await?;
            if self.has_changed(table, &sum) {
                if !table.is_sequence {
                    tracing::info!(
                        table = table.name,
                        "rows that the target keeps have changed meanwhile; taking them again"
                    );
                }
                changed |= !table.is_sequence;
                session.run(STRICT).await?;
                let copied = self
                    .copy(session, names, table, place(names, staged, &table.name))
                    .await;
                session.run(LAX).await?;
                copied?;
            }
            if !table.is_sequence {
                self.counters(session, names, table, place(names, staged, &table.name))
                    .await?;
            }
        }
        if changed {
            return self.check_keys(session, names, staged).await;
        }
        self.keys(session, names, staged).await.map(drop)
    }

    /// The same while nobody but us can write to live. Rows that foreign keys connect to others are not looked at closely
    /// enough under the lock: if they changed, the error is [`Kind::Busy`], and it can be tried again.
    pub(super) async fn catch_up_locked(
        &self,
        session: &mut Session,
        names: &Names,
        staged: &[(String, String)],
    ) -> Result<()> {
        for table in &self.tables {
            let sum = checksum(session, &names.live, &table.name).await?;
            if table.is_sequence || !self.has_changed(table, &sum) {
                continue;
            }
            if self
                .bound
                .lock()
                .expect("no one panics with this lock")
                .contains(&table.name)
            {
                return Err(Error::new(
                    Kind::Busy,
                    format!(
                        "the rows of {}, which the target keeps, change all the time",
                        table.name
                    ),
                )
                .hint("keep the table from being written with maintenance_on"));
            }
            session.run(STRICT).await?;
            let copied = self
                .copy(session, names, table, place(names, staged, &table.name))
                .await;
            session.run(LAX).await?;
            copied?;
        }
        Ok(())
    }

    /// Foreign keys from and to what was kept hold.
    async fn check_keys(
        &self,
        session: &mut Session,
        names: &Names,
        staged: &[(String, String)],
    ) -> Result<()> {
        for key in self.keys(session, names, staged).await? {
            let mut known = Vec::new();
            let mut equal = Vec::new();
            for (from, to) in &key.columns {
                known.push(format!("c.{} IS NOT NULL", quoted(from)));
                equal.push(format!("p.{} = c.{}", quoted(to), quoted(from)));
            }
            let broken = session
                .query_opt(&format!(
                    "SELECT 1 FROM {} c WHERE {} AND NOT EXISTS (SELECT 1 FROM {} p WHERE {}) LIMIT 1",
                    key.child,
                    known.join(" AND "),
                    key.parent,
                    equal.join(" AND ")
                ))
                .await
                .map_err(|error| error.within(format!("foreign key {} of {}", key.name, key.table)))?;
            if broken.is_some() {
                return Err(Error::new(
                    Kind::Verify,
                    format!(
                        "rows that the target keeps and new ones do not fit: foreign key {} of {} has rows without a parent",
                        key.name, key.table
                    ),
                )
                .hint("keep both tables or neither, or remove those rows from the target"));
            }
        }
        Ok(())
    }

    /// The foreign keys from and to what was kept, as incoming has them.
    async fn keys(
        &self,
        session: &mut Session,
        names: &Names,
        staged: &[(String, String)],
    ) -> Result<Vec<Key>> {
        let waiting: Vec<String> = staged.iter().map(|(_, name)| literal(name)).collect();
        let waiting = if waiting.is_empty() {
            "NULL".to_owned()
        } else {
            waiting.join(", ")
        };
        let rows = session
            .query(&format!(
                "SELECT CONSTRAINT_NAME, TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, REFERENCED_TABLE_SCHEMA, REFERENCED_TABLE_NAME, REFERENCED_COLUMN_NAME \
                 FROM information_schema.KEY_COLUMN_USAGE WHERE REFERENCED_TABLE_NAME IS NOT NULL \
                 AND (TABLE_SCHEMA = {} OR (TABLE_SCHEMA = {} AND TABLE_NAME IN ({waiting}))) \
                 ORDER BY TABLE_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, ORDINAL_POSITION",
                literal(&names.incoming),
                literal(&names.live)
            ))
            .await?;
        let own = |name: String| {
            staged
                .iter()
                .find(|(_, waiting)| *waiting == name)
                .map_or(name, |(table, _)| table.clone())
        };
        let kept: BTreeSet<&str> = self.tables().collect();
        let mut bound = BTreeSet::new();
        let mut keys: Vec<Key> = Vec::new();
        for row in rows {
            let (name, child) = (row.text(0)?, within(&row.text(1)?, &row.text(2)?));
            let pair = (row.text(3)?, row.text(6)?);
            if let Some(last) = keys
                .last_mut()
                .filter(|key| key.name == name && key.child == child)
            {
                last.columns.push(pair);
                continue;
            }
            let ends = [own(row.text(2)?), own(row.text(5)?)];
            let ours: Vec<String> = ends
                .iter()
                .filter(|end| kept.contains(end.as_str()))
                .cloned()
                .collect();
            if !ours.is_empty() {
                bound.extend(ours);
                let [table, _] = ends;
                keys.push(Key {
                    name,
                    table,
                    child,
                    parent: within(&row.text(4)?, &row.text(5)?),
                    columns: vec![pair],
                });
            }
        }
        *self.bound.lock().expect("no one panics with this lock") = bound;
        Ok(keys)
    }
}

/// A foreign key: its name, its table's, where both ends are now, and the columns of both.
struct Key {
    name: String,
    table: String,
    child: String,
    parent: String,
    columns: Vec<(String, String)>,
}

/// Where a table that becomes live waits.
fn place<'a>(
    names: &'a Names,
    staged: &'a [(String, String)],
    table: &'a str,
) -> (&'a str, &'a str) {
    staged
        .iter()
        .find(|(name, _)| name == table)
        .map_or((&names.incoming, table), |(_, staged)| {
            (&names.live, staged)
        })
}

async fn columns(session: &mut Session, schema: &str, table: &str) -> Result<Vec<String>> {
    session
        .query(&format!(
            "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {} \
             AND COALESCE(GENERATION_EXPRESSION, '') = '' ORDER BY ORDINAL_POSITION",
            literal(schema),
            literal(table)
        ))
        .await?
        .iter()
        .map(|row| row.text(0))
        .collect()
}

async fn checksum(session: &mut Session, schema: &str, table: &str) -> Result<String> {
    let row = session
        .query_one(&format!("CHECKSUM TABLE {}", within(schema, table)))
        .await?;
    // One that the server does not say is equal to no other.
    row.maybe(1)?.ok_or_else(|| {
        Error::new(
            Kind::Verify,
            format!("the server does not sum up the rows of {schema}.{table}"),
        )
        .hint("see what CHECK TABLE says of it")
    })
}
