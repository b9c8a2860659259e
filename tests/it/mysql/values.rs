//! Values arrive byte by byte, whatever the servers' modes, character sets and time zones are.

use super::Scene;
use crate::support::mysql::{Server, Version};

impl Scene<'_> {
    /// Copies with every row read back, and compares all.
    #[track_caller]
    fn copies_values(&self) {
        self.copy(&self.job().task("verify = \"checksum\""));
        self.assert_same();
    }
}

/// 'X' and every byte in each place of a row that a format of text could take for its own.
fn every_byte() -> String {
    let rows: Vec<String> = (0..=255_u32)
        .map(|byte| format!("({byte}, X'{byte:02X}', X'41{byte:02X}42', X'5C{byte:02X}', X'{byte:02X}5C', X'{byte:02X}{byte:02X}0A{byte:02X}09')"))
        .collect();
    rows.join(", ")
}

#[test]
fn every_byte_arrives_in_every_place_of_a_blob() {
    let scene = Scene::empty();
    scene.source(&format!(
        "CREATE TABLE bytes (id int PRIMARY KEY, a blob, b varbinary(10), c binary(2), d mediumblob, e longblob);
         INSERT INTO bytes VALUES {};
         CREATE TABLE long_rows (id int PRIMARY KEY, a longblob);
         INSERT INTO long_rows SELECT seq, REPEAT(UNHEX('00090A0D1A275C5C4E2E'), seq * 10000) FROM seq_1_to_30;",
        every_byte()
    ));
    scene.copies_values();
    assert_eq!(
        scene
            .target
            .hex_of(&scene.to, "e", "FROM bytes WHERE id = 92"),
        "5C5C0A5C09"
    );
}

#[test]
fn every_byte_arrives_in_latin1_though_it_has_no_character() {
    let scene = Scene::empty();
    scene.source(&format!(
        "CREATE TABLE bytes (id int PRIMARY KEY, a text, b varchar(10), c char(2), d mediumtext, e longtext) CHARSET latin1;
         INSERT INTO bytes VALUES {}",
        every_byte()
    ));
    scene.copies_values();
    assert_eq!(
        scene
            .target
            .hex_of(&scene.to, "b", "FROM bytes WHERE id = 129"),
        "418142"
    );
}

#[test]
fn text_of_every_character_set_arrives() {
    let scene = Scene::empty();
    let sets = scene.source(
        "SELECT character_set_name FROM information_schema.character_sets WHERE character_set_name <> 'binary' ORDER BY 1",
    );
    let tables: Vec<String> = sets
        .lines()
        .map(|set| {
            format!(
                "CREATE TABLE `in_{set}` (id int PRIMARY KEY, a varchar(100), b text, c enum('x', 'é'), d char(5)) CHARSET {set};
                 INSERT IGNORE INTO `in_{set}` VALUES (1, 'tab\\tnew\\nback\\\\slash \\\\N ''', 'äöü€ 日本語 表示 ソ 能 🌍', 'é', 'ab'), (2, '', NULL, NULL, ' ');"
            )
        })
        .collect();
    scene.source(&tables.concat());
    scene.copies_values();
    // A backslash is the second byte of this character there.
    assert_eq!(
        scene
            .target
            .hex_of(&scene.to, "b LIKE '%表示%'", "FROM in_sjis WHERE id = 1"),
        "1"
    );
}

#[test]
fn null_and_nothing_and_what_looks_like_null_stay_apart() {
    let scene = Scene::empty();
    scene.source.ansi(
        &scene.from,
        "CREATE TABLE t (id int PRIMARY KEY, a text, b varchar(20) NOT NULL);
         INSERT INTO t VALUES (1, NULL, ''), (2, '', '\\N'), (3, '\\N', 'NULL'), (4, 'NULL', '\\'), (5, '\\\\N', ' '),
           (6, 'a\tb', 'c\nd'), (7, '\\.', '\\t'), (8, X'5C', X'0D0A'), (9, X'00', X'1A')",
    );
    scene.copies_values();
    assert_eq!(
        scene.live("SELECT id, a IS NULL, HEX(a) FROM t WHERE id < 5 ORDER BY id"),
        "1|1|\n2|0|\n3|0|5C4E\n4|0|4E554C4C"
    );
}

#[test]
fn numbers_arrive_to_their_last_digit() {
    let scene = Scene::empty();
    scene.source(
        "CREATE TABLE n (id int PRIMARY KEY, f float, d double, x decimal(65,30), b bigint, u bigint unsigned, bits bit(64), few bit(3), y year, z int(8) zerofill);
         INSERT INTO n VALUES
           (1, 3.402823466e38, 1.7976931348623157e308, 99999999999999999999999999999999999.999999999999999999999999999999, -9223372036854775808, 18446744073709551615, b'1111111111111111111111111111111111111111111111111111111111111111', b'101', 0, 7),
           (2, -1.175494351e-38, 2.2250738585072014e-308, -0.000000000000000000000000000001, 0, 0, b'0', b'0', 2155, 0),
           (3, 16777217, 0.1, 0, 1, 1, b'1011100', b'111', 1901, 1), (4, 0.1, 1e15, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
           (5, 1.23456789, 123456789.12345679, 1, 1, 1, b'101000001001', b'1', 1970, 1), (6, -0e0, -0e0, 1, 1, 1, 0x090A5C00, b'1', 1970, 1);
         INSERT INTO n SELECT 100 + seq, RAND(seq) * POW(10, CAST(seq AS signed) % 60 - 30), RAND(seq) * POW(10, CAST(seq AS signed) % 600 - 300), RAND(seq), seq, seq, seq, 1, 2000, seq FROM seq_1_to_2000;
         CREATE TABLE keyed (f float, d double, PRIMARY KEY (f, d)); INSERT INTO keyed SELECT DISTINCT f, d FROM n WHERE f IS NOT NULL;",
    );
    scene.copies_values();
    let exact = "SELECT COUNT(*) FROM n WHERE CAST(f AS double) = f AND f + 0 <> 0.1";
    assert_eq!(scene.live(exact), scene.source(exact));
}

#[test]
fn members_that_do_not_exist_and_zero_dates_arrive_on_a_strict_server() {
    let source = Server::with(&["--sql-mode="]);
    let target = Server::with(&[
        "--sql-mode=STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_BACKSLASH_ESCAPES,ANSI_QUOTES,PAD_CHAR_TO_FULL_LENGTH,EMPTY_STRING_IS_NULL",
    ]);
    let scene = Scene::without_databases(&source, &target);
    source.create_db(&scene.from);
    scene.source(
        "CREATE TABLE e (id int AUTO_INCREMENT PRIMARY KEY, e enum('a','b'), s set('x','y'), c char(5) NOT NULL DEFAULT '', t varchar(5));
         INSERT INTO e (e, s, c, t) VALUES ('nope', 'x,nope', 'ab', ''), ('', '', 'a\\\\', 'b  '), ('b', 'y,x', '', ' ');
         CREATE TABLE dates (id int PRIMARY KEY, d date, dt datetime(6), ts timestamp NOT NULL DEFAULT '0000-00-00 00:00:00', t time, z date NOT NULL DEFAULT '0000-00-00');
         INSERT INTO dates VALUES (1, '0000-00-00', '0000-00-00', '0000-00-00', '-00:00:01', '2024-00-00'), (2, '2024-02-00', '2024-02-31 1:2:3.4', '2024-01-01', '838:59:59', '0000-00-00');
         CREATE TABLE zero (id int AUTO_INCREMENT PRIMARY KEY, a int); INSERT INTO zero VALUES (5, 1); UPDATE zero SET id = 0; INSERT INTO zero VALUES (NULL, 2), (-7, 3);",
    );
    scene.copies_values();
    let raw = "SET sql_mode = ''; SELECT id, d, dt, ts, z FROM dates ORDER BY id";
    assert_eq!(scene.live(raw), scene.source(raw));
    assert_eq!(scene.live("SELECT e + 0, s + 0 FROM e WHERE id = 1"), "0|1");
    assert_eq!(scene.live("SELECT id FROM zero ORDER BY id"), "-7\n0\n6");
    let next = "INSERT INTO zero (a) VALUES (9); SELECT id FROM zero WHERE a = 9";
    assert_eq!(scene.live(next), scene.source(next));
}

#[test]
fn moments_arrive_between_servers_of_other_time_zones() {
    let source = Server::builder().timezone("Europe/London").start();
    let target = Server::builder()
        .timezone("America/New_York")
        .set("--default-time-zone=-08:00")
        .start();
    let scene = Scene::without_databases(&source, &target);
    source.create_db(&scene.from);
    // In London, the same hour passed twice on that night, and in spring there was none.
    scene.source(
        "SET time_zone = '+00:00';
         CREATE TABLE moments (id int PRIMARY KEY, ts timestamp(6) NULL, dt datetime, t time(3), KEY (ts));
         INSERT INTO moments VALUES (1, '2024-10-27 00:30:00', '2024-10-27 01:30:00', '01:30:00'), (2, '2024-10-27 01:30:00', '2024-10-27 01:30:00', '01:30:00'),
           (3, '2024-03-31 01:30:00', '2024-03-31 01:30:00', '01:30:00'), (4, '1970-01-01 00:00:00.000001', '1970-01-01', '00:00:00.001'), (5, '2038-01-19 03:14:07.999999', '9999-12-31 23:59:59', '-838:59:59'), (6, NULL, NULL, NULL);
         CREATE TABLE by_moment (ts timestamp NOT NULL, n int, PRIMARY KEY (ts)) PARTITION BY RANGE (UNIX_TIMESTAMP(ts)) (PARTITION p0 VALUES LESS THAN (1729990800), PARTITION p1 VALUES LESS THAN MAXVALUE);
         INSERT INTO by_moment VALUES ('2024-10-27 00:30:00', 1), ('2024-10-27 01:30:00', 2);
         CREATE TABLE defaults (id int PRIMARY KEY, at timestamp NOT NULL DEFAULT '2024-07-01 12:00:00'); INSERT INTO defaults (id) VALUES (1);",
    );
    scene.copies_values();
    let unix = "SELECT id, UNIX_TIMESTAMP(ts), dt, t FROM moments ORDER BY id";
    assert_eq!(scene.live(unix), scene.source(unix));
}

#[test]
fn what_only_mariadb_has_arrives() {
    let scene = Scene::empty();
    scene.source(
        r#"CREATE TABLE t (id int PRIMARY KEY, u uuid, i6 inet6, i4 inet4, j json, g geometry, p point NOT NULL, c text COMPRESSED, v varchar(20) INVISIBLE DEFAULT 'x', SPATIAL KEY (p));
         INSERT INTO t (id, u, i6, i4, j, g, p, c, v) VALUES
          (1, '123e4567-e89b-12d3-a456-426655440000', '::ffff:192.0.2.1', '0.0.0.0', '{"a":"\\u0000\\n", "b": [1.0, 1e400, "🌍"], "a": 2}', ST_GeomFromText('POINT(1e-300 -1e300)', 4326), POINT(1, 2), REPEAT('🌍', 1000), 'kept'),
          (2, NULL, '::', '255.255.255.255', ' [ ] ', ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 1),LINESTRING(0 0,9 9))', 3857), POINT(92, 10), '', NULL),
          (3, 'ffffffff-ffff-ffff-ffff-ffffffffffff', NULL, NULL, NULL, NULL, POINT(0, 0), NULL, ''),
          (4, '00000000-0000-0000-0000-000000000000', 'ffff::', '92.9.10.0', 'null', ST_GeomFromText('MULTIPOINT(1 1,2 2)', 0), POINT(-0.0, 1), '\\', '\\');
         CREATE TABLE unseen_key (id int INVISIBLE AUTO_INCREMENT PRIMARY KEY, a int); INSERT INTO unseen_key (id, a) VALUES (9, 1), (4, 2);"#,
    );
    scene.copies_values();
    assert_eq!(
        scene.live("SELECT ST_SRID(g), ST_AsText(g), i6, v FROM t WHERE id = 1"),
        "4326|POINT(1e-300 -1e300)|::ffff:192.0.2.1|kept"
    );
}

#[test]
fn generated_columns_are_computed_and_defaults_are_not() {
    let scene = Scene::empty();
    scene.source(
        "CREATE TABLE t (id int PRIMARY KEY, a int, at timestamp NOT NULL DEFAULT current_timestamp() ON UPDATE current_timestamp(), d int DEFAULT (a + 1),
           v int AS (a * 2) VIRTUAL, s varchar(20) AS (concat('s', a)) STORED, hidden int AS (a - 1) STORED INVISIBLE, UNIQUE KEY (v), KEY (s));
         INSERT INTO t (id, a, at, d) VALUES (1, 5, '2001-01-01', 77), (2, NULL, '2002-02-02', NULL);
         CREATE TABLE first_is_generated (v int AS (id + 1) VIRTUAL, id int PRIMARY KEY, w int AS (id + 2) STORED); INSERT INTO first_is_generated (id) VALUES (1), (2);
         CREATE TABLE only_generated (w int AS (5) STORED); INSERT INTO only_generated () VALUES (), ();",
    );
    scene.copies_values();
    assert_eq!(
        scene.live("SELECT a, at, d, v, s, hidden FROM t WHERE id = 1"),
        "5|2001-01-01 00:00:00|77|10|s5|4"
    );
}

#[test]
fn oracle_s_values_arrive_on_oracle_s_server() {
    let start = || Server::builder().of(Version::Oracle).start();
    let (source, target) = (start(), start());
    let scene = Scene::without_databases(&source, &target);
    source.create_db(&scene.from);
    scene.source(
        r#"CREATE TABLE t (id int PRIMARY KEY, j json, g geometry SRID 4326, b bit(10), bl blob, f float, d double, ts timestamp(6) NULL, y year, e enum('a','é'), v int INVISIBLE DEFAULT 3,
            expr varchar(20) DEFAULT (concat('a', 'b')), s int AS (id * 2) STORED, KEY ((id + 1)), KEY (id) INVISIBLE, CHECK (id < 100));
         INSERT INTO t (id, j, g, b, bl, f, d, ts, y, e, v) VALUES
          (1, '{"b": [1.0, 12345678901234567890, "🌍\\n\\\\"], "a": null}', ST_GeomFromText('POINT(10 20)', 4326), b'1001011100', X'00090A5C', 3.40282e38, 1.7976931348623157e308, '2038-01-19 03:14:07.999999', 1901, 'é', 8),
          (2, JSON_OBJECT('d', CAST('2024-01-01 10:00:00' AS datetime), 'b', CAST(X'00FF' AS BINARY)), NULL, b'0', '', 0.1, -0e0, NULL, NULL, NULL, NULL);
         CREATE TABLE all_bytes (id int PRIMARY KEY, b varbinary(9));"#,
    );
    scene.copies_values();
    let json = "SELECT id, CAST(j AS CHAR), ST_SRID(g), ST_AsText(g) FROM t ORDER BY id";
    assert_eq!(scene.live(json), scene.source(json));
}

/// What is computed from moments under a zone and kept: columns, and indexes over columns and expressions.
const ZONED: &str = "CREATE TABLE t (id int PRIMARY KEY, ts timestamp(6) NULL, n int, s varchar(40),
        changed timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
        day date AS (DATE(ts)) STORED, local datetime AS (FROM_UNIXTIME(n)) STORED, said datetime AS (CAST(s AS DATETIME)) STORED,
        h int AS (HOUR(ts)) VIRTUAL, h2 int AS (h * 2) STORED, KEY by_hour (h), KEY by_day (day), KEY by_expression ((CAST(ts AS DATE))));
    SET time_zone = '+00:00';
    INSERT INTO t (id, ts, n, s, changed) VALUES (1, '2026-07-01 02:30:00.5', 1782873000, '2026-07-01 02:30:00+00:00', '2001-02-03 04:05:06'),
      (2, '2026-11-01 05:30:00', 1793511000, '2026-01-01 00:00:00', '2026-11-01 05:30:00'), (3, '2026-11-01 06:30:00', 1793514600, NULL, '2026-11-01 06:30:00'),
      (4, NULL, NULL, NULL, '2026-03-08 07:00:00'), (5, '1970-01-01 00:00:01', 0, NULL, '2038-01-19 03:14:07');
    SET time_zone = DEFAULT; ALTER TABLE t FORCE, ALGORITHM = COPY;
    CREATE TABLE many LIKE t; ALTER TABLE many MODIFY id int AUTO_INCREMENT, ADD filler text;
    INSERT INTO many (ts, n, changed, filler) WITH RECURSIVE s AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM s WHERE n < 500)
      SELECT FROM_UNIXTIME(1780000000 + n * 40000), 1780000000 + n * 40000, '2001-02-03 04:05:06', REPEAT('x', 6000) FROM s;
    ANALYZE TABLE many;
    CREATE TABLE only_index (id int PRIMARY KEY, ts timestamp NULL, h int AS (HOUR(ts)) VIRTUAL, UNIQUE KEY by_hour (h, id));
    INSERT INTO only_index (id, ts) SELECT id, ts FROM t;";

#[test]
fn what_is_computed_under_a_time_zone_is_what_the_targets_sessions_compute() {
    let start = |zone| {
        let builder = Server::builder().of(Version::Oracle);
        builder.timezone(zone).start()
    };
    let source = start("America/New_York");
    for (zone, job) in [
        ("America/New_York", "verify = \"checksum\""),
        ("Asia/Kolkata", ""),
        ("UTC", ""),
    ] {
        let target = start(zone);
        let scene = Scene::on_any(&source, &target);
        scene.source(ZONED);
        let outcome = scene.copy(&scene.job().task(job));
        assert_eq!(
            outcome.stderr.contains("another one on the target"),
            job.is_empty(),
            "{zone}"
        );
        let moments =
            "SELECT id, UNIX_TIMESTAMP(ts), UNIX_TIMESTAMP(changed), n, s FROM {} ORDER BY id";
        for table in ["t", "many"] {
            let moments = moments.replace("{}", table);
            assert_eq!(scene.live(&moments), scene.source(&moments), "{zone}");
            let wrong = format!(
                "SELECT COUNT(*) FROM {table} WHERE NOT (day <=> DATE(ts)) OR NOT (local <=> FROM_UNIXTIME(n)) OR NOT (said <=> CAST(s AS DATETIME)) OR NOT (h2 <=> HOUR(ts) * 2)"
            );
            assert_eq!(scene.live(&wrong), "0", "{zone}");
        }
        for (table, index, column) in [
            ("t", "by_hour", "h"),
            ("many", "by_hour", "h"),
            ("many", "by_expression", "CAST(ts AS DATE)"),
            ("only_index", "by_hour", "h"),
        ] {
            let grouped = |which: &str| {
                scene.live(&format!(
                    "SELECT {column} AS c, COUNT(*) FROM {table} {which} INDEX ({index}) WHERE {column} > 0 GROUP BY c ORDER BY c"
                ))
            };
            assert_eq!(
                grouped("FORCE"),
                grouped("IGNORE"),
                "{zone} {table} {index}"
            );
            let checked = scene.live(&format!("CHECK TABLE {table}"));
            assert!(checked.ends_with("|OK"), "{checked}");
        }
        if zone == "America/New_York" {
            scene.assert_same();
        }
    }
}

#[test]
fn what_kept_rows_have_computed_under_a_time_zone_stays() {
    let start = |zone| {
        let builder = Server::builder().of(Version::Oracle);
        builder.timezone(zone).start()
    };
    let (source, target) = (start("UTC"), start("America/New_York"));
    let scene = Scene::on_any(&source, &target);
    let kept = "CREATE TABLE kept (id int PRIMARY KEY, ts timestamp NULL, day date AS (DATE(ts)) STORED, h int AS (HOUR(ts)) STORED);";
    scene.source(kept);
    let rows = "INSERT INTO kept (id, ts) VALUES (1, FROM_UNIXTIME(1793511000)), (2, FROM_UNIXTIME(1793514600)), (3, FROM_UNIXTIME(1782873000));";
    scene.live(&format!("{kept} {rows}"));
    let seen = "SELECT id, UNIX_TIMESTAMP(ts), day, h FROM kept ORDER BY id";
    let before = scene.live(seen);
    let outcome = scene.copy(&scene.job().task("keep = [\"kept\"]"));
    assert!(
        !outcome.stderr.contains("cannot hold"),
        "{}",
        outcome.stderr
    );
    assert_eq!(scene.live(seen), before);
}
