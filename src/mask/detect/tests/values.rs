//! Values: by form and check digits, as names of people, inside documents and text. All of them are invented.

use super::*;

#[test]
fn values_tell_by_form_and_check_digits_whatever_their_column_is_called() {
    let cases: &[(Class, &[&str])] = &[
        (Class::Email, &["ada@example.com"]),
        (Class::Email, &["Ada <ada@example.com>"]),
        (Class::Iban, &["DE89 3704 0044 0532 0130 00"]),
        (Class::Iban, &["GB82WEST12345698765432"]),
        (
            Class::Card,
            &["4111 1111 1111 1111", "5500005555555559", "371449635398431"],
        ),
        (Class::Ip, &["192.168.0.12", "10.200.3.4"]),
        (Class::Ip, &["2001:db8::8a2e:370:7334"]),
        (Class::Mac, &["00:1b:44:11:3a:b7"]),
        (Class::Phone, &["+44 20 7946 0958", "030 1234567-8"]),
        (Class::Postcode, &["SW1A 1AA"]),
        (Class::NationalNumber, &["AB123456C"]),
        (Class::NationalNumber, &["123-45-6789"]),
        (Class::NationalNumber, &["12345678Z"]),
        (Class::NationalNumber, &["RSSMRA85T10A562S"]),
        (Class::NationalNumber, &["1 85 05 78 006 084 91"]),
        (Class::NationalNumber, &["44051401359"]),
        (Class::NationalNumber, &["111222333", "123456782"]),
        (Class::NationalNumber, &["86095742719"]),
        (Class::NationalNumber, &["529.982.247-25"]),
        (
            Class::Secret,
            &["eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"],
        ),
        (
            Class::Secret,
            &["-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END"],
        ),
        (Class::Secret, &["AKIAIOSFODNN7EXAMPLE"]),
        (
            Class::Secret,
            &["$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW"],
        ),
        (
            Class::Secret,
            &["$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$aGFzaGhhc2g"],
        ),
        (Class::Street, &["12 Baker Street", "Lindenstraße 7"]),
    ];
    for (expected, values) in cases {
        assert_eq!(
            class("things", "x", "text", values),
            Some(*expected),
            "{values:?}"
        );
    }
}

#[test]
fn one_good_value_among_a_thousand_is_evidence() {
    let mut values: Vec<String> = (0..999)
        .map(|number| format!("reference {number}"))
        .collect();
    values.push("DE89370400440532013000".to_owned());
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    let found = found("payments", "reference", "text", &values).unwrap();
    assert_eq!(
        (found.class, found.confidence),
        (Class::Iban, Confidence::Certain)
    );
    assert_eq!(
        found.why,
        ["1 of 1000 different values are IBANs whose check digits are right"]
    );
}

#[test]
fn numbers_that_pass_a_check_as_often_as_any_do_are_none() {
    let of = |from: u64| -> Vec<String> {
        (from..from + 2_000)
            .map(|number| number.to_string())
            .collect()
    };
    // Of nine digits, ten, eleven, and as many as cards have.
    for from in [
        100_000_000,
        4_000_000_000,
        44_051_400_000,
        4_111_111_111_110_000,
    ] {
        let values = of(from);
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        assert_eq!(class("things", "serial", "bigint", &values), None, "{from}");
    }
    let versions = ["1.0.2.3", "1.0.2.4", "2.11.0.1", "7.2.0.0"];
    assert_eq!(class("things", "version", "text", &versions), None);
    let days = ["2026-01-02", "01/02/2026", "02.01.2026"];
    assert_eq!(class("things", "x", "text", &days), None);
    let words = [
        "open",
        "closed",
        "Pending",
        "Draft",
        "Published",
        "Archived",
    ];
    assert_eq!(class("things", "x", "text", &words), None);
    assert_eq!(
        class(
            "things",
            "x",
            "text",
            &["@", "a@", "@b", "me @ home", "a@b"]
        ),
        None
    );
}

#[test]
fn checks_find_a_wrong_digit() {
    for (good, check) in [
        ("44051401359", checks::pesel as fn(&[u8]) -> Option<bool>),
        ("111222333", checks::bsn),
        ("9434765919", checks::nhs),
        ("52998224725", checks::cpf),
        ("185057800608491", checks::nir),
        ("4111111111111111", checks::card),
        ("7569217076985", checks::ahv),
        ("86095742719", checks::german_tax),
    ] {
        assert_eq!(check(good.as_bytes()), Some(true), "{good}");
        let mut bad = good.as_bytes().to_vec();
        let last = bad.len() - 1;
        bad[last] = b'0' + (bad[last] - b'0' + 1) % 10;
        assert_ne!(check(&bad), Some(true), "{good}");
    }
    assert_eq!(checks::iban(b"DE88370400440532013000"), Some(false));
    assert_eq!(checks::dni(b"12345678A"), Some(false));
    assert_eq!(checks::codice_fiscale(b"RSSMRA85T10A562A"), Some(false));
    assert_eq!(checks::nino(b"BG123456C"), Some(false));
    assert_eq!(checks::iban(b"XX00"), None);
}

#[test]
fn people_are_known_by_their_names() {
    let people = [
        "John Smith",
        "Anna Müller",
        "Emma Jones",
        "Otto Schmidt",
        "Ringo Unheardof",
        "Ffion Unknown",
    ];
    assert_eq!(
        class("things", "label", "text", &people),
        Some(Class::FullName)
    );
    let titles = [
        "Annual Report",
        "Budget Speech",
        "Form Guidance",
        "Energy Act",
    ];
    assert_eq!(class("things", "label", "text", &titles), None);
}

#[test]
fn documents_are_looked_into_by_keys_and_values() {
    let json = found(
        "events",
        "payload",
        "jsonb",
        &[
            r#"{"user": {"email": "ada@example.com", "plan": "free"}, "id": 4}"#,
            r#"{"user": {"email": null}, "items": [{"to": "bob@example.org"}], "auth.token": "abc"}"#,
        ],
    )
    .unwrap();
    assert_eq!(
        (json.class, json.confidence),
        (Class::Document, Confidence::Certain)
    );
    assert_eq!(
        json.kind,
        r#"{ kind = "json", paths = { 'auth\.token' = "null", "items.*.to" = "email", "user.email" = "email" } }"#
    );
    assert!(json.leaves_parts);
    let php = found(
        "options",
        "value",
        "longtext",
        &["a:2:{s:5:\"email\";s:15:\"ada@example.com\";s:4:\"size\";i:3;}"],
    )
    .unwrap();
    assert_eq!(
        php.kind,
        r#"{ kind = "php_serialized", paths = { "email" = "email" } }"#
    );
    assert_eq!(
        class(
            "events",
            "payload",
            "jsonb",
            &[r#"{"state": "open", "count": 3}"#]
        ),
        None
    );
    let keys = found("events", "payload", "jsonb", &[r#"{"ada@example.com": 3}"#]).unwrap();
    assert_eq!(keys.class, Class::Document);
    assert!(!keys.leaves_parts, "{}", keys.kind);
}

#[test]
fn free_text_is_looked_into() {
    for (text, sure) in [
        (
            "Please write to ada@example.com, she knows.",
            Confidence::Certain,
        ),
        (
            "Paid from DE89 3704 0044 0532 0130 00 today",
            Confidence::Certain,
        ),
        (
            "the key is AKIAIOSFODNN7EXAMPLE, do not tell",
            Confidence::Certain,
        ),
        (
            "call her at +44 20 7946 0958 after six",
            Confidence::Possible,
        ),
    ] {
        let found = found(
            "things",
            "details",
            "text",
            &["nothing in here at all", text],
        )
        .unwrap();
        assert_eq!(
            (found.class, found.confidence),
            (Class::FreeText, sure),
            "{text}"
        );
        assert!(!found.why.join(" ").contains("example.com"));
    }
    assert_eq!(
        class(
            "things",
            "details",
            "text",
            &["see page 12 of 2026-01-02, or 3 + 4 = 7"]
        ),
        None
    );
}
