//! Trees on other machines, over ssh: find lists them, and tar and rsync bring and send files.

mod connection;
mod facts;
mod failure;
#[cfg(test)]
mod fuzz;
mod listing;
mod login;
mod names;
mod private;
mod quote;
mod rsync;
mod send;
mod shell;
mod stream;
mod tar;
pub(in crate::store::files) mod target;
pub(in crate::store::files) mod tree;
pub(in crate::store::files) mod url;
