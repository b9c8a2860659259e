//! Files: SQLite's as their operators meet them (hooks around a publish, and what `plan` says), and trees of files.

mod archive;
mod attributes;
mod back;
mod bucket;
mod changed;
mod copies;
mod disks;
mod failures;
mod fixed;
mod guards;
mod in_place;
mod killed;
mod meanwhile;
mod mounts;
mod names;
mod odd;
mod spare;
mod ssh;
mod trees;

use rusqlite::Connection;

use crate::support::job::{Bed, Job, toml};

/// A source and a target, and the job between them.
fn files(bed: &Bed) -> Job {
    for (file, value) in [("source.db", "new"), ("target.db", "old")] {
        Connection::open(bed.path(file))
            .and_then(|database| {
                database.execute_batch(&format!(
                    "CREATE TABLE t (a); INSERT INTO t VALUES ('{value}')"
                ))
            })
            .expect("a database");
    }
    let url = |file: &str| format!("sqlite://{}", bed.path(file).display());
    Job::between("sqlite", &url("source.db"), &url("target.db"))
}

fn value(bed: &Bed, file: &str) -> String {
    Connection::open(bed.path(file))
        .and_then(|database| database.query_row("SELECT a FROM t", [], |row| row.get(0)))
        .expect("a row")
}

#[test]
fn a_maintenance_off_that_hangs_is_cut_off_and_the_record_says_so() {
    let bed = Bed::new();
    let job = files(&bed)
        // All that comes before has to have its time, too.
        .top("timeout = \"10s\"")
        .hooks("maintenance_off = [\"sleep\", \"600\"]");
    bed.once(&bed.job("app", &job)).expect(1);
    assert_eq!(value(&bed, "target.db"), "new");
    let message = bed.status_text("app", "message");
    for part in [
        "IS live",
        "maintenance_off",
        "was stopped after its timeout of 10s",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
}

#[test]
fn maintenance_goes_off_after_the_jobs_time_is_over_and_a_failure_of_both_is_told() {
    for (off, says) in [
        ("echo off > off", ""),
        ("exit 3", "maintenance may still be on"),
    ] {
        let bed = Bed::new();
        let off = format!("cd '{}'; {off}", bed.path(".").display());
        let job = files(&bed).top("timeout = \"10s\"").hooks(&format!(
            "maintenance_on = [\"sleep\", \"600\"]\nmaintenance_off = [\"sh\", \"-c\", {}]",
            toml(&off)
        ));
        bed.once(&bed.job("app", &job)).expect(1);
        assert_eq!(value(&bed, "target.db"), "old");
        let message = bed.status_text("app", "message");
        assert!(
            message.contains("timeout of 10s is over") && message.contains(says),
            "{message}"
        );
        assert_eq!(bed.path("off").exists(), says.is_empty());
    }
}

#[test]
fn a_hook_that_moves_or_replaces_the_targets_file_fails_the_run_and_loses_nothing() {
    for other in ["true", "cp away.db target.db"] {
        let bed = Bed::new();
        let script = format!(
            "cd '{}'; mv target.db away.db; {other}",
            bed.path(".").display()
        );
        let job = files(&bed).hooks(&format!(
            "maintenance_on = [\"sh\", \"-c\", {}]\nmaintenance_off = [\"true\"]",
            toml(&script)
        ));
        bed.once(&bed.job("app", &job))
            .expect(1)
            .says(&["moved or replaced"]);
        assert_eq!(value(&bed, "away.db"), "old");
        if other == "true" {
            assert!(!bed.path("target.db").exists());
        } else {
            assert_eq!(value(&bed, "target.db"), "old");
        }
    }
}

#[test]
fn a_dot_in_a_tables_name_is_no_schema_and_its_glob_matches() {
    let bed = Bed::new();
    let job = files(&bed).task("exclude = [\"dot*\", \"zz*\"]");
    Connection::open(bed.path("source.db"))
        .and_then(|database| database.execute_batch("CREATE TABLE \"dot.ted\" (a)"))
        .expect("a table");
    let file = bed.job("app", &job);
    let planned = bed.with_file("plan", &file).expect(0);
    for outcome in [planned, bed.once(&file).expect(0)] {
        let outcome = outcome.says(&["zz*"]);
        let lines = outcome.stderr.lines();
        let unmatched: Vec<&str> = lines
            .filter(|line| line.contains("matches no table"))
            .collect();
        assert_eq!(unmatched.len(), 1, "{unmatched:?}");
    }
}

#[test]
fn an_empty_source_is_refused_and_one_without_tables_is_a_warning() {
    let bed = Bed::new();
    let file = bed.job("app", &files(&bed));
    std::fs::write(bed.path("source.db"), "").expect("a file");
    for outcome in [bed.with_file("plan", &file), bed.once(&file)] {
        outcome
            .expect(1)
            .says(&["empty file", "sqlite3 FILE VACUUM"]);
    }
    assert_eq!(value(&bed, "target.db"), "old");
    Connection::open(bed.path("source.db"))
        .and_then(|database| database.execute_batch("VACUUM"))
        .expect("a database");
    for outcome in [bed.with_file("plan", &file), bed.once(&file)] {
        outcome.expect(0).says(&["the source has no tables"]);
    }
}
