//! Rows: their encodings, chunks and checksums.

pub(super) mod checksum;
pub(super) mod chunks;
pub(super) mod inserts;
pub(super) mod values;
