use super::*;
use crate::store::mysql::sql::lexer::{self, Dialect};

/// As a session of ours is on a server that has everything.
pub(in crate::store::mysql) fn fresh() -> Settings {
    let values = [
        (CLIENT, "utf8mb4"),
        (COLLATION, "utf8mb4_general_ci"),
        ("foreign_key_checks", "0"),
        ("note_verbosity", "basic"),
        (MODE, "NO_AUTO_VALUE_ON_ZERO"),
        ("sql_notes", "1"),
        ("system_versioning_insert_history", "OFF"),
        ("time_zone", "+00:00"),
    ];
    Settings::of(values.map(|(name, value)| (name.to_owned(), value.to_owned())))
}

/// What becomes of the last of these statements.
fn decided(statements: &[&str]) -> Result<Setting, String> {
    let mut settings = fresh();
    let mut last = Err("nothing".to_owned());
    for (at, sql) in statements.iter().enumerate() {
        let tokens = lexer::tokens(sql, Dialect::default());
        let solid: Vec<_> = tokens
            .iter()
            .filter(|token| token.shape != Shape::Blank)
            .collect();
        last = settings.decide(&solid);
        assert!(
            last.is_ok() || at + 1 == statements.len(),
            "{sql}: {last:?}"
        );
    }
    last
}

#[test]
fn what_dumps_set_for_the_session_is_said_in_our_own_words() {
    for (statements, made) in [
        (
            &["SET NAMES utf8mb4"][..],
            "character_set_client = utf8mb4, character_set_connection = utf8mb4",
        ),
        (
            &["SET NAMES 'LATIN1' COLLATE 'latin1_german1_ci'"],
            "character_set_client = latin1, collation_connection = latin1_german1_ci",
        ),
        (&["SET TIME_ZONE='+00:00'"], "time_zone = '+00:00'"),
        (
            &["SET @OLD_FOREIGN_KEY_CHECKS=@@FOREIGN_KEY_CHECKS, FOREIGN_KEY_CHECKS=0"],
            "foreign_key_checks = 0",
        ),
        (
            &["SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='ansi_quotes,STRICT_ALL_TABLES'"],
            "sql_mode = 'ANSI_QUOTES,STRICT_ALL_TABLES'",
        ),
        (
            &[
                "SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='ANSI'",
                "SET SQL_MODE=@old_sql_mode",
            ],
            "sql_mode = 'NO_AUTO_VALUE_ON_ZERO'",
        ),
        (
            &[
                "SET @saved_cs_client = @@character_set_client",
                "SET character_set_client = latin1",
                "SET character_set_client = @saved_cs_client",
            ],
            "character_set_client = utf8mb4",
        ),
        (&["SET SESSION SQL_MODE=\"\""], "sql_mode = ''"),
        (
            &["SET @@SESSION.foreign_key_checks = 1, LOCAL sql_notes = ON"],
            "foreign_key_checks = 1, sql_notes = 1",
        ),
        (
            &[
                "SET @o=@@session.system_versioning_insert_history, @@session.system_versioning_insert_history=1",
            ],
            "system_versioning_insert_history = 1",
        ),
    ] {
        let made = format!("SET SESSION {made}");
        assert_eq!(
            decided(statements),
            Ok(Setting::Run(made)),
            "{statements:?}"
        );
    }
}

#[test]
fn what_is_the_targets_own_is_left_out() {
    for statements in [
        &["SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT"][..],
        &["SET @MYSQLDUMP_TEMP_LOG_BIN = @@SESSION.SQL_LOG_BIN"],
        &["SET @@SESSION.SQL_LOG_BIN= 0"],
        &[
            "SET @MYSQLDUMP_TEMP_LOG_BIN = @@SESSION.SQL_LOG_BIN",
            "SET @@SESSION.SQL_LOG_BIN = @MYSQLDUMP_TEMP_LOG_BIN",
        ],
        &["SET @@GLOBAL.GTID_PURGED= '+' 'abc:1-5'"],
        &["set autocommit=0"],
        &[
            "SET @OLD_AUTOCOMMIT=@@AUTOCOMMIT, @@AUTOCOMMIT=0",
            "SET AUTOCOMMIT=@OLD_AUTOCOMMIT",
        ],
        &["SET @OLD_UNIQUE_CHECKS=@@UNIQUE_CHECKS, UNIQUE_CHECKS=0"],
        &["SET character_set_results = utf8mb4"],
    ] {
        assert_eq!(decided(statements), Ok(Setting::Skip), "{statements:?}");
    }
}

#[test]
fn every_other_way_to_set_anything_is_refused() {
    for statements in [
        &["SET GLOBAL sql_mode = ''"][..],
        &["SET @@GLOBAL.time_zone = 'UTC'"],
        &["SET PERSIST time_zone = 'UTC'"],
        &["SET @@PERSIST.time_zone = 'UTC'"],
        &["SET PASSWORD = 'x'"],
        &["SET PASSWORD FOR root = PASSWORD('x')"],
        &["SET ROLE admin"],
        &["SET DEFAULT ROLE admin FOR root"],
        &["SET TRANSACTION READ ONLY"],
        &["SET STATEMENT sql_notes = 0 FOR DROP DATABASE app"],
        &["SET @a = f()"],
        &["SET @a = (SELECT 1)"],
        &["SET max_statement_time = 1"],
        &["SET sql_notes = 0, GLOBAL sql_notes = 0"],
        &["SET autocommit = 0, GLOBAL autocommit = 0"],
        &["SET sql_log_bin = 0, max_statement_time = 1"],
        // Character sets in which a quote may be half of a letter, in every way to say so.
        &["SET NAMES sjis"],
        &["SET NAMES gbk COLLATE gbk_bin"],
        &["SET NAMES latin1, character_set_client = gbk"],
        &["SET NAMES DEFAULT"],
        &["SET NAMES @@character_set_server"],
        &["SET CHARACTER SET gbk"],
        &["SET CHARSET gbk"],
        &["SET character_set_client = gbk"],
        &["SET character_set_client = 'gbk'"],
        &["SET character_set_client = `gbk`"],
        &["SET character_set_client := gbk"],
        &["SET SESSION character_set_client = 'GBK'"],
        &["SET LOCAL character_set_client = 'GBK'"],
        &["SET @@character_set_client = gbk"],
        &["SET @@session.character_set_client = gbk"],
        &["SET @@local.character_set_client = gbk"],
        &["SET character_set_client = 28"],
        &["SET character_set_client = 0x67626B"],
        &["SET character_set_client = x'67626B'"],
        &["SET character_set_client = _latin1'gbk'"],
        &["SET character_set_client = N'gbk'"],
        &["SET character_set_client = 'g' 'bk'"],
        &["SET character_set_client = DEFAULT"],
        &["SET character_set_client = @@character_set_server"],
        &["SET character_set_client = @@GLOBAL.character_set_client"],
        &["SET @c = 'gbk'"],
        &["SET @c = 28"],
        &["SET @c = 0x67626B, character_set_client = @c"],
        &["SET @c := 'gbk'"],
        &["SET character_set_client = @c"],
        &[
            "SET @saved_cs_client = @@collation_connection",
            "SET character_set_client = @saved_cs_client",
        ],
        &["SET @c = @@version"],
        &["SET @c = @@GLOBAL.character_set_client"],
        &["SET @`c` = @@character_set_client, character_set_client = gbk"],
        &["SET collation_connection = gbk_chinese_ci"],
        &["SET character_set_connection = gbk"],
        &["SET character_set_results = gbk"],
        // The mode, by more than a list of known words.
        &["SET sql_mode = ANSI_QUOTES"],
        &["SET sql_mode = 4"],
        &["SET sql_mode = 0x414E5349"],
        &["SET sql_mode = CONCAT('ANSI', '_QUOTES')"],
        &["SET sql_mode = 'ANSI' '_QUOTES'"],
        &["SET sql_mode = 'ANSI\\_QUOTES'"],
        &["SET sql_mode = 'NOTHING_KNOWN'"],
        &["SET sql_mode = @@GLOBAL.sql_mode"],
        &["SET sql_mode = DEFAULT"],
        &["SET @m = 'NO_BACKSLASH_ESCAPES'"],
        &["SET sql_mode = (SELECT 'ANSI')"],
        &["SET time_zone = 'x; y'"],
        &["SET time_zone = @@GLOBAL.time_zone"],
        &["SET foreign_key_checks = 2"],
        &["SET"],
        &["SET a"],
        &["SET ="],
        &["SET @ = 1"],
        &["SET @@ = 1"],
        &["SET @@session. = 1"],
    ] {
        assert!(decided(statements).is_err(), "{statements:?}");
    }
}

#[test]
fn a_dump_keeps_no_more_than_dumps_do() {
    let all: Vec<String> = (0..100).map(|at| format!("@a{at} = @@sql_mode")).collect();
    assert!(decided(&[&format!("SET {}", all.join(", "))]).is_err());
}

#[test]
fn what_the_server_says_it_is_set_to_has_to_be_what_was_set() {
    let mut settings = fresh();
    let mode = || "ANSI_QUOTES".to_owned();
    assert!(settings.are("utf8mb4".into(), "utf8mb4_bin".into(), mode()));
    assert!(!settings.are("gbk".into(), "gbk_bin".into(), mode()));
    let mut settings = fresh();
    assert!(!settings.are("latin1".into(), "latin1_bin".into(), mode()));
    assert!(!settings.are("latin1".into(), "latin1_bin".into(), "STRANGE".into()));
}
