//! Pulls of dumps that others wrote: masked as a sync is, with nothing raw on the target's side.

use std::path::Path;

use super::mysql;
use super::postgresql::{MASKS, people};
use super::{files_with, settings, with};
use crate::support::job::{Bed, Job, toml};
use crate::support::mysql::{self as servers, Server, Version};
use crate::support::postgres::{Cluster, Must, bare, shared, tools, unique};

/// What is planted in production's rows.
const PLANTED: [&str; 4] = ["planted", "Planted Name", "PLANTED NAME", "+44 20 7946"];

/// Dumps a database as the chart does.
fn dump(bed: &Bed, cluster: &Cluster, database: &str, flags: &[&str]) {
    let archive = bed.path("archive");
    std::fs::create_dir_all(&archive).expect("our directory");
    bare(cluster.program("pg_dump"))
        .args(flags)
        .arg("--format=custom")
        .arg("--file")
        .arg(archive.join("2026-01-02T030405Z-app.gz"))
        .arg("--dbname")
        .arg(cluster.url("postgres", database))
        .must("pg_dump");
}

fn archive(path: &Path) -> String {
    let url = toml(&format!("file://{}", path.display()));
    format!("{{ url = {url}, format = \"govuk\", database = \"app\" }}")
}

fn pull(bed: &Bed, target: &str) -> Job {
    Job::new("postgresql", &archive(&bed.path("archive")), &toml(target))
}

#[test]
fn a_dump_of_pg_dump_is_masked_on_its_way_and_nothing_raw_is_in_the_targets_files() {
    let pair = shared();
    let from = people(&pair.source);
    let target = Cluster::builder().start();
    let bed = Bed::new();
    dump(&bed, &pair.source, &from, &[]);
    let settings = settings(&bed, "");
    let job = pull(&bed, &target.url("postgres", "live")).task(MASKS);
    // Moments are written in a time zone that a dump does not say.
    let summed = pull(&bed, &target.url("postgres", "live"))
        .task("verify = \"checksum\"")
        .task(MASKS);
    with(&bed, &settings, &["--once"], &summed)
        .expect(2)
        .says(&["public.users", "take verify = \"rows\""]);
    with(&bed, &settings, &["--once"], &job).expect(0);
    let live = |sql: &str| target.psql("live", sql);
    let source = |sql: &str| pair.source.psql(&from, sql);
    for count in ["users", "letters", "events", "untouched", "names"] {
        let sql = format!("SELECT count(*) FROM {count}");
        assert_eq!(live(&sql), source(&sql), "{count}");
    }
    assert_eq!(
        live("SELECT count(*) FROM users WHERE email !~ '^[a-z0-9]{12}@example.com$'"),
        "0"
    );
    assert_eq!(
        live("SELECT count(*) FROM users JOIN letters ON to_email = email"),
        "1001"
    );
    assert_eq!(
        live("SELECT upper_name = upper(name) FROM users WHERE id = 7"),
        "t"
    );
    let untouched = "SELECT * FROM untouched ORDER BY id";
    assert_eq!(live(untouched), source(untouched));

    target.psql("live", "CHECKPOINT");
    let data = target.data();
    let found = files_with(&data, &PLANTED);
    assert!(found.is_empty(), "{found:?}");
    assert!(!files_with(&data, &["as it is 7"]).is_empty());
    assert!(files_with(&bed.path("state"), &["planted"]).is_empty());

    // The same values as of a sync, under the same key.
    let sync = Job::between(
        "postgresql",
        &pair.source.url("postgres", &from),
        &target.url("postgres", "synced"),
    )
    .task(MASKS);
    with(&bed, &settings, &["--once"], &sync).expect(0);
    for table in ["users", "letters", "events"] {
        let rows = format!("SELECT * FROM {table} ORDER BY 1");
        assert_eq!(live(&rows), target.psql("synced", &rows), "{table}");
    }
}

#[test]
fn an_environment_that_requires_masks_takes_a_dump_once_every_column_is_decided_on() {
    let pair = shared();
    let (from, to) = (unique("people"), unique("live"));
    pair.source.create_db(&from);
    pair.source.psql(
        &from,
        "CREATE TABLE users (id int PRIMARY KEY, email text, active bool); INSERT INTO users VALUES (1, 'planted@corp.example', true)",
    );
    let bed = Bed::new();
    dump(&bed, &pair.source, &from, &[]);
    let settings = settings(&bed, "require_masks = true\n");
    let url = pair.target.url("postgres", &to);
    let bare = pull(&bed, &url);
    with(&bed, &settings, &["--once"], &bare).expect(3).says(&[
        "requires masks",
        "public.users.id",
        "public.users.email",
    ]);
    assert!(!pair.target.databases().contains(&to));
    let masks = "[[task.mask]]\ntable = \"users\"\ncolumns = { email = \"email\" }\n\
                 [[task.pass]]\ntable = \"users\"\ncolumns = [\"id\"]\nreason = \"a number\"";
    with(&bed, &settings, &["--once"], &pull(&bed, &url).task(masks)).expect(0);
    let sql = "SELECT id, email ~ '@example.com$', active FROM users";
    assert_eq!(pair.target.psql(&to, sql), "1|t|t");
}

#[test]
fn what_a_dump_cannot_be_asked_is_refused() {
    let pair = shared();
    let bed = Bed::new();
    let from = unique("people");
    pair.source.create_db(&from);
    pair.source
        .psql(&from, "CREATE TABLE users (id int, email text)");
    dump(&bed, &pair.source, &from, &[]);
    let settings = settings(&bed, "");
    let url = pair.target.url("postgres", &unique("live"));
    let rule =
        "[[task.mask]]\ntable = \"users\"\nwhere = \"id > 1\"\ncolumns = { email = \"email\" }";
    let conditional = pull(&bed, &url).task(rule);
    for verb in ["plan", "--once"] {
        with(&bed, &settings, &[verb], &conditional)
            .expect(2)
            .says(&["could evaluate `where`"]);
    }
    let push = Job::new(
        "postgresql",
        &toml(&pair.source.url("postgres", &from)),
        &archive(&bed.path("archive")),
    )
    .task("[[task.mask]]\ntable = \"users\"\ncolumns = { email = \"email\" }");
    with(&bed, &settings, &["--once"], &push)
        .expect(2)
        .says(&["writes the rows, and masks nothing"]);
    let wrong =
        pull(&bed, &url).task("[[task.mask]]\ntable = \"users\"\ncolumns = { mail = \"email\" }");
    with(&bed, &settings, &["--once"], &wrong)
        .expect(2)
        .says(&["has no column mail"]);
}

/// Dumps a database of MySQL as the chart does.
fn dump_mysql(bed: &Bed, program: &Path, server: &Server, database: &str) {
    let archive = bed.path("archive");
    std::fs::create_dir_all(&archive).expect("our directory");
    let script = "set -o pipefail; \"$1\" --no-defaults --user=root --single-transaction --socket=\"$2\" \"$3\" | gzip > \"$4\"";
    bare("bash")
        .args(["-c", script, "dump"])
        .arg(program)
        .arg(server.socket())
        .arg(database)
        .arg(archive.join("2026-01-02T030405Z-app.gz"))
        .must("the tool");
}

#[test]
fn a_dump_of_mariadb_dump_is_masked_on_its_way_and_nothing_raw_is_in_the_targets_files() {
    let (source, target) = (&servers::shared().source, Server::with(&["--log-bin=on"]));
    let from = mysql::people(source);
    let bed = Bed::new();
    dump_mysql(&bed, Path::new("mariadb-dump"), source, &from);
    let place = archive(&bed.path("archive"));
    mysql::arrive_masked(&bed, source, &from, &place, &target);
}

#[test]
fn a_dump_of_mysqldump_is_masked_on_its_way_and_nothing_raw_is_in_the_targets_files() {
    let start = || Server::builder().of(Version::Oracle).start();
    let (source, target) = (start(), start());
    let from = mysql::people(&source);
    let bed = Bed::new();
    dump_mysql(&bed, &tools("mysql").join("bin/mysqldump"), &source, &from);
    let place = archive(&bed.path("archive"));
    mysql::arrive_masked(&bed, &source, &from, &place, &target);
}

#[test]
fn an_environment_that_requires_masks_takes_a_dump_of_mysql_once_every_column_is_decided_on() {
    let pair = servers::shared();
    let (from, to) = (unique("people"), unique("live"));
    pair.source.create_db(&from);
    pair.source.sql(
        &from,
        "CREATE TABLE users (id int PRIMARY KEY, email varchar(50), note text); INSERT INTO users VALUES (1, 'planted@corp.example', 'planted');
         CREATE TABLE audit (id int PRIMARY KEY, what text); INSERT INTO audit VALUES (1, 'planted');
         CREATE TABLE cache (id int PRIMARY KEY, what text); INSERT INTO cache VALUES (1, 'planted')",
    );
    let bed = Bed::new();
    dump_mysql(&bed, Path::new("mariadb-dump"), &pair.source, &from);
    let settings = settings(&bed, "require_masks = true\n");
    let url = toml(&pair.target.url("root", &to));
    let job = || Job::new("mysql", &archive(&bed.path("archive")), &url);
    with(&bed, &settings, &["--once"], &job())
        .expect(3)
        .says(&["requires masks", "users.email"]);
    assert!(!pair.target.databases().contains(&to));
    let conditional = job().task(
        "[[task.mask]]\ntable = \"users\"\nwhere = \"id > 1\"\ncolumns = { email = \"email\" }",
    );
    with(&bed, &settings, &["--once"], &conditional)
        .expect(2)
        .says(&["could evaluate `where`"]);
    let masks = "exclude = [\"cache\"]\nschema_only = [\"audit\"]\nunlisted = \"null\"\ncanary = true\n\
                 [[task.mask]]\ntable = \"users\"\ncolumns = { email = \"email\" }\n\
                 [[task.pass]]\ntable = \"*\"\ncolumns = [\"id\"]\nreason = \"a number\"";
    with(&bed, &settings, &["--once"], &job().task(masks)).expect(0);
    let sql = "SELECT id, email REGEXP '@example.com$', note IS NULL, (SELECT COUNT(*) FROM audit) FROM users";
    assert_eq!(pair.target.sql(&to, sql), "1|1|1|0");
    assert_eq!(pair.target.tables(&to), ["audit", "users"]);
}
