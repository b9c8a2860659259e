//! Reading an object whose connection may break: it is asked for again from where it was.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore as _, ObjectStoreExt as _};

use super::client::S3;
use super::explain::Doing;
use super::failure::Failed;
use super::transport::jitter;
use crate::error::{Error, Kind, Result};

/// An object whose connection has broken.
pub(super) struct Broken<'a> {
    /// Its path, for people.
    pub(super) path: &'a str,
    /// The next byte that is wanted.
    pub(super) at: u64,
    /// When there was a byte for the last time.
    pub(super) since: Instant,
    /// What happened.
    pub(super) why: String,
}

impl S3 {
    /// Waits until an object may be asked for again, each time a little longer; fails where nothing has come for too long.
    pub(super) async fn wait_to_read_on(
        &self,
        broken: Broken<'_>,
        pause: &mut Duration,
    ) -> Result<()> {
        let (path, waited) = (broken.path, broken.since.elapsed());
        if waited + *pause > self.transport.patience().total {
            let place = self.place();
            let what = format!(
                "cannot read {path} in {place}: for {} s no byte came that was not there before",
                waited.as_secs()
            );
            return Err(Error::new(Kind::Connection, what).because(broken.why));
        }
        let (at, broke) = (broken.at, broken.why);
        tracing::debug!(path, at, broke, "an object is read on");
        tokio::time::sleep(jitter(*pause)).await;
        *pause = (*pause * 2).min(Duration::from_secs(10));
        Ok(())
    }
}

/// Where reading is.
struct Reader {
    s3: Arc<S3>,
    path: String,
    key: Path,
    /// The next byte that is wanted.
    at: u64,
    /// The object's length.
    size: u64,
    /// What tells this object from one that takes its place.
    tag: Option<String>,
    body: Option<BoxStream<'static, object_store::Result<Bytes>>>,
    /// When there was a byte for the last time.
    moved: Instant,
    pause: Duration,
}

impl S3 {
    /// No more than what passes `most` is read.
    pub(crate) async fn get(self: &Arc<Self>, path: &str, most: usize) -> Result<Option<Bytes>> {
        let Some(mut chunks) = open(Arc::clone(self), path, 0).await? else {
            return Ok(None);
        };
        let mut content = BytesMut::new();
        while content.len() <= most
            && let Some(chunk) = chunks.try_next().await?
        {
            content.extend_from_slice(&chunk);
        }
        Ok(Some(content.freeze()))
    }
}

type Chunks = BoxStream<'static, Result<Bytes>>;

/// Begins; what is wrong from the start is told here. An object that is not there is an error.
pub(crate) async fn read(s3: Arc<S3>, path: &str, from: u64) -> Result<Chunks> {
    let place = s3.place().to_owned();
    let chunks = open(s3, path, from).await?;
    chunks.ok_or_else(|| Error::new(Kind::Absent, format!("there is no {path} in {place}")))
}

/// The same; `None` if it is not there.
pub(crate) async fn open(s3: Arc<S3>, path: &str, from: u64) -> Result<Option<Chunks>> {
    let mut reader = Reader {
        key: s3.key(path)?,
        s3,
        path: path.to_owned(),
        at: from,
        size: u64::MAX,
        tag: None,
        body: None,
        moved: Instant::now(),
        pause: PAUSE,
    };
    if !reader.open().await? {
        return Ok(None);
    }
    let chunks = stream::try_unfold(reader, |mut reader| async move {
        let chunk = reader.next().await?;
        Ok(chunk.map(|chunk| (chunk, reader)))
    });
    Ok(Some(chunks.boxed()))
}

/// Whether there is such an object. Nothing of it is sent.
pub(crate) async fn has(s3: &Arc<S3>, path: &str) -> Result<bool> {
    let Err(error) = s3.store.head(&s3.key(path)?).await else {
        return Ok(true);
    };
    if Failed::of(&error).and_then(Failed::refusal).is_none() {
        return Err(s3.explain(&Doing::Read(path.to_owned()), error));
    }
    // The answer to a HEAD has no body, which is where a server says whether it is the object or the bucket that is missing.
    Ok(open(Arc::clone(s3), path, 0).await?.is_some())
}

/// The first pause before a connection is made again.
const PAUSE: Duration = Duration::from_millis(100);

impl Reader {
    fn doing(&self) -> Doing {
        Doing::Read(self.path.clone())
    }

    /// Whether there is such an object.
    async fn open(&mut self) -> Result<bool> {
        let options = GetOptions {
            // Only where it has to be: an empty object has no ranges.
            range: (self.at > 0).then_some(GetRange::Offset(self.at)),
            if_match: self.tag.clone(),
            ..GetOptions::default()
        };
        match self.s3.store.get_opts(&self.key, options).await {
            Ok(got) => {
                if self.tag.is_none() {
                    self.tag.clone_from(&got.meta.e_tag);
                    self.size = got.meta.size;
                } else if got.meta.e_tag != self.tag || got.meta.size != self.size {
                    return Err(self.replaced());
                }
                self.body = Some(got.into_stream());
                Ok(true)
            }
            Err(error) => {
                let refusal = Failed::of(&error).and_then(Failed::refusal);
                if refusal.is_some_and(|refusal| refusal.status == 416) {
                    // It ends before that.
                    self.size = self.at;
                    return Ok(true);
                }
                if refusal.is_some_and(|refusal| refusal.code == "NoSuchKey") {
                    return Ok(false);
                }
                Err(self.s3.explain(&self.doing(), error))
            }
        }
    }

    fn replaced(&self) -> Error {
        let what = format!(
            "{} in {} was removed or written anew while it was read",
            self.path,
            self.s3.place()
        );
        Error::new(Kind::Verify, what)
    }

    async fn next(&mut self) -> Result<Option<Bytes>> {
        let patience = self.s3.transport.patience();
        // Only our own waiting counts, not that of whoever takes the bytes.
        self.moved = Instant::now();
        loop {
            if self.at >= self.size {
                return Ok(None);
            }
            let broke = match &mut self.body {
                None => {
                    if !self.open().await? {
                        return Err(self.replaced());
                    }
                    continue;
                }
                Some(body) => match tokio::time::timeout(patience.still, body.next()).await {
                    Ok(Some(Ok(chunk))) if chunk.is_empty() => continue,
                    Ok(Some(Ok(mut chunk))) => {
                        // No more than was promised, whatever comes.
                        let wanted = usize::try_from(self.size - self.at).unwrap_or(usize::MAX);
                        chunk.truncate(wanted);
                        self.at += chunk.len() as u64;
                        self.pause = PAUSE;
                        return Ok(Some(chunk));
                    }
                    Ok(Some(Err(error))) => deepest(&error),
                    Ok(None) => "it ended too early".to_owned(),
                    Err(_) => "nothing came".to_owned(),
                },
            };
            self.body = None;
            let broken = Broken {
                path: &self.path,
                at: self.at,
                since: self.moved,
                why: broke,
            };
            self.s3.wait_to_read_on(broken, &mut self.pause).await?;
        }
    }
}

/// What lies at the bottom of an error, which is what happened.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(inner) = error.source() {
        error = inner;
    }
    error.to_string()
}
