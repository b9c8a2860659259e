//! `snapshots list`.

use std::fs;

use serde_json::Value;

use super::json;
use crate::archive::shelf::{Draft, Shelf};

#[test]
fn a_list_has_all_there_is_newest_first() {
    let shelf = Shelf::new();
    let old = shelf.put(Draft::hours_ago(50));
    let new = shelf.put(Draft::hours_ago(3));
    let other = shelf.put(Draft::hours_ago(20).job("other").origin("staging"));
    let outcome = shelf.run(&["list", &shelf.url()]).expect(0);
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    assert_eq!(lines.len(), 4, "{outcome:?}");
    for (line, name) in lines[1..].iter().zip([&new, &other, &old]) {
        assert!(line.starts_with(name.as_str()), "{line}");
        assert!(
            line.contains("sqlite 3.45.1") && line.ends_with("complete"),
            "{line}"
        );
    }
    assert!(
        lines[1].contains("3h ago") && lines[1].contains("60"),
        "{}",
        lines[1]
    );
    assert!(
        lines[2].contains("other") && lines[2].contains("staging"),
        "{}",
        lines[2]
    );
    let only = shelf
        .run(&["list", &shelf.url(), "--job", "other"])
        .expect(0);
    assert_eq!(only.stdout.lines().count(), 2, "{only:?}");
}

#[test]
fn a_list_says_what_is_wrong_and_what_is_not_finished() {
    let shelf = Shelf::new();
    let good = shelf.put(Draft::new("2026-01-01T00:00:00Z"));
    let damaged = shelf.put(Draft::new("2026-01-02T00:00:00Z"));
    fs::write(shelf.file(&damaged, "manifest.json"), "{\"version\": 1").unwrap();
    let newer = shelf.put(Draft::new("2026-01-03T00:00:00Z"));
    fs::write(shelf.file(&newer, "manifest.json"), "{\"version\": 7}").unwrap();
    let replayed = shelf.put(Draft::new("2026-01-04T00:00:00Z"));
    fs::copy(
        shelf.file(&good, "manifest.json"),
        shelf.file(&replayed, "manifest.json"),
    )
    .unwrap();
    let unfinished = shelf.put(Draft::new("2026-01-05T00:00:00Z"));
    shelf.unfinish(&unfinished, "db7", 4242);
    shelf.run(&["list", &shelf.url()]).expect(0).says(&[
        &format!("{damaged}: the manifest is damaged"),
        &format!("{newer}: its format is 7, and this envsyncd reads up to 2"),
        &format!("{replayed}: its manifest is that of {good}"),
        &format!("{unfinished}: not finished: process 4242 on db7"),
    ]);
    let list = json(shelf.run(&["list", &shelf.url(), "--json"]).expect(0));
    assert_eq!(list["archive"], shelf.url());
    let states: Vec<(&str, &str)> = list["snapshots"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["name"].as_str().unwrap(),
                one["state"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        states,
        [
            (replayed.as_str(), "misnamed"),
            (&newer, "newer"),
            (&damaged, "damaged"),
            (&good, "complete"),
        ]
    );
    let whole = &list["snapshots"][3];
    assert_eq!(
        (&whole["rows"], &whole["origin"]),
        (&60.into(), &"production".into())
    );
    assert_eq!(
        (&whole["kind"], &whole["taken_at"]),
        (&"sqlite".into(), &"2026-01-01T00:00:00Z".into())
    );
    assert_eq!(
        (&whole["authentic"], &whole["problem"]),
        (&Value::Null, &"".into())
    );
    assert_eq!(list["snapshots"][0]["rows"], Value::Null);
    assert_eq!(list["unfinished"][0]["name"], unfinished);
    assert_eq!(list["unfinished"][0]["pid"], 4242);
}
