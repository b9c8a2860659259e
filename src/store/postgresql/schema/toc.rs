//! The table of contents of a `pg_dump` archive: every definition with its kind, owner and what it depends on.
//!
//! `pg_restore` can only list it or run all of a section at once; a copy wants to start a table's indexes when its
//! rows are in, to leave things out with all that hangs on them, and to name the statement that failed. The layout is
//! that of `ReadHead` and `ReadToc` in PostgreSQL's `src/bin/pg_dump/pg_backup_archiver.c`, versions 1.12 to 1.16.

use std::collections::HashSet;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};

/// Refuses a table of contents whose dump was used up when incoming was created.
pub(in crate::store::postgresql) fn refuse_taken(toc: &Toc) -> Result<()> {
    if toc.entries.is_empty() {
        return Err(Error::new(
            Kind::Internal,
            "the definitions were taken by who made something of them",
        ));
    }
    Ok(())
}

/// So many bytes of entries' texts lie together: a large schema is some hundred thousand of them, and each by itself
/// would take more room around it than in it.
pub(super) const PAGE: usize = 32 * 1024;

/// A word that many entries share: a kind, a schema, a role.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::store::postgresql) struct Word(Arc<String>);

impl Word {
    /// The word itself.
    pub(in crate::store::postgresql) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for Word {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Word {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Word {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Word {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

/// Words that were met before.
#[derive(Default)]
pub(in crate::store::postgresql) struct Words(HashSet<Word>);

impl Words {
    /// The one instance of a word.
    pub(in crate::store::postgresql) fn word(&mut self, text: &str) -> Word {
        if let Some(known) = self.0.get(text) {
            return known.clone();
        }
        let word = Word(Arc::new(text.to_owned()));
        self.0.insert(word.clone());
        word
    }
}

/// Where in a restore an entry belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::store::postgresql) enum Section {
    /// Wherever the entry before it is: comments and grants.
    Along,
    /// Before rows.
    Before,
    /// Rows.
    Rows,
    /// After rows.
    After,
}

/// One definition.
#[derive(Debug, Clone)]
pub(in crate::store::postgresql) struct Entry {
    /// Its number in the archive; others depend on it by this. Negative: it is of another archive.
    pub(in crate::store::postgresql) id: i64,
    /// The catalogue it comes from, and its oid there (0, 0 for what has none).
    pub(in crate::store::postgresql) object: (u32, u32),
    /// What it shares with others.
    shared: Arc<Shared>,
    /// The page that has its texts one after the other, and where each of them ends.
    page: Arc<String>,
    start: u32,
    tag: u32,
    definition: u32,
    drop: u32,
    needs: u32,
}

/// What all entries of a kind, a schema and an owner have in common: there are hundreds of thousands of entries, and few of these.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::store::postgresql) struct Shared {
    /// `TABLE`, `INDEX`, `FK CONSTRAINT`, ...
    pub(in crate::store::postgresql) kind: Word,
    pub(in crate::store::postgresql) section: Section,
    pub(in crate::store::postgresql) schema: Option<Word>,
    pub(in crate::store::postgresql) owner: Word,
    /// Where its files are, if not in the database's own tablespace.
    pub(in crate::store::postgresql) tablespace: Option<Word>,
}

/// The fields of an entry that are not texts.
#[derive(Debug, Clone)]
pub(in crate::store::postgresql) struct Head {
    pub(in crate::store::postgresql) id: i64,
    pub(in crate::store::postgresql) object: (u32, u32),
    pub(in crate::store::postgresql) shared: Shared,
}

impl Deref for Entry {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.shared
    }
}

impl Entry {
    /// One whose texts are still to come.
    fn new(id: i64, object: (u32, u32), shared: Arc<Shared>) -> Self {
        Self {
            id,
            object,
            shared,
            page: Arc::default(),
            start: 0,
            tag: 0,
            definition: 0,
            drop: 0,
            needs: 0,
        }
    }

    fn text(&self, from: u32, to: u32) -> &str {
        &self.page[from as usize..to as usize]
    }

    /// Its name; for functions with arguments, for constraints with the table in front.
    pub(in crate::store::postgresql) fn tag(&self) -> &str {
        self.text(self.start, self.tag)
    }

    /// The statements that make it.
    pub(in crate::store::postgresql) fn definition(&self) -> &str {
        self.text(self.tag, self.definition)
    }

    /// The statement that drops it, of kinds whose name is only there.
    pub(in crate::store::postgresql) fn drop(&self) -> &str {
        self.text(self.definition, self.drop)
    }

    /// The numbers of what has to be there first.
    pub(in crate::store::postgresql) fn needs(&self) -> impl Iterator<Item = i64> + '_ {
        self.text(self.drop, self.needs)
            .split_ascii_whitespace()
            .filter_map(|number| number.parse::<i64>().ok())
            .map(|number| number * self.id.signum())
    }

    /// Gives it other statements.
    pub(in crate::store::postgresql) fn redefine(&mut self, definition: &str) {
        let mut page = String::new();
        page.push_str(self.tag());
        let tag = page.len();
        page.push_str(definition);
        let end = page.len();
        page.push_str(&self.page[self.definition as usize..self.needs as usize]);
        let moved = |place: u32| (end + (place - self.definition) as usize) as u32;
        (self.drop, self.needs) = (moved(self.drop), moved(self.needs));
        (self.start, self.tag, self.definition) = (0, tag as u32, end as u32);
        self.page = Arc::new(page);
    }

    /// For messages: `index public.users_email_idx`.
    pub(in crate::store::postgresql) fn label(&self) -> String {
        let kind = self.kind.to_lowercase();
        match &self.schema {
            Some(schema) => format!("{kind} {}.{}", schema.as_str(), self.tag()),
            None => format!("{kind} {}", self.tag()),
        }
    }
}

/// A dump's entries, in an order in which they can be made.
#[derive(Debug, Clone, Default)]
pub(in crate::store::postgresql) struct Toc {
    pub(in crate::store::postgresql) entries: Vec<Arc<Entry>>,
}

/// Puts entries' texts into pages.
#[derive(Default)]
pub(in crate::store::postgresql) struct Binder {
    page: String,
    /// Entries whose page is still open.
    open: Vec<Entry>,
    entries: Vec<Arc<Entry>>,
    shared: HashSet<Arc<Shared>>,
}

impl Binder {
    /// Takes in an entry: its tag, definition, what drops it, and the numbers that it needs, each followed by a blank.
    pub(in crate::store::postgresql) fn add(&mut self, head: Head, texts: [&str; 4]) {
        let mut entry = Entry::new(head.id, head.object, self.shared(head.shared));
        let length: usize = texts.iter().map(|text| text.len()).sum();
        if self.page.len() + length > PAGE {
            self.close();
        }
        if self.page.capacity() == 0 {
            self.page.reserve_exact(length.max(PAGE));
        }
        entry.start = self.page.len() as u32;
        let mut end = |text: &str| {
            self.page.push_str(text);
            self.page.len() as u32
        };
        entry.tag = end(texts[0]);
        entry.definition = end(texts[1]);
        entry.drop = end(texts[2]);
        entry.needs = end(texts[3]);
        self.open.push(entry);
    }

    /// The one instance of what entries share.
    fn shared(&mut self, shared: Shared) -> Arc<Shared> {
        if let Some(known) = self.shared.get(&shared) {
            return known.clone();
        }
        let shared = Arc::new(shared);
        self.shared.insert(shared.clone());
        shared
    }

    fn close(&mut self) {
        let page = Arc::new(std::mem::take(&mut self.page));
        self.entries.extend(self.open.drain(..).map(|mut entry| {
            entry.page = page.clone();
            Arc::new(entry)
        }));
    }

    /// All that was taken in, in order.
    pub(in crate::store::postgresql) fn bind(mut self) -> Toc {
        self.close();
        Toc {
            entries: self.entries,
        }
    }
}

/// Kinds whose full name is only in their DROP statement.
pub(in crate::store::postgresql) const BY_DROP: [&str; 6] = [
    "AGGREGATE",
    "FUNCTION",
    "OPERATOR",
    "OPERATOR CLASS",
    "OPERATOR FAMILY",
    "PROCEDURE",
];
