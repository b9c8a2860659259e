//! `snapshots verify`.

use std::fs;

use super::json;
use crate::archive::shelf::{BLOCK, Draft, Shelf, flip};

/// What `verify` says of a snapshot that is bad: one line for each thing.
#[track_caller]
fn bad(shelf: &Shelf, name: &str, expected: &[&str]) {
    let outcome = shelf.run(&["verify", &shelf.url(), name]).expect(1);
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    assert_eq!(lines.len(), expected.len(), "{outcome:?}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.starts_with(&format!("{name}: BAD: ")), "{line}");
        assert!(line.contains(expected), "{expected} in {line}");
    }
}

#[test]
fn what_was_written_is_verified_as_good() {
    let shelf = Shelf::new();
    let old = shelf.put(
        Draft::hours_ago(20)
            .kind(envsyncd::store::mysql::KIND)
            .file("empty", Vec::new()),
    );
    let new = shelf.put(Draft::hours_ago(2));
    let outcome = shelf.run(&["verify", &shelf.url(), &new]).expect(0);
    assert!(
        outcome
            .stdout
            .starts_with(&format!("{new}: good: 4 files, ")),
        "{outcome:?}"
    );
    let outcome = shelf.run(&["verify", &shelf.url(), "--all"]).expect(0);
    assert_eq!(outcome.stdout.lines().count(), 2, "{outcome:?}");
    outcome.says(&[&format!("{old}: good: 5 files, ")]);
    // What is in the way of nobody is worth a word.
    fs::write(shelf.file(&new, "rows/notes.txt"), "by hand").unwrap();
    shelf.run(&["verify", &shelf.url(), &new]).expect(0).says(&[
        &format!("{new}: warning: rows/notes.txt: "),
        &format!("{new}: good"),
    ]);
    let report = json(
        shelf
            .run(&["verify", &shelf.url(), &new, "--json"])
            .expect(0),
    );
    assert_eq!(report["snapshots"][0]["good"], true);
    assert_eq!(
        report["snapshots"][0]["warnings"][0]["path"],
        "rows/notes.txt"
    );
}

#[test]
fn whatever_was_done_to_a_file_is_found_and_named() {
    let shelf = Shelf::new();
    let (alpha, beta) = (
        "rows/000000-alpha.0000.sql.zst",
        "rows/000001-beta.0000.sql.zst",
    );
    let fresh = || shelf.put(Draft::hours_ago(2));
    let changed = fresh();
    flip(&shelf.file(&changed, alpha), 2 * BLOCK + 1);
    bad(&shelf, &changed, &[&format!("{alpha}: block 3 of ")]);
    let truncated = fresh();
    let content = fs::read(shelf.file(&truncated, beta)).unwrap();
    fs::write(shelf.file(&truncated, beta), &content[..BLOCK]).unwrap();
    bad(
        &shelf,
        &truncated,
        &[&format!(
            "{beta}: it has 16 bytes instead of {}",
            content.len()
        )],
    );
    let missing = fresh();
    fs::remove_file(shelf.file(&missing, alpha)).unwrap();
    bad(&shelf, &missing, &[&format!("{alpha}: it is not there")]);
    let swapped = shelf.put(
        Draft::hours_ago(2)
            .file("one", vec![1; 40])
            .file("two", vec![2; 40]),
    );
    let (one, two) = (
        "rows/000003-one.0000.sql.zst",
        "rows/000004-two.0000.sql.zst",
    );
    let between = shelf.bed.path("between");
    fs::rename(shelf.file(&swapped, one), &between).unwrap();
    fs::rename(shelf.file(&swapped, two), shelf.file(&swapped, one)).unwrap();
    fs::rename(&between, shelf.file(&swapped, two)).unwrap();
    bad(
        &shelf,
        &swapped,
        &[
            &format!("{one}: block 1 of 3"),
            &format!("{two}: block 1 of 3"),
        ],
    );
    let good = fresh();
    let outcome = shelf.run(&["verify", &shelf.url(), "--all"]).expect(1);
    assert_eq!(outcome.stdout.lines().count(), 6, "{outcome:?}");
    outcome.says(&[&format!("{good}: good"), &format!("{changed}: BAD: ")]);
    let report = json(
        shelf
            .run(&["verify", &shelf.url(), &missing, "--json"])
            .expect(1),
    );
    assert_eq!(report["snapshots"][0]["problems"][0]["path"], alpha);
}

#[test]
fn whatever_was_done_to_a_manifest_is_found() {
    let shelf = Shelf::new();
    let good = shelf.put(Draft::new("2026-01-01T00:00:00Z"));
    let damaged = shelf.put(Draft::new("2026-01-02T00:00:00Z"));
    let manifest = shelf.file(&damaged, "manifest.json");
    let honest = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, &honest[..honest.len() / 2]).unwrap();
    bad(
        &shelf,
        &damaged,
        &["manifest.json: the manifest is damaged"],
    );
    // Nothing that it says leads out of its folder.
    fs::write(
        &manifest,
        honest.replace("rows/000000-alpha", "../../x/alpha"),
    )
    .unwrap();
    bad(
        &shelf,
        &damaged,
        &["manifest.json: the manifest is damaged"],
    );
    fs::write(
        &manifest,
        honest.replacen("\"version\": 1", "\"version\": 3", 1),
    )
    .unwrap();
    bad(&shelf, &damaged, &["manifest.json: its format is 3"]);
    fs::copy(shelf.file(&good, "manifest.json"), &manifest).unwrap();
    bad(
        &shelf,
        &damaged,
        &[&format!("manifest.json: its manifest is that of {good}")],
    );
    fs::write(&manifest, "").unwrap();
    let newest = shelf.run(&["verify", &shelf.url()]).expect(1);
    newest.says(&[
        &format!("{damaged}: BAD: manifest.json"),
        &format!("{good}: good"),
    ]);
    fs::remove_file(&manifest).unwrap();
    shelf
        .run(&["verify", &shelf.url()])
        .expect(0)
        .says(&[&format!("{good}: good")]);
    shelf
        .run(&["verify", &shelf.url(), &damaged])
        .expect(1)
        .says(&["has no manifest"]);
    shelf.run(&["verify", &shelf.url(), &good]).expect(0);
}
