//! Definitions that other tools rewrite, leave out or stumble over: in other character sets, of other bytes, broken, or against
//! what the target's server wants.

use std::io::Write;
use std::process::Stdio;

use super::Scene;
use super::theirs::oracle;
use crate::support::mysql::{Server, Version, shared};

impl Scene<'_> {
    /// Runs bytes of any character set on production.
    fn raw(&self, sql: &[u8]) {
        let mut child = self
            .source
            .client("root", &self.from)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("mariadb");
        child
            .stdin
            .take()
            .expect("piped")
            .write_all(sql)
            .expect("it reads");
        assert!(child.wait().expect("an end").success());
    }

    /// The same query says the same on both sides.
    #[track_caller]
    fn agrees(&self, sql: &str) -> String {
        let there = self.source(sql);
        assert_eq!(self.live(sql), there);
        there
    }
}

#[test]
fn defaults_and_routines_of_bytes_that_are_no_utf8_arrive_as_they_are() {
    for pair in [shared(), oracle()] {
        let scene = Scene::on_any(&pair.source, &pair.target);
        scene.source("CREATE TABLE d (id int PRIMARY KEY, x varbinary(4) DEFAULT x'00ff', b binary(3) DEFAULT x'e9275c')");
        scene.raw(b"SET NAMES binary; CREATE PROCEDURE p() SELECT hex('\xff\xe9');");
        let job = scene.job().task("verify = \"checksum\"");
        scene.copy(&job);
        scene.live("INSERT INTO d (id) VALUES (1)");
        assert_eq!(scene.live("SELECT HEX(x), HEX(b) FROM d"), "00FF|E9275C");
        assert_eq!(scene.live("CALL p()"), "FFE9");
        // A journal has them, too.
        scene.copy(&job);
        scene
            .bed
            .with_file("rollback", &scene.write(&job))
            .expect(0);
        assert_eq!(scene.live("CALL p()"), "FFE9");
        scene.agrees("SELECT character_set_client FROM information_schema.routines WHERE routine_schema = DATABASE()");
    }
}

#[test]
fn objects_keep_the_character_set_and_the_collations_that_they_were_made_under() {
    let scene = Scene::on_any(&shared().source, &shared().target);
    scene.source("CREATE TABLE t (a varchar(20)); ALTER DATABASE CHARACTER SET latin1 COLLATE latin1_german1_ci");
    scene.raw(
        b"SET NAMES latin1; CREATE PROCEDURE p(x varchar(9)) SELECT 'caf\xe9', COLLATION(x);
        CREATE VIEW v AS SELECT 'caf\xe9' AS c;
        CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 'caf\xe9';
        CREATE EVENT e ON SCHEDULE EVERY 1 DAY STARTS '2036-01-01 00:00:00' DO SELECT 'caf\xe9';",
    );
    scene.source("ALTER DATABASE CHARACTER SET utf8mb4 COLLATE utf8mb4_polish_ci");
    let job = scene
        .job()
        .task("definer = \"keep\"")
        .task("events = \"keep\"");
    let settled = "SELECT default_collation_name FROM information_schema.schemata WHERE schema_name = DATABASE()";
    for _ in 0..2 {
        scene.copy(&job);
        for sql in [
            "SELECT character_set_client, collation_connection, database_collation, routine_definition FROM information_schema.routines WHERE routine_schema = DATABASE()",
            "SELECT character_set_client, collation_connection, database_collation, action_statement FROM information_schema.triggers WHERE trigger_schema = DATABASE()",
            "SELECT character_set_client, collation_connection, database_collation, event_definition FROM information_schema.events WHERE event_schema = DATABASE()",
        ] {
            let said = scene.agrees(sql);
            assert!(
                said.starts_with("latin1|latin1_swedish_ci|latin1_german1_ci|"),
                "{said}"
            );
        }
        scene.agrees("SELECT character_set_client, collation_connection FROM information_schema.views WHERE table_schema = DATABASE()");
        let trigger = scene.live("SHOW CREATE TRIGGER tr");
        assert!(trigger.contains(" ON t FOR"), "{trigger}");
        assert_eq!(scene.live("CALL p('x')"), "café|latin1_german1_ci");
        assert_eq!(scene.live("SELECT c FROM v"), "café");
        // Live's default is the source's, and none of those that its objects were made under.
        assert_eq!(scene.agrees(settled), "utf8mb4_polish_ci");
    }
}

#[test]
fn an_event_that_is_disabled_on_replicas_stays_so() {
    for pair in [shared(), oracle()] {
        let scene = Scene::on_any(&pair.source, &pair.target);
        scene.source("CREATE EVENT e ON SCHEDULE EVERY 1 DAY STARTS '2036-01-01 00:00:00' DISABLE ON SLAVE DO SELECT 1");
        scene.copy(&scene.job().task("events = \"keep\""));
        let status = "SELECT status FROM information_schema.events WHERE event_schema = DATABASE()";
        assert_ne!(scene.agrees(status), "DISABLED");
        scene.copy(&scene.job());
        assert_eq!(scene.live(status), "DISABLED");
    }
}

#[test]
fn a_view_whose_column_is_gone_keeps_its_text() {
    for pair in [shared(), oracle()] {
        let scene = Scene::on_any(&pair.source, &pair.target);
        scene.source("CREATE TABLE t (id int PRIMARY KEY, g int); CREATE VIEW b1 AS SELECT g FROM t; ALTER TABLE t DROP COLUMN g");
        for _ in 0..2 {
            scene.copy(&scene.job()).says(&["b1"]);
            assert_eq!(scene.live("SHOW TABLES"), "b1\nt");
        }
        scene.live("ALTER TABLE t ADD COLUMN g int; INSERT INTO t VALUES (1, 5)");
        assert_eq!(scene.live("SELECT g FROM b1"), "5");
    }
}

/// Documents with values of all types that JSON's text does not have: deep, twice, under odd keys, as the whole document.
const TYPED: &str = r#"CREATE TABLE plain (id int PRIMARY KEY, j json); INSERT INTO plain VALUES (1, '{"a": [1, 2.5, "x", null]}'), (2, NULL);
    CREATE TABLE typed (a json, id int, b json, c varbinary(9), d blob, f bit(9), g binary(4), t timestamp NULL, z time(3));
    INSERT INTO typed (id, c, d, f, g, t, z) VALUES (1, 'ab', X'00ff', b'101', 'xy', '2024-01-02 03:04:05', '-38:59:59.123');
    INSERT INTO typed (id, a, b) VALUES
      (2, JSON_OBJECT('d', CAST(1.10 AS decimal(10,2)), 'e', 1.1e0, 's', '1.10'), CAST(CAST('2020-01-01 10:00:00' AS datetime) AS json)),
      (3, JSON_ARRAY(1.10, JSON_ARRAY(1.10, JSON_OBJECT('', 2.50, '"', 3.50, 'a.b', CAST('2020-02-03' AS date), '\\', CAST('10:00:00.5' AS time(1)), 'é😀', 5.0, '$[0]', 6.00, CHAR(9 USING utf8mb4), 7.0))), CAST(1.10 AS json)),
      (4, NULL, 'null'), (5, '[]', '{}'), (6, JSON_ARRAY(12345678901234567890123456789012345.123456789012345678901234567890, -0.0, CAST(7 AS decimal(65,0))), JSON_OBJECT('q', JSON_ARRAY('it\'s', 0.50)));
    UPDATE typed SET a = JSON_OBJECT('c', c, 'd', d, 'g', g, 't', t, 'z', z, 'x', X'00ff', 'h', FROM_BASE64('AP8=')) WHERE id = 1;
    CREATE TABLE long_ones (id int AUTO_INCREMENT PRIMARY KEY, j json, filler text);
    INSERT INTO long_ones (j, filler) WITH RECURSIVE s AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM s WHERE n < 400)
      SELECT IF(n > 390, JSON_OBJECT('n', n / 3, 'list', JSON_ARRAY(n / 7, NOW(), REPEAT('y', 3000))), JSON_OBJECT('n', n)), REPEAT('x', 6000) FROM s;
    ANALYZE TABLE long_ones;
    CREATE TABLE late (id int AUTO_INCREMENT PRIMARY KEY, j json);
    INSERT INTO late (j) WITH RECURSIVE s AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM s WHERE n < 1000) SELECT '1' FROM s;
    INSERT INTO late (j) SELECT '1' FROM late; INSERT INTO late (j) VALUES (CAST(CAST('10:00' AS time) AS json));"#;

/// All values of all documents, with their types.
fn types(scene: &Scene<'_>) -> [String; 2] {
    let mut sql = "SET SESSION group_concat_max_len = 100000000;".to_owned();
    for (table, key, column) in [
        ("typed", "id", "a"),
        ("typed", "id", "b"),
        ("long_ones", "id", "j"),
        ("late", "id", "j"),
    ] {
        sql += &format!(
            "SELECT {key}, GROUP_CONCAT(JSON_TYPE(f.v), ' ', CAST(f.v AS CHAR) ORDER BY f.n SEPARATOR ' | ') FROM {table} AS t, \
             JSON_TABLE(JSON_EXTRACT(t.{column}, '$', '$**.*', '$**[*]'), '$[*]' COLUMNS (n FOR ORDINALITY, v JSON PATH '$')) AS f GROUP BY {key} ORDER BY {key};"
        );
    }
    [scene.source(&sql), scene.live(&sql)]
}

#[test]
fn values_in_json_keep_their_types() {
    let pair = oracle();
    let off = Server::builder()
        .of(Version::Oracle)
        .set("--local-infile=0")
        .start();
    for target in [&pair.target, &off] {
        let scene = Scene::on_any(&pair.source, target);
        scene.source(TYPED);
        for job in ["", "verify = \"checksum\"", "jobs = 1"] {
            let job = scene.job().task(job);
            let outcome = scene.copy(&job);
            assert!(!outcome.stderr.contains("JSON"), "{}", outcome.stderr);
            scene.assert_same();
            let [wanted, found] = types(&scene);
            assert_eq!(found, wanted);
            assert!(wanted.contains("DECIMAL 1.10"), "{wanted}");
        }
    }
}

/// Documents with thousands of values.
const LARGE: &str = "CREATE TABLE large_ones (id int AUTO_INCREMENT PRIMARY KEY, j json);
    SET SESSION cte_max_recursion_depth = 100000;
    INSERT INTO large_ones (j) WITH RECURSIVE s AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM s WHERE n < 1500)
      SELECT JSON_ARRAYAGG(JSON_OBJECT('n', n / 4, 'at', CAST('2024-01-02 03:04:05' AS datetime), 'list', JSON_ARRAY(n, n / 7, REPEAT('y', 200)))) FROM s;
    INSERT INTO large_ones (j) SELECT JSON_OBJECT('of', j, 'last', CAST(0.50 AS decimal(3, 2))) FROM large_ones;";

#[test]
fn values_in_json_keep_their_types_where_the_servers_temporary_tables_do_not_fit_in_memory() {
    let small = || {
        let builder = Server::builder().of(Version::Oracle);
        let builder = builder.set("--tmp-table-size=1M");
        let builder = builder.set("--temptable-max-ram=8M");
        builder.set("--temptable-max-mmap=0").start()
    };
    let (source, target) = (small(), small());
    let scene = Scene::on_any(&source, &target);
    scene.source(TYPED);
    scene.source(LARGE);
    let on_disk = "SHOW GLOBAL STATUS LIKE 'Created_tmp_disk_tables'";
    let before = scene.source(on_disk);
    let outcome = scene.copy(&scene.job().task("verify = \"checksum\""));
    assert_ne!(scene.source(on_disk), before, "the server had room for all");
    assert!(!outcome.stderr.contains("JSON"), "{}", outcome.stderr);
    let [wanted, found] = types(&scene);
    assert_eq!(found, wanted);
    let large = "SELECT id, COUNT(*), SUM(JSON_TYPE(f.v) = 'DECIMAL'), SUM(JSON_TYPE(f.v) = 'DATETIME'), SUM(CRC32(CONCAT(f.n, JSON_TYPE(f.v)))) FROM large_ones AS t, \
         JSON_TABLE(JSON_EXTRACT(t.j, '$**.*', '$**[*]'), '$[*]' COLUMNS (n FOR ORDINALITY, v JSON PATH '$')) AS f GROUP BY id ORDER BY id";
    let there = scene.agrees(large);
    assert!(there.starts_with("1|10500|3000|1500|"), "{there}");
}

#[test]
fn json_values_lose_their_types_with_a_warning_where_their_statements_could_be_read() {
    let pair = oracle();
    let scene = Scene::on_any(&pair.source, &pair.target);
    scene.source(TYPED);
    scene.bed.file("nothing.sql", "DO 1;");
    let job = scene.job().task("scripts = [\"nothing.sql\"]");
    scene
        .copy(&job)
        .says(&["table=typed", "column=b", "performance_schema"]);
    let text = "SELECT id, JSON_TYPE(b) FROM typed WHERE id = 2";
    assert_eq!(scene.source(text), "2|DATETIME");
    assert_eq!(scene.live(text), "2|STRING");
}

#[test]
fn tables_without_a_primary_key_arrive_where_the_target_makes_one_or_are_refused_by_plan() {
    let target = Server::builder()
        .of(Version::Oracle)
        .set("--sql-generate-invisible-primary-key=ON")
        .start();
    let scene = Scene::on_any(&oracle().source, &target);
    scene.source("CREATE TABLE nopk (a int, b varchar(10)); INSERT INTO nopk VALUES (1, 'x'), (1, 'x');
        CREATE TABLE parted (a int) PARTITION BY HASH (a) PARTITIONS 2; INSERT INTO parted VALUES (1), (2);");
    // Who may, copies them as they are.
    scene.copy(&scene.job().task("verify = \"checksum\""));
    scene.assert_same();
    // Who may not, hears of what is partitioned, and of what has one key more.
    let job = scene.modest_job();
    grant_routines(&scene);
    let file = scene.write(&job);
    scene
        .bed
        .with_file("plan", &file)
        .expect(1)
        .says(&["`parted`", "sql_generate_invisible_primary_key"]);
    scene.source("DROP TABLE parted");
    scene
        .copy(&job.task("verify = \"checksum\""))
        .says(&["`nopk`", "invisible"]);
    assert_eq!(
        scene.live("SELECT a, b, my_row_id FROM nopk ORDER BY my_row_id"),
        "1|x|1\n1|x|2"
    );
    // A source with such keys keeps them, and says what they are.
    let scene = Scene::on_any(&target, &oracle().target);
    scene.source("SET sql_generate_invisible_primary_key = 1; CREATE TABLE has (a int); INSERT INTO has VALUES (5)");
    scene.copy(&scene.job());
    assert_eq!(scene.agrees("SELECT my_row_id, a FROM has"), "1|5");
    scene.assert_same();
}

/// Without it, a source's user is not shown what routines there are.
fn grant_routines(scene: &Scene<'_>) {
    scene.source.sql("", "GRANT SHOW_ROUTINE ON *.* TO reader");
}

#[test]
fn a_server_that_wants_primary_keys_is_asked_before_anything_is_copied() {
    let oracles = Server::builder()
        .of(Version::Oracle)
        .set("--sql-require-primary-key=ON")
        .start();
    let marias = Server::with(&["--innodb-force-primary-key=ON"]);
    for (source, target, setting) in [
        (&oracle().source, &oracles, "sql_require_primary_key"),
        (&shared().source, &marias, "innodb_force_primary_key"),
    ] {
        let scene = Scene::on_any(source, target);
        scene.source("CREATE TABLE keyed (a int PRIMARY KEY); CREATE TABLE nopk (a int)");
        let file = scene.write(&scene.job());
        let plan = scene
            .bed
            .with_file("plan", &file)
            .expect(1)
            .says(&["`nopk`", setting]);
        assert!(!plan.stderr.contains("keyed"), "{}", plan.stderr);
        scene.source("DROP TABLE nopk");
        scene.copy(&scene.job());
        scene.assert_same();
    }
}

#[test]
fn rows_arrive_on_a_target_with_very_small_packets() {
    let target = Server::with(&["--max-allowed-packet=64K", "--net-buffer-length=16K"]);
    let scene = Scene::on(&shared().source, &target);
    let long = "x".repeat(20_000);
    scene.source("CREATE TABLE b (id int PRIMARY KEY, b longblob); INSERT INTO b VALUES (1, REPEAT('x', 60000)), (2, REPEAT('\\\\', 50000))");
    for number in 0..5 {
        scene.source(&format!("CREATE TABLE w{number} (a int) COMMENT = '{}'; CREATE PROCEDURE p{number}() SELECT '{long}'", "c".repeat(2000)));
    }
    let job = scene.job();
    scene.copy(&job);
    scene.live_is_new();
    assert_eq!(
        scene.live("SELECT LENGTH(b) FROM b ORDER BY id"),
        "60000\n50000"
    );
    scene
        .bed
        .with_file("rollback", &scene.write(&job))
        .expect(0);
    scene.live_is_old();
    scene.source(&format!(
        "CREATE PROCEDURE long_one() SELECT '{}'",
        "y".repeat(70_000)
    ));
    scene
        .bed
        .once(&scene.write(&job))
        .expect(1)
        .says(&["max_allowed_packet", "long_one"]);
    scene.live_is_old();
}

#[test]
fn a_table_that_somebody_has_locked_is_named_as_the_reason_and_the_run_is_busy() {
    let source = Server::with(&[]);
    let scene = Scene::on(&source, &shared().target);
    scene.source("CREATE TABLE m (id int PRIMARY KEY) ENGINE = MyISAM");
    let mut locker = scene
        .source
        .client("root", &scene.from)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("mariadb");
    let mut stdin = locker.stdin.take().expect("piped");
    stdin
        .write_all(b"LOCK TABLES m WRITE; SELECT 1;\n")
        .expect("it reads");
    stdin.flush().expect("it reads");
    crate::support::wait_until("the table is locked", || {
        let asked = "SET lock_wait_timeout = 1; SELECT COUNT(*) FROM m";
        scene.source.try_sql("root", &scene.from, asked).is_err()
    });
    scene
        .bed
        .once(&scene.write(&scene.job()))
        .expect(75)
        .says(&["hold locks", "root"]);
    drop(stdin);
    locker.wait().expect("an end");
    scene.live_is_old();
    scene.copy(&scene.job());
}

/// Foreign keys to a key that is not unique, and to the first column of a longer one: small tables, a large parent, a child with
/// a trigger, and a table that points to itself.
const LOOSE: &str = "SET restrict_fk_on_non_standard_key = OFF;
    CREATE TABLE p (id int PRIMARY KEY, k int, a int, b int, KEY (k), UNIQUE KEY ab (a, b));
    CREATE TABLE c1 (k int, CONSTRAINT to_k FOREIGN KEY (k) REFERENCES p (k));
    CREATE TABLE c2 (id int PRIMARY KEY, a int, CONSTRAINT to_a FOREIGN KEY (a) REFERENCES p (a) ON DELETE CASCADE);
    CREATE TABLE own (id int PRIMARY KEY, k int, up int, KEY (k), CONSTRAINT to_own FOREIGN KEY (up) REFERENCES own (k));
    CREATE TABLE big (id int PRIMARY KEY, k int, filler text, KEY (k));
    CREATE TABLE c3 (k int, CONSTRAINT to_big FOREIGN KEY (k) REFERENCES big (k));
    INSERT INTO p VALUES (1, 7, 1, 1), (2, 7, 1, 2), (3, 8, 2, 1);
    INSERT INTO c1 VALUES (7), (8); INSERT INTO c2 VALUES (1, 1), (2, 2); INSERT INTO own VALUES (1, 5, NULL), (2, 5, 5);
    INSERT INTO big WITH RECURSIVE s AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM s WHERE n < 500) SELECT n, n DIV 2, REPEAT('x', 6000) FROM s;
    INSERT INTO c3 VALUES (7); ANALYZE TABLE big;
    CREATE TRIGGER on_c2 BEFORE INSERT ON c2 FOR EACH ROW SET NEW.a = NEW.a;
    CREATE TRIGGER on_p BEFORE INSERT ON p FOR EACH ROW SET NEW.b = NEW.b";

#[test]
fn foreign_keys_to_keys_that_are_not_unique_arrive() {
    let pair = oracle();
    let scene = Scene::on_any(&pair.source, &pair.target);
    scene.source(LOOSE);
    let file = scene.write(&scene.job().task("verify = \"checksum\""));
    for _ in 0..2 {
        scene.bed.once(&file).expect(0);
        scene.assert_same();
    }
    scene.bed.with_file("rollback", &file).expect(0);
    scene.assert_same();
    assert!(
        scene
            .target
            .try_sql("root", &scene.to, "INSERT INTO c1 VALUES (9)")
            .is_err()
    );
    // Nor does it take more than a target's user has; and on a server that takes them anyway.
    let lenient = Server::builder()
        .of(Version::Oracle)
        .set("--restrict-fk-on-non-standard-key=OFF")
        .start();
    grant_routines(&scene);
    for target in [&pair.target, &lenient] {
        let scene = Scene::on_any(&pair.source, target);
        scene.source(LOOSE);
        scene.copy(&scene.modest_job());
        let keys = "SELECT GROUP_CONCAT(CONCAT(constraint_name, ' ', table_name, ' ', referenced_table_name) ORDER BY 1) FROM information_schema.referential_constraints WHERE constraint_schema = DATABASE()";
        assert_eq!(scene.live(keys), scene.source(keys));
        assert_eq!(scene.live("SELECT COUNT(*) FROM big"), "500");
    }
}
