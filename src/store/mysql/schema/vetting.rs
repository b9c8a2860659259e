//! Definitions that a source's server or an archive says it has are looked at before any of them is run on a target: each has to be
//! one statement, of the kind that it is of, and what stands in statements of ours without quotes has to be a word. Pure.
//!
//! A server that answers for a source may say anything, and whoever writes into a bucket, too.

use super::definitions::{Definitions, Table};
use super::objects::{Object, ObjectKind};
use super::sequences::Sequence;
use crate::error::{Error, Kind, Result};
use crate::store::mysql::sql::executed::{self, Reading};
use crate::store::mysql::sql::lexer::{self, Dialect, Shape, Token};
use crate::store::mysql::sql::lexical::is_plain_name;
use crate::store::mysql::sql::version::Version;

/// Refuses what is not what it says, to this server.
pub(in crate::store::mysql) fn check(definitions: &Definitions, server: &Version) -> Result<()> {
    let defaults = [&definitions.charset, &definitions.collation];
    if !defaults.into_iter().all(|name| is_plain_name(name)) {
        return Err(refused("the database's character set"));
    }
    for table in &definitions.tables {
        if !is_table(table, server) {
            return Err(refused(&format!("table `{}`", table.name)));
        }
    }
    for sequence in &definitions.sequences {
        if !is_sequence(sequence, server) {
            return Err(refused(&format!("sequence `{}`", sequence.name)));
        }
    }
    for object in &definitions.objects {
        if !is_object(object, server) {
            return Err(refused(&object.label()));
        }
    }
    Ok(())
}

fn refused(what: &str) -> Error {
    Error::new(
        Kind::Verify,
        format!("{what} has a definition that is not the one statement which a server prints"),
    )
    .hint("is it MySQL or MariaDB that answers there? look at what SHOW CREATE prints of it, or who may write into the archive")
}

fn is_table(table: &Table, server: &Version) -> bool {
    let names = table.columns.iter().flat_map(|column| {
        [&column.charset, &column.collation]
            .into_iter()
            .flatten()
            .map(String::as_str)
    });
    names.chain([table.engine.as_str()]).all(is_plain_name)
        && is_one(&table.create.text(|_, _| true), "TABLE", server)
}

fn is_sequence(sequence: &Sequence, server: &Version) -> bool {
    let is_number = |text: &String| {
        let digits = text.strip_prefix('-').unwrap_or(text);
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    sequence.row.iter().all(is_number) && is_one(&sequence.create, "SEQUENCE", server)
}

/// Whether it is one statement that makes a thing of this kind of nothing but words and values.
fn is_one(sql: &str, kind: &str, server: &Version) -> bool {
    let reading = Reading {
        dialect: Dialect::default(),
        server,
        utf8: true,
    };
    let Ok(plain) = executed::expand(sql.as_bytes(), reading) else {
        return false;
    };
    let plain = String::from_utf8_lossy(&plain);
    let tokens = lexer::tokens(&plain, Dialect::default());
    let mut solid = tokens.iter().filter(|token| token.shape != Shape::Blank);
    solid.next().is_some_and(|token| token.is("CREATE"))
        && solid.next().is_some_and(|token| token.is(kind))
        && !solid.any(|token| token.is_mark(";") || token.is("SELECT"))
}

fn is_object(object: &Object, server: &Version) -> bool {
    let names = [&object.charset_client, &object.collation_connection];
    let default = object.database_collation.as_deref().unwrap_or_default();
    if !names.into_iter().all(|name| is_plain_name(name))
        || !(default.is_empty() || is_plain_name(default))
    {
        return false;
    }
    let dialect = Dialect::of(&object.sql_mode);
    is_definition(object.kind, &object.definition, dialect, server)
}

/// Whether a text is the definition of an object of this kind, as a server prints it. It may still be more than one statement
/// if its kind has a body: it has to be sent where the server takes no more than one.
pub(in crate::store::mysql) fn is_definition(
    kind: ObjectKind,
    sql: &str,
    dialect: Dialect,
    server: &Version,
) -> bool {
    let tokens = lexer::tokens(sql, dialect);
    let solid: Vec<&Token<'_>> = tokens
        .iter()
        .filter(|token| token.shape != Shape::Blank)
        .collect();
    // A routine's body is the rest: the server takes it as one statement, or not at all.
    let has_body = kind != ObjectKind::View;
    begins(&solid, kind)
        && (has_body
            || is_plain_view(sql, dialect, server) && !solid.iter().any(|token| token.is_mark(";")))
}

fn is_plain_view(sql: &str, dialect: Dialect, server: &Version) -> bool {
    let reading = Reading {
        dialect,
        server,
        utf8: true,
    };
    executed::expand(sql.as_bytes(), reading).is_ok_and(|plain| plain == sql.as_bytes())
}

/// `CREATE DEFINER=... SQL SECURITY ... VIEW`, without a comment that is executed in front.
fn begins(solid: &[&Token<'_>], kind: ObjectKind) -> bool {
    let [first, rest @ ..] = solid else {
        return false;
    };
    if !first.is("CREATE") {
        return false;
    }
    let mut words = kind.keyword().split(' ');
    let keyword = words.next().unwrap_or_default();
    let mut at = 0;
    while let Some(token) = rest.get(at) {
        if token.is(keyword) {
            let mut behind = rest[at + 1..].iter();
            return words.all(|word| behind.next().is_some_and(|token| token.is(word)));
        }
        let is = |place: usize, words: &[&str]| {
            rest.get(place)
                .is_some_and(|token| words.iter().any(|word| token.is(word)))
        };
        let is_mark =
            |place: usize, mark: &str| rest.get(place).is_some_and(|token| token.is_mark(mark));
        at += if is(at, &["AGGREGATE", "JSON", "RELATIONAL", "DUALITY"]) {
            1
        } else if (is(at, &["OR"]) && is(at + 1, &["REPLACE"]))
            || (is(at, &["SQL"]) && is(at + 2, &["DEFINER", "INVOKER"]))
        {
            if is(at, &["OR"]) { 2 } else { 3 }
        } else if is(at, &["ALGORITHM"]) && is_mark(at + 1, "=") {
            3
        } else if is(at, &["DEFINER"]) && is_mark(at + 1, "=") {
            // `user`@`host`, or a role.
            if is_mark(at + 3, "@") { 5 } else { 3 }
        } else {
            return false;
        };
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVERS: [&str; 2] = ["10.11.6-MariaDB", "8.0.36"];

    fn all(is_so: impl Fn(&Version) -> bool) -> bool {
        SERVERS
            .iter()
            .all(|text| is_so(&Version::parse(text).expect("a version")))
    }

    #[test]
    fn a_table_is_one_statement_to_every_server() {
        for (sql, is_fine) in [
            (
                "CREATE TABLE `t` (\n `a` int DEFAULT 1 COMMENT 'x; y' /*!80023 INVISIBLE */\n) ENGINE=InnoDB\n/*!50100 PARTITION BY HASH (`a`) */",
                true,
            ),
            ("CREATE TABLE `größe;` (`select` int)", true),
            ("CREATE TABLE `t` (`a` int); DROP DATABASE live", false),
            (
                "CREATE TABLE `t` (`a` int) /*!99999 ' */; DROP DATABASE live; -- '",
                false,
            ),
            (
                "CREATE TABLE `t` (`a` int) /*!50701 ' */; DROP DATABASE live; -- '",
                false,
            ),
            ("CREATE TABLE `t` (`a` int) SELECT * FROM live.t", false),
            (
                "/*!99999 CREATE TABLE `t` (`a` int) */ DROP DATABASE live",
                false,
            ),
            ("DROP DATABASE live", false),
            ("CREATE USER eve", false),
            ("", false),
        ] {
            let found =
                SERVERS.map(|text| is_one(sql, "TABLE", &Version::parse(text).expect("a version")));
            if is_fine {
                assert_eq!(found, [true, true], "{sql}");
            } else {
                assert!(found.contains(&false), "{sql}");
            }
        }
    }

    fn object(kind: ObjectKind, definition: &str) -> Object {
        Object {
            kind,
            name: "o".to_owned(),
            table: None,
            definition: definition.to_owned(),
            sql_mode: String::new(),
            charset_client: "utf8mb4".to_owned(),
            collation_connection: "utf8mb4_general_ci".to_owned(),
            database_collation: Some(String::new()),
            definer: "root@localhost".to_owned(),
            enabled: false,
            order: 0,
            time_zone: None,
            broken: false,
            folded: false,
            homonym: false,
        }
    }

    #[test]
    fn an_object_is_of_its_kind() {
        use ObjectKind::{Event, Function, PackageBody, Procedure, Trigger, View};
        for (kind, sql) in [
            (
                View,
                "CREATE ALGORITHM=UNDEFINED DEFINER=`root`@`localhost` SQL SECURITY DEFINER VIEW `v` AS select ';' AS `;`",
            ),
            (
                View,
                "CREATE DEFINER=`root`@`localhost` SQL SECURITY DEFINER JSON RELATIONAL DUALITY VIEW `v` AS SELECT JSON_DUALITY_OBJECT( '_id':`t`.`id`) FROM `t`",
            ),
            (
                Function,
                "CREATE DEFINER=`r` AGGREGATE FUNCTION `f`() RETURNS int RETURN 1",
            ),
            (
                Procedure,
                "CREATE DEFINER=`root`@`%` PROCEDURE `p`() BEGIN SELECT 1; SELECT 2; END",
            ),
            (
                PackageBody,
                "CREATE DEFINER=`root`@`%` PACKAGE BODY `k` AS END",
            ),
            (
                Trigger,
                "CREATE DEFINER=`root`@`%` TRIGGER z BEFORE INSERT ON t FOR EACH ROW SET @a = 1",
            ),
            (
                Event,
                "CREATE DEFINER=`root`@`%` EVENT `e` ON SCHEDULE EVERY 1 DAY DO BEGIN SET @a = 1; END",
            ),
        ] {
            assert!(all(|server| is_object(&object(kind, sql), server)), "{sql}");
        }
        for (kind, sql) in [
            (View, "CREATE VIEW `v` AS select 1; DROP DATABASE live"),
            (
                View,
                "CREATE VIEW `v` AS select 1 /*!99999 ' */; DROP DATABASE live; -- '",
            ),
            (View, "CREATE PROCEDURE p() SELECT 1"),
            (
                Procedure,
                "/*!99999 CREATE PROCEDURE p() */ DROP DATABASE live",
            ),
            (Procedure, "CREATE /*!99999 PROCEDURE p() */ USER eve"),
            (Procedure, "CREATE USER PROCEDURE"),
            (Procedure, "CREATE DATABASE x /* PROCEDURE */"),
            (PackageBody, "CREATE PACKAGE `k` AS END"),
            (Event, "DROP DATABASE live"),
            (Trigger, ""),
        ] {
            assert!(
                !all(|server| is_object(&object(kind, sql), server)),
                "{sql}"
            );
        }
        let fine = object(Procedure, "CREATE PROCEDURE p() SELECT 1");
        let mut words = Vec::new();
        for change in [
            |object: &mut Object| object.charset_client.push_str("; DROP DATABASE live"),
            |object: &mut Object| object.collation_connection.push_str(", GLOBAL a = 1"),
            |object: &mut Object| object.database_collation = Some("x y".to_owned()),
        ] {
            let mut changed = fine.clone();
            change(&mut changed);
            words.push(all(|server| is_object(&changed, server)));
        }
        assert_eq!(words, [false, false, false]);
        assert!(all(|server| is_object(&fine, server)));
    }

    #[test]
    fn a_sequence_s_row_is_of_numbers() {
        let mut sequence = Sequence {
            name: "s".to_owned(),
            create: "CREATE SEQUENCE `s` start with -1 minvalue -9 maxvalue 9 increment by 1 cache 1000 nocycle ENGINE=InnoDB".to_owned(),
            row: vec!["-1".to_owned(), "9".to_owned()],
            fate: crate::store::Fate::Copy,
        };
        assert!(all(|server| is_sequence(&sequence, server)));
        sequence.row.push("1); DROP DATABASE live; --".to_owned());
        assert!(!all(|server| is_sequence(&sequence, server)));
    }
}
