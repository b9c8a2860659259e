//! Names of files in errors and logs: a name need not be text.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use rustix::io::Errno;

use crate::error::{Error, Kind, Result, io};

/// No more of a path is told.
const LONGEST: usize = 300;

/// A path as people read it: without line feeds and the like, and not longer than a line.
pub(in crate::store::files) fn told(path: &[u8]) -> String {
    if path.is_empty() {
        return ".".to_owned();
    }
    let whole = format!(
        "{}",
        OsStr::from_bytes(path).display().to_string().escape_debug()
    );
    let whole = whole.replace("\\'", "'").replace("\\\"", "\"");
    match whole.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &whole[..end]),
        None => whole,
    }
}

/// What could not be done with a file, and why.
pub(in crate::store::files) fn failed(what: &str, path: &[u8], error: Errno) -> Error {
    let what = format!("{what} {}", told(path));
    match error {
        Errno::MFILE | Errno::NFILE => Error::new(Kind::Io, what)
            .because(std::io::Error::from(error))
            .hint(
                "the tree is too deep for the number of files that may be open: raise LimitNOFILE",
            ),
        Errno::FBIG => Error::new(Kind::Full, what)
            .because(std::io::Error::from(error))
            .hint("the file system has no larger files (FAT: 4 GiB), or we may write none: raise LimitFSIZE"),
        Errno::ACCESS | Errno::PERM => {
            Error::new(Kind::Permission, what).because(std::io::Error::from(error))
        }
        _ => io(what)(error.into()),
    }
}

/// The same of a result.
pub(in crate::store::files) trait At<T> {
    /// Says with which file it failed.
    fn at(self, what: &str, path: &[u8]) -> Result<T>;
}

impl<T> At<T> for rustix::io::Result<T> {
    fn at(self, what: &str, path: &[u8]) -> Result<T> {
        self.map_err(|error| failed(what, path, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_no_text_is_told_in_one_line() {
        assert_eq!(told(b""), ".");
        assert_eq!(told(b"a/it's b"), "a/it's b");
        assert_eq!(told(b"a\nb"), "a\\nb");
        assert!(told(b"\xff").chars().all(|c| !c.is_control()));
        assert!(told(&[b'x'; 5000]).len() < 400);
    }
}
