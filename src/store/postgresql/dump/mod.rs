//! Whole dumps: their definitions are restored by `pg_restore` into a database of its own beside incoming, and their rows come
//! out of the file itself; and written by `pg_dump`.
//!
//! A dump's definitions are SQL that somebody else wrote, and are restored with all the rights of the target's user. So its
//! head, where all of its statements are, is read first, and what is not about its own database is refused or left out.

mod blocks;
mod contents;
mod copy_statement;
pub(in crate::store::postgresql) mod counting;
pub(in crate::store::postgresql) mod fitting;
#[cfg(test)]
pub(in crate::store::postgresql) mod fuzz;
pub(in crate::store::postgresql) mod head;
mod lines;
mod lz4;
mod pg_restore;
pub(in crate::store::postgresql) mod restore;
mod rows;
pub(in crate::store::postgresql) mod staging;
mod unpack;
pub(in crate::store::postgresql) mod within;
pub(in crate::store::postgresql) mod writing;
