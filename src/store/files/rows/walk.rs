//! Two trees walked side by side, each directory in the order of its names: in memory are the names of the directories from the
//! root down to where the walk is, and no more.

use std::cmp::Ordering;
use std::ffi::CStr;
use std::sync::Arc;

use rustix::io::Errno;
use tokio_util::sync::CancellationToken;

use crate::error::Result;
use crate::store::files::connection::blocking::stopped;
use crate::store::files::connection::directory::Directory;
use crate::store::files::connection::names::Names;
use crate::store::files::connection::stat::{FileKind, Stat};
use crate::store::files::connection::told::At;

/// The source's side.
pub(in crate::store::files) const SOURCE: usize = 0;
/// The target's side: live, or what is built.
pub(in crate::store::files) const TARGET: usize = 1;

/// A name on one side.
pub(in crate::store::files) struct Side<'a> {
    /// The directory that it is in.
    pub(in crate::store::files) directory: &'a Arc<Directory>,
    /// Its kind.
    pub(in crate::store::files) kind: FileKind,
}

/// A name, and what has it on either side.
pub(in crate::store::files) struct Pair<'a> {
    /// The name.
    pub(in crate::store::files) name: &'a CStr,
    /// Its path in the trees.
    pub(in crate::store::files) path: &'a [u8],
    /// The source's and the target's.
    pub(in crate::store::files) sides: [Option<Side<'a>>; 2],
}

impl Pair<'_> {
    /// The kind on a side; `None`: there is nothing.
    pub(in crate::store::files) fn kind(&self, side: usize) -> Option<FileKind> {
        self.sides[side].as_ref().map(|side| side.kind)
    }

    /// What is known of it on a side; `None`: it is gone.
    pub(in crate::store::files) fn stat(&self, side: usize) -> Result<Option<Stat>> {
        match &self.sides[side] {
            Some(there) => there
                .directory
                .find(self.name)
                .at("cannot look at", self.path),
            None => Ok(None),
        }
    }
}

/// Where the walk goes on.
pub(in crate::store::files) struct Descent<L> {
    /// What the visitor keeps of the directory.
    pub(in crate::store::files) level: L,
    /// On which sides it is read.
    pub(in crate::store::files) sides: [bool; 2],
}

/// Is shown two trees, name by name.
pub(in crate::store::files) trait Visitor {
    /// What is kept of a directory while the walk is in it.
    type Level;
    /// A name; a directory is walked if the visitor says so.
    fn entry(
        &mut self,
        level: &mut Self::Level,
        pair: &Pair<'_>,
    ) -> Result<Option<Descent<Self::Level>>>;
    /// A directory was opened on a side.
    fn opened(
        &mut self,
        _level: &mut Self::Level,
        _side: usize,
        _directory: &Arc<Directory>,
        _path: &[u8],
    ) -> Result<()> {
        Ok(())
    }
    /// A directory of the source was there, and then no more.
    fn vanished(&mut self, _path: &[u8]) {}
    /// All that is in a directory was shown.
    fn leave(&mut self, _level: Self::Level, _path: &[u8]) -> Result<()> {
        Ok(())
    }
}

/// A directory on one side, up to where it has been shown.
struct Reading {
    directory: Arc<Directory>,
    names: Names,
    at: usize,
}

impl Reading {
    /// `None`: it was removed after it was opened.
    fn of(directory: Arc<Directory>, path: &[u8]) -> Result<Option<Self>> {
        let names = match directory.names() {
            Err(Errno::NOENT) => return Ok(None),
            names => names.at("cannot read directory", path)?,
        };
        Ok(Some(Self {
            names,
            directory,
            at: 0,
        }))
    }

    fn name(&self) -> Option<(&CStr, Option<FileKind>)> {
        self.names.get(self.at)
    }
}

/// A directory that the walk is in.
struct Frame<L> {
    sides: [Option<Reading>; 2],
    level: L,
    /// The length of its path.
    end: usize,
}

impl<L> Frame<L> {
    /// On which sides the next name is; neither: there is none.
    fn next(&self) -> [bool; 2] {
        let name = |side: usize| {
            let reading = self.sides[side].as_ref()?;
            reading.name().map(|(name, _)| name)
        };
        match (name(SOURCE), name(TARGET)) {
            (None, None) => [false, false],
            (Some(_), None) => [true, false],
            (None, Some(_)) => [false, true],
            (Some(source), Some(target)) => match source.cmp(target) {
                Ordering::Less => [true, false],
                Ordering::Greater => [false, true],
                Ordering::Equal => [true, true],
            },
        }
    }

    fn advance(&mut self, on: [bool; 2]) {
        for (side, is_on) in self.sides.iter_mut().zip(on) {
            if let Some(reading) = side.as_mut().filter(|_| is_on) {
                reading.at += 1;
            }
        }
    }
}

/// Walks both trees.
pub(in crate::store::files) fn walk<V: Visitor>(
    roots: [Option<Arc<Directory>>; 2],
    level: V::Level,
    visitor: &mut V,
    stop: &CancellationToken,
) -> Result<()> {
    let mut path = Vec::new();
    let mut frames = vec![enter(visitor, level, roots, &path)?];
    while let Some(frame) = frames.last_mut() {
        stopped(stop)?;
        let on = frame.next();
        path.truncate(frame.end);
        if on == [false, false] {
            if let Some(frame) = frames.pop() {
                visitor.leave(frame.level, &path)?;
            }
            continue;
        }
        let inner = show(frame, on, &mut path, visitor)?;
        frame.advance(on);
        if let Some((level, directories)) = inner {
            frames.push(enter(visitor, level, directories, &path)?);
        }
    }
    Ok(())
}

type Inner<L> = (L, [Option<Arc<Directory>>; 2]);

/// Shows the next name, and opens what is below it.
fn show<V: Visitor>(
    frame: &mut Frame<V::Level>,
    on: [bool; 2],
    path: &mut Vec<u8>,
    visitor: &mut V,
) -> Result<Option<Inner<V::Level>>> {
    let first = if on[SOURCE] { SOURCE } else { TARGET };
    let named = frame.sides[first].as_ref().and_then(Reading::name);
    let Some((name, _)) = named else {
        return Ok(None);
    };
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name.to_bytes());
    let mut sides = [None, None];
    for side in [SOURCE, TARGET].into_iter().filter(|side| on[*side]) {
        let Some(reading) = &frame.sides[side] else {
            continue;
        };
        let known = reading.name().and_then(|(_, kind)| kind);
        let kind = match known {
            Some(kind) => Some(kind),
            // A file system that does not say it in its directories.
            None => (reading.directory.find(name))
                .at("cannot look at", path)?
                .map(|found| found.kind),
        };
        let directory = &reading.directory;
        sides[side] = kind.map(|kind| Side { directory, kind });
    }
    let pair = Pair { name, path, sides };
    let Some(descent) = visitor.entry(&mut frame.level, &pair)? else {
        return Ok(None);
    };
    let mut directories = [None, None];
    for side in [SOURCE, TARGET] {
        let wanted = pair.sides[side].as_ref().filter(|_| descent.sides[side]);
        let Some(there) = wanted else { continue };
        match there.directory.open(name) {
            Ok(directory) => directories[side] = Some(Arc::new(directory)),
            // It is no directory any more.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) if side == SOURCE => {
                visitor.vanished(path);
            }
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
            Err(error) => return Err(error).at("cannot open directory", path),
        }
    }
    Ok(Some((descent.level, directories)))
}

fn enter<V: Visitor>(
    visitor: &mut V,
    mut level: V::Level,
    directories: [Option<Arc<Directory>>; 2],
    path: &[u8],
) -> Result<Frame<V::Level>> {
    let mut sides = [None, None];
    for (side, directory) in directories.into_iter().enumerate() {
        if let Some(directory) = directory {
            visitor.opened(&mut level, side, &directory, path)?;
            sides[side] = Reading::of(directory, path)?;
            if side == SOURCE && sides[side].is_none() {
                visitor.vanished(path);
            }
        }
    }
    Ok(Frame {
        sides,
        level,
        end: path.len(),
    })
}

/// The order in which paths are walked: a directory's own files and directories by name, and what is in it right behind it.
pub(in crate::store::files) fn order(one: &[u8], other: &[u8]) -> Ordering {
    fn names(path: &[u8]) -> impl Iterator<Item = &[u8]> {
        path.split(|byte| *byte == b'/')
    }
    names(one).cmp(names(other))
}

#[cfg(test)]
mod tests {
    use super::*;
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

    fn opened(path: &Path) -> Arc<Directory> {
        Arc::new(Directory::at(path).unwrap())
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
    fn the_order_of_paths_is_that_of_the_walk() {
        assert_eq!(order(b"a/z", b"a b"), Ordering::Less);
        assert_eq!(order(b"a", b"a/b"), Ordering::Less);
        assert_eq!(order(b"b", b"a/b"), Ordering::Greater);
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
