//! `snapshots prune`.

use std::fs;

use envsyncd::guard::process::{Process, host_name};
use serde_json::Value;

use super::{WITH_KEY, json};
use crate::archive::shelf::{Draft, KEY, Shelf};

#[test]
fn a_prune_takes_what_the_target_does_not_keep_and_nothing_else() {
    let shelf = Shelf::new();
    let old: Vec<String> = [100, 80, 60]
        .map(|hours| shelf.put(Draft::hours_ago(hours)))
        .into();
    let last: Vec<String> = [40, 20]
        .map(|hours| shelf.put(Draft::hours_ago(hours)))
        .into();
    let others = [
        shelf.put(Draft::hours_ago(200).job("push-2")),
        shelf.put(Draft::hours_ago(200).kind(envsyncd::store::mysql::KIND)),
        shelf.put(Draft::hours_ago(200).origin("staging")),
    ];
    let damaged = shelf.put(Draft::hours_ago(5));
    fs::write(shelf.file(&damaged, "manifest.json"), "{").unwrap();
    let before = shelf.content();
    let dry = shelf
        .with_job("keep_last = 2", "prune", &["--dry-run"])
        .expect(0);
    assert_eq!(shelf.content(), before);
    for line in dry.stdout.lines().skip(1) {
        let goes = old.iter().any(|name| line.starts_with(name.as_str()));
        assert_eq!(line.contains("no rule keeps it"), goes, "{line}");
    }
    assert_eq!(dry.stdout.lines().count(), 8, "{dry:?}");
    dry.says(&[
        "the newest good one, keep_last: number 1",
        "keep_last: number 2",
        "not good, and not touched",
        "would be freed",
    ]);
    let plan = json(
        shelf
            .with_job("keep_last = 2", "prune", &["--dry-run", "--json"])
            .expect(0),
    );
    assert_eq!(
        (&plan["dry_run"], &plan["removed_bytes"]),
        (&true.into(), &Value::Null)
    );
    assert_eq!(shelf.content(), before);
    shelf
        .with_job("keep_last = 2", "prune", &[])
        .expect(0)
        .says(&[
            &format!("{} is gone", old[0]),
            "3 snapshots and 0 leftovers removed",
            &damaged,
        ]);
    let mut left: Vec<String> = [&last[..], &others, &[damaged]].concat();
    left.sort();
    assert_eq!(shelf.folders(), left);
    shelf
        .with_job("keep_last = 2", "prune", &[])
        .expect(0)
        .says(&["0 snapshots and 0 leftovers"]);
    assert_eq!(shelf.folders(), left);
}

#[test]
fn a_prune_never_takes_the_newest_good_one() {
    let shelf = Shelf::new();
    let newest = shelf.put(Draft::new("2020-01-02T00:00:00Z").key(KEY));
    shelf.put(Draft::new("2020-01-01T00:00:00Z").key(KEY));
    // Newer, and not to be trusted.
    let forged = shelf.put(Draft::hours_ago(1));
    let keys = format!("max_age = \"1d\", keep_last = 1, {WITH_KEY}");
    shelf
        .with_job(&keys, "prune", &[])
        .expect(0)
        .says(&["1 snapshots", "not authenticated"]);
    assert_eq!(shelf.folders(), [newest, forged]);
}

#[test]
fn a_prune_clears_what_dead_runs_left_and_not_what_is_being_written() {
    let shelf = Shelf::new();
    let here = host_name();
    let good = shelf.put(Draft::hours_ago(30));
    let mut dead = std::process::Command::new("true").spawn().unwrap();
    dead.wait().unwrap();
    let own = Process::own();
    let by_dead = shelf.put(Draft::hours_ago(3));
    let was = Process {
        pid: dead.id(),
        ..own.clone()
    };
    shelf.unfinish_by(&by_dead, &was);
    let by_living = shelf.put(Draft::hours_ago(48));
    shelf.unfinish_by(&by_living, &own);
    shelf.age(&by_living, 47);
    // A container of the same name, in which the same number is another process's: it lives as long as it says so.
    let inside = Process {
        namespace: 1,
        ..was
    };
    let in_container = shelf.put(Draft::hours_ago(44));
    shelf.unfinish_by(&in_container, &inside);
    let silent = shelf.put(Draft::hours_ago(43));
    shelf.unfinish_by(&silent, &inside);
    shelf.age(&silent, 2);
    // An older envsyncd did not say so.
    let old_here = shelf.put(Draft::hours_ago(42));
    shelf.unfinish(&old_here, &here, dead.id());
    shelf.age(&old_here, 23);
    let elsewhere = shelf.put(Draft::hours_ago(47));
    shelf.unfinish(&elsewhere, "elsewhere.example", 1);
    shelf.age(&elsewhere, 23);
    let long_ago = shelf.put(Draft::hours_ago(46));
    shelf.unfinish(&long_ago, "elsewhere.example", std::process::id());
    shelf.age(&long_ago, 25);
    let of_another = shelf.put(Draft::hours_ago(45).job("push-2"));
    shelf.unfinish(&of_another, &here, dead.id());
    let dry = shelf
        .with_job("keep_last = 1", "prune", &["--dry-run"])
        .expect(0);
    dry.says(&[
        "its run is gone",
        "no sign of life for an hour",
        "nothing was added to it for a day",
        "it may be being written",
    ]);
    let pruned = shelf.with_job("keep_last = 1", "prune", &[]).expect(0);
    pruned.says(&["0 snapshots and 3 leftovers removed"]);
    let mut left = vec![
        good,
        by_living,
        in_container,
        old_here,
        elsewhere,
        of_another,
    ];
    left.sort();
    assert_eq!(shelf.folders(), left);
}

#[test]
fn what_is_no_part_of_a_snapshot_stays_wherever_it_lies() {
    let shelf = Shelf::new();
    shelf.put(Draft::hours_ago(10));
    // A folder of somebody else that happens to be called so, an old one; and files in folders that go.
    let theirs = shelf.put(Draft::hours_ago(200));
    fs::remove_dir_all(shelf.path().join(&theirs)).unwrap();
    let database = shelf.file(&theirs, "rows/app.db");
    let old = shelf.put(Draft::hours_ago(100));
    let unfinished = shelf.put(Draft::hours_ago(90));
    shelf.unfinish(&unfinished, "elsewhere.example", 1);
    let kept = [
        database,
        shelf.file(&old, "README"),
        shelf.file(&unfinished, "definitions/notes.sql"),
    ];
    for file in &kept {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "mine").unwrap();
    }
    for name in [&theirs, &old, &unfinished] {
        shelf.age(name, 80);
    }
    let pruned = shelf.with_job("keep_last = 1", "prune", &[]).expect(0);
    pruned.says(&["1 snapshots and 1 leftovers removed"]);
    for (name, file) in [&theirs, &old, &unfinished].into_iter().zip(&kept) {
        assert_eq!(shelf.files(name), std::slice::from_ref(file));
        assert_eq!(fs::read_to_string(file).unwrap(), "mine");
    }
    shelf
        .with_job("keep_last = 1", "prune", &[])
        .expect(0)
        .says(&["0 snapshots and 0 leftovers"]);
}

#[test]
fn a_prune_needs_a_job_that_says_what_is_kept() {
    let shelf = Shelf::new();
    shelf.put(Draft::hours_ago(30));
    shelf
        .with_job(WITH_KEY, "prune", &[])
        .expect(2)
        .says(&["keeps all its snapshots", "keep_last"]);
    shelf.run(&["prune", &shelf.url()]).expect(2);
    let target = format!("sqlite://{}", shelf.bed.path("to.db").display());
    let pull = crate::support::job::Job::between("sqlite", &shelf.url(), &target);
    let file = shelf.bed.job("pull", &pull);
    shelf
        .run(&["prune", "-f", file.to_str().unwrap()])
        .expect(2)
        .says(&["writes to no archive"]);
    assert_eq!(shelf.folders().len(), 1);
}
