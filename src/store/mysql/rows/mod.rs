//! Rows on their way: how they are asked for, in slices and batches, how they are loaded, and how they are summed up.

pub(super) mod batch;
pub(super) mod checksum;
pub(super) mod codec;
pub(super) mod json;
mod json_values;
pub(super) mod load;
pub(super) mod lock_free;
pub(super) mod reading;
pub(super) mod result_rows;
pub(super) mod sample;
pub(super) mod select;
pub(super) mod slices;
pub(super) mod snapshot;
pub(super) mod typed;
pub(super) mod warnings;
