//! What stands around definitions that are put away: which store's they are, and in which version of its format; and what
//! becomes of a table that was pushed in one way and is pulled in another.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::part::Part;
use super::selection::Fate;
use crate::config::job::StoreKind;
use crate::error::{Error, Kind, Result};

#[derive(Serialize)]
struct Sealed<'a, T> {
    version: u32,
    kind: StoreKind,
    definitions: &'a T,
}

#[derive(Deserialize)]
struct Head {
    version: u32,
    kind: String,
}

#[derive(Deserialize)]
struct Opened<T> {
    definitions: T,
}

/// Definitions as JSON, in this version of their store's format. The same ones make the same bytes.
pub fn seal<T: Serialize>(kind: StoreKind, version: u32, definitions: &T) -> Result<Vec<u8>> {
    let sealed = Sealed {
        version,
        kind,
        definitions,
    };
    serde_json::to_vec(&sealed).map_err(|error| {
        Error::new(Kind::Internal, "the definitions cannot be written").because(error)
    })
}

/// The way back. Another store's are refused, and those of a format that is newer than `version`.
pub fn open<T: DeserializeOwned>(kind: StoreKind, version: u32, stored: &[u8]) -> Result<T> {
    // What the JSON parser says of damaged ones may quote them.
    let damaged = |error: serde_json::Error| {
        Error::new(
            Kind::Verify,
            format!(
                "the definitions are damaged at line {}, column {}",
                error.line(),
                error.column()
            ),
        )
    };
    let head: Head = serde_json::from_slice(stored).map_err(damaged)?;
    if head.kind != kind.as_str() {
        return Err(Error::new(
            Kind::Verify,
            format!(
                "the definitions are of {}, not of {kind}",
                head.kind.escape_debug()
            ),
        ));
    }
    if head.version > version {
        return Err(Error::new(
            Kind::Verify,
            format!(
                "the definitions' format is {}, and this envsyncd reads up to {version}",
                head.version
            ),
        )
        .hint("upgrade envsyncd on this host, at least to the version that made the snapshot"));
    }
    let opened: Opened<T> = serde_json::from_slice(stored).map_err(damaged)?;
    Ok(opened.definitions)
}

/// What becomes of a table: what was not pushed cannot be pulled.
pub fn combined(pushed: Fate, pulled: Fate) -> Fate {
    match (pushed, pulled) {
        (Fate::Exclude, _) => Fate::Exclude,
        (pushed, Fate::Copy) => pushed,
        (_, pulled) => pulled,
    }
}

/// The parts of these tables, of which each has to be there: `columns` answers for a table whose rows are wanted with the
/// columns that it has, `wanted` are their names.
pub fn wanted_parts<'a>(
    parts: Vec<Part>,
    wanted: impl Iterator<Item = &'a str>,
    has_columns: impl Fn(&Part) -> Option<bool>,
) -> Result<Vec<Part>> {
    let mut missing: std::collections::BTreeSet<&str> = wanted.collect();
    let mut left = Vec::with_capacity(parts.len());
    for part in parts {
        let Some(fits) = has_columns(&part) else {
            continue;
        };
        if !fits {
            return Err(Error::new(
                Kind::Verify,
                format!(
                    "the rows of `{}` have columns that its definition lacks",
                    part.name
                ),
            ));
        }
        missing.remove(part.name.as_str());
        left.push(part);
    }
    match missing.first() {
        None => Ok(left),
        Some(name) => Err(Error::new(
            Kind::Verify,
            format!("the rows of `{name}` are not there"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_store_or_a_newer_version_wrote_is_refused() {
        let stored = seal(StoreKind::new("mysql"), 2, &vec!["a", "b"]).unwrap();
        let open = |kind, version| open::<Vec<String>>(kind, version, &stored);
        assert_eq!(open(StoreKind::new("mysql"), 2).unwrap(), ["a", "b"]);
        assert_eq!(open(StoreKind::new("mysql"), 3).unwrap(), ["a", "b"]);
        let newer = open(StoreKind::new("mysql"), 1).unwrap_err();
        assert!(newer.to_string().contains("format is 2"), "{newer}");
        let other = open(StoreKind::new("sqlite"), 2).unwrap_err();
        assert!(other.to_string().contains("of mysql"), "{other}");
    }

    #[test]
    fn the_order_of_what_stands_around_them_does_not_matter() {
        // PostgreSQL's were written so.
        let stored = br#"{"kind":"postgresql","version":1,"definitions":["a"]}"#;
        let opened = open::<Vec<String>>(StoreKind::new("postgresql"), 1, stored);
        assert_eq!(opened.unwrap(), ["a"]);
    }

    #[test]
    fn damaged_definitions_are_not_quoted() {
        let stored = br#"{"version": 1, "kind": "mysql", "definitions": ["s3cret"]}"#;
        let error = open::<Vec<u8>>(StoreKind::new("mysql"), 1, stored).unwrap_err();
        assert_eq!(error.kind(), Kind::Verify);
        assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
    }

    #[test]
    fn a_pull_takes_no_more_than_the_push_gave() {
        for (pushed, pulled, expected) in [
            (Fate::Copy, Fate::Copy, Fate::Copy),
            (Fate::SchemaOnly, Fate::Copy, Fate::SchemaOnly),
            (Fate::Keep, Fate::Copy, Fate::Keep),
            (Fate::Exclude, Fate::Keep, Fate::Exclude),
            (Fate::SchemaOnly, Fate::Keep, Fate::Keep),
            (Fate::SchemaOnly, Fate::Exclude, Fate::Exclude),
            (Fate::Copy, Fate::SchemaOnly, Fate::SchemaOnly),
        ] {
            assert_eq!(combined(pushed, pulled), expected, "{pushed:?} {pulled:?}");
        }
    }
}
