//! When a job is due. Pure.

/// A validated schedule, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule(String);
