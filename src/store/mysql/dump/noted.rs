//! What a first reading of a dump has found out about its rows, so that a second one finds them. Pure.

use std::collections::HashMap;

use super::values;
use crate::store::mysql::schema::dumped;
use crate::store::mysql::sql::lexer::Dialect;

/// What a session is set to where rows stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) dialect: Dialect,
    /// The character set of strings.
    pub(super) charset: String,
    /// The time zone of TIMESTAMPs, if the dump says it.
    pub(super) zone: Option<String>,
    /// Rows say from when to when they were so.
    pub(super) has_past: bool,
}

/// A table's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OfTable {
    /// The name, as the dump's bytes have it and as text.
    raw: Vec<u8>,
    name: String,
    /// It was dropped later.
    is_gone: bool,
    /// The same of the columns that its statements list.
    raw_columns: Option<Vec<Vec<u8>>>,
    pub(super) columns: Option<Vec<String>>,
    pub(super) reading: Reading,
    /// The number of its first statement; how many it has, and how often others come in between.
    pub(super) first: u64,
    pub(super) statements: u64,
    pub(super) gaps: u64,
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

/// Some rows' statement.
pub(super) struct Statement {
    pub(super) number: u64,
    pub(super) rows: values::Rows,
    pub(super) bytes: u64,
    pub(super) reading: Reading,
}

/// All of a dump's rows.
#[derive(Debug, Default)]
pub(super) struct Noted {
    tables: Vec<OfTable>,
    /// By the numbers that the first reading has for tables.
    by_number: HashMap<usize, usize>,
    /// The last table of a name, as the dump's bytes have it.
    by_raw: HashMap<Vec<u8>, usize>,
    by_name: HashMap<String, usize>,
    /// From behind which statement on strings end otherwise.
    dialects: Vec<(u64, Dialect)>,
    /// The table that the last rows were of.
    last: Option<usize>,
    /// How many statements there are.
    pub(super) statements: u64,
}

impl Noted {
    /// Strings end otherwise behind this statement.
    pub(super) fn set_dialect(&mut self, number: u64, dialect: Dialect) {
        let last = self.dialects.last().map(|(_, dialect)| *dialect);
        if last.unwrap_or_default() != dialect {
            self.dialects.push((number, dialect));
        }
    }

    /// How strings end behind a number of statements: a change's place, and what it is.
    pub(super) fn dialect(&self, at: usize) -> Option<(u64, Dialect)> {
        self.dialects.get(at).copied()
    }

    /// Whether names have to be told with the rows that are added.
    pub(super) fn is_new(&self, table: usize) -> bool {
        !self.by_number.contains_key(&table)
    }

    /// Notes rows of a table that has this number; the first time with names as text. `Err`: why they are refused.
    pub(super) fn add(
        &mut self,
        table: usize,
        statement: Statement,
        names: Option<(String, Option<Vec<String>>)>,
    ) -> Result<(), String> {
        let Statement {
            number,
            rows,
            bytes,
            reading,
        } = statement;
        let at = match (self.by_number.get(&table), names) {
            (Some(at), _) => *at,
            (None, names) => {
                let (name, columns) = names.unwrap_or_default();
                self.tables.push(OfTable {
                    raw: rows.table.clone(),
                    name,
                    is_gone: false,
                    raw_columns: rows.columns.clone(),
                    columns,
                    reading: reading.clone(),
                    first: number,
                    statements: 0,
                    gaps: 0,
                    rows: 0,
                    bytes: 0,
                });
                self.by_number.insert(table, self.tables.len() - 1);
                self.tables.len() - 1
            }
        };
        let is_next = self.last.replace(at) == Some(at);
        let found = &mut self.tables[at];
        if found.raw_columns != rows.columns {
            return Err("rows with other columns than the ones before them".to_owned());
        }
        if found.reading != reading {
            return Err("rows under other settings than the ones before them".to_owned());
        }
        if found.raw != rows.table {
            return Err("rows of a table whose name was spelt otherwise before".to_owned());
        }
        if found.statements > 0 && !is_next {
            found.gaps += 1;
        }
        found.statements += 1;
        found.rows += rows.count;
        found.bytes += bytes;
        self.by_raw.insert(rows.table, at);
        Ok(())
    }

    /// A table by its place.
    pub(super) fn table(&self, at: usize) -> &OfTable {
        &self.tables[at]
    }

    /// The place of a table by its name, once all are noted.
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The dump has ended, and only some of its tables are still there. Where names are `folded`, the server has them in small
    /// letters.
    pub(super) fn end(&mut self, is_there: impl Fn(usize) -> bool, folded: bool) {
        for (number, at) in &self.by_number {
            if !is_there(*number) {
                self.tables[*at].is_gone = true;
            }
        }
        let tables = &mut self.tables;
        self.by_raw.retain(|_, at| !tables[*at].is_gone);
        for (at, table) in tables.iter_mut().enumerate() {
            if folded {
                table.name = table.name.to_lowercase();
            }
            if !table.is_gone {
                self.by_name.insert(table.name.clone(), at);
            }
        }
    }

    /// The place of the table that a statement with this number has rows of; none, if they are of one that is gone later or that
    /// nobody wants.
    pub(super) fn place_of(&self, raw: &[u8], number: u64) -> Option<usize> {
        let at = *self.by_raw.get(raw)?;
        (number >= self.tables[at].first).then_some(at)
    }

    /// What the survey has to know of them.
    pub(super) fn told(&self) -> HashMap<String, dumped::Rows> {
        let tables = self.tables.iter().filter(|table| !table.is_gone);
        let told = tables.map(|table| {
            let rows = dumped::Rows {
                place: table.first,
                columns: table.columns.clone(),
                count: table.rows,
                bytes: table.bytes,
                has_past: table.reading.has_past,
            };
            (table.name.clone(), rows)
        });
        told.collect()
    }

    /// How many rows there are of the tables that are still there.
    pub(super) fn rows(&self) -> u64 {
        self.by_raw.values().map(|at| self.tables[*at].rows).sum()
    }
}
