//! SQLite: a database file.
//!
//! The source is read in one transaction. Incoming is a file beside live, `LIVE.envsyncd-incoming-RUN`; a whole copy
//! takes it page by page through SQLite's backup interface, a partial one row by row, so that what is left out never
//! reaches the target's disk. Publish writes incoming's pages into live's own file in one transaction, because an
//! application that has the file open goes on with it: a renamed file would leave it with the old one. Before that, live
//! is copied to `LIVE.envsyncd-snapshot-RUN`, which becomes `LIVE.envsyncd-previous`. `LIVE.envsyncd-marks` says which of
//! these are ours. After scripts incoming is written anew, so that nothing of what they removed is in it.
//!
//! At its peak the target's disk holds live, previous, a snapshot, incoming, and a journal as big as the larger of live
//! and incoming.

mod connection;
mod driver;
#[cfg(test)]
mod fuzz;
mod incoming;
mod publish;
mod rows;
mod schema;
mod script;
mod source;
mod target;
#[cfg(test)]
mod tests;
mod url;

pub use driver::DRIVER;
pub use url::KIND;
