//! Trees walked side by side, and what becomes of each name.

pub(super) mod content;
pub(super) mod decision;
pub(super) mod survey;
pub(super) mod walk;
pub(super) mod warnings;
