//! URLs of endpoints: they are read once, when a file is, and what they say is kept with them.

mod archive;
mod bucket;
mod endpoint;
mod read;

pub use archive::ArchiveUrl;
pub use bucket::BucketUrl;
pub use endpoint::EndpointUrl;
pub use read::read_url;
pub(super) use read::{is_meant_for_archive, looks_like_url, read, usual_forms};
