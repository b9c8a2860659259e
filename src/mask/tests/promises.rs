//! What single kinds promise.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

const STRICT_DIGITS: &str = "{ kind = \"digits\", strict = true }";
const STRICT_PHONE: &str = "{ kind = \"phone\", strict = true }";
const LONG: Type = Type::Integer {
    bits: 64,
    is_signed: true,
};

fn integer(bench: &mut Bench, number: i128) -> i128 {
    match bench.of(Value::Integer(number)).unwrap() {
        Value::Integer(made) => made,
        other => panic!("{other:?}"),
    }
}

fn form(text: &str) -> String {
    let of = |c: char| match c {
        '0'..='9' => '0',
        'a'..='z' => 'a',
        'A'..='Z' => 'A',
        other => other,
    };
    text.chars().map(of).collect()
}

#[test]
fn no_two_short_numbers_become_one() {
    for (written, first) in [
        (STRICT_DIGITS, "00"),
        (STRICT_PHONE, "00"),
        (STRICT_PHONE, "+1"),
        (STRICT_PHONE, "0"),
    ] {
        let mut bench = Bench::new(written, Type::TEXT);
        let numbers = (0..3000).map(|number| format!("{first}{number:06}"));
        let made: HashSet<String> = numbers.map(|number| bench.text(&number)).collect();
        assert_eq!(made.len(), 3000, "{written} {first}");
    }
}

/// Numbers that begin with a zero and others must not meet: a part of each range, and all of it taken together.
#[test]
fn telephone_numbers_with_and_without_zeros_stay_apart() {
    let mut bench = Bench::new(STRICT_PHONE, Type::TEXT);
    let mut seen = HashSet::new();
    for number in (0..100_000_000).step_by(39_989) {
        let number = format!("{number:08}");
        let zeros = |text: &str| {
            text.bytes()
                .take_while(|digit| *digit == b'0')
                .count()
                .min(2)
        };
        let made = bench.text(&number);
        assert_eq!(zeros(&made), zeros(&number), "{number} {made}");
        assert!(seen.insert(made));
    }
}

#[test]
fn whole_numbers_stay_in_their_class_and_in_every_type_that_has_it() {
    let edges = [
        (0, (1 << 31) - 1),
        (1 << 31, (1 << 32) - 1),
        (1 << 32, (1 << 63) - 1),
        (1 << 63, (1 << 64) - 1),
        (-(1 << 31), -1),
        (-(1 << 32), -(1 << 31) - 1),
        (-(1 << 63), -(1 << 32) - 1),
    ];
    let mut bench = Bench::new("\"digits\"", LONG);
    for (least, greatest) in edges {
        let mut seen = HashSet::new();
        let step = (greatest - least) / 500;
        for number in (0..=500)
            .map(|at| least + at * step)
            .chain([greatest, least + 1])
        {
            let made = integer(&mut bench, number);
            assert!((least..=greatest).contains(&made), "{number} {made}");
            seen.insert(made);
        }
        assert!(seen.len() > 495, "{least}");
    }
    // As a text of a column of numbers, and in a shorter type.
    let made = integer(&mut bench, 4711);
    assert_eq!(bench.of(Value::text("4711")).unwrap(), Value::Integer(made));
    let short = Type::Integer {
        bits: 32,
        is_signed: true,
    };
    assert_eq!(integer(&mut Bench::new("\"digits\"", short), 4711), made);
}

proptest! {
    #[test]
    fn two_rows_of_digits_stay_two(a in "[0-9]{6,38}", b in "[0-9]{6,38}") {
        let mut bench = Bench::new(STRICT_DIGITS, Type::TEXT);
        let (made_a, made_b) = (bench.text(&a), bench.text(&b));
        prop_assert_eq!(made_a.len(), a.len());
        prop_assert_eq!(a == b, made_a == made_b);
    }

    #[test]
    fn two_whole_numbers_stay_two(a: i64, b: i64) {
        let mut bench = Bench::new("\"digits\"", LONG);
        let (made_a, made_b) = (integer(&mut bench, a.into()), integer(&mut bench, b.into()));
        prop_assert_eq!(a == b, made_a == made_b);
        prop_assert!(i64::try_from(made_a).is_ok());
    }

    #[test]
    fn two_uuids_stay_two_and_keep_version_and_variant(a: u128, bit in 0..128) {
        let mut bench = Bench::new("\"uuid\"", Type::Uuid);
        let b = a ^ (1_u128 << bit);
        let read = |text: String| uuid::Uuid::parse_str(&text).unwrap();
        let (met_a, met_b) = (uuid::Uuid::from_u128(a), uuid::Uuid::from_u128(b));
        let made_a = read(bench.text(&met_a.to_string()));
        let made_b = read(bench.text(&met_b.to_string()));
        prop_assert_ne!(made_a, made_b);
        prop_assert_eq!(made_a.get_version_num(), met_a.get_version_num());
        prop_assert_eq!(made_a.as_u128() >> 62 & 3, a >> 62 & 3);
        // The same in capitals, in braces and in bytes.
        prop_assert_eq!(bench.text(&format!("{{{}}}", met_a.simple())), format!("{{{}}}", made_a.simple()));
        let mut bytes = Bench::new("\"uuid\"", Type::Bytes { longest: Some(16) });
        prop_assert_eq!(bytes.of(Value::Bytes(met_a.as_bytes())).unwrap(), Value::Bytes(made_a.as_bytes()));
    }

    #[test]
    fn ibans_stay_ibans(country in "[A-Z]{2}", rest in "[A-Z0-9]{11,30}", blanks: bool) {
        let check = |country: &str, check: &str, rest: &str| {
            let digits: String = format!("{rest}{country}{check}")
                .chars()
                .map(|c| c.to_digit(36).unwrap().to_string())
                .collect();
            digits.bytes().fold(0, |sum, digit| (sum * 10 + u32::from(digit - b'0')) % 97)
        };
        let right = 98 - check(&country, "00", &rest);
        let mut iban = format!("{country}{right:02}{rest}");
        if blanks {
            iban.insert(4, ' ');
        }
        let made = masked("\"iban\"", &iban);
        prop_assert_eq!(form(&made), form(&iban));
        let plain = made.replace(' ', "");
        prop_assert_eq!(&plain[..2], &country);
        prop_assert_eq!(check(&plain[..2], &plain[2..4], &plain[4..]), 1);
    }

    #[test]
    fn cards_keep_luhn(card in "[0-9]{8,19}") {
        let made = masked("\"card\"", &card);
        let sum: u32 = made
            .bytes()
            .rev()
            .enumerate()
            .map(|(at, digit)| {
                let digit = u32::from(digit - b'0') * if at % 2 == 1 { 2 } else { 1 };
                digit / 10 + digit % 10
            })
            .sum();
        prop_assert_eq!(sum % 10, 0);
        prop_assert_eq!(made.len(), card.len());
    }

    #[test]
    fn what_keeps_its_shape_keeps_it(text in "\\PC{0,60}", ascii in "[ -~\n]{1,60}") {
        let characters = |text: &str| text.chars().count();
        prop_assert_eq!(characters(&masked("\"stars\"", &text)), characters(&text));
        for written in ["\"text\"", "\"digits\"", "\"postcode\""] {
            prop_assert_eq!(form(&masked(written, &ascii)), form(&ascii), "{}", written);
        }
    }

    #[test]
    fn dates_stay_dates_and_are_never_the_same(days in -700_000_i64..2_900_000, most in 1_i64..3650, time in "( [0-2][0-9]:00:00(\\+02)?)?") {
        let date = chrono::DateTime::from_timestamp(days * 86_400, 0).unwrap().date_naive();
        let met = format!("{date}{time}");
        let made = masked(&format!("{{ kind = \"date_shift\", days = {most} }}"), &met);
        let (made, rest) = made.split_at(10);
        let made: chrono::NaiveDate = made.parse().unwrap();
        let days = (made - date).num_days().abs();
        prop_assert!(days > 0 && days <= most, "{} {}", met, made);
        prop_assert_eq!(rest, time);
    }

    #[test]
    fn noise_is_within_its_percents(number in -1_000_000_000_i64..1_000_000_000, percent in 1_i64..=100) {
        let mut bench = Bench::new(&format!("{{ kind = \"number_noise\", percent = {percent} }}"), LONG);
        let made = integer(&mut bench, number.into()) as i64;
        let most = (number.abs() * percent / 100).max(1);
        prop_assert!((made - number).abs() <= most);
        prop_assert_eq!(made == number, number == 0);
    }

    #[test]
    fn a_bucket_is_where_its_numbers_are(number: i32, size in 1_i64..10_000) {
        let mut bench = Bench::new(&format!("{{ kind = \"bucket\", size = {size} }}"), LONG);
        let made = integer(&mut bench, number.into()) as i64;
        prop_assert_eq!(made % size, 0);
        prop_assert!((0..size).contains(&(i64::from(number) - made)));
    }
}

#[test]
fn dates_that_are_nobody_s_stay_and_what_is_no_date_does_not() {
    for special in ["infinity", "-infinity", "0000-00-00", "0000-00-00 00:00:00"] {
        assert_eq!(masked("\"date_shift\"", special), special);
    }
    for other in [
        "yesterday",
        "2024-13-01",
        "0044-03-15 BC",
        "2024-02-29 Ada Lovelace",
    ] {
        assert_eq!(masked("\"date_shift\"", other), "1970-01-01");
    }
    // A TIMESTAMP of MySQL ends in January 2038.
    for date in ["2037-12-31 23:59:59", "1971-01-01 00:00:00"] {
        let made = masked("{ kind = \"date_shift\", days = 3650 }", date);
        assert!(
            ("1970-01-02".."2038-01-01").contains(&&made[..10]),
            "{made}"
        );
    }
}

#[test]
fn an_address_is_never_one_that_gets_mail() {
    for value in [
        "ada@lovelace.org",
        "Ada",
        "@",
        "ada@",
        "ada@gov.uk",
        "ada@sub.gov.uk",
        "ada@GOV.UK",
    ] {
        let made = masked("{ kind = \"email\", keep_domains = [\"gov.uk\"] }", value);
        let (local, domain) = made.split_once('@').unwrap();
        assert_eq!(local.len(), 12, "{made}");
        let is_kept = value.to_lowercase().ends_with("@gov.uk");
        assert_eq!(
            domain,
            if is_kept { "gov.uk" } else { "example.com" },
            "{value}"
        );
    }
}

#[test]
fn a_host_that_stays_keeps_nothing_but_itself() {
    let with = "{ kind = \"url\", keep_hosts = [\"www.gov.uk\"] }";
    let kept = masked(with, "http://www.gov.uk:8080/ada?token=1#x");
    assert!(
        kept.starts_with("http://www.gov.uk:8080/") && !kept.contains("ada"),
        "{kept}"
    );
    for other in [
        "https://www.gov.uk.evil.test/ada",
        "https://ada@www.gov.uk/",
        "https://www.gov.uk:secret@x.test/",
        "mailto:ada@lovelace.org",
        "javascript:alert(1)",
    ] {
        let made = masked(with, other);
        assert!(made.starts_with("https://example.com/"), "{other}: {made}");
    }
}

#[test]
fn addresses_of_hosts_are_private_or_documentation_s() {
    let mut networks = Bench::new("\"ip\"", Type::Inet { is_network: true });
    for value in [
        "81.2.69.142",
        "81.2.69.142/24",
        "::1",
        "2a00:23c4::1/64",
        "Ada",
        "300.1.1.1",
    ] {
        let made = masked("\"ip\"", value);
        let (address, prefix) = made
            .split_once('/')
            .map_or((&*made, ""), |(address, prefix)| (address, prefix));
        let is_six = value.contains(':');
        assert!(
            address.starts_with(if is_six { "2001:db8:" } else { "10." }),
            "{made}"
        );
        assert!(address.parse::<std::net::IpAddr>().is_ok(), "{made}");
        assert_eq!(
            prefix,
            value.split_once('/').map_or("", |(_, prefix)| prefix)
        );
    }
    assert!(networks.text("81.2.69.0/24").ends_with(".0/24"));
    assert!(networks.text("2a00:23c4:1::/48").ends_with("::/48"));
    assert!(networks.text("0.0.0.0/0").ends_with("0.0.0.0/0"));
}

#[test]
fn hardware_addresses_keep_their_notation() {
    for value in [
        "00:1b:44:11:3a:b7",
        "00-1B-44-11-3A-B7",
        "001b.4411.3ab7",
        "00:1b:44:ff:fe:11:3a:b7",
        "Ada",
    ] {
        let made = masked("\"mac\"", value);
        assert!(made.starts_with("02"), "{made}");
        if value != "Ada" {
            let signs = |text: &str| text.replace(|c: char| c.is_ascii_hexdigit(), "0");
            assert_eq!(signs(&made), signs(value));
        }
    }
}

#[test]
fn documents_keep_their_form_and_lose_their_values() {
    let with = "{ kind = \"json\", paths = { \"user.email\" = \"email\", \"user.id\" = \"digits\", keep = { kind = \"fixed\", value = 0 } }, \
                default = \"stars\" }";
    let met = "{ \"user\" : {\"email\": \"ada@lovelace.org\", \"id\": 7, \"name\": \"Zo\\u00eb \\\"Z\\\"\"},\n \"keep\": 9.50, \"on\": true, \"none\": null, \
               \"list\": [1, \"\", {\"a\": -1.5e3}] }";
    let made = masked(with, met);
    let email = masked("\"email\"", "ada@lovelace.org");
    let mut bench = Bench::new("\"digits\"", LONG);
    let id = integer(&mut bench, 7);
    assert_eq!(
        made,
        format!(
            "{{ \"user\" : {{\"email\": \"{email}\", \"id\": {id}, \"name\": \"*******\"}},\n \"keep\": 0, \"on\": \"****\", \"none\": null, \
             \"list\": [\"*\", \"\", {{\"a\": \"******\"}}] }}"
        )
    );
    let keys = "{ kind = \"json\", paths = { \"a.b\" = \"null\" } }";
    assert_eq!(
        masked(keys, "{\"a\":{\"b\":[1,\"x\"],\"c\":\"stays\"}}"),
        "{\"a\":{\"b\":[null,null],\"c\":\"stays\"}}"
    );
    for broken in [
        "{",
        "{\"a\" 1}",
        "[1,]",
        "nul",
        "01",
        "\"a",
        "{} x",
        "Ada",
        "[\"\\x\"]",
        "\"\u{1}\"",
        &"[".repeat(500),
    ] {
        assert_eq!(masked(with, broken), "null", "{broken}");
    }
}

#[test]
fn serialized_values_have_the_lengths_that_they_say() {
    let with = "{ kind = \"php_serialized\", paths = { email = \"email\", \"who.name\" = { kind = \"fixed\", value = \"Zoë\" } }, default = \"stars\" }";
    let met = "a:5:{s:5:\"email\";s:16:\"ada@lovelace.org\";i:0;d:1.5;s:3:\"who\";O:3:\"Who\":2:{s:4:\"name\";s:3:\"Ada\";s:5:\"\0*\0id\";i:42;}\
               s:1:\"n\";N;s:1:\"r\";R:2;}";
    let email = masked("\"email\"", "ada@lovelace.org");
    assert_eq!(
        masked(with, met),
        format!(
            "a:5:{{s:5:\"email\";s:24:\"{email}\";i:0;s:3:\"***\";s:3:\"who\";O:3:\"Who\":2:{{s:4:\"name\";s:4:\"Zoë\";s:5:\"\0*\0id\";s:2:\"**\";}}\
             s:1:\"n\";N;s:1:\"r\";R:2;}}"
        )
    );
    for broken in [
        "",
        "a:1:{",
        "s:5:\"Ada\";",
        "s:3:\"Ada\"",
        "i:x;",
        "C:1:\"A\":0:{}",
        "Ada Lovelace",
        "a:99999999999999999999:{}",
        "N;N;",
    ] {
        let made = Bench::new(with, Type::TEXT)
            .of(Value::text(broken))
            .map(shown)
            .unwrap();
        assert_eq!(made, if broken.is_empty() { "" } else { "N;" }, "{broken}");
    }
}

#[test]
fn what_is_no_text_in_a_serialized_value_stays_none_if_it_can() {
    let with = |default: &str| format!("{{ kind = \"php_serialized\", default = {default} }}");
    let met = "a:5:{i:0;i:12;i:1;d:1.50;i:2;b:1;i:3;N;i:4;s:2:\"12\";}";
    let hosts = with("{ kind = \"replace\", literal = { x = \"y\" } }");
    assert_eq!(masked(&hosts, met), met);
    let numbers = with("{ kind = \"replace\", literal = { 12 = \"-7\" } }");
    assert_eq!(
        masked(&numbers, met),
        "a:5:{i:0;i:-7;i:1;d:1.50;i:2;b:1;i:3;N;i:4;s:2:\"-7\";}"
    );
    let texts = with("{ kind = \"replace\", literal = { 12 = \"07\", \".5\" = \"x\" } }");
    assert_eq!(
        masked(&texts, met),
        "a:5:{i:0;s:2:\"07\";i:1;s:3:\"1x0\";i:2;b:1;i:3;N;i:4;s:2:\"07\";}"
    );
}

#[test]
fn free_text_loses_addresses_and_numbers_and_nothing_else() {
    let email = masked("\"email\"", "ada@lovelace.org");
    let digits = masked("\"digits\"", "44 20 7946 0958");
    assert_eq!(
        masked(
            "\"redact\"",
            "Dear Ada <ada@lovelace.org>, 12 of 345: +44 20 7946 0958."
        ),
        format!("Dear Ada <{email}>, 12 of 345: +{digits}.")
    );
    assert_eq!(
        masked("\"redact\"", "nothing @ all, 12345"),
        "nothing @ all, 12345"
    );
}

#[test]
fn literals_are_replaced_in_one_pass_the_longest_first() {
    let with = "{ kind = \"replace\", literal = { a = \"b\", b = \"a\", \"ab\" = \"c\" } }";
    assert_eq!(masked(with, "a b ab"), "b a c");
    assert_eq!(
        masked(
            "{ kind = \"replace\", pattern = \"(\\\\d)-\", with = \"$1+\" }",
            "1-2-3"
        ),
        "1+2+3"
    );
    assert!(!kind(with).is_cover());
}

#[test]
fn no_number_stays_as_a_whole_however_much_of_it_is_kept() {
    for (written, value) in [
        ("{ kind = \"digits\", keep_last = 4 }", "1234"),
        (
            "{ kind = \"digits\", keep_first = 9, keep_last = 9 }",
            "12345678",
        ),
        ("{ kind = \"card\", keep_first = 99 }", "4111111111111111"),
    ] {
        assert_ne!(masked(written, value), value);
    }
    let made = masked(
        "{ kind = \"digits\", keep_first = 2, keep_last = 3 }",
        "12-345678-901",
    );
    assert!(
        made.starts_with("12-") && made.ends_with("-901") && made != "12-345678-901",
        "{made}"
    );
}
