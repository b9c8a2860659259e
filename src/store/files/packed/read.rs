//! Reads a tree as a snapshot has it: its parts as tar streams, and the list of all that is in it.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::entry::{CHUNK, Out, Reading};
use super::index;
use crate::error::{Error, Kind, Result};
use crate::store::RowSum;
use crate::store::files::connection::blocking::stopped;
use crate::store::files::connection::directory::Directory;
use crate::store::files::connection::stat::FileKind;
use crate::store::files::rows::listing::{Cursor, Entry, Listing, Mark};
use crate::store::files::rows::tree::Likenesses;
use crate::store::files::rows::warnings::{Warning, Warnings};
use crate::store::files::schema::filter::Filter;

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
    /// What is known of each part: no more where a file is not as it was listed.
    pub(in crate::store::files) likenesses: Likenesses,
    /// What is told at the end.
    pub(in crate::store::files) warnings: Arc<Warnings>,
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
        let mut reading = Reading::new(&self.root, &self.warnings, stop);
        while let Some((entry, _)) = cursor.entry() {
            stopped(stop)?;
            if entry.stat.kind != FileKind::Directory && self.is_meant(entry) {
                reading.file_or_link(entry, &mut out)?;
            }
            cursor.advance()?;
        }
        if !out.is_as_listed
            && let Some(likeness) = self.likenesses.lock().get_mut(part)
        {
            *likeness = None;
        }
        out.end()?;
        Ok(out.sum)
    }

    /// Sends all directories.
    pub(in crate::store::files) fn directories(
        &self,
        mut out: Out,
        stop: &CancellationToken,
    ) -> Result<()> {
        let mut reading = Reading::new(&self.root, &self.warnings, stop);
        let mut cursor = self.listing.cursor()?;
        while let Some((entry, _)) = cursor.entry() {
            stopped(stop)?;
            if entry.stat.kind == FileKind::Directory && self.is_meant(entry) {
                reading.directory(entry, &mut out)?;
            }
            cursor.advance()?;
        }
        out.end()
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
        is_meant(&self.filter, entry)
    }
}

/// Whether an entry of a tree's list is copied.
pub(super) fn is_meant(filter: &Filter, entry: &Entry) -> bool {
    let (path, kind) = (&*entry.path, entry.stat.kind);
    match kind {
        FileKind::Special => false,
        FileKind::Directory => path.is_empty() || !filter.excludes(path, kind),
        _ => !filter.excludes(path, kind) && filter.takes(path, &entry.stat),
    }
}
