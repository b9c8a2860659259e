//! The two sides of a task.

/// Which side of a task an endpoint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Its source, of the job's `from`.
    From,
    /// Its target, of the job's `to`.
    To,
}

impl Way {
    /// The task's key.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::From => "source",
            Self::To => "target",
        }
    }

    /// The job's key.
    pub(super) fn end(self) -> &'static str {
        match self {
            Self::From => "from",
            Self::To => "to",
        }
    }
}
