//! What is written can be read, says something of every column once, and nothing twice.

use super::*;
use crate::mask::Kind as MaskKind;
use crate::mask::detect::{Class, Confidence};
use crate::run::scan::Found;
use serde::Deserialize as _;

fn column(name: &str, kind: Option<&str>) -> ColumnScan {
    ColumnScan {
        name: name.to_owned(),
        type_name: "text".to_owned(),
        found: kind.map(|kind| Found {
            looks_like: Class::Email,
            confidence: Confidence::Likely,
            why: vec!["its name".to_owned()],
            kind: kind.to_owned(),
            leaves_parts: kind.contains("redact"),
        }),
        covered: Covered::Nothing,
        refers_to: None,
    }
}

fn table(name: &str, root: &str, columns: Vec<ColumnScan>) -> TableScan {
    TableScan {
        name: name.to_owned(),
        root: root.to_owned(),
        rows: 10,
        columns,
    }
}

fn task(tables: Vec<TableScan>) -> TaskScan {
    TaskScan {
        name: "database".to_owned(),
        kind: "postgresql".to_owned(),
        tables,
        left_out: Vec::new(),
    }
}

fn day() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 11, 29).unwrap()
}

#[test]
fn every_column_is_written_once_and_the_second_time_only_what_is_new() {
    let mut users = vec![
        column("id", None),
        column("e mail", Some("\"email\"")),
        column("notes", Some("\"redact\"")),
        column(
            "data",
            Some("{ kind = \"json\", paths = { \"a.b\" = \"email\" } }"),
        ),
    ];
    let mut known = column("phone", Some("\"phone\""));
    known.covered = Covered::Mask {
        kind: "phone".to_owned(),
    };
    users.push(known);
    let mut tables = vec![table("public.users", "public.users", users)];
    let (first, masked, passed) = addition(&task(tables.clone()), "", day()).unwrap();
    assert_eq!((masked, passed), (3, 2));
    assert!(!first.contains("phone"), "{first}");
    let read: toml::Table = toml::from_str(&first).unwrap();
    let mask = &read["mask"][0];
    assert_eq!(mask["table"].as_str(), Some("public.users"));
    for (name, kind) in mask["columns"].as_table().unwrap() {
        assert!(MaskKind::deserialize(kind.clone()).is_ok(), "{name}");
    }
    assert_eq!(read["pass"][0]["columns"][0].as_str(), Some("id"));
    assert_eq!(
        read["pass"][0]["reason"].as_str(),
        Some("looks like no personal data (scanned 2026-11-29)")
    );
    assert_eq!(read["pass"][1]["columns"][0].as_str(), Some("notes"));

    assert_eq!(
        addition(&task(tables.clone()), &first, day()).unwrap().0,
        ""
    );
    tables[0].columns.push(column("fax", Some("\"phone\"")));
    let (second, masked, passed) = addition(&task(tables), &first, day()).unwrap();
    assert_eq!((masked, passed), (1, 0));
    assert!(
        toml::from_str::<toml::Table>(&format!("{first}{second}")).is_ok(),
        "{second}"
    );
    let wrong = addition(&task(Vec::new()), "no TOML", day()).unwrap_err();
    assert_eq!(wrong.kind(), Kind::Config);
}

#[test]
fn partitions_are_written_as_the_table_that_they_are_of() {
    let part = |name: &str, kind| table(name, "public.events", vec![column("who", kind)]);
    let parts = vec![
        part("public.events_1", None),
        part("public.events_2", Some("\"email\"")),
    ];
    let (text, masked, passed) = addition(&task(parts), "", day()).unwrap();
    assert_eq!((masked, passed), (1, 0));
    assert!(text.contains("table = \"public.events\""), "{text}");
}

#[test]
fn what_refers_to_a_masked_column_follows_it_and_needs_no_mask_of_its_own() {
    let mut letters = vec![
        column("to_email", Some("\"email\"")),
        column("user_id", None),
    ];
    letters[0].refers_to = Some(("users".to_owned(), "email".to_owned()));
    letters[1].refers_to = Some(("users".to_owned(), "id".to_owned()));
    let users = vec![column("id", None), column("email", Some("\"email\""))];
    let all = vec![
        table("letters", "letters", letters),
        table("users", "users", users),
    ];
    let (text, masked, _) = addition(&task(all), "", day()).unwrap();
    assert_eq!(masked, 1);
    assert!(!text.contains("to_email"), "{text}");
    assert!(text.contains("refers to users.id"), "{text}");
}
