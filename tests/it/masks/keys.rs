//! The masks' key, and what a job's file says of masks.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rusqlite::Connection;

use super::{settings, with};
use crate::support::job::{Bed, Job};

fn job(bed: &Bed) -> Job {
    let (source, live) = (bed.path("source.db"), bed.path("live.db"));
    Connection::open(&source)
        .expect("a database")
        .execute_batch("CREATE TABLE IF NOT EXISTS users (id integer PRIMARY KEY, email text); INSERT OR IGNORE INTO users VALUES (1, 'planted')")
        .expect("our own SQL");
    let url = |file: &std::path::Path| format!("sqlite://{}", file.display());
    Job::between("sqlite", &url(&source), &url(&live))
        .task("[[task.mask]]\ntable = \"users\"\ncolumns = { email = \"email\" }")
}

#[test]
fn a_key_that_is_missing_short_or_everybody_s_is_refused() {
    let bed = Bed::new();
    let job = job(&bed);
    let file = bed.job("app", &job);
    for verb in ["validate", "plan"] {
        bed.with_file(verb, &file)
            .expect(2)
            .says(&["there is no key for masks", "[masking]"]);
    }
    let settings = settings(&bed, "");
    let key = bed.path("jobs").join("mask.key");
    fs::write(&key, "short").expect("our file");
    with(&bed, &settings, &["--once"], &job)
        .expect(2)
        .says(&["the masks' key has 5 bytes, and 32 are needed"]);
    fs::write(&key, "0123456789abcdef".repeat(4)).expect("our file");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("our file");
    with(&bed, &settings, &["--once"], &job)
        .expect(2)
        .says(&["mask.key can be read by others", "chmod o="]);
    fs::remove_file(&key).expect("our file");
    with(&bed, &settings, &["--once"], &job)
        .expect(1)
        .says(&["mask.key cannot be read"]);
    assert!(!bed.path("live.db").exists());
}

#[test]
fn a_mask_that_is_wrong_is_shown_where_it_stands() {
    let bed = Bed::new();
    let settings = settings(&bed, "");
    for (mask, says) in [
        (
            "[task.mask]\ntable = \"users\"\ncolumns = { email = \"email\" }",
            &["[[task.mask]] with two brackets"][..],
        ),
        (
            "[[task.mask]]\ncolumns = { email = \"email\" }",
            &["`table` is missing"],
        ),
        (
            "[[task.mask]]\ntable = \"users\"",
            &["`columns` is missing"],
        ),
        (
            "[[task.mask]]\ntable = \"users\"\ncolumns = { email = \"emial\" }",
            &["unknown kind `emial`", "did you mean `email`?"],
        ),
        (
            "[[task.mask]]\ntable = \"users\"\ncolumns = { email = { kind = \"digits\", keep = 2 } }",
            &["keep"],
        ),
        (
            "[[task.mask]]\ntable = \"us[ers\"\ncolumns = { email = \"email\" }",
            &["is not a glob"],
        ),
        (
            "[[task.mask]]\ntable = \"users\"\ncolumns = { email = \"email\" }\nunlisted = \"null\"",
            &["unknown key `unlisted`"],
        ),
        (
            "[[task.pass]]\ntable = \"users\"\ncolumns = [\"*\"]",
            &["`reason` is missing"],
        ),
        ("[[task.rows]]\ntable = \"users\"", &["`where` is missing"]),
        (
            "[[task.rows]]\ntable = \"users\"\nwhere = \"true\"\ncascade = \"yes\"",
            &["cascade", "expected"],
        ),
        (
            "[[task.reference]]\ntable = \"a\"\ncolumns = [\"b\", \"c\"]\nreferences = \"d\"\nreferenced = [\"id\"]",
            &["2 columns refer to 1"],
        ),
        (
            "[[task.reference]]\ntable = \"a\"\ncolumns = []\nreferences = \"d\"\nreferenced = [\"id\"]",
            &["names no column"],
        ),
        (
            "unlisted = \"empty\"",
            &["`empty` is not possible here", "refuse | null"],
        ),
    ] {
        let job = Job::between("sqlite", "sqlite:///a.db", "sqlite:///b.db").task(mask);
        with(&bed, &settings, &["validate"], &job)
            .expect(2)
            .says(&["app.toml:"])
            .says(says);
    }
}

#[test]
fn masks_where_no_row_passes_through_are_refused() {
    let bed = Bed::new();
    let settings = settings(&bed, "");
    let archive = format!("file://{}", bed.path("archive").display());
    let mask = "[[task.mask]]\ntable = \"users\"\ncolumns = { email = \"email\" }";
    let condition =
        "[[task.mask]]\ntable = \"users\"\nwhere = \"true\"\ncolumns = { email = \"email\" }";
    let pull = Job::between("sqlite", &archive, "sqlite:///b.db").task(condition);
    with(&bed, &settings, &["validate"], &pull)
        .expect(2)
        .says(&["put the mask into the job that pushes"]);
    let push = Job::between("sqlite", "sqlite:///a.db", &archive)
        .task("verify = \"checksum\"")
        .task(mask);
    with(&bed, &settings, &["validate"], &push)
        .expect(2)
        .says(&["verify = \"rows\""]);
    let dump = Job::new(
        "postgresql",
        "\"postgresql://somebody@localhost/a\"",
        &format!("{{ url = \"{archive}\", format = \"govuk\" }}"),
    )
    .task(mask);
    with(&bed, &settings, &["validate"], &dump)
        .expect(2)
        .says(&["masks nothing"]);
}

#[test]
fn another_key_than_last_time_is_a_warning_and_the_run_s_own_affair() {
    let bed = Bed::new();
    let settings = settings(&bed, "");
    let job = job(&bed);
    let warned = |verb: &str| {
        let outcome = with(&bed, &settings, &[verb], &job).expect(0);
        outcome.stderr.contains("another one than last time")
    };
    assert!(!warned("--once") && !warned("--once"));
    let key = bed.path("jobs").join("mask.key");
    fs::write(&key, "another key of the tests that is long enough").expect("our file");
    assert!(warned("--once"));
    assert!(!warned("--once"));
}
