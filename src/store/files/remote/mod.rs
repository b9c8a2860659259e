//! Trees on other machines, over ssh: find lists them, and rsync brings and sends files.

mod connection;
mod facts;
mod failure;
mod follow;
#[cfg(test)]
mod fuzz;
mod listing;
mod names;
mod private;
mod quote;
mod rsync;
pub(in crate::store::files) mod target;
pub(in crate::store::files) mod tree;
pub(in crate::store::files) mod url;
