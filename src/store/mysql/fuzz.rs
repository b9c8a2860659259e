//! Fuzz targets: what a MySQL or MariaDB server says, what it has stored, and what people wrote for it. See
//! `docs/fuzzing.md`.

use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use mysql_common::packets::AuthSwitchRequest;
use proptest::prelude::*;

use crate::error::Error;
use crate::fuzz::{bytes, config, lengths, pieces, runtime, texts};
use crate::store::mysql::connection::address::Address;
use crate::store::mysql::connection::login;
use crate::store::mysql::connection::messages;
use crate::store::mysql::connection::server_key;
use crate::store::mysql::connection::wire::{self, Link};
use crate::store::mysql::connection::{
    row::{Row, lenenc},
    session::Session,
};
use crate::store::mysql::dump::values;
use crate::store::mysql::portable::manual_restore;
use crate::store::mysql::rows::load::Inserts;
use crate::store::mysql::rows::lock_free;
use crate::store::mysql::rows::result_rows::Encoder;
use crate::store::mysql::rows::typed;
use crate::store::mysql::rows::warnings::{self, ErrorValues};
use crate::store::mysql::schema::charsets;
use crate::store::mysql::schema::create_table::{self, Create};
use crate::store::mysql::schema::foreign_keys;
use crate::store::mysql::schema::grants::Grants;
use crate::store::mysql::schema::objects;
use crate::store::mysql::schema::stand_ins;
use crate::store::mysql::schema::zones;
use crate::store::mysql::script::cutter::Cutter;
use crate::store::mysql::script::reach;
use crate::store::mysql::sql::byte_text;
use crate::store::mysql::sql::executed::{self, Reading};
use crate::store::mysql::sql::lexer::{self, Dialect};
use crate::store::mysql::sql::marks;
use crate::store::mysql::sql::names::{self, quoted};
use crate::store::mysql::sql::references;
use crate::store::mysql::sql::rewrite::{self, Schema};
use crate::store::mysql::sql::splitter::{Scanner, Step};
use crate::store::mysql::sql::version::Version;
use crate::store::mysql::workspace::journal::Journal;
use crate::store::mysql::workspace::schema_object;
use crate::store::redact::{self, Names};

fn dialects() -> impl Iterator<Item = Dialect> {
    [(false, false), (true, false), (false, true), (true, true)]
        .into_iter()
        .map(|(ansi_quotes, no_backslash)| Dialect {
            ansi_quotes,
            no_backslash,
        })
}

/// A statement's line and text.
type Cut = (usize, Vec<u8>);

/// The statements of a text that comes in these pieces, each with its line, and how it ended.
fn cut(text: &[u8], lengths: &[usize]) -> Result<(Vec<Cut>, String), TestCaseError> {
    let mut scanner = Scanner::of_stream(1 << 30);
    let (mut found, mut steps) = (Vec::new(), 0);
    let mut step = |scanner: &mut Scanner| -> Result<Option<String>, TestCaseError> {
        loop {
            steps += 1;
            // A statement has a byte at least, and each piece ends in one step more.
            prop_assert!(steps <= 2 * text.len() + 4);
            match scanner.step() {
                Ok(Step::Statement(line, place)) => {
                    found.push((line, scanner.text(place).to_vec()));
                }
                Ok(Step::Remark(_)) => return Err(TestCaseError::fail("nobody asked for remarks")),
                Ok(Step::More) => return Ok(None),
                Ok(Step::End) => return Ok(Some(String::new())),
                Err(flaw) => return Ok(Some(flaw.to_string())),
            }
        }
    };
    for piece in pieces(text, lengths) {
        scanner.feed(piece);
        if let Some(end) = step(&mut scanner)? {
            return Ok((found, end));
        }
    }
    scanner.end();
    let end = step(&mut scanner)?;
    prop_assert!(end.is_some(), "it waits for more than there is");
    Ok((found, end.unwrap_or_default()))
}

/// A server that is reached without TLS.
fn reader(password: secrecy::SecretString) -> Address {
    let url = "mysql://reader@h/d?tls=disable";
    let read = crate::config::read_url(url, std::path::Path::new("/"), crate::fuzz::stores());
    let (url, _) = read.unwrap();
    Address::new(url.address().unwrap(), Some(password), "source", "test")
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn scanner(text in bytes(&["tests/corpus/mysql_script", "tests/corpus/mysql_dump"]), lengths in lengths()) {
        let whole = cut(&text, &[usize::MAX])?;
        prop_assert_eq!(&cut(&text, &lengths)?, &whole);
        let total: usize = whole.0.iter().map(|(_, sql)| sql.len()).sum();
        prop_assert!(total <= text.len());
    }

    #[test]
    fn script(text in texts(&["tests/corpus/mysql_script"])) {
        for dialect in dialects() {
            let mut cutter = Cutter::new(&text);
            cutter.set_dialect(dialect);
            let mut count = 0;
            while let Ok(Some(statement)) = cutter.next() {
                count += 1;
                prop_assert!(count <= text.len() && statement.line <= text.matches('\n').count() + 1);
                prop_assert!(text.contains(&statement.sql));
            }
        }
    }

    #[test]
    fn tokens(text in texts(&["tests/corpus/mysql_script", "tests/corpus/mysql_definition"])) {
        for dialect in dialects() {
            let found = lexer::tokens(&text, dialect);
            prop_assert!(found.iter().all(|token| !token.text.is_empty()));
            let joined: String = found.iter().map(|token| token.text).collect();
            prop_assert_eq!(&joined, &text);
            for token in &found {
                if let Some(name) = token.name().filter(|_| token.shape == lexer::Shape::Quoted) {
                    let again = quoted(&name);
                    let read = lexer::tokens(&again, dialect);
                    prop_assert_eq!(read.len(), 1);
                    prop_assert_eq!(read[0].name(), Some(name));
                }
            }
        }
    }

    #[test]
    fn table_definition(text in texts(&["tests/corpus/mysql_table"])) {
        let Ok(create) = Create::parse(&text) else {
            return Ok(());
        };
        let apart = create.apart();
        prop_assert!(apart.bare.len() <= create.text(|_, _| true).len());
        let _ = (create.split_key(), create.auto_increment(), create.counts(), create.sequences());
        let _ = (create.foreign_keys().count(), create.with_sequences_in("a", "b"));
        for (_, clause) in create.clauses() {
            let _ = (create_table::takes_sequence(clause), create_table::whole_columns(clause), create_table::has_word(clause, "NOT NULL"));
            let _ = foreign_keys::parent_columns(clause);
            let _ = zones::generated(&lexer::tokens(clause, Dialect::default())).is_some();
        }
        // What is put away is read again as what it is.
        let written = String::from(create.clone());
        let again = Create::parse(&written);
        prop_assert!(again.is_ok(), "{}", written);
        prop_assert_eq!(String::from(again.unwrap()), written);
        let _ = create.without_counter();
    }

    #[test]
    fn definition(text in texts(&["tests/corpus/mysql_definition"])) {
        let schemas: BTreeSet<String> = ["app", "other"].map(str::to_owned).into();
        for dialect in dialects() {
            let without = rewrite::without_definer(&text, dialect);
            prop_assert!(without.len() <= text.len());
            let (own, foreign) = rewrite::foreign_body(&text, dialect);
            prop_assert_eq!(own.len() + foreign.len(), text.len());
            for (folded, homonym) in [(false, false), (true, true)] {
                let from = Schema { name: "app", folded, homonym };
                if let Ok(moved) = rewrite::to_schema(&text, dialect, from, "copy") {
                    prop_assert!(moved.len() <= 2 * text.len() + 8);
                }
                let _ = reach::beyond(&text, dialect, "copy", &schemas, folded);
            }
            let _ = (rewrite::hides_schema(&text, dialect, "app"), reach::prepared(&text, dialect));
            let _ = (references::of(&text, dialect), objects::status(&text, dialect), objects::ends(&text, dialect));
            let _ = (objects::disabled(&text, dialect), schema_object::or_replace(&text, dialect));
            let _ = (schema_object::on_table(&text, dialect, "t"), manual_restore::without_here(&text, dialect));
        }
        let _ = stand_ins::mentioned(&text, "app");
        prop_assert!(!text.contains(&manual_restore::delimiter(&text)));
    }

    #[test]
    fn grants(text in texts(&["tests/corpus/mysql_grants"])) {
        let held = Grants::parse(text.lines());
        let _ = (held.has("SELECT", "app"), held.has_on("INSERT", "app_x", "t"), held.has_everywhere("SUPER"));
    }

    #[test]
    fn journal_of_a_swap(text in texts(&["tests/corpus/mysql_journal"])) {
        for server in ["10.11.6-MariaDB", "8.0.36"] {
            let server = Version::parse(server).unwrap();
            match Journal::understand(&text, &server) {
                Ok(journal) => {
                    let written = serde_json::to_string(&journal).unwrap();
                    prop_assert!(matches!(Journal::understand(&written, &server), Ok(again) if again == journal));
                    let parts = journal.keys.iter().map(|key| &key.rest).chain(&journal.defaults).chain(&journal.before);
                    for part in parts {
                        prop_assert!(lexer::plain_tokens(part).is_some(), "{}", part);
                    }
                }
                Err(error) => prop_assert!(!error.to_string().contains('\n')),
            }
        }
    }

    #[test]
    fn transactions_of_a_server(status in texts(&["tests/corpus/innodb_status"])) {
        if let Some(moment) = lock_free::moment(&status) {
            prop_assert!(moment.active.len() <= status.lines().count());
        }
    }

    #[test]
    fn version(text in texts(&["tests/corpus/mysql_version"])) {
        if let Ok(version) = Version::parse(&text) {
            prop_assert!(version.is_mariadb(0, 0) != version.is_mysql(0, 0));
        }
    }

    #[test]
    fn letter(all in bytes(&["tests/corpus/mysql_definition"])) {
        let text = byte_text::decode(&all);
        let back = byte_text::encode(&text);
        prop_assert_eq!(&back[..], &all[..]);
        prop_assert!(text.len() <= 4 * all.len());
    }

    #[test]
    fn name(text in texts(&["tests/corpus/mysql_name"])) {
        let claim = crate::store::Claim {
            job: "nightly".to_owned(),
            run: "01990000-0000-7000-8000-0123456789ab".to_owned(),
            host: "db1".to_owned(),
        };
        let own = names::Names::new("app", &claim);
        let _ = (own.is_leftover(&text), own.is_own(&text), own.is_staging(&text), own.is_incoming(&text));
        let _ = (marks::is_mark(&text), marks::is_own("envsyncd_next", &text));
        for wanted in [names::literal(&text), quoted(&text)] {
            let read = lexer::tokens(&wanted, Dialect::default());
            prop_assert_eq!(read.len(), 1, "{}", wanted);
        }
        let beside = names::beside(&text, "_incoming_0123456789ab");
        prop_assert!(beside.chars().count() <= text.chars().count().max(42) + 22);
    }

    #[test]
    fn packet(packet in bytes(&["tests/corpus/mysql_packet"])) {
        let mut rest = &packet[..];
        if lenenc(&mut rest).is_some() {
            prop_assert!(rest.len() < packet.len());
        }
        let (_, state, message) = wire::server_error(&packet);
        prop_assert!(state.len() <= 15 && message.len() <= 3 * packet.len());
        if let Ok(handshake) = login::handshake(&packet) {
            let _ = (handshake.nonce(), handshake.auth_plugin(), handshake.capabilities(), handshake.connection_id());
            let _ = Version::parse(&handshake.server_version_str());
        }
        if let Ok(switch) = login::parse::<AuthSwitchRequest<'_>>(&packet) {
            let _ = (switch.plugin_data().to_vec(), switch.auth_plugin().as_bytes().to_vec());
        }
    }

    #[test]
    fn login(said in bytes(&["tests/corpus/mysql_login"]), password in "[ -~]{0,40}") {
        let password = secrecy::SecretString::from(password);
        let address = reader(password);
        let mut link = Link::that_says(&said);
        // All that it says comes to an end.
        let _ = runtime().block_on(login::log_in(&mut link, &address, Some("d")));
        prop_assert!(link.inbox.len() <= said.len());
    }

    #[test]
    fn answer(said in bytes(&["tests/corpus/mysql_answer"])) {
        runtime().block_on(async {
            let mut session = Session::that_says(&said).unwrap();
            if let Ok(rows) = session.query("SELECT a, 'MARKER' FROM t").await {
                for row in &rows {
                    let _ = (row.text(0), row.maybe(1), row.number(2), row.definition(3), row.bytes(99));
                }
                prop_assert!(rows.len() <= said.len());
            }
            let mut session = Session::that_says(&said).unwrap();
            if let Ok(all) = session.execute_bytes(b"DO 1; DO 2").await {
                prop_assert!(!all.is_empty() && all.len() <= said.len());
            }
            Ok(())
        })?;
    }

    #[test]
    fn row(packet in bytes(&["tests/corpus/mysql_row"]), columns in 0_usize..9, lengths in lengths()) {
        let mut whole = Encoder::new(columns, 0);
        let is_row = whole.row(&packet).is_ok();
        let read = Row::read(Bytes::copy_from_slice(&packet), columns);
        prop_assert!(read.is_some() || !is_row);
        let mut apart = Encoder::new(columns, 0);
        let is_apart = pieces(&packet, &lengths).into_iter().all(|piece| apart.piece(piece).is_ok());
        prop_assert_eq!(is_apart && apart.end_row().is_ok(), is_row);
        if is_row {
            prop_assert_eq!(&whole.out, &apart.out);
            prop_assert!(whole.out.len() <= 3 * packet.len() + columns + 1);
            prop_assert_eq!(memchr::memchr_iter(b'\n', &whole.out).count(), 1);
        }
        let _ = Row::read(Bytes::copy_from_slice(&packet), usize::MAX);
    }

    #[test]
    fn line_for_load_data(line in bytes(&["tests/corpus/mysql_line"]), lengths in lengths()) {
        let count = |lengths: &[usize]| {
            let mut values = ErrorValues::new(vec![None, Some(b"0:".to_vec()), Some(b"e".to_vec())]);
            for piece in pieces(&line, lengths) {
                values.take(piece);
            }
            values.found
        };
        prop_assert_eq!(count(&lengths), count(&[usize::MAX]));
        let mut out = BytesMut::new();
        if matches!(typed::put(&line, &mut out), Ok(true)) {
            // An expression is one statement's part, whatever stands in the field.
            let sql = String::from_utf8(out.to_vec()).unwrap();
            let all = lexer::tokens(&sql, Dialect::default());
            prop_assert!(all.iter().all(|token| token.shape != lexer::Shape::Text || token.text.len() > 1));
            prop_assert!(!all.iter().any(|token| token.is_mark(";")));
        }
    }

    /// Whoever wrote the lines, they become statements that have nothing but values in them.
    #[test]
    fn rows_as_statements(lines in bytes(&["tests/corpus/mysql_line", "tests/corpus/rows_of_a_snapshot"]), texts in prop::collection::vec(any::<bool>(), 1..4), lengths in lengths()) {
        let made = |lengths: &[usize]| {
            let marks = vec![None; texts.len()];
            let mut inserts = Inserts::new("INSERT INTO `t` VALUES ".to_owned(), texts.clone(), marks, 4096);
            let pieces = pieces(&lines, lengths);
            let mut made = Vec::new();
            for piece in pieces {
                made.extend(inserts.take(piece)?);
            }
            made.extend(inserts.end());
            Ok::<_, Error>(made)
        };
        let (all, whole) = (made(&lengths).ok(), made(&[usize::MAX]).ok());
        prop_assert_eq!(&all, &whole);
        let Some(all) = all else {
            prop_assert!(lines.contains(&1));
            return Ok(());
        };
        // Documents with types are made by functions.
        if lines.contains(&1) {
            return Ok(());
        }
        let mut rows = 0;
        for (statement, _) in &all {
            match values::read(statement, Dialect::default()) {
                Ok(read) => rows += read.count,
                Err(why) => prop_assert!(false, "{}: {}", why, statement.escape_ascii()),
            }
        }
        prop_assert_eq!(rows, memchr::memchr_iter(b'\n', &lines).count() as u64);
    }

    /// What is decided on is what every server reads.
    #[test]
    fn statement_of_a_stranger(sql in bytes(&["tests/corpus/mysql_script", "tests/corpus/mysql_dump", "tests/corpus/mysql_definition"]), at in 0..4_usize, server in 0..5_usize, utf8: bool) {
        let servers = ["10.11.6-MariaDB", "11.8.2-MariaDB", "8.0.36", "5.6.51", "9.1.0"].map(|text| Version::parse(text).unwrap());
        let dialect = dialects().nth(at).unwrap();
        let read = |sql: &[u8], server: &Version| executed::expand(sql, Reading { dialect, server, utf8 }).map(std::borrow::Cow::into_owned);
        match read(&sql, &servers[server]) {
            Ok(made) => {
                prop_assert!(made.len() <= sql.len());
                for other in &servers {
                    prop_assert_eq!(&read(&made, other), &Ok(made.clone()), "{:?}", other);
                }
            }
            Err(why) => prop_assert!(!why.is_empty() && !why.contains('\n'), "{}", why),
        }
    }

    /// mysql_common encrypts with whatever it is given.
    #[test]
    fn server_key(text in bytes(&["tests/corpus/server_key"])) {
        if let Some(key) = server_key::find(&text) {
            prop_assert!(key.len() <= text.len());
            let _ = mysql_common::crypto::encrypt(b"a password", key);
        }
    }

    #[test]
    fn message(message in texts(&["tests/corpus/message"]), code: u16, known in prop::sample::select(vec![1048_u16, 1062, 1064, 1146, 1265, 1292, 1366, 1451, 1452, 1054, 1406, 3140, 3819])) {
        let names = Names::of("UPDATE users SET mail = 'MARKER'", redact::Dialect::Mysql);
        for code in [code, known] {
            let _ = (messages::symbol(code), messages::unknown(code, &message, &names));
            if let Some(told) = messages::told(code, &message, &names) {
                prop_assert!(!told.contains('\n'));
            }
        }
        let _ = (warnings::column(&message), charsets::unhex(&message));
    }
}

#[test]
fn a_pattern_of_many_signs_is_held_against_a_name_in_steps() {
    let held = |pattern: &str| {
        let line = format!("GRANT SELECT ON `{pattern}`.* TO `u`@`h`");
        Grants::parse(std::iter::once(line.as_str()))
    };
    let many = held(&"%a".repeat(40));
    assert!(!many.has("SELECT", &"a".repeat(39)) && many.has("SELECT", &"ba".repeat(40)));
    assert!(!many.has("SELECT", &format!("{}b", "a".repeat(2000))));
    let odd = held("a\\_%b\\%\\\\");
    assert!(odd.has("SELECT", "a_xxb%\\") && !odd.has("SELECT", "axxxb%\\"));
}

#[test]
fn parentheses_that_close_before_they_open_are_no_reason_to_stop() {
    let lines = [
        "GRANT ) SELECT ( ON `a`.* TO `u`@`h`",
        "GRANT SELECT ')' ON `a`.* TO `u`@`h`",
    ];
    let _ = Grants::parse(lines.into_iter()).has("SELECT", "a");
    for clause in ["KEY `a` ) (`b`)", ") (", "UNIQUE KEY ) `a`"] {
        let _ = create_table::columns(&lexer::tokens(clause, Dialect::default()));
    }
}

#[test]
fn a_row_of_more_columns_than_anything_is_refused() {
    assert!(Row::read(Bytes::from_static(b"\x01a"), usize::MAX).is_none());
}

#[test]
fn a_definition_with_a_comment_of_a_line_is_refused() {
    for text in [
        "--`\n`t` (a int)",
        "--é(a int)",
        "CREATE TABLE `t` (\n  `a` int # x\n) ENGINE=InnoDB",
        "CREATE -- x\nTABLE `t` (`a` int)",
    ] {
        assert!(Create::parse(text).is_err(), "{text}");
    }
    assert!(Create::parse("CREATE TABLE `t` (\n  `a#` int DEFAULT '-- #' COMMENT '#'\n)").is_ok());
}

#[test]
fn a_server_whose_key_is_none_is_refused() {
    let login = crate::fuzz::seeds("tests/corpus/mysql_login/full.hex").remove(0);
    let password = secrecy::SecretString::from("hunter2");
    let address = reader(password);
    let mut link = Link::that_says(&login);
    let error = runtime()
        .block_on(login::log_in(&mut link, &address, None))
        .err()
        .unwrap();
    assert_eq!(error.kind(), crate::error::Kind::Permission, "{error}");
}

#[test]
fn a_handshake_with_a_scramble_of_a_negative_length_is_refused() {
    let packet = crate::fuzz::seeds("tests/corpus/mysql_packet/handshake.hex").remove(0);
    let at = packet.iter().position(|byte| *byte == 0x15).unwrap();
    assert!(login::handshake(&packet).is_ok());
    for length in [0x80, 0x81, 0x87, 0xff] {
        let mut packet = packet.clone();
        packet[at] = length;
        assert!(login::handshake(&packet).is_err(), "{length}");
    }
}
