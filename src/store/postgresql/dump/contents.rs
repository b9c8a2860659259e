//! What a dump's head says of its rows: whose they are, and in which order.

use std::collections::{HashMap, HashSet};

use super::blocks::Blocks;
use super::copy_statement::CopyStatement;
use super::head::{Entry, Head, Kept};
use crate::error::{Error, Kind, Result};
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::schema::dumped::{Dumped, Name, Rows};

/// Entries of tables' rows, in the dump's own encoding.
pub(super) struct OfRows {
    encoding: String,
    entries: Vec<OfTable>,
}

struct OfTable {
    number: i64,
    /// The table's own schema and name.
    table: (Vec<u8>, Vec<u8>),
    /// The statement that they are for.
    copy: Vec<u8>,
    bytes: u64,
}

impl OfTable {
    fn copy(&self) -> Result<CopyStatement> {
        CopyStatement::parse(&self.copy).ok_or_else(|| {
            let table = String::from_utf8_lossy(&self.table.1);
            let what = format!("the rows of {table} in the dump are no COPY");
            Error::new(Kind::Verify, what)
                .hint("dump it without --inserts, --column-inserts and --rows-per-insert")
        })
    }
}

/// The same in UTF-8.
pub(super) struct Contents {
    pub(super) dumped: Dumped,
    /// The numbers of tables' blocks.
    pub(super) numbers: HashMap<Name, i64>,
}

/// Reads them out of a head.
pub(super) fn of(head: &Head, blocks: &Blocks) -> Result<OfRows> {
    let encoding = head
        .encoding()
        .ok_or_else(|| blocks.damaged("it does not say what encoding it is in"))?;
    let kept = head.entries.iter().filter(|entry| entry.kept().is_some());
    let mut starts: Vec<u64> = kept.filter_map(Entry::offset).collect();
    starts.sort_unstable();
    let mut entries = Vec::new();
    for entry in &head.entries {
        if entry.kept() != Some(Kept::Rows) {
            continue;
        }
        let bytes = entry.offset().map_or(0, |start| {
            let next = starts.partition_point(|other| *other <= start);
            starts.get(next).map_or(0, |next| next - start)
        });
        entries.push(OfTable {
            number: entry.id,
            table: (
                entry.schema.clone().unwrap_or_default(),
                entry.tag.clone().unwrap_or_default(),
            ),
            copy: entry.copy.clone().unwrap_or_default(),
            bytes,
        });
    }
    Ok(OfRows { encoding, entries })
}

impl OfRows {
    /// Has the server read names that are not in UTF-8.
    pub(super) async fn named(self, session: &Session) -> Result<Contents> {
        let copies = self.entries.iter().map(OfTable::copy);
        let copies: Vec<CopyStatement> = copies.collect::<Result<_>>()?;
        let names = self.names(&copies, session).await?;
        let text = |bytes: &Vec<u8>| match names.get(bytes) {
            Some(name) => Ok(name.clone()),
            None => String::from_utf8(bytes.clone()).map_err(|_| {
                let what = format!("a name in the dump is not in {}", self.encoding);
                Error::new(Kind::Verify, what)
            }),
        };
        let (mut numbers, mut tables) = (HashMap::new(), HashMap::new());
        for (place, (entry, copy)) in self.entries.iter().zip(&copies).enumerate() {
            let name = (text(&entry.table.0)?, text(&entry.table.1)?);
            let rows = Rows {
                place,
                into: (text(&copy.schema)?, text(&copy.table)?),
                columns: copy.columns.iter().map(text).collect::<Result<_>>()?,
                bytes: entry.bytes,
            };
            numbers.insert(name.clone(), entry.number);
            if tables.insert(name, rows).is_some() {
                let what = "the dump has the rows of a table twice";
                return Err(Error::new(Kind::Verify, what));
            }
        }
        Ok(Contents {
            dumped: Dumped {
                encoding: self.encoding,
                tables,
            },
            numbers,
        })
    }

    async fn names(
        &self,
        copies: &[CopyStatement],
        session: &Session,
    ) -> Result<HashMap<Vec<u8>, String>> {
        if matches!(&*self.encoding, "UTF8" | "SQL_ASCII") {
            return Ok(HashMap::new());
        }
        let all = self.entries.iter().zip(copies).flat_map(|(entry, copy)| {
            let tables = [&entry.table.0, &entry.table.1, &copy.schema, &copy.table];
            tables.into_iter().chain(&copy.columns)
        });
        let odd: HashSet<&Vec<u8>> = all.filter(|name| !name.is_ascii()).collect();
        let mut names = HashMap::with_capacity(odd.len());
        for name in odd {
            let row = session
                .query_one(
                    "SELECT pg_catalog.convert_from($1, $2)",
                    &[name, &self.encoding],
                )
                .await
                .map_err(session.explain())?;
            names.insert(name.clone(), row.read(0)?);
        }
        Ok(names)
    }
}
