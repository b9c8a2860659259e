//! Fuzz targets: values that kinds read more closely than as bytes, and what people write of masks. See `docs/fuzzing.md`.

use proptest::prelude::*;
use serde::Deserialize;

use super::example::Alone;
use super::key::of_tests;
use super::{Column, Encoding, Kind, Replacement, RowMask, Rule, Scratch, Type, Value};
use crate::fuzz::{bytes, config, texts};

#[derive(Deserialize)]
struct Written {
    mask: Kind,
}

/// The masked text of a text.
fn masked(written: &str, of: Type, value: &[u8]) -> Vec<u8> {
    let read: Written = toml::from_str(&format!("mask = {written}")).expect("a kind");
    let column = Column {
        name: "it".to_owned(),
        kind: of,
        is_nullable: true,
    };
    let rule = Rule {
        column: "it".to_owned(),
        condition: None,
        kind: read.mask,
    };
    let mask = RowMask::compile("people", &[column], &[rule], &of_tests()).expect("a mask");
    let mut scratch = Scratch::default();
    mask.apply(&Alone(Value::Text(value, Encoding::Utf8)), &mut scratch)
        .expect("no refusal");
    match scratch.of(0) {
        Replacement::With(Value::Text(text, _)) => text.to_vec(),
        _ => value.to_vec(),
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn kind_of_a_mask(text in texts(&["tests/corpus/masks/kinds.lines"])) {
        let error = match toml::from_str::<Written>(&format!("mask = {text}")) {
            Ok(read) => {
                let column = Column { name: "it".to_owned(), kind: Type::TEXT, is_nullable: true };
                // Whatever it says, it can be asked.
                let _ = (read.mask.fit(&column), read.mask.uniqueness(&column), read.mask.looks_at());
                let rule = Rule { column: "it".to_owned(), condition: None, kind: read.mask };
                let compiled = RowMask::compile("people", &[column], &[rule], &of_tests());
                compiled.err().map(|error| error.to_string())
            }
            Err(error) => Some(error.message().to_owned()),
        };
        prop_assert!(error.is_none_or(|error| !error.is_empty()));
    }

    #[test]
    fn json_document(value in bytes(&["tests/corpus/masks/documents.lines"])) {
        let made = masked("{ kind = \"json\", paths = { \"a.*.b\" = \"email\", \"**.n\" = \"digits\" }, default = \"stars\" }", Type::Json, &value);
        // What another reads as JSON is JSON afterwards, of the same form.
        let is_json = |text: &[u8]| serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok();
        if is_json(&value) && made != b"null" {
            prop_assert!(is_json(&made));
        }
        let untouched = masked("{ kind = \"json\", paths = { \"no.such.path\" = \"null\" } }", Type::TEXT, &value);
        prop_assert!(untouched == *value || untouched == b"null");
        prop_assert!(made.len() <= 8 * value.len() + 16);
    }

    #[test]
    fn serialized_value(value in bytes(&["tests/corpus/masks/serialized.lines"])) {
        let made = masked("{ kind = \"php_serialized\", paths = { \"a.*.b\" = \"email\" }, default = \"stars\" }", Type::TEXT, &value);
        // What is made can be read, and a second mask finds the same places.
        let again = masked("{ kind = \"php_serialized\", paths = { \"no.such.path\" = \"null\" } }", Type::TEXT, &made);
        prop_assert!(again == made, "{}", made.escape_ascii());
        prop_assert!(made.len() <= 8 * value.len() + 32);
    }

    #[test]
    fn free_text(value in bytes(&["tests/corpus/masks/texts"]), at: u16) {
        let at = usize::from(at) % (value.len() + 1);
        let with = [&value[..at], b" ada@lovelace.org ", &value[at..]].concat();
        let made = masked("\"redact\"", Type::TEXT, &with);
        prop_assert!(!made.windows(16).any(|window| window == b"ada@lovelace.org"));
        let again = masked("\"text\"", Type::TEXT, &value);
        prop_assert!(again.len() <= value.len());
    }

    #[test]
    fn date_or_number(value in bytes(&["tests/corpus/masks/moments.lines"])) {
        for written in ["\"date_shift\"", "{ kind = \"bucket\", size = \"month\" }", "{ kind = \"bucket\", size = 10 }", "\"number_noise\"", "\"ip\"", "\"iban\"", "\"card\"", "\"phone\""] {
            let made = masked(written, Type::TEXT, &value);
            prop_assert!(made.len() <= 2 * value.len() + 64, "{}", written);
        }
    }
}
