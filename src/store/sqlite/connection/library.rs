//! The SQLite library that is built in.

use crate::store::Server;

/// The store's kind.
pub(in crate::store::sqlite) use crate::store::sqlite::url::KIND;

/// The library as a server: a file has none, and no version that matters.
pub(in crate::store::sqlite) fn server() -> Server {
    Server {
        kind: KIND,
        version: rusqlite::version().to_owned(),
        major: 3,
    }
}
