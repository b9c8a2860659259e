//! The table of contents of a `pg_dump` archive: every definition with its kind, owner and what it depends on.
//!
//! `pg_restore` can only list it or run all of a section at once; a copy wants to start a table's indexes when its
//! rows are in, to leave things out with all that hangs on them, and to name the statement that failed. The layout is
//! that of `ReadHead` and `ReadToc` in PostgreSQL's `src/bin/pg_dump/pg_backup_archiver.c`, versions 1.12 to 1.16.

use std::collections::HashSet;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::packed::{PAGE, Packed, Packer, Text};
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

impl Serialize for Word {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        to.serialize_str(self)
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        Ok(Self(Arc::new(String::deserialize(from)?)))
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

/// One definition. There are hundreds of thousands: what it is made of lies in pages, and this says where.
#[derive(Debug, Clone)]
pub(in crate::store::postgresql) struct Entry {
    page: Arc<Page>,
    place: u32,
    is_of_another: bool,
}

/// Neighbours among entries.
#[derive(Debug)]
struct Page {
    lines: Box<[Line]>,
    /// Of each entry its tag, and the numbers that it needs, each followed by a blank.
    names: Box<str>,
    /// Of each entry its definition, and what drops it.
    statements: Packed,
}

/// What a page has of one entry.
#[derive(Debug, Clone)]
struct Line {
    id: i64,
    object: (u32, u32),
    shared: Arc<Shared>,
    /// Where its tag ends in the page's names, and where what it needs.
    tag: u32,
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
        &self.line().shared
    }
}

impl Entry {
    fn line(&self) -> &Line {
        &self.page.lines[self.place as usize]
    }

    /// Its number in the archive; others depend on it by this. Negative: it is of another archive.
    pub(in crate::store::postgresql) fn id(&self) -> i64 {
        if self.is_of_another {
            -self.line().id
        } else {
            self.line().id
        }
    }

    /// The catalogue it comes from, and its oid there (0, 0 for what has none).
    pub(in crate::store::postgresql) fn object(&self) -> (u32, u32) {
        self.line().object
    }

    /// Its name; for functions with arguments, for constraints with the table in front.
    pub(in crate::store::postgresql) fn tag(&self) -> &str {
        let before = (self.place as usize).checked_sub(1);
        let start = before.map_or(0, |before| self.page.lines[before].needs);
        &self.page.names[start as usize..self.line().tag as usize]
    }

    /// The statements that make it.
    pub(in crate::store::postgresql) fn definition(&self) -> Text {
        self.page.statements.text(2 * self.place as usize)
    }

    /// The statement that drops it, of kinds whose name is only there.
    pub(in crate::store::postgresql) fn drop(&self) -> Text {
        self.page.statements.text(2 * self.place as usize + 1)
    }

    fn needs_as_text(&self) -> &str {
        let line = self.line();
        &self.page.names[line.tag as usize..line.needs as usize]
    }

    /// The numbers of what has to be there first.
    pub(in crate::store::postgresql) fn needs(&self) -> impl Iterator<Item = i64> + '_ {
        let sign = self.id().signum();
        self.needs_as_text()
            .split_ascii_whitespace()
            .filter_map(|number| number.parse::<i64>().ok())
            .map(move |number| number * sign)
    }

    /// Gives it other statements.
    pub(in crate::store::postgresql) fn redefine(&mut self, definition: &str) {
        let line = Line {
            tag: self.tag().len() as u32,
            needs: (self.tag().len() + self.needs_as_text().len()) as u32,
            ..self.line().clone()
        };
        self.page = Arc::new(Page {
            names: [self.tag(), self.needs_as_text()].concat().into(),
            statements: Packed::plain(&[definition, &self.drop()]),
            lines: [line].into(),
        });
        self.place = 0;
    }

    /// Makes it one of another archive: its number is none that an entry of ours has.
    pub(in crate::store::postgresql) fn renumber(&mut self) {
        self.is_of_another = !self.is_of_another;
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
    pub(in crate::store::postgresql) entries: Vec<Entry>,
}

/// Puts entries into pages.
#[derive(Default)]
pub(in crate::store::postgresql) struct Binder {
    /// The page that is open.
    lines: Vec<Line>,
    names: String,
    statements: Packer,
    entries: Vec<Entry>,
    shared: HashSet<Arc<Shared>>,
}

impl Binder {
    /// Takes in an entry: its tag, definition, what drops it, and the numbers that it needs, each followed by a blank.
    pub(in crate::store::postgresql) fn add(&mut self, head: Head, texts: [&str; 4]) {
        let [tag, definition, drop, needs] = texts;
        let length: usize = texts.iter().map(|text| text.len()).sum();
        if self.names.len() + self.statements.length() + length > PAGE {
            self.close();
        }
        let mut end = |text: &str| {
            self.names.push_str(text);
            self.names.len() as u32
        };
        let (tag, needs) = (end(tag), end(needs));
        self.statements.add(definition);
        self.statements.add(drop);
        let line = Line {
            id: head.id,
            object: head.object,
            shared: self.shared(head.shared),
            tag,
            needs,
        };
        self.lines.push(line);
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
        let page = Arc::new(Page {
            lines: self.lines.drain(..).collect(),
            names: self.names.as_str().into(),
            statements: self.statements.close(),
        });
        self.names.clear();
        let places = 0..page.lines.len() as u32;
        self.entries.extend(places.map(|place| Entry {
            page: page.clone(),
            place,
            is_of_another: false,
        }));
    }

    /// All that was taken in, in order.
    pub(in crate::store::postgresql) fn bind(mut self) -> Toc {
        self.close();
        self.entries.shrink_to_fit();
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
