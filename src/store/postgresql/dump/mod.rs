//! Whole dumps: restored by `pg_restore` into a database of its own beside incoming, and written by `pg_dump`.
//!
//! A dump is SQL that somebody else wrote, and is restored with all the rights of the target's user. So its head, where all
//! of its statements are, is read first, and what is not about its own database is refused or left out.

pub(in crate::store::postgresql) mod counting;
pub(in crate::store::postgresql) mod fitting;
#[cfg(test)]
pub(in crate::store::postgresql) mod fuzz;
pub(in crate::store::postgresql) mod head;
pub(in crate::store::postgresql) mod pg_restore;
pub(in crate::store::postgresql) mod restore;
pub(in crate::store::postgresql) mod staging;
pub(in crate::store::postgresql) mod within;
pub(in crate::store::postgresql) mod writing;
