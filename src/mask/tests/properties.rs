//! What is true of every kind, in every type that it fits, for every value.

use proptest::prelude::*;

use super::*;

/// Values of all sorts: what masks are for, and what they are not for.
fn values() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..80),
        "\\PC{0,40}".prop_map(String::into_bytes),
        "[a-zA-Z.]{1,12}@[a-z]{1,8}\\.(org|uk)".prop_map(String::into_bytes),
        "\\+?[0-9 ()-]{1,20}".prop_map(String::into_bytes),
        "-?[0-9]{1,20}(\\.[0-9]{1,6})?".prop_map(String::into_bytes),
        "[0-9]{4}-[0-9]{2}-[0-9]{2}( [0-9:]{8})?".prop_map(String::into_bytes),
        "[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}".prop_map(String::into_bytes),
        "\\{\"[a-z]{1,3}\": ?(\"[a-zé\\\\n]{0,9}\"|[0-9]{1,9}|\\[true, null\\])\\}"
            .prop_map(String::into_bytes),
    ]
}

/// Kinds that leave parts of a value, and whose texts may therefore have what the value had.
fn keeps(kind: &Kind) -> bool {
    [
        "replace",
        "redact",
        "json",
        "php_serialized",
        "date_shift",
        "number_noise",
        "bucket",
    ]
    .contains(&kind.name())
}

/// Whether a kind has no secret: it makes the same with any key.
fn is_keyless(kind: &Kind) -> bool {
    [
        "null",
        "empty",
        "fixed",
        "stars",
        "replace",
        "bucket",
        "bcrypt_fixed",
    ]
    .contains(&kind.name())
}

fn encodings() -> impl Strategy<Value = Encoding> {
    prop_oneof![
        Just(Encoding::Utf8),
        Just(Encoding::Latin1),
        Just(Encoding::Unknown)
    ]
}

fn fitting() -> Vec<(&'static str, Type)> {
    let types = types();
    let pairs = WRITTEN
        .iter()
        .flat_map(|written| types.iter().map(move |of| (*written, of.clone())));
    pairs
        .filter(|(written, of)| !matches!(kind(written).fit(&column(of.clone())), Fit::Not { .. }))
        .collect()
}

fn check(written: &str, of: &Type, value: Value<'_>) -> Result<(), TestCaseError> {
    let kind = kind(written);
    let mut bench = Bench::new(written, of.clone());
    let mut again = Bench::new(written, of.clone());
    let made = bench
        .of(value)
        .map_err(|error| TestCaseError::fail(error.to_string()))?;
    prop_assert!(made == again.of(value).unwrap(), "twice");
    if !kind.is_for_all() && (value.is_null() || value.is_empty()) {
        prop_assert!(made == value, "NULL and empty values stay");
    }
    let Value::Text(text, encoding) = made else {
        return Ok(());
    };
    if let Type::Text {
        longest,
        repertoire,
    } = of
    {
        let length = match encoding {
            Encoding::Utf8 => value::length(text),
            _ => text.len(),
        };
        prop_assert!(
            longest.is_none_or(|longest| length <= longest as usize),
            "{} characters",
            length
        );
        if encoding == Encoding::Utf8 && !keeps(&kind) {
            let text = std::str::from_utf8(text);
            prop_assert!(
                text.is_ok_and(|text| repertoire.has_all(text)),
                "the column's characters"
            );
        }
    }
    Ok(())
}

/// A row of one value, and whether its first condition holds.
struct Chosen<'a>(Value<'a>, bool);

impl Row for Chosen<'_> {
    fn value(&self, _column: usize) -> Value<'_> {
        self.0
    }

    fn holds(&self, _condition: usize) -> bool {
        self.1
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn every_kind_takes_every_value_in_every_type_that_it_fits(bytes in values(), encoding in encodings(), number: i64, real: f64, truth: bool) {
        for (written, of) in fitting() {
            let mut values = vec![
                Value::Text(&bytes, encoding),
                Value::Text(b"", encoding),
                Value::Null,
                Value::Integer(number.into()),
                Value::Real(real),
                Value::Boolean(truth),
            ];
            if matches!(of, Type::Bytes { .. }) {
                values.push(Value::Bytes(&bytes));
            }
            for value in values {
                check(written, &of, value).map_err(|error| TestCaseError::fail(format!("{written}, {of}, {value:?}: {error}")))?;
            }
        }
    }

    /// Also beside rows whose values stay, and those that have another mask.
    #[test]
    fn rows_that_are_masked_together_become_what_each_becomes(all in prop::collection::vec((values(), encodings(), any::<bool>()), 0..40)) {
        for (written, of) in fitting() {
            let rules = [Some(0), None].map(|condition| Rule {
                column: "it".to_owned(),
                condition,
                kind: kind(if condition.is_some() { written } else { "\"null\"" }),
            });
            let mask = RowMask::compile("people", &[column(of.clone())], &rules, &of_tests()).unwrap();
            let rows: Vec<Chosen<'_>> = all.iter().map(|(bytes, encoding, holds)| Chosen(Value::Text(bytes, *encoding), *holds)).collect();
            let mut together: Vec<Scratch> = rows.iter().map(|_| Scratch::default()).collect();
            mask.apply_all(&rows, &mut together).unwrap();
            for (row, together) in rows.iter().zip(&together) {
                let mut alone = Scratch::default();
                mask.apply(row, &mut alone).unwrap();
                prop_assert!(alone.of(0) == together.of(0), "{} {}", written, of);
            }
        }
    }

    /// In columns of numbers, dates, UUIDs and the like what comes out is what the column holds.
    #[test]
    fn what_is_made_is_of_the_columns_type(number: i64, days in -700_000_i64..2_900_000, id: u128, real in -1e12..1e12) {
        let date = chrono::DateTime::from_timestamp(days * 86_400, 0).unwrap().date_naive();
        let texts = [date.to_string(), uuid::Uuid::from_u128(id).to_string(), format!("{:.2}", real / 1e5)];
        for (written, of) in fitting() {
            let (met, is_one): (Value<'_>, fn(&str) -> bool) = match &of {
                Type::Integer { bits: 64, is_signed: true } => (Value::Integer(number.into()), |text| text.parse::<i64>().is_ok()),
                Type::Integer { bits: 32, is_signed: false } => (Value::Integer((number as u32).into()), |text| text.parse::<u32>().is_ok()),
                Type::Integer { bits: 32, is_signed: true } => (Value::Integer((number as i32).into()), |text| text.parse::<i32>().is_ok()),
                Type::Integer { .. } => (Value::Integer((number as i8).into()), |text| text.parse::<i8>().is_ok()),
                Type::Decimal { precision: Some(_), .. } => (Value::text(&texts[2]), |text| text.parse::<f64>().is_ok_and(|number| number.abs() < 1e8)),
                Type::Date | Type::Timestamp => (Value::text(&texts[0]), |text| text == "active" || text == "7" || text.parse::<chrono::NaiveDate>().is_ok()),
                Type::Uuid => (Value::text(&texts[1]), |text| text == "active" || uuid::Uuid::parse_str(text).is_ok()),
                Type::Json => (Value::text("{\"a\": [1, \"x\"]}"), |text| serde_json::from_str::<serde_json::Value>(text).is_ok()),
                _ => continue,
            };
            let mut bench = Bench::new(written, of.clone());
            let made = bench.of(met).unwrap();
            if !made.is_null() {
                prop_assert!(is_one(&shown(made)), "{} {} {}", written, of, shown(made));
            }
        }
    }

    /// Ten characters or more, so that chance does not make it the same.
    #[test]
    fn a_value_does_not_stay_and_another_key_makes_another(value in "[A-Za-z]{4}[0-9]{7}@[a-z]{8}\\.org [0-9]{3}") {
        for written in WRITTEN {
            let kind = kind(written);
            let made = masked(written, &value);
            if !["replace", "redact"].contains(&kind.name()) {
                prop_assert_ne!(&made, &value, "{}", written);
            }
            if is_keyless(&kind) || ["json", "php_serialized", "date_shift", "number_noise"].contains(&kind.name()) {
                continue;
            }
            let mut other = Bench::with_key(written, Type::TEXT, &other_key());
            // Lists of names are short: of three values one at least is another.
            let values = [value.clone(), format!("{value}1"), format!("{value}22")];
            let is_other = values.iter().any(|value| other.text(value) != masked(written, value));
            prop_assert!(is_other, "{}", written);
        }
    }
}

#[test]
fn huge_values_are_masked_in_time_that_grows_with_them() {
    // Four megabytes of everything that a scan could go over twice.
    for piece in [
        "a",
        "1",
        "@",
        "a@",
        "+1 ",
        "\"",
        "{\"a\":",
        "a.b-",
        "é",
        "\u{fffd}",
        "s:1:\"a\";",
    ] {
        let value = piece.repeat((4 << 20) / piece.len() / 16);
        for written in WRITTEN {
            let mut bench = Bench::new(written, Type::TEXT);
            let begun = std::time::Instant::now();
            bench.of(Value::text(&value)).unwrap();
            assert!(begun.elapsed().as_secs() < 20, "{written} {piece}");
        }
    }
}
