//! Reads a tree as a snapshot has it: its parts as tar streams, and the list of all that is in it.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::Bytes;
use rustix::io::Errno;
use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;

use super::header::{self, Head, fill};
use super::index;
use super::inside::Inside;
use crate::error::{Error, Kind, Result, io};
use crate::store::files::connection::blocking::stopped;
use crate::store::files::connection::directory::{Directory, stat_of};
use crate::store::files::connection::stat::{FileKind, Stat};
use crate::store::files::connection::told::{At, told};
use crate::store::files::incoming::metadata::attributes_of;
use crate::store::files::rows::listing::{Cursor, Entry, Listing, Mark};
use crate::store::files::rows::warnings::{Warning, Warnings};
use crate::store::files::schema::filter::Filter;
use crate::store::{Chunk, RowSum};

/// A chunk has about so many bytes.
const CHUNK: usize = 256 * 1024;
/// A file of so many bytes at the most is read as a whole before anything of it is sent, and read again if it changed
/// meanwhile.
const SMALL: u64 = 1 << 20;

/// A tree that was surveyed, to be read.
pub(in crate::store::files) struct Packing {
    /// It.
    pub(in crate::store::files) root: Arc<Directory>,
    /// What is in it.
    pub(in crate::store::files) listing: Listing,
    /// Which of its files are copied.
    pub(in crate::store::files) filter: Arc<Filter>,
    /// Where each part begins in the list, by its number.
    pub(in crate::store::files) marks: Vec<Mark>,
    /// What is told at the end.
    pub(in crate::store::files) warnings: Arc<Warnings>,
}

/// Where chunks go.
pub(in crate::store::files) struct Out {
    buffer: Vec<u8>,
    rows: u64,
    sum: RowSum,
    sender: Sender<Result<Chunk>>,
}

impl Out {
    /// To whoever reads a part.
    pub(in crate::store::files) fn new(sender: Sender<Result<Chunk>>) -> Self {
        Self {
            buffer: Vec::new(),
            rows: 0,
            sum: RowSum::default(),
            sender,
        }
    }

    fn send(&mut self, least: usize) -> Result<()> {
        if self.buffer.len() < least {
            return Ok(());
        }
        let data = Bytes::from(std::mem::take(&mut self.buffer));
        let rows = std::mem::take(&mut self.rows);
        let sent = self.sender.blocking_send(Ok(Chunk { rows, data }));
        sent.map_err(|_| Error::new(Kind::Internal, "nobody reads the part any more"))
    }
}

impl Packing {
    /// Sends a batch of files, and what ends it; returns the sum over what was sent.
    pub(in crate::store::files) fn files(
        &self,
        part: usize,
        mut out: Out,
        stop: &CancellationToken,
    ) -> Result<RowSum> {
        let from = self.marks.get(part).copied();
        let missing = || Error::new(Kind::Internal, "the tree has no such part");
        let to = self.marks.get(part + 1).copied();
        let mut cursor = self.listing.between(from.ok_or_else(missing)?, to)?;
        let mut inside = Inside::new(Arc::clone(&self.root));
        while let Some((entry, _)) = cursor.entry() {
            stopped(stop)?;
            if entry.stat.kind != FileKind::Directory && self.is_meant(entry) {
                self.one(entry, &mut inside, &mut out, stop)?;
            }
            cursor.advance()?;
        }
        header::write_end(&mut out.buffer);
        out.send(1)?;
        Ok(out.sum)
    }

    /// Sends all directories.
    pub(in crate::store::files) fn directories(
        &self,
        mut out: Out,
        stop: &CancellationToken,
    ) -> Result<()> {
        let mut inside = Inside::new(Arc::clone(&self.root));
        let mut cursor = self.listing.cursor()?;
        while let Some((entry, _)) = cursor.entry() {
            stopped(stop)?;
            if entry.stat.kind == FileKind::Directory && self.is_meant(entry) {
                let path = &*entry.path;
                let attributes = if path.is_empty() {
                    attributes_of(&*self.root, true)
                } else {
                    inside.at(path).and_then(|(above, name)| {
                        let directory = above.open(&name)?;
                        attributes_of(&directory, true)
                    })
                };
                let attributes = match attributes {
                    // Its files were told when their turn came.
                    Err(error) if is_gone(error) => Vec::new(),
                    attributes => attributes.at("cannot read the attributes of", path)?,
                };
                let head = Head {
                    path: path.to_vec(),
                    stat: entry.stat,
                    link: Vec::new(),
                    attributes,
                };
                header::write(&head, &mut out.buffer)?;
                out.send(CHUNK)?;
            }
            cursor.advance()?;
        }
        header::write_end(&mut out.buffer);
        out.send(1)
    }

    /// Sends the list of all that is copied.
    pub(in crate::store::files) fn list(
        &self,
        mut out: Out,
        stop: &CancellationToken,
    ) -> Result<()> {
        let mut lines = 0;
        index::begin(&mut out.buffer);
        let mut cursor = self.listing.cursor()?;
        while let Some((entry, _)) = cursor.entry() {
            stopped(stop)?;
            if self.is_meant(entry) {
                index::line(
                    &entry.path,
                    &entry.stat,
                    entry.link.as_deref(),
                    &mut out.buffer,
                );
                lines += 1;
                out.send(CHUNK)?;
            }
            cursor.advance()?;
        }
        index::end(lines, &mut out.buffer);
        out.send(1)
    }

    /// Notes what no archive has: sockets, pipes and devices.
    pub(in crate::store::files) fn note_special(&self) -> Result<()> {
        let mut cursor: Cursor = self.listing.cursor()?;
        while let Some((entry, _)) = cursor.entry() {
            let (path, kind) = (&entry.path, entry.stat.kind);
            if kind == FileKind::Special && !self.filter.excludes(path, kind) {
                self.warnings.add(Warning::Special, path);
            }
            cursor.advance()?;
        }
        Ok(())
    }

    /// Whether an entry of the list is copied.
    fn is_meant(&self, entry: &Entry) -> bool {
        let (path, kind) = (&*entry.path, entry.stat.kind);
        match kind {
            FileKind::Special => false,
            FileKind::Directory => path.is_empty() || !self.filter.excludes(path, kind),
            _ => !self.filter.excludes(path, kind) && self.filter.takes(path, &entry.stat),
        }
    }

    fn one(
        &self,
        entry: &Entry,
        inside: &mut Inside,
        out: &mut Out,
        stop: &CancellationToken,
    ) -> Result<()> {
        let path = &*entry.path;
        let found = inside.at(path);
        let sent = match found {
            Err(error) if is_gone(error) => false,
            found => {
                let (above, name) = found.at("cannot open the directory of", path)?;
                match entry.stat.kind {
                    FileKind::Link => send_link(above, &name, path, out)?,
                    _ => match above.read_file(&name) {
                        Err(error) if is_gone(error) => false,
                        file => {
                            let file = file.at("cannot read", path)?;
                            self.file(file, path, out, stop)?
                        }
                    },
                }
            }
        };
        if !sent {
            self.warnings.add(Warning::Vanished, path);
        }
        Ok(())
    }

    /// Sends a file; `false`: it is none any more.
    fn file(
        &self,
        file: OwnedFd,
        path: &[u8],
        out: &mut Out,
        stop: &CancellationToken,
    ) -> Result<bool> {
        let found = stat_of(&file).at("cannot look at", path)?;
        if found.kind != FileKind::Regular {
            return Ok(false);
        }
        let attributes = attributes_of(&file, true).at("cannot read the attributes of", path)?;
        let head = |stat: Stat| Head {
            path: path.to_vec(),
            stat,
            link: Vec::new(),
            attributes,
        };
        let mut file = File::from(file);
        if found.size <= SMALL {
            let (stat, content) = self.whole(&mut file, found, path)?;
            send_head(&head(stat), &content, out)?;
            out.buffer.extend(&content);
            fill(&mut out.buffer, content.len() as u64);
            out.send(CHUNK)?;
            return Ok(true);
        }
        let mut sum = blake3::Hasher::new();
        sum.update(path);
        header::write(&head(found), &mut out.buffer)?;
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
            sum.update(&out.buffer[begin..]);
            left -= length as u64;
            out.send(CHUNK)?;
        }
        fill(&mut out.buffer, found.size);
        out.rows += 1;
        out.sum += RowSum::of_row(sum.finalize().into());
        let after = stat_of(&file).at("cannot look at", path)?;
        if is_short || !after.is_still(&found) {
            self.warnings.add(Warning::Changed, path);
        }
        Ok(true)
    }

    /// A small file's content, with what is known of it; read again if it was changed meanwhile.
    fn whole(&self, file: &mut File, found: Stat, path: &[u8]) -> Result<(Stat, Vec<u8>)> {
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
                self.warnings.add(Warning::Changed, path);
                break;
            }
            stat = after;
            rustix::fs::seek(&*file, rustix::fs::SeekFrom::Start(0)).at("cannot read", path)?;
        }
        Ok((stat, content))
    }
}

/// Sends a link; `false`: it is none any more.
fn send_link(
    above: &Directory,
    name: &std::ffi::CString,
    path: &[u8],
    out: &mut Out,
) -> Result<bool> {
    let found = above.find(name).at("cannot look at", path)?;
    let link = match above.link(name) {
        Err(Errno::NOENT | Errno::INVAL) => return Ok(false),
        link => link.at("cannot read link", path)?,
    };
    let Some(stat) = found.filter(|found| found.kind == FileKind::Link) else {
        return Ok(false);
    };
    let head = Head {
        path: path.to_vec(),
        stat,
        link,
        attributes: Vec::new(),
    };
    send_head(&head, &head.link, out)?;
    out.send(CHUNK)?;
    Ok(true)
}

/// Puts a header into what is sent, and the file or link into its sum.
fn send_head(head: &Head, content: &[u8], out: &mut Out) -> Result<()> {
    header::write(head, &mut out.buffer)?;
    let mut sum = blake3::Hasher::new();
    sum.update(&head.path).update(content);
    out.rows += 1;
    out.sum += RowSum::of_row(sum.finalize().into());
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
