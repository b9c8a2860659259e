//! Servers and files that want more than to be copied: endless, huge, silent, malformed, lying about lengths.

pub(crate) mod http;
pub(crate) mod icinga;
pub(crate) mod s3;
pub(crate) mod snapshot;
