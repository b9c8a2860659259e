//! Unpacks a tar stream into a tree whose directories are there: what is wanted of it, and nothing else. A path is only
//! written if the plan of the run has it, into a directory that the run has made, and through no link.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{ftruncate, symlinkat};
use rustix::io::Errno;
use tokio_util::sync::CancellationToken;

use super::header::Head;
use super::parse::Event;
use crate::error::Result;
use crate::store::files::connection::blocking::stopped;
use crate::store::files::connection::directory::Directory;
use crate::store::files::connection::inside::Inside;
use crate::store::files::connection::stat::{FileKind, Stat};
use crate::store::files::connection::told::At;
use crate::store::files::incoming::copy::write_all;
use crate::store::files::incoming::metadata::{
    Metadata, has_default_acl, set_attributes, without_acl,
};
use crate::store::files::incoming::out::not_made;
use crate::store::files::rows::decision::mode_of_copy;
use crate::store::files::rows::listing::{Entry, order};
use crate::store::files::rows::warnings::Warnings;
use crate::store::files::schema::filter::Filter;

/// Zeros of so many bytes are left out of a file that had holes.
const HOLE: usize = 4096;

/// What became of a name that was wanted.
pub(in crate::store::files) enum Fate {
    /// It is here: as it was packed, with the hash of a file's content in the place of a link, if one was asked for.
    Arrived(Entry),
    /// It was in the list, and is not in the stream.
    Missing(Entry),
    /// It was in the list as a file or a link, and is something else in the stream.
    Other(Entry),
}

/// Who is told what.
pub(in crate::store::files) struct Means<'a> {
    /// Of what the run has to say of single files.
    pub(in crate::store::files) warnings: &'a Warnings,
    /// Of progress.
    pub(in crate::store::files) told: &'a (dyn Fn(&[u8], u64, u64) + Send + Sync + 'a),
    /// Of each name that was wanted.
    pub(in crate::store::files) fate: &'a (dyn Fn(Fate) -> Result<()> + 'a),
    /// Whether of content's hashes, too.
    pub(in crate::store::files) hashes: bool,
    /// Ends the work.
    pub(in crate::store::files) stop: &'a CancellationToken,
}

/// A file that is being written.
struct Open {
    file: OwnedFd,
    head: Head,
    at: u64,
    hash: Option<blake3::Hasher>,
    /// Whether the source's had places where nothing was stored.
    is_sparse: bool,
}

/// Takes a stream's files and links.
pub(in crate::store::files) struct Unpacker<'a> {
    inside: Inside,
    wanted: std::iter::Peekable<std::vec::IntoIter<Entry>>,
    keeps_owners: bool,
    means: Means<'a>,
    /// Whether what is made in the tree has an ACL that nobody gave it.
    inherits: bool,
    open: Option<Open>,
    /// How many have arrived.
    files: u64,
}

impl<'a> Unpacker<'a> {
    /// Into a tree; `wanted` are in their order.
    pub(in crate::store::files) fn new(
        into: Arc<Directory>,
        wanted: Vec<Entry>,
        keeps_owners: bool,
        means: Means<'a>,
    ) -> Self {
        let inherits = has_default_acl(&*into);
        Self {
            inside: Inside::new(into),
            wanted: wanted.into_iter().peekable(),
            keeps_owners,
            means,
            inherits,
            open: None,
            files: 0,
        }
    }

    /// Takes what comes next in the stream.
    pub(in crate::store::files) fn take(&mut self, event: Event<'_>) -> Result<()> {
        stopped(self.means.stop)?;
        match event {
            Event::Entry(head) => self.begin(head),
            Event::Content(bytes) => self.write(bytes),
            Event::End => self.end(),
        }
    }

    /// The stream has ended.
    pub(in crate::store::files) fn finish(self) -> Result<u64> {
        for entry in self.wanted {
            (self.means.fate)(Fate::Missing(entry))?;
        }
        Ok(self.files)
    }

    fn begin(&mut self, head: &Head) -> Result<()> {
        let comes_before = |entry: &Entry| order(&entry.path, &head.path).is_lt();
        while let Some(entry) = self.wanted.next_if(comes_before) {
            (self.means.fate)(Fate::Missing(entry))?;
        }
        let Some(wanted) = self.wanted.next_if(|entry| entry.path == head.path) else {
            // Live has the same, or the task leaves it out.
            return Ok(());
        };
        let path = &*head.path;
        let (above, name) = self
            .inside
            .at(path)
            .at("cannot open the directory of", path)?;
        match head.stat.kind {
            FileKind::Regular => {
                let mode = mode_of_copy(&head.stat, self.keeps_owners) & 0o777 | 0o600;
                let made = above.make_file(&name, mode);
                self.open = Some(Open {
                    file: made.map_err(|error| not_made(error, path))?,
                    head: head.clone(),
                    at: 0,
                    hash: self.means.hashes.then(blake3::Hasher::new),
                    is_sparse: wanted.stat.is_sparse(),
                });
                Ok(())
            }
            FileKind::Link => {
                let link = &*head.link;
                symlinkat(link, above, &name).map_err(|error| not_made(error, path))?;
                metadata(&head.stat, self.keeps_owners).give_link(above, &name, path)?;
                self.has_arrived(head, Some(link.to_vec()))
            }
            _ => (self.means.fate)(Fate::Other(wanted)),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        let path = &*open.head.path;
        if let Some(hash) = &mut open.hash {
            hash.update(bytes);
        }
        // What a file with holes has as zeros is left out.
        let piece = if open.is_sparse { HOLE } else { usize::MAX };
        for piece in bytes.chunks(piece) {
            if !open.is_sparse || piece.iter().any(|byte| *byte != 0) {
                write_all(&open.file, piece, open.at).at("cannot write", path)?;
            }
            open.at += piece.len() as u64;
        }
        (self.means.told)(path, 0, bytes.len() as u64);
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        let path = &*open.head.path;
        if open.is_sparse {
            ftruncate(&open.file, open.at).at("cannot write", path)?;
        }
        if self.inherits {
            without_acl(&open.file).at("cannot set the permissions of", path)?;
        }
        let metadata = metadata(&open.head.stat, self.keeps_owners);
        metadata.give_with(&open.file, &open.head.attributes, path, self.means.warnings)?;
        let hash = open.hash.map(|hash| hash.finalize().as_bytes().to_vec());
        self.has_arrived(&open.head, hash)
    }

    fn has_arrived(&mut self, head: &Head, link: Option<Vec<u8>>) -> Result<()> {
        self.files += 1;
        (self.means.told)(&head.path, 1, 0);
        (self.means.fate)(Fate::Arrived(Entry {
            path: head.path.clone(),
            stat: head.stat,
            link,
        }))
    }
}

fn metadata(like: &Stat, keeps_owner: bool) -> Metadata<'_> {
    Metadata {
        like,
        mode: mode_of_copy(like, keeps_owner),
        keeps_owner,
    }
}

/// Gives a directory of the tree the extended attributes that it has in the snapshot, if the task has made it after that.
pub(super) fn give_attributes(
    inside: &mut Inside,
    root: &Directory,
    head: &Head,
    (filter, keeps_owners): (&Filter, bool),
    warnings: &Warnings,
) -> Result<()> {
    let path = &*head.path;
    if head.attributes.is_empty() {
        return Ok(());
    }
    if path.is_empty() {
        set_attributes(root, &head.attributes, keeps_owners, path, warnings);
        return Ok(());
    }
    let ends = (1..=path.len()).filter(|end| path.get(*end).is_none_or(|byte| *byte == b'/'));
    if ends
        .into_iter()
        .any(|end| filter.excludes(&path[..end], FileKind::Directory))
    {
        return Ok(());
    }
    let opened = (inside.at(path)).and_then(|(above, name): (_, CString)| above.open(&name));
    let directory = match opened {
        Err(Errno::NOENT) => return Ok(()),
        opened => opened.at("cannot open directory", path)?,
    };
    set_attributes(&directory, &head.attributes, keeps_owners, path, warnings);
    Ok(())
}
