//! Fuzz targets: dumps of MySQL's and MariaDB's tools, and what these tools print. See `docs/fuzzing.md`.

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::allowed::{Action, Allowed};
use super::complaints;
use super::counts::Counter;
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
                Ok(Action::Rows(found) | Action::Computed(found)) => {
                    let batches: Vec<_> = found.in_batches(&sql).collect();
                    prop_assert_eq!(batches.iter().map(|(_, rows)| *rows).sum::<u64>(), found.count);
                    prop_assert!(batches.iter().all(|(text, _)| text.len() <= sql.len() + 1));
                    rows += found.count;
                }
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
        let mut again = 0;
        for (sql, count) in rows.in_batches(&text) {
            let batch = values::read(&sql, dialect);
            prop_assert_eq!(batch.map(|batch| (batch.count, batch.table)), Ok((count, rows.table.clone())));
            again += count;
        }
        prop_assert_eq!(again, rows.count);
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
