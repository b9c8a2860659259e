//! Fuzz targets: what a SQLite file has in its schema, scripts for it, and its rows at rest. See `docs/fuzzing.md`.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::publish::marks;
use super::rows::values;
use super::schema::literals::{self, Literal};
use super::schema::modules::Module;
use super::schema::tokens::{placed, tokens};
use super::schema::{foreign_keys, manual_restore, requirements};
use super::script::{run, split};
use crate::fuzz::{bytes, config, texts};

fn as_value<'a>(read: &'a Literal<'_>) -> ValueRef<'a> {
    match read {
        Literal::Null => ValueRef::Null,
        Literal::Integer(value) => ValueRef::Integer(*value),
        Literal::Real(value) => ValueRef::Real(*value),
        Literal::Text(value) => ValueRef::Text(value),
        Literal::Blob(value) => ValueRef::Blob(value),
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn definition(sql in texts(&["tests/corpus/sqlite_definition", "tests/corpus/sqlite_script"])) {
        let mut from = 0;
        for (_, place) in placed(&sql) {
            prop_assert!(place.start >= from && place.end > place.start && sql.get(place.clone()).is_some());
            from = place.end;
        }
        prop_assert_eq!(tokens(&sql).len(), placed(&sql).len());
        if let Some(without) = foreign_keys::without(&sql, |name| name.eq_ignore_ascii_case("a")) {
            prop_assert!(without.len() < sql.len());
        }
        let _ = (Module::of(&sql), requirements::feeds(&sql, "t"), requirements::refuses(&sql));
        prop_assert!(manual_restore::statement(&sql).ends_with(";\n"));
    }

    #[test]
    fn script_statements(text in texts(&["tests/corpus/sqlite_script"])) {
        let mut rest = &text[..];
        let mut count = 0;
        while !rest.is_empty() {
            count += 1;
            prop_assert!(count <= text.len());
            let length = split::first(rest);
            prop_assert!(length > 0 && length <= rest.len() && rest.is_char_boundary(length));
            let skipped = run::blank(&rest[..length]);
            prop_assert!(rest.is_char_boundary(skipped) && skipped <= length);
            rest = &rest[length..];
        }
        if let Some((at, what)) = run::flaw(&text) {
            prop_assert!(text.is_char_boundary(at) && !what.is_empty());
        }
    }

    /// A name that is known to be one is a word to us where it is one to SQLite.
    #[test]
    fn literal(text in bytes(&["tests/corpus/sqlite_literal"])) {
        let mut rest = &text[..];
        let mut taken = 0;
        while let Some(read) = literals::read(&mut rest) {
            taken += 1;
            prop_assert!(taken <= text.len());
            if rest.is_empty() {
                break;
            }
            // What was read is written, and read as the same.
            let mut written = BytesMut::new();
            prop_assert!(literals::write(as_value(&read), &mut written).is_ok());
            let mut again = &written[..];
            prop_assert_eq!(literals::read(&mut again), Some(read), "{:?}", written);
            prop_assert!(again.is_empty());
        }
    }

    #[test]
    fn value(text in bytes(&["tests/corpus/sqlite_text"])) {
        let mut written = BytesMut::new();
        for value in [ValueRef::Text(&text), ValueRef::Blob(&text)] {
            written.clear();
            literals::write(value, &mut written).unwrap();
            prop_assert!(!written.contains(&b'\n') && !written.contains(&b'\r') && !written.contains(&0));
            prop_assert!(written.len() <= 12 * text.len() + 100);
            let mut rest = &written[..];
            let read = literals::read(&mut rest);
            prop_assert_eq!(read.as_ref().map(as_value), Some(value));
            prop_assert!(rest.is_empty());
        }
        let written = manual_restore::literal(&String::from_utf8_lossy(&text));
        let shown = Connection::open_in_memory().unwrap().query_row(&format!("SELECT {written}"), [], |row| row.get::<_, String>(0));
        prop_assert_eq!(shown.unwrap(), String::from_utf8_lossy(&text));
    }

    #[test]
    fn tagged_values(wire in bytes(&["tests/corpus/rows_on_the_wire"])) {
        let mut rest = &wire[..];
        let mut again = Vec::new();
        while let Some(value) = values::decode(&mut rest) {
            values::put(value, &mut again);
        }
        prop_assert!(wire.starts_with(&again));
        let _ = Bytes::from(again);
    }

    #[test]
    fn marks_file(text in bytes(&["tests/corpus/sqlite_marks"])) {
        if let Ok(content) = serde_json::from_slice::<marks::Content>(&text) {
            let written = serde_json::to_vec(&content).unwrap();
            prop_assert!(serde_json::from_slice::<marks::Content>(&written).is_ok());
        }
    }
}

#[test]
fn a_comment_that_only_looks_closed_is_open() {
    assert_eq!(tokens("/*/ a */ b"), tokens("b"));
    assert_eq!(run::blank("/*/ a */b"), 8);
    assert!(tokens("/*/").is_empty());
}

#[test]
fn foreign_keys_that_lie_in_one_another_are_cut_out_once() {
    for sql in [
        "CREATE TABLE b (x REFERENCES a ON REFERENCES a y)",
        "CREATE TABLE b (x REFERENCES a MATCH REFERENCES a ON DELETE REFERENCES a é)",
        "CREATE TABLE b (FOREIGN KEY (REFERENCES a) REFERENCES a)",
    ] {
        let made = foreign_keys::without(sql, |name| name == "a").unwrap();
        assert!(made.len() < sql.len(), "{made}");
    }
}

#[test]
fn a_text_with_every_stand_in_in_it_is_written_in_one_pass() {
    let pieces: Vec<String> = (0..60_000).map(|number| number.to_string()).collect();
    let text = format!("\\n{}\\n\n", pieces.join("\\n"));
    let mut written = BytesMut::new();
    literals::write(ValueRef::Text(text.as_bytes()), &mut written).unwrap();
    let mut rest = &written[..];
    let read = literals::read(&mut rest);
    assert_eq!(
        read.as_ref().map(as_value),
        Some(ValueRef::Text(text.as_bytes()))
    );
}
