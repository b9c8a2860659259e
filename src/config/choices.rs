//! What a task's options choose between.

/// What happens to tables that only the target has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// They go: an exact copy.
    Replace,
    /// They stay.
    Overlay,
}

/// Of which moment the tasks of a job that has several are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PointInTime {
    /// All of one, as nearly as can be: each is surveyed before any is copied.
    Job,
    /// Each of its own: it is surveyed when its turn comes.
    Task,
}

/// How a copy is checked before it is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verify {
    /// Catalogues, and rows sent against rows taken.
    Rows,
    /// Catalogues, and every row read back and compared by checksum.
    Checksum,
    /// Not at all.
    None,
}

/// Owners and grants of the copied objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Roles {
    /// As on the source; where the target lacks a role, live's owner stands in for an owner and a grant is left out.
    Map,
    /// All belongs to live's owner, and nothing is granted.
    Skip,
    /// As on the source; a role that the target lacks is an error.
    Fail,
}

/// As whom the views, routines, triggers and events of a MySQL copy run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Definer {
    /// As the target's user, who makes them.
    Map,
    /// As on the source.
    Keep,
}

/// Whether the events of a MySQL copy run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Events {
    /// They are there, and disabled.
    Disabled,
    /// As on the source.
    Keep,
}

/// How a copy becomes live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Publish {
    /// It is built beside live and takes its place.
    Swap,
    /// Live is emptied first, in maintenance: for a target without room for two copies.
    InPlace,
}

/// What becomes of the copy that was live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepPrevious {
    /// It stays until the next run: `rollback` works.
    Keep,
    /// It is dropped when the run is done.
    Drop,
}
