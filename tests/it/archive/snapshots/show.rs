//! `snapshots show`, and how a snapshot is named.

use std::fs;

use super::json;
use crate::archive::shelf::{Draft, Shelf};

#[test]
fn a_snapshot_is_shown_with_its_tables_and_what_was_changed() {
    let shelf = Shelf::new();
    shelf.put(Draft::hours_ago(30));
    let name = shelf.put(Draft::hours_ago(2));
    let shown = shelf.run(&["show", &shelf.url(), "newest"]).expect(0);
    assert!(
        shown.stdout.starts_with(&format!("snapshot   {name}\n")),
        "{shown:?}"
    );
    shown.says(&[
        "origin     production, sqlite 3.45.1",
        "envsyncd 0.1.0 on db1",
        "alpha",
        "excluded: cache_x",
        "definitions/envsyncd.json.0000.zst: 21 B",
        "no key",
    ]);
    let show = json(
        shelf
            .run(&["show", &shelf.url(), &name, "--json"])
            .expect(0),
    );
    assert_eq!(show["snapshot"]["name"], name);
    assert_eq!(show["changes"][0]["fate"], "excluded");
    assert_eq!(show["tables"].as_array().unwrap().len(), 3);
    assert_eq!(show["tables"][0]["rows"], 20);
    let stored = shelf.file(&name, "rows/000000-alpha.0000.sql.zst");
    assert_eq!(
        show["tables"][0]["stored_bytes"],
        fs::metadata(stored).unwrap().len()
    );
}

#[test]
fn a_name_is_whole_or_enough_of_one() {
    let shelf = Shelf::new();
    let first = shelf.put(Draft::new("2026-01-01T00:00:00Z"));
    let second = shelf.put(Draft::new("2026-01-01T10:00:00Z"));
    let show = |name: &str| shelf.run(&["show", &shelf.url(), name]);
    for text in [first.as_str(), "20260101T00", &first[first.len() - 12..]] {
        show(text).expect(0).says(&[&format!("snapshot   {first}")]);
    }
    show("20260101T")
        .expect(2)
        .says(&["any of 2 snapshots", &first, &second]);
    show("push").expect(2).says(&["no snapshot `push`"]);
    let slip = first.replace("0101", "0102");
    show(&slip)
        .expect(2)
        .says(&[&format!("no snapshot `{slip}`"), "did you mean `20260101T"]);
    show("").expect(2);
    shelf
        .run(&["show", &shelf.url()])
        .expect(2)
        .says(&["NAME is missing"]);
    shelf.run(&["show", &shelf.url(), "a", "b"]).expect(2);
    shelf.put(Draft::new("2026-01-02T00:00:00Z").job("other"));
    show("newest").expect(1).says(&[
        "push (production, sqlite)",
        "other (production, sqlite)",
        "--job",
    ]);
    shelf
        .run(&["show", &shelf.url(), "newest", "--job", "push"])
        .expect(0)
        .says(&[&second]);
}
