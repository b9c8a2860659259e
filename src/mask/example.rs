//! Invented values, and what becomes of them: for people who want to see what a mask does.

use super::column::{Column, Type};
use super::key::Key;
use super::kind::Kind;
use super::row::Row;
use super::rule::{RowMask, Rule, Scratch};
use super::value::{Encoding, Replacement, Value};

/// A row of one value.
pub(super) struct Alone<'a>(pub(super) Value<'a>);

impl Row for Alone<'_> {
    fn value(&self, _column: usize) -> Value<'_> {
        self.0
    }

    fn number(&self) -> u64 {
        1
    }
}

/// An invented value of a column, and what a kind makes of it. `None`: what it makes depends on other columns, or there is no
/// such value.
pub fn example(kind: &Kind, column: &Column, key: &Key) -> Option<(String, String)> {
    if !kind.looks_at().is_empty() {
        return None;
    }
    let rule = Rule {
        column: column.name.clone(),
        condition: None,
        kind: kind.clone(),
    };
    let mask = RowMask::compile("example", std::slice::from_ref(column), &[rule], key).ok()?;
    let text = |text: &'static str| Value::Text(text.as_bytes(), Encoding::Utf8);
    let value = match &column.kind {
        Type::Integer { bits: 8, .. } => Value::Integer(47),
        Type::Integer { bits: 16, .. } => Value::Integer(4_711),
        Type::Integer { .. } => Value::Integer(471_100),
        Type::Decimal { .. } => text("47.11"),
        Type::Real => Value::Real(47.11),
        Type::Date => text("1984-05-17"),
        Type::Time => text("05:06:07"),
        Type::Timestamp => text("1984-05-17 05:06:07"),
        Type::Uuid => text("f81d4fae-7dec-41d0-a765-00a0c91e6bf6"),
        Type::Inet { is_network: false } => text("198.51.100.7"),
        Type::Mac => text("00:00:5e:00:53:01"),
        Type::Text { .. } | Type::Json => text(kind.sample()),
        _ => return None,
    };
    let mut scratch = Scratch::default();
    mask.apply(&Alone(value), &mut scratch).ok()?;
    let made = match scratch.of(0) {
        Replacement::Keep => shown(&value)?,
        Replacement::With(made) => shown(&made)?,
    };
    Some((shown(&value)?, made))
}

/// A value for people.
fn shown(value: &Value<'_>) -> Option<String> {
    Some(match value {
        Value::Null => "NULL".to_owned(),
        Value::Text(text, _) => std::str::from_utf8(text).ok()?.to_owned(),
        Value::Bytes(_) => return None,
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Boolean(truth) => truth.to_string(),
    })
}
