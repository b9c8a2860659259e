//! Rows on their way: COPY, codecs, slices, batches, checksums.

pub(in crate::store::postgresql) mod batch;
mod binary_values;
pub(in crate::store::postgresql) mod checksum;
pub(in crate::store::postgresql) mod codec;
pub(in crate::store::postgresql) mod copy_stream;
mod frames;
pub(in crate::store::postgresql) mod large_object_rows;
mod large_objects_as_sql;
pub(in crate::store::postgresql) mod reading;
pub(in crate::store::postgresql) mod relation;
pub(in crate::store::postgresql) mod sample;
pub(in crate::store::postgresql) mod slices;
pub(in crate::store::postgresql) mod snapshot;
mod text_values;
