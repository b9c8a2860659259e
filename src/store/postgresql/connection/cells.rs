//! Checked access to what a server answers: one that is none, or is not in its right mind, may answer with other types.

use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use crate::error::{Error, Kind, Result};

/// A row's columns, each with a check of its type.
pub(in crate::store::postgresql) trait Cells {
    /// The column at this place. One of another type, NULL where that is not expected, or none at all is an error.
    fn read<'a, T: FromSql<'a>>(&'a self, place: usize) -> Result<T>;
}

impl Cells for Row {
    fn read<'a, T: FromSql<'a>>(&'a self, place: usize) -> Result<T> {
        self.try_get(place).map_err(|_| unexpected(place))
    }
}

/// The error of a column that is not what was asked for. What it has instead may be a value, and is not told.
fn unexpected(place: usize) -> Error {
    Error::new(
        Kind::Connection,
        format!(
            "the server answered with an unexpected column: number {} of a query is not of the type that was asked for",
            place + 1
        ),
    )
    .hint("check that the URL names a PostgreSQL server, and that nothing in between changes its answers")
}
