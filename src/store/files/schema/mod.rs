//! Which files a task is for, and its own options.

pub(super) mod filter;
pub(super) mod options;
