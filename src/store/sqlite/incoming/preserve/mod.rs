//! What the target keeps of its own: rows of `keep` tables, and in overlay all that only it has. They come from the snapshot
//! of live, never from live itself, so that live is not held up.

use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::Connection;

use crate::error::{Error, Kind, Result};
use crate::store::catalogue::first_of;
use crate::store::sqlite::connection::errors::{explain, on};
use crate::store::sqlite::connection::open::open_read;
use crate::store::sqlite::incoming::sequences::{rebuild, set_sequence};
use crate::store::sqlite::schema::definitions::Definitions;
use crate::store::sqlite::schema::modules::{Content, Module};
use crate::store::sqlite::schema::names::quoted;
use crate::store::sqlite::schema::nested_views;
use crate::store::sqlite::schema::objects::{Object, Table};
use crate::store::sqlite::schema::scratch::{Scratch, breaks, broken};
use crate::store::{Catalogue, Fate, Selection};

mod attach;
mod follow;
mod plan;
mod rows;

use attach::attached;
use rows::Rows;

/// How many objects an error names.
const NAMED: usize = 3;

/// What incoming takes of live.
#[derive(Debug, Clone, Default)]
pub(in crate::store::sqlite) struct Preserved {
    /// Tables of the source that get live's rows.
    rows: Vec<Rows>,
    /// Tables that only live has, or that are as live has them.
    tables: Vec<Table>,
    /// Virtual tables of the source that give way to live's.
    replaced: Vec<String>,
    /// Search indexes that only live has, over rows that come from the source: they are made anew.
    renewed: Vec<Table>,
    /// Indexes, triggers and views that only live has.
    others: Vec<Object>,
}

impl Preserved {
    /// Where there is no live, nothing stays.
    pub(in crate::store::sqlite) fn none() -> Self {
        Self::default()
    }

    /// Whether nothing stays.
    pub(in crate::store::sqlite) fn is_empty(&self) -> bool {
        self.rows.is_empty()
            && self.tables.is_empty()
            && self.renewed.is_empty()
            && self.others.is_empty()
    }

    /// What incoming has of live and not of the source is left out of a catalogue, and what stands in its place on the source
    /// is put in.
    pub(in crate::store::sqlite) fn in_place_of(
        &self,
        source: &Definitions,
        incoming: &Definitions,
    ) -> Catalogue {
        let own: BTreeSet<&str> = self
            .rows
            .iter()
            .filter(|rows| rows.is_own)
            .map(|rows| rows.ours.name.as_str())
            .collect();
        let is_own = |table: &str| own.iter().any(|name| name.eq_ignore_ascii_case(table));
        let is_replaced = |table: &Table| {
            is_own(&table.name)
                || self
                    .replaced
                    .iter()
                    .any(|name| *name == table.name || table.shadow_of.as_ref() == Some(name))
        };
        let mut skip: BTreeSet<String> = own.iter().map(|name| (*name).to_owned()).collect();
        skip.extend(
            incoming
                .others
                .iter()
                .filter(|object| object.kind == "index" && is_own(&object.table))
                .map(|object| object.name.clone()),
        );
        skip.extend(self.tables.iter().map(|table| table.name.clone()));
        skip.extend(self.others.iter().map(|object| object.name.clone()));
        skip.extend(
            incoming
                .tables
                .iter()
                .filter(|table| {
                    self.renewed.iter().any(|index| {
                        table.name == index.name || table.shadow_of.as_ref() == Some(&index.name)
                    })
                })
                .map(|table| table.name.clone()),
        );
        let mut all = incoming.everything(&skip);
        for table in source.tables.iter().filter(|table| is_replaced(table)) {
            all.0
                .insert(format!("table {}", table.name), table.sql.clone());
        }
        for index in source.others.iter().filter(|object| {
            object.kind == "index" && source.comes_along(object) && is_own(&object.table)
        }) {
            all.0
                .insert(format!("index {}", index.name), index.sql.clone());
        }
        all
    }

    pub(in crate::store::sqlite) fn virtual_tables(&self) -> impl Iterator<Item = &Table> {
        self.tables.iter().filter(|table| table.is_virtual)
    }

    /// What is to be made of live's objects once rows are in. Indexes of tables that are as live has them are there.
    pub(in crate::store::sqlite) fn others(&self) -> impl Iterator<Item = &Object> {
        self.others
            .iter()
            .filter(|object| object.kind != "index" || !self.has_own(&object.table))
    }

    /// Whether an index of the source is there already: of a table that got its rows from live.
    pub(in crate::store::sqlite) fn has_index_of(&self, table: &str) -> bool {
        self.rows
            .iter()
            .any(|rows| rows.ours.name.eq_ignore_ascii_case(table))
    }

    fn has_own(&self, table: &str) -> bool {
        self.tables
            .iter()
            .chain(
                self.rows
                    .iter()
                    .filter(|rows| rows.is_own)
                    .map(|rows| &rows.ours),
            )
            .any(|own| own.name.eq_ignore_ascii_case(table))
    }

    /// Makes the tables, and fills them and the kept ones.
    pub(in crate::store::sqlite) fn fill(
        &mut self,
        incoming: &Connection,
        snapshot: &Path,
        source: &Definitions,
        live: &Definitions,
    ) -> Result<()> {
        attached(incoming, &[("live", snapshot)], |incoming| {
            for name in &self.replaced {
                tracing::warn!(
                    table = name,
                    "is kept with the target's own definition: the source's cannot hold its rows"
                );
                incoming
                    .execute_batch(&format!("DROP TABLE main.{}", quoted(name)))
                    .map_err(|error| explain(error, &format!("kept table `{name}`")))?;
            }
            let plain = |table: &&Table| !table.is_virtual;
            for table in self.tables.iter().filter(plain) {
                table
                    .create(incoming)
                    .map_err(|error| explain(error, &format!("kept table `{}`", table.name)))?;
            }
            for table in self.tables.iter().filter(plain) {
                Rows::own(table).take_unchanged(incoming, live)?;
            }
            for rows in &mut self.rows {
                rows.take(incoming, source, live)?;
            }
            self.sequences(incoming, live)
        })
    }

    /// Refuses what a script has done to rows that are kept: it would be there in one run and gone in the next.
    pub(in crate::store::sqlite) fn is_untouched(
        &self,
        incoming: &Connection,
        snapshot: &Path,
    ) -> Result<()> {
        let own = self
            .tables
            .iter()
            .filter(|table| !table.is_virtual)
            .map(Rows::own);
        attached(incoming, &[("live", snapshot)], |incoming| {
            self.rows
                .iter()
                .cloned()
                .chain(own)
                .try_for_each(|rows| rows.is_untouched(incoming))
        })
    }

    /// AUTOINCREMENT goes on where live's left off.
    fn sequences(&self, incoming: &Connection, live: &Definitions) -> Result<()> {
        let own = self.tables.iter().map(|table| (table, table));
        let all = self
            .rows
            .iter()
            .map(|rows| (&rows.ours, &rows.theirs))
            .chain(own);
        for (ours, theirs) in all.filter(|(_, theirs)| rows::is_autoincrement(theirs)) {
            if let Some(value) = live.sequences.get(&ours.name) {
                set_sequence(incoming, &theirs.name, *value)
                    .map_err(|error| explain(error, &format!("kept table `{}`", ours.name)))?;
            }
        }
        Ok(())
    }

    /// Makes search indexes anew whose rows are not those that the source's are of; their views are there.
    pub(in crate::store::sqlite) fn renew(
        &self,
        incoming: &Connection,
        source: &Definitions,
    ) -> Result<()> {
        for table in &self.renewed {
            table
                .create(incoming)
                .map_err(|error| explain(error, &format!("kept table `{}`", table.name)))?;
        }
        rebuild(incoming, &self.indexes(source))
    }

    /// The search indexes that are made anew: the source's over kept rows, and live's over the source's.
    fn indexes<'a>(&'a self, source: &'a Definitions) -> Vec<(&'a str, String)> {
        source
            .renewed
            .iter()
            .filter_map(|name| source.table(name))
            .filter(|table| table.fate != Fate::Exclude)
            .chain(&self.renewed)
            .filter_map(|table| match Module::of(&table.sql).content {
                Content::Of(content) => Some((table.name.as_str(), content)),
                _ => None,
            })
            .collect()
    }

    /// Refuses what only live has and could not stay, because it needs something that is gone or has changed.
    pub(in crate::store::sqlite) fn can_stay(
        &self,
        source: &Definitions,
        live: &Definitions,
    ) -> Result<()> {
        if self.others.is_empty() && self.renewed.is_empty() && self.tables.is_empty() {
            return Ok(());
        }
        let flawed = live.flawed.iter().cloned();
        if let Some((object, flaw)) = flawed.chain(nested_views::overgrown(&live.others)).next() {
            return Err(Error::new(
                Kind::Verify,
                format!(
                    "{object} of the target {flaw}, so nothing that only the target has can be kept"
                ),
            )
            .hint("drop it from the target, or define it anew"));
        }
        let before = Scratch::of(live.tables.iter(), live.others.iter())?;
        let arriving = source
            .tables
            .iter()
            .filter(|table| table.fate != Fate::Exclude && !self.replaced.contains(&table.name));
        let after = Scratch::of(
            arriving.chain(&self.tables).chain(&self.renewed),
            source.others.iter().chain(&self.others),
        )?;
        let mut lost: Vec<String> = self
            .virtual_tables()
            .chain(&self.renewed)
            .filter(|table| breaks(&before.open(&table.name), &after.open(&table.name)))
            .map(|table| format!("virtual table `{}`", table.name))
            .collect();
        lost.extend(broken(self.others.iter(), &before, &after));
        let is_there = |name: &str| {
            let own = self.tables.iter();
            source
                .any_case(name)
                .is_some_and(|table| table.fate != Fate::Exclude)
                || own
                    .map(|table| &table.name)
                    .any(|own| own.eq_ignore_ascii_case(name))
        };
        lost.extend(orphaned(self.tables.iter(), live, is_there)?);
        if lost.is_empty() {
            return Ok(());
        }
        Err(Error::new(
            Kind::Verify,
            format!(
                "what only the target has cannot stay, since what it needs is gone or has changed: {}",
                first_of(&lost, NAMED)
            ),
        )
        .hint("drop it from the target, or bring it up to what the source has"))
    }

    /// Refuses a definition of live's own with which something of the source would not work.
    pub(in crate::store::sqlite) fn serves(
        &self,
        source: &Definitions,
        live: &Definitions,
        incoming: &Connection,
        selection: &Selection,
    ) -> Result<()> {
        if !self.replaced.is_empty() || self.rows.iter().any(|rows| rows.is_own) {
            let now = Definitions::read(incoming, selection)
                .map_err(|error| explain(error, "incoming"))?;
            let arriving = source
                .tables
                .iter()
                .filter(|table| table.fate != Fate::Exclude);
            let before = Scratch::of(arriving, source.others.iter())?;
            let after = Scratch::of(now.tables.iter(), now.others.iter())?;
            let objects = source
                .others
                .iter()
                .filter(|object| object.kind != "index" && source.comes_along(object));
            let mut lost = broken(objects, &before, &after);
            let own = self.rows.iter().filter(|rows| rows.is_own);
            let is_there = |name: &str| now.any_case(name).is_some();
            lost.extend(orphaned(own.map(|rows| &rows.ours), live, is_there)?);
            if !lost.is_empty() {
                return Err(Error::new(
                    Kind::Verify,
                    format!(
                        "with the target's own definition of a kept table these would not work: {}",
                        first_of(&lost, NAMED)
                    ),
                )
                .hint("alter the target's table, or do not keep it"));
            }
        }
        Ok(())
    }
}

/// Foreign keys of live's tables to tables that live has, and that are not there any more: nothing could be written to theirs.
fn orphaned<'a>(
    tables: impl Iterator<Item = &'a Table>,
    live: &Definitions,
    is_there: impl Fn(&str) -> bool,
) -> Result<Vec<String>> {
    let tables: Vec<&Table> = tables.filter(|table| !table.is_virtual).collect();
    let scratch = Scratch::of(tables.iter().copied(), std::iter::empty())?;
    let mut lost = BTreeSet::new();
    for table in tables {
        let (_, keys) = scratch
            .shape(&table.name)
            .map_err(|error| explain(error, "a schema in memory"))?;
        lost.extend(
            keys.iter()
                .filter(|(parent, _)| live.any_case(parent).is_some() && !is_there(parent))
                .map(|(parent, _)| format!("foreign key of `{}` to `{parent}`", table.name)),
        );
    }
    Ok(lost.into_iter().collect())
}

/// Reads a snapshot's schema.
pub(in crate::store::sqlite) fn read(
    snapshot: &Path,
    selection: &Selection,
) -> Result<Definitions> {
    Definitions::read(&open_read(snapshot)?, selection).map_err(on(snapshot))
}
