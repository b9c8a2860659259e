//! The names of a directory in their order, in little memory: a directory may have a million.

use std::ffi::CStr;
use std::os::fd::AsFd;

use rustix::fs::RawDir;
use rustix::io::Errno;

use super::stat::FileKind;

/// Bytes that are read of a directory at a time.
const PIECE: usize = 32 * 1024;

/// The names of a directory, sorted by their bytes; without `.` and `..`.
#[derive(Default)]
pub(in crate::store::files) struct Names {
    /// One after the other, each with its NUL.
    text: Vec<u8>,
    /// Where each begins, how long it is with its NUL, and its kind if the system said it.
    places: Vec<(u32, u16, Option<FileKind>)>,
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
}

fn bytes(text: &[u8], begin: u32, length: u16) -> &[u8] {
    &text[begin as usize..begin as usize + usize::from(length)]
}
