//! A dump's statements and remarks, as they come.

use std::ops::Range;

use futures_util::StreamExt;

use crate::error::{Error, Kind, Result};
use crate::store::dump::Dump;
use crate::store::mysql::sql::splitter::{Scanner, Step};
use crate::store::statements::Flaw;

/// Where a statement is.
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) range: Range<usize>,
}

/// The next item of a dump.
pub(super) enum Found {
    Remark(Vec<u8>),
    Statement(Place),
}

/// Cuts the next statement or remark.
pub(super) async fn step(
    scanner: &mut Scanner,
    dump: &mut Dump,
    file: &str,
) -> Result<Option<Found>> {
    loop {
        match scanner.step().map_err(|flaw| broken(file, &flaw))? {
            Step::Statement(line, range) => {
                return Ok(Some(Found::Statement(Place { line, range })));
            }
            Step::Remark(range) => {
                return Ok(Some(Found::Remark(scanner.text(range).to_vec())));
            }
            Step::More => match dump.next().await {
                Some(piece) => {
                    scanner.feed(&piece.map_err(|error| error.within(file.to_owned()))?);
                }
                None => scanner.end(),
            },
            Step::End => return Ok(None),
        }
    }
}

fn broken(file: &str, flaw: &Flaw) -> Error {
    Error::new(
        Kind::Verify,
        format!("{file}:{} cannot be read: {}", flaw.line, flaw.what),
    )
    .hint("the dump is cut off or damaged; take another one")
}
