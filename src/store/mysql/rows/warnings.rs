//! Warnings of a server about rows that it took. A value that it had to change is no copy: every warning is accounted for, or the
//! run fails. Of a warning's text nothing is told but the column: there may be a value in it.
//!
//! One kind is expected: an ENUM's error value, which is '' and has the number 0, is stored with a warning each time it is
//! stored, which is how it can be stored. How many there are is counted on their way, so that no other warning
//! hides among them.

use memchr::memchr2_iter;

use crate::error::{Error, Kind, Result};
use crate::store::mysql::connection::outcome::Done;
use crate::store::mysql::connection::session::Session;

/// Of how many a server's protocol tells, whatever there are.
const MANY: u16 = u16::MAX;

/// WARN_DATA_TRUNCATED.
const TRUNCATED: u64 = 1265;

/// Counts an ENUM's error values in lines for LOAD DATA.
pub(in crate::store::mysql) struct ErrorValues {
    /// What stands for it in each field; `None`: none can be there.
    marks: Vec<Option<Vec<u8>>>,
    longest: usize,
    field: usize,
    /// The field that has begun in an earlier piece; no more of it than matters.
    begun: Vec<u8>,
    pub(in crate::store::mysql) found: u64,
}

impl ErrorValues {
    pub(in crate::store::mysql) fn new(marks: Vec<Option<Vec<u8>>>) -> Self {
        Self {
            longest: marks.iter().flatten().map(Vec::len).max().unwrap_or(0),
            marks,
            field: 0,
            begun: Vec::new(),
            found: 0,
        }
    }

    /// Takes a piece of the lines.
    pub(in crate::store::mysql) fn take(&mut self, piece: &[u8]) {
        if self.marks.iter().all(Option::is_none) {
            return;
        }
        let mut start = 0;
        for end in memchr2_iter(b'\t', b'\n', piece) {
            let rest = &piece[start..end];
            if let Some(Some(mark)) = self.marks.get(self.field)
                && self.begun.len() + rest.len() == mark.len()
                && mark.starts_with(&self.begun)
                && mark.ends_with(rest)
            {
                self.found += 1;
            }
            self.begun.clear();
            self.field = if piece[end] == b'\n' {
                0
            } else {
                self.field + 1
            };
            start = end + 1;
        }
        let rest = &piece[start..];
        let room = (self.longest + 1).saturating_sub(self.begun.len());
        self.begun.extend_from_slice(&rest[..rest.len().min(room)]);
    }
}

/// What the server had to change in a value, or left out, is an error. `expected`: error values among the rows.
pub(in crate::store::mysql) async fn settle(
    session: &mut Session,
    done: Done,
    expected: u64,
) -> Result<()> {
    if done.warnings < MANY && u64::from(done.warnings) == expected {
        return Ok(());
    }
    let found = Warnings::read(session).await?;
    if found.total == expected {
        return Ok(());
    }
    let notes = found.all.iter().filter(|warning| warning.is_note).count() as u64;
    if found.are_all() && found.total - notes == expected {
        return Ok(());
    }
    Err(found.error(|warning| warning.code != TRUNCATED))
}

/// What a server warned of while rows were read from it: nothing of it may be another value.
pub(super) async fn settle_read(session: &mut Session, warnings: u16) -> Result<()> {
    if warnings == 0 {
        return Ok(());
    }
    let found = Warnings::read(session).await?;
    if found.are_all() && found.all.iter().all(|warning| warning.is_note) {
        return Ok(());
    }
    let first = found.all.iter().find(|warning| !warning.is_note);
    Err(Error::new(
        Kind::Verify,
        format!(
            "{}: the server warned of the rows that it sent ({})",
            session.label(),
            found.named(first)
        ),
    )
    .hint("check the table with CHECK TABLE, and the server's max_allowed_packet"))
}

struct Warning {
    is_note: bool,
    code: u64,
    /// The column that it is about.
    column: Option<String>,
}

/// The warnings of a session's last statement.
struct Warnings {
    /// Those that the server has kept.
    all: Vec<Warning>,
    total: u64,
}

impl Warnings {
    async fn read(session: &mut Session) -> Result<Self> {
        let rows = session.query("SHOW WARNINGS").await?;
        // Asked for in another way, MySQL forgets them.
        let total = session.query_one("SHOW COUNT(*) WARNINGS").await?;
        let mut all = Vec::with_capacity(rows.len());
        for row in &rows {
            let text = row.bytes(2).map(String::from_utf8_lossy);
            all.push(Warning {
                is_note: row.text(0)? == "Note",
                code: row.number(1)?,
                column: text.and_then(|text| column(&text)),
            });
        }
        Ok(Self {
            all,
            total: total.number(0)?,
        })
    }

    fn are_all(&self) -> bool {
        self.all.len() as u64 == self.total
    }

    fn named(&self, warning: Option<&Warning>) -> String {
        let what = match warning {
            Some(Warning { code, column, .. }) => {
                let column = column.as_ref().map(|name| format!(" of column `{name}`"));
                format!("warning {code}{}", column.unwrap_or_default())
            }
            None => "warnings that it does not name".to_owned(),
        };
        format!("{what}, one of {}", self.total)
    }

    fn error(&self, is_doubt: impl Fn(&Warning) -> bool) -> Error {
        let first = self
            .all
            .iter()
            .find(|warning| is_doubt(warning))
            .or(self.all.first());
        let hint = if first.is_none() || !self.are_all() {
            "compare both servers' versions and settings, and raise the target's max_error_count, which lets it name them all; nothing was published"
        } else {
            "compare both servers' versions and settings; nothing was published"
        };
        Error::new(
            Kind::Verify,
            format!(
                "the target could not take the rows as they are: {}",
                self.named(first)
            ),
        )
        .hint(hint)
    }
}

/// `Data truncated for column 'd' at row 1`, in whatever language: the first thing in quotes is the column in warnings of
/// values that were cut, the last one in those that cite a value.
pub(in crate::store::mysql) fn column(text: &str) -> Option<String> {
    let at = text.find("column '")? + "column '".len();
    let rest = &text[at..];
    let end = rest.find("' at row").or_else(|| rest.find('\''))?;
    Some(rest[..end].to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counted(marks: &[Option<&str>], pieces: &[&[u8]]) -> u64 {
        let marks = marks
            .iter()
            .map(|mark| mark.map(|mark| mark.as_bytes().to_vec()));
        let mut values = ErrorValues::new(marks.collect());
        for piece in pieces {
            values.take(piece);
        }
        values.found
    }

    #[test]
    fn error_values_are_counted_in_their_own_columns_alone() {
        let lines = b"1\t\tx\n\t\\N\t\n2\t\t?\n";
        assert_eq!(counted(&[None, Some(""), None], &[lines]), 2);
        assert_eq!(counted(&[None, None, Some("?")], &[lines]), 1);
        assert_eq!(counted(&[None, Some(""), Some("")], &[lines]), 3);
        assert_eq!(counted(&[None, None, None], &[lines]), 0);
    }

    #[test]
    fn a_column_is_taken_from_a_warning_and_a_value_is_not() {
        assert_eq!(
            column("Data truncated for column 'it's' at row 7").as_deref(),
            Some("it's")
        );
        assert_eq!(
            column("Incorrect string value: '\\xF0' for column `a`.`b`.`c` at row 1"),
            None
        );
        assert_eq!(column("Duplicate entry 'alice' for key 'mail'"), None);
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(
            rows in prop::collection::vec(prop::collection::vec("(|\\?|\\?\\?|a|ab|\\\\N)", 3), 0..20),
            cut in 1usize..9,
        ) {
            let lines: String = rows.iter().map(|row| row.join("\t") + "\n").collect();
            let pieces: Vec<&[u8]> = lines.as_bytes().chunks(cut).collect();
            let marks = [Some(""), None, Some("??")];
            let expected = rows.iter().map(|row| u64::from(row[0].is_empty()) + u64::from(row[2] == "??")).sum::<u64>();
            prop_assert_eq!(counted(&marks, &pieces), expected);
        }
    }
}
