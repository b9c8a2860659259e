//! What is sent to a server, held against another reading of its rules.

use super::*;

/// What the server reads, by rules of its own: the statements of a text, and the first word of each. Written down once more, from
/// the servers' `sql_lex.cc` and `sql_parse.cc`.
fn as_the_server_reads(sql: &[u8], dialect: Dialect, routine: bool) -> Vec<String> {
    let mut statements = vec![String::new()];
    let mut at = 0;
    while at < sql.len() {
        let rest = &sql[at..];
        match sql[at] {
            quote @ (b'\'' | b'"' | b'`') => {
                let is_name = quote == b'`' || (quote == b'"' && dialect.ansi_quotes);
                at += 1;
                while at < sql.len() && sql[at] != quote {
                    at += if sql[at] == b'\\' && !is_name && !dialect.no_backslash {
                        2
                    } else {
                        1
                    };
                }
                at += 1;
                statements.last_mut().expect("one").push('?');
            }
            b'/' if rest.starts_with(b"/*!") => panic!("code in a comment: {sql:?}"),
            b'/' if rest.starts_with(b"/*") => {
                let end = rest.windows(2).skip(2).position(|two| two == b"*/");
                at += end.map_or(rest.len(), |end| end + 4);
            }
            b'#' => {
                at += rest
                    .iter()
                    .position(|byte| *byte == b'\n')
                    .unwrap_or(rest.len());
            }
            b'-' if rest.starts_with(b"--") && rest.get(2).is_none_or(|byte| *byte <= b' ') => {
                at += rest
                    .iter()
                    .position(|byte| *byte == b'\n')
                    .unwrap_or(rest.len());
            }
            b';' if !routine => {
                statements.push(String::new());
                at += 1;
            }
            byte => {
                statements.last_mut().expect("one").push(char::from(byte));
                at += 1;
            }
        }
    }
    statements.retain(|text| !text.trim().is_empty());
    let first = |text: String| {
        text.split_whitespace()
            .next()
            .unwrap_or_default()
            .to_uppercase()
    };
    statements.into_iter().map(first).collect()
}

fn soup() -> impl proptest::strategy::Strategy<Value = Vec<u8>> {
    use proptest::prelude::*;
    let piece = prop::sample::select(vec![
        &b"INSERT INTO `t` VALUES (1,'a'),(2,'b')"[..],
        &b"CREATE TABLE `u` (`a` int)"[..],
        &b"CREATE PROCEDURE p() BEGIN SELECT 1; END"[..],
        &b"/*!50001 CREATE VIEW `v` AS SELECT 1 */"[..],
        &b"DROP TABLE IF EXISTS `t`"[..],
        &b"DROP DATABASE live"[..],
        &b"UPDATE live.t SET a = 1"[..],
        &b"SET sql_mode = 'ANSI_QUOTES'"[..],
        &b"SET sql_mode = 'NO_BACKSLASH_ESCAPES'"[..],
        &b"SET sql_mode = ''"[..],
        &b"SET NAMES latin1"[..],
        &b"SET NAMES gbk"[..],
        &b"SET NAMES utf8mb4"[..],
        &b"DELIMITER ;;\n"[..],
        &b"\nDELIMITER ;\n"[..],
        &b";"[..],
        &b";\n"[..],
        &b";;\n"[..],
        &b"'"[..],
        &b"\""[..],
        &b"`"[..],
        &b"\\"[..],
        &b"''"[..],
        &b"\\'"[..],
        &b"/*!99999 "[..],
        &b"/*!40000 "[..],
        &b"/*M!100100 "[..],
        &b"/*"[..],
        &b"*/"[..],
        &b"-- "[..],
        &b"--"[..],
        &b"#"[..],
        &b"\n"[..],
        &b"\xbf"[..],
        &b"\xbf\\"[..],
        &b"\xbf'"[..],
        &b"\x81\x5c"[..],
        &b"\xa0"[..],
        &b"\0"[..],
        &b"\x0b"[..],
        &b"("[..],
        &b")"[..],
        &b","[..],
        &b" "[..],
    ]);
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(2000))]
    /// Whatever bytes a dump has: what is sent is one statement to the server, of the kind that was decided on.
    #[test]
    fn the_server_sees_the_statements_that_were_decided_on(soup in soup()) {
        use crate::store::mysql::sql::splitter::{Scanner, Step};
        let selection = Selection::everything();
        let mut allowed = fresh(Definer::Map, &selection);
        let mut dialect = Dialect::default();
        let mut scanner = Scanner::of_stream(1 << 20);
        scanner.feed(b"CREATE TABLE `t` (`a` int, `b` text);\n");
        scanner.feed(&soup);
        scanner.end();
        while let Ok(Step::Statement(_, place)) = scanner.step() {
            let sql = scanner.text(place).to_vec();
            let Ok(action) = allowed.decide(&sql, dialect) else { break };
            let (sent, kinds): (Vec<u8>, &[&str]) = match action {
                Action::Run(text) => (text, &["CREATE", "DROP", "ALTER", "DO", "SELECT"]),
                Action::View(text) | Action::Early(text) => (text, &["CREATE"]),
                Action::Rows(..) => (sql, &["INSERT", "REPLACE"]),
                Action::Set(text) => {
                    // As the server answers.
                    if let Some((_, mode)) = text.split_once("sql_mode = '") {
                        dialect = Dialect::of(mode.trim_end_matches('\''));
                        scanner.set_dialect(dialect);
                    }
                    (text.into_bytes(), &["SET"])
                }
                Action::Skip | Action::Told(_) => continue,
            };
            let words = latin1(&sent).to_ascii_uppercase();
            let is_routine = ["PROCEDURE", "TRIGGER", "FUNCTION", "EVENT", "PACKAGE"]
                .iter()
                .any(|kind| words.contains(kind));
            let read = as_the_server_reads(&sent, dialect, is_routine);
            proptest::prop_assert!(
                read.first().is_some_and(|word| kinds.iter().any(|kind| word.starts_with(kind))),
                "{:?}: {:?}", latin1(&sent), read
            );
            proptest::prop_assert_eq!(read.len(), 1, "{:?}", latin1(&sent));
            proptest::prop_assert!(!words.starts_with("DROP DATABASE") && !words.starts_with("UPDATE"));
        }
    }
}
