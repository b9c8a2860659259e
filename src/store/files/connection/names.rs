//! The names of a directory in their order, and what is known of its files, in little memory: a directory may have a million.

use std::ffi::CStr;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, RawDir, statx};
use rustix::io::Errno;

use super::stat::{ASKED, FileKind, Stat};

/// Bytes that are read of a directory at a time.
const PIECE: usize = 32 * 1024;

/// Of so many names, two threads find out what is known.
const MANY: usize = 4096;

/// The names of a directory, sorted by their bytes; without `.` and `..`.
#[derive(Default)]
pub(in crate::store::files) struct Names {
    /// One after the other, each with its NUL.
    text: Vec<u8>,
    /// Where each begins, how long it is with its NUL, and its kind if the system said it.
    places: Vec<(u32, u16, Option<FileKind>)>,
    /// What is known of each, if it was asked for.
    stats: Vec<Option<Stat>>,
}

impl Names {
    /// Reads a directory.
    pub(in crate::store::files) fn read(directory: impl AsFd) -> rustix::io::Result<Self> {
        let mut names = Self::default();
        let mut piece = Vec::with_capacity(PIECE);
        let mut entries = RawDir::new(directory, piece.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes_with_nul();
            if name == b".\0" || name == b"..\0" {
                continue;
            }
            let begin = u32::try_from(names.text.len()).map_err(|_| Errno::OVERFLOW)?;
            let length = u16::try_from(name.len()).map_err(|_| Errno::NAMETOOLONG)?;
            names.text.extend_from_slice(name);
            let kind = FileKind::of(entry.file_type());
            names.places.push((begin, length, kind));
        }
        let text = &names.text;
        (names.places).sort_unstable_by_key(|(begin, length, _)| bytes(text, *begin, *length));
        Ok(names)
    }

    /// The name at this place of the order, and its kind if it is known.
    pub(in crate::store::files) fn get(&self, at: usize) -> Option<(&CStr, Option<FileKind>)> {
        let (begin, length, kind) = *self.places.get(at)?;
        let name = CStr::from_bytes_with_nul(bytes(&self.text, begin, length)).ok()?;
        Some((name, kind))
    }

    /// How many there are.
    pub(in crate::store::files) fn len(&self) -> usize {
        self.places.len()
    }

    /// What was known of the name at this place when the directory was read; `None`: it is a directory, or has to be asked for.
    pub(in crate::store::files) fn stat(&self, at: usize) -> Option<Stat> {
        self.stats.get(at).copied().flatten()
    }

    /// Finds out what is known of all that are no directories.
    pub(in crate::store::files) fn look(&mut self, directory: impl AsFd + Sync) {
        let (text, places) = (&self.text, &mut self.places);
        self.stats = vec![None; places.len()];
        let look = |places: &mut [(u32, u16, Option<FileKind>)], stats: &mut [Option<Stat>]| {
            for ((begin, length, kind), stat) in places.iter_mut().zip(stats) {
                let name = CStr::from_bytes_with_nul(bytes(text, *begin, *length));
                let (Some(FileKind::Regular | FileKind::Link) | None, Ok(name)) = (*kind, name)
                else {
                    continue;
                };
                // What has gone, or cannot be looked at, is told when its turn comes.
                let found = statx(&directory, name, AtFlags::SYMLINK_NOFOLLOW, ASKED);
                let found = found.ok().map(|found| Stat::of(&found));
                *kind = found.map(|found| found.kind).or(*kind);
                *stat = found.filter(|found| found.kind != FileKind::Directory);
            }
        };
        if places.len() < MANY {
            return look(places, &mut self.stats);
        }
        let half = places.len() / 2;
        let (places, others) = places.split_at_mut(half);
        let (stats, other_stats) = self.stats.split_at_mut(half);
        std::thread::scope(|scope| {
            let look = &look;
            scope.spawn(move || look(others, other_stats));
            look(places, stats);
        });
    }
}

fn bytes(text: &[u8], begin: u32, length: u16) -> &[u8] {
    &text[begin as usize..begin as usize + usize::from(length)]
}
