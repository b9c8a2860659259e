//! The tree that is built beside live.

pub(super) mod build;
pub(super) mod check;
pub(super) mod copy;
pub(super) mod directories;
pub(super) mod metadata;
pub(super) mod out;
pub(super) mod plan;
pub(super) mod queue;
pub(super) mod throttle;
