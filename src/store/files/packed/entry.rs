//! Reads files, links and directories of a tree into a tar stream, one after the other.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::Bytes;
use rustix::io::Errno;
use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;

use super::header::{self, Head, fill};
use super::pax::encoded;
use crate::error::{Error, Kind, Result, io};
use crate::store::files::connection::blocking::stopped;
use crate::store::files::connection::directory::{Directory, stat_of};
use crate::store::files::connection::inside::Inside;
use crate::store::files::connection::stat::{FileKind, Stat};
use crate::store::files::connection::told::{At, told};
use crate::store::files::incoming::metadata::attributes_of;
use crate::store::files::rows::listing::Entry;
use crate::store::files::rows::warnings::{Warning, Warnings};
use crate::store::{Chunk, RowSum};

/// A piece of a stream has about so many bytes.
pub(super) const CHUNK: usize = 256 * 1024;
/// A file of so many bytes at the most is read as a whole before anything of it is sent, and read again if it changed
/// meanwhile.
const SMALL: u64 = 1 << 20;
/// What whoever owns a directory has to be allowed to do with it, to rename it and what is in it.
pub(in crate::store::files) const OURS: u32 = 0o700;
/// What is taken away of files that are not given to their owner.
const SET_ID: u32 = 0o6000;

/// A piece of a stream for a tar.
pub(in crate::store::files) struct Piece {
    pub(in crate::store::files) data: Vec<u8>,
    /// The path of a file that is in it.
    pub(in crate::store::files) path: Vec<u8>,
    /// How many files end in it, and how many bytes of files are in it.
    pub(in crate::store::files) files: u64,
    pub(in crate::store::files) bytes: u64,
}

/// Whom a stream is for.
enum To {
    /// An archive, which has a sum over it.
    Archive(Sender<Result<Chunk>>),
    /// A GNU tar that unpacks it, and whether it gives files to their owners.
    Tar(Sender<Piece>, bool),
}

/// Where a stream goes.
pub(in crate::store::files) struct Out {
    pub(super) buffer: Vec<u8>,
    rows: u64,
    bytes: u64,
    /// Of a file in the buffer.
    path: Vec<u8>,
    pub(super) sum: RowSum,
    /// Whether all was found as it had been listed.
    pub(super) is_as_listed: bool,
    to: To,
}

impl Out {
    /// To whoever reads a part.
    pub(in crate::store::files) fn new(sender: Sender<Result<Chunk>>) -> Self {
        Self::to(To::Archive(sender))
    }

    /// To a GNU tar that unpacks it, and gives files to their owners, or does not.
    pub(in crate::store::files) fn to_tar(sender: Sender<Piece>, keeps_owners: bool) -> Self {
        Self::to(To::Tar(sender, keeps_owners))
    }

    fn to(to: To) -> Self {
        Self {
            buffer: Vec::new(),
            rows: 0,
            bytes: 0,
            path: Vec::new(),
            sum: RowSum::default(),
            is_as_listed: true,
            to,
        }
    }

    /// Sends what there is, if that is so much.
    pub(super) fn send(&mut self, least: usize) -> Result<()> {
        if self.buffer.len() < least {
            return Ok(());
        }
        let room = Vec::with_capacity(self.buffer.len());
        let data = std::mem::replace(&mut self.buffer, room);
        let (rows, bytes) = (std::mem::take(&mut self.rows), self.bytes);
        self.bytes = 0;
        let is_sent = match &self.to {
            To::Archive(sender) => {
                let data = Bytes::from(data);
                sender.blocking_send(Ok(Chunk { rows, data })).is_ok()
            }
            To::Tar(sender, _) => {
                let files = rows;
                let path = std::mem::take(&mut self.path);
                let piece = Piece {
                    data,
                    path,
                    files,
                    bytes,
                };
                sender.blocking_send(piece).is_ok()
            }
        };
        let nobody = || Error::new(Kind::Internal, "nobody reads the part any more");
        is_sent.then_some(()).ok_or_else(nobody)
    }

    /// Ends the stream.
    pub(in crate::store::files) fn end(&mut self) -> Result<()> {
        header::write_end(&mut self.buffer);
        self.send(1)
    }

    /// Appends an entry's headers.
    fn write(&mut self, mut head: Head) -> Result<()> {
        if let To::Tar(_, keeps_owners) = self.to {
            if self.path.is_empty() {
                self.path.clone_from(&head.path);
            }
            match head.stat.kind {
                FileKind::Directory => head.stat.mode |= OURS,
                _ if !keeps_owners => head.stat.mode &= !SET_ID,
                _ => {}
            }
            for (name, _) in &mut head.attributes {
                *name = encoded(name);
            }
        }
        header::write(&head, &mut self.buffer)
    }

    /// Whether attributes are kept that root alone may set.
    fn is_root(&self) -> bool {
        matches!(self.to, To::Archive(_) | To::Tar(_, true))
    }

    /// What a file is summed up in, where there is a sum.
    fn hasher(&self, path: &[u8]) -> Option<blake3::Hasher> {
        matches!(self.to, To::Archive(_)).then(|| {
            let mut hasher = blake3::Hasher::new();
            hasher.update(path);
            hasher
        })
    }

    /// A file or link is in it.
    fn count(&mut self, hasher: Option<blake3::Hasher>) {
        self.rows += 1;
        if let Some(hasher) = hasher {
            self.sum += RowSum::of_row(hasher.finalize().into());
        }
    }
}

/// A tree whose entries are read, in the order of the walk.
pub(in crate::store::files) struct Reading<'a> {
    root: &'a Arc<Directory>,
    inside: Inside,
    warnings: &'a Warnings,
    stop: &'a CancellationToken,
}

impl<'a> Reading<'a> {
    /// Of a tree.
    pub(in crate::store::files) fn new(
        root: &'a Arc<Directory>,
        warnings: &'a Warnings,
        stop: &'a CancellationToken,
    ) -> Self {
        Self {
            root,
            inside: Inside::new(Arc::clone(root)),
            warnings,
            stop,
        }
    }

    /// Sends a directory as it was listed; one that is gone by now as well.
    pub(in crate::store::files) fn directory(
        &mut self,
        entry: &Entry,
        out: &mut Out,
    ) -> Result<()> {
        let path = &*entry.path;
        let attributes = if path.is_empty() {
            attributes_of(&**self.root, out.is_root())
        } else {
            self.inside.at(path).and_then(|(above, name)| {
                let directory = above.open(&name)?;
                attributes_of(&directory, out.is_root())
            })
        };
        let attributes = match attributes {
            // Its files are told when their turn comes.
            Err(error) if is_gone(error) => Vec::new(),
            attributes => attributes.at("cannot read the attributes of", path)?,
        };
        out.write(Head {
            path: path.to_vec(),
            stat: entry.stat,
            link: Vec::new(),
            attributes,
        })?;
        out.send(CHUNK)
    }

    /// Sends a file or a link. That it is none any more is a warning.
    pub(in crate::store::files) fn file_or_link(
        &mut self,
        entry: &Entry,
        out: &mut Out,
    ) -> Result<()> {
        let path = &*entry.path;
        let (warnings, stop) = (self.warnings, self.stop);
        let found = self.inside.at(path);
        let sent = match found {
            Err(error) if is_gone(error) => false,
            found => {
                let (above, name) = found.at("cannot open the directory of", path)?;
                match entry.stat.kind {
                    FileKind::Link => send_link(above, &name, entry, out)?,
                    _ => match above.read_file(&name) {
                        Err(error) if is_gone(error) => false,
                        file => {
                            let file = file.at("cannot read", path)?;
                            send_file(file, entry, out, (warnings, stop))?
                        }
                    },
                }
            }
        };
        if !sent {
            out.is_as_listed = false;
            warnings.add(Warning::Vanished, path);
        }
        Ok(())
    }
}

/// Sends a file; `false`: it is none any more.
fn send_file(
    file: OwnedFd,
    entry: &Entry,
    out: &mut Out,
    (warnings, stop): (&Warnings, &CancellationToken),
) -> Result<bool> {
    let path = &*entry.path;
    let found = stat_of(&file).at("cannot look at", path)?;
    out.is_as_listed &= is_as_listed(&found, entry);
    if found.kind != FileKind::Regular {
        return Ok(false);
    }
    let attributes = attributes_of(&file, out.is_root());
    let attributes = attributes.at("cannot read the attributes of", path)?;
    let head = |stat: Stat| Head {
        path: path.to_vec(),
        stat,
        link: Vec::new(),
        attributes,
    };
    let mut file = File::from(file);
    if found.size <= SMALL {
        let (stat, content) = whole(&mut file, found, path, warnings)?;
        out.is_as_listed &= is_as_listed(&stat, entry);
        send_head(head(stat), &content, out)?;
        out.buffer.extend(&content);
        out.bytes += content.len() as u64;
        fill(&mut out.buffer, content.len() as u64);
        out.send(CHUNK)?;
        return Ok(true);
    }
    let mut hasher = out.hasher(path);
    out.write(head(found))?;
    let mut left = found.size;
    let mut is_short = false;
    while left > 0 {
        stopped(stop)?;
        let length = left.min(CHUNK as u64) as usize;
        let begin = out.buffer.len();
        out.buffer.resize(begin + length, 0);
        if !is_short {
            let read = read_full(&mut file, &mut out.buffer[begin..], path)?;
            is_short = read < length;
        }
        if let Some(hasher) = &mut hasher {
            hasher.update(&out.buffer[begin..]);
        }
        left -= length as u64;
        out.bytes += length as u64;
        out.send(CHUNK)?;
    }
    fill(&mut out.buffer, found.size);
    out.count(hasher);
    let after = stat_of(&file).at("cannot look at", path)?;
    if is_short || !after.is_still(&found) {
        out.is_as_listed = false;
        warnings.add(Warning::Changed, path);
    }
    Ok(true)
}

/// A small file's content, with what is known of it; read again if it was changed meanwhile.
fn whole(
    file: &mut File,
    found: Stat,
    path: &[u8],
    warnings: &Warnings,
) -> Result<(Stat, Vec<u8>)> {
    let mut stat = found;
    let mut content = Vec::new();
    for is_last in [false, true] {
        content.resize(stat.size as usize, 0);
        let read = read_full(file, &mut content, path)?;
        let after = stat_of(&*file).at("cannot look at", path)?;
        if read == content.len() && after.is_still(&stat) {
            break;
        }
        if is_last || after.size > SMALL {
            // As tar does: as many bytes as it had, with zeros where it has become shorter.
            content[read..].fill(0);
            warnings.add(Warning::Changed, path);
            break;
        }
        stat = after;
        rustix::fs::seek(&*file, rustix::fs::SeekFrom::Start(0)).at("cannot read", path)?;
    }
    Ok((stat, content))
}

/// Whether what is read is what was listed.
fn is_as_listed(found: &Stat, entry: &Entry) -> bool {
    let listed = &entry.stat;
    (found.kind, found.size, found.modified, found.changed)
        == (listed.kind, listed.size, listed.modified, listed.changed)
}

/// Sends a link; `false`: it is none any more.
fn send_link(
    above: &Directory,
    name: &std::ffi::CString,
    entry: &Entry,
    out: &mut Out,
) -> Result<bool> {
    let path = &*entry.path;
    let found = above.find(name).at("cannot look at", path)?;
    let link = match above.link(name) {
        Err(Errno::NOENT | Errno::INVAL) => return Ok(false),
        link => link.at("cannot read link", path)?,
    };
    let Some(stat) = found.filter(|found| found.kind == FileKind::Link) else {
        return Ok(false);
    };
    out.is_as_listed &= is_as_listed(&stat, entry) && entry.link.as_ref() == Some(&link);
    let head = Head {
        path: path.to_vec(),
        stat,
        link,
        attributes: Vec::new(),
    };
    let text = head.link.clone();
    send_head(head, &text, out)?;
    out.send(CHUNK)?;
    Ok(true)
}

/// Puts a header into what is sent, and the file or link into its sum.
fn send_head(head: Head, content: &[u8], out: &mut Out) -> Result<()> {
    let mut hasher = out.hasher(&head.path);
    if let Some(hasher) = &mut hasher {
        hasher.update(content);
    }
    out.write(head)?;
    out.count(hasher);
    Ok(())
}

/// Reads until a piece is full or the file ends.
fn read_full(file: &mut File, piece: &mut [u8], path: &[u8]) -> Result<usize> {
    let mut filled = 0;
    while filled < piece.len() {
        match file.read(&mut piece[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(io(format!("cannot read {}", told(path)))(error)),
        }
    }
    Ok(filled)
}

/// Whether what was there is not any more, or is something else.
fn is_gone(error: Errno) -> bool {
    matches!(
        error,
        Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO
    )
}
