//! Fuzz targets: dumps of MySQL's and MariaDB's tools, and what these tools print. See `docs/fuzzing.md`.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::BytesMut;
use proptest::prelude::*;

use super::allowed::{Action, Allowed};
use super::complaints;
use super::counts::Counter;
use super::forms::Form;
use super::inserts::{Inserts, Layout};
use super::settings;
use super::values;
use crate::config::job::Definer;
use crate::fuzz::{bytes, config, lengths, pieces, texts};
use crate::store::Selection;
use crate::store::mysql::sql::lexer::Dialect;
use crate::store::mysql::sql::splitter::{Scanner, Step};
use crate::store::mysql::sql::version::Version;
use crate::sync::Mutex;

const DUMPS: &[&str] = &["tests/corpus/mysql_dump"];

/// How many rows of which table there are in a dump that comes in these pieces; `None`: it cannot be read.
fn counted(dump: &[u8], lengths: &[usize]) -> Option<HashMap<String, u64>> {
    let counted = Arc::new(Mutex::new(HashMap::new()));
    let mut counter = Counter::new(Arc::clone(&counted));
    for piece in pieces(dump, lengths) {
        counter.feed(piece).ok()?;
    }
    counter.end().ok()?;
    let found = counted.lock().clone();
    Some(found)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn dump(text in bytes(DUMPS), folded: bool, definer in prop::sample::select(vec![Definer::Map, Definer::Keep])) {
        let selection = Selection::everything();
        let here = Version::parse("10.11.6-MariaDB").expect("a version");
        let mut allowed = Allowed::new(
            "app_staging_0123456789ab", folded, definer, &selection, here, settings::tests::fresh(),
        );
        let mut scanner = Scanner::of_stream(1 << 30).with_remarks();
        scanner.feed(&text);
        scanner.end();
        let mut rows = 0;
        while let Ok(step) = scanner.step() {
            let place = match step {
                Step::Statement(_, place) => place,
                Step::Remark(place) => {
                    allowed.remark(scanner.text(place));
                    continue;
                }
                Step::More | Step::End => break,
            };
            let sql = scanner.text(place).to_vec();
            match allowed.decide(&sql, Dialect::default()) {
                Ok(Action::Rows(_, found)) => rows += found.count,
                Ok(Action::Run(sql)) => prop_assert!(!sql.is_empty()),
                Ok(_) => {}
                Err(why) => prop_assert!(!why.is_empty()),
            }
        }
        prop_assert!(rows <= text.len() as u64);
        let _ = (allowed.whole(), allowed.server(), allowed.awake());
    }

    #[test]
    fn rows_of_a_dump(text in bytes(&["tests/corpus/mysql_insert"]), ansi_quotes: bool, no_backslash: bool) {
        if !values::begins_rows(&text) {
            return Ok(());
        }
        let dialect = Dialect { ansi_quotes, no_backslash };
        let Ok(rows) = values::read(&text, dialect) else {
            return Ok(());
        };
        prop_assert!(rows.count > 0 && rows.count <= text.len() as u64);
        // Whatever there is of it becomes as many lines of as many fields, or an error.
        for (columns, form) in [(1, Form::Bytes), (2, Form::Number), (3, Form::Bits(3)), (2, Form::Uuid)] {
            let layout = Layout {
                fields: vec![Some(form); columns],
                dialect,
                charset: "utf8mb4".to_owned(),
            };
            let mut out = BytesMut::new();
            let lines = Inserts::new(&text, &layout).and_then(|mut inserts| inserts.fill(&mut out, usize::MAX));
            if let Ok(lines) = lines {
                prop_assert_eq!(lines, rows.count);
                prop_assert_eq!(memchr::memchr_iter(b'\n', &out).count() as u64, lines);
                prop_assert_eq!(memchr::memchr_iter(b'\t', &out).count() as u64, lines * (columns as u64 - 1));
            }
        }
    }

    #[test]
    fn dump_that_passes(text in bytes(DUMPS), lengths in lengths()) {
        prop_assert_eq!(counted(&text, &lengths), counted(&text, &[usize::MAX]));
    }

    #[test]
    fn complaint(line in texts(&["tests/corpus/mysql_complaint", "tests/corpus/message"])) {
        let told = complaints::told(&line);
        prop_assert!(told.len() <= line.len() + 100);
    }
}
