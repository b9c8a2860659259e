//! What lets a copy rest between source and target: definitions that are put away and taken out again, and rows as the
//! store's own tools read them.

use bytes::{Bytes, BytesMut};

#[cfg(feature = "mysql")]
use super::mysql;
#[cfg(feature = "postgresql")]
use super::postgresql;
#[cfg(feature = "sqlite")]
use super::sqlite;
use super::{Catalogue, Chunk, Definitions, Encoding, Fate, Part, Selection, Server};
use crate::config::job::{Definer, StoreKind};
use crate::error::{Error, Kind, Result};

pub(super) mod envelope;

/// SQL that makes what rows need or what needs rows, for people who have nothing but the store's own client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Its file's name without an ending; files are to be run in the order of their names: `1-before-rows`.
    pub name: String,
    /// The statements.
    pub text: String,
}

/// What was taken out, as a survey wants it.
#[derive(Debug)]
pub struct TakenOut {
    /// The definitions of what the selection leaves.
    pub definitions: Definitions,
    /// The parts whose rows it wants; each as it was put away.
    pub parts: Vec<Part>,
    /// What is there and is not copied, or only its structure, or the target's own.
    pub left_out: Vec<(String, Fate)>,
}

/// Turns a wire's chunks into what stands in a file that the store's own tools read. One for each part.
pub trait Unframe: Send {
    /// Appends what a chunk has. Chunks may end anywhere that the encoding lets them.
    fn feed(&mut self, chunk: &Bytes, out: &mut BytesMut) -> Result<()>;
    /// The rows have ended: whether they ended whole.
    fn end(&mut self, _out: &mut BytesMut) -> Result<()> {
        Ok(())
    }
}

/// The way back: a file's bytes, cut anywhere, into a wire's chunks with their rows counted. One for each part.
pub trait Reframe: Send {
    /// Takes in bytes; returns a chunk when there is one.
    fn feed(&mut self, plain: &[u8]) -> Result<Option<Chunk>>;
    /// The file has ended: what is left, if anything. A row that is not whole is an error.
    fn end(&mut self) -> Result<Option<Chunk>>;
}

/// A file's ending for rows in this encoding: `copy`, `tsv`, `sql`.
pub fn ending(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::CopyText => "copy",
        Encoding::CopyBinary => "copybin",
        Encoding::LargeObjects | Encoding::Rows => "sql",
        Encoding::LoadData => "tsv",
    }
}

/// From wire to file.
pub fn unframe(part: &Part) -> Result<Box<dyn Unframe>> {
    match part.encoding {
        #[cfg(feature = "mysql")]
        Encoding::LoadData => Ok(mysql::portable::unframe(part)),
        #[cfg(feature = "postgresql")]
        Encoding::CopyText | Encoding::LargeObjects => postgresql::portable::unframe(part),
        #[cfg(feature = "sqlite")]
        Encoding::Rows => Ok(sqlite::portable::unframe(part)),
        #[allow(unreachable_patterns)]
        encoding => Err(unknown(part, encoding)),
    }
}

/// From file to wire.
pub fn reframe(part: &Part) -> Result<Box<dyn Reframe>> {
    match part.encoding {
        #[cfg(feature = "mysql")]
        Encoding::LoadData => Ok(mysql::portable::reframe(part)),
        #[cfg(feature = "postgresql")]
        Encoding::CopyText | Encoding::LargeObjects => postgresql::portable::reframe(part),
        #[cfg(feature = "sqlite")]
        Encoding::Rows => Ok(sqlite::portable::reframe(part)),
        #[allow(unreachable_patterns)]
        encoding => Err(unknown(part, encoding)),
    }
}

/// What follows a part's rows in a lot.
pub fn end_in_lot(part: &Part) -> &'static [u8] {
    match part.encoding {
        #[cfg(feature = "postgresql")]
        Encoding::CopyText | Encoding::CopyBinary => postgresql::portable::END_IN_LOT,
        _ => &[],
    }
}

#[allow(dead_code)]
fn unknown(part: &Part, encoding: Encoding) -> Error {
    Error::new(
        Kind::Verify,
        format!(
            "{} is in an encoding that this envsyncd cannot keep in a file: {encoding:?}",
            part.label()
        ),
    )
}

/// Puts definitions away, as JSON; what comes out is the same to a target.
pub fn put_away(definitions: &Definitions) -> Result<Vec<u8>> {
    match definitions {
        #[cfg(feature = "mysql")]
        Definitions::Mysql(definitions) => mysql::portable::put_away(definitions),
        #[cfg(feature = "postgresql")]
        Definitions::Postgresql(definitions) => postgresql::portable::put_away(definitions),
        #[cfg(feature = "sqlite")]
        Definitions::Sqlite(definitions) => sqlite::portable::put_away(definitions),
    }
}

/// Takes definitions out again that [`put_away`] made, with `parts` and `left_out` as the survey had them, and leaves out
/// what the selection does.
#[cfg_attr(not(feature = "postgresql"), allow(clippy::unused_async))]
pub async fn take_out(
    kind: StoreKind,
    stored: &[u8],
    parts: Vec<Part>,
    left_out: Vec<(String, Fate)>,
    selection: &Selection,
) -> Result<TakenOut> {
    match kind {
        #[cfg(feature = "mysql")]
        StoreKind::Mysql => mysql::portable::take_out(stored, parts, &left_out, selection),
        #[cfg(feature = "postgresql")]
        StoreKind::Postgresql => {
            postgresql::portable::take_out(stored, parts, left_out, selection).await
        }
        #[cfg(feature = "sqlite")]
        StoreKind::Sqlite => sqlite::portable::take_out(stored, parts, &left_out, selection),
        #[allow(unreachable_patterns)]
        kind => Err(super::without(kind)),
    }
}

/// Parts that were taken out, for so many workers: slices of a table are one again where a target does better with it.
#[allow(unused_variables)] // by the stores that are built
pub fn join(kind: StoreKind, parts: Vec<Part>, workers: usize) -> Vec<Part> {
    match kind {
        #[cfg(feature = "postgresql")]
        StoreKind::Postgresql => postgresql::portable::join(parts, workers),
        _ => parts,
    }
}

/// A catalogue as it was put away, without what the selection of a pull leaves out; to a target that makes MySQL's definers
/// like this. Where it follows from the definitions, it is made of them anew.
#[allow(clippy::needless_pass_by_value, unused_variables)] // by the stores that are built
pub fn without(catalogue: Catalogue, taken: &TakenOut, definer: Definer) -> Result<Catalogue> {
    match &taken.definitions {
        #[cfg(feature = "mysql")]
        Definitions::Mysql(definitions) => Ok(mysql::portable::catalogue(definitions, definer)),
        #[cfg(feature = "postgresql")]
        Definitions::Postgresql(definitions) => {
            Ok(postgresql::portable::without(catalogue, definitions))
        }
        #[cfg(feature = "sqlite")]
        Definitions::Sqlite(definitions) => Ok(sqlite::portable::catalogue(definitions)),
    }
}

/// Refuses a target that is too old for the server that the data is of; in the words of a sync.
#[allow(unused_variables)] // by the stores that are built
pub fn refuse_older(source: &Server, target: &Server) -> Result<()> {
    match source.kind {
        // The target compares versions when it is asked to check the survey; a file of SQLite has none.
        StoreKind::Mysql | StoreKind::Sqlite => Ok(()),
        #[cfg(feature = "postgresql")]
        StoreKind::Postgresql => postgresql::portable::refuse_older(source, target),
        #[allow(unreachable_patterns)]
        kind => Err(super::without(kind)),
    }
}

/// Refuses definitions in which something needs what is excluded, where a pull would have to refuse them: in the words of
/// a sync.
#[allow(unused_variables)] // by the stores that are built
pub fn refuse_gaps(definitions: &Definitions) -> Result<()> {
    match definitions {
        #[cfg(feature = "mysql")]
        Definitions::Mysql(definitions) => mysql::portable::refuse_gaps(definitions),
        // What needs an excluded table is left out with it, and said so.
        #[cfg(feature = "postgresql")]
        Definitions::Postgresql(_) => Ok(()),
        #[cfg(feature = "sqlite")]
        Definitions::Sqlite(_) => Ok(()),
    }
}

/// The definitions as SQL.
pub fn scripts(definitions: &Definitions) -> Result<Vec<Script>> {
    match definitions {
        #[cfg(feature = "mysql")]
        Definitions::Mysql(definitions) => Ok(mysql::portable::scripts(definitions)),
        #[cfg(feature = "postgresql")]
        Definitions::Postgresql(definitions) => postgresql::portable::scripts(definitions),
        #[cfg(feature = "sqlite")]
        Definitions::Sqlite(definitions) => Ok(sqlite::portable::scripts(definitions)),
    }
}

/// The statement with which the store's own client loads a part's file from its standard input; empty, where the file is
/// statements itself.
#[allow(unused_variables)] // by the stores that are built
pub fn load_statement(definitions: &Definitions, part: &Part) -> Result<String> {
    match definitions {
        #[cfg(feature = "mysql")]
        Definitions::Mysql(definitions) => mysql::portable::load_statement(definitions, part),
        #[cfg(feature = "postgresql")]
        Definitions::Postgresql(definitions) => {
            Ok(postgresql::portable::load_statement(definitions, part))
        }
        #[cfg(feature = "sqlite")]
        Definitions::Sqlite(_) => Ok(String::new()),
    }
}
