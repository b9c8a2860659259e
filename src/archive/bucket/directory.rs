//! An archive in a directory. A file is written under another name, synced, and renamed.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, fsync, unlinkat};
use tokio::sync::RwLock;

use super::tree::Root;
use crate::error::{Error, Kind, Result, io};
use crate::s3::object::{Names, Object};

/// Ends the name of a file that is being written.
const PARTIAL: &str = ".partial";
/// How much is read, or gathered before it is written.
const CHUNK: usize = 512 * 1024;
/// Rows of people lie there: nobody else's business.
const FILE_MODE: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);

/// Held by whoever works on the directory: what a dropped future has begun goes on to its end.
type Working = Arc<RwLock<()>>;

/// The archive.
pub(super) struct Directory {
    root: Arc<Root>,
    working: Working,
    place: String,
}

impl Directory {
    /// The directory need not be there. `place` is its URL.
    pub(super) fn new(path: &std::path::Path, place: &str) -> Self {
        Self {
            root: Arc::new(Root(path.to_owned())),
            working: Working::default(),
            place: place.to_owned(),
        }
    }

    /// Where it is.
    pub(super) fn directory(&self) -> &std::path::Path {
        &self.root.0
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    pub(super) async fn is_there(&self) -> Result<bool> {
        self.blocking(|root| Ok(root.open()?.is_some())).await
    }

    /// The directory's path.
    pub(super) fn path(&self) -> String {
        self.root.0.to_string_lossy().into_owned()
    }

    /// The time that the file system gives to a file which is written now: of a network's, that is its server's.
    pub(super) async fn now(&self) -> Result<DateTime<Utc>> {
        self.blocking(|root| {
            let Some(folder) = root.open()? else {
                return Ok(Utc::now());
            };
            let name = format!(".clock.{}{PARTIAL}", uuid::Uuid::now_v7().simple());
            let flags = OFlag::O_WRONLY
                | OFlag::O_CREAT
                | OFlag::O_EXCL
                | OFlag::O_NOFOLLOW
                | OFlag::O_CLOEXEC;
            // A user who may only read goes by this machine's clock.
            let Ok(file) = openat(&folder, name.as_str(), flags, FILE_MODE) else {
                return Ok(Utc::now());
            };
            let written = File::from(file).metadata();
            let _ = unlinkat(&folder, name.as_str(), UnlinkatFlags::NoRemoveDir);
            Ok(written
                .and_then(|written| written.modified())
                .map_or_else(|_| Utc::now(), DateTime::from))
        })
        .await
    }

    pub(super) async fn folders(&self) -> Result<Vec<String>> {
        self.blocking(|root| {
            let Some(folder) = root.open()? else {
                return Ok(Vec::new());
            };
            let mut names = Vec::new();
            for name in root.names(&folder, "")? {
                if !name.starts_with('.') && root.folder(&folder, &name, &name)?.is_some() {
                    names.push(name);
                }
            }
            Ok(names)
        })
        .await
    }

    pub(super) async fn list(&self, folder: &str) -> Result<Vec<Object>> {
        let folder = folder.to_owned();
        self.blocking(move |root| {
            let (mut objects, mut names) = (Vec::new(), Names::default());
            if let Some(found) = root.walk(&folder, false)? {
                root.visit(&found, &folder, &mut |_, path, name, metadata| {
                    if !is_partial(name) {
                        names.add(path, &root.shown(&folder))?;
                        objects.push(object(path, metadata));
                    }
                    Ok(())
                })?;
            }
            Ok(objects)
        })
        .await
    }

    pub(super) async fn files(&self) -> Result<Vec<Object>> {
        self.blocking(|root| {
            let Some(folder) = root.open()? else {
                return Ok(Vec::new());
            };
            let mut objects = Vec::new();
            root.each(&folder, "", &mut |_, path, name, metadata| {
                if metadata.is_file() && !is_partial(name) {
                    objects.push(object(path, metadata));
                }
                Ok(())
            })?;
            Ok(objects)
        })
        .await
    }

    pub(super) async fn clear_interrupted(
        &self,
        is_ours: &(dyn Fn(&str, bool) -> bool + Send + Sync),
    ) -> Result<Vec<String>> {
        let interrupted = self
            .blocking(|root| {
                let Some(folder) = root.open()? else {
                    return Ok(Vec::new());
                };
                let mut names = root.names(&folder, "")?;
                names.retain(|name| is_partial(name) && !is_locked(&folder, name));
                Ok(names)
            })
            .await?;
        let ours: Vec<String> = interrupted
            .into_iter()
            .filter(|name| written(name).is_some_and(|file| is_ours(file, true)))
            .collect();
        self.delete(ours.clone()).await?;
        Ok(ours)
    }

    pub(super) async fn has(&self, path: &str) -> Result<bool> {
        let path = path.to_owned();
        self.blocking(move |root| Ok(root.file(&path)?.is_some()))
            .await
    }

    /// No more than a byte above `most` is read.
    pub(super) async fn get(&self, path: &str, most: usize) -> Result<Option<Bytes>> {
        let path = path.to_owned();
        self.blocking(move |root| {
            let Some(file) = root.file(&path)? else {
                return Ok(None);
            };
            let mut content = Vec::new();
            file.take(most as u64 + 1)
                .read_to_end(&mut content)
                .map_err(io(format!("{} cannot be read", root.shown(&path))))?;
            Ok(Some(content.into()))
        })
        .await
    }

    pub(super) async fn read(
        &self,
        path: &str,
        from: u64,
    ) -> Result<BoxStream<'static, Result<Bytes>>> {
        let path = path.to_owned();
        let shown = self.root.shown(&path);
        let unreadable = format!("{shown} cannot be read");
        let file = self
            .blocking(move |root| {
                let mut file = root.file(&path)?.ok_or_else(|| {
                    Error::new(Kind::Absent, format!("there is no {}", root.shown(&path)))
                })?;
                let what = format!("{} cannot be read", root.shown(&path));
                file.seek(SeekFrom::Start(from)).map_err(io(what))?;
                Ok(file)
            })
            .await?;
        let working = Arc::clone(&self.working);
        let chunks = stream::try_unfold(Some(file), move |file| {
            let (unreadable, working) = (unreadable.clone(), Arc::clone(&working));
            async move {
                let Some(mut file) = file else {
                    return Ok(None);
                };
                apart(&working, move || {
                    let mut chunk = Vec::with_capacity(CHUNK);
                    (&mut file)
                        .take(CHUNK as u64)
                        .read_to_end(&mut chunk)
                        .map_err(io(unreadable))?;
                    Ok((!chunk.is_empty()).then(|| (Bytes::from(chunk), Some(file))))
                })
                .await
            }
        });
        Ok(chunks.boxed())
    }

    pub(super) async fn upload(&self, path: &str) -> Result<Upload> {
        let (path, working) = (path.to_owned(), Arc::clone(&self.working));
        self.blocking(move |root| {
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
            let place = root.walk(folder, true)?;
            let place = place.ok_or_else(|| {
                let what = format!("{} went away", root.shown(folder));
                Error::new(Kind::Io, what)
            })?;
            let partial = format!(".{name}.{}{PARTIAL}", uuid::Uuid::now_v7().simple());
            let flags = OFlag::O_WRONLY
                | OFlag::O_CREAT
                | OFlag::O_EXCL
                | OFlag::O_NOFOLLOW
                | OFlag::O_CLOEXEC;
            let file = openat(&place, partial.as_str(), flags, FILE_MODE)
                .map_err(|errno| root.failed(errno, &path, "written"))?;
            let file = File::from(file);
            // Shows that somebody is at it, also to who cannot see our process. Where there are no locks, nobody can tell.
            let _ = fs2::FileExt::try_lock_exclusive(&file);
            Ok(Upload {
                shown: root.shown(&path),
                name: name.to_owned(),
                partial: Partial {
                    folder: Arc::new(place),
                    name: Some(partial),
                },
                working,
                file: Arc::new(file),
                gathered: BytesMut::new(),
                length: 0,
            })
        })
        .await
    }

    pub(super) async fn delete(&self, paths: Vec<String>) -> Result<()> {
        self.blocking(move |root| {
            for path in &paths {
                let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
                let Some(place) = root.walk(folder, false)? else {
                    continue;
                };
                match unlinkat(&place, name, UnlinkatFlags::NoRemoveDir) {
                    Ok(()) | Err(Errno::ENOENT) => {}
                    Err(errno) => return Err(root.failed(errno, path, "removed")),
                }
            }
            // As in a bucket, a folder without objects is none.
            for path in &paths {
                let mut folder = path.as_str();
                while let Some((above, _)) = folder.rsplit_once('/') {
                    folder = above;
                    let (parent, name) = folder.rsplit_once('/').unwrap_or(("", folder));
                    let Some(parent) = root.walk(parent, false)? else {
                        break;
                    };
                    match unlinkat(&parent, name, UnlinkatFlags::RemoveDir) {
                        Ok(()) | Err(Errno::ENOENT) => {}
                        Err(_) => break,
                    }
                }
            }
            Ok(())
        })
        .await
    }

    pub(super) async fn clear_uploads(&self, folder: &str) -> Result<()> {
        let folder = folder.to_owned();
        self.blocking(move |root| {
            let Some(found) = root.walk(&folder, false)? else {
                return Ok(());
            };
            root.visit(&found, &folder, &mut |place, path, name, _| {
                if is_partial(name) {
                    match unlinkat(place, name, UnlinkatFlags::NoRemoveDir) {
                        Ok(()) | Err(Errno::ENOENT) => {}
                        Err(errno) => return Err(root.failed(errno, path, "removed")),
                    }
                }
                Ok(())
            })?;
            // As in a bucket, a folder without objects is none.
            root.prune(&found, &folder)?;
            let (above, name) = folder.rsplit_once('/').unwrap_or(("", &folder));
            if let Some(above) = root.walk(above, false)? {
                let _ = unlinkat(&above, name, UnlinkatFlags::RemoveDir);
            }
            Ok(())
        })
        .await
    }

    /// Waits until all that was begun here has ended.
    pub(super) async fn settle(&self) {
        drop(self.working.write().await);
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Root) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let root = Arc::clone(&self.root);
        apart(&self.working, move || work(&root)).await
    }
}

/// Does what may wait for a disk where it keeps nobody else waiting.
async fn apart<T: Send + 'static>(
    working: &Working,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let held = Arc::clone(working).read_owned().await;
    // Together: what nobody waits for any more is dropped before others may think that all is done.
    match tokio::task::spawn_blocking(move || (work(), held)).await {
        Ok((result, _)) => result,
        Err(error) => {
            Err(Error::new(Kind::Internal, "work on the archive's directory died").because(error))
        }
    }
}

/// A file as an object of the archive.
fn object(path: &str, metadata: &std::fs::Metadata) -> Object {
    let modified = metadata.modified();
    Object {
        path: path.to_owned(),
        size: metadata.len(),
        modified: modified.map_or_else(|_| Utc::now(), DateTime::from),
    }
}

fn is_partial(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(PARTIAL)
}

/// Whether somebody is writing a file.
fn is_locked(folder: &OwnedFd, name: &str) -> bool {
    let flags = OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let Ok(file) = openat(folder, name, flags, Mode::empty()) else {
        return false;
    };
    let contended = fs2::lock_contended_error().raw_os_error();
    fs2::FileExt::try_lock_exclusive(&File::from(file))
        .is_err_and(|error| error.raw_os_error() == contended)
}

/// The name that a file will have, of the one that it has while it is written.
fn written(partial: &str) -> Option<&str> {
    let name = partial.strip_prefix('.')?.strip_suffix(PARTIAL)?;
    Some(name.rsplit_once('.')?.0)
}

/// A file that is being written; gone when dropped before it has its name.
pub(super) struct Upload {
    shown: String,
    name: String,
    partial: Partial,
    working: Working,
    file: Arc<File>,
    gathered: BytesMut,
    length: u64,
}

struct Partial {
    folder: Arc<OwnedFd>,
    name: Option<String>,
}

impl Drop for Partial {
    fn drop(&mut self) {
        if let Some(name) = self.name.take() {
            let _ = unlinkat(&*self.folder, name.as_str(), UnlinkatFlags::NoRemoveDir);
        }
    }
}

impl Upload {
    pub(super) async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.length += bytes.len() as u64;
        if self.gathered.is_empty() && bytes.len() >= CHUNK {
            return self.store(bytes).await;
        }
        self.gathered.extend_from_slice(&bytes);
        if self.gathered.len() < CHUNK {
            return Ok(());
        }
        let gathered = self.gathered.split().freeze();
        self.store(gathered).await
    }

    async fn store(&mut self, bytes: Bytes) -> Result<()> {
        let file = Arc::clone(&self.file);
        let what = format!("{} cannot be written", self.shown);
        let work = move || (&*file).write_all(&bytes).map_err(io(what));
        apart(&self.working, work).await
    }

    pub(super) async fn finish(mut self) -> Result<u64> {
        let gathered = self.gathered.split().freeze();
        self.store(gathered).await?;
        let Self {
            shown,
            name,
            mut partial,
            working,
            file,
            length,
            ..
        } = self;
        let what = format!("{shown} cannot be written");
        apart(&working, move || {
            file.sync_all().map_err(io(what.clone()))?;
            if let Some(temporary) = &partial.name {
                renameat(
                    &*partial.folder,
                    temporary.as_str(),
                    &*partial.folder,
                    name.as_str(),
                )
                .map_err(|errno| io(what.clone())(errno.into()))?;
            }
            partial.name = None;
            fsync(&*partial.folder).map_err(|errno| io(what)(errno.into()))?;
            Ok(length)
        })
        .await
    }
}
