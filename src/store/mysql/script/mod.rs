//! The job's SQL scripts: how they are cut into statements, what in them is refused, and how they are run.

pub(super) mod cutter;
pub(super) mod execution;
pub(super) mod footprint;
pub(super) mod reach;
