//! Dumps that are no dumps, or not whole, or of something else: refused, with live as it was.

use std::fs;
use std::path::Path;

use super::{DATABASE, Dumped};
use crate::support::postgres::{Must, bare};

fn name() -> String {
    format!("2026-01-02T030405Z-{DATABASE}.gz")
}

#[track_caller]
fn refused(dumped: &Dumped, what: &str, said: &[&str]) {
    let outcome = dumped.once("pull", &dumped.pull()).expect(1);
    for words in said.iter().copied().chain([name().as_str()]) {
        assert!(
            outcome.stderr.contains(words),
            "{what}: {words} in {}",
            outcome.stderr
        );
    }
    dumped.scene.live_is_old();
}

fn cut(file: &Path, length: usize) {
    let content = fs::read(file).unwrap();
    fs::write(file, &content[..length]).unwrap();
}

#[test]
fn a_dump_that_breaks_off_anywhere_is_refused() {
    let dumped = Dumped::new();
    dumped.scene.source(
        "INSERT INTO users SELECT i, md5(i::text) FROM generate_series(10, 20000) i; CREATE TABLE zoo (a integer); INSERT INTO zoo VALUES (1)",
    );
    let whole = dumped.dump(&name());
    let length = fs::metadata(&whole).unwrap().len() as usize;
    for (at, said) in [
        (0, "is empty"),
        (3, "is not whole"),
        (500, "is not whole"),
        (length / 2, "damaged or not whole"),
        (length - 5, "damaged or not whole"),
        (length - 40, "damaged or not whole"),
    ] {
        dumped.dump(&name());
        cut(&whole, at);
        refused(&dumped, &format!("{at} of {length}"), &[said]);
    }
}

#[test]
fn a_dump_that_was_changed_is_refused() {
    let dumped = Dumped::new();
    dumped
        .scene
        .source("INSERT INTO users SELECT i, md5(i::text) FROM generate_series(10, 20000) i");
    let file = dumped.dump(&name());
    let mut content = fs::read(&file).unwrap();
    let at = content.len() * 2 / 3;
    content[at] ^= 0x55;
    fs::write(&file, content).unwrap();
    refused(&dumped, "a changed byte", &["damaged or not whole"]);
}

#[test]
fn a_gzip_that_breaks_off_is_refused() {
    let dumped = Dumped::new();
    dumped
        .scene
        .source("INSERT INTO users SELECT i, md5(i::text) FROM generate_series(10, 20000) i");
    let file = dumped.dump_with("plain", &["--format=custom", "--compress=0"]);
    bare("gzip").arg(&file).must("gzip");
    let zipped = dumped.file(&name());
    fs::rename(dumped.file("plain.gz"), &zipped).unwrap();
    cut(&zipped, fs::metadata(&zipped).unwrap().len() as usize - 6);
    refused(&dumped, "a cut gzip", &["its gzip cannot be read"]);
}

#[test]
fn a_dump_of_something_else_is_refused_and_named() {
    let dumped = Dumped::new();
    for (content, said) in [
        (
            "-- MySQL dump 10.13  Distrib 8.0.36\n--\n",
            "a dump of MySQL",
        ),
        (
            "/*M!999999\\- enable the sandbox mode */\n-- MariaDB dump 10.19\n",
            "a dump of MariaDB",
        ),
        (
            "--\n-- PostgreSQL database dump\n--\n\nSET x = 1;\n",
            "plain SQL of pg_dump",
        ),
        ("what is this", "not a dump of PostgreSQL"),
    ] {
        fs::write(dumped.file(&name()), content).unwrap();
        refused(&dumped, content, &[said]);
    }
    fs::write(dumped.file(&name()), b"\x6d\xe2\x99\x81rest").unwrap();
    refused(&dumped, "mongodump", &["mongodump"]);
    dumped.dump_with(&name(), &["--format=tar"]);
    refused(&dumped, "tar", &["tar"]);
}

#[test]
fn rows_that_the_server_refuses_are_not_quoted() {
    let dumped = Dumped::new();
    dumped
        .scene
        .source("CREATE TABLE secrets (word text); INSERT INTO secrets VALUES ('hunter2')");
    let file = dumped.dump_with(&name(), &["--format=custom", "--compress=0"]);
    replace(&file, b"word text", b"word int4");
    let outcome = dumped.once("pull", &dumped.pull()).expect(1);
    assert!(!outcome.stderr.contains("hunter2"), "{}", outcome.stderr);
    outcome.says(&["writing public.secrets", "a value was not accepted"]);
    dumped.scene.live_is_old();
}

/// Replaces what is as long.
fn replace(file: &Path, what: &[u8], with: &[u8]) {
    assert_eq!(what.len(), with.len());
    let mut content = fs::read(file).unwrap();
    let at = content
        .windows(what.len())
        .position(|window| window == what)
        .expect("it is in there");
    content[at..at + what.len()].copy_from_slice(with);
    fs::write(file, content).unwrap();
}

#[test]
fn a_dump_that_reaches_out_of_its_database_is_refused_before_anything_runs() {
    let dumped = Dumped::new();
    for (made, instead) in [
        (
            "CREATE VIEW public.v AS\n SELECT 1 AS a;",
            "DROP DATABASE postgres_not_there;",
        ),
        (
            "CREATE VIEW public.v AS\n SELECT 1 AS a;",
            "CREATE ROLE intruder;",
        ),
        (
            "CREATE VIEW public.v AS\n SELECT 1 AS a;",
            "GRANT postgres TO public;",
        ),
        (
            "CREATE VIEW public.v AS\n SELECT 1 AS a;",
            "ALTER SYSTEM SET x = 1;",
        ),
        (
            "CREATE VIEW public.v AS\n SELECT 1 AS a;",
            "DO $$BEGIN END$$;",
        ),
    ] {
        dumped
            .scene
            .source("CREATE OR REPLACE VIEW v AS SELECT 1 AS a");
        let file = dumped.dump_with(&name(), &["--format=custom", "--compress=0"]);
        let mut instead = instead.to_owned();
        while instead.len() < made.len() {
            instead.push(' ');
        }
        replace(&file, made.as_bytes(), instead.as_bytes());
        // Up to its first literal.
        let named = instead.split(['$', '1', '\'']).next().unwrap_or_default();
        let shown = format!("the statement was: {named}");
        refused(
            &dumped,
            &instead,
            &[
                "view public.v",
                "reaches out of its database",
                shown.trim_end_matches([' ', ';']),
            ],
        );
    }
    let intruders = "SELECT count(*) FROM pg_roles WHERE rolname = 'intruder'";
    assert_eq!(dumped.scene.pair.target.psql("postgres", intruders), "0");
    dumped.scene.source("DROP VIEW v");
    let file = dumped.dump_with(&name(), &["--format=custom", "--compress=0"]);
    replace(
        &file,
        b"COPY public.users (id, name) FROM stdin;\n",
        b"COPY public.users FROM PROGRAM 'cat /x';\n",
    );
    refused(&dumped, "program", &["rows that do not come from the dump"]);
}
