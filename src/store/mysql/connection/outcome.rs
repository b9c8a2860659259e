//! The result of a statement.

/// The result of a statement without rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store::mysql) struct Done {
    pub(in crate::store::mysql) rows: u64,
    pub(in crate::store::mysql) warnings: u16,
    pub(in crate::store::mysql) more: bool,
}

/// The first packet of an answer.
pub(in crate::store::mysql) enum Answer {
    /// Done, without rows.
    Done(Done),
    /// So many columns; their definitions follow.
    Columns(u64),
    /// The server asks for the data of LOAD DATA LOCAL.
    Data,
}
