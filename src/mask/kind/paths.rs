//! Kinds for parts of documents, by their paths: what `json` and `php_serialized` share.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::contract::{Mask, Need, Options, Refused, Site};
use crate::error::Result;
use crate::mask::column::{Column, Fit, Repertoire, Type};
use crate::mask::row::Given;
use crate::mask::value::{Masked, Value, length};

/// The options' lines in the documentation.
pub(super) const OPTIONS: &[(&str, &str, &str)] = &[
    (
        "paths",
        "a table of paths and kinds",
        "what becomes of values at `user.email`, `users.0.name`, `users.*.name` (any key or place), `**.email` (at any depth); a \
         path to an object or an array is for all in it; `\\.` is a point in a key",
    ),
    (
        "default",
        "a kind",
        "what becomes of all other values; without it they stay",
    ),
];

/// The options of a kind for documents. `K`: the kinds that there are, this one among them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, bound = "K: Deserialize<'de>")]
pub(super) struct Paths<K> {
    #[serde(default = "BTreeMap::new")]
    paths: BTreeMap<String, K>,
    #[serde(default = "none")]
    default: Option<Box<K>>,
}

fn none<K>() -> Option<Box<K>> {
    None
}

/// A part of a path's pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Key(Vec<u8>),
    Any,
    Deep,
}

/// A part of a value's path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step<'a> {
    Key(std::borrow::Cow<'a, [u8]>),
    Place(usize),
}

fn parse(path: &str) -> Result<Vec<Part>, String> {
    let (mut parts, mut key, mut chars) = (Vec::new(), String::new(), path.chars());
    let part = |key: &str| match key {
        "" => Err(format!("the path `{path}` has an empty part")),
        "*" => Ok(Part::Any),
        "**" => Ok(Part::Deep),
        key => Ok(Part::Key(key.replace('\0', ".").into_bytes())),
    };
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                // Keys do not have it, and it is none of a path's signs.
                Some('.') => key.push('\0'),
                Some(other) => key.push(other),
                None => return Err(format!("the path `{path}` ends with a backslash")),
            },
            '.' => parts.push(part(&std::mem::take(&mut key))?),
            c => key.push(c),
        }
    }
    parts.push(part(&key)?);
    if parts.last() == Some(&Part::Deep) {
        return Err(format!(
            "the path `{path}` ends with **, which is for what follows it"
        ));
    }
    Ok(parts)
}

fn matches(pattern: &[Part], path: &[Step<'_>]) -> bool {
    let Some((part, pattern)) = pattern.split_first() else {
        // What is below is meant, too.
        return true;
    };
    if *part == Part::Deep {
        return (0..=path.len()).any(|skipped| matches(pattern, &path[skipped..]));
    }
    let Some((step, path)) = path.split_first() else {
        return false;
    };
    let is_it = match (part, step) {
        (Part::Key(key), Step::Key(met)) => **key == **met,
        (Part::Key(key), Step::Place(place)) => place.to_string().as_bytes() == key,
        (Part::Any | Part::Deep, _) => true,
    };
    is_it && matches(pattern, path)
}

impl<K: Options> Paths<K> {
    fn kinds(&self) -> impl Iterator<Item = &K> {
        self.paths.values().chain(self.default.as_deref())
    }

    pub(super) fn check(&self) -> Result<(), String> {
        if self.paths.is_empty() && self.default.is_none() {
            return Err("`paths` or `default` is needed".to_owned());
        }
        for path in self.paths.keys() {
            parse(path)?;
        }
        for kind in self.kinds() {
            if let Fit::Not { why, instead } = kind.fit(&leaf(Type::TEXT)) {
                return Err(format!("a kind inside {why}; {instead}"));
            }
        }
        Ok(())
    }

    pub(super) fn is_reversible(&self) -> bool {
        self.kinds().any(K::is_reversible)
    }

    /// Whether no value is left as it is.
    pub(super) fn is_cover(&self) -> bool {
        self.default.is_some() && self.kinds().all(K::is_cover)
    }

    pub(super) fn needs(&self) -> Vec<Need> {
        self.kinds().flat_map(K::needs).collect()
    }

    pub(super) fn compile(&self, site: &Site<'_>) -> Result<Leaves> {
        let (longest, repertoire) = match site.column.kind {
            Type::Text {
                longest,
                repertoire,
            } => (longest, repertoire),
            _ => (None, Repertoire::Unicode),
        };
        let mut by_path = Vec::new();
        for (path, kind) in &self.paths {
            let parts = parse(path).unwrap_or_default();
            by_path.push((parts, Leaf::compile(kind, site)?));
        }
        // Those that say most come first.
        by_path.sort_by_key(|(parts, _)| {
            let vague = |part: &Part| match part {
                Part::Key(_) => 0,
                Part::Any => 1,
                Part::Deep => 100,
            };
            let keys = parts
                .iter()
                .filter(|part| matches!(part, Part::Key(_)))
                .count();
            (
                parts.iter().map(vague).sum::<usize>(),
                std::cmp::Reverse(keys),
            )
        });
        let default = self
            .default
            .as_deref()
            .map(|kind| Leaf::compile(kind, site));
        Ok(Leaves {
            by_path,
            default: default.transpose()?,
            longest: longest.map(|longest| longest as usize),
            repertoire,
        })
    }
}

fn leaf(kind: Type) -> Column {
    Column {
        name: String::new(),
        kind,
        is_nullable: true,
    }
}

/// What becomes of a document's values.
pub(super) struct Leaves {
    by_path: Vec<(Vec<Part>, Leaf)>,
    default: Option<Leaf>,
    longest: Option<usize>,
    repertoire: Repertoire,
}

/// What becomes of one of them.
pub(super) struct Leaf {
    text: Box<dyn Mask>,
    /// For whole numbers, if the kind is for those.
    number: Option<Box<dyn Mask>>,
    is_for_all: bool,
}

impl Leaf {
    fn compile(kind: &impl Options, site: &Site<'_>) -> Result<Self> {
        let compile = |column: Column| {
            kind.compile(&Site {
                column: &column,
                ..*site
            })
        };
        let numbers = leaf(Type::Integer {
            bits: 64,
            is_signed: true,
        });
        let is_for_numbers = !matches!(kind.fit(&numbers), Fit::Not { .. });
        Ok(Self {
            text: compile(leaf(Type::TEXT))?,
            number: is_for_numbers.then(|| compile(numbers)).transpose()?,
            is_for_all: kind.is_for_all(),
        })
    }

    /// Nothing, if the value stays.
    pub(super) fn mask(
        &self,
        value: Value<'_>,
        given: &Given<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Masked>, Refused> {
        if (value.is_null() || value.is_empty()) && !self.is_for_all {
            return Ok(None);
        }
        let mask = match (&self.number, value) {
            (Some(number), Value::Integer(_)) => number,
            _ => &self.text,
        };
        mask.mask(value, given, out).map(Some)
    }
}

impl Leaves {
    /// What becomes of the value at a path.
    pub(super) fn at(&self, path: &[Step<'_>]) -> Option<&Leaf> {
        let found = self
            .by_path
            .iter()
            .find(|(pattern, _)| matches(pattern, path));
        found.map(|(_, leaf)| leaf).or(self.default.as_ref())
    }

    /// Whether the column has room for a document, which cannot be cut.
    pub(super) fn has_room_for(&self, document: &[u8]) -> bool {
        self.longest
            .is_none_or(|longest| document.len() <= longest || length(document) <= longest)
    }

    /// Makes a text one that the column's encoding has, before it is counted.
    pub(super) fn fold(&self, text: &mut Vec<u8>) {
        if self.repertoire != Repertoire::Unicode && !text.is_ascii() {
            *text = deunicode::deunicode(&String::from_utf8_lossy(text)).into_bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Vec<Step<'_>> {
        let step = |part: &'static str| match part.parse() {
            Ok(place) => Step::Place(place),
            Err(_) => Step::Key(part.as_bytes().into()),
        };
        let text: &'static str = text.to_owned().leak();
        text.split('/').map(step).collect()
    }

    #[test]
    fn a_path_is_for_what_it_names_and_for_what_is_below() {
        let is_for = |pattern: &str, met: &str| matches(&parse(pattern).unwrap(), &path(met));
        assert!(is_for("user.email", "user/email"));
        assert!(is_for("user", "user/email"));
        assert!(!is_for("user.email", "user"));
        assert!(!is_for("user.email", "user/name"));
        assert!(is_for("users.*.name", "users/3/name"));
        assert!(is_for("users.3.name", "users/3/name"));
        assert!(!is_for("users.03.name", "users/3/name"));
        assert!(is_for("**.email", "a/b/0/email"));
        assert!(is_for("**.email", "email/address"));
        assert!(is_for(r"a\.b", "a.b"));
        assert!(!is_for("a", "b"));
        for wrong in ["", "a.", ".a", "a..b", "a.**", "a\\"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
