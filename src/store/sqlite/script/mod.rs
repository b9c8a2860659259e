//! The job's own scripts.

pub(super) mod run;
pub(super) mod split;
