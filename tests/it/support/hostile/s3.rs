//! What answers in place of an S3 server: lists without end, answers that are none, lengths that are lies.

use std::sync::Arc;

use envsyncd::archive::bucket::{Bucket, Patience};
use envsyncd::store::Lookup;

use super::http::{Answer, Asked, Server};
use crate::support::s3::{KEY, SECRET, archive, patience};

/// The server.
pub(crate) struct S3(Server);

impl S3 {
    /// Starts one that answers so.
    pub(crate) fn start(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self(Server::start(None, answer))
    }

    /// What `endpoint` is in a job.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.0.port())
    }

    /// Bucket `bucket` with prefix `x`, with the tests' limits of time.
    pub(crate) async fn bucket(&self) -> Bucket {
        self.bucket_with(patience()).await
    }

    /// The same with others.
    pub(crate) async fn bucket_with(&self, patience: Patience) -> Bucket {
        let endpoint = archive("s3://bucket/x", &self.endpoint(), KEY, SECRET);
        let nothing: Lookup = Arc::new(|_| None);
        Bucket::open_with(&endpoint, &nothing, patience)
            .await
            .expect("an archive")
    }
}

/// A page of a list with these prefixes; more are to come if there is a token.
pub(crate) fn page(prefixes: &[String], token: Option<&str>) -> Answer {
    let prefixes: Vec<String> = prefixes
        .iter()
        .map(|prefix| format!("<CommonPrefixes><Prefix>{prefix}</Prefix></CommonPrefixes>"))
        .collect();
    let prefixes = prefixes.concat();
    let more = match token {
        None => "<IsTruncated>false</IsTruncated>".to_owned(),
        Some(token) => format!(
            "<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>"
        ),
    };
    let body = format!("<ListBucketResult>{more}{prefixes}</ListBucketResult>");
    Answer::of(200, "", body.as_bytes())
}

/// Lines of the head of an object with this content.
pub(crate) fn object(content: &[u8]) -> String {
    format!(
        "etag: \"{}\"\r\nlast-modified: Fri, 02 Jan 2026 03:04:05 GMT\r\n",
        &blake3::hash(content).to_hex()[..32]
    )
}
