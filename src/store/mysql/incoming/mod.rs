//! The copy that is built beside live: what is checked before, how it is made, and what makes it complete.

pub(super) mod complete;
pub(super) mod create;
pub(super) mod derive;
pub(super) mod loader;
pub(super) mod overlay;
pub(super) mod preflight;
pub(super) mod preserve;
pub(super) mod privileges;
pub(super) mod wanted;
pub(super) mod zoned;
