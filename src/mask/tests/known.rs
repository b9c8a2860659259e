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
    (
        "\"full_name\"",
        texts,
        text("Ada Lovelace"),
        "Mckenna Prosacco",
    ),
    (
        "{ kind = \"full_name\", language = \"de\" }",
        texts,
        text("Ada Lovelace"),
        "Uwe Weber",
    ),
    ("\"first_name\"", texts, text("Ada"), "Cody"),
    (
        "{ kind = \"last_name\", language = \"fr\" }",
        texts,
        text("Lovelace"),
        "Martinez",
    ),
    ("\"username\"", texts, text("ada"), "hailee_8zv2p6e4j6"),
    (
        "\"company\"",
        texts,
        text("Analytical Engines"),
        "Schroeder LLC",
    ),
    (
        "{ kind = \"street\", language = \"nl\" }",
        texts,
        text("12 St James's Square"),
        "Kokstraat 115",
    ),
    (
        "{ kind = \"city\", language = \"it\" }",
        texts,
        text("London"),
        "Villa Colombo",
    ),
    ("\"postcode\"", texts, text("SW1A 1AA"), "RA1Y 9FE"),
    (
        "\"email\"",
        texts,
        text("ada@lovelace.org"),
        "mbqhxzz2qgd5@example.com",
    ),
    (
        "\"url\"",
        texts,
        text("http://lovelace.org/ada"),
        "http://example.com/y4q8c7imm6qv2",
    ),
    ("\"ip\"", texts, text("81.2.69.142"), "10.221.165.21"),
    (
        "\"ip\"",
        texts,
        text("2a00:23c4::1"),
        "2001:db8:a5cb:d94a:d060:3f6b:3650:bc41",
    ),
    (
        "\"mac\"",
        texts,
        text("00-1b-44-11-3a-b7"),
        "02-ca-33-e0-3b-42",
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
        "+44 40 1829 3513",
    ),
    ("\"digits\"", texts, text("4711-0815-99"), "5664-7651-64"),
    ("\"digits\"", texts, text("AB-12"), "PV-48"),
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
        "583297354",
    ),
    (
        "\"iban\"",
        texts,
        text("GB82WEST12345698765432"),
        "GB82AZAG42501103344973",
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
        "a242d316-3fc8-1833-a029-5a84e3b187f5",
    ),
    (
        "\"hash\"",
        texts,
        text("ada"),
        "1fae1c2d6f0ddc4653f2b790bbca49b4",
    ),
    (
        "\"text\"",
        texts,
        text("Dear Ada, 1 of 3 für Zoë."),
        "Quos Sed, 0 ad 1 eos Non.",
    ),
    (
        "\"redact\"",
        texts,
        text("ada@lovelace.org or +44 20 7946 0958"),
        "mbqhxzz2qgd5@example.com or +98 13 0480 4313",
    ),
    ("\"date_shift\"", texts, text("1815-12-10"), "1815-11-14"),
    ("\"number_noise\"", texts, text("52000.00"), "50253.23"),
    (
        "{ kind = \"template\", template = \"{hash}\" }",
        texts,
        text("ada"),
        "1f2cf8248b11642b",
    ),
];
