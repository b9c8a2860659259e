//! The shapes of a snapshot's tables, as masks of a pull have to know them.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::store::Shape;

/// The format that this envsyncd writes, and the newest that it reads.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Recorded {
    version: u32,
    tables: Vec<Shape>,
}

/// As they are written.
pub(super) fn to_json(tables: Vec<Shape>) -> Result<Vec<u8>> {
    let version = VERSION;
    serde_json::to_vec(&Recorded { version, tables }).map_err(|error| {
        Error::new(Kind::Internal, "the shapes of tables cannot be written").because(error)
    })
}

/// Reads them; by the labels of their tables.
pub(super) fn parse(json: &[u8]) -> Result<HashMap<String, Shape>> {
    let what = "the snapshot's shapes of tables are damaged, or of a newer envsyncd";
    let recorded: Recorded = serde_json::from_slice(json)
        .map_err(|error| Error::new(Kind::Verify, what).because(error))?;
    if recorded.version > VERSION {
        return Err(Error::new(Kind::Verify, what).hint("upgrade envsyncd on this host"));
    }
    let tables = recorded.tables.into_iter();
    Ok(tables.map(|shape| (shape.label(), shape)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::{Column, Encoding, Type};
    use crate::store::{Check, Form, Reference, ShapeColumn, Truth, Unique};

    #[test]
    fn shapes_are_read_as_they_were_written_and_what_is_newer_is_refused() {
        let column = |name: &str, kind, form| ShapeColumn {
            column: Column {
                name: name.to_owned(),
                kind,
                is_nullable: true,
            },
            form,
            type_name: "x".to_owned(),
            is_masked: false,
        };
        let text = Form::Text(Encoding::Latin1, Truth::Letters);
        let shape = Shape {
            names: vec![(Some("public".to_owned()), "users".to_owned())],
            masks: Vec::new(),
            columns: vec![
                column("id", Type::TEXT, text),
                column("state", Type::Enum(vec!["new".to_owned()]), text),
                column("b", Type::Bytes { longest: Some(7) }, Form::Hex),
            ],
            unique: vec![Unique {
                name: "users_pkey".to_owned(),
                columns: vec!["id".to_owned()],
                is_one_null: true,
            }],
            references: vec![Reference {
                name: "fk".to_owned(),
                columns: vec!["b".to_owned()],
                table: (None, "other".to_owned()),
                referenced: vec!["id".to_owned()],
                condition: None,
            }],
            checks: vec![Check {
                name: "is_new".to_owned(),
                columns: vec!["state".to_owned()],
            }],
            partitioned_by: Vec::new(),
            unmaskable: None,
        };
        let json = to_json(vec![shape.clone()]).unwrap();
        assert_eq!(parse(&json).unwrap()["public.users"], shape);
        let newer = String::from_utf8(json)
            .unwrap()
            .replace("\"version\":1", "\"version\":2");
        let error = parse(newer.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("upgrade"), "{error}");
        assert!(parse(b"[]").is_err());
        let others = include_bytes!("../../tests/corpus/shapes/postgresql.json");
        assert_eq!(parse(others).unwrap().len(), 2);
    }
}
