//! The tables of an incoming: twenty thousand of them take little memory.

use crate::store::postgresql::schema::toc::{Entry, Word};

/// The numbers of tables' entries, found by their names.
#[derive(Default)]
pub(in crate::store::postgresql) struct Tables(Box<[Table]>);

/// In the order of names, then schemas.
struct Table {
    name: Box<str>,
    /// Few differ: they are shared.
    schema: Option<Word>,
    id: i64,
}

impl Table {
    fn key(&self) -> (&str, &str) {
        (&self.name, self.schema.as_deref().unwrap_or_default())
    }
}

impl Tables {
    /// Those that entries make.
    pub(super) fn of<'a>(entries: impl Iterator<Item = &'a Entry>) -> Self {
        let tables = entries.filter(|entry| entry.kind == "TABLE");
        let mut tables: Vec<Table> = tables
            .map(|entry| Table {
                name: entry.tag().into(),
                schema: entry.schema.clone(),
                id: entry.id(),
            })
            .collect();
        // Of two with one name, the later one counts.
        tables.reverse();
        tables.sort_by(|a, b| a.key().cmp(&b.key()));
        tables.dedup_by(|a, b| a.key() == b.key());
        Self(tables.into_boxed_slice())
    }

    /// The entry of the table with this name.
    pub(super) fn id(&self, schema: &str, name: &str) -> Option<i64> {
        let place = self
            .0
            .binary_search_by(|table| table.key().cmp(&(name, schema)))
            .ok()?;
        Some(self.0[place].id)
    }

    /// The entries of all.
    pub(super) fn ids(&self) -> impl Iterator<Item = i64> {
        self.0.iter().map(|table| table.id)
    }

    /// Those whose entries are wanted, each as (schema, name), with what is wanted of it.
    pub(super) fn wanted<T>(
        &self,
        wanted: impl Fn(i64) -> Option<T>,
    ) -> impl Iterator<Item = ((String, String), T)> {
        self.0.iter().filter_map(move |table| {
            let what = wanted(table.id)?;
            let (name, schema) = table.key();
            Some(((schema.to_owned(), name.to_owned()), what))
        })
    }
}
