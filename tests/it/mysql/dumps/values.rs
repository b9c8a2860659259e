//! Values of every type, as the tools write them under their options, arrive as what they were.

use super::*;

/// What both makers have.
const TYPES: &str = r#"
    CREATE TABLE numbers (id int AUTO_INCREMENT PRIMARY KEY, t tinyint, s smallint unsigned, m mediumint, i int(5) unsigned zerofill, b bigint unsigned,
        d decimal(30,10), f float, g double, y year, bits bit(12), one bit(1), flag boolean);
    SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES';
    INSERT INTO numbers VALUES (0, -128, 65535, -8388608, 42, 18446744073709551615, -12345678901234567890.0123456789, 0.1, 1e300, 1999, b'100000000001', b'1', TRUE),
        (2, 127, 0, 8388607, 0, 0, 0.5, -1.5e10, -2.5e-300, 2155, b'0', b'0', FALSE), (7, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
    CREATE TABLE moments (id int PRIMARY KEY, d date, t time(3), dt datetime(6), ts timestamp(6) NULL, zero date);
    INSERT INTO moments VALUES (1, '2021-02-31', '-838:59:59.000', '1000-01-01 00:00:00.000001', '2024-06-30 12:34:56.789012', '0000-00-00'),
        (2, '9999-12-31', '00:00:00.5', NULL, NULL, NULL);
    CREATE TABLE texts (id int PRIMARY KEY, u text CHARACTER SET utf8mb4, b varchar(40) CHARACTER SET utf8mb3, l varchar(40) CHARACTER SET latin1,
        k varchar(40) CHARACTER SET koi8r, c char(9) CHARACTER SET cp1250, w varchar(40) CHARACTER SET utf16, x varchar(40) CHARACTER SET ucs2,
        z varchar(40) CHARACTER SET utf32, g varchar(40) CHARACTER SET gbk, j varchar(40) CHARACTER SET sjis, a varchar(40) CHARACTER SET ascii,
        e enum('größe', 'b', '') CHARACTER SET latin1, s set('é', 'o') CHARACTER SET latin1, n varchar(9));
    INSERT INTO texts VALUES (1, 'größe;\n''"\\\t\r\Z\0%_', 'é', 'größe', 'e', 'é', 'é', 'é', 'é', 'a', 'a', 'a', 'größe', 'é,o', ''),
        (2, REPEAT('é', 9000), 'e', 'ÿ', 'a', 'a', 'a', 'a', 'a', '', '', '', '', '', NULL), (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
    CREATE TABLE bytes (id int PRIMARY KEY, f binary(5), v varbinary(300), b longblob, p point, g geometry);
    INSERT INTO bytes VALUES (1, 'a', X'00275C0A0D1A09FF22', X'C3A9FF', POINT(1.5, -2), ST_GeomFromText('LINESTRING(0 0, 1 1)')), (2, '', '', '', NULL, NULL), (3, NULL, NULL, NULL, NULL, NULL);
    CREATE TABLE made (id int PRIMARY KEY, a int, twice int AS (a * 2) STORED, thrice int AS (a * 3) VIRTUAL, z int);
    INSERT INTO made (id, a, z) VALUES (1, 2, 3), (2, NULL, 4);
    CREATE TABLE nothing_here (id int PRIMARY KEY, a text);"#;

/// What only Unicode has, which a dump in Latin-1 loses at its source.
const BEYOND: &str = "
    INSERT INTO texts (id, u, b, l, k, c, w, x, z, g, j) VALUES (9, '€ 🦀', '語', '€', 'привет', 'ęł€', '🦀語', '語', '🦀', '汉字', '日本ソ');";

/// What MariaDB has alone.
const OF_MARIADB: &str = "
    CREATE TABLE seen (id int PRIMARY KEY, v int INVISIBLE DEFAULT 3, j json, i inet6, q inet4, u uuid);
    INSERT INTO seen (id, v, j, i, q, u) VALUES (1, 4, '{\"a\": [1.50, \"é\"]}', '2001:db8::ff', '1.2.3.4', '123e4567-e89b-12d3-a456-426655440000'), (2, NULL, NULL, NULL, NULL, NULL);";

const OF_ORACLE: &str = "
    CREATE TABLE seen (id int PRIMARY KEY, v int INVISIBLE DEFAULT 3, j json);
    INSERT INTO seen (id, v, j) VALUES (1, 4, '{\"a\": [1.50, \"é\"]}'), (2, NULL, NULL);";

/// Options that say how rows are written.
const OPTIONS: [&[&str]; 7] = [
    &[],
    &["--hex-blob"],
    &["--skip-extended-insert", "--complete-insert"],
    &["--skip-opt", "--create-options"],
    &["--insert-ignore"],
    &["--replace", "--hex-blob", "--complete-insert"],
    &["--default-character-set=utf8mb3"],
];

/// Each way of writing rows.
fn arrives(scene: &Scene<'_>, program: &std::path::Path, all: &[&[&str]]) {
    for options in all {
        // The tools' utf8mb3 has no crabs.
        if options.iter().any(|option| option.contains("utf8mb3")) {
            scene.source("UPDATE texts SET u = NULL, w = NULL, z = NULL WHERE id = 9");
        }
        let dump = dumped_by(program, scene, options);
        run(pull(scene, &exact(scene), pieces(dump, 4096)))
            .unwrap_or_else(|error| panic!("{options:?}: {error:?}"));
        scene.assert_same();
    }
}

#[test]
fn every_type_arrives_from_every_way_that_mariadb_dump_writes_it() {
    let scene = Scene::empty();
    let program = std::path::Path::new("mariadb-dump");
    scene.source(&format!("{TYPES}{OF_MARIADB}"));
    arrives(&scene, program, &[&["--default-character-set=latin1"]]);
    scene.source(BEYOND);
    arrives(&scene, program, &OPTIONS);
}

#[test]
fn every_type_arrives_from_every_way_that_mysqldump_writes_it() {
    let start = || Server::builder().of(Version::Oracle).start();
    let (source, target) = (start(), start());
    let scene = Scene::without_databases(&source, &target);
    source.create_db(&scene.from);
    let program = tools("mysql").join("bin/mysqldump");
    scene.source(&format!("{TYPES}{OF_ORACLE}"));
    arrives(&scene, &program, &[&["--default-character-set=latin1"]]);
    scene.source(BEYOND);
    arrives(&scene, &program, &OPTIONS);
}

#[test]
fn rows_that_are_here_and_there_in_a_dump_arrive_all_and_those_of_a_dropped_table_do_not() {
    let scene = Scene::new();
    let dump = String::from_utf8(dumped(&scene, &[])).expect("text");
    let end = dump.rfind("/*!40103 SET TIME_ZONE").expect("an end");
    let (begin, end) = dump.split_at(end);
    let odd = "CREATE TABLE `one` (a int); INSERT INTO `one` VALUES (1);
        CREATE TABLE `two` (a int); INSERT INTO `two` VALUES (2);
        INSERT INTO `one` VALUES (3); INSERT INTO `users` VALUES (9001,'later');
        CREATE TABLE `gone` (a int, b int); INSERT INTO `gone` VALUES (4,4);
        DROP TABLE `gone`; CREATE TABLE `gone` (b int); INSERT INTO `gone` VALUES (5);
        CREATE TABLE `empty` (a int); INSERT INTO `empty` VALUES (6);
        DROP TABLE IF EXISTS `empty`; CREATE TABLE `empty` (a int);\n";
    let made = format!("{begin}{odd}{end}");
    run(pull(&scene, &scene.job(), pieces(made.into(), 4096))).expect("a pull");
    assert_eq!(
        scene.live(
            "SELECT (SELECT SUM(a) FROM one), (SELECT SUM(a) FROM two), (SELECT SUM(b) FROM gone),
                    (SELECT COUNT(*) FROM empty), (SELECT COUNT(*) FROM users)"
        ),
        "4|2|5|0|201"
    );
}

#[test]
fn moments_of_another_zone_or_of_none_are_refused() {
    let scene = Scene::new();
    scene.source("CREATE TABLE m (t timestamp); INSERT INTO m VALUES ('2024-01-01 00:00:00')");
    let dump = String::from_utf8(dumped(&scene, &[])).expect("text");
    let other = dump.replace("TIME_ZONE='+00:00'", "TIME_ZONE='+05:00'");
    assert_ne!(dump, other);
    let unsaid = dumped(&scene, &["--skip-tz-utc"]);
    for (dump, says) in [
        (other.into(), "`m` in the time zone +05:00, and not in UTC"),
        (
            unsaid,
            "does not say in which time zone the TIMESTAMPs of `m` are",
        ),
    ] {
        let error = refused(run(pull(&scene, &scene.job(), pieces(dump, 4096))));
        assert!(error.to_string().contains(says), "{error}");
        scene.live_is_old();
        scene.nothing_is_left();
    }
}

#[test]
fn no_row_of_a_dump_is_ever_in_the_schema_beside_live() {
    let scene = Scene::new();
    let dump = dumped(&scene, &[]);
    run(async {
        let (task, context) = order(&scene, "pull", &scene.job());
        let target = store::registry::open_target(&task, &context)
            .await
            .expect("a target");
        target.lock().await.expect("the lock");
        let restored =
            dumps(task.kind)
                .expect("dumps")
                .restore(&task, &context, pieces(dump, 4096));
        let source = restored.await.expect("a dump");
        let beside = scene.beside_live();
        assert_eq!(beside.len(), 1);
        assert_eq!(
            scene.target.sql(&beside[0], "SELECT COUNT(*) FROM users"),
            "0"
        );
        let survey = source
            .survey(&target.taker().await.expect("one"))
            .await
            .expect("a survey");
        assert_eq!(survey.parts.iter().map(|part| part.rows).sum::<u64>(), 700);
        source.close().await;
        target.close().await;
    });
    assert_eq!(scene.beside_live(), Vec::<String>::new());
}
