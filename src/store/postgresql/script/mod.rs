//! The job's own scripts, which change incoming before anyone sees it.

pub(in crate::store::postgresql) mod reach;
pub(in crate::store::postgresql) mod run;
pub(in crate::store::postgresql) mod transactions;
