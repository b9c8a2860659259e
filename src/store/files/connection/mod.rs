//! Directories by their descriptors, and what is known of files.

pub(super) mod blocking;
pub(super) mod directory;
pub(super) mod escape;
pub(super) mod inside;
pub(super) mod mounts;
pub(super) mod names;
pub(super) mod remove;
pub(super) mod stat;
pub(super) mod told;
