//! Rows under a table's masks.

use super::*;

struct Person<'a> {
    values: &'a [Value<'a>],
    holds: &'a [bool],
}

impl Row for Person<'_> {
    fn value(&self, column: usize) -> Value<'_> {
        self.values[column]
    }

    fn holds(&self, condition: usize) -> bool {
        self.holds[condition]
    }

    fn number(&self) -> u64 {
        12
    }
}

fn compile(columns: &[&str], rules: &[(&str, Option<usize>, &str)]) -> RowMask {
    let columns: Vec<Column> = columns
        .iter()
        .map(|name| Column {
            name: (*name).to_owned(),
            ..column(Type::TEXT)
        })
        .collect();
    let rules: Vec<Rule> = rules
        .iter()
        .map(|(column, condition, written)| Rule {
            column: (*column).to_owned(),
            condition: *condition,
            kind: kind(written),
        })
        .collect();
    RowMask::compile("people", &columns, &rules, &of_tests()).unwrap()
}

fn apply(mask: &RowMask, values: &[Value<'_>], holds: &[bool]) -> Vec<String> {
    let mut scratch = Scratch::default();
    mask.apply(&Person { values, holds }, &mut scratch).unwrap();
    let of = |(place, value): (usize, &Value<'_>)| match scratch.of(place) {
        Replacement::Keep => shown(*value),
        Replacement::With(made) => shown(made),
    };
    values.iter().enumerate().map(of).collect()
}

#[test]
fn a_template_has_the_masked_values_of_other_columns() {
    // Whatever the order of the rules.
    let mask = compile(
        &["id", "name", "email"],
        &[
            (
                "email",
                None,
                "{ kind = \"template\", template = \"{name}-{row}@example.com\" }",
            ),
            (
                "name",
                None,
                "{ kind = \"template\", template = \"user{id}\" }",
            ),
        ],
    );
    let made = apply(
        &mask,
        &[Value::text("7"), Value::text("Ada"), Value::Null],
        &[],
    );
    assert_eq!(made, ["7", "user7", "user7-12@example.com"]);
    assert_eq!(mask.needed(), [0, 1, 2]);
    assert_eq!(mask.masked().collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn the_first_rule_whose_condition_holds_is_the_one() {
    let rules = [
        ("name", Some(0), "{ kind = \"fixed\", value = \"first\" }"),
        ("name", Some(1), "{ kind = \"fixed\", value = \"second\" }"),
        ("name", None, "\"stars\""),
    ];
    let mask = compile(&["name"], &rules);
    let of = |holds: &[bool]| apply(&mask, &[Value::text("Ada")], holds).concat();
    assert_eq!(of(&[true, true]), "first");
    assert_eq!(of(&[false, true]), "second");
    assert_eq!(of(&[false, false]), "***");
    let mask = compile(&["name"], &rules[..2]);
    assert_eq!(
        apply(&mask, &[Value::text("Ada")], &[false, false]),
        ["Ada"]
    );
}

#[test]
fn values_of_other_columns_are_found_in_texts_and_become_what_they_become_there() {
    let mask = compile(
        &["address", "name", "body"],
        &[
            (
                "body",
                None,
                "{ kind = \"redact\", of = [\"address\", \"name\"] }",
            ),
            (
                "address",
                None,
                "{ kind = \"fixed\", value = \"nobody@example.com\" }",
            ),
            ("name", None, "\"null\""),
        ],
    );
    let values = [
        Value::text("Ada@Lovelace.org"),
        Value::text("Ada"),
        Value::text("ADA wrote from ada@lovelace.org, not from eve@lovelace.org. Adieu"),
    ];
    let other = masked("\"email\"", "eve@lovelace.org");
    let made = apply(&mask, &values, &[]);
    assert_eq!(
        made[2],
        format!("*** wrote from nobody@example.com, not from {other}. Adieu")
    );
}

#[test]
fn dates_of_one_person_are_shifted_alike() {
    let by = "{ kind = \"date_shift\", days = 1000, by = \"id\" }";
    let mask = compile(
        &["id", "born", "died"],
        &[("born", None, by), ("died", None, by)],
    );
    let date = |text: &str| text.parse::<chrono::NaiveDate>().unwrap();
    let mut shifts = std::collections::HashSet::new();
    for id in ["1", "2", "3", "4"] {
        let made = apply(
            &mask,
            &[
                Value::text(id),
                Value::text("1815-12-10"),
                Value::text("1852-11-27"),
            ],
            &[],
        );
        assert_eq!(
            date(&made[2]) - date(&made[1]),
            date("1852-11-27") - date("1815-12-10")
        );
        shifts.insert(made[1].clone());
    }
    assert!(shifts.len() > 2, "{shifts:?}");
}

#[test]
fn null_and_empty_are_kept_apart() {
    for written in WRITTEN {
        let mut bench = Bench::new(written, Type::TEXT);
        let null = bench.of(Value::Null).unwrap().is_null();
        let empty = bench.of(Value::text("")).unwrap().is_empty();
        let is_for_all = kind(written).is_for_all();
        assert!((null && empty) != is_for_all, "{written}");
    }
}

#[test]
fn the_same_value_becomes_the_same_whatever_it_is_read_from() {
    let latin = Type::Text {
        longest: Some(40),
        repertoire: Repertoire::Latin1,
    };
    for written in WRITTEN.iter().filter(|written| !written.contains("bcrypt")) {
        let expected = masked(written, "Zoë");
        let mut bench = Bench::new(written, latin.clone());
        let made = bench.of(Value::Text(b"Zo\xeb", Encoding::Latin1)).unwrap();
        let Value::Text(bytes, Encoding::Latin1) = made else {
            assert!(made.is_null(), "{written} {made:?}");
            continue;
        };
        let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
        let cut: String = expected.chars().take(40).collect();
        assert_eq!(text, cut, "{written}");
    }
    assert_eq!(
        shown(
            Bench::new("\"hash\"", Type::TEXT)
                .of(Value::Integer(42))
                .unwrap()
        ),
        masked("\"hash\"", "42")
    );
}

#[test]
fn letters_that_an_encoding_lacks_are_written_with_those_that_it_has() {
    let ascii = Type::Text {
        longest: None,
        repertoire: Repertoire::Ascii,
    };
    let with = "{ kind = \"street\", language = \"de\" }";
    let mut bench = Bench::new(with, ascii);
    let mut differ = 0;
    for number in 0..200 {
        let value = number.to_string();
        let unknown = Value::Text(value.as_bytes(), Encoding::Unknown);
        let bytes = shown(bench.of(unknown).unwrap());
        let (plain, full) = (bench.text(&value), masked(with, &value));
        assert_eq!(bytes, plain);
        assert!(plain.is_ascii(), "{plain}");
        differ += u32::from(plain != full);
    }
    assert!(differ > 10, "{differ}");
}

#[test]
fn a_buffer_that_a_large_value_has_stretched_is_given_back() {
    let mut bench = Bench::new("\"stars\"", Type::TEXT);
    bench.of(Value::text(&"x".repeat(8 << 20))).unwrap();
    assert_eq!(bench.text("abc"), "***");
    assert!(bench.scratch.room() < 4 << 20);
}
