//! MySQL and MariaDB: a database (schema) of a server. Rows go from `SELECT` to `LOAD DATA LOCAL`, incoming is a schema
//! of its own beside live, and one `RENAME TABLE` publishes it.
//!
//! | room | what it has |
//! | --- | --- |
//! | `sql` | SQL as text: a lexer, names, versions; knows no server |
//! | `connection` | sessions on a server: the protocol, logging in, errors |
//! | `schema` | what a schema consists of: read, vetted, compared and made again |
//! | `workspace` | the schemas that a run makes beside live: their marks, and the journal of a swap |
//! | `rows` | rows on their way: SELECT, LOAD DATA, INSERT, slices, batches, checksums |
//! | `incoming` | the copy that is built: checks before it, its tables, what the target keeps, what is derived |
//! | `publish` | the swap, what follows it, and the ways back |
//! | `script` | the job's own SQL scripts |
//! | `portable` | definitions in an archive, and as scripts for people |
//! | `dump` | dumps of `mariadb-dump` and `mysqldump` |
//!
//! A room imports from those above it in this list. `source.rs` and `target.rs` stand on all of them but `dump/`, which stands on the
//! source, and `driver.rs` on everything.

mod connection;
mod driver;
mod dump;
#[cfg(test)]
mod fuzz;
mod incoming;
mod portable;
mod publish;
mod rows;
mod schema;
mod script;
mod source;
mod sql;
mod target;
mod url;
mod workspace;

pub use self::driver::{DRIVER, Mysql};
pub use url::KIND;
