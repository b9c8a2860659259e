//! What looks personal, and what does not. All values are invented.

mod values;

use super::*;
use crate::mask::{Column, Repertoire, Type};

fn column(name: &str, kind: Type) -> Column {
    Column {
        name: name.to_owned(),
        kind,
        is_nullable: true,
    }
}

/// A look at a column of this type by the store's name for it, with values.
fn found(table: &str, name: &str, type_name: &str, values: &[&str]) -> Option<Finding> {
    let kind = match types::holds(type_name) {
        Holds::Number => Type::Integer {
            bits: 64,
            is_signed: true,
        },
        Holds::Moment => Type::Date,
        Holds::Document => Type::Json,
        Holds::Uuid => Type::Uuid,
        Holds::Text => Type::TEXT,
        _ => Type::Other(type_name.to_owned()),
    };
    let values: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
    look(&Subject {
        table,
        column: &column(name, kind),
        type_name,
        comments: &[],
        unique: None,
        is_opaque: false,
        values: &values,
    })
}

fn class(table: &str, name: &str, type_name: &str, values: &[&str]) -> Option<Class> {
    found(table, name, type_name, values).map(|finding| finding.class)
}

#[test]
fn names_of_columns_tell_in_several_languages_and_spellings() {
    let cases: &[(&str, Class)] = &[
        ("email", Class::Email),
        ("contactEmail", Class::Email),
        ("E-Mail-Adresse", Class::Email),
        ("adresse_email", Class::Email),
        ("correo_electronico", Class::Email),
        ("kundenemail", Class::Email),
        ("phone_number", Class::Phone),
        ("Telefonnummer", Class::Phone),
        ("numero_de_telephone", Class::Phone),
        ("telefoon", Class::Phone),
        ("numer_telefonu", Class::Phone),
        ("firstName", Class::FirstName),
        ("vorname", Class::FirstName),
        ("prénom", Class::FirstName),
        ("imię", Class::FirstName),
        ("voornaam", Class::FirstName),
        ("LAST_NAME", Class::LastName),
        ("nachname", Class::LastName),
        ("nom_de_famille", Class::LastName),
        ("apellidos", Class::LastName),
        ("cognome", Class::LastName),
        ("sobrenome", Class::LastName),
        ("achternaam", Class::LastName),
        ("nazwisko", Class::LastName),
        ("Straße", Class::Street),
        ("Straße und Hausnummer", Class::Street),
        ("billing_address", Class::Street),
        ("indirizzo", Class::Street),
        ("endereço", Class::Street),
        ("ulica", Class::Street),
        ("plz", Class::Postcode),
        ("codice_postale", Class::Postcode),
        ("kod_pocztowy", Class::Postcode),
        ("code-postal", Class::Postcode),
        ("iban", Class::Iban),
        ("kontonummer", Class::Iban),
        ("creditCardNumber", Class::Card),
        ("numero_tarjeta", Class::Card),
        ("last_sign_in_ip", Class::Ip),
        ("IPAddress", Class::Ip),
        ("national_insurance_number", Class::NationalNumber),
        ("numéro_sécurité_sociale", Class::NationalNumber),
        ("codiceFiscale", Class::NationalNumber),
        ("pesel", Class::NationalNumber),
        ("bsn", Class::NationalNumber),
        ("steuerId", Class::NationalNumber),
        ("gender", Class::Trait),
        ("geschlecht", Class::Trait),
        ("geo_latitude", Class::Location),
        ("reset_password_token", Class::Secret),
        ("address_ciphertext", Class::Secret),
        ("api_key", Class::Secret),
        ("passwort_hash", Class::Secret),
        ("mot_de_passe", Class::Secret),
        ("contraseña", Class::Secret),
        ("senha", Class::Secret),
        ("wachtwoord", Class::Secret),
        ("hasło", Class::Secret),
        ("otpSecret", Class::Secret),
        ("user_agent", Class::Device),
    ];
    for (name, expected) in cases {
        assert_eq!(
            class("things", name, "text", &[]),
            Some(*expected),
            "{name}"
        );
    }
    for name in [
        "date_of_birth",
        "geburtsdatum",
        "date_de_naissance",
        "fecha_nacimiento",
        "dataDiNascita",
        "data_urodzenia",
    ] {
        assert_eq!(
            class("things", name, "date", &[]),
            Some(Class::BirthDate),
            "{name}"
        );
    }
}

#[test]
fn what_only_reminds_of_something_personal_is_not() {
    let texts = [
        "id",
        "slug",
        "title",
        "status",
        "locale",
        "email_template",
        "email_status",
        "phone_type",
        "has_email",
        "token_type",
        "state",
        "sku",
        "currency",
        "colour",
        "file_name",
        "table_name",
        "name",
        "valid_to",
        "content_id",
        "schema_name",
        "document_type",
        "analytics_identifier_kind",
        "publishing_app",
        "rendering_app",
        "details_format",
        "keyboard",
        "monkey",
        "passenger_count",
    ];
    for name in texts {
        assert_eq!(class("things", name, "text", &[]), None, "{name}");
    }
    for name in [
        "email_sent_at",
        "password_changed_at",
        "created_at",
        "last_login",
    ] {
        assert_eq!(
            class("users", name, "timestamp without time zone", &[]),
            None,
            "{name}"
        );
    }
    for name in [
        "id",
        "email_count",
        "city_id",
        "position",
        "street_id",
        "user_id",
        "password_attempts",
    ] {
        assert_eq!(class("users", name, "bigint", &[]), None, "{name}");
    }
    for name in ["email_verified", "has_phone", "password_expired"] {
        assert_eq!(class("users", name, "boolean", &[]), None, "{name}");
    }
}

#[test]
fn a_name_is_a_persons_in_a_table_of_people() {
    assert_eq!(class("users", "name", "text", &[]), Some(Class::FullName));
    assert_eq!(
        class("site_kunden", "name", "text", &[]),
        Some(Class::FullName)
    );
    assert_eq!(
        class("orders", "customer_name", "text", &[]),
        Some(Class::FullName)
    );
    assert_eq!(class("countries", "name", "text", &[]), None);
}

#[test]
fn types_tell_and_one_that_nobody_knows_counts_as_personal() {
    assert_eq!(class("t", "x", "inet", &[]), Some(Class::Ip));
    assert_eq!(class("t", "x", "macaddr", &[]), Some(Class::Mac));
    assert_eq!(class("t", "x", "point", &[]), Some(Class::Location));
    assert_eq!(class("t", "x", "frobnicator", &[]), Some(Class::Unknown));
    assert_eq!(
        class("t", "x", "frobnicator", &["ada@example.com"]),
        Some(Class::Email)
    );
    for plain in [
        "integer",
        "boolean",
        "numeric(10,2)",
        "int(10) unsigned",
        "text[]",
        "character varying(20)",
        "timestamp(6) with time zone",
        "tsrange",
        "uuid",
    ] {
        assert_eq!(class("t", "x", plain, &[]), None, "{plain}");
    }
}

#[test]
fn comments_tell() {
    let of = |comment: &str| {
        look(&Subject {
            table: "t",
            column: &column("x1", Type::TEXT),
            type_name: "text",
            comments: &[comment],
            unique: None,
            is_opaque: false,
            values: &[],
        })
        .map(|found| found.class)
    };
    assert_eq!(of("PII: do not log"), Some(Class::Marked));
    assert_eq!(of("personenbezogen nach DSGVO"), Some(Class::Marked));
    assert_eq!(of("the e-mail address of the buyer"), Some(Class::Email));
    assert_eq!(of("number of retries"), None);
}

#[test]
fn two_pieces_of_evidence_are_surer_than_one() {
    let by_name = found("t", "phone", "text", &["ask her"]).unwrap();
    assert_eq!(by_name.confidence, Confidence::Likely);
    let both = found("t", "phone", "text", &["+44 20 7946 0958"]).unwrap();
    assert_eq!(both.confidence, Confidence::Certain);
    assert_eq!(both.why.len(), 2);
    // What is called a secret is one, even if it looks like a number.
    assert_eq!(
        class("t", "api_token", "text", &["+44 20 7946 0958"]),
        Some(Class::Secret)
    );
}

#[test]
fn kinds_fit_the_type_not_null_the_length_and_uniqueness() {
    let kind = |name: &str, kind: Type, type_name: &str, is_nullable: bool, unique: Option<u64>| {
        let column = Column {
            name: name.to_owned(),
            kind,
            is_nullable,
        };
        look(&Subject {
            table: "users",
            column: &column,
            type_name,
            comments: &[],
            unique,
            is_opaque: false,
            values: &[],
        })
        .unwrap()
        .kind
    };
    let short = Type::Text {
        longest: Some(64),
        repertoire: Repertoire::Unicode,
    };
    let bytes = Type::Bytes { longest: None };
    assert_eq!(
        kind(
            "email",
            short.clone(),
            "varchar(64)",
            false,
            Some(1_000_000)
        ),
        "\"email\""
    );
    assert_eq!(
        kind("name", short.clone(), "varchar(64)", false, None),
        "\"full_name\""
    );
    assert_eq!(
        kind("name", short.clone(), "varchar(64)", false, Some(1000)),
        "\"username\""
    );
    assert_eq!(
        kind("api_token", short.clone(), "varchar(64)", true, Some(1000)),
        "\"null\""
    );
    assert_eq!(
        kind("api_token", short.clone(), "varchar(64)", false, Some(1000)),
        "\"hash\""
    );
    assert_eq!(
        kind("password_ciphertext", bytes, "bytea", false, None),
        "\"hash\""
    );
    assert_eq!(
        kind("token", Type::Uuid, "uuid", false, Some(1000)),
        "\"uuid\""
    );
    assert_eq!(
        kind("date_of_birth", Type::Date, "date", false, None),
        "{ kind = \"date_shift\", days = 365 }"
    );
    assert_eq!(kind("notes", Type::TEXT, "text", false, None), "\"redact\"");
    let integer = Type::Integer {
        bits: 64,
        is_signed: true,
    };
    assert_eq!(kind("phone", integer, "bigint", false, None), "\"digits\"");
    assert_eq!(
        kind("x", Type::Inet { is_network: false }, "inet", false, None),
        "\"ip\""
    );
}

proptest::proptest! {
    #[test]
    fn no_input_panics(name in ".{0,40}", comment in ".{0,40}", values in proptest::collection::vec(".{0,60}", 0..6), type_name in "[a-z()0-9\\[\\]. ]{0,12}") {
        let values: Vec<&[u8]> = values.iter().map(String::as_bytes).collect();
        look(&Subject {
            table: &name,
            column: &column(&name, Type::TEXT),
            type_name: &type_name,
            comments: &[&comment],
            unique: Some(10),
            is_opaque: false,
            values: &values,
        });
    }

    #[test]
    fn digits_and_php_of_any_kind_do_not_panic(digits in "[0-9A-Z .-]{0,40}", php in "[aOsibdN:;{}\"0-9]{0,60}") {
        for text in [digits, format!("a:{php}")] {
            found("t", "x", "text", &[&text]);
            found("t", "x", "bigint", &[&text]);
        }
    }
}
