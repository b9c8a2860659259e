//! Writing an object to a bucket in pieces that go out while the next one is gathered.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use object_store::multipart::{MultipartStore as _, PartId};
use object_store::path::Path;
use object_store::{MultipartId, ObjectStoreExt as _, PutPayload};
use tokio::task::JoinSet;

use super::client::S3;
use super::explain::Doing;
use super::failure::Failed;
use crate::error::{Error, Kind, Result};

/// A piece's length. An upload has at most 10000 of them, so an object has less than 80 GiB
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>).
pub const PIECE: usize = 8 * 1024 * 1024;
const MOST_PIECES: usize = 10_000;
/// How many pieces of an upload are on their way, beside the one that is gathered.
const IN_FLIGHT: usize = 2;

/// Bytes of an upload's id, which a server makes up; Amazon's have some hundred. It stands in the URL of every piece, and
/// the library panics at one of more than 64 KiB.
pub(crate) const LONGEST_ID: usize = 4096;

/// So long pieces on their way are waited for when their upload is dropped.
const LANDING: std::time::Duration = std::time::Duration::from_secs(2);

/// An upload. What was sent of it is removed when it is dropped before its end.
pub(crate) struct Upload {
    s3: Arc<S3>,
    path: String,
    key: Path,
    gathered: BytesMut,
    length: u64,
    /// From the second piece on: a small object is put as a whole.
    session: Option<Session>,
}

struct Session {
    id: MultipartId,
    sent: usize,
    flight: JoinSet<(usize, object_store::Result<PartId>)>,
    arrived: BTreeMap<usize, PartId>,
}

impl Upload {
    pub(crate) fn new(s3: Arc<S3>, path: &str) -> Result<Self> {
        Ok(Self {
            key: s3.key(path)?,
            s3,
            path: path.to_owned(),
            gathered: BytesMut::new(),
            length: 0,
            session: None,
        })
    }

    fn explain(&self, error: object_store::Error) -> Error {
        self.s3.explain(&Doing::Write(self.path.clone()), error)
    }

    pub(crate) async fn write(&mut self, mut bytes: Bytes) -> Result<()> {
        self.length += bytes.len() as u64;
        while !bytes.is_empty() {
            if self.gathered.len() == PIECE {
                self.send().await?;
            }
            let length = bytes.len().min(PIECE - self.gathered.len());
            self.gathered.extend_from_slice(&bytes.split_to(length));
        }
        Ok(())
    }

    /// Sends what is gathered as a piece.
    async fn send(&mut self) -> Result<()> {
        if self.session.is_none() {
            let id = self.s3.store.create_multipart(&self.key).await;
            let id = id.map_err(|error| self.explain(error))?;
            if id.len() > LONGEST_ID {
                let what = format!(
                    "{}: its server gives uploads ids of more than {LONGEST_ID} bytes",
                    self.s3.place()
                );
                return Err(Error::new(Kind::Verify, what).hint("find out who answers there"));
            }
            self.session = Some(Session {
                id,
                sent: 0,
                flight: JoinSet::new(),
                arrived: BTreeMap::new(),
            });
        }
        self.land(IN_FLIGHT - 1).await?;
        let permit = Arc::clone(&self.s3.flight).acquire_owned().await.ok();
        let Some(session) = &mut self.session else {
            return Ok(());
        };
        if session.sent == MOST_PIECES {
            let what = format!("{} is too long for one object", self.path);
            return Err(Error::new(Kind::Full, what).hint("80 GiB is the most"));
        }
        let piece = PutPayload::from(self.gathered.split().freeze());
        let (s3, key, id, number) = (
            Arc::clone(&self.s3),
            self.key.clone(),
            session.id.clone(),
            session.sent,
        );
        session.sent += 1;
        session.flight.spawn(async move {
            let sent = s3.store.put_part(&key, &id, number, piece).await;
            drop(permit);
            (number, sent)
        });
        Ok(())
    }

    /// Waits until no more than so many pieces are on their way.
    async fn land(&mut self, most: usize) -> Result<()> {
        let Some(session) = &mut self.session else {
            return Ok(());
        };
        while session.flight.len() > most {
            match session.flight.join_next().await {
                None => break,
                Some(Ok((number, Ok(part)))) => {
                    session.arrived.insert(number, part);
                }
                Some(Ok((_, Err(error)))) => return Err(self.explain(error)),
                Some(Err(error)) => {
                    let what = format!("the upload of {} died", self.path);
                    return Err(Error::new(Kind::Internal, what).because(error));
                }
            }
        }
        Ok(())
    }

    pub(crate) async fn finish(mut self) -> Result<u64> {
        if self.session.is_none() {
            let content = std::mem::take(&mut self.gathered).freeze();
            self.s3.put(&self.path, content).await?;
            return Ok(self.length);
        }
        self.send().await?;
        self.land(0).await?;
        let Some(session) = &mut self.session else {
            return Ok(self.length);
        };
        let parts = std::mem::take(&mut session.arrived).into_values().collect();
        let ended = self
            .s3
            .store
            .complete_multipart(&self.key, &session.id, parts);
        if let Err(error) = ended.await {
            let refusal = Failed::of(&error).and_then(Failed::refusal);
            // The answer to a first try may have been lost on its way.
            let over = refusal.is_some_and(|refusal| refusal.code == "NoSuchUpload");
            if !over || !self.is_there().await {
                return Err(self.explain(error));
            }
        }
        self.session = None;
        Ok(self.length)
    }

    async fn is_there(&self) -> bool {
        let found = self.s3.store.head(&self.key).await;
        found.is_ok_and(|object| object.size == self.length)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(mut session) = self.session.take() else {
            return;
        };
        let (s3, key) = (Arc::clone(&self.s3), self.key.clone());
        self.s3.clean(async move {
            // A piece that arrives after the end would stay, and one that is cut off may arrive yet.
            let landed = async { while session.flight.join_next().await.is_some() {} };
            if tokio::time::timeout(LANDING, landed).await.is_err() {
                session.flight.shutdown().await;
            }
            if let Err(error) = s3.store.abort_multipart(&key, &session.id).await {
                tracing::debug!(%error, "an interrupted upload cannot be removed");
            }
        });
    }
}
