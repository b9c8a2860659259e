//! The copy that is being built beside the live file.

pub(super) mod build;
pub(super) mod check;
pub(super) mod create;
pub(super) mod derive;
pub(super) mod load;
pub(super) mod preflight;
pub(super) mod preserve;
pub(super) mod progress;
pub(super) mod rewrite;
pub(super) mod sequences;
