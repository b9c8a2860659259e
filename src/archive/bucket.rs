//! Where archives lie: a directory, or a bucket of an S3-compatible server.
//!
//! What both promise: an object is there whole or not at all, and durable once it is; a path that would lead out of the
//! archive is refused; no error shows a secret.

mod directory;
mod tree;

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::stream::BoxStream;

use crate::config::ArchiveUrl;
use crate::config::job::Endpoint;
use crate::error::{Error, Kind, Result};
use crate::s3::object::check;
use crate::s3::{S3, reading, upload};
use crate::store::Lookup;
use crate::store::room::Room;

use directory::Directory;

pub use crate::s3::Patience;
pub use crate::s3::object::Object;
pub use crate::s3::upload::PIECE;

/// An archive's place: all paths are relative to it. Cheap to clone.
#[derive(Clone)]
pub struct Bucket(Arc<Place>);

enum Place {
    Directory(Directory),
    S3(Arc<S3>),
}

/// An object that is being written in pieces. It is there once `finish` returns, whole and durable; dropped before, it is
/// not, and what was sent of it is removed ([`Bucket::settle`] waits for that).
pub struct Upload(Writer);

enum Writer {
    Directory(directory::Upload),
    S3(Box<upload::Upload>),
}

impl Bucket {
    /// Opens an archive. Nothing is asked of a server yet.
    pub async fn open(endpoint: &Endpoint, lookup: &Lookup) -> Result<Self> {
        Self::open_with(endpoint, lookup, Patience::default()).await
    }

    /// Opens an archive, with other limits of time than a run has.
    pub async fn open_with(
        endpoint: &Endpoint,
        lookup: &Lookup,
        patience: Patience,
    ) -> Result<Self> {
        let url = &endpoint.url;
        let place = match url.archive() {
            Some(ArchiveUrl::Directory(path)) => Place::Directory(Directory::new(path, url.text())),
            Some(ArchiveUrl::Bucket(_)) => {
                Place::S3(Arc::new(S3::open(endpoint, lookup, patience).await?))
            }
            None => {
                let what = format!("`{url}` is not the URL of an archive");
                return Err(
                    Error::new(Kind::Config, what).hint("file:///DIRECTORY | s3://BUCKET/PREFIX")
                );
            }
        };
        Ok(Self(Arc::new(place)))
    }

    /// For people and for locks: the URL, without anything secret.
    pub fn place(&self) -> &str {
        match &*self.0 {
            Place::Directory(directory) => directory.place(),
            Place::S3(s3) => s3.place(),
        }
    }

    /// The room that there is for what is written, where it lies on this machine.
    pub fn room(&self) -> Option<Room> {
        match &*self.0 {
            Place::Directory(directory) => Room::of(directory.directory()).map(|room| Room {
                is_compressed: true,
                ..room
            }),
            Place::S3(_) => None,
        }
    }

    /// The time by the clock that objects get their times from; by this machine's where that may not be asked.
    pub async fn now(&self) -> Result<DateTime<Utc>> {
        match &*self.0 {
            Place::Directory(directory) => directory.now().await,
            Place::S3(s3) => s3.now().await,
        }
    }

    /// Whether this is the path of the folder that the archive lies in, or the end of it, in whole names.
    pub fn lies_in(&self, path: &str) -> bool {
        let place = match &*self.0 {
            Place::Directory(directory) => directory.path(),
            Place::S3(s3) => s3.path(),
        };
        let own = place.trim_matches('/').rsplit('/');
        !path.is_empty()
            && path.rsplit('/').count() <= own.clone().count()
            && path.rsplit('/').zip(own).all(|(one, other)| one == other)
    }

    /// The names of the folders in it. An archive that is not there yet has none.
    pub async fn folders(&self) -> Result<Vec<String>> {
        match &*self.0 {
            Place::Directory(directory) => directory.folders().await,
            Place::S3(s3) => s3.folders().await,
        }
    }

    /// Whether there is such a place, as far as that can be seen without a list of what is in it.
    pub async fn is_there(&self) -> Result<bool> {
        match &*self.0 {
            Place::Directory(directory) => directory.is_there().await,
            // Whoever has listed it knows.
            Place::S3(_) => Ok(true),
        }
    }

    /// All objects below a folder, in any order.
    pub async fn list(&self, folder: &str) -> Result<Vec<Object>> {
        check(folder)?;
        match &*self.0 {
            Place::Directory(directory) => directory.list(folder).await,
            Place::S3(s3) => s3.list(folder).await,
        }
    }

    /// The objects that are in no folder. An archive that is not there yet has none.
    pub async fn files(&self) -> Result<Vec<Object>> {
        match &*self.0 {
            Place::Directory(directory) => directory.files().await,
            Place::S3(s3) => s3.files().await,
        }
    }

    /// Removes what interrupted uploads of objects that are in no folder have left, of those whose name, and whether they
    /// lie on this machine, `is_ours` accepts; returns what was removed. A server that does not let us see them is no error.
    pub async fn clear_interrupted(
        &self,
        is_ours: &(dyn Fn(&str, bool) -> bool + Send + Sync),
    ) -> Result<Vec<String>> {
        match &*self.0 {
            Place::Directory(directory) => directory.clear_interrupted(is_ours).await,
            Place::S3(s3) => s3.clear_interrupted(is_ours).await,
        }
    }

    /// Whether there is an object. Nothing of it is read.
    pub async fn has(&self, path: &str) -> Result<bool> {
        check(path)?;
        match &*self.0 {
            Place::Directory(directory) => directory.has(path).await,
            Place::S3(s3) => reading::has(s3, path).await,
        }
    }

    /// A small object as a whole; `None` if it is not there. One of more than `most` bytes is `Kind::Verify`, and no more
    /// of it is read, whatever length it is said to have.
    pub async fn get(&self, path: &str, most: usize) -> Result<Option<Bytes>> {
        check(path)?;
        let content = match &*self.0 {
            Place::Directory(directory) => directory.get(path, most).await?,
            Place::S3(s3) => s3.get(path, most).await?,
        };
        match content {
            Some(content) if content.len() > most => Err(Error::new(
                Kind::Verify,
                format!(
                    "{path} in {} is longer than the {most} bytes that one may have",
                    self.place()
                ),
            )),
            content => Ok(content),
        }
    }

    /// An object from this byte on; nothing, if it ends there or before. A connection that is cut is made again, where it
    /// was; an object that was written anew meanwhile is an error.
    pub async fn read(&self, path: &str, from: u64) -> Result<BoxStream<'static, Result<Bytes>>> {
        check(path)?;
        match &*self.0 {
            Place::Directory(directory) => directory.read(path, from).await,
            Place::S3(s3) => reading::read(Arc::clone(s3), path, from).await,
        }
    }

    /// Writes a small object, in one step and durably.
    pub async fn put(&self, path: &str, content: Bytes) -> Result<()> {
        check(path)?;
        match &*self.0 {
            Place::Directory(directory) => {
                let mut upload = directory.upload(path).await?;
                upload.write(content).await?;
                upload.finish().await.map(drop)
            }
            Place::S3(s3) => s3.put(path, content).await,
        }
    }

    /// Begins to write an object.
    pub async fn upload(&self, path: &str) -> Result<Upload> {
        check(path)?;
        Ok(Upload(match &*self.0 {
            Place::Directory(directory) => Writer::Directory(directory.upload(path).await?),
            Place::S3(s3) => Writer::S3(Box::new(upload::Upload::new(Arc::clone(s3), path)?)),
        }))
    }

    /// Removes objects, and folders that are empty then; those that are not there are no error.
    pub async fn delete(&self, paths: Vec<String>) -> Result<()> {
        paths.iter().try_for_each(|path| check(path))?;
        match &*self.0 {
            Place::Directory(directory) => directory.delete(paths).await,
            Place::S3(s3) => s3.delete(paths).await,
        }
    }

    /// Removes what interrupted uploads below a folder have left (parts that no object has), where there are such things.
    /// A server that does not let us see them is no error.
    pub async fn clear_uploads(&self, folder: &str) -> Result<()> {
        check(folder)?;
        match &*self.0 {
            Place::Directory(directory) => directory.clear_uploads(folder).await,
            Place::S3(s3) => s3.clear_uploads(folder).await,
        }
    }

    /// Waits until what dropped uploads had sent is removed, and what dropped work had begun has ended. Whoever ends the
    /// process calls it first, and who removes what others were writing.
    pub async fn settle(&self) {
        match &*self.0 {
            Place::Directory(directory) => directory.settle().await,
            Place::S3(s3) => s3.settle().await,
        }
    }
}

impl Upload {
    /// Takes bytes in; waits while enough of them are on their way.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        match &mut self.0 {
            Writer::Directory(upload) => upload.write(bytes).await,
            Writer::S3(upload) => upload.write(bytes).await,
        }
    }

    /// Ends it; returns its length.
    pub async fn finish(self) -> Result<u64> {
        match self.0 {
            Writer::Directory(upload) => upload.finish().await,
            Writer::S3(upload) => upload.finish().await,
        }
    }
}
