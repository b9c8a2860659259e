//! Trees of files in buckets.

mod about;
mod arrival;
mod compare;
mod copies;
mod fetch;
mod flight;
mod likeness;
mod list;
mod object;
mod parents;
mod relay;
mod send;
pub(super) mod source;
mod sums;
pub(super) mod target;
mod upload;
