//! PostgreSQL: rows by COPY between two servers, definitions by `pg_dump`, incoming as a database of its own.
//!
//! Each room imports only from those above it in this list:
//!
//! | room | what is in it |
//! | --- | --- |
//! | `url` | what URLs say, read once |
//! | `sql` | names, strings and words of SQL |
//! | `connection` | the wire, logins, sessions, settings of sessions, and errors of servers |
//! | `databases` | the databases of a target's server: their names, marks and attributes |
//! | `schema` | definitions: what `pg_dump` and the catalogues say of a database |
//! | `rows` | rows on their way: COPY, codecs, slices, batches, checksums, a source's snapshot |
//! | `portable` | definitions in archives |
//! | `incoming` | the copy, from an empty database to one that has everything |
//! | `script` | the job's own scripts on it |
//! | `publish` | the target's lock, the swap, what follows it, and the way back |
//! | `preflight` | what is refused before anything is made |
//! | `source`, `target` | what the engine sees |
//! | `dump` | whole dumps of PostgreSQL's own tools |
//! | `driver` | what the registry sees |

mod connection;
mod databases;
mod driver;
mod dump;
#[cfg(test)]
mod fuzz;
mod incoming;
mod portable;
mod preflight;
mod publish;
mod rows;
mod schema;
mod script;
mod source;
mod sql;
mod target;
mod url;

pub use self::url::KIND;

/// The store, for the registry.
pub(super) static DRIVER: driver::Driver = driver::Driver;
