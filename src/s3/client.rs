//! A bucket of an S3-compatible server.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, Checksum};
use object_store::path::Path;
use object_store::{ObjectStore as _, ObjectStoreExt as _, RetryConfig};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::credentials::{Checked, Credentials, is_sendable};
use super::explain::{Doing, Whom};
use super::failure::Failed;
use super::object::check;
use super::refusal::Refusal;
use super::transport::{Patience, Transport};
use crate::config::bucket::{BucketAccess, BucketChecksum, Sse};
use crate::config::job::Endpoint;
use crate::config::{BucketUrl, is_here};
use crate::error::{Error, Kind, Result};
use crate::secret::Lookup;
use crate::sync::Mutex;

/// Bytes of a key (S3's user guide, "Naming Amazon S3 objects"). Manifests name objects, too, and the library panics at a
/// URL that is longer than 64 KiB.
pub(crate) const LONGEST_KEY: usize = 1024;

/// How many pieces of uploads of one process are on their way at once.
const ALL_IN_FLIGHT: usize = 4;

/// A bucket, or what is below a prefix of it.
pub(crate) struct S3 {
    /// The library: signs, and knows the protocol.
    pub(super) store: AmazonS3,
    /// The same, which deletes one object after the other.
    one_by_one: AmazonS3,
    /// The server takes no list of what is to be deleted.
    takes_no_list: AtomicBool,
    pub(super) transport: Transport,
    pub(super) region: String,
    /// The bucket's own URL, without a slash at its end.
    pub(super) bucket_url: String,
    bucket: String,
    pub(super) sse: Option<Sse>,
    /// With a slash at its end, unless it is empty.
    pub(crate) prefix: String,
    place: String,
    endpoint: String,
    origin: String,
    /// Pieces of uploads that are on their way.
    pub(super) flight: Arc<Semaphore>,
    /// What goes on after its upload was dropped.
    cleaning: Mutex<JoinSet<()>>,
}

impl S3 {
    pub(crate) async fn open(
        endpoint: &Endpoint,
        lookup: &Lookup,
        patience: Patience,
    ) -> Result<Self> {
        let Some(BucketUrl { bucket, prefix }) = endpoint.url.bucket() else {
            let what = format!("{} is not the URL of a bucket", endpoint.url);
            return Err(Error::new(Kind::Config, what).hint("s3://BUCKET/PREFIX"));
        };
        let nothing = BucketAccess::default();
        let access = endpoint.access.as_deref().unwrap_or(&nothing);
        let prefix = below(prefix, endpoint.url.text())?;
        let credentials = Credentials::find(access, endpoint.url.text(), lookup).await?;
        let region = credentials.region.clone();
        let server = configured_server(access, &credentials)?;
        let place = match &server {
            Some(server) => format!("{} ({server})", endpoint.url),
            None => endpoint.url.text().to_owned(),
        };
        // A dot in a bucket's name would be one too many for the certificate of Amazon's hosts.
        let in_path = access
            .path_style
            .unwrap_or(server.is_some() || bucket.contains('.'));
        let server = server.unwrap_or_else(|| {
            let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
            format!("https://s3.{region}.amazonaws.com{suffix}")
        });
        let bucket_url = bucket_url(bucket, &server, in_path, &place)?;
        let transport =
            Transport::new(access.ca.as_deref(), credentials.provider.clone(), patience)?;
        let origin = credentials.origin.clone();
        // The library takes an endpoint without the bucket in its host and puts it into the path, or one with it in the host.
        let builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(&region)
            .with_endpoint(if in_path { &server } else { &bucket_url })
            .with_virtual_hosted_style_request(!in_path)
            .with_http_connector(transport.clone())
            .with_retry(RetryConfig {
                max_retries: 0,
                ..RetryConfig::default()
            });
        let builder = asked_for(credentials.apply(builder), access);
        let build = |builder: AmazonS3Builder| {
            builder.build().map_err(|error| {
                Error::new(Kind::Config, format!("{place} cannot be used")).because(error)
            })
        };
        let provider = Arc::clone(build(builder.clone())?.credentials());
        let builder = builder.with_credentials(Arc::new(Checked::new(provider, &origin)));
        let one_by_one = build(builder.clone().with_disable_bulk_delete(true))?;
        let store = build(builder)?;
        Ok(Self {
            store,
            one_by_one,
            takes_no_list: AtomicBool::new(false),
            transport,
            region,
            bucket_url,
            bucket: bucket.clone(),
            sse: access.sse,
            prefix,
            place,
            endpoint: server,
            origin,
            flight: Arc::new(Semaphore::new(ALL_IN_FLIGHT)),
            cleaning: Mutex::default(),
        })
    }

    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// The bucket's name.
    pub(crate) fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The server's URL.
    pub(crate) fn server(&self) -> &str {
        &self.endpoint
    }

    pub(super) fn takes_no_list(&self) -> bool {
        self.takes_no_list.load(Ordering::Relaxed)
    }

    pub(super) fn set_takes_no_list(&self) {
        self.takes_no_list.store(true, Ordering::Relaxed);
    }

    /// Its prefix.
    pub(crate) fn path(&self) -> String {
        self.prefix.clone()
    }

    /// The key of what has this path.
    pub(crate) fn key(&self, path: &str) -> Result<Path> {
        let key = format!("{}{path}", self.prefix);
        if key.len() > LONGEST_KEY {
            let start: String = path.chars().take(50).collect();
            let what = format!(
                "{start}... is too long for the name of an object in {}",
                self.place
            );
            return Err(
                Error::new(Kind::Verify, what).hint("1024 bytes is the most, with the prefix")
            );
        }
        Path::parse(&key).map_err(|error| {
            let what = format!("{path:?} cannot be the name of an object in {}", self.place);
            Error::new(Kind::Config, what).because(error)
        })
    }

    pub(super) fn whom(&self) -> Whom<'_> {
        Whom {
            place: &self.place,
            bucket: &self.bucket,
            region: &self.region,
            endpoint: &self.endpoint,
            origin: &self.origin,
        }
    }

    pub(super) fn explain(&self, doing: &Doing, error: object_store::Error) -> Error {
        self.whom().explain(doing, &error)
    }

    pub(crate) async fn put(&self, path: &str, content: Bytes) -> Result<()> {
        let put = self.store.put(&self.key(path)?, content.into()).await;
        put.map(drop)
            .map_err(|error| self.explain(&Doing::Write(path.to_owned()), error))
    }

    /// By a list; where the server takes none, one after the other, from then on.
    pub(crate) async fn delete(&self, paths: Vec<String>) -> Result<()> {
        let keys: Vec<Path> = paths
            .iter()
            .map(|path| self.key(path))
            .collect::<Result<_>>()?;
        if !self.takes_no_list() {
            let Err(error) = delete_by(&self.store, keys.clone()).await else {
                return Ok(());
            };
            let refusal = Failed::of(&error).and_then(Failed::refusal);
            if !refusal.is_some_and(Refusal::takes_no_list) {
                return Err(self.not_deleted(error));
            }
        }
        delete_by(&self.one_by_one, keys)
            .await
            .map_err(|error| self.not_deleted(error))?;
        self.set_takes_no_list();
        Ok(())
    }

    fn not_deleted(&self, error: object_store::Error) -> Error {
        // The library has no name for a refusal of one of many.
        if error.to_string().contains("(code: AccessDenied)") {
            let what = format!("no permission to delete from {}", self.place);
            return Error::new(Kind::Permission, what)
                .because(error)
                .hint("allow s3:DeleteObject");
        }
        self.explain(&Doing::Delete, error)
    }

    /// Does something that somebody who cannot wait has to leave behind.
    pub(crate) fn clean(self: &Arc<Self>, work: impl Future<Output = ()> + Send + 'static) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        // The work keeps us alive, and we own the work.
        let own = Arc::clone(self);
        let work = async move {
            work.await;
            drop(own);
        };
        let mut cleaning = self.cleaning.lock();
        cleaning.spawn_on(work, &runtime);
    }

    pub(crate) async fn settle(&self) {
        loop {
            let mut cleaning = std::mem::take(&mut *self.cleaning.lock());
            if cleaning.is_empty() {
                return;
            }
            while cleaning.join_next().await.is_some() {}
        }
    }
}

/// The server that the configuration or what gives the keys names; `None`: Amazon's.
fn configured_server(access: &BucketAccess, credentials: &Credentials) -> Result<Option<String>> {
    if let Some(server) = &access.endpoint {
        return origin(server).map(Some);
    }
    let Some((server, whose)) = &credentials.endpoint else {
        return Ok(None);
    };
    let server = origin(server);
    let server = server.map_err(|error| error.within(format!("{whose}, which is followed")))?;
    if server.starts_with("http:") && !is_local(&server) {
        tracing::warn!(server, "rows travel to this server unencrypted");
    }
    Ok(Some(server))
}

/// The bucket's own URL, with its name in the path or before the host's.
fn bucket_url(bucket: &str, server: &str, in_path: bool, place: &str) -> Result<String> {
    let refused = |what: String, advice: &str| {
        Err(Error::new(Kind::Config, format!("{place}: {what}")).hint(advice))
    };
    if !in_path && is_address(server) {
        let what = "a bucket's name cannot stand before an IP address".to_owned();
        return refused(what, "leave `path_style` out, or give the endpoint a name");
    }
    let url = match server.split_once("://") {
        Some((scheme, host)) if !in_path => format!("{scheme}://{bucket}.{host}"),
        _ => format!("{server}/{bucket}"),
    };
    if !is_sendable(&url) {
        let what = format!("`{url}` is no URL that can be asked");
        return refused(
            what,
            "see the bucket's `endpoint`, `region` and `path_style`",
        );
    }
    Ok(url)
}

/// Deletes objects. What is not there is no error.
async fn delete_by(store: &AmazonS3, keys: Vec<Path>) -> object_store::Result<()> {
    let keys = stream::iter(keys.into_iter().map(Ok)).boxed();
    let mut deleted = store.delete_stream(keys);
    loop {
        // The library panics at an answer about an object that nobody has asked it to delete.
        let answered = AssertUnwindSafe(deleted.try_next()).catch_unwind().await;
        let answered = answered.unwrap_or_else(|_| {
            Err(object_store::Error::Generic {
                store: "S3",
                source: "its answer is about objects that it was not asked to delete".into(),
            })
        });
        match answered {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(()),
            Err(error) => {
                let refusal = Failed::of(&error).and_then(Failed::refusal);
                let is_gone = refusal.is_some_and(|refusal| refusal.code == "NoSuchKey")
                    || error.to_string().contains("(code: NoSuchKey)");
                if !is_gone {
                    return Err(error);
                }
            }
        }
    }
}

/// What is asked of the server for each object.
fn asked_for(builder: AmazonS3Builder, access: &BucketAccess) -> AmazonS3Builder {
    let builder = match access.checksum {
        Some(BucketChecksum::Sha256) => builder.with_checksum_algorithm(Checksum::SHA256),
        Some(BucketChecksum::Crc64nvme) => builder.with_checksum_algorithm(Checksum::CRC64NVME),
        None => builder,
    };
    let sse = match access.sse {
        Some(Sse::Aes256) => "AES256",
        Some(Sse::Kms) => "aws:kms",
        None => return builder,
    };
    let key: AmazonS3ConfigKey = "aws_server_side_encryption"
        .parse()
        .expect("the library knows this key");
    builder.with_config(key, sse)
}

/// The host of a server's URL, without brackets.
fn host(server: &str) -> Option<String> {
    let url = reqwest::Url::parse(server).ok()?;
    let host = url.host_str()?;
    Some(host.trim_matches(['[', ']']).to_owned())
}

fn is_address(server: &str) -> bool {
    host(server).is_some_and(|host| host.parse::<IpAddr>().is_ok())
}

fn is_local(server: &str) -> bool {
    host(server).is_some_and(|host| is_here(&host))
}

/// The beginning of all keys below a prefix.
fn below(prefix: &str, url: &str) -> Result<String> {
    let prefix = prefix.trim_end_matches('/');
    if prefix.is_empty() {
        return Ok(String::new());
    }
    check(prefix).map_err(|_| {
        let what = format!("`{url}` cannot be used: a part of its prefix is empty, `.`, or `..`");
        Error::new(Kind::Config, what).hint("s3://BUCKET/PREFIX")
    })?;
    Ok(format!("{prefix}/"))
}

/// Scheme, host and port of an `endpoint`.
fn origin(endpoint: &str) -> Result<String> {
    let bad = |why: &str| {
        let what = format!("the endpoint `{endpoint}` cannot be used: {why}");
        Error::new(Kind::Config, what).hint("https://HOST[:PORT]")
    };
    let parsed = reqwest::Url::parse(endpoint).map_err(|_| bad("it is no URL"))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(bad("its scheme is neither https nor http"));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        // Not repeated: the password stands there.
        return Err(Error::new(
            Kind::Config,
            "the bucket's endpoint has a user or a password",
        )
        .hint("write access_key_id and secret_access_key instead"));
    }
    if parsed.path() != "/" || parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(bad("there is something behind the host"));
    }
    Ok(parsed.origin().ascii_serialization())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_below_a_prefix_begin_with_it_and_a_slash() {
        for (prefix, expected) in [
            ("", ""),
            ("a/b", "a/b/"),
            ("a/b/", "a/b/"),
            ("a b/ä%", "a b/ä%/"),
        ] {
            assert_eq!(below(prefix, "s3://b").unwrap(), expected, "{prefix}");
        }
        for prefix in ["a//b", "../a", "/a", "a/."] {
            let error = below(prefix, "s3://b").unwrap_err();
            assert_eq!(error.kind(), Kind::Config, "{prefix}");
        }
    }

    #[test]
    fn an_endpoint_is_a_scheme_and_a_host() {
        for (endpoint, read) in [
            ("https://minio.example:9000", "https://minio.example:9000"),
            ("http://[::1]:9000/", "http://[::1]:9000"),
            ("https://minio.example:443", "https://minio.example"),
        ] {
            assert_eq!(origin(endpoint).unwrap(), read);
        }
        for endpoint in [
            "minio:9000",
            "ftp://minio",
            "https://minio/path",
            "https://minio?x",
            "minio",
        ] {
            assert_eq!(
                origin(endpoint).unwrap_err().kind(),
                Kind::Config,
                "{endpoint}"
            );
        }
        let error = origin("https://user:hunter2@minio")
            .unwrap_err()
            .to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
