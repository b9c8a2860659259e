use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::store::Encoding;
use crate::store::codec::identity;

const COPY: Delimited = Delimited::new(&[
    (b'b', 8),
    (b'f', 12),
    (b'n', b'\n'),
    (b'r', b'\r'),
    (b't', b'\t'),
    (b'v', 11),
])
.with_numbers();

fn part(columns: usize) -> Part {
    let mut part = Part::whole(0, "t", Encoding::new("lines"), 0);
    part.columns = (0..columns).map(|place| format!("c{place}")).collect();
    part
}

fn value() -> impl Strategy<Value = Option<Vec<u8>>> {
    let letters = prop_oneof![
        4 => any::<u8>(),
        2 => prop::sample::select(b"\\\tnNrtx01\n\r".to_vec())
    ];
    prop::option::weighted(0.8, prop::collection::vec(letters, 0..20))
}

/// Rows of so many values.
fn rows() -> impl Strategy<Value = (usize, Vec<Vec<Option<Vec<u8>>>>)> {
    (0_usize..5).prop_flat_map(|columns| {
        let row = prop::collection::vec(value(), columns);
        (Just(columns), prop::collection::vec(row, 0..8))
    })
}

fn lines(rows: &[Vec<Option<Vec<u8>>>]) -> BytesMut {
    let mut lines = BytesMut::new();
    for row in rows {
        encoded(row, &mut lines);
    }
    lines
}

fn encoded(row: &[Option<Vec<u8>>], out: &mut BytesMut) {
    let mut joiner = DelimitedJoiner::default();
    for value in row {
        let mut one = BytesMut::new();
        let value = value
            .as_ref()
            .map_or(Value::Null, |text| Value::Text(text.into()));
        COPY.escape(&value, &mut one).unwrap();
        joiner.piece(&one).unwrap();
        joiner.end_value().unwrap();
    }
    joiner.end_row().unwrap();
    out.extend_from_slice(&joiner.take().unwrap().data);
}

/// Takes values out of their encoding.
#[derive(Default)]
struct Decoded {
    value: Vec<u8>,
    row: Vec<Option<Vec<u8>>>,
    rows: Vec<Vec<Option<Vec<u8>>>>,
}

impl RowVisitor for Decoded {
    fn piece(&mut self, encoded: &[u8]) -> Result<()> {
        self.value.extend_from_slice(encoded);
        Ok(())
    }

    fn end_value(&mut self) -> Result<()> {
        self.row.push(match COPY.unescaped(&self.value) {
            Value::Text(text) => Some(text.into_owned()),
            _ => None,
        });
        self.value.clear();
        Ok(())
    }

    fn end_row(&mut self) -> Result<()> {
        self.rows.push(std::mem::take(&mut self.row));
        Ok(())
    }
}

proptest! {
    #[test]
    fn values_come_back_as_they_went_in(
        (columns, rows) in rows(),
        cuts in prop::collection::vec(1_usize..30, 1..10),
    ) {
        let lines = lines(&rows);
        let mut cutter = COPY.cut(&part(columns));
        let mut decoded = Decoded::default();
        for piece in crate::fuzz::pieces(&lines, &cuts) {
            cutter.feed(piece, &mut decoded).unwrap();
        }
        cutter.end().unwrap();
        prop_assert_eq!(decoded.rows, rows);
    }

    #[test]
    fn lines_that_are_cut_and_joined_are_the_same(
        (columns, rows) in rows(),
        cuts in prop::collection::vec(1_usize..30, 1..10),
    ) {
        let lines = lines(&rows);
        let part = part(columns);
        let chunks = identity::chunks(&lines, &cuts);
        let joined = identity::through(&mut COPY.cut(&part), &mut DelimitedJoiner::default(), &chunks).unwrap();
        prop_assert_eq!(joined, (rows.len() as u64, lines.to_vec()));
        let split = identity::split(&mut LineSplitter::new(&part), &chunks).unwrap();
        prop_assert_eq!(split.concat(), lines.to_vec());
        prop_assert_eq!(split.len(), rows.len());
    }

    #[test]
    fn any_bytes_are_cut_or_refused_and_what_is_cut_is_joined_to_the_same(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'\t'), Just(b'\n')], 0..200),
        columns in 0_usize..4,
    ) {
        let part = part(columns);
        let chunks = [Bytes::from(bytes.clone())];
        if let Ok((_, joined)) = identity::through(&mut COPY.cut(&part), &mut DelimitedJoiner::default(), &chunks) {
            prop_assert_eq!(joined, bytes);
        }
    }
}

#[test]
fn a_servers_escapes_are_read() {
    let text = |encoded: &[u8]| match COPY.unescaped(encoded) {
        Value::Text(text) => text.into_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        text(b"a\\tb\\\\N\\n\\.\\b\\f\\v\\r"),
        b"a\tb\\N\n.\x08\x0c\x0b\r"
    );
    assert_eq!(text(b"\\101\\x41\\x4g\\7\\477\\x"), b"AA\x04g\x07\x3fx");
    assert_eq!(text(b"\\"), b"\\");
    assert_eq!(COPY.unescaped(b"\\N"), Value::Null);
    assert_eq!(text(b""), b"");
    // Nothing but two letters is no value.
    assert_eq!(text(b"\\NULL"), b"NULL");
}

#[test]
fn a_row_with_other_values_is_refused_and_so_is_one_without_an_end() {
    let cut = |columns: usize, lines: &'static [u8]| {
        identity::through(
            &mut COPY.cut(&part(columns)),
            &mut DelimitedJoiner::default(),
            &[Bytes::from_static(lines)],
        )
    };
    for (columns, lines) in [
        (2, "a\n"),
        (2, "a\tb\tc\n"),
        (0, "a\n"),
        (1, "a\t\n"),
        (0, "\t\n"),
    ] {
        let error = cut(columns, lines.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("a row of t has"), "{error}");
    }
    for (columns, lines) in [(2, "a\\\tb\n"), (1, "a\\\n"), (1, "\\\\\\\n")] {
        let error = cut(columns, lines.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("in the middle of an escape"), "{error}");
    }
    assert!(cut(2, b"a\\\\\tb\\\\\n").is_ok());
    for (columns, lines) in [(2, "a\tb\na"), (2, "a\t"), (1, "a")] {
        let error = cut(columns, lines.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("in the middle of one"), "{error}");
    }
    assert_eq!(cut(0, b"\n\n").unwrap().0, 2);
    let never_empty = COPY.never_empty();
    let mut cutter = never_empty.cut(&part(0));
    let chunks = [Bytes::from_static(b"\\N\n")];
    assert!(identity::through(&mut cutter, &mut DelimitedJoiner::default(), &chunks).is_ok());
}

#[test]
fn a_line_that_is_one_value_is_left_as_it_is() {
    let lines = Delimited::of_lines();
    assert_eq!(
        lines.unescaped(b"{\"a\\n\": 1}\t"),
        Value::Text(b"{\"a\\n\": 1}\t".as_slice().into())
    );
    let mut out = BytesMut::new();
    assert!(lines.escape(&Value::Null, &mut out).is_err());
    assert!(
        lines
            .escape(&Value::Text(b"a\nb".as_slice().into()), &mut out)
            .is_err()
    );
    let text = Bytes::from_static(b"{\"a\": \"\\t\"}\n\n\t\n");
    let joined = identity::through(
        &mut lines.cut(&part(0)),
        &mut DelimitedJoiner::default(),
        std::slice::from_ref(&text),
    );
    assert_eq!(joined.unwrap(), (3, text.to_vec()));
}
