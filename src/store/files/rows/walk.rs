//! Two trees walked side by side, each directory in the order of its names: in memory are the names of the directories from the
//! root down to where the walk is, of a few that come next, and no more.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::ffi::CString;
use std::sync::Arc;

use rustix::io::Errno;
use tokio_util::sync::CancellationToken;

use super::ahead::{Ahead, Coming, Contents};
use super::listing::{Cursor, Listing};
use super::pair::{Pair, SOURCE, Side, TARGET, Visitor};
use crate::error::{Error, Kind, Result};
use crate::store::files::connection::blocking::stopped;
use crate::store::files::connection::directory::Directory;
use crate::store::files::connection::stat::FileKind;
use crate::store::files::connection::told::{At, told};

/// It is looked whether to stop before the first of so many names.
const BETWEEN: u32 = 64;

/// A tree that is walked.
#[derive(Clone)]
pub(in crate::store::files) enum Root {
    /// The tree itself.
    Directory(Arc<Directory>),
    /// The same; what is known of its files is asked for one by one, as few of them are looked at.
    Names(Arc<Directory>),
    /// What was seen of it, or of a tree elsewhere.
    Listing(Listing),
}

/// A directory on one side, up to where it has been shown.
enum Reading {
    Directory(Box<Names>),
    /// What the side's cursor is at.
    Listed,
}

/// A directory's names, and those of them that are read ahead.
struct Names {
    contents: Contents,
    at: usize,
    /// Those before this one have been read ahead if they are directories.
    asked: usize,
    ahead: VecDeque<(usize, Coming)>,
}

/// A directory, or why it could not be read.
type Read = std::result::Result<Contents, Errno>;

impl Names {
    fn name(&self) -> Option<&[u8]> {
        let (name, _) = self.contents.names.get(self.at)?;
        Some(name.to_bytes())
    }

    /// Has directories read that come soon.
    fn ask(&mut self, ahead: &mut Ahead<'_, '_>, passes_by: impl Fn(&[u8]) -> bool) {
        let names = &self.contents.names;
        self.asked = self.asked.max(self.at);
        while self.ahead.len() < ahead.depth() && self.asked < names.len() {
            if let Some((name, Some(FileKind::Directory))) = names.get(self.asked)
                && !passes_by(name.to_bytes())
            {
                let Contents {
                    directory, looks, ..
                } = &self.contents;
                let before = self.ahead.len();
                let coming = ahead.ask(directory, name.to_owned(), *looks, before);
                self.ahead.push_back((self.asked, coming));
            }
            self.asked += 1;
        }
    }

    /// Opens and reads the directory that it is at.
    fn open(&mut self, name: &CString) -> Read {
        while let Some((at, coming)) = self.ahead.pop_front() {
            if at < self.at {
                continue;
            }
            if at > self.at {
                self.ahead.push_front((at, coming));
                break;
            }
            if let Some(read) = coming.take() {
                return read;
            }
            break;
        }
        Contents::open(&self.contents.directory, name, self.contents.looks)
    }
}

/// A directory that the walk is in.
struct Frame<L> {
    sides: [Option<Reading>; 2],
    level: L,
    /// The length of its path.
    end: usize,
}

/// A walk of two trees.
struct Walk<'a, 'scope, 'env> {
    cursors: [Option<Cursor>; 2],
    path: Vec<u8>,
    ahead: Ahead<'scope, 'env>,
    stop: &'a CancellationToken,
}

/// Walks both trees.
pub(in crate::store::files) fn walk<V: Visitor>(
    roots: [Option<Root>; 2],
    level: V::Level,
    visitor: &mut V,
    stop: &CancellationToken,
) -> Result<()> {
    std::thread::scope(|scope| {
        let mut walk = Walk {
            cursors: [None, None],
            path: Vec::new(),
            ahead: Ahead::new(scope),
            stop,
        };
        walk.run(roots, level, visitor)
    })
}

impl Walk<'_, '_, '_> {
    fn run<V: Visitor>(
        &mut self,
        roots: [Option<Root>; 2],
        mut level: V::Level,
        visitor: &mut V,
    ) -> Result<()> {
        let mut sides = [None, None];
        for (side, root) in roots.into_iter().enumerate() {
            let looks = matches!(root, Some(Root::Directory(_)));
            sides[side] = match root {
                Some(Root::Directory(directory) | Root::Names(directory)) => {
                    let contents = Contents::of(directory, looks);
                    let contents = contents.at("cannot read directory", b"")?;
                    visitor.opened(&mut level, side, &contents.own, b"")?;
                    Some(reading(contents))
                }
                Some(Root::Listing(listing)) => {
                    let mut cursor = listing.cursor()?;
                    let (root, _) = cursor.entry().ok_or_else(|| broken(b""))?;
                    if !root.path.is_empty() {
                        return Err(broken(&root.path));
                    }
                    visitor.opened(&mut level, side, &root.stat, b"")?;
                    cursor.advance()?;
                    self.cursors[side] = Some(cursor);
                    Some(Reading::Listed)
                }
                None => None,
            };
        }
        let mut frames = vec![Frame {
            sides,
            level,
            end: 0,
        }];
        let mut names = 0_u32;
        while let Some(frame) = frames.last_mut() {
            if names.is_multiple_of(BETWEEN) {
                stopped(self.stop)?;
            }
            names = names.wrapping_add(1);
            self.path.truncate(frame.end);
            let Some((name, on)) = self.next(frame)? else {
                if let Some(frame) = frames.pop() {
                    visitor.leave(frame.level, &self.path)?;
                }
                continue;
            };
            if let Some(inner) = self.show(frame, &name, on, visitor)? {
                frames.push(inner);
            }
        }
        Ok(())
    }

    /// The next name of a directory, and on which sides it is.
    fn next<L>(&self, frame: &Frame<L>) -> Result<Option<(CString, [bool; 2])>> {
        let names = [self.name(frame, SOURCE)?, self.name(frame, TARGET)?];
        let on = match names {
            [None, None] => return Ok(None),
            [Some(_), None] => [true, false],
            [None, Some(_)] => [false, true],
            [Some(source), Some(target)] => match source.cmp(target) {
                Ordering::Less => [true, false],
                Ordering::Greater => [false, true],
                Ordering::Equal => [true, true],
            },
        };
        let first = if on[SOURCE] { SOURCE } else { TARGET };
        let name = names[first].unwrap_or_default();
        let name = CString::new(name).map_err(|_| broken(name))?;
        Ok(Some((name, on)))
    }

    fn name<'s, L>(&'s self, frame: &'s Frame<L>, side: usize) -> Result<Option<&'s [u8]>> {
        let cursor = match &frame.sides[side] {
            None => return Ok(None),
            Some(Reading::Directory(names)) => return Ok(names.name()),
            Some(Reading::Listed) => &self.cursors[side],
        };
        let Some((entry, _)) = cursor.as_ref().and_then(Cursor::entry) else {
            return Ok(None);
        };
        let above = &self.path[..frame.end];
        let Some(rest) = entry.path.strip_prefix(above) else {
            return Ok(None);
        };
        let (([], name) | (_, [b'/', name @ ..])) = (above, rest) else {
            return Ok(None);
        };
        if name.is_empty() || name.contains(&b'/') {
            return Err(broken(&entry.path));
        }
        Ok(Some(name))
    }

    /// Shows a name, and goes on to the one after it; returns the directory that it is, if that is walked.
    fn show<V: Visitor>(
        &mut self,
        frame: &mut Frame<V::Level>,
        name: &CString,
        on: [bool; 2],
        visitor: &mut V,
    ) -> Result<Option<Frame<V::Level>>> {
        self.ask(frame, visitor);
        if !self.path.is_empty() {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name.to_bytes());
        let pair = Pair {
            name,
            path: &self.path,
            sides: [
                self.side(&frame.sides, SOURCE, on, name)?,
                self.side(&frame.sides, TARGET, on, name)?,
            ],
        };
        let listed =
            [SOURCE, TARGET].map(|side| pair.sides[side].as_ref()?.entry.map(|it| it.stat));
        let descent = visitor.entry(&mut frame.level, &pair)?;
        let goes_on = descent.as_ref().map_or([false; 2], |descent| descent.sides);
        let mut level = descent.map(|descent| descent.level);
        let mut sides = [None, None];
        for side in [SOURCE, TARGET].into_iter().filter(|side| on[*side]) {
            let enters = goes_on[side];
            match &mut frame.sides[side] {
                None => {}
                Some(Reading::Listed) => {
                    self.pass(side, enters)?;
                    if let (true, Some(found), Some(level)) = (enters, listed[side], &mut level) {
                        visitor.opened(level, side, &found, &self.path)?;
                        sides[side] = Some(Reading::Listed);
                    }
                }
                Some(Reading::Directory(names)) => {
                    let opened = enters.then(|| names.open(name));
                    names.at += 1;
                    match (opened, &mut level) {
                        (Some(Ok(contents)), Some(level)) => {
                            self.ahead.read(contents.names.len());
                            visitor.opened(level, side, &contents.own, &self.path)?;
                            sides[side] = Some(reading(contents));
                        }
                        // It is no directory any more.
                        (Some(Err(error)), _) if is_gone(error) && side == SOURCE => {
                            visitor.vanished(&self.path);
                        }
                        (Some(Err(error)), _) if is_gone(error) => {}
                        (Some(Err(error)), _) => {
                            return Err(error).at("cannot read directory", &self.path);
                        }
                        _ => {}
                    }
                }
            }
        }
        let end = self.path.len();
        Ok(level.map(|level| Frame { sides, level, end }))
    }

    /// Has directories read that come soon.
    fn ask<V: Visitor>(&mut self, frame: &mut Frame<V::Level>, visitor: &V) {
        for side in [SOURCE, TARGET] {
            if let Some(Reading::Directory(names)) = &mut frame.sides[side] {
                let above = &self.path;
                names.ask(&mut self.ahead, |name| {
                    side == SOURCE && visitor.passes_by(&joined(above, name))
                });
            }
        }
    }

    fn side<'s>(
        &'s self,
        sides: &'s [Option<Reading>; 2],
        side: usize,
        on: [bool; 2],
        name: &CString,
    ) -> Result<Option<Side<'s>>> {
        if !on[side] {
            return Ok(None);
        }
        let names = match &sides[side] {
            None => return Ok(None),
            Some(Reading::Directory(names)) => names,
            Some(Reading::Listed) => {
                let entry = self.cursors[side].as_ref().and_then(Cursor::entry);
                return Ok(entry.map(|(entry, _)| Side {
                    kind: entry.stat.kind,
                    directory: None,
                    inode: 0,
                    stat: Some(entry.stat),
                    entry: Some(entry),
                }));
            }
        };
        let directory = &names.contents.directory;
        let known = names
            .contents
            .names
            .get(names.at)
            .and_then(|(_, kind)| kind);
        let kind = match known {
            Some(kind) => Some(kind),
            // A file system that does not say it in its directories.
            None => (directory.find(name))
                .at("cannot look at", &self.path)?
                .map(|found| found.kind),
        };
        Ok(kind.map(|kind| Side {
            kind,
            directory: Some(directory),
            inode: names.contents.names.inode(names.at),
            stat: names.contents.names.stat(names.at),
            entry: None,
        }))
    }

    /// Goes on behind the entry that a cursor is at, and behind all that is in it unless that is walked.
    fn pass(&mut self, side: usize, enters: bool) -> Result<()> {
        let Some(cursor) = &mut self.cursors[side] else {
            return Ok(());
        };
        cursor.advance()?;
        while let Some((entry, _)) = cursor.entry().filter(|_| !enters) {
            let inside = entry.path.strip_prefix(&*self.path);
            if !inside.is_some_and(|inside| inside.starts_with(b"/")) {
                break;
            }
            cursor.advance()?;
        }
        Ok(())
    }
}

fn reading(contents: Contents) -> Reading {
    Reading::Directory(Box::new(Names {
        contents,
        at: 0,
        asked: 0,
        ahead: VecDeque::new(),
    }))
}

/// Whether what was a directory is none any more.
fn is_gone(error: Errno) -> bool {
    matches!(error, Errno::NOENT | Errno::NOTDIR | Errno::LOOP)
}

/// The path of a name in a directory.
fn joined(above: &[u8], name: &[u8]) -> Vec<u8> {
    let slash: &[u8] = if above.is_empty() { b"" } else { b"/" };
    [above, slash, name].concat()
}

/// A listing names every directory before what is in it.
fn broken(path: &[u8]) -> Error {
    let what = format!("the list of a tree's files is broken at {}", told(path));
    Error::new(Kind::Internal, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::files::rows::pair::Descent;
    use std::path::Path;

    /// Shows what it sees, as lines.
    struct Lines(Vec<String>);

    impl Visitor for Lines {
        type Level = ();
        fn entry(&mut self, (): &mut (), pair: &Pair<'_>) -> Result<Option<Descent<()>>> {
            let path = String::from_utf8_lossy(pair.path).into_owned();
            let mark = |side| if pair.kind(side).is_some() { "x" } else { "-" };
            self.0
                .push(format!("{}{} {path}", mark(SOURCE), mark(TARGET)));
            let sides = [SOURCE, TARGET].map(|side| pair.kind(side) == Some(FileKind::Directory));
            Ok((sides != [false, false]).then_some(Descent { level: (), sides }))
        }
        fn leave(&mut self, (): (), path: &[u8]) -> Result<()> {
            self.0
                .push(format!("end {}", String::from_utf8_lossy(path)));
            Ok(())
        }
    }

    fn tree(directories: &[&str], files: &[&str]) -> tempfile::TempDir {
        let place = tempfile::tempdir().unwrap();
        for name in directories {
            std::fs::create_dir_all(place.path().join(name)).unwrap();
        }
        for name in files {
            std::fs::write(place.path().join(name), "").unwrap();
        }
        place
    }

    fn opened(path: &Path) -> Root {
        Root::Directory(Arc::new(Directory::at(path).unwrap()))
    }

    #[test]
    fn two_trees_are_shown_side_by_side_in_the_order_of_their_names() {
        let one = tree(&["a", "b"], &["a/1", "a/3", "c"]);
        let other = tree(&["a", "c"], &["a/2", "a/3", "c/x"]);
        let mut lines = Lines(Vec::new());
        let stop = CancellationToken::new();
        walk(
            [Some(opened(one.path())), Some(opened(other.path()))],
            (),
            &mut lines,
            &stop,
        )
        .unwrap();
        let expected = [
            "xx a", "x- a/1", "-x a/2", "xx a/3", "end a", "x- b", "end b", "xx c", "-x c/x",
            "end c", "end ",
        ];
        assert_eq!(lines.0, expected);
    }

    #[test]
    fn a_directory_that_is_removed_after_it_was_opened_is_empty() {
        let one = tree(&["a"], &["a/file"]);
        let gone = opened(&one.path().join("a"));
        std::fs::remove_dir_all(one.path().join("a")).unwrap();
        let mut lines = Lines(Vec::new());
        let stop = CancellationToken::new();
        walk([Some(gone), None], (), &mut lines, &stop).unwrap();
        assert_eq!(lines.0, ["end "]);
    }

    #[test]
    fn a_walk_that_is_stopped_ends() {
        let one = tree(&[], &["a"]);
        let stop = CancellationToken::new();
        stop.cancel();
        let walked = walk(
            [Some(opened(one.path())), None],
            (),
            &mut Lines(Vec::new()),
            &stop,
        );
        assert!(walked.is_err());
    }
}
