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

/// A name.
#[derive(Clone, Copy)]
struct Place {
    /// Where it begins, and how long it is with its NUL.
    begin: u32,
    length: u16,
    /// If the system said it.
    kind: Option<FileKind>,
    inode: u64,
}

impl Place {
    fn of(self, text: &[u8]) -> &[u8] {
        &text[self.begin as usize..self.begin as usize + usize::from(self.length)]
    }
}

/// The names of a directory, sorted by their bytes; without `.` and `..`.
#[derive(Default)]
pub(in crate::store::files) struct Names {
    /// One after the other, each with its NUL.
    text: Vec<u8>,
    /// Where each is, in the order of the names.
    places: Vec<Place>,
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
            names.places.push(Place {
                begin,
                length,
                kind: FileKind::of(entry.file_type()),
                inode: entry.ino(),
            });
        }
        let text = &names.text;
        (names.places).sort_unstable_by(|one, other| one.of(text).cmp(other.of(text)));
        Ok(names)
    }

    /// The name at this place of the order, and its kind if it is known.
    pub(in crate::store::files) fn get(&self, at: usize) -> Option<(&CStr, Option<FileKind>)> {
        let place = self.places.get(at)?;
        let name = CStr::from_bytes_with_nul(place.of(&self.text)).ok()?;
        Some((name, place.kind))
    }

    /// The inode of the name at this place, as the directory says it; 0: nobody knows.
    pub(in crate::store::files) fn inode(&self, at: usize) -> u64 {
        self.places.get(at).map_or(0, |place| place.inode)
    }

    /// The place of the first name that is not before this one.
    pub(in crate::store::files) fn place_of(&self, name: &CStr) -> usize {
        let name = name.to_bytes_with_nul();
        (self.places).partition_point(|place| place.of(&self.text) < name)
    }

    /// How many there are.
    pub(in crate::store::files) fn len(&self) -> usize {
        self.places.len()
    }

    /// What was known of the name at this place when the directory was read; `None`: it is a directory, or has to be asked for.
    pub(in crate::store::files) fn stat(&self, at: usize) -> Option<Stat> {
        self.stats.get(at).copied().flatten()
    }

    /// Finds out what is known of all that are no directories, in the order of their inodes: as they lie on the disk, and in
    /// memory.
    pub(in crate::store::files) fn look(&mut self, directory: impl AsFd + Sync) {
        let (text, places) = (&self.text, &self.places);
        let is_wanted = |at: &u32| {
            let kind = places[*at as usize].kind;
            matches!(kind, Some(FileKind::Regular | FileKind::Link) | None)
        };
        let count = u32::try_from(places.len()).unwrap_or(u32::MAX);
        let mut wanted: Vec<u32> = (0..count).filter(is_wanted).collect();
        wanted.sort_unstable_by_key(|at| places[*at as usize].inode);
        let look = |wanted: &[u32]| -> Vec<Option<Stat>> {
            // What has gone, or cannot be looked at, is told when its turn comes.
            let find = |at: &u32| {
                let name = CStr::from_bytes_with_nul(places[*at as usize].of(text)).ok()?;
                let found = statx(&directory, name, AtFlags::SYMLINK_NOFOLLOW, ASKED).ok()?;
                Some(Stat::of(&found))
            };
            wanted.iter().map(find).collect()
        };
        let found = if wanted.len() < MANY {
            [look(&wanted), Vec::new()]
        } else {
            let (some, others) = wanted.split_at(wanted.len() / 2);
            std::thread::scope(|scope| {
                let start = std::thread::Builder::new().name("look".to_owned());
                let thread = start.spawn_scoped(scope, || look(others));
                let some = look(some);
                let others = match thread {
                    // Without an answer, each is looked at when its turn comes.
                    Ok(thread) => thread.join().unwrap_or_default(),
                    // No thread can be started.
                    Err(_) => look(others),
                };
                [some, others]
            })
        };
        self.stats = vec![None; self.places.len()];
        for (at, found) in wanted.iter().zip(found.into_iter().flatten()) {
            let at = *at as usize;
            self.places[at].kind = found.map(|found| found.kind).or(self.places[at].kind);
            self.stats[at] = found.filter(|found| found.kind != FileKind::Directory);
        }
    }
}
