//! The clauses of a table's definition: what each is, and what stands in it. Pure.

use crate::store::mysql::sql::lexer::{self, Dialect, Shape, Token};

/// What one clause between the parentheses is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::store::mysql) enum Clause {
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
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::store::mysql) struct Key {
    pub(in crate::store::mysql) kind: KeyKind,
    /// The columns that it begins with, in order, as far as they are columns.
    pub(in crate::store::mysql) columns: Box<[String]>,
    /// It can only be added by copying the whole table: a hash over long columns, WITHOUT OVERLAPS.
    pub(super) copies: bool,
}

/// The kinds of keys that differ in how they are added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::store::mysql) enum KeyKind {
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
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::store::mysql) struct Reference {
    /// The constraint's name.
    pub(in crate::store::mysql) name: String,
    /// The other schema, if it is another one.
    pub(in crate::store::mysql) schema: Option<String>,
    /// The table.
    pub(in crate::store::mysql) table: String,
}

/// Whether a column's default is a sequence's value.
pub(in crate::store::mysql) fn takes_sequence(clause: &str) -> bool {
    let tokens = lexer::tokens(clause, Dialect::default());
    tokens.windows(2).any(|pair| {
        (pair[0].is("nextval") || pair[0].is("lastval") || pair[0].is("setval"))
            && pair[1].is_mark("(")
    })
}

pub(super) fn joined(tokens: &[Token<'_>]) -> String {
    tokens.iter().map(|token| token.text).collect()
}

/// A tail without `DATA DIRECTORY='...'` and `INDEX DIRECTORY='...'`, of the table and of its partitions: in which place of
/// its disks a server has a table is its own affair.
pub(in crate::store::mysql) fn without_directories(tokens: &[Token<'_>]) -> String {
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
pub(in crate::store::mysql) fn has_word(text: &str, words: &str) -> bool {
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
pub(super) fn option_range(tokens: &[Token<'_>], name: &str) -> Option<(usize, usize)> {
    tokens
        .iter()
        .take_while(|token| !token.is("PARTITION"))
        .position(|token| token.is(name))
        .filter(|at| tokens.get(at + 1).is_some_and(|sign| sign.is_mark("=")))
        .filter(|at| tokens.len() > at + 2)
        .map(|at| (at, at + 2))
}

pub(super) fn option<'a>(tail: &'a str, name: &str) -> Option<&'a str> {
    let tokens = lexer::tokens(tail, Dialect::default());
    option_range(&tokens, name).map(|(_, value)| tokens[value].text)
}

/// The names in the first parentheses: a key's columns.
pub(in crate::store::mysql) fn columns(tokens: &[Token<'_>]) -> Vec<String> {
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
pub(in crate::store::mysql) fn whole_columns(key: &str) -> Option<Vec<String>> {
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

pub(super) fn kind(clause: &[Token<'_>]) -> Clause {
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
            columns: columns(clause).into(),
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
