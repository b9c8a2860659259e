//! What is wrong is said by name, with what is allowed, and never with a value.

use super::*;

fn wrong(written: &str) -> String {
    let error = read(written).unwrap_err();
    error.message().to_owned()
}

#[test]
fn a_kind_that_there_is_not_is_answered_with_those_that_there_are() {
    for written in ["\"emial\"", "{ kind = \"emial\" }"] {
        let error = wrong(written);
        assert!(
            error.starts_with("unknown kind `emial`, expected one of `null`, `empty`"),
            "{error}"
        );
        for name in kind::names() {
            assert!(error.contains(&format!("`{name}`")), "{name}: {error}");
        }
    }
}

#[test]
fn an_option_that_is_wrong_is_named_with_what_is_allowed() {
    for (written, part) in [
        (
            "{ kind = \"email\", domian = \"x\" }",
            "unknown field `domian`, expected `domain` or `keep_domains`",
        ),
        (
            "{ kind = \"email\", domain = \"gmail.com\" }",
            "`domain` is gmail.com, where mail could arrive: example.com",
        ),
        (
            "{ kind = \"email\", domain = \"notexample.com\" }",
            "`domain` is notexample.com",
        ),
        (
            "{ kind = \"email\", keep_domains = [\"@gov.uk\"] }",
            "which is no domain",
        ),
        ("{ kind = \"fixed\" }", "missing field `value`"),
        ("{ domain = \"x.test\" }", "missing field `kind`"),
        ("{ kind = \"null\", value = 1 }", "unknown field `value`"),
        (
            "{ kind = \"full_name\", language = \"tlh\" }",
            "`language`: unknown variant `tlh`, expected one of `en`",
        ),
        (
            "{ kind = \"hash\", length = 7 }",
            "`length` is 7, and 8 to 64 are allowed",
        ),
        (
            "{ kind = \"digits\", strict = true, one_way = true }",
            "exclude each other",
        ),
        (
            "{ kind = \"digits\", keep_last = -1 }",
            "`keep_last`: invalid value",
        ),
        (
            "{ kind = \"date_shift\", days = 0 }",
            "`days` is 0, and 1 to 3650 are allowed",
        ),
        ("{ kind = \"bucket\", size = 0 }", "`size` is 0"),
        (
            "{ kind = \"number_noise\", percent = 101 }",
            "1 to 100 are allowed",
        ),
        (
            "{ kind = \"replace\", pattern = \"(\", with = \"\" }",
            "no regular expression",
        ),
        (
            "{ kind = \"replace\", pattern = \"x*\", with = \"\" }",
            "empty texts",
        ),
        (
            "{ kind = \"replace\", literal = { \"\" = \"x\" } }",
            "empty texts",
        ),
        (
            "{ kind = \"replace\" }",
            "`literal`, `hosts`, or `pattern` and `with` are needed",
        ),
        (
            "{ kind = \"template\", template = \"{id\" }",
            "a { without its }",
        ),
        ("{ kind = \"json\" }", "`paths` or `default` is needed"),
        (
            "{ kind = \"json\", paths = { \"a..b\" = \"email\" } }",
            "an empty part",
        ),
        (
            "{ kind = \"json\", paths = { a = \"emial\" } }",
            "unknown kind `emial`",
        ),
        (
            "{ kind = \"bcrypt_fixed\", hash = \"password\" }",
            "no hash of bcrypt",
        ),
        ("{ kind = \"stars\", with = \"é\" }", "no visible character"),
        ("7", "the name of a kind, or a table"),
    ] {
        let error = wrong(written);
        assert!(error.contains(part), "{written}: {error}");
    }
}

fn refused(written: &str, of: Type, is_nullable: bool) -> String {
    let columns = [Column {
        is_nullable,
        ..column(of)
    }];
    let rule = Rule {
        column: "it".to_owned(),
        condition: None,
        kind: kind(written),
    };
    match RowMask::compile("people", &columns, &[rule], &of_tests()) {
        Ok(_) => "nothing".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_kind_that_does_not_fit_is_refused_with_what_would() {
    let number = Type::Integer {
        bits: 32,
        is_signed: true,
    };
    assert_eq!(
        refused("\"email\"", number.clone(), true),
        "table people, column it: email makes text, and the column holds whole numbers of 32 bits; digits, number_noise, bucket, \
         fixed and null fit"
    );
    let text = |longest| Type::Text {
        longest: Some(longest),
        repertoire: Repertoire::Latin1,
    };
    for (written, of, is_nullable, part) in [
        (
            "\"null\"",
            Type::TEXT,
            false,
            "the column takes none; empty or fixed would do",
        ),
        ("\"empty\"", number.clone(), true, "have none; null"),
        (
            "{ kind = \"fixed\", value = \"abc\" }",
            text(2),
            true,
            "a text of 3 characters",
        ),
        (
            "{ kind = \"fixed\", value = \"€\" }",
            text(20),
            true,
            "characters that the column's encoding has not",
        ),
        (
            "{ kind = \"fixed\", value = 128 }",
            Type::Integer {
                bits: 8,
                is_signed: true,
            },
            true,
            "-128 to 127",
        ),
        (
            "{ kind = \"fixed\", value = -1 }",
            Type::Integer {
                bits: 32,
                is_signed: false,
            },
            true,
            "0 to 4294967295",
        ),
        (
            "{ kind = \"fixed\", value = \"x\" }",
            Type::Enum(vec!["a".into(), "b".into()]),
            true,
            "it has a, b",
        ),
        (
            "{ kind = \"fixed\", value = \"{\" }",
            Type::Json,
            true,
            "no JSON",
        ),
        (
            "{ kind = \"fixed\", value = \"x\" }",
            number.clone(),
            true,
            "a text",
        ),
        (
            "{ kind = \"template\", template = \"€{row}\" }",
            text(20),
            true,
            "characters that the column's encoding has not",
        ),
        (
            "\"digits\"",
            Type::Integer {
                bits: 16,
                is_signed: true,
            },
            true,
            "needs numbers of 32 bits",
        ),
        (
            "{ kind = \"digits\", keep_last = 2 }",
            number,
            true,
            "keeps digits of texts",
        ),
        ("\"hash\"", text(7), true, "8 digits at least"),
        (
            "\"email\"",
            text(15),
            true,
            "longer addresses than the column's 15 characters",
        ),
        ("\"bcrypt_fixed\"", text(59), true, "60 characters"),
        ("\"uuid\"", text(31), true, "hash would do"),
        (
            "\"text\"",
            Type::Other("int4[]".into()),
            true,
            "the type int4[]",
        ),
    ] {
        let error = refused(written, of, is_nullable);
        assert!(
            error.starts_with("table people, column it: ") && error.contains(part),
            "{written}: {error}"
        );
    }
}

#[test]
fn what_is_cut_is_said_and_keeps_fewer_values_apart() {
    let short = column(Type::Text {
        longest: Some(18),
        repertoire: Repertoire::Unicode,
    });
    assert_eq!(kind("\"email\"").fit(&short), Fit::Cut(18));
    assert_eq!(
        kind("\"email\"").uniqueness(&short),
        Uniqueness::Distinct { bits: 30 }
    );
    assert_eq!(
        kind("\"hash\"").uniqueness(&short),
        Uniqueness::Distinct { bits: 72 }
    );
    assert_eq!(kind("\"full_name\"").fit(&short), Fit::Cut(18));
}

#[test]
fn columns_that_are_not_there_and_circles_are_found() {
    let columns = ["id", "a", "b"].map(|name| Column {
        name: name.to_owned(),
        ..column(Type::TEXT)
    });
    let compile = |rules: &[(&str, &str)]| {
        let rules: Vec<Rule> = rules
            .iter()
            .map(|(column, written)| Rule {
                column: (*column).to_owned(),
                condition: None,
                kind: kind(written),
            })
            .collect();
        let made = RowMask::compile("people", &columns, &rules, &of_tests());
        made.err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    };
    let template = |of: &str| format!("{{ kind = \"template\", template = \"x{{{of}}}\" }}");
    assert_eq!(
        compile(&[("emial", "\"email\"")]),
        "table people, column emial: there is no such column; the table has id, a, b"
    );
    assert!(
        compile(&[("a", &template("c"))])
            .contains("template looks at c, which the table does not have")
    );
    assert!(
        compile(&[("a", "{ kind = \"date_shift\", by = \"user\" }")]).contains("looks at user")
    );
    assert!(
        compile(&[("a", &template("b")), ("b", &template("a"))])
            .contains("needs its own masked value")
    );
    assert!(compile(&[("a", &template("a"))]).contains("needs its own masked value"));
    assert_eq!(
        compile(&[("a", &template("b")), ("b", &template("id"))]),
        ""
    );
}

#[test]
fn a_value_that_fails_the_run_is_not_in_the_error() {
    for (written, value) in [
        ("{ kind = \"digits\", strict = true }", "secret 4711"),
        ("{ kind = \"phone\", strict = true }", "12345"),
        (
            "{ kind = \"iban\", strict = true }",
            "DE00370400440532013000",
        ),
        ("{ kind = \"card\", strict = true }", "4111111111111112"),
    ] {
        let error = Bench::new(written, Type::TEXT)
            .of(Value::text(value))
            .unwrap_err();
        let said = error.to_string();
        assert!(
            said.starts_with("table people, column it: a value "),
            "{said}"
        );
        assert!(!said.contains(value), "{said}");
    }
}
