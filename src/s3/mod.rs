//! Buckets of S3-compatible servers: credentials, TLS, what is tried again, lists, and objects that are read and written.
//! Archives lie in them, and trees of files.
//!
//! What it promises: an object is there whole or not at all, and durable once it is; no error shows a secret.

mod client;
pub(crate) mod copy;
mod credentials;
mod explain;
mod failure;
#[cfg(test)]
mod fuzz;
pub(crate) mod get;
mod listing;
pub mod object;
pub(crate) mod pages;
mod profile;
pub(crate) mod put;
pub(crate) mod reading;
mod refusal;
mod request;
mod transport;
pub mod upload;
mod watched;

pub(crate) use client::S3;
pub use transport::Patience;
