//! A table's definition in pieces: what it needs to take rows, and what is faster made when they are in. Pure.
//!
//! It reads what `SHOW CREATE TABLE` prints, nothing else: names in backticks, one clause a line, no comments of people.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::store::Interner;
use crate::store::mysql::sql::lexer::{self, Dialect, Shape, Token};
use crate::store::mysql::sql::names::quoted;

mod clauses;

pub(in crate::store::mysql) use self::clauses::{
    Clause, Key, KeyKind, Reference, columns, has_word, takes_sequence, whole_columns,
    without_directories,
};
use self::clauses::{joined, kind, option, option_range};

/// What the definitions of a schema's tables have alike: most of their clauses and options.
#[derive(Debug, Default)]
pub(in crate::store::mysql) struct Alike {
    clauses: Interner<(Clause, String)>,
    texts: Interner<str>,
}

/// A definition in its clauses. Put away, it is its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(in crate::store::mysql) struct Create {
    /// `CREATE TABLE`.
    head: Arc<str>,
    /// The table's name.
    name: Box<str>,
    /// What stands between the parentheses.
    pub(super) clauses: Vec<Arc<(Clause, String)>>,
    /// Everything after the parentheses: options, partitions.
    pub(super) tail: Arc<str>,
}

/// A table's definition in two parts: what is created before the rows, and what after them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store::mysql) struct Apart {
    /// `CREATE TABLE` with all that has to be there before rows come.
    pub(in crate::store::mysql) bare: String,
    /// The rest of the keys, each list in one ALTER TABLE: `ADD KEY ...`.
    pub(in crate::store::mysql) indexes: Vec<Vec<String>>,
}

impl From<Create> for String {
    fn from(create: Create) -> Self {
        create.text(|_, _| true)
    }
}

impl TryFrom<String> for Create {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        Self::parse(&text)
    }
}

impl Create {
    /// Reads what `SHOW CREATE TABLE` printed.
    pub(in crate::store::mysql) fn parse(create: &str) -> Result<Self> {
        let unreadable = || {
            let from = create.lines().next().unwrap_or_default();
            Error::new(
                Kind::Internal,
                format!("the server's definition cannot be read: {from}"),
            )
        };
        let tokens = lexer::tokens(create, Dialect::default());
        let open = tokens
            .iter()
            .position(|token| token.is_mark("("))
            .ok_or_else(unreadable)?;
        let at = tokens[..open]
            .iter()
            .rposition(|token| token.name().is_some())
            .ok_or_else(unreadable)?;
        // Two signs before the name would be a comment with a blank behind them.
        let is_plain = |token: &Token<'_>| matches!(token.shape, Shape::Word | Shape::Blank);
        if !tokens[..at].iter().all(is_plain) {
            return Err(unreadable());
        }
        // A comment to the end of its line would swallow what is put behind it. Servers print none.
        let is_line =
            |token: &Token<'_>| token.shape == Shape::Blank && token.text.starts_with(['-', '#']);
        let mut depth = 0_usize;
        let mut clauses = Vec::new();
        let mut from = open + 1;
        for (place, token) in tokens.iter().enumerate().skip(open) {
            let ends = match token.text {
                "(" if token.shape == Shape::Mark => {
                    depth += 1;
                    false
                }
                ")" if token.shape == Shape::Mark => {
                    depth -= 1;
                    depth == 0
                }
                "," if token.shape == Shape::Mark => depth == 1,
                _ => false,
            };
            if ends {
                let clause = &tokens[from..place];
                clauses.push(Arc::new((kind(clause), joined(clause).trim().to_owned())));
                from = place + 1;
            }
            if depth == 0 {
                if tokens[..place].iter().any(is_line) {
                    return Err(unreadable());
                }
                return Ok(Self {
                    head: joined(&tokens[..at]).trim().into(),
                    name: tokens[at].name().ok_or_else(unreadable)?.into(),
                    clauses,
                    tail: without_directories(&tokens[from..]).trim().into(),
                });
            }
        }
        Err(unreadable())
    }

    /// What stands between the parentheses.
    pub(in crate::store::mysql) fn clauses(
        &self,
    ) -> impl ExactSizeIterator<Item = &(Clause, String)> {
        self.clauses.iter().map(|clause| &**clause)
    }

    /// Keeps once what other tables have, too.
    pub(in crate::store::mysql) fn share(&mut self, alike: &mut Alike) {
        // Other tables' foreign keys have other names.
        let many = |clause: &&mut Arc<(Clause, String)>| !matches!(clause.0, Clause::Foreign(_));
        for clause in self.clauses.iter_mut().filter(many) {
            alike.clauses.intern(clause);
        }
        self.clauses.shrink_to_fit();
        alike.texts.intern(&mut self.head);
        alike.texts.intern(&mut self.tail);
    }

    /// The definition again, of the clauses that `keep` wants.
    pub(in crate::store::mysql) fn text(&self, keep: impl Fn(usize, &Clause) -> bool) -> String {
        let clauses: Vec<&str> = self
            .clauses()
            .enumerate()
            .filter(|(place, (clause, _))| keep(*place, clause))
            .map(|(_, (_, text))| text.as_str())
            .collect();
        format!(
            "{} {} (\n  {}\n) {}",
            self.head,
            quoted(&self.name),
            clauses.join(",\n  "),
            self.tail
        )
    }

    /// The foreign keys with their text.
    pub(in crate::store::mysql) fn foreign_keys(&self) -> impl Iterator<Item = (&Reference, &str)> {
        self.clauses().filter_map(|(clause, text)| match clause {
            Clause::Foreign(reference) => Some((reference, text.as_str())),
            _ => None,
        })
    }

    /// Takes it apart for an engine that builds indexes faster over rows that are there (InnoDB).
    pub(in crate::store::mysql) fn apart(&self) -> Apart {
        let keys: Vec<(usize, &Key)> = self
            .clauses()
            .enumerate()
            .filter_map(|(place, (clause, _))| match clause {
                Clause::Key(key) => Some((place, key)),
                _ => None,
            })
            .collect();
        let needed: Vec<usize> = keys
            .iter()
            .filter(|(place, key)| self.has_to_be_there(*place, key))
            .map(|(place, _)| *place)
            .collect();
        // The server sorts keys by kind and leaves those of one kind in the order in which they were added: to end in the
        // source's order, those in front of one that has to be there have to be there, too.
        let stays = |place: usize, key: &Key| {
            needed.iter().any(|needed| {
                *needed == place
                    || (*needed > place
                        && matches!(&self.clauses[*needed].0, Clause::Key(other) if rank(other.kind) == rank(key.kind)))
            })
        };
        let later: Vec<usize> = keys
            .iter()
            .filter(|(place, key)| !stays(*place, key))
            .map(|(place, _)| *place)
            .collect();
        let mut indexes: Vec<Vec<String>> = Vec::new();
        let mut full_texts = 0;
        for place in &later {
            let (Clause::Key(key), text) = &*self.clauses[*place] else {
                continue;
            };
            full_texts += usize::from(key.kind == KeyKind::FullText);
            // InnoDB makes one full-text index at a time. The first one rebuilds the table for its FTS_DOC_ID: then all
            // other indexes are made in the same go.
            let alone =
                key.kind == KeyKind::Vector || (key.kind == KeyKind::FullText && full_texts > 1);
            match indexes.last_mut() {
                Some(last) if !alone => last.push(format!("ADD {text}")),
                _ => indexes.push(vec![format!("ADD {text}")]),
            }
        }
        Apart {
            bare: self.text(|place, clause| {
                !matches!(clause, Clause::Foreign(_)) && !later.contains(&place)
            }),
            indexes,
        }
    }

    /// Whether rows cannot come before this key.
    fn has_to_be_there(&self, place: usize, key: &Key) -> bool {
        let is_plain = matches!(key.kind, KeyKind::Plain | KeyKind::Unique);
        if key.copies {
            return true;
        }
        // The server refuses a table whose AUTO_INCREMENT column leads no key (MyISAM: is in none).
        let needs_one = |(clause, text): &(Clause, String)| match clause {
            Clause::Column(name) if has_word(text, "AUTO_INCREMENT") => {
                is_plain && key.columns.iter().any(|column| column == name)
            }
            _ => false,
        };
        if !self.primary_leads_with_counter() && self.clauses().any(needs_one) {
            return true;
        }
        // Without a primary key, InnoDB stores rows in the order of the first unique key that has no NULLs: added later, it
        // would write the table once more.
        key.kind == KeyKind::Unique
            && !self
                .clauses()
                .any(|(clause, _)| *clause == Clause::Primary)
            && !self.clauses().take(place).any(|(clause, _)| {
                matches!(clause, Clause::Key(other) if other.kind == KeyKind::Unique && self.is_never_null(other))
            })
            && self.is_never_null(key)
    }

    pub(super) fn is_never_null(&self, key: &Key) -> bool {
        key.columns.iter().all(|column| {
            self.clauses().any(|(clause, text)| {
                matches!(clause, Clause::Column(name) if name == column)
                    && has_word(text, "NOT NULL")
            })
        })
    }

    fn primary_leads_with_counter(&self) -> bool {
        let Some((_, primary)) = self
            .clauses()
            .find(|(clause, _)| *clause == Clause::Primary)
        else {
            return false;
        };
        let first = columns(&lexer::tokens(primary, Dialect::default()))
            .into_iter()
            .next();
        self.clauses().any(|(clause, text)| {
            matches!(clause, Clause::Column(name) if Some(name) == first.as_ref())
                && has_word(text, "AUTO_INCREMENT")
        })
    }

    /// The column of a unique key of one whole number without NULLs; the primary key's, if it is one.
    pub(in crate::store::mysql) fn split_key(&self) -> Option<String> {
        let is_number = |name: &str| {
            self.clauses().any(|(clause, text)| {
                matches!(clause, Clause::Column(column) if column == name)
                    && has_word(text, "NOT NULL")
                    && ["tinyint", "smallint", "mediumint", "int", "bigint"]
                        .iter()
                        .any(|kind| {
                            let tokens = lexer::tokens(text, Dialect::default());
                            lexer::solid(&tokens, 1).is_some_and(|(_, token)| token.is(kind))
                        })
            })
        };
        self.clauses().find_map(|(clause, text)| {
            let is_unique = match clause {
                Clause::Primary => true,
                Clause::Key(key) => key.kind == KeyKind::Unique && !key.copies,
                _ => false,
            };
            match &columns(&lexer::tokens(text, Dialect::default()))[..] {
                [only] if is_unique && is_number(only) => Some(only.clone()),
                _ => None,
            }
        })
    }

    /// The counter in the options; the server leaves out one that is still 1.
    pub(in crate::store::mysql) fn auto_increment(&self) -> Option<u64> {
        option(&self.tail, "AUTO_INCREMENT")?.parse().ok()
    }

    /// Whether a column counts by itself.
    pub(in crate::store::mysql) fn counts(&self) -> bool {
        self.clauses().any(|(clause, text)| {
            matches!(clause, Clause::Column(_)) && has_word(text, "AUTO_INCREMENT")
        })
    }

    /// With defaults that come from sequences of `from` coming from those of `to`: the server prints and keeps their schema.
    #[must_use]
    pub(in crate::store::mysql) fn with_sequences_in(&self, from: &str, to: &str) -> Self {
        let mut made = self.clone();
        for whole in &mut made.clauses {
            let (clause, text) = &**whole;
            if !matches!(clause, Clause::Column(_)) || !takes_sequence(text) {
                continue;
            }
            let tokens = lexer::tokens(text, Dialect::default());
            let moved = tokens
                .iter()
                .enumerate()
                .map(|(at, token)| {
                    let is_schema = token.name().as_deref() == Some(from)
                        && tokens.get(at + 1).is_some_and(|next| next.is_mark("."))
                        && at > 0
                        && tokens[at - 1].is_mark("(");
                    if is_schema {
                        quoted(to)
                    } else {
                        token.text.to_owned()
                    }
                })
                .collect();
            *whole = Arc::new((clause.clone(), moved));
        }
        made
    }

    /// The columns whose default is a sequence's next value: the column, the sequence's schema if it is named, and the
    /// sequence.
    pub(in crate::store::mysql) fn sequences(&self) -> Vec<(String, Option<String>, String)> {
        let mut found = Vec::new();
        for (clause, text) in self.clauses() {
            let Clause::Column(column) = clause else {
                continue;
            };
            let tokens = lexer::tokens(text, Dialect::default());
            let call = tokens
                .windows(2)
                .position(|pair| pair[0].is("nextval") && pair[1].is_mark("("));
            let Some(at) = call else { continue };
            let name = |place: usize| tokens.get(place).and_then(Token::name);
            match (name(at + 2), tokens.get(at + 3), name(at + 4)) {
                (Some(schema), Some(dot), Some(sequence)) if dot.is_mark(".") => {
                    found.push((column.clone(), Some(schema), sequence));
                }
                (Some(sequence), _, _) => found.push((column.clone(), None, sequence)),
                _ => {}
            }
        }
        found
    }

    /// Without the counter, whose value is compared by itself.
    #[must_use]
    pub(in crate::store::mysql) fn without_counter(mut self) -> Self {
        let tokens = lexer::tokens(&self.tail, Dialect::default());
        if let Some((start, end)) = option_range(&tokens, "AUTO_INCREMENT") {
            let rest = joined(&tokens[end + 1..]);
            let tail = format!("{}{}", joined(&tokens[..start]), rest.trim_start());
            self.tail = tail.trim_end().into();
        }
        self
    }
}

/// The server's order of keys: unique ones, others, full-text ones (`sort_keys` in `sql_table.cc`).
fn rank(kind: KeyKind) -> u8 {
    match kind {
        KeyKind::Unique => 0,
        KeyKind::Plain | KeyKind::Spatial => 1,
        KeyKind::FullText => 2,
        KeyKind::Vector => 3,
    }
}

#[cfg(test)]
mod tests;
