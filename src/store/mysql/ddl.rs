//! A table's definition in pieces: what it needs to take rows, and what is faster made when they are in. Pure.
//!
//! It reads what `SHOW CREATE TABLE` prints, nothing else: names in backticks, one clause a line, no comments of people.

use serde::{Deserialize, Serialize};

use super::lexer::{self, Dialect, Shape, Token};
use super::names::quoted;
use crate::error::{Error, Kind, Result};

/// What one clause between the parentheses is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Clause {
    /// A column, by name.
    Column(String),
    /// The primary key.
    Primary,
    /// Any other key.
    Key(Key),
    /// A foreign key.
    Foreign(Reference),
    /// A check, a period, or what we do not know.
    Other,
}

/// A key that is not the primary one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) kind: KeyKind,
    /// The columns that it begins with, in order, as far as they are columns.
    pub(super) columns: Vec<String>,
    /// It can only be added by copying the whole table: a hash over long columns, WITHOUT OVERLAPS.
    copies: bool,
}

/// The kinds of keys that differ in how they are added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyKind {
    /// An index.
    Plain,
    /// A unique one.
    Unique,
    /// A full-text index.
    FullText,
    /// An index over geometries.
    Spatial,
    /// An index over embeddings (MariaDB 11.7).
    Vector,
}

/// Where a foreign key points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    /// The constraint's name.
    pub(super) name: String,
    /// The other schema, if it is another one.
    pub(super) schema: Option<String>,
    /// The table.
    pub(super) table: String,
}

/// A definition in its clauses. Put away, it is its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(super) struct Create {
    /// `CREATE TABLE`.
    head: String,
    /// The table's name.
    name: String,
    /// What stands between the parentheses.
    pub(super) clauses: Vec<(Clause, String)>,
    /// Everything after the parentheses: options, partitions.
    pub(super) tail: String,
}

/// What a table can be made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Apart {
    /// `CREATE TABLE` with all that has to be there before rows come.
    pub(super) bare: String,
    /// The rest of the keys, each list in one ALTER TABLE: `ADD KEY ...`.
    pub(super) indexes: Vec<Vec<String>>,
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
    pub(super) fn parse(create: &str) -> Result<Self> {
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
                clauses.push((kind(clause), joined(clause).trim().to_owned()));
                from = place + 1;
            }
            if depth == 0 {
                if tokens[..place].iter().any(is_line) {
                    return Err(unreadable());
                }
                return Ok(Self {
                    head: joined(&tokens[..at]).trim().to_owned(),
                    name: tokens[at].name().ok_or_else(unreadable)?,
                    clauses,
                    tail: without_directories(&tokens[from..]).trim().to_owned(),
                });
            }
        }
        Err(unreadable())
    }

    /// The definition again, of the clauses that `keep` wants.
    pub(super) fn text(&self, keep: impl Fn(usize, &Clause) -> bool) -> String {
        let clauses: Vec<&str> = self
            .clauses
            .iter()
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
    pub(super) fn foreign_keys(&self) -> impl Iterator<Item = (&Reference, &str)> {
        self.clauses
            .iter()
            .filter_map(|(clause, text)| match clause {
                Clause::Foreign(reference) => Some((reference, text.as_str())),
                _ => None,
            })
    }

    /// Takes it apart for an engine that builds indexes faster over rows that are there (InnoDB).
    pub(super) fn apart(&self) -> Apart {
        let keys: Vec<(usize, &Key)> = self
            .clauses
            .iter()
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
            let (Clause::Key(key), text) = &self.clauses[*place] else {
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
        if !self.primary_leads_with_counter() && self.clauses.iter().any(needs_one) {
            return true;
        }
        // Without a primary key, InnoDB stores rows in the order of the first unique key that has no NULLs: added later, it
        // would write the table once more.
        key.kind == KeyKind::Unique
            && !self
                .clauses
                .iter()
                .any(|(clause, _)| *clause == Clause::Primary)
            && !self.clauses[..place].iter().any(|(clause, _)| {
                matches!(clause, Clause::Key(other) if other.kind == KeyKind::Unique && self.is_never_null(other))
            })
            && self.is_never_null(key)
    }

    pub(super) fn is_never_null(&self, key: &Key) -> bool {
        key.columns.iter().all(|column| {
            self.clauses.iter().any(|(clause, text)| {
                matches!(clause, Clause::Column(name) if name == column)
                    && has_word(text, "NOT NULL")
            })
        })
    }

    fn primary_leads_with_counter(&self) -> bool {
        let Some((_, primary)) = self
            .clauses
            .iter()
            .find(|(clause, _)| *clause == Clause::Primary)
        else {
            return false;
        };
        let first = columns(&lexer::tokens(primary, Dialect::default()))
            .into_iter()
            .next();
        self.clauses.iter().any(|(clause, text)| {
            matches!(clause, Clause::Column(name) if Some(name) == first.as_ref())
                && has_word(text, "AUTO_INCREMENT")
        })
    }

    /// The column of a unique key of one whole number without NULLs; the primary key's, if it is one.
    pub(super) fn split_key(&self) -> Option<String> {
        let is_number = |name: &str| {
            self.clauses.iter().any(|(clause, text)| {
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
        self.clauses.iter().find_map(|(clause, text)| {
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
    pub(super) fn auto_increment(&self) -> Option<u64> {
        option(&self.tail, "AUTO_INCREMENT")?.parse().ok()
    }

    /// Whether a column counts by itself.
    pub(super) fn counts(&self) -> bool {
        self.clauses.iter().any(|(clause, text)| {
            matches!(clause, Clause::Column(_)) && has_word(text, "AUTO_INCREMENT")
        })
    }

    /// With defaults that come from sequences of `from` coming from those of `to`: the server prints and keeps their schema.
    #[must_use]
    pub(super) fn with_sequences_in(&self, from: &str, to: &str) -> Self {
        let mut made = self.clone();
        for (clause, text) in &mut made.clauses {
            if !matches!(clause, Clause::Column(_)) || !takes_sequence(text) {
                continue;
            }
            let tokens = lexer::tokens(text, Dialect::default());
            *text = tokens
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
        }
        made
    }

    /// The columns whose default is a sequence's next value: the column, the sequence's schema if it is named, and the
    /// sequence.
    pub(super) fn sequences(&self) -> Vec<(String, Option<String>, String)> {
        let mut found = Vec::new();
        for (clause, text) in &self.clauses {
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
    pub(super) fn without_counter(mut self) -> Self {
        let tokens = lexer::tokens(&self.tail, Dialect::default());
        if let Some((start, end)) = option_range(&tokens, "AUTO_INCREMENT") {
            let rest = joined(&tokens[end + 1..]);
            let tail = format!("{}{}", joined(&tokens[..start]), rest.trim_start());
            tail.trim_end().clone_into(&mut self.tail);
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

/// Whether a column's default is a sequence's value.
pub(super) fn takes_sequence(clause: &str) -> bool {
    let tokens = lexer::tokens(clause, Dialect::default());
    tokens.windows(2).any(|pair| {
        (pair[0].is("nextval") || pair[0].is("lastval") || pair[0].is("setval"))
            && pair[1].is_mark("(")
    })
}

fn joined(tokens: &[Token<'_>]) -> String {
    tokens.iter().map(|token| token.text).collect()
}

/// A tail without `DATA DIRECTORY='...'` and `INDEX DIRECTORY='...'`, of the table and of its partitions: in which place of
/// its disks a server has a table is its own affair.
pub(super) fn without_directories(tokens: &[Token<'_>]) -> String {
    let mut made = String::new();
    let mut at = 0;
    while at < tokens.len() {
        let is_start = tokens[at].is("DATA") || tokens[at].is("INDEX");
        let end = is_start
            .then(|| lexer::solid(tokens, at + 1))
            .flatten()
            .filter(|(_, token)| token.is("DIRECTORY"))
            .and_then(|(next, _)| lexer::solid(tokens, next + 1))
            .filter(|(_, token)| token.is_mark("="))
            .and_then(|(next, _)| lexer::solid(tokens, next + 1))
            .filter(|(_, token)| token.shape == Shape::Text);
        if let Some((end, _)) = end {
            at = end + 1;
            if made.ends_with(' ') {
                made.pop();
            }
        } else {
            made.push_str(tokens[at].text);
            at += 1;
        }
    }
    made
}

/// Whether these words stand in the clause, in a row.
pub(super) fn has_word(text: &str, words: &str) -> bool {
    let tokens = lexer::tokens(text, Dialect::default());
    let solids: Vec<&Token<'_>> = tokens
        .iter()
        .filter(|token| token.shape != Shape::Blank)
        .collect();
    let words: Vec<&str> = words.split(' ').collect();
    solids.windows(words.len()).any(|window| {
        window
            .iter()
            .zip(&words)
            .all(|(token, word)| token.is(word))
    })
}

/// Where `NAME=value` stands among options: the name's and the value's place. Partitions have options of the same names,
/// but with blanks around the sign and in parentheses.
fn option_range(tokens: &[Token<'_>], name: &str) -> Option<(usize, usize)> {
    tokens
        .iter()
        .take_while(|token| !token.is("PARTITION"))
        .position(|token| token.is(name))
        .filter(|at| tokens.get(at + 1).is_some_and(|sign| sign.is_mark("=")))
        .filter(|at| tokens.len() > at + 2)
        .map(|at| (at, at + 2))
}

fn option<'a>(tail: &'a str, name: &str) -> Option<&'a str> {
    let tokens = lexer::tokens(tail, Dialect::default());
    option_range(&tokens, name).map(|(_, value)| tokens[value].text)
}

/// The names in the first parentheses: a key's columns.
pub(super) fn columns(tokens: &[Token<'_>]) -> Vec<String> {
    let mut depth = 0_usize;
    let mut found = Vec::new();
    for token in tokens {
        match token.text {
            "(" if token.shape == Shape::Mark => depth += 1,
            ")" if token.shape == Shape::Mark => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    break;
                }
            }
            _ if depth == 1 && token.shape == Shape::Quoted => found.extend(token.name()),
            _ => {}
        }
    }
    found
}

/// A key's columns, if it is over whole columns and nothing else: no part of one, no expression.
pub(super) fn whole_columns(key: &str) -> Option<Vec<String>> {
    let tokens = lexer::tokens(key, Dialect::default());
    let mut depth = 0_usize;
    for token in &tokens {
        match token.text {
            "(" if token.shape == Shape::Mark => {
                depth += 1;
                if depth > 1 {
                    return None;
                }
            }
            ")" if token.shape == Shape::Mark => break,
            _ => {}
        }
    }
    Some(columns(&tokens))
}

fn kind(clause: &[Token<'_>]) -> Clause {
    let solids: Vec<&Token<'_>> = clause
        .iter()
        .filter(|token| token.shape != Shape::Blank)
        .collect();
    let Some(first) = solids.first() else {
        return Clause::Other;
    };
    if first.shape == Shape::Quoted {
        return first.name().map_or(Clause::Other, Clause::Column);
    }
    let key = |kind| {
        let text = joined(clause);
        Clause::Key(Key {
            kind,
            columns: columns(clause),
            copies: kind == KeyKind::Unique
                && (has_word(&text, "USING HASH") || has_word(&text, "WITHOUT OVERLAPS")),
        })
    };
    let kinds = [
        ("UNIQUE", KeyKind::Unique),
        ("FULLTEXT", KeyKind::FullText),
        ("SPATIAL", KeyKind::Spatial),
        ("VECTOR", KeyKind::Vector),
        ("KEY", KeyKind::Plain),
        ("INDEX", KeyKind::Plain),
    ];
    if first.is("PRIMARY") {
        return Clause::Primary;
    }
    if let Some((_, found)) = kinds.iter().find(|(word, _)| first.is(word)) {
        return key(*found);
    }
    if first.is("CONSTRAINT") && solids.get(2).is_some_and(|token| token.is("FOREIGN")) {
        return reference(&solids).map_or(Clause::Other, Clause::Foreign);
    }
    Clause::Other
}

/// `CONSTRAINT name FOREIGN KEY (...) REFERENCES [schema.]table (...)`.
fn reference(solids: &[&Token<'_>]) -> Option<Reference> {
    let at = solids.iter().position(|token| token.is("REFERENCES"))?;
    let name = solids.get(1)?.name()?;
    let first = solids.get(at + 1)?.name()?;
    let (schema, table) = if solids.get(at + 2)?.is_mark(".") {
        (Some(first), solids.get(at + 3)?.name()?)
    } else {
        (None, first)
    };
    Some(Reference {
        name,
        schema,
        table,
    })
}

#[cfg(test)]
mod tests;
