//! Which snapshot a pull takes.

use std::sync::Arc;

use envsyncd::archive::mac::Key;
use envsyncd::archive::snapshots::{Chosen, Snapshots, Which};
use envsyncd::config::archive::Wanted;
use envsyncd::error::{Error, Kind};
use secrecy::SecretString;

use super::shelf::{Draft, KEY, Shelf, flip};

const MINE: Which<'_> = Which {
    job: Some("push"),
    origin: None,
    kind: Some(envsyncd::store::sqlite::KIND),
};

fn choose(
    shelf: &Shelf,
    key: Option<&str>,
    wanted: &Wanted,
    which: &Which<'_>,
) -> Result<Chosen, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let endpoint = crate::support::endpoint(&shelf.url());
        let bucket =
            envsyncd::archive::bucket::Bucket::open(&endpoint, &(Arc::new(|_: &str| None) as _))
                .await?;
        let key = key.map(|key| Key::new(&SecretString::from(key)).unwrap());
        Snapshots::new(bucket, key).choose(wanted, which).await
    })
}

fn newest(shelf: &Shelf, which: &Which<'_>) -> Result<String, Error> {
    choose(shelf, None, &Wanted::Newest, which).map(|chosen| chosen.name.to_string())
}

#[test]
fn the_newest_whole_one_is_taken_and_an_unfinished_one_is_none() {
    let shelf = Shelf::new();
    assert_eq!(newest(&shelf, &MINE).unwrap_err().kind(), Kind::Absent);
    shelf.put(Draft::new("2026-01-01T00:00:00Z"));
    let wanted = shelf.put(Draft::new("2026-01-03T00:00:00Z"));
    shelf.put(Draft::new("2026-01-02T00:00:00Z"));
    let unfinished = shelf.put(Draft::new("2026-01-04T00:00:00Z"));
    shelf.unfinish(&unfinished, "db1", 1);
    std::fs::create_dir(shelf.path().join("lost+found")).unwrap();
    std::fs::write(shelf.path().join("README"), "by hand").unwrap();
    assert_eq!(newest(&shelf, &MINE).unwrap(), wanted);
}

#[test]
fn within_a_second_it_is_the_one_whose_data_is_newest() {
    let shelf = Shelf::new();
    let mut names = std::collections::BTreeMap::new();
    // Their names sort by the runs' ids, which tell nothing.
    for tenth in [3, 8, 1, 9, 0, 5, 7] {
        let name = shelf.put(Draft::new(&format!("2026-01-01T00:00:00.{tenth}Z")));
        names.insert(tenth, name);
    }
    shelf.put(Draft::new("2025-12-31T23:59:59.999Z"));
    assert_eq!(newest(&shelf, &MINE).unwrap(), names[&9]);
}

#[test]
fn of_a_time_it_is_the_newest_that_is_not_younger() {
    let shelf = Shelf::new();
    let first = shelf.put(Draft::new("2026-01-01T12:00:00Z"));
    let second = shelf.put(Draft::new("2026-01-02T12:00:00Z"));
    let at = |time: &str| {
        let wanted = Wanted::At(time.parse().unwrap());
        choose(&shelf, None, &wanted, &MINE).map(|chosen| chosen.name.to_string())
    };
    assert_eq!(at("2030-01-01T00:00:00Z").unwrap(), second);
    assert_eq!(at("2026-01-02T12:00:00Z").unwrap(), second);
    assert_eq!(at("2026-01-02T11:59:59Z").unwrap(), first);
    let error = at("2026-01-01T11:59:59Z").unwrap_err();
    assert_eq!(error.kind(), Kind::Absent);
    assert!(
        error.to_string().contains("2026-01-01T11:59:59Z"),
        "{error}"
    );
}

#[test]
fn a_name_is_compared_whole() {
    let shelf = Shelf::new();
    let name = shelf.put(Draft::new("2026-01-01T12:00:00Z"));
    let named = |text: &str| choose(&shelf, None, &Wanted::Named(text.to_owned()), &MINE);
    assert_eq!(named(&name).unwrap().name.to_string(), name);
    let error = named(&name[..name.len() - 1]).unwrap_err();
    assert_eq!(error.kind(), Kind::Absent);
    assert!(
        error
            .to_string()
            .contains(&format!("did you mean `{name}`")),
        "{error}"
    );
}

#[test]
fn one_that_cannot_be_read_is_passed_over_and_said_to_be() {
    let shelf = Shelf::new();
    let older = shelf.put(Draft::new("2026-01-01T00:00:00Z"));
    let damaged = shelf.put(Draft::new("2026-01-02T00:00:00Z"));
    std::fs::write(shelf.file(&damaged, "manifest.json"), "{").unwrap();
    let chosen = choose(&shelf, None, &Wanted::Newest, &MINE).unwrap();
    assert_eq!(chosen.name.to_string(), older);
    assert_eq!(chosen.passed_over.len(), 1);
    assert_eq!(chosen.passed_over[0].0.to_string(), damaged);
    std::fs::write(shelf.file(&older, "manifest.json"), "").unwrap();
    let error = newest(&shelf, &MINE).unwrap_err();
    assert!(error.to_string().contains(&damaged), "{error}");
}

#[test]
fn one_that_is_newer_than_us_or_not_authentic_hides_behind_no_older_one() {
    let shelf = Shelf::new();
    let older = shelf.put(Draft::new("2026-01-01T00:00:00Z").key(KEY));
    let take = |key| choose(&shelf, key, &Wanted::Newest, &MINE);
    assert_eq!(take(Some(KEY)).unwrap().name.to_string(), older);
    let newer = shelf.put(Draft::new("2026-01-02T00:00:00Z"));
    let error = take(Some(KEY)).unwrap_err();
    assert_eq!(error.kind(), Kind::Verify);
    assert!(error.to_string().contains(&newer), "{error}");
    // Without a key there is nothing to hold it against.
    assert_eq!(take(None).unwrap().name.to_string(), newer);
    let manifest = shelf.file(&newer, "manifest.json");
    std::fs::write(&manifest, r#"{"version": 3}"#).unwrap();
    for key in [None, Some(KEY)] {
        let error = take(key).unwrap_err();
        assert!(error.to_string().contains("format is 3"), "{error}");
    }
    // Replayed: what was good yesterday, under today's name.
    for file in ["manifest.json", "manifest.mac"] {
        std::fs::copy(shelf.file(&older, file), shelf.file(&newer, file)).unwrap();
    }
    for key in [None, Some(KEY)] {
        let error = take(key).unwrap_err();
        assert!(
            error.to_string().contains(&format!("that of {older}")),
            "{error}"
        );
    }
    std::fs::remove_dir_all(shelf.path().join(&newer)).unwrap();
    flip(&shelf.file(&older, "manifest.mac"), 7);
    let error = take(Some(KEY)).unwrap_err();
    assert!(error.to_string().contains("not authentic"), "{error}");
}

#[test]
fn jobs_environments_and_stores_are_told_apart() {
    let shelf = Shelf::new();
    let mine = shelf.put(Draft::new("2026-01-01T00:00:00Z"));
    let theirs = shelf.put(Draft::new("2026-01-02T00:00:00Z").job("push-2"));
    let any = Which::default();
    let error = newest(&shelf, &any).unwrap_err().to_string();
    assert!(
        error.contains("push (production, sqlite)")
            && error.contains("push-2 (production, sqlite)"),
        "{error}"
    );
    assert_eq!(newest(&shelf, &MINE).unwrap(), mine);
    let of = |job| Which {
        job: Some(job),
        ..any
    };
    assert_eq!(newest(&shelf, &of("push-2")).unwrap(), theirs);
    assert_eq!(
        newest(&shelf, &of("push-")).unwrap_err().kind(),
        Kind::Absent
    );
    // One job, and still two things.
    let mysql = shelf.put(Draft::new("2026-01-03T00:00:00Z").kind(envsyncd::store::mysql::KIND));
    let error = newest(&shelf, &of("push")).unwrap_err().to_string();
    assert!(
        error.contains("sqlite") && error.contains("mysql"),
        "{error}"
    );
    assert_eq!(newest(&shelf, &MINE).unwrap(), mine);
    let staging = shelf.put(Draft::new("2026-01-04T00:00:00Z").origin("staging"));
    let production = Which {
        origin: Some("production"),
        ..MINE
    };
    assert_eq!(newest(&shelf, &production).unwrap(), mine);
    assert_eq!(newest(&shelf, &MINE).unwrap(), staging);
    // Who names one gets that one, or an error.
    let named = Wanted::Named(mysql);
    let error = choose(&shelf, None, &named, &MINE).unwrap_err();
    assert!(error.to_string().contains("mysql"), "{error}");
    let postgresql = Which {
        kind: Some(envsyncd::store::postgresql::KIND),
        ..any
    };
    let error = newest(&shelf, &postgresql).unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.to_string().contains("mysql"), "{error}");
}
