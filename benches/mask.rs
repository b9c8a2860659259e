//! Kinds of masks, one core each: `cargo bench --bench mask -- [--only email,json] [--seconds 1]`.
//!
//! Each kind masks the same thousand invented values, of the sort that it is for, through a table's compiled masks, as rows are
//! masked in a copy. Megabytes are those of the values that are masked, so that short values make less of them.

// The contests' support serves here, too; not all of it is needed.
#[allow(dead_code)]
#[path = "../tests/it/support/mod.rs"]
mod support;

#[allow(dead_code)]
mod contest;

use std::time::{Duration, Instant};

use contest::arguments;
use envsyncd::mask::{Column, Key, Kind, Row, RowMask, Rule, Scratch, Type, Value};
use serde::Deserialize;

const VALUES: usize = 1000;

/// Megabytes a second that no kind is to be slower than, and those that read more closely.
const GOAL: f64 = 100.0;
const GOAL_OF_READERS: f64 = 40.0;

#[derive(Deserialize)]
struct Written {
    mask: Kind,
}

/// A mask, the type of its column, and the value of a number.
type Case = (&'static str, Type, fn(u64) -> String);

struct Single<'a>(&'a str, u64);

impl Row for Single<'_> {
    fn value(&self, _column: usize) -> Value<'_> {
        Value::text(self.0)
    }

    fn number(&self) -> u64 {
        self.1
    }
}

fn main() {
    let (mut only, mut seconds): (Option<Vec<String>>, f64) = (None, 1.0);
    arguments(|name, value| {
        match name {
            "--only" => only = Some(value.list()),
            "--seconds" => seconds = value.number(),
            "--quick" => seconds = 0.1,
            _ => return false,
        }
        true
    });
    let key = Key::new(b"a key for benchmarks, not for data").expect("a key");
    println!(
        "{:<18}{:>8}{:>10}{:>14}{:>8}",
        "kind", "bytes", "MB/s", "values/s", "goal"
    );
    for (written, of, value) in cases() {
        let kind = toml::from_str::<Written>(&format!("mask = {written}"))
            .expect("a kind")
            .mask;
        let name = kind.name();
        if only
            .as_ref()
            .is_some_and(|only| !only.iter().any(|one| one == name))
        {
            continue;
        }
        let column = Column {
            name: "it".to_owned(),
            kind: of,
            is_nullable: true,
        };
        let rule = Rule {
            column: "it".to_owned(),
            condition: None,
            kind,
        };
        let mask = RowMask::compile("people", &[column], &[rule], &key).expect("a mask");
        let values: Vec<String> = (0..VALUES as u64)
            .map(|number| value(mix(number)))
            .collect();
        let bytes: usize = values.iter().map(String::len).sum();
        let rounds = measure(&mask, &values, Duration::from_secs_f64(seconds));
        let goal = if ["json", "php_serialized", "redact"].contains(&name) {
            GOAL_OF_READERS
        } else {
            GOAL
        };
        println!(
            "{name:<18}{:>8}{:>10.0}{:>14.0}{goal:>8.0}",
            bytes / VALUES,
            rounds * bytes as f64 / 1e6,
            rounds * VALUES as f64
        );
    }
}

/// Rounds over all values in a second: by the median round, which nothing has interrupted. Rows come as many at a time as in a copy.
fn measure(mask: &RowMask, values: &[String], time: Duration) -> f64 {
    let rows: Vec<Single<'_>> = values
        .iter()
        .zip(1..)
        .map(|(value, number)| Single(value, number))
        .collect();
    let at_once = mask.at_once();
    let mut scratches: Vec<Scratch> = (0..at_once).map(|_| Scratch::default()).collect();
    let mut round = || {
        let begun = Instant::now();
        for rows in rows.chunks(at_once) {
            let scratches = &mut scratches[..rows.len()];
            mask.apply_all(rows, scratches).expect("masked rows");
            for scratch in scratches {
                std::hint::black_box(scratch.of(0));
            }
        }
        begun.elapsed().as_secs_f64()
    };
    round();
    let (begun, mut rounds) = (Instant::now(), Vec::new());
    while rounds.is_empty() || begun.elapsed() < time {
        rounds.push(round());
    }
    rounds.sort_by(f64::total_cmp);
    1.0 / rounds[rounds.len() / 2]
}

/// Another number, far from its neighbours.
fn mix(number: u64) -> u64 {
    (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 8
}

fn name(number: u64) -> String {
    const FIRST: [&str; 8] = [
        "Ada",
        "Charles",
        "Grace",
        "Alan",
        "Katherine",
        "Dennis",
        "Barbara",
        "Edsger",
    ];
    const LAST: [&str; 8] = [
        "Lovelace", "Babbage", "Hopper", "Turing", "Johnson", "Ritchie", "Liskov", "Dijkstra",
    ];
    format!(
        "{} {}",
        FIRST[number as usize % 8],
        LAST[number as usize / 8 % 8]
    )
}

fn sentence(number: u64) -> String {
    format!(
        "Dear {}, thank you for your letter of {} pages, which arrived on Monday. We shall answer as soon as we can, and by the \
         end of next week at the latest. Should you have further questions, do not hesitate to write to us again.",
        name(number),
        number % 100
    )
}

fn cases() -> Vec<Case> {
    let long = Type::Integer {
        bits: 64,
        is_signed: true,
    };
    vec![
        ("\"null\"", Type::TEXT, name),
        ("\"empty\"", Type::TEXT, name),
        ("{ kind = \"fixed\", value = \"active\" }", Type::TEXT, name),
        (
            "{ kind = \"template\", template = \"user_{hash}@example.com\" }",
            Type::TEXT,
            name,
        ),
        ("\"full_name\"", Type::TEXT, name),
        ("\"first_name\"", Type::TEXT, name),
        ("\"last_name\"", Type::TEXT, name),
        ("\"username\"", Type::TEXT, name),
        ("\"company\"", Type::TEXT, name),
        ("\"street\"", Type::TEXT, |number| {
            format!("{} {} Street", number % 200, name(number))
        }),
        ("\"city\"", Type::TEXT, name),
        ("\"postcode\"", Type::TEXT, |number| {
            format!("SW{}A {}AA", number % 10, number / 10 % 10)
        }),
        ("\"email\"", Type::TEXT, |number| {
            format!(
                "{}.{}@example.org",
                name(number).replace(' ', "."),
                number % 10_000
            )
        }),
        ("\"url\"", Type::TEXT, |number| {
            format!("https://www.example.org/people/{number}?tab=letters")
        }),
        ("\"ip\"", Type::TEXT, |number| {
            format!(
                "81.{}.{}.{}",
                number % 256,
                number / 256 % 256,
                number / 65_536 % 256
            )
        }),
        ("\"mac\"", Type::TEXT, |number| {
            format!(
                "00:1b:44:{:02x}:{:02x}:b7",
                number % 256,
                number / 256 % 256
            )
        }),
        ("\"phone\"", Type::TEXT, |number| {
            format!(
                "+44 20 {:04} {:04}",
                number % 10_000,
                number / 10_000 % 10_000
            )
        }),
        ("\"digits\"", Type::TEXT, |number| {
            format!("{:016}", number % 10_u64.pow(16))
        }),
        ("\"digits\"", long.clone(), |number| {
            (number % 1_000_000_000).to_string()
        }),
        ("\"iban\"", Type::TEXT, |number| {
            format!(
                "DE89 3704 0044 05{:02} 01{:02} 00",
                number % 100,
                number / 100 % 100
            )
        }),
        ("\"card\"", Type::TEXT, |number| {
            format!("4111 1111 {:04} 1111", number % 10_000)
        }),
        ("\"uuid\"", Type::Uuid, |number| {
            format!("6ba7b810-9dad-41d1-80b4-{:012x}", number % (1 << 48))
        }),
        ("\"hash\"", Type::TEXT, name),
        ("\"stars\"", Type::TEXT, name),
        ("\"text\"", Type::TEXT, sentence),
        ("\"redact\"", Type::TEXT, |number| {
            format!(
                "{} ada@lovelace.org, +44 20 7946 {:04}.",
                sentence(number),
                number % 10_000
            )
        }),
        (
            "{ kind = \"replace\", literal = { \"www.example.org\" = \"staging.example.org\" } }",
            Type::TEXT,
            |number| format!("{} https://www.example.org/{number}", sentence(number)),
        ),
        ("\"date_shift\"", Type::Timestamp, |number| {
            format!(
                "20{:02}-0{}-1{} 12:34:56.789",
                number % 30,
                1 + number % 9,
                number % 10
            )
        }),
        ("\"number_noise\"", long.clone(), |number| {
            (number % 1_000_000_000).to_string()
        }),
        ("{ kind = \"bucket\", size = 1000 }", long, |number| {
            (number % 1_000_000_000).to_string()
        }),
        (
            "{ kind = \"json\", paths = { \"user.email\" = \"email\", \"user.id\" = \"digits\" }, default = \"text\" }",
            Type::Json,
            |number| {
                format!(
                    "{{\"user\": {{\"id\": {number}, \"email\": \"a{number}@example.org\", \"name\": \"{}\"}}, \"state\": \"open\", \"note\": \"{}\"}}",
                    name(number),
                    sentence(number)
                )
            },
        ),
        (
            "{ kind = \"php_serialized\", paths = { email = \"email\" }, default = \"text\" }",
            Type::TEXT,
            |number| {
                let (name, note) = (name(number), sentence(number));
                format!(
                    "a:3:{{s:5:\"email\";s:15:\"ada@example.org\";s:4:\"name\";s:{}:\"{name}\";s:4:\"note\";s:{}:\"{note}\";}}",
                    name.len(),
                    note.len()
                )
            },
        ),
        ("\"bcrypt_fixed\"", Type::TEXT, name),
    ]
}
