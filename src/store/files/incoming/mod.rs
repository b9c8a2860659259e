//! The tree that is built beside live.

pub(super) mod build;
pub(super) mod check;
pub(super) mod copy;
pub(super) mod directories;
mod foreman;
pub(super) mod metadata;
pub(super) mod out;
pub(super) mod plan;
pub(super) mod queue;
pub(super) mod recycle;
pub(super) mod spare;
pub(super) mod throttle;
pub(super) mod vanished;
