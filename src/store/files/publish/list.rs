//! The list of what a run changes in live, as it lies beside what was replaced: a line of text for each name, in the order of
//! the walk. `docs/files.md` says what stands in it.
//!
//! | line | what the run does |
//! | --- | --- |
//! | `= PATH NEW` | live's file goes, and another takes its name |
//! | `+ PATH NEW` | a file, or a directory with all that is in it, comes where nothing was |
//! | `- PATH` | a file goes, or a directory with all that is in it |
//! | `m PATH NEW` | a directory is made |
//! | `d PATH OLD NEW` | a directory that was there stays |

use crate::error::{Error, Kind, Result};
use crate::store::files::connection::escape::{escape, unescape};
use crate::store::files::connection::inside::is_path;
use crate::store::files::connection::stat::{FileKind, Moment, Stat};
use crate::store::files::connection::told::told;
use crate::store::files::rows::counted::{self, Form};
use crate::store::files::rows::spool::Spooled;

/// The first line: whose it is, and the version.
const HEAD: &[u8] = b"envsyncd-changes 1";
/// No line is longer: a path has four letters at the most for each of its bytes.
const LONGEST: usize = 64 * 1024;
static FORM: Form = Form {
    head: HEAD,
    longest: LONGEST as u64,
    broken,
};

/// What becomes of a name of live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store::files) enum Change {
    /// Another takes its place.
    Replaced(Seen),
    /// It comes where nothing was.
    Added(Seen),
    /// It goes.
    Deleted,
    /// A directory is made, and gets this if it is known.
    Made(Option<Traits>),
    /// A directory that has this is there, and gets that if it is known.
    Kept(Traits, Option<Traits>),
}

/// What a file is known by that a run puts in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store::files) struct Seen {
    inode: u64,
    size: u64,
    modified: Moment,
}

impl Seen {
    /// What is known of a file.
    pub(in crate::store::files) fn of(found: &Stat) -> Self {
        Self {
            inode: found.id.1,
            size: found.size,
            modified: found.modified,
        }
    }

    /// Whether a file may be this one, as far as size and time say so: inodes on another machine are not known.
    pub(in crate::store::files) fn is_like(&self, found: &Stat) -> bool {
        (self.size, self.modified) == (found.size, found.modified)
    }
}

/// What a directory has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store::files) struct Traits {
    /// Permissions.
    pub(in crate::store::files) mode: u32,
    /// Whose it is.
    pub(in crate::store::files) owner: (u32, u32),
    /// When a name in it was changed.
    pub(in crate::store::files) modified: Moment,
}

impl Traits {
    /// What is known of a directory; `None`: that is nothing.
    pub(in crate::store::files) fn of(found: &Stat) -> Option<Self> {
        (!found.is_vague()).then_some(Self {
            mode: found.mode,
            owner: found.owner,
            modified: found.modified,
        })
    }

    /// The same as of a directory that was looked at.
    pub(in crate::store::files) fn stat(&self) -> Stat {
        Stat {
            mode: self.mode,
            owner: self.owner,
            modified: self.modified,
            ..Stat::unknown(FileKind::Directory)
        }
    }
}

/// Writes a list.
#[derive(Default)]
pub(in crate::store::files) struct Lines {
    lines: u64,
}

impl Lines {
    /// How it begins.
    pub(in crate::store::files) fn begin(out: &mut Vec<u8>) {
        out.extend(HEAD);
        out.push(b'\n');
    }

    /// A name; paths come in the order of the walk. One whose line could not be read back is refused.
    pub(in crate::store::files) fn add(
        &mut self,
        path: &[u8],
        change: &Change,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let begin = out.len();
        out.push(match change {
            Change::Replaced(_) => b'=',
            Change::Added(_) => b'+',
            Change::Deleted => b'-',
            Change::Made(_) => b'm',
            Change::Kept(..) => b'd',
        });
        out.extend(b" ./");
        escape(path, out);
        match change {
            Change::Replaced(seen) | Change::Added(seen) => {
                let (seconds, nanoseconds) = seen.modified;
                let Seen { inode, size, .. } = seen;
                out.extend(format!(" {inode}:{size}:{seconds}:{nanoseconds}").as_bytes());
            }
            Change::Deleted => {}
            Change::Made(new) => write_traits(new.as_ref(), out),
            Change::Kept(old, new) => {
                write_traits(Some(old), out);
                write_traits(new.as_ref(), out);
            }
        }
        out.push(b'\n');
        self.lines += 1;
        if out.len() - begin > LONGEST {
            return Err(too_long(path));
        }
        Ok(())
    }

    /// How it ends: what is cut off is no list.
    pub(in crate::store::files) fn end(&self, out: &mut Vec<u8>) {
        out.extend(format!("end {}\n", self.lines).as_bytes());
    }
}

fn write_traits(traits: Option<&Traits>, out: &mut Vec<u8>) {
    let Some(traits) = traits else {
        out.extend(b" -");
        return;
    };
    let Traits {
        mode,
        owner: (user, group),
        modified: (seconds, nanoseconds),
    } = traits;
    out.extend(format!(" {mode:o}:{user}:{group}:{seconds}:{nanoseconds}").as_bytes());
}

/// A whole list.
#[derive(Clone)]
pub(in crate::store::files) struct Changes(Spooled);

impl Changes {
    /// What was written.
    pub(in crate::store::files) fn of(text: Spooled) -> Self {
        Self(text)
    }

    /// Reads it from the beginning.
    pub(in crate::store::files) fn read(&self) -> Result<Reading> {
        counted::Reading::begin(&FORM, self.0.reader(0)).map(Reading)
    }

    /// Reads all of it: what is cut off, or leads out of the tree, is told before anything is done.
    pub(in crate::store::files) fn check(&self) -> Result<()> {
        let mut reading = self.read()?;
        while reading.next()?.is_some() {}
        Ok(())
    }
}

/// A place in a list.
pub(in crate::store::files) struct Reading(counted::Reading);

impl Reading {
    /// The next name, and what becomes of it; `None`: the list is at its end.
    pub(in crate::store::files) fn next(&mut self) -> Result<Option<(Vec<u8>, Change)>> {
        let line = self.0.next()?;
        line.map(|line| read(line).ok_or_else(broken)).transpose()
    }
}

fn read(line: &[u8]) -> Option<(Vec<u8>, Change)> {
    let mut words = line.split(|byte| *byte == b' ');
    let kind = words.next()?;
    let path = unescape(words.next()?.strip_prefix(b"./")?)?;
    let is_root = path.is_empty() && kind == b"d";
    if path.contains(&0) || !(is_root || is_path(&path)) {
        return None;
    }
    let change = match kind {
        b"=" => Change::Replaced(read_seen(words.next()?)?),
        b"+" => Change::Added(read_seen(words.next()?)?),
        b"-" => Change::Deleted,
        b"m" => Change::Made(read_traits(words.next()?)?),
        b"d" => {
            let old = read_traits(words.next()?)??;
            Change::Kept(old, read_traits(words.next()?)?)
        }
        _ => return None,
    };
    words.next().is_none().then_some((path, change))
}

fn numbers<const N: usize>(word: &[u8]) -> Option<[&str; N]> {
    let mut parts = std::str::from_utf8(word).ok()?.split(':');
    let mut found = [""; N];
    for place in &mut found {
        *place = parts.next()?;
    }
    parts.next().is_none().then_some(found)
}

fn read_seen(word: &[u8]) -> Option<Seen> {
    let [inode, size, seconds, nanoseconds] = numbers(word)?;
    Some(Seen {
        inode: inode.parse().ok()?,
        size: size.parse().ok()?,
        modified: moment(seconds, nanoseconds)?,
    })
}

#[expect(
    clippy::option_option,
    reason = "a word that is none, and the word for nothing"
)]
fn read_traits(word: &[u8]) -> Option<Option<Traits>> {
    if word == b"-" {
        return Some(None);
    }
    let [mode, user, group, seconds, nanoseconds] = numbers(word)?;
    let mode = u32::from_str_radix(mode, 8).ok()?;
    Some(Some(Traits {
        mode: Some(mode).filter(|mode| mode & !0o7777 == 0)?,
        owner: (user.parse().ok()?, group.parse().ok()?),
        modified: moment(seconds, nanoseconds)?,
    }))
}

fn moment(seconds: &str, nanoseconds: &str) -> Option<Moment> {
    let nanoseconds = nanoseconds.parse().ok()?;
    (nanoseconds < 1_000_000_000).then_some((seconds.parse().ok()?, nanoseconds))
}

/// A path that is too long to be written down.
fn too_long(path: &[u8]) -> Error {
    let what = format!(
        "the path {} has {} bytes, which is too long for the list of what is changed",
        told(path),
        path.len()
    );
    Error::new(Kind::Verify, what).hint(
        "16,000 bytes always fit: shorten the names of the directories that it is in, or leave them out with `exclude`",
    )
}

fn broken() -> Error {
    let what = "the list of what was changed, beside previous, is damaged";
    Error::new(Kind::Verify, what).hint(
        "what was replaced lies in `previous/old` in the folder of the target: put it back by hand",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::files::rows::spool::Spool;
    use proptest::prelude::*;

    fn spooled(text: &[u8]) -> Changes {
        let mut spool = Spool::new();
        spool.write(text).unwrap();
        Changes::of(spool.finish().unwrap())
    }

    fn all(text: &[u8]) -> Result<Vec<(Vec<u8>, Change)>> {
        let mut reading = spooled(text).read()?;
        let mut found = Vec::new();
        while let Some(one) = reading.next()? {
            found.push(one);
        }
        Ok(found)
    }

    fn sample(paths: &[Vec<u8>]) -> Vec<(Vec<u8>, Change)> {
        let seen = Seen {
            inode: u64::MAX,
            size: 5,
            modified: (-7, 999_999_999),
        };
        let traits = Traits {
            mode: 0o2751,
            owner: (0, u32::MAX),
            modified: (i64::MIN, 0),
        };
        let kinds = [
            Change::Replaced(seen),
            Change::Added(seen),
            Change::Deleted,
            Change::Made(None),
            Change::Made(Some(traits)),
            Change::Kept(traits, None),
            Change::Kept(traits, Some(traits)),
        ];
        let root = (Vec::new(), Change::Kept(traits, None));
        let rest = paths.iter().cloned().zip(kinds.iter().copied().cycle());
        [root].into_iter().chain(rest).collect()
    }

    fn text(changes: &[(Vec<u8>, Change)]) -> Vec<u8> {
        let (mut lines, mut out) = (Lines::default(), Vec::new());
        Lines::begin(&mut out);
        for (path, change) in changes {
            lines.add(path, change, &mut out).unwrap();
        }
        lines.end(&mut out);
        out
    }

    proptest! {
        #[test]
        fn a_list_is_read_as_it_was_written_and_never_by_half(
            paths in prop::collection::vec("[a-b \n\\\\]{1,3}(/[^/\0]{3,9}){0,2}", 0..9), cut: prop::sample::Index
        ) {
            let paths: Vec<Vec<u8>> = paths.into_iter().map(String::into_bytes).collect();
            let changes = sample(&paths);
            let text = text(&changes);
            prop_assert_eq!(all(&text).unwrap(), changes);
            prop_assert!(all(&text[..cut.index(text.len())]).is_err());
        }
    }

    #[test]
    fn a_path_is_refused_only_if_its_line_could_not_be_read_back() {
        // `- ./`, and the end of the line.
        let most = LONGEST - 5;
        for (path, fits) in [
            (vec![b'x'; most], true),
            (vec![b'x'; most + 1], false),
            (vec![b' '; 16_000], true),
            (vec![b' '; most / 4 + 1], false),
        ] {
            if fits {
                let mut changes = sample(std::slice::from_ref(&path));
                changes[1].1 = Change::Deleted;
                assert_eq!(all(&text(&changes)).unwrap(), changes);
            }
            let added = Lines::default().add(&path, &Change::Deleted, &mut Vec::new());
            assert_eq!(added.is_ok(), fits, "{}", path.len());
        }
    }

    #[test]
    fn what_leads_out_of_the_tree_is_refused() {
        for line in [
            "- ./../x",
            "- ./a/../b",
            "- ./",
            "- .//x",
            "- /x",
            "- ./a\\000b",
            "- ./x y",
            "d ./x - -",
            "m ./x 99999:0:0:0:0",
            "= ./x 1:2:3",
            "x ./x",
        ] {
            let text = format!("envsyncd-changes 1\n{line}\nend 1\n");
            assert!(all(text.as_bytes()).is_err(), "{line}");
        }
        assert!(all(b"envsyncd-changes 2\nend 0\n").is_err());
        assert_eq!(all(b"envsyncd-changes 1\nend 0\n").unwrap(), []);
    }
}
