//! Masked streams parse back to the same rows with nothing but the masked columns changed, in every encoding.

use bytes::Bytes;
use proptest::prelude::*;

use super::held::TOGETHER;
use super::*;
use crate::mask::{Column, Encoding, Key, Rule};
use crate::store::Truth;
use crate::store::{Chunk, Codec, Part, RowVisitor};

/// The codecs whose rows have values, but for PostgreSQL's binary form, in which nothing is masked.
fn codecs() -> Vec<&'static dyn Codec> {
    let all = store::registry::drivers().flat_map(|driver| driver.codecs().iter().copied());
    let codecs: Vec<&dyn Codec> = all
        .filter(|codec| codec.values().is_some() && codec.summary() != "binary")
        .collect();
    assert_eq!(codecs.len(), 3);
    codecs
}

fn kind(written: &str) -> mask::Kind {
    #[derive(serde::Deserialize)]
    struct File {
        kind: mask::Kind,
    }
    let file: File = toml::from_str(&format!("kind = {written}")).expect("a kind");
    file.kind
}

/// Four columns of text, the first and the third of which are masked; the third where the second condition holds. Many rows are
/// masked together if a kind wants that, be it one that no row gets.
fn table(conditions: usize, together: bool) -> Arc<TableMask> {
    let columns: Vec<ShapeColumn> = ["a", "b", "c", "d"]
        .map(|name| ShapeColumn {
            column: Column {
                name: name.to_owned(),
                kind: Type::TEXT,
                is_nullable: true,
            },
            form: Form::Text(Encoding::Utf8, Truth::Letters),
            type_name: "text".to_owned(),
            is_masked: false,
        })
        .to_vec();
    let plain: Vec<Column> = columns.iter().map(|one| one.column.clone()).collect();
    let rule = |column: &str, written, condition| Rule {
        column: column.to_owned(),
        condition,
        kind: kind(written),
    };
    let mut rules = vec![
        rule("a", "\"hash\"", None),
        rule(
            "c",
            "{ kind = \"fixed\", value = \"tab\\t back\\\\ line\\n\" }",
            conditions.checked_sub(1),
        ),
    ];
    if together {
        rules.push(rule("a", "\"digits\"", None));
    }
    let key = Key::new(b"a key of these tests that is long enough").expect("a key");
    let mask = RowMask::compile("t", &plain, &rules, &key).expect("masks");
    Arc::new(TableMask::new(mask, columns, conditions, Vec::new()))
}

fn part(codec: &dyn Codec) -> Part {
    let mut part = Part::whole(0, "t", codec.encoding(), 0);
    part.columns = ["a", "b", "c", "d"].map(str::to_owned).to_vec().into();
    part
}

type Texts = Vec<Option<Vec<u8>>>;

/// What a joiner has ready.
fn ready(joiner: &mut dyn RowJoiner) -> Vec<u8> {
    joiner
        .take()
        .map_or_else(Vec::new, |chunk| chunk.data.to_vec())
}

/// A row as a source sends it: the truth of conditions first.
fn sent(codec: &dyn Codec, holds: &[bool], texts: &Texts) -> Vec<u8> {
    let values = codec.values().expect("it has values");
    let mut joiner = values.joiner(&part(codec));
    let truths = holds
        .iter()
        .map(|truth| Some(if *truth { b"t".to_vec() } else { b"f".to_vec() }));
    for text in truths.chain(texts.iter().cloned()) {
        let value = text.map_or(store::Value::Null, |text| store::Value::Text(text.into()));
        let mut out = BytesMut::new();
        values.encode(&value, &mut out).expect("a value");
        joiner.piece(&out).expect("a piece");
        joiner.end_value().expect("its end");
    }
    joiner.end_row().expect("its end");
    ready(&mut *joiner)
}

/// Rows as a target takes them.
#[derive(Default)]
struct Taken {
    codec: Option<&'static dyn RowCodec>,
    value: Vec<u8>,
    row: Texts,
    rows: Vec<Texts>,
}

impl RowVisitor for Taken {
    fn piece(&mut self, encoded: &[u8]) -> Result<()> {
        self.value.extend_from_slice(encoded);
        Ok(())
    }

    fn end_value(&mut self) -> Result<()> {
        let codec = self.codec.expect("it is set");
        self.row.push(match codec.decode(&self.value)? {
            store::Value::Text(text) => Some(text.into_owned()),
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

fn text() -> impl Strategy<Value = Option<Vec<u8>>> {
    let odd = prop::sample::select(vec![
        "", "\\N", "\\.", "\t", "\n", "\\", "\r\n", "a\\\tb", "t", "é", "\\x00", "NULL",
    ]);
    prop_oneof![
        1 => Just(None),
        3 => odd.prop_map(|text| Some(text.as_bytes().to_vec())),
        3 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Some),
    ]
}

/// Some are larger than what is masked together.
fn row_text() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop_oneof![
        300 => text(),
        1 => Just(Some(vec![b'x'; TOGETHER + 9])),
    ]
}

fn row(conditions: usize) -> impl Strategy<Value = (Vec<bool>, Texts)> {
    let holds = prop::collection::vec(any::<bool>(), conditions);
    (holds, prop::collection::vec(row_text(), 4))
}

fn rows() -> impl Strategy<Value = (usize, Vec<(Vec<bool>, Texts)>)> {
    (0_usize..3).prop_flat_map(|conditions| {
        (
            Just(conditions),
            prop::collection::vec(row(conditions), 0..40),
        )
    })
}

proptest! {
    #[test]
    fn only_masked_columns_are_changed_wherever_a_stream_is_cut(
        (conditions, rows) in rows(),
        together: bool,
        lengths in prop::collection::vec(1_usize..50, 1..8),
    ) {
        let mut hashes = Vec::new();
        for codec in codecs() {
            let values = codec.values().expect("it has values");
            let wire: Vec<Vec<u8>> = rows.iter().map(|(holds, texts)| sent(codec, holds, texts)).collect();
            let whole = wire.concat();
            // SQLite's chunks have whole rows.
            let chunks: Vec<&[u8]> = if codec.file_ending() == "sql" {
                wire.iter().map(Vec::as_slice).collect()
            } else {
                crate::fuzz::pieces(&whole, &lengths)
            };
            let mut masking = Masking::new(table(conditions, together), values, &part(codec));
            let (mut masked, mut count) = (Vec::new(), 0);
            for data in chunks {
                let chunk = Chunk { rows: 0, data: Bytes::copy_from_slice(data) };
                let chunk = masking.chunk(&chunk).expect("rows");
                masked.extend_from_slice(&chunk.data);
                count += chunk.rows;
            }
            if let Some(chunk) = masking.end().expect("the end") {
                masked.extend_from_slice(&chunk.data);
                count += chunk.rows;
            }
            prop_assert_eq!(count, rows.len() as u64);
            let mut taken = Taken { codec: Some(values), ..Taken::default() };
            let mut cutter = values.cutter(&part(codec));
            cutter.feed(&masked, &mut taken).expect("rows");
            cutter.end().expect("whole rows");
            prop_assert_eq!(taken.rows.len(), rows.len());
            for ((holds, texts), row) in rows.iter().zip(&taken.rows) {
                prop_assert_eq!(&row[1], &texts[1]);
                prop_assert_eq!(&row[3], &texts[3]);
                match &texts[0] {
                    Some(text) if !text.is_empty() => {
                        let hash = row[0].as_deref().expect("a hash");
                        prop_assert!(!hash.is_empty() && hash.iter().all(u8::is_ascii_hexdigit));
                    }
                    nothing => prop_assert_eq!(&row[0], nothing),
                }
                if holds.last().is_none_or(|holds| *holds) {
                    prop_assert_eq!(row[2].as_deref(), Some(&b"tab\t back\\ line\n"[..]));
                } else {
                    prop_assert_eq!(&row[2], &texts[2]);
                }
            }
            hashes.push(taken.rows.iter().map(|row| row[0].clone()).collect::<Vec<_>>());
        }
        // The same value becomes the same in every store.
        prop_assert_eq!(&hashes[0], &hashes[1]);
        prop_assert_eq!(&hashes[0], &hashes[2]);
    }
}

#[test]
fn bytes_are_their_digits_both_ways() {
    let bytes: Vec<u8> = (0..=255).collect();
    let mut again = Vec::new();
    assert!(unhex(&hex(&bytes).as_bytes()[2..], &mut again));
    assert_eq!(again, bytes);
    assert!(!unhex(b"0", &mut again) && !unhex(b"0g", &mut again));
}
