//! Definitions and rows on their way into an archive and out of it.

use crate::error::Result;
use crate::store::portable::{Reframe, Script, TakenOut, Unframe};
use crate::store::sqlite::rows::inserts::{InsertDecoder, InsertEncoder};
use crate::store::sqlite::schema::definitions::Definitions;
use crate::store::sqlite::schema::{archived, manual_restore};
use crate::store::{Catalogue, Fate, Part, Selection};

/// Everything in a database but rows, as JSON.
pub(in crate::store) fn put_away(definitions: &Definitions) -> Result<Vec<u8>> {
    archived::put_away(definitions)
}

/// The way back, with the selection of the pull on top of the push's.
pub(in crate::store) fn take_out(
    stored: &[u8],
    parts: Vec<Part>,
    left_out: &[(String, Fate)],
    selection: &Selection,
) -> Result<TakenOut> {
    archived::take_out(stored, parts, left_out, selection)
}

/// What the source's catalogue is to a target: it follows from the definitions.
pub(in crate::store) fn catalogue(definitions: &Definitions) -> Catalogue {
    definitions.selected()
}

/// From wire to file.
pub(in crate::store) fn unframe(part: &Part) -> Box<dyn Unframe> {
    Box::new(InsertEncoder::new(part))
}

/// From file to wire.
pub(in crate::store) fn reframe(part: &Part) -> Box<dyn Reframe> {
    Box::new(InsertDecoder::new(part))
}

/// The definitions as SQL for `sqlite3`.
pub(in crate::store) fn scripts(definitions: &Definitions) -> Vec<Script> {
    manual_restore::scripts(definitions)
}
