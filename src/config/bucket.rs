//! How a bucket's server is reached: what stands beside an `s3://` URL, of an archive and of a tree of files alike.

use std::path::PathBuf;

use crate::secret::Secret;

/// What a bucket's URL does not say of its server and of who asks it.
#[derive(Debug, Clone, Default)]
pub struct BucketAccess {
    /// An S3-compatible server, `https://minio.example:9000`; `None`: Amazon's.
    pub endpoint: Option<String>,
    /// The bucket's region; `None`: the usual chain's, else `us-east-1`.
    pub region: Option<String>,
    /// Whether the bucket stands in the path and not in the host's name; `None`: if there is an `endpoint`.
    pub path_style: Option<bool>,
    /// The access key's id; `None`: the usual chain (environment, profile, web identity, instance).
    pub access_key_id: Option<String>,
    /// With `access_key_id`.
    pub secret_access_key: Option<Secret>,
    /// A section of the profiles' files, `~/.aws/credentials` and `~/.aws/config`.
    pub profile: Option<String>,
    /// Certificate authorities (PEM) of the server; `None`: the machine's.
    pub ca: Option<PathBuf>,
    /// What is sent with each object for the server to hold it against.
    pub checksum: Option<BucketChecksum>,
    /// How the server is told to encrypt what it keeps; `None`: as the bucket says.
    pub sse: Option<Sse>,
}

/// A checksum that goes with each object (`x-amz-checksum-...`), which a bucket with Object Lock asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BucketChecksum {
    /// SHA-256.
    Sha256,
    /// CRC-64/NVME.
    Crc64nvme,
}

/// Encryption at rest by the server (`x-amz-server-side-encryption`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sse {
    /// With the server's own keys.
    Aes256,
    /// With the key management service's key for S3.
    Kms,
}
