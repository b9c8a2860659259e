//! What is true of all kinds, and what single ones promise.

mod documentation;
mod errors;
mod known;
mod promises;
mod properties;
mod rows;

use serde::Deserialize;

use super::example::Alone;
use super::key::of_tests;
use super::*;
use crate::error::Result;

#[derive(Deserialize)]
struct Written {
    mask: Kind,
}

/// A kind as it stands in a job's file.
pub(super) fn kind(written: &str) -> Kind {
    read(written).unwrap_or_else(|error| panic!("{written}: {error}"))
}

fn read(written: &str) -> Result<Kind, toml::de::Error> {
    toml::from_str(&format!("mask = {written}")).map(|read: Written| read.mask)
}

pub(super) fn column(kind: Type) -> Column {
    Column {
        name: "it".to_owned(),
        kind,
        is_nullable: true,
    }
}

pub(super) fn other_key() -> Key {
    Key::new(b"quite another key, as long as the first").unwrap()
}

/// One value of one column under a mask.
pub(super) struct Bench {
    mask: RowMask,
    scratch: Scratch,
}

impl Bench {
    pub(super) fn new(written: &str, of: Type) -> Self {
        Self::with_key(written, of, &of_tests())
    }

    pub(super) fn with_key(written: &str, of: Type, key: &Key) -> Self {
        let rule = Rule {
            column: "it".to_owned(),
            condition: None,
            kind: kind(written),
        };
        let mask = RowMask::compile("people", &[column(of)], &[rule], key);
        Self {
            mask: mask.unwrap_or_else(|error| panic!("{written}: {error}")),
            scratch: Scratch::default(),
        }
    }

    pub(super) fn of<'a>(&'a mut self, value: Value<'a>) -> Result<Value<'a>> {
        self.mask.apply(&Alone(value), &mut self.scratch)?;
        Ok(match self.scratch.of(0) {
            Replacement::Keep => value,
            Replacement::With(made) => made,
        })
    }

    /// Of a text, as a text.
    pub(super) fn text(&mut self, value: &str) -> String {
        shown(self.of(Value::text(value)).expect("a mask"))
    }
}

pub(super) fn shown(value: Value<'_>) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        other => String::from_utf8(other.canonical().to_vec()).expect("a text"),
    }
}

/// The masked text of a text, in a column without limits.
pub(super) fn masked(written: &str, value: &str) -> String {
    Bench::new(written, Type::TEXT).text(value)
}

/// Every kind, with options that matter.
pub(super) const WRITTEN: &[&str] = &[
    "\"null\"",
    "\"empty\"",
    "{ kind = \"fixed\", value = \"active\" }",
    "{ kind = \"fixed\", value = 7, keep_null = true }",
    "{ kind = \"template\", template = \"user_{hash}_{row}\" }",
    "{ kind = \"template\", template = \"x{hash}\", keep_null = true }",
    "\"full_name\"",
    "{ kind = \"full_name\", language = \"de\" }",
    "{ kind = \"full_name\", language = \"fr\" }",
    "\"first_name\"",
    "{ kind = \"first_name\", language = \"nl\" }",
    "\"last_name\"",
    "{ kind = \"last_name\", language = \"pt\" }",
    "\"username\"",
    "\"company\"",
    "{ kind = \"company\", language = \"it\" }",
    "\"street\"",
    "{ kind = \"street\", language = \"de\" }",
    "{ kind = \"street\", language = \"fr\" }",
    "\"city\"",
    "{ kind = \"city\", language = \"it\" }",
    "\"postcode\"",
    "\"email\"",
    "{ kind = \"email\", domain = \"x.test\", keep_domains = [\"gov.uk\"] }",
    "\"url\"",
    "{ kind = \"url\", keep_hosts = [\"www.gov.uk\"] }",
    "\"ip\"",
    "\"mac\"",
    "\"phone\"",
    "{ kind = \"phone\", one_way = true }",
    "\"digits\"",
    "{ kind = \"digits\", one_way = true }",
    "{ kind = \"digits\", keep_first = 1, keep_last = 2 }",
    "\"iban\"",
    "{ kind = \"iban\", one_way = true }",
    "\"card\"",
    "{ kind = \"card\", keep_first = 6 }",
    "\"uuid\"",
    "{ kind = \"uuid\", one_way = true }",
    "\"hash\"",
    "{ kind = \"hash\", length = 9 }",
    "\"stars\"",
    "{ kind = \"stars\", with = \"x\" }",
    "\"text\"",
    "\"redact\"",
    "{ kind = \"replace\", literal = { \"ada\" = \"somebody\" } }",
    "{ kind = \"replace\", pattern = \"[0-9]+\", with = \"#\" }",
    "\"date_shift\"",
    "{ kind = \"date_shift\", days = 3650 }",
    "\"number_noise\"",
    "{ kind = \"number_noise\", percent = 100 }",
    "{ kind = \"bucket\", size = 1000 }",
    "{ kind = \"bucket\", size = \"month\" }",
    "{ kind = \"json\", paths = { \"a.b\" = \"email\", \"**.n\" = \"digits\" }, default = \"text\" }",
    "{ kind = \"json\", paths = { \"a\" = \"null\" } }",
    "{ kind = \"php_serialized\", paths = { a = \"email\" }, default = \"text\" }",
    "\"bcrypt_fixed\"",
];

/// Types that a column can have.
pub(super) fn types() -> Vec<Type> {
    let text = |longest, repertoire| Type::Text {
        longest: Some(longest),
        repertoire,
    };
    vec![
        Type::TEXT,
        text(255, Repertoire::Latin1),
        text(60, Repertoire::Basic),
        text(12, Repertoire::Ascii),
        text(3, Repertoire::Unicode),
        Type::Integer {
            bits: 64,
            is_signed: true,
        },
        Type::Integer {
            bits: 32,
            is_signed: false,
        },
        Type::Integer {
            bits: 32,
            is_signed: true,
        },
        Type::Integer {
            bits: 8,
            is_signed: true,
        },
        Type::Decimal {
            precision: Some(10),
            scale: 2,
        },
        Type::Decimal {
            precision: None,
            scale: 0,
        },
        Type::Real,
        Type::Date,
        Type::Time,
        Type::Timestamp,
        Type::Boolean,
        Type::Uuid,
        Type::Json,
        Type::Bytes { longest: None },
        Type::Bytes { longest: Some(16) },
        Type::Inet { is_network: false },
        Type::Inet { is_network: true },
        Type::Mac,
        Type::Enum(vec!["active".to_owned(), "suspended".to_owned()]),
        Type::Other("int4range".to_owned()),
    ]
}
