//! A file on its way into a bucket: as a whole, or in parts if it is large.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::{Advice, fadvise};
use rustix::io::{Errno, pread};

use super::about::of_file;
use super::flight::Shared;
use super::sums::piece;
use crate::error::Result;
use crate::s3::put::Parts;
use crate::store::files::connection::blocking::blocking;
use crate::store::files::connection::directory::{Directory, stat_of};
use crate::store::files::connection::stat::{FileKind, Stat};
use crate::store::files::connection::told::At as _;
use crate::store::files::rows::warnings::Warning;

/// A file.
pub(super) struct Upload {
    pub(super) shared: Arc<Shared>,
    pub(super) path: String,
    /// What was known of it when the run was planned.
    pub(super) found: Stat,
    pub(super) directory: Arc<Directory>,
    pub(super) name: Arc<CString>,
}

/// A file that is open, and what is known of it.
type Opened = (Arc<OwnedFd>, Stat);

impl Upload {
    /// Writes it; `false`: it has vanished.
    pub(super) async fn run(self) -> Result<bool> {
        if self.found.kind == FileKind::Link {
            return self.write_link().await;
        }
        // One that is written while it is read is read once more.
        for is_last in [false, true] {
            let Some((file, found)) = self.open().await? else {
                return Ok(false);
            };
            let is_still = match piece(found.size) {
                None => self.write_whole(file, &found, is_last).await?,
                Some(piece) => self.write_parts(file, &found, piece, is_last).await?,
            };
            if is_still {
                break;
            }
            if is_last {
                self.shared
                    .warnings
                    .add(Warning::Changed, self.path.as_bytes());
            }
        }
        Ok(true)
    }

    async fn write_link(&self) -> Result<bool> {
        let (directory, name) = (Arc::clone(&self.directory), Arc::clone(&self.name));
        let path = self.path.clone();
        let read = blocking(&self.shared.context.cancel, move |_| {
            match directory.link(&name) {
                Err(Errno::NOENT | Errno::INVAL) => Ok(None),
                text => text.map(Some).at("cannot read link", path.as_bytes()),
            }
        });
        let Some(text) = read.await? else {
            return Ok(false);
        };
        let length = text.len() as u64;
        let about = of_file(&self.found);
        let s3 = &self.shared.s3;
        let tag = s3.put_object(&self.path, &about, text.into()).await?;
        self.shared.wrote(&self.path, length, tag).await?;
        self.shared.count(self.path.as_bytes(), 0, length);
        Ok(true)
    }

    async fn open(&self) -> Result<Option<Opened>> {
        let (directory, name) = (Arc::clone(&self.directory), Arc::clone(&self.name));
        let path = self.path.clone();
        blocking(&self.shared.context.cancel, move |_| {
            let file = match directory.read_file(&name) {
                // Another kind of thing has taken its place.
                Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => return Ok(None),
                file => file.at("cannot read", path.as_bytes())?,
            };
            let found = stat_of(&file).at("cannot look at", path.as_bytes())?;
            // No more than a wish.
            let _ = fadvise(&file, 0, None, Advice::Sequential);
            Ok((found.kind == FileKind::Regular).then(|| (Arc::new(file), found)))
        })
        .await
    }

    /// `false`: it was written meanwhile, and is not there unless this was the last try.
    async fn write_whole(&self, file: Arc<OwnedFd>, found: &Stat, is_last: bool) -> Result<bool> {
        let _room = self.shared.room(found.size).await?;
        let content = self.read(&file, 0, found.size).await?;
        let is_still = self.is_still(&file, found).await?;
        if is_still || is_last {
            let length = content.len() as u64;
            let about = of_file(found);
            self.shared.pace(length).await;
            let s3 = &self.shared.s3;
            let tag = s3.put_object(&self.path, &about, content).await?;
            self.shared.wrote(&self.path, length, tag).await?;
            self.shared.count(self.path.as_bytes(), 0, length);
        }
        Ok(is_still)
    }

    async fn write_parts(
        &self,
        file: Arc<OwnedFd>,
        found: &Stat,
        piece: u64,
        is_last: bool,
    ) -> Result<bool> {
        self.shared.clear(&self.path).await?;
        let mut parts = Parts::begin(&self.shared.s3, &self.path, &of_file(found)).await?;
        let mut at = 0;
        while at < found.size {
            self.shared.go_on()?;
            let _room = self.shared.room(piece).await?;
            let content = self.read(&file, at, piece.min(found.size - at)).await?;
            if content.is_empty() {
                // It has become shorter.
                break;
            }
            let length = content.len() as u64;
            self.shared.pace(length).await;
            parts.send(content).await?;
            self.shared.count(self.path.as_bytes(), 0, length);
            at += length;
        }
        let is_still = self.is_still(&file, found).await?;
        // What is dropped is removed.
        if is_still || (is_last && at > 0) {
            let tag = parts.finish().await?;
            self.shared.wrote(&self.path, at, tag).await?;
        }
        Ok(is_still)
    }

    async fn is_still(&self, file: &Arc<OwnedFd>, found: &Stat) -> Result<bool> {
        let (file, path) = (Arc::clone(file), self.path.clone());
        let after = blocking(&self.shared.context.cancel, move |_| {
            stat_of(&*file).at("cannot look at", path.as_bytes())
        });
        Ok(after.await?.is_still(found))
    }

    /// So many bytes from a place on; fewer, if it ends before.
    async fn read(&self, file: &Arc<OwnedFd>, from: u64, length: u64) -> Result<Bytes> {
        let (file, path) = (Arc::clone(file), self.path.clone());
        blocking(&self.shared.context.cancel, move |_| {
            let mut content = vec![0; length as usize];
            let mut filled = 0;
            while filled < content.len() {
                match pread(&*file, &mut content[filled..], from + filled as u64) {
                    Ok(0) => break,
                    Ok(read) => filled += read,
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(error).at("cannot read", path.as_bytes()),
                }
            }
            content.truncate(filled);
            Ok(content.into())
        })
        .await
    }
}
