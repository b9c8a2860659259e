//! The list of what the last run changed, in the folder beside live while previous is kept: with it, the next run knows at which
//! paths the tree that goes then is not as live is, and need not read both. It only ever saves time.
//!
//! Two lines of text, and paths with a NUL each: `envsyncd-changed 1`; the inodes of previous and of live as `DEVICE:INODE`, and
//! when live was published as `SECONDS:NANOSECONDS` since 1970. At the end is the word `end`.

use std::ffi::CStr;
use std::io::Write as _;
use std::sync::Arc;

use super::folder::{Folder, PREVIOUS};
use super::place::Place;
use crate::error::{Result, io};
use crate::limits::read_all;
use crate::store::files::connection::inside::is_path;
use crate::store::files::connection::remove::remove;
use crate::store::files::connection::stat::Moment;
use crate::store::files::connection::told::At;
use crate::store::files::rows::work::Changed;

/// Its name.
const NAME: &CStr = c"changed";
const HEAD: &[u8] = b"envsyncd-changed 1\n";
const END: &[u8] = b"end";
/// The first two lines are no longer.
const LINES: u64 = 256;

/// The lists of the runs that made the difference between a tree and live; `None`: not all of them are known.
pub(in crate::store::files) type Known = Option<Vec<Arc<Changed>>>;

/// Two trees between which there is a difference: what was live, and what is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Between {
    before: (u64, u64),
    after: (u64, u64),
}

impl Between {
    fn words(&self) -> String {
        let ((device, inode), (other_device, other)) = (self.before, self.after);
        format!("{device}:{inode} {other_device}:{other} ")
    }
}

fn id(folder: &Folder, name: &CStr) -> Option<(u64, u64)> {
    let found = folder.directory.find(name).ok().flatten();
    found.map(|found| found.id)
}

/// What the last run changed: how previous is not as the tree of this name is, which it has published. `None`: nobody knows, or
/// somebody has done something to the directories of that tree since, of which this is the last moment.
pub(in crate::store::files) fn earlier(
    folder: &Folder,
    name: &CStr,
    touched: Moment,
) -> Option<Changed> {
    let between = Between {
        before: id(folder, PREVIOUS)?,
        after: id(folder, name)?,
    };
    let file = folder.directory.read_file(NAME).ok()?;
    let most = Changed::MOST as u64 + LINES;
    let text = read_all(std::fs::File::from(file), most).ok()?;
    let (changed, at) = parse(&text, between)?;
    (touched < at).then_some(changed)
}

/// Writes down what a run has changed, which has published live at this moment, and kept what was live as previous.
pub(in crate::store::files) fn note(
    folder: &Folder,
    place: &Place,
    changed: Option<&Changed>,
    at: Option<Moment>,
) {
    let ids = || Some((id(folder, PREVIOUS)?, place.live().ok()??.1.id));
    let noted = forget(folder).and_then(|()| match (changed, at, ids()) {
        (Some(changed), Some(at), Some((before, after))) => {
            write(folder, Between { before, after }, at, changed)
        }
        _ => Ok(()),
    });
    if let Err(error) = noted {
        tracing::info!(%error, "what has changed is not written down: the next run reads all of a tree that goes");
    }
}

/// Removes the list, where there is no previous that it is of.
pub(in crate::store::files) fn forget(folder: &Folder) -> Result<()> {
    remove(&folder.directory, NAME)
}

fn write(folder: &Folder, between: Between, at: Moment, changed: &Changed) -> Result<()> {
    let file = folder.directory.make_file(NAME, 0o600);
    let file = file.at("cannot make", NAME.to_bytes())?;
    let line = format!("{}{}:{}\n", between.words(), at.0, at.1);
    let text = [HEAD, line.as_bytes(), changed.text(), END].concat();
    let written = std::fs::File::from(file).write_all(&text);
    written.map_err(io("cannot write down what has changed"))
}

fn parse(text: &[u8], between: Between) -> Option<(Changed, Moment)> {
    let rest = text.strip_prefix(HEAD)?;
    let rest = rest.strip_prefix(between.words().as_bytes())?;
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let (seconds, nanoseconds) = std::str::from_utf8(&rest[..end]).ok()?.split_once(':')?;
    let at = (seconds.parse().ok()?, nanoseconds.parse().ok()?);
    let changed = Changed::of(rest[end + 1..].strip_suffix(END)?.to_vec());
    let is_whole = changed.text().last().is_none_or(|last| *last == 0);
    (is_whole && changed.paths().all(is_path)).then_some((changed, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_is_cut_off_or_of_other_trees_or_leads_elsewhere_is_none() {
        let between = Between {
            before: (1, 20),
            after: (1, 30),
        };
        let text =
            |paths: &str| format!("envsyncd-changed 1\n1:20 1:30 7:5\n{paths}end").into_bytes();
        let whole = text("a\0b/c d\0b/\n\0");
        let (changed, at) = parse(&whole, between).unwrap();
        assert_eq!(at, (7, 5));
        assert_eq!(
            changed.paths().collect::<Vec<_>>(),
            [&b"a"[..], b"b/c d", b"b/\n"]
        );
        assert_eq!(parse(&text(""), between).unwrap().0.paths().count(), 0);
        for end in 0..whole.len() {
            assert_eq!(parse(&whole[..end], between), None, "{end}");
        }
        for paths in ["a", "\0", "../x\0", "a/../b\0", "a//b\0", "/a\0", "a\0\0"] {
            assert_eq!(parse(&text(paths), between), None, "{paths:?}");
        }
        let back = Between {
            before: between.after,
            after: between.before,
        };
        assert_eq!(parse(&whole, back), None);
    }
}
