//! Damaged input for what reads URLs and globs.
