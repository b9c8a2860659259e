//! Equal to the last definition: databases made to be hard to copy.

use super::Scene;
use crate::support::mysql::{Server, Version};

/// Everything that CREATE makes, each in its odd forms.
const EVERYTHING: &str = include_str!("../fixtures/mysql.sql");

#[test]
fn everything_that_create_can_make_arrives() {
    let scene = Scene::empty();
    copies_everything(&scene);
    let all = scene.target.definitions(&scene.to).join("\n");
    // The dump has what this test is about.
    for word in [
        "-- failed on view `on_broken`",
        "PARTITION `the rest` VALUES LESS THAN MAXVALUE",
        "SUBPARTITION BY HASH",
        "SPATIAL KEY `where_it_is`",
        "KEY `unused` (`m`) IGNORED",
        "KEY `falling` (`n` DESC,`m`)",
        "WITHOUT OVERLAPS",
        "DO SETVAL(`odd sequence`",
        "CREATE DEFINER=`root`@`localhost` AGGREGATE FUNCTION",
        "PACKAGE BODY \"kit\"",
        "CONSTRAINT `odd name` FOREIGN KEY",
        "EVENT `odd ``event`",
        "trigger|a_second|watched|BEFORE|INSERT|3",
        "AUTO_INCREMENT=1000000",
        "KEY_BLOCK_SIZE=4",
        "DEFAULT uuid()",
    ] {
        assert!(all.contains(word), "no {word} in the dump: {all}");
    }
}

/// In the next version's SHOW CREATE, keywords and defaults look otherwise.
#[test]
fn everything_arrives_between_servers_of_a_newer_version() {
    let start = || Server::builder().of(Version::Newer).start();
    let (source, target) = (start(), start());
    let scene = Scene::without_databases(&source, &target);
    source.create_db(&scene.from);
    copies_everything(&scene);
}

#[track_caller]
fn copies_everything(scene: &Scene<'_>) {
    scene.source(EVERYTHING);
    let exact = scene
        .job()
        .task("definer = \"keep\"")
        .task("events = \"keep\"")
        .task("verify = \"checksum\"");
    scene.copy(&exact);
    scene.assert_same();
}

#[test]
fn a_copy_of_a_copy_is_the_same_again() {
    let scene = Scene::empty();
    scene.source(EVERYTHING);
    let exact = scene
        .job()
        .task("definer = \"keep\"")
        .task("events = \"keep\"");
    for _ in 0..2 {
        scene.copy(&exact);
        scene.assert_same();
    }
    scene
        .bed
        .with_file("rollback", &scene.write(&exact))
        .expect(0);
    scene.assert_same();
}

#[test]
fn tables_that_know_their_past_arrive_with_it() {
    let scene = Scene::empty();
    scene.source(
        "CREATE TABLE implicit (id int PRIMARY KEY, v text) WITH SYSTEM VERSIONING;
         INSERT INTO implicit VALUES (1, 'first'), (2, 'gone');
         UPDATE implicit SET v = 'second' WHERE id = 1; DELETE FROM implicit WHERE id = 2;
         CREATE TABLE named (id int PRIMARY KEY, v text, w text WITHOUT SYSTEM VERSIONING,
           since timestamp(6) GENERATED ALWAYS AS ROW START, until timestamp(6) GENERATED ALWAYS AS ROW END,
           PERIOD FOR SYSTEM_TIME (since, until)) WITH SYSTEM VERSIONING;
         INSERT INTO named (id, v) VALUES (1, 'a'); UPDATE named SET v = 'b';
         CREATE TABLE parted (id int) WITH SYSTEM VERSIONING PARTITION BY SYSTEM_TIME (PARTITION p0 HISTORY, PARTITION pn CURRENT);
         INSERT INTO parted VALUES (1), (2); DELETE FROM parted WHERE id = 1;",
    );
    scene.copy(&scene.job());
    scene.assert_same();
    for (table, columns) in [
        ("implicit", "id, v, row_start, row_end"),
        ("named", "id, v, since, until"),
        ("parted", "id, row_start, row_end"),
    ] {
        let all = format!("SELECT {columns} FROM {table} FOR SYSTEM_TIME ALL ORDER BY {columns}");
        assert_eq!(scene.live(&all), scene.source(&all), "{table}");
    }
}
