//! Configuration: files as they are written, and what is left of them once they are known to be right.

pub mod job;
