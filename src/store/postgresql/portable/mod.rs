//! Definitions in archives: put away, taken out again, and as scripts for `psql`.

pub(in crate::store::postgresql) mod scripts;
pub(in crate::store::postgresql) mod stored;
