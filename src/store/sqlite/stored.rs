//! How those of a definition's fields are put away that JSON has no words for.

/// A rowid's name is one of few.
pub(super) mod alias {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::super::schema::ALIASES;

    #[allow(
        clippy::ref_option,
        clippy::ref_option_ref,
        clippy::trivially_copy_pass_by_ref
    )] // as serde wants it
    pub(in super::super) fn serialize<S: Serializer>(
        name: &Option<&'static str>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        name.serialize(serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<&'static str>, D::Error> {
        let Some(name) = Option::<String>::deserialize(deserializer)? else {
            return Ok(None);
        };
        let found = ALIASES.into_iter().find(|alias| **alias == *name);
        found
            .map(Some)
            .ok_or_else(|| D::Error::custom("no rowid is called so"))
    }
}

/// Values of the planner's statistics are SQL literals.
pub(super) mod statistics {
    use bytes::BytesMut;
    use rusqlite::types::{Value, ValueRef};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::super::literals::{self, Read};
    use super::super::schema::Statistics;

    type Written = Vec<(String, Vec<Vec<String>>)>;

    pub(in super::super) fn serialize<S: Serializer>(
        statistics: &Statistics,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut all: Written = Vec::with_capacity(statistics.len());
        for (table, rows) in statistics {
            let rows: Option<Vec<Vec<String>>> = rows
                .iter()
                .map(|row| row.iter().map(written).collect())
                .collect();
            let rows = rows.ok_or_else(|| serde::ser::Error::custom("a value is no literal"))?;
            all.push((table.clone(), rows));
        }
        all.serialize(serializer)
    }

    /// As SQL.
    pub(in super::super) fn written(value: &Value) -> Option<String> {
        let mut out = BytesMut::new();
        literals::write(ValueRef::from(value), &mut out).ok()?;
        String::from_utf8(out.to_vec()).ok()
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Statistics, D::Error> {
        let all = Written::deserialize(deserializer)?;
        all.into_iter()
            .map(|(table, rows)| {
                let rows: Option<Vec<Vec<Value>>> = rows
                    .iter()
                    .map(|row| row.iter().map(|text| value(text)).collect())
                    .collect();
                rows.map(|rows| (table, rows))
            })
            .collect::<Option<_>>()
            .ok_or_else(|| serde::de::Error::custom("a value of the statistics is no literal"))
    }

    fn value(text: &str) -> Option<Value> {
        let mut rest = text.as_bytes();
        let value = match literals::read(&mut rest)? {
            Read::Null => Value::Null,
            Read::Integer(value) => Value::Integer(value),
            Read::Real(value) => Value::Real(value),
            Read::Text(value) => Value::Text(String::from_utf8(value.into_owned()).ok()?),
            Read::Blob(value) => Value::Blob(value),
        };
        rest.is_empty().then_some(value)
    }
}
