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
use super::schema::{create, definition_text, foreign_keys, manual_restore, requirements};
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

/// All objects that a connection sees, with their schemas and kinds.
fn everything(connection: &Connection) -> Vec<(String, String, String)> {
    let sql = "SELECT 'main', type, name FROM main.sqlite_schema UNION ALL SELECT 'other', type, name FROM other.sqlite_schema
        UNION ALL SELECT 'temp', type, name FROM temp.sqlite_schema UNION ALL SELECT 'attached', file, name FROM pragma_database_list";
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    rows.unwrap().map(Result::unwrap).collect()
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

    /// Whatever a row of a file's schema says, it makes that one object, or nothing.
    #[test]
    fn definition_that_is_run(sql in texts(&["tests/corpus/sqlite_definition", "tests/corpus/sqlite_script"]), kind in prop::sample::select(vec!["table", "index", "view", "trigger"]), name in prop::sample::select(vec!["a", "b", "t", "i", "v"])) {
        let words = tokens(&sql);
        let named = words.iter().filter_map(|token| token.name()).nth(2).unwrap_or(name).to_owned();
        for name in [name, &named] {
            let table = if matches!(kind, "index" | "trigger") { "t" } else { name };
            if definition_text::flaw(kind, name, table, &sql).is_some() {
                continue;
            }
            let connection = Connection::open_in_memory().unwrap();
            connection.execute_batch("CREATE TABLE t (a, b, c); ATTACH ':memory:' AS other").unwrap();
            let before = everything(&connection);
            let done = create::run(&connection, kind, name, table, &sql);
            let made: Vec<_> = everything(&connection).into_iter().filter(|object| !before.contains(object)).collect();
            let own = |(schema, of, object): &&(String, String, String)| schema == "main" && of == kind && object.eq_ignore_ascii_case(name);
            let begins = |object: &str| object.to_ascii_lowercase().starts_with(&format!("{}_", name.to_ascii_lowercase()));
            let others = made.iter().filter(|object| !own(object) && !object.2.starts_with("sqlite_") && !begins(&object.2)).count();
            prop_assert_eq!(others, 0, "{:?}", made);
            prop_assert!(done.is_ok() || made.is_empty(), "{:?}", made);
            prop_assert_eq!(connection.total_changes(), 0);
            prop_assert!(before.iter().all(|object| everything(&connection).contains(object)));
        }
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
