//! An object on its way from one bucket into another: by the server itself where it does that, else through this machine.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::BytesMut;

use super::about::of_object;
use super::arrival::Proof;
use super::copies::{ByServer, LARGEST};
use super::flight::Shared;
use super::sums::piece;
use crate::error::{Error, Kind, Result};
use crate::s3::S3;
use crate::s3::get::{Get, Next};
use crate::s3::put::{Copied, Parts};
use crate::store::files::connection::told::told;

/// One that is replaced while it is read is read so often.
const TRIES: usize = 5;

/// An object.
pub(super) struct Relay {
    pub(super) shared: Arc<Shared>,
    pub(super) from: Arc<S3>,
    pub(super) path: String,
    pub(super) size: u64,
    /// What tells it from others of its key, if the list said so: no other one is copied.
    pub(super) tag: Option<String>,
}

/// What came of a try.
enum Came {
    Whole,
    Gone,
    Again,
    Wrong,
    /// The server does not copy by itself.
    Refused,
}

impl Relay {
    /// Writes it; `false`: it has vanished.
    pub(super) async fn run(mut self) -> Result<bool> {
        let mut wrong = false;
        for _ in 0..TRIES {
            let mut came = Came::Refused;
            if self.shared.copies_itself.load(Ordering::Relaxed) {
                came = self.copy().await?;
            }
            if matches!(came, Came::Refused) {
                came = self.pass().await?;
            }
            match came {
                Came::Whole => return Ok(true),
                Came::Gone => return Ok(false),
                Came::Wrong if wrong => {
                    return Err(self.failed("comes with another content than its checksum says"));
                }
                Came::Wrong => wrong = true,
                Came::Again | Came::Refused => {}
            }
        }
        Err(self.failed("was written anew again and again while it was read"))
    }

    fn failed(&self, what: &str) -> Error {
        let path = told(self.path.as_bytes());
        let what = format!("{path} in {} {what}", self.from.place());
        Error::new(Kind::Verify, what)
            .hint("run the job when nobody writes to it, or leave it out with `exclude`")
    }

    /// Has the server copy it.
    async fn copy(&mut self) -> Result<Came> {
        let path = &self.path;
        if self.size > LARGEST {
            self.shared.clear(path).await?;
        }
        let copying = ByServer {
            from: (&self.from, path),
            to: (&self.shared.s3, path),
            size: self.size,
            tag: self.tag.as_deref(),
        };
        let arrived = |bytes| self.shared.count(path.as_bytes(), 0, bytes);
        let copied = copying.copy(&arrived).await?;
        Ok(match copied {
            Copied::Done(tag) => {
                self.shared.wrote(path, self.size, tag).await?;
                Came::Whole
            }
            Copied::Gone => Came::Gone,
            Copied::Replaced => self.look_again().await?,
            Copied::Refused(why) => {
                self.shared.stop_copying(&why);
                Came::Refused
            }
        })
    }

    /// Finds out what it is now.
    async fn look_again(&mut self) -> Result<Came> {
        let Some(found) = self.from.look(&self.path).await? else {
            return Ok(Came::Gone);
        };
        self.size = found.size;
        self.tag = found.tag;
        Ok(Came::Again)
    }

    /// Reads it and writes it.
    async fn pass(&self) -> Result<Came> {
        let Some(mut get) = Get::open(&self.from, &self.path).await? else {
            return Ok(Came::Gone);
        };
        let about = of_object(&get.headers);
        let mut proof = Proof::of(&get);
        let cut = piece(get.size);
        let mut parts = None;
        let mut gathered = BytesMut::new();
        let mut room = self.shared.room(cut.unwrap_or(get.size)).await?;
        loop {
            self.shared.go_on()?;
            let mut bytes = match get.next().await? {
                Next::Bytes(bytes) => bytes,
                Next::Replaced => return Ok(Came::Again),
                Next::End => break,
            };
            proof.update(&bytes);
            while let Some(cut) = cut
                && gathered.len() as u64 + bytes.len() as u64 >= cut
            {
                let fits = cut as usize - gathered.len();
                gathered.extend_from_slice(&bytes.split_to(fits));
                let content = gathered.split().freeze();
                self.send(&mut parts, &about, content).await?;
                drop(room);
                room = self.shared.room(cut).await?;
            }
            gathered.extend_from_slice(&bytes);
        }
        // What is dropped is removed.
        if !proof.holds() {
            return Ok(Came::Wrong);
        }
        if cut.is_none() {
            let (content, length) = (gathered.freeze(), get.size);
            self.shared.pace(length).await;
            let s3 = &self.shared.s3;
            let tag = s3.put_object(&self.path, &about, content).await?;
            self.shared.wrote(&self.path, length, tag).await?;
            self.shared.count(self.path.as_bytes(), 0, length);
            return Ok(Came::Whole);
        }
        if !gathered.is_empty() {
            self.send(&mut parts, &about, gathered.freeze()).await?;
        }
        if let Some(parts) = parts {
            let tag = parts.finish().await?;
            self.shared.wrote(&self.path, get.size, tag).await?;
        }
        drop(room);
        Ok(Came::Whole)
    }

    async fn send(
        &self,
        parts: &mut Option<Parts>,
        about: &crate::s3::put::About,
        content: bytes::Bytes,
    ) -> Result<()> {
        let begun = if let Some(parts) = parts {
            parts
        } else {
            self.shared.clear(&self.path).await?;
            parts.insert(Parts::begin(&self.shared.s3, &self.path, about).await?)
        };
        let length = content.len() as u64;
        self.shared.pace(length).await;
        begun.send(content).await?;
        self.shared.count(self.path.as_bytes(), 0, length);
        Ok(())
    }
}
