//! What a dump's rows look like: compressed in every way, in other encodings, with columns in another order, of partitions.

use super::{DATABASE, Dumped};
use crate::support::postgres::newest_programs;

fn name() -> String {
    format!("2026-01-02T030405Z-{DATABASE}.gz")
}

/// More than a chunk of rows, and of a large object.
const MANY: &str = "CREATE TABLE many (id int PRIMARY KEY, word text, none text); \
    INSERT INTO many SELECT i, md5(i::text) || E'\\t\\n\\\\.', NULL FROM generate_series(1, 30000) i; \
    CREATE TABLE blank (); INSERT INTO blank DEFAULT VALUES; INSERT INTO blank DEFAULT VALUES; \
    SELECT lo_from_bytea(4711, convert_to(repeat('a large object ', 60000), 'UTF8')), lo_from_bytea(4712, '')";

const SUM: &str = "SELECT count(*), md5(string_agg(id || word, ',' ORDER BY id)), (SELECT count(*) FROM blank), \
    md5(lo_get(4711)), lo_get(4712) FROM many";

#[test]
fn rows_and_large_objects_arrive_out_of_every_compression() {
    let dumped = Dumped::new();
    dumped.scene.source(MANY);
    let sum = dumped.scene.pair.source.psql(&dumped.scene.from, SUM);
    let newest = newest_programs().join("pg_dump");
    let job = dumped.scene.bed.job("pull", &dumped.pull());
    let usual = std::env::var("PATH").unwrap();
    let path = format!("{}:{usual}", newest_programs().display());
    for flag in ["0", "gzip:9"] {
        dumped.dump_by(
            &newest,
            &name(),
            &["--format=custom", &format!("--compress={flag}")],
        );
        let mut command = dumped.scene.bed.command();
        command.env("PATH", &path).args(["--once", "-f"]).arg(&job);
        dumped.scene.bed.spawn(&mut command).end().expect(0);
        assert_eq!(dumped.scene.live(SUM), sum, "{flag}");
    }
    dumped.scene.nothing_is_beside();
}

#[test]
fn rows_in_another_encoding_than_the_database_s_are_the_same_text() {
    let dumped = Dumped::new();
    dumped
        .scene
        .source("CREATE TABLE \"größe\" (\"maß\" text); INSERT INTO \"größe\" VALUES ('Zoë')");
    dumped.dump_with(&name(), &["--format=custom", "--encoding=LATIN1"]);
    for verify in ["rows", "checksum"] {
        let pull = dumped.pull().task(&format!("verify = \"{verify}\""));
        dumped.once("pull", &pull).expect(0);
        assert_eq!(dumped.scene.live("SELECT \"maß\" FROM \"größe\""), "Zoë");
    }
}

#[test]
fn columns_in_another_order_and_partitions_through_their_root_arrive() {
    let dumped = Dumped::new();
    dumped.scene.source(
        "CREATE TABLE above (a int); CREATE TABLE child (b text) INHERITS (above); ALTER TABLE above ADD c text; \
         INSERT INTO child (a, b, c) VALUES (1, 'b', 'c'); \
         CREATE TABLE made (a int, b int GENERATED ALWAYS AS (a * 2) STORED, gone int, c text); \
         ALTER TABLE made DROP gone; INSERT INTO made (a, c) VALUES (4, 'x'); \
         CREATE TABLE days (day date, what text) PARTITION BY RANGE (day); \
         CREATE TABLE days_1 PARTITION OF days FOR VALUES FROM ('2020-01-01') TO ('2021-01-01'); \
         CREATE TABLE days_2 PARTITION OF days FOR VALUES FROM ('2021-01-01') TO ('2022-01-01'); \
         INSERT INTO days VALUES ('2020-05-05', 'a'), ('2021-05-05', 'b')",
    );
    for flags in [
        &["--format=custom"][..],
        &["--format=custom", "--load-via-partition-root"],
    ] {
        dumped.dump_with(&name(), flags);
        let pull = dumped.pull().task("verify = \"checksum\"");
        dumped.once("pull", &pull).expect(0);
        let live = |sql: &str| dumped.scene.live(sql);
        assert_eq!(live("SELECT a, b, c FROM child"), "1|b|c");
        assert_eq!(live("SELECT a, b, c FROM made"), "4|8|x");
        assert_eq!(
            live("SELECT tableoid::regclass, what FROM days ORDER BY day"),
            "days_1|a\ndays_2|b"
        );
    }
}

#[test]
fn rows_as_inserts_are_refused() {
    let dumped = Dumped::new();
    dumped.dump_with(&name(), &["--format=custom", "--inserts"]);
    dumped
        .once("pull", &dumped.pull())
        .expect(1)
        .says(&["are no COPY", "without --inserts"]);
    dumped.scene.live_is_old();
}

#[test]
fn a_dump_without_rows_of_a_table_leaves_it_empty() {
    let dumped = Dumped::new();
    dumped
        .scene
        .source("CREATE TABLE audit (a int); INSERT INTO audit VALUES (1)");
    dumped.dump_with(&name(), &["--format=custom", "--exclude-table-data=audit"]);
    dumped.once("pull", &dumped.pull()).expect(0);
    assert_eq!(dumped.scene.live("SELECT count(*) FROM audit"), "0");
    dumped.scene.live_is_new();
}
