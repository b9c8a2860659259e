//! Fuzz targets: what all stores share. See `docs/fuzzing.md`.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::codec::identity;
use super::redact::{self, Dialect, Names};
use super::registry::drivers;
use super::{
    Catalogue, Codec, Fate, Part, RowCutter, RowDecoder, RowEncoder, RowVisitor, Selection, Unit,
    selection, statements,
};
use crate::fuzz::{bytes, config, lengths, pieces, runtime, texts};

const DIALECTS: [Dialect; 3] = [Dialect::Postgresql, Dialect::Mysql, Dialect::Sqlite];

/// Templates as the stores have them.
const TEMPLATES: &[&str] = &[
    "Duplicate entry '{*}' for key '{}'",
    "Incorrect {} value: '{*}' for column `{}`.`{}` at row {#}",
    "relation \"{}\" already exists",
    "no such column: {}",
    "{}",
    "{}{}",
    "{*} {*} {*} {*}",
];

fn part(codec: &dyn Codec) -> Part {
    Part {
        id: 0,
        schema: None,
        name: "t\nu".to_owned(),
        columns: vec!["a".to_owned(), "b".to_owned()].into(),
        unit: Unit::Rows,
        encoding: codec.encoding(),
        rows: 0,
        bytes: 0,
        slice: None,
        condition: None,
    }
}

/// What a file is on the wire; `None`: it is refused.
fn to_wire(
    decoder: &mut dyn RowDecoder,
    file: &[u8],
    lengths: &[usize],
) -> Option<(u64, Vec<Bytes>)> {
    let (mut rows, mut made) = (0, Vec::new());
    for piece in pieces(file, lengths) {
        if let Some(chunk) = decoder.feed(piece).ok()? {
            rows += chunk.rows;
            made.push(chunk.data);
        }
    }
    if let Some(chunk) = decoder.end().ok()? {
        rows += chunk.rows;
        made.push(chunk.data);
    }
    Some((rows, made))
}

fn to_file(encoder: &mut dyn RowEncoder, wire: &[Bytes]) -> Option<Vec<u8>> {
    let mut file = BytesMut::new();
    for chunk in wire {
        encoder.feed(chunk, &mut file).ok()?;
    }
    encoder.end(&mut file).ok()?;
    Some(file.to_vec())
}

/// Values of rows, as they are encoded.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    value: Vec<u8>,
    values: Vec<Vec<u8>>,
    rows: u64,
}

impl Seen {
    fn of(cutter: &mut dyn RowCutter, chunks: &[Bytes]) -> crate::error::Result<Self> {
        let mut seen = Self::default();
        for chunk in chunks {
            cutter.feed(chunk, &mut seen)?;
        }
        cutter.end()?;
        Ok(seen)
    }
}

impl RowVisitor for Seen {
    fn piece(&mut self, encoded: &[u8]) -> crate::error::Result<()> {
        self.value.extend_from_slice(encoded);
        Ok(())
    }

    fn end_value(&mut self) -> crate::error::Result<()> {
        self.values.push(std::mem::take(&mut self.value));
        Ok(())
    }

    fn end_row(&mut self) -> crate::error::Result<()> {
        self.rows += 1;
        Ok(())
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn script(text in texts(&["tests/corpus/script"])) {
        let Ok(all) = statements::split(&text) else {
            return Ok(());
        };
        let mut from = 0;
        let lines = text.matches('\n').count() + 1;
        for statement in &all {
            let at = statement.text.as_ptr() as usize - text.as_ptr() as usize;
            prop_assert!(at >= from && !statement.text.is_empty());
            from = at + statement.text.len();
            prop_assert_eq!(statement.line, 1 + text[..at].matches('\n').count());
            prop_assert!(statement.line <= lines);
            let alone = statements::split(statement.text);
            // A byte order mark is one at the beginning of a file, and a word elsewhere.
            let is_marked = statement.text.starts_with('\u{feff}');
            prop_assert!(is_marked || alone.is_ok_and(|all| all.len() == 1), "{}", statement.text);
            prop_assert!(statements::shortened(statement.text).chars().count() <= 203);
        }
    }

    #[test]
    fn statement_without_literals(text in texts(&["tests/corpus/script", "tests/corpus/mysql_script", "tests/corpus/sqlite_script"])) {
        for dialect in DIALECTS {
            let shown = redact::statement(&text, dialect);
            prop_assert!(shown.chars().count() <= 203);
            prop_assert!(!shown.contains(['\n', '\r']), "{:?}", shown);
            // What was said is in nothing that is said.
            let hidden = redact::statement(&format!("UPDATE t SET a = 'MARKER' -- {text}"), dialect);
            prop_assert!(text.contains("MARKER") || !hidden.contains("MARKER"), "{}", hidden);
        }
    }

    #[test]
    fn message(message in texts(&["tests/corpus/message"]), sql in texts(&["tests/corpus/script"])) {
        for dialect in DIALECTS {
            let names = Names::of(&sql, dialect);
            let _ = redact::unknown(&message, TEMPLATES, &names);
            let _ = redact::has_literal(&message, &sql, dialect);
            if let Some(told) = redact::words(&message, &["error"], &names) {
                prop_assert!(told.len() <= message.len() && !told.contains('\n'));
            }
            if let Some(told) = redact::filled(&message, TEMPLATES, &names) {
                prop_assert!(!told.contains('\n'));
            }
        }
    }

    #[test]
    fn glob(text in texts(&["tests/corpus/glob"]), table in "[a-c._é*?\\[\\]]{0,20}") {
        if let Ok(pattern) = selection::check_glob(&text) {
            let _ = pattern.matches(&table);
            prop_assert!(!text.is_empty());
        }
        let exact = glob::Pattern::escape(&table);
        if let Ok(pattern) = selection::check_glob(&exact) {
            prop_assert!(pattern.matches(&table));
        }
    }

    #[test]
    fn rows_of_a_snapshot(file in bytes(&["tests/corpus/rows_of_a_snapshot"]), lengths in lengths()) {
        for codec in drivers().flat_map(crate::store::Driver::codecs) {
            let part = part(*codec);
            let encoding = codec.encoding();
            let Ok(mut decoder) = codec.decoder(&part) else { continue };
            let read = to_wire(&mut *decoder, &file, &lengths);
            // Wherever it is cut, it is the same.
            let whole = to_wire(&mut *codec.decoder(&part).unwrap(), &file, &[usize::MAX]);
            prop_assert_eq!(read.is_some(), whole.is_some(), "{:?}", encoding);
            let (Some((rows, wire)), Some((as_whole, _))) = (read, whole) else { continue };
            prop_assert_eq!(rows, as_whole);
            prop_assert!(wire.iter().map(Bytes::len).sum::<usize>() <= 16 * file.len());
            let again = to_file(&mut *codec.encoder(&part).unwrap(), &wire).unwrap();
            let once_more = to_wire(&mut *codec.decoder(&part).unwrap(), &again, &[usize::MAX]);
            prop_assert_eq!(once_more.map(|(rows, _)| rows), Some(rows), "{:?}", encoding);
        }
    }

    #[test]
    fn rows_on_the_wire(wire in bytes(&["tests/corpus/rows_on_the_wire"]), lengths in lengths()) {
        for codec in drivers().flat_map(crate::store::Driver::codecs) {
            let Ok(mut encoder) = codec.encoder(&part(*codec)) else { continue };
            let chunks: Vec<Bytes> = pieces(&wire, &lengths).into_iter().map(Bytes::copy_from_slice).collect();
            if let Some(file) = to_file(&mut *encoder, &chunks) {
                // A value of one byte has a line of names around it.
                prop_assert!(file.len() <= 100 * (wire.len() + 1));
            }
        }
    }

    #[test]
    fn values_of_rows(wire in bytes(&["tests/corpus/rows_on_the_wire"]), lengths in lengths()) {
        for codec in drivers().flat_map(crate::store::Driver::codecs) {
            let (Some(rows), part) = (codec.values(), part(*codec)) else { continue };
            let chunks: Vec<Bytes> = pieces(&wire, &lengths).into_iter().map(Bytes::copy_from_slice).collect();
            let Ok(seen) = Seen::of(&mut *rows.cutter(&part), &chunks) else { continue };
            let (count, joined) = identity::through(&mut *rows.cutter(&part), &mut *rows.joiner(&part), &chunks).unwrap();
            prop_assert_eq!(count, seen.rows);
            // What is joined is cut into the same values.
            let again = Seen::of(&mut *rows.cutter(&part), &[joined.into()]).unwrap();
            prop_assert_eq!(&again, &seen, "{:?}", codec.encoding());
            prop_assert_eq!(identity::split(&mut *rows.splitter(&part), &chunks).unwrap().len() as u64, count);
            for value in &seen.values {
                let Ok(decoded) = rows.decode(value) else { continue };
                let (mut encoded, mut again) = (BytesMut::new(), BytesMut::new());
                rows.encode(&decoded, &mut encoded).unwrap();
                rows.encode(&rows.decode(&encoded).unwrap(), &mut again).unwrap();
                prop_assert_eq!(again, encoded, "{:?}", codec.encoding());
            }
        }
    }

    #[test]
    fn catalogue_of_a_snapshot(stored in bytes(&["tests/corpus/catalogue"]), other in bytes(&["tests/corpus/catalogue"])) {
        let read = |stored: &[u8]| serde_json::from_slice::<Catalogue>(stored).ok();
        let (Some(one), Some(other)) = (read(&stored), read(&other)) else {
            return Ok(());
        };
        prop_assert!(one.differences(&one).is_empty());
        let differences = one.differences(&other);
        prop_assert_eq!(differences.is_empty(), one.digest() == other.digest());
        prop_assert_eq!(differences.len(), other.differences(&one).len());
        prop_assert_eq!(read(&serde_json::to_vec(&one).unwrap()), Some(one));
    }

    #[test]
    fn definitions_of_a_snapshot(stored in bytes(&["tests/corpus/definitions_of_a_snapshot"])) {
        let runtime = runtime();
        let selection = Selection::everything();
        for driver in drivers() {
            let left_out = vec![("old".to_owned(), Fate::Exclude)];
            match runtime.block_on(driver.read_definitions(&stored, Vec::new(), left_out, &selection)) {
                Ok(restored) => {
                    let _ = restored.definitions.scripts();
                    let _ = restored.definitions.refuse_gaps();
                    let again = restored.definitions.to_json();
                    prop_assert!(again.is_err() || !again.unwrap().is_empty());
                }
                Err(error) => prop_assert!(!error.to_string().contains('\n')),
            }
        }
    }
}

#[test]
fn a_message_with_its_signs_a_thousand_times_is_read_once() {
    let names = Names::default();
    for piece in ["' for column `", "`.`", "' for key '", " at row "] {
        let message = format!("Incorrect x value: '{}", piece.repeat(20_000));
        assert_eq!(redact::filled(&message, &TEMPLATES[..3], &names), None);
    }
}
