//! Rows: their encodings, chunks and checksums.

pub(super) mod checksum;
pub(super) mod chunks;
mod cut;
pub(super) mod inserts;
pub(super) mod reading;
pub(super) mod sample;
pub(super) mod values;
