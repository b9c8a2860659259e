//! What a database consists of: its objects, how each table's rows are read and written, and its settings.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;
use rusqlite::types::Value;
use serde::{Deserialize, Serialize};

use super::connection::quoted;
use super::definition;
use super::module::Module;
use super::stored;
use super::tokens::{Token, tokens};
use super::unknown::Lack;
use crate::store::catalogue::Catalogue;
use crate::store::selection::{Fate, Selection};

/// One row of `sqlite_schema` that has SQL of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Object {
    pub(super) kind: String,
    pub(super) name: String,
    /// The table that it belongs to; for a table or a view, itself.
    pub(super) table: String,
    pub(super) sql: String,
}

impl Object {
    /// `view `v``, for people.
    pub(super) fn label(&self) -> String {
        format!("{} `{}`", self.kind, self.name)
    }

    /// What is wrong with its text.
    pub(super) fn flaw(&self) -> Option<&'static str> {
        definition::flaw(&self.kind, &self.name, &self.table, &self.sql)
    }

    /// Makes it.
    pub(super) fn make(&self, connection: &Connection) -> rusqlite::Result<()> {
        definition::run(connection, &self.kind, &self.name, &self.table, &self.sql)
    }
}

/// The names that a rowid has, unless a column is called so.
pub(super) const ALIASES: [Alias; 3] = ["rowid", "_rowid_", "oid"];

/// How many columns a table or an answer of SQLite has at the most (<https://sqlite.org/limits.html>, section 2).
const MOST_COLUMNS: usize = 2000;

/// More rows of statistics than there are where ANALYZE made them: some two dozen for an index.
const MOST_STATISTICS: usize = 100_000;

/// One of them.
pub(super) type Alias = &'static str;

/// One table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) sql: String,
    pub(super) fate: Fate,
    /// Its rows are in tables of another name (FTS5, R-Tree): its shadows.
    pub(super) is_virtual: bool,
    /// The virtual table whose shadow it is.
    pub(super) shadow_of: Option<String>,
    /// The name under which the rowid can be reached, where it is not one of the columns.
    #[serde(with = "stored::alias")]
    pub(super) rowid: Option<Alias>,
    /// The name under which the rowid can be reached, a column or not.
    #[serde(with = "stored::alias")]
    pub(super) key: Option<Alias>,
    /// Without generated ones.
    pub(super) columns: Vec<String>,
    /// Generated columns that are stored: they do not travel, and a checksum has them where rows go from file to file. In an
    /// archive there are none.
    #[serde(skip)]
    pub(super) computed: Vec<String>,
    /// Generated columns that are not stored.
    #[serde(skip)]
    pub(super) seen: Vec<String>,
    /// Its rowid has no room beside its columns: row by row it is numbered anew.
    #[serde(skip)]
    pub(super) is_widest: bool,
}

impl Table {
    /// Makes it.
    pub(super) fn make(&self, connection: &Connection) -> rusqlite::Result<()> {
        definition::run(connection, "table", &self.name, &self.name, &self.sql)
    }

    /// How many values a row has on its way.
    pub(super) fn values(&self) -> usize {
        self.columns.len() + usize::from(self.rowid.is_some())
    }

    /// The rowid, where it is not a column, and the columns.
    pub(super) fn names(&self) -> Vec<String> {
        self.rowid
            .map(str::to_owned)
            .into_iter()
            .chain(self.columns.iter().cloned())
            .collect()
    }

    /// The same, quoted: the rowid is found in quotes, too.
    pub(super) fn list(&self) -> String {
        list(&self.names())
    }

    /// Reads its rows in the order in which they are stored.
    pub(super) fn select(&self) -> String {
        format!(
            "SELECT {} FROM main.{} NOT INDEXED",
            self.list(),
            quoted(&self.name)
        )
    }

    /// Reads its rows with what is computed from them and stored.
    pub(super) fn select_all(&self) -> String {
        let mut names = self.names();
        names.extend(self.computed.iter().cloned());
        format!(
            "SELECT {} FROM main.{} NOT INDEXED",
            list(&names),
            quoted(&self.name)
        )
    }

    /// Takes one row.
    pub(super) fn insert(&self) -> String {
        format!(
            "INSERT INTO main.{} ({}) VALUES ({})",
            quoted(&self.name),
            self.list(),
            vec!["?"; self.values()].join(", ")
        )
    }
}

/// Names in a row, quoted.
pub(super) fn list(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| quoted(name)).collect();
    quoted.join(", ")
}

/// What belongs to the file and not to a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Settings {
    pub(super) page_size: i64,
    pub(super) page_count: i64,
    pub(super) encoding: String,
    pub(super) auto_vacuum: i64,
    pub(super) user_version: i64,
    pub(super) application_id: i64,
    pub(super) journal_mode: String,
}

impl Settings {
    fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let number = |name: &str| {
            connection.pragma_query_value(Some("main"), name, |row| row.get::<_, i64>(0))
        };
        let text = |name: &str| {
            connection.pragma_query_value(Some("main"), name, |row| row.get::<_, String>(0))
        };
        Ok(Self {
            page_size: number("page_size")?,
            page_count: number("page_count")?,
            encoding: text("encoding")?,
            auto_vacuum: number("auto_vacuum")?,
            user_version: number("user_version")?,
            application_id: number("application_id")?,
            journal_mode: text("journal_mode")?,
        })
    }

    pub(super) fn is_wal(&self) -> bool {
        self.journal_mode.eq_ignore_ascii_case("wal")
    }

    /// The file's size.
    pub(super) fn bytes(&self) -> u64 {
        self.page_size.saturating_mul(self.page_count).max(0) as u64
    }
}

/// Rows of `sqlite_stat1` and `sqlite_stat4`, by table.
pub(super) type Statistics = Vec<(String, Vec<Vec<Value>>)>;

/// Everything in a database but its rows, at one point in time.
#[derive(Clone, Serialize, Deserialize)]
pub struct Definitions {
    pub(super) tables: Vec<Table>,
    /// Indexes, views and triggers.
    pub(super) others: Vec<Object>,
    pub(super) settings: Settings,
    /// AUTOINCREMENT's counters.
    pub(super) sequences: BTreeMap<String, i64>,
    /// The planner's statistics on tables whose rows are copied, where rows travel one by one.
    #[serde(with = "stored::statistics")]
    pub(super) statistics: Statistics,
    /// The file's permissions.
    pub(super) mode: u32,
    /// Objects whose definition is not valid UTF-8: the text that is here is not theirs, byte for byte.
    #[serde(skip)]
    pub(super) not_utf8: Vec<String>,
    /// Objects whose text is not the one definition that it should be, and what is wrong with it.
    #[serde(skip)]
    pub(super) flawed: Vec<(String, &'static str)>,
    /// Views that the selection leaves out by name.
    #[serde(skip)]
    pub(super) views: Vec<String>,
    /// Search indexes that a copy makes anew, of the rows that it has: those of the source are of other rows.
    #[serde(skip)]
    pub(super) renewed: Vec<String>,
    /// Tables that need what this SQLite has not got; asked of a source alone.
    #[serde(skip)]
    pub(super) lacking: Vec<Lack>,
    /// Pairs of tables whose foreign keys were broken already; `None`: not asked, or the keys make no sense.
    pub(super) broken_keys: Option<BTreeSet<(String, String)>>,
}

impl std::fmt::Debug for Definitions {
    // Statistics hold samples of rows, and no row is ever shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Definitions")
            .field("tables", &self.tables)
            .field("others", &self.others)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Definitions {
    /// Reads the schema; the caller holds a transaction open if that matters.
    pub(super) fn read(connection: &Connection, selection: &Selection) -> rusqlite::Result<Self> {
        let mut tables: Vec<Table> = Vec::new();
        let mut others = Vec::new();
        let mut not_utf8 = Vec::new();
        let mut flawed = Vec::new();
        let mut statement = connection.prepare(
            "SELECT type, name, tbl_name, rootpage, sql FROM main.sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let sql = row.get_ref(4)?.as_bytes().unwrap_or_default();
            let object = Object {
                kind: row.get(0)?,
                name: row.get(1)?,
                table: row.get(2)?,
                sql: String::from_utf8_lossy(sql).into_owned(),
            };
            if object.sql.as_bytes() != sql {
                not_utf8.push(object.label());
            }
            if let Some(flaw) = object.flaw() {
                flawed.push((object.label(), flaw));
            }
            if object.kind != "table" {
                others.push(object);
            } else if !object.name.starts_with("sqlite_") {
                let is_virtual = row.get::<_, Option<i64>>(3)?.unwrap_or(0) == 0;
                tables.push(Table {
                    fate: selection.fate(None, &object.name),
                    name: object.name,
                    sql: object.sql,
                    is_virtual,
                    shadow_of: None,
                    rowid: None,
                    key: None,
                    columns: Vec::new(),
                    computed: Vec::new(),
                    seen: Vec::new(),
                    is_widest: false,
                });
            }
        }
        let known = modules(connection)?;
        let virtuals: Vec<(String, Fate, Option<Module>)> = tables
            .iter()
            .filter(|table| table.is_virtual)
            .map(|table| {
                let module = Some(Module::of(&table.sql));
                let module = module.filter(|module| known.contains(&module.name));
                (table.name.clone(), table.fate, module)
            })
            .collect();
        for table in tables.iter_mut().filter(|table| !table.is_virtual) {
            shape(connection, table)?;
            // Which tables are a shadow only its module knows: of one that we have not got, all that are called like it.
            let owner = virtuals
                .iter()
                .filter(|(name, fate, module)| {
                    let Some((start, end)) = table.name.split_at_checked(name.len()) else {
                        return false;
                    };
                    let end = end
                        .strip_prefix('_')
                        .filter(|_| start.eq_ignore_ascii_case(name));
                    end.is_some_and(|end| match module {
                        Some(module) => module.keeps(end),
                        None => *fate != Fate::Copy,
                    })
                })
                .max_by_key(|(name, ..)| name.len());
            if let Some((name, fate, _)) = owner {
                // A virtual table is copied with all that it is made of, or not at all.
                table.shadow_of = Some(name.clone());
                table.fate = *fate;
            }
        }
        Ok(Self {
            tables,
            others,
            settings: Settings::read(connection)?,
            sequences: sequences(connection)?,
            statistics: Vec::new(),
            mode: 0o600,
            not_utf8,
            flawed,
            views: Vec::new(),
            renewed: Vec::new(),
            lacking: Vec::new(),
            broken_keys: None,
        })
    }

    /// A table by its name, whose case does not matter (ASCII's, as to SQLite).
    pub(super) fn any_case(&self, name: &str) -> Option<&Table> {
        self.tables
            .iter()
            .find(|table| table.name.eq_ignore_ascii_case(name))
    }

    /// What happens to a virtual table happens to all that it is made of.
    pub(super) fn decide(&mut self, name: &str, fate: Fate) {
        for table in &mut self.tables {
            if table.name == name || table.shadow_of.as_deref() == Some(name) {
                table.fate = fate;
            }
        }
    }

    /// What is not copied as it is, for `plan`.
    pub(super) fn left_out(&self) -> Vec<(String, Fate)> {
        self.tables
            .iter()
            .filter(|table| table.fate != Fate::Copy && table.shadow_of.is_none())
            .map(|table| (table.name.clone(), table.fate))
            .chain(self.views.iter().map(|view| (view.clone(), Fate::Exclude)))
            .collect()
    }

    pub(super) fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == name)
    }

    /// Whether an index, view or trigger comes along: everything but what belongs to a table that is left out.
    pub(super) fn comes_along(&self, object: &Object) -> bool {
        object.kind == "view"
            || self
                .tables
                .iter()
                .find(|table| table.name.eq_ignore_ascii_case(&object.table))
                .is_none_or(|table| table.fate != Fate::Exclude)
    }

    /// What a copy has: all but what the selection leaves out.
    pub(super) fn selected(&self) -> Catalogue {
        self.catalogue(
            self.tables
                .iter()
                .filter(|table| table.fate != Fate::Exclude),
            self.others.iter().filter(|object| self.comes_along(object)),
        )
    }

    /// All that is there, but for the objects that `skip` names.
    pub(super) fn everything(&self, skip: &BTreeSet<String>) -> Catalogue {
        self.catalogue(
            self.tables
                .iter()
                .filter(|table| !skip.contains(&table.name)),
            self.others
                .iter()
                .filter(|object| !skip.contains(&object.name)),
        )
    }

    fn catalogue<'a>(
        &self,
        tables: impl Iterator<Item = &'a Table>,
        others: impl Iterator<Item = &'a Object>,
    ) -> Catalogue {
        let mut all = BTreeMap::new();
        for table in tables {
            all.insert(format!("table {}", table.name), table.sql.clone());
        }
        for object in others {
            all.insert(
                format!("{} {}", object.kind, object.name),
                object.sql.clone(),
            );
        }
        for (name, value) in [
            ("user_version", self.settings.user_version),
            ("application_id", self.settings.application_id),
        ] {
            all.insert(format!("setting {name}"), value.to_string());
        }
        all.insert(
            "setting encoding".to_owned(),
            self.settings.encoding.clone(),
        );
        Catalogue(all)
    }
}

/// Whether a definition's last words make a table WITHOUT ROWID.
fn is_without_rowid(sql: &str) -> bool {
    let tokens = tokens(sql);
    let end = tokens
        .iter()
        .rposition(|token| *token == Token::Other(')'))
        .unwrap_or(0);
    tokens[end..]
        .windows(2)
        .any(|pair| pair[0].is("without") && pair[1].is("rowid"))
}

/// The modules that our SQLite has, in lower case.
fn modules(connection: &Connection) -> rusqlite::Result<BTreeSet<String>> {
    connection
        .prepare("SELECT lower(name) FROM pragma_module_list")?
        .query_map([], |row| row.get(0))?
        .collect()
}

/// Fills in a table's columns, and how its rowid is reached.
fn shape(connection: &Connection, table: &mut Table) -> rusqlite::Result<()> {
    let mut names = BTreeSet::new();
    let mut keys = Vec::new();
    let mut statement = connection.prepare_cached(
        "SELECT name, type, pk, hidden FROM pragma_table_xinfo(?1, 'main') ORDER BY cid",
    )?;
    let mut rows = statement.query([&table.name])?;
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        names.insert(name.to_lowercase());
        if row.get::<_, i64>(2)? > 0 {
            keys.push(row.get::<_, String>(1)?);
        }
        // 2 and 3 are generated columns (https://sqlite.org/pragma.html#pragma_table_xinfo).
        match row.get(3)? {
            0 => table.columns.push(name),
            2 => table.seen.push(name),
            3 => table.computed.push(name),
            _ => {}
        }
    }
    // An INTEGER PRIMARY KEY is the rowid itself; the one that is not (`DESC`) has an index of its own.
    let is_rowid = matches!(&keys[..], [only] if only.eq_ignore_ascii_case("integer"))
        && !connection
            .prepare_cached("SELECT 1 FROM pragma_index_list(?1, 'main') WHERE origin = 'pk'")?
            .exists([&table.name])?;
    if !is_without_rowid(&table.sql) {
        table.key = ALIASES.into_iter().find(|name| !names.contains(*name));
        table.is_widest = !is_rowid && table.columns.len() + table.computed.len() >= MOST_COLUMNS;
        if !is_rowid && !table.is_widest {
            table.rowid = table.key;
        }
    }
    Ok(())
}

fn has_table(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    connection
        .prepare("SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND name = ?1")?
        .exists([name])
}

/// AUTOINCREMENT's counters.
pub(super) fn sequences(connection: &Connection) -> rusqlite::Result<BTreeMap<String, i64>> {
    if !has_table(connection, "sqlite_sequence")? {
        return Ok(BTreeMap::new());
    }
    connection
        .prepare(
            "SELECT name, seq FROM main.sqlite_sequence WHERE typeof(seq) = 'integer' AND typeof(name) = 'text' \
             AND name IN (SELECT name FROM main.sqlite_schema WHERE type = 'table')",
        )?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// The planner's statistics on the tables that `is_copied` names.
pub(super) fn statistics(
    connection: &Connection,
    is_copied: impl Fn(&str) -> bool,
) -> rusqlite::Result<Statistics> {
    let mut all = Vec::new();
    for (name, columns) in [("sqlite_stat1", 3), ("sqlite_stat4", 6)] {
        if !has_table(connection, name)? {
            continue;
        }
        let mut statement = connection.prepare(&format!("SELECT * FROM main.{name}"))?;
        if statement.column_count() != columns {
            continue;
        }
        let mut found = Vec::new();
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if found.len() >= MOST_STATISTICS {
                tracing::warn!(
                    table = name,
                    "has more rows than ANALYZE makes: the planner's statistics are not copied"
                );
                return Ok(Vec::new());
            }
            // Anybody may write there.
            let Ok(table) = row.get_ref(0)?.as_str().map(str::to_owned) else {
                continue;
            };
            if is_copied(&table) {
                found.push(
                    (0..columns)
                        .map(|at| row.get(at))
                        .collect::<rusqlite::Result<_>>()?,
                );
            }
        }
        all.push((name.to_owned(), found));
    }
    Ok(all)
}

/// Pairs of tables whose foreign keys are broken; `None` if the keys themselves make no sense.
pub(super) fn broken_keys(
    connection: &Connection,
) -> rusqlite::Result<Option<BTreeSet<(String, String)>>> {
    let found = connection
        .prepare("SELECT DISTINCT \"table\", parent FROM pragma_foreign_key_check")
        .and_then(|mut statement| {
            statement
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<BTreeSet<_>>>()
        });
    match found {
        Err(error) if error.to_string().contains("foreign key mismatch") => Ok(None),
        other => other.map(Some),
    }
}
