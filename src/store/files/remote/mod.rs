//! Trees on other machines, over ssh: find lists them, and rsync brings and sends files.

mod connection;
mod facts;
mod failure;
mod listing;
mod private;
mod quote;
pub(in crate::store::files) mod url;
