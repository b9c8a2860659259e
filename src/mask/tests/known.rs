//! Known answers: what these values became once, they become for ever. A change here breaks the consistency of every target that
//! is masked with a key of before, and has to be said in the change log.

use super::*;

#[test]
fn masked_values_stay_what_they_were() {
    let mut wrong = Vec::new();
    for (written, of, value, known) in KNOWN {
        let made = match Bench::new(written, of()).of(*value) {
            Ok(made) => shown(made),
            Err(error) => error.to_string(),
        };
        if made != *known {
            wrong.push(format!(
                "    ({written:?}, .., {value:?}, {made:?}) and not {known:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

const fn text(value: &'static str) -> Value<'static> {
    Value::Text(value.as_bytes(), Encoding::Utf8)
}

fn texts() -> Type {
    Type::TEXT
}

fn longs() -> Type {
    Type::Integer {
        bits: 64,
        is_signed: true,
    }
}

type Known = (&'static str, fn() -> Type, Value<'static>, &'static str);

const KNOWN: &[Known] = &[
    ("\"full_name\"", texts, text("Ada Lovelace"), "Carlo Welch"),
    (
        "{ kind = \"full_name\", language = \"de\" }",
        texts,
        text("Ada Lovelace"),
        "Ulrike Kuhn",
    ),
    ("\"first_name\"", texts, text("Ada"), "Wallace"),
    (
        "{ kind = \"last_name\", language = \"fr\" }",
        texts,
        text("Lovelace"),
        "Thevenin",
    ),
    ("\"username\"", texts, text("ada"), "vince_c8psn3dnzt"),
    (
        "\"company\"",
        texts,
        text("Analytical Engines"),
        "Jaskolski LLC",
    ),
    (
        "{ kind = \"street\", language = \"nl\" }",
        texts,
        text("12 St James's Square"),
        "van Vlietplaats 48",
    ),
    (
        "{ kind = \"city\", language = \"it\" }",
        texts,
        text("London"),
        "Villa Russo",
    ),
    ("\"postcode\"", texts, text("SW1A 1AA"), "DC9H 9YC"),
    (
        "\"email\"",
        texts,
        text("ada@lovelace.org"),
        "zgimmphjwnba@example.com",
    ),
    (
        "\"url\"",
        texts,
        text("http://lovelace.org/ada"),
        "http://example.com/d3sxythm3mhcm",
    ),
    ("\"ip\"", texts, text("81.2.69.142"), "10.255.120.61"),
    (
        "\"ip\"",
        texts,
        text("2a00:23c4::1"),
        "2001:db8:48bb:ba1:5ca7:40a:e750:3240",
    ),
    (
        "\"mac\"",
        texts,
        text("00-1b-44-11-3a-b7"),
        "02-10-f1-c3-18-ac",
    ),
    (
        "\"phone\"",
        texts,
        text("+44 20 7946 0958"),
        "+44 88 8225 9593",
    ),
    (
        "{ kind = \"phone\", one_way = true }",
        texts,
        text("+44 20 7946 0958"),
        "+44 75 9090 4240",
    ),
    ("\"digits\"", texts, text("4711-0815-99"), "5664-7651-64"),
    ("\"digits\"", texts, text("AB-12"), "XA-48"),
    ("\"digits\"", longs, Value::Integer(42), "662701976"),
    ("\"digits\"", longs, Value::Integer(-42), "-83142818"),
    (
        "\"digits\"",
        longs,
        Value::Integer(3_000_000_000),
        "3633343053",
    ),
    (
        "\"digits\"",
        longs,
        Value::Integer(9_000_000_000_000),
        "3870316930950284651",
    ),
    (
        "{ kind = \"digits\", one_way = true }",
        longs,
        Value::Integer(42),
        "148256645",
    ),
    (
        "\"iban\"",
        texts,
        text("GB82WEST12345698765432"),
        "GB31YBUJ42501103344973",
    ),
    (
        "\"card\"",
        texts,
        text("4111 1111 1111 1111"),
        "4239 6830 8314 3089",
    ),
    (
        "\"uuid\"",
        texts,
        text("6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
        "cc413663-a886-15de-aeff-e8fb905a7713",
    ),
    (
        "{ kind = \"uuid\", one_way = true }",
        texts,
        text("6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
        "76f42315-e5c3-160a-8b44-fdd1f30eebab",
    ),
    (
        "\"hash\"",
        texts,
        text("ada"),
        "75bd2d87e6de451a812c1ad69bb62cb6",
    ),
    (
        "\"text\"",
        texts,
        text("Dear Ada, 1 of 3 für Zoë."),
        "Unde Non, 0 ex 4 nam Qui.",
    ),
    (
        "\"redact\"",
        texts,
        text("ada@lovelace.org or +44 20 7946 0958"),
        "zgimmphjwnba@example.com or +98 13 0480 4313",
    ),
    ("\"date_shift\"", texts, text("1815-12-10"), "1816-01-09"),
    ("\"number_noise\"", texts, text("52000.00"), "51741.80"),
    (
        "{ kind = \"template\", template = \"{hash}\" }",
        texts,
        text("ada"),
        "ab6fa4118b2b5310",
    ),
];
