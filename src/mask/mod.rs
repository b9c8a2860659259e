//! Masks: what becomes of personal data while rows pass through. Pure: values in, values out; no store, no clock, no chance.
//!
//! | file | what it is |
//! | --- | --- |
//! | [`value`] | values, and what masks make of them |
//! | [`column`] | columns, whether a kind fits one, and whether values stay distinct in it |
//! | [`key`] | the key; the functions that are derived from it |
//! | [`cmac`], [`ff1`] | what those functions are, and what numbers are ciphered with |
//! | [`kind`] | the kinds, a file a family |
//! | [`row`] | rows, and what kinds see of them |
//! | [`rule`] | a table's masks, compiled, and rows that are put through them |
//! | [`detect`] | what looks personal, and why |
//!
//! What always holds:
//!
//! - The same value under the same key becomes the same, in every table, store, job and host; what tells is the kind and its
//!   options, never the column. Of columns that are too short for what a kind makes, the longer ones have more of the same.
//! - NULL stays NULL and an empty text stays empty, but for kinds whose documentation says otherwise.
//! - A value that is not what its kind is for is masked all the same: an address without an @, a date that is none.
//! - No value is in an error, and none is shown by `Debug`.

mod cmac;
pub mod column;
pub mod detect;
mod example;
mod ff1;
#[cfg(test)]
mod fuzz;
pub mod key;
pub mod kind;
pub mod row;
pub mod rule;
#[cfg(test)]
mod tests;
pub mod value;

pub use column::{Column, Fit, Repertoire, Type, Uniqueness};
pub use example::example;
pub use key::Key;
pub use kind::Kind;
pub use row::Row;
pub use rule::{RowMask, Rule, Scratch};
pub use value::{Encoding, Replacement, Value};
