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
    ("\"full_name\"", texts, text("Ada Lovelace"), "Frank Dare"),
    (
        "{ kind = \"full_name\", language = \"de\" }",
        texts,
        text("Ada Lovelace"),
        "Gerda Günther",
    ),
    ("\"first_name\"", texts, text("Ada"), "Trinity"),
    (
        "{ kind = \"last_name\", language = \"fr\" }",
        texts,
        text("Lovelace"),
        "Cohen",
    ),
    ("\"username\"", texts, text("ada"), "icie_zdxeruxgft"),
    (
        "\"company\"",
        texts,
        text("Analytical Engines"),
        "Kozey Inc",
    ),
    (
        "{ kind = \"street\", language = \"nl\" }",
        texts,
        text("12 St James's Square"),
        "van Loonlaan 154",
    ),
    (
        "{ kind = \"city\", language = \"it\" }",
        texts,
        text("London"),
        "Villa Moretti",
    ),
    ("\"postcode\"", texts, text("SW1A 1AA"), "EK2Q 7TR"),
    (
        "\"email\"",
        texts,
        text("ada@lovelace.org"),
        "yz2nnb73uu3n@example.com",
    ),
    (
        "\"url\"",
        texts,
        text("http://lovelace.org/ada"),
        "http://example.com/hkyxs7hjru7yk",
    ),
    ("\"ip\"", texts, text("81.2.69.142"), "10.93.115.114"),
    (
        "\"ip\"",
        texts,
        text("2a00:23c4::1"),
        "2001:db8:2f4d:a0db:f781:e5f:e13d:2348",
    ),
    (
        "\"mac\"",
        texts,
        text("00-1b-44-11-3a-b7"),
        "02-15-72-6d-34-11",
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
        "+44 36 4329 1357",
    ),
    ("\"digits\"", texts, text("4711-0815-99"), "5664-7651-64"),
    ("\"digits\"", texts, text("AB-12"), "KD-24"),
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
        "1644361535",
    ),
    (
        "\"iban\"",
        texts,
        text("GB82WEST12345698765432"),
        "GB88XXNT42501103344973",
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
        "86658e15-c51b-1430-8ff1-3d2002f129e6",
    ),
    (
        "\"hash\"",
        texts,
        text("ada"),
        "15fa9501f1dc8a430da7936ab20de0b0",
    ),
    (
        "\"text\"",
        texts,
        text("Dear Ada, 1 of 3 für Zoë."),
        "Quia Qui, 2 ut 1 vel Est.",
    ),
    (
        "\"redact\"",
        texts,
        text("ada@lovelace.org or +44 20 7946 0958"),
        "yz2nnb73uu3n@example.com or +98 13 0480 4313",
    ),
    ("\"date_shift\"", texts, text("1815-12-10"), "1815-12-14"),
    ("\"number_noise\"", texts, text("52000.00"), "53821.41"),
    (
        "{ kind = \"template\", template = \"{hash}\" }",
        texts,
        text("ada"),
        "68f23b3995ba59b2",
    ),
];
