//! Counts the rows of a tool's dump while it passes, and compares them with the source's.
//!
//! The tool has a point in time of its own, later than the survey's. So a table may have another number of rows in the dump,
//! but not if nothing changed in it from the survey until the tool had ended.

use std::collections::HashMap;

use super::statement::{LONGEST, latin1, telling};
use super::values;
use crate::error::{Error, Kind, Result};
use crate::store::Part;
use crate::store::dump::Counted;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::rows::checksum;
use crate::store::mysql::schema::definitions::Table;
use crate::store::mysql::sql::lexer::{self, Dialect, Shape, Token};
use crate::store::mysql::sql::names::quoted;
use crate::store::mysql::sql::splitter::{Scanner, Step};

/// Reads along.
pub(super) struct Counter {
    scanner: Scanner,
    modes: Modes,
    counted: Counted,
}

impl Counter {
    pub(super) fn new(counted: Counted) -> Self {
        Self {
            scanner: Scanner::of_stream(LONGEST),
            modes: Modes::default(),
            counted,
        }
    }

    pub(super) fn feed(&mut self, piece: &[u8]) -> Result<()> {
        self.scanner.feed(piece);
        self.go_on()
    }

    pub(super) fn end(&mut self) -> Result<()> {
        self.scanner.end();
        self.go_on()
    }

    fn go_on(&mut self) -> Result<()> {
        let unreadable = |line: usize, why: String| {
            Error::new(
                Kind::Verify,
                format!("the dump cannot be read back: line {line}: {why}"),
            )
        };
        loop {
            let step = self.scanner.step();
            match step.map_err(|flaw| unreadable(flaw.line, flaw.what))? {
                Step::More | Step::End => return Ok(()),
                Step::Remark(_) => {}
                Step::Statement(line, place) => {
                    let sql = self.scanner.text(place);
                    if values::begins_rows(sql) {
                        let rows = values::read(sql, self.modes.dialect())
                            .map_err(|why| unreadable(line, why))?;
                        let table = String::from_utf8_lossy(&rows.table).into_owned();
                        let mut counted = self.counted.lock();
                        *counted.entry(table).or_default() += rows.count;
                    } else if self.modes.follow(sql) {
                        self.scanner.set_dialect(self.modes.dialect());
                    }
                }
            }
        }
    }
}

/// The `sql_mode` that a dump's session has, without a session.
#[derive(Debug, Default)]
struct Modes {
    now: String,
    kept: HashMap<String, String>,
}

impl Modes {
    fn dialect(&self) -> Dialect {
        Dialect::of(&self.now)
    }

    /// Follows a SET; `true`: of the mode.
    fn follow(&mut self, sql: &[u8]) -> bool {
        // The longest of them are short.
        if sql.len() > 4096 {
            return false;
        }
        let text = latin1(sql);
        let tokens = lexer::tokens(&text, self.dialect());
        let telling = telling(&tokens);
        if !telling.first().is_some_and(|token| token.is("SET")) {
            return false;
        }
        let mut changed = false;
        for item in telling[1..].split(|token| token.is_mark(",")) {
            let is_mode = |token: &Token<'_>| token.is("SQL_MODE");
            match item {
                [at, name, _, at_one, at_two, mode]
                    if at.is_mark("@")
                        && at_one.is_mark("@")
                        && at_two.is_mark("@")
                        && is_mode(mode) =>
                {
                    self.kept
                        .insert(name.text.to_ascii_lowercase(), self.now.clone());
                }
                [mode, _, value] if is_mode(mode) && value.shape == Shape::Text => {
                    value
                        .text
                        .trim_matches(['\'', '"'])
                        .clone_into(&mut self.now);
                    changed = true;
                }
                [mode, _, at, name] if is_mode(mode) && at.is_mark("@") => {
                    let kept = self.kept.get(&name.text.to_ascii_lowercase());
                    self.now = kept.cloned().unwrap_or_default();
                    changed = true;
                }
                _ => {}
            }
        }
        changed
    }
}

/// Compares a table's rows in the dump with the source's: `then` is a session at the survey's point in time, `now` one
/// that sees what the source is after the tool ended.
pub(super) async fn compare(
    then: &mut Session,
    now: &mut Session,
    table: &Table,
    part: &Part,
    dumped: u64,
    with_past: bool,
) -> Result<()> {
    let past = if with_past && table.versioning.is_some() {
        " FOR SYSTEM_TIME ALL"
    } else {
        ""
    };
    let sql = format!("SELECT COUNT(*) FROM {}{past}", quoted(&table.name));
    let within = |error: Error| error.within(format!("counting the rows of {}", table.name));
    let had = then.query_one(&sql).await.map_err(within)?.number(0)?;
    if had == dumped {
        return Ok(());
    }
    let before = checksum::checksum(then, table, part, &[]).await?;
    let after = checksum::checksum(now, table, part, &[]).await?;
    if before == after {
        return Err(Error::new(
            Kind::Verify,
            format!(
                "table `{}` has {had} rows, and the dump {dumped} of it, though nothing has changed in it in between",
                table.name
            ),
        )
        .hint("look at the table with CHECK TABLE, and run the job again"));
    }
    tracing::debug!(
        table = table.name,
        survey = had,
        dump = dumped,
        "rows changed between the survey and the dump: they cannot be compared"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_wherever_the_dump_is_cut_and_whatever_mode_a_routine_has() {
        let dump = "/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */;
INSERT INTO `a` VALUES (1),(2);
/*!50003 SET @saved_sql_mode       = @@sql_mode */ ;
/*!50003 SET sql_mode              = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES' */ ;
DELIMITER ;;
CREATE PROCEDURE \"p\"() SELECT '\\';;
DELIMITER ;
/*!50003 SET sql_mode              = @saved_sql_mode */ ;
INSERT INTO `a` VALUES ('\\');(');
INSERT INTO `b``b` VALUES (NULL,\"x\");
";
        for cut in [1, 7, dump.len()] {
            let counted = Counted::default();
            let mut counter = Counter::new(counted.clone());
            for piece in dump.as_bytes().chunks(cut) {
                counter.feed(piece).expect("a dump");
            }
            counter.end().expect("a dump");
            let counted = counted.lock();
            assert_eq!(counted["a"], 3);
            assert_eq!(counted["b`b"], 1);
        }
    }
}
