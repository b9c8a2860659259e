//! How rows of this store travel: the names of its encodings, as they stand in snapshots' manifests.

use crate::store::Encoding;

/// COPY's text format, in CopyData messages.
pub(in crate::store::postgresql) const COPY_TEXT: Encoding = Encoding::new("copy_text");

/// COPY's binary format, in CopyData messages.
pub(in crate::store::postgresql) const COPY_BINARY: Encoding = Encoding::new("copy_binary");

/// Large objects, in pieces.
pub(in crate::store::postgresql) const LARGE_OBJECTS: Encoding = Encoding::new("large_objects");
