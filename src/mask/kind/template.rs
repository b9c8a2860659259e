//! `template`.

use std::io::Write as _;

use serde::Deserialize;

use super::contract::{About, Mask, Need, Options, Refused, Site};
use super::hash::hexadecimal;
use crate::error::Result;
use crate::mask::column::{Column, Fit, Type, Uniqueness};
use crate::mask::key::Prf;
use crate::mask::row::Given;
use crate::mask::value::{Masked, Value};

pub(in crate::mask) const ABOUT: About = About {
    name: "template",
    what: "A text with other columns' masked values in it, in place of NULL and empty values, too.",
    options: &[
        (
            "template",
            "a text",
            "`{column}`: that column's value in the target; `{row}`: the row's number; `{hash}`: sixteen digits of the value's hash; \
             `{{` and `}}` are braces",
        ),
        ("keep_null", "true, false (default)", "NULL stays NULL"),
    ],
    examples: &[
        (
            "{ kind = \"template\", template = \"user_{hash}@example.com\" }",
            "ada@lovelace.org",
        ),
        (
            "{ kind = \"template\", template = \"Person {row}\" }",
            "Ada Lovelace",
        ),
    ],
    note: "A column that is not masked stands there as it is. One that is NULL leaves nothing.",
};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::mask) struct Template {
    template: String,
    #[serde(default)]
    keep_null: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece<P> {
    Text(String),
    Column(P),
    Row,
    Hash,
}

impl Template {
    fn pieces(&self) -> Result<Vec<Piece<String>>, String> {
        let (mut pieces, mut text) = (Vec::new(), String::new());
        let mut rest = self.template.chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                '{' | '}' if rest.peek() == Some(&c) => {
                    rest.next();
                    text.push(c);
                }
                '{' => {
                    let mut name = String::new();
                    loop {
                        match rest.next() {
                            Some('}') => break,
                            Some(c) => name.push(c),
                            None => {
                                return Err(
                                    "`template` has a { without its }; {{ is a brace".into()
                                );
                            }
                        }
                    }
                    pieces.push(Piece::Text(std::mem::take(&mut text)));
                    pieces.push(match &*name {
                        "" => return Err("`template` has {} without a name; {{ is a brace".into()),
                        "row" => Piece::Row,
                        "hash" => Piece::Hash,
                        _ => Piece::Column(name),
                    });
                }
                '}' => return Err("`template` has a } without its {; }} is a brace".into()),
                c => text.push(c),
            }
        }
        pieces.push(Piece::Text(text));
        pieces.retain(|piece| !matches!(piece, Piece::Text(text) if text.is_empty()));
        Ok(pieces)
    }

    /// What has been checked before.
    fn parsed(&self) -> Vec<Piece<String>> {
        self.pieces().unwrap_or_default()
    }

    /// How long it gets, if no column's value is in it.
    fn length(&self) -> Option<u32> {
        self.parsed().iter().try_fold(0, |sum, piece| match piece {
            Piece::Text(text) => Some(sum + text.chars().count() as u32),
            Piece::Hash => Some(sum + HASH as u32),
            Piece::Row => Some(sum + 10),
            Piece::Column(_) => None,
        })
    }
}

/// Digits of a hash.
const HASH: usize = 16;

impl Options for Template {
    fn keeps_parts(&self) -> bool {
        true
    }

    fn check(&self) -> Result<(), String> {
        self.pieces().map(|_| ())
    }

    fn fit(&self, column: &Column) -> Fit {
        match &column.kind {
            Type::Text { repertoire, .. } => {
                let is_strange = |piece: &Piece<String>| matches!(piece, Piece::Text(text) if !repertoire.has_all(text));
                if self.parsed().iter().any(is_strange) {
                    return Fit::not(
                        "has characters that the column's encoding has not",
                        "another `template` would do",
                    );
                }
                Fit::of_text(column, self.length())
            }
            other => Fit::no_text(other),
        }
    }

    fn uniqueness(&self, column: &Column) -> Uniqueness {
        if matches!(self.fit(column), Fit::Cut(_)) {
            return Uniqueness::Lossy;
        }
        let pieces = self.parsed();
        // Rows are numbered, each otherwise. What columns have in them is theirs to say.
        match (pieces.contains(&Piece::Row), pieces.contains(&Piece::Hash)) {
            (true, _)
                if pieces
                    .iter()
                    .all(|piece| matches!(piece, Piece::Row | Piece::Text(_))) =>
            {
                Uniqueness::Injective
            }
            (_, true) => Uniqueness::Distinct {
                bits: 4 * HASH as u16,
            },
            _ => Uniqueness::Lossy,
        }
    }

    fn is_for_all(&self) -> bool {
        !self.keep_null
    }

    fn needs(&self) -> Vec<Need> {
        let pieces = self.parsed().into_iter();
        let columns = pieces.filter_map(|piece| match piece {
            Piece::Column(name) => Some(Need::Masked(name)),
            _ => None,
        });
        columns.collect()
    }

    fn compile(&self, site: &Site<'_>) -> Result<Box<dyn Mask>> {
        let pieces = self.parsed().into_iter().map(|piece| match piece {
            Piece::Text(text) => Piece::Text(text),
            Piece::Column(name) => Piece::Column((site.place)(&name)),
            Piece::Row => Piece::Row,
            Piece::Hash => Piece::Hash,
        });
        Ok(Box::new(TemplateMask {
            pieces: pieces.collect(),
            prf: site.key.prf(ABOUT.name, ""),
        }))
    }
}

struct TemplateMask {
    pieces: Vec<Piece<usize>>,
    prf: Prf,
}

impl Mask for TemplateMask {
    fn mask(
        &self,
        value: Value<'_>,
        given: &Given<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Masked, Refused> {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Column(place) => out.extend_from_slice(&given.masked(*place).canonical()),
                Piece::Row => write!(out, "{}", given.number()).expect("memory takes everything"),
                Piece::Hash => hexadecimal(&self.prf.of(&value.canonical()).0, HASH, out),
            }
        }
        Ok(Masked::Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(template: &str) -> Result<Vec<Piece<String>>, String> {
        let template = template.to_owned();
        Template {
            template,
            keep_null: false,
        }
        .pieces()
    }

    #[test]
    fn braces_are_names_or_braces() {
        let text = |text: &str| Piece::Text(text.to_owned());
        let column = |name: &str| Piece::Column(name.to_owned());
        assert_eq!(
            pieces("u{id}{{{row}}}@{hash}"),
            Ok(vec![
                text("u"),
                column("id"),
                text("{"),
                Piece::Row,
                text("}@"),
                Piece::Hash
            ])
        );
        assert_eq!(pieces(""), Ok(vec![]));
        for wrong in ["{", "}", "a{b", "{}", "{a}}"] {
            assert!(pieces(wrong).is_err(), "{wrong}");
        }
    }
}
