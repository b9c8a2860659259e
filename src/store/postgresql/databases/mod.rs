//! The databases of a target's server: their names, marks and attributes, and how they are cleared and dropped.

pub(in crate::store::postgresql) mod attributes;
pub(in crate::store::postgresql) mod clear;
pub(in crate::store::postgresql) mod destination;
pub(in crate::store::postgresql) mod identity;
pub(in crate::store::postgresql) mod marks;
pub(in crate::store::postgresql) mod names;
pub(in crate::store::postgresql) mod room;
pub(in crate::store::postgresql) mod shell;
pub(in crate::store::postgresql) mod sweep;
pub(in crate::store::postgresql) mod user;
