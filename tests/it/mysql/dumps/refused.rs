//! Dumps that are refused: damaged ones, and those that reach out of their database.

use super::*;

#[test]
fn whatever_reaches_out_of_the_restored_database_is_refused_with_its_line() {
    let scene = Scene::new();
    let dump = String::from_utf8(dumped(&scene, &[])).expect("text");
    let (start, end) = dump.split_once("UNLOCK TABLES;\n").expect("two tables");
    let line = start.lines().count() + 2;
    for (sql, why) in [
        (format!("USE {}", scene.to), "reach out"),
        (format!("DROP DATABASE {}", scene.to), "reach out"),
        (format!("CREATE DATABASE {}_x", scene.to), "reach out"),
        (format!("DROP TABLE {}.users", scene.to), "another database"),
        (
            format!("INSERT INTO {}.users VALUES (9, 'x')", scene.to),
            "another database",
        ),
        (
            "/*!40000 GRANT ALL ON *.* TO eve */".to_owned(),
            "no such statement",
        ),
        ("CREATE USER eve".to_owned(), "of this kind"),
        ("SET GLOBAL max_connections = 1".to_owned(), "do not set"),
        ("FLUSH TABLES".to_owned(), "no such statement"),
        ("system rm -rf /tmp/x".to_owned(), "no such statement"),
        ("\\! ls".to_owned(), "command of the client"),
    ] {
        let damaged = format!("{start}UNLOCK TABLES;\n{sql};\n{end}");
        let error = refused(run(pull(
            &scene,
            &scene.job(),
            pieces(damaged.into(), 4096),
        )));
        let said = error.to_string();
        assert!(said.contains(&format!("{FILE}:{line}")), "{said}");
        assert!(said.contains(why), "{said}");
        scene.live_is_old();
        scene.nothing_is_left();
    }
}

#[test]
fn a_dump_that_is_cut_off_anywhere_is_no_dump() {
    let scene = Scene::new();
    let dump = dumped(&scene, &[]);
    let text = String::from_utf8(dump.clone()).expect("text");
    let lines: Vec<usize> = text.match_indices(";\n").map(|(at, _)| at + 2).collect();
    let mut ends: Vec<usize> = lines.iter().step_by(4).copied().collect();
    ends.extend([0, 1, dump.len() / 2, dump.len() / 3, dump.len() - 60]);
    for end in ends {
        let error = refused(run(pull(
            &scene,
            &scene.job(),
            pieces(dump[..end].to_vec(), 4096),
        )));
        assert!(error.to_string().contains(FILE), "{error}");
        scene.live_is_old();
    }
    scene.nothing_is_left();
}

#[test]
fn a_damaged_statement_ends_the_run_and_its_rows_are_not_told() {
    let scene = Scene::new();
    let dump = String::from_utf8(dumped(&scene, &[])).expect("text");
    for (from, to, part) in [
        ("(7,'new')", "(7,secret_word)", "among the values"),
        (
            "(7,'new')",
            "(7,'new','secret_word')",
            "more values than its 2 columns",
        ),
        ("(7,'new')", "(7)", "1 values for 2 columns"),
        (
            "`email` text NOT NULL",
            "`email` texts NOT NULL",
            "Unknown data type",
        ),
    ] {
        assert!(dump.contains(from), "{dump}");
        let damaged = dump.replacen(from, to, 1);
        let error = refused(run(pull(
            &scene,
            &scene.job(),
            pieces(damaged.into(), 4096),
        )));
        let said = error.to_string();
        assert!(said.contains(FILE) && said.contains(part), "{said}");
        assert!(!said.contains("'secret_word'"), "{said}");
        scene.live_is_old();
    }
    // A value that does not fit is not made to fit, and a row that is there already is none.
    for wrong in ["(99999999999,'new')", "(6,'secret_word')"] {
        let damaged = dump.replacen("(7,'new')", wrong, 1);
        let error = refused(run(pull(
            &scene,
            &scene.job(),
            pieces(damaged.into(), 4096),
        )));
        let said = error.to_string();
        assert!(
            said.contains("as they are") && said.contains("users"),
            "{said}"
        );
        assert!(!said.contains("secret_word"), "{said}");
        scene.live_is_old();
    }
    scene.nothing_is_left();
}

#[test]
fn sql_that_hides_in_a_dump_reaches_nothing() {
    let scene = Scene::new();
    scene.target.create_db(&format!("{}_other", scene.to));
    let other = format!("{}_other", scene.to);
    scene.target.sql(&other, "CREATE TABLE t (a int)");
    let dump = dumped(&scene, &[]);
    let reach = format!("DROP TABLE {other}.t");
    for (hidden, why) in [
        // In a character set in which a backslash is half of a letter.
        (b"SET {c} = 'gbk'; SET character_set_client = {c};\nINSERT INTO `users` VALUES (9,'\xbf\\'), (10, '; @ -- ');".to_vec(), "do not set"),
        (b"SET NAMES gbk;\nINSERT INTO `users` VALUES (9,'\xbf\\'), (10, '; @ -- ');".to_vec(), "character set"),
        (b"/*!40101 SET character_set_client = 28 */;".to_vec(), "do not set it to"),
        (b"/*!40101 SET character_set_client = 0x67626B */;".to_vec(), "do not set it to"),
        (b"SET CHARACTER SET gbk;".to_vec(), "do not set"),
        (b"SET sql_mode = CONCAT('ANSI', '_QUOTES');".to_vec(), "more than a value"),
        // Behind another one, or behind a comment that this server does not execute.
        (b"DELIMITER //\nCREATE TABLE u (a int); @//\nDELIMITER ;".to_vec(), "more than one statement"),
        (b"DELIMITER //\nCREATE VIEW u AS SELECT 1; @//\nDELIMITER ;".to_vec(), "more than one statement"),
        (b"/*!99999 CREATE TABLE u (a int) */ @;".to_vec(), "another database"),
        (b"/*!99999 CREATE PROCEDURE u() */ @;".to_vec(), "another database"),
        // In what may have statements in it: the server takes one.
        (b"DELIMITER //\nCREATE PROCEDURE u() SELECT 1; @//\nDELIMITER ;".to_vec(), "1064"),
    ] {
        let hidden = String::from_utf8_lossy(&hidden).into_owned();
        let at = dump
            .windows(14)
            .rposition(|text| text == b"UNLOCK TABLES;")
            .expect("two tables")
            + 15;
        // The bytes are what matters: 0xbf is no UTF-8.
        let bytes: Vec<u8> = hidden
            .replace('@', &reach)
            .replace("{c}", "@c")
            .chars()
            .flat_map(|letter| if letter == '\u{fffd}' { vec![0xbf] } else { letter.to_string().into_bytes() })
            .collect();
        let damaged = [&dump[..at], &bytes, b"\n", &dump[at..]].concat();
        let error = refused(run(pull(&scene, &scene.job(), pieces(damaged, 4096))));
        let said = format!("{error:?}");
        assert!(said.contains(why), "{hidden}: {said}");
        assert!(said.contains(FILE), "{said}");
        scene.live_is_old();
        assert_eq!(scene.target.tables(&other), ["t"], "{hidden}");
    }
    scene.target.sql("", &format!("DROP DATABASE {other}"));
    scene.nothing_is_left();
}

#[test]
fn a_dump_of_another_maker_is_refused() {
    let scene = Scene::new();
    let dump = String::from_utf8(dumped(&scene, &[])).expect("text");
    let version = dump
        .lines()
        .find(|line| line.starts_with("-- Server version"))
        .expect("a version");
    let other = dump.replace(version, "-- Server version\t8.0.35");
    let error = refused(run(pull(&scene, &scene.job(), pieces(other.into(), 4096)))).to_string();
    assert!(
        error.contains("MySQL 8.0.35") && error.contains("MariaDB"),
        "{error}"
    );
    scene.live_is_old();
    scene.nothing_is_left();
}
