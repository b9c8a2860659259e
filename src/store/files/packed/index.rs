//! The list of all that is in a snapshot of a tree, in the order of the walk: a line a name, so that people can read it.
//!
//! ```text
//! envsyncd files 1
//! d 0755 0 0 1700000000.000000000 0 0 .
//! f 0644 33 33 1700000000.123456789 1300 4096 a/b\040c
//! l 0777 33 33 1700000000.123456789 2 0 a/link ..
//! end 3
//! ```
//!
//! Kind, permissions, owner, group, time, size, bytes on the disk, path, and where a link leads. Pure.

use std::cmp::Ordering;

use super::parse::check_path;
use super::pax::moment;
use crate::error::{Error, Kind, Result};
use crate::store::files::connection::escape::{escape, unescape};
use crate::store::files::connection::stat::{FileKind, Stat};
use crate::store::files::rows::listing::{Listing, Writer, order};

const HEAD: &[u8] = b"envsyncd files 1\n";
/// No line is longer: a path and a link of the longest, escaped.
const LONGEST: usize = 600 * 1024;

/// Appends what a list begins with.
pub(in crate::store::files) fn begin(out: &mut Vec<u8>) {
    out.extend(HEAD);
}

/// Appends a line; nothing for what no list has.
pub(in crate::store::files) fn line(
    path: &[u8],
    stat: &Stat,
    link: Option<&[u8]>,
    out: &mut Vec<u8>,
) {
    let (kind, size, stored) = match stat.kind {
        FileKind::Directory => ('d', 0, 0),
        FileKind::Regular => ('f', stat.size, stat.stored),
        FileKind::Link => ('l', stat.size, 0),
        FileKind::Special => return,
    };
    let ((user, group), mode) = (stat.owner, stat.mode);
    let moment = super::header::moment(stat.modified.0, stat.modified.1);
    let facts = format!("{kind} {mode:04o} {user} {group} {moment} {size} {stored} ");
    out.extend(facts.as_bytes());
    escape(if path.is_empty() { b"." } else { path }, out);
    if stat.kind == FileKind::Link {
        out.push(b' ');
        escape(link.unwrap_or_default(), out);
    }
    out.push(b'\n');
}

/// Appends what a list of so many lines ends with.
pub(in crate::store::files) fn end(lines: u64, out: &mut Vec<u8>) {
    out.extend(format!("end {lines}\n").as_bytes());
}

/// Reads a list that comes cut anywhere, and refuses what no tree is.
pub(in crate::store::files) struct Reader {
    list: Writer,
    waiting: Vec<u8>,
    lines: u64,
    /// The directories that the last line is in, and itself if it is one.
    above: Vec<Vec<u8>>,
    last: Vec<u8>,
    has_begun: bool,
    has_ended: bool,
}

impl Reader {
    /// At a list's beginning.
    pub(in crate::store::files) fn new() -> Self {
        Self {
            list: Writer::new(),
            waiting: Vec::new(),
            lines: 0,
            above: Vec::new(),
            last: Vec::new(),
            has_begun: false,
            has_ended: false,
        }
    }

    /// Takes in bytes.
    pub(in crate::store::files) fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.waiting.len() + piece.len() > LONGEST {
                return Err(broken("a line is too long"));
            }
            self.waiting.extend(piece);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.waiting);
                self.line(&line)?;
            }
        }
        Ok(())
    }

    /// The whole list.
    pub(in crate::store::files) fn finish(self) -> Result<Listing> {
        if !self.has_ended || !self.waiting.is_empty() || self.lines == 0 {
            return Err(broken("it ends before its end"));
        }
        self.list.finish()
    }

    fn line(&mut self, line: &[u8]) -> Result<()> {
        if !self.has_begun {
            self.has_begun = true;
            return match line {
                HEAD => Ok(()),
                _ => Err(broken("it is in a format that is not known")),
            };
        }
        if self.has_ended {
            return Err(broken("something follows its end"));
        }
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        if let Some(lines) = line.strip_prefix(b"end ") {
            self.has_ended = true;
            return match number::<u64>(Some(lines)) {
                Some(lines) if lines == self.lines => Ok(()),
                _ => Err(broken("lines are missing")),
            };
        }
        let (path, stat, link) = read(line).ok_or_else(|| broken("a line makes no sense"))?;
        self.check(&path, stat.kind)?;
        self.list.push(&path, &stat, link.as_deref(), 0)?;
        self.last = path;
        self.lines += 1;
        Ok(())
    }

    /// Each path is in its order, and in a directory that came before it.
    fn check(&mut self, path: &[u8], kind: FileKind) -> Result<()> {
        let is_directory = kind == FileKind::Directory;
        if self.lines == 0 {
            if !path.is_empty() || !is_directory {
                return Err(broken("it does not begin with the tree itself"));
            }
            self.above.push(Vec::new());
            return Ok(());
        }
        check_path(path)?;
        if order(&self.last, path) != Ordering::Less {
            return Err(broken("its paths are not in their order"));
        }
        let end = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        while self.above.last().is_some_and(|last| **last != path[..end]) {
            self.above.pop();
        }
        if self.above.is_empty() {
            return Err(broken("a path is in no directory"));
        }
        if is_directory {
            self.above.push(path.to_vec());
        }
        Ok(())
    }
}

type Line = (Vec<u8>, Stat, Option<Vec<u8>>);

fn read(line: &[u8]) -> Option<Line> {
    let mut words = line.split(|byte| *byte == b' ');
    let kind = match words.next()? {
        b"d" => FileKind::Directory,
        b"f" => FileKind::Regular,
        b"l" => FileKind::Link,
        _ => return None,
    };
    let mode = std::str::from_utf8(words.next()?).ok()?;
    let mode = u32::from_str_radix(mode, 8).ok();
    let stat = Stat {
        mode: mode.filter(|mode| *mode <= 0o7777)?,
        owner: (number(words.next())?, number(words.next())?),
        modified: moment(words.next()?)?,
        size: number(words.next())?,
        stored: number(words.next())?,
        ..Stat::unknown(kind)
    };
    let mut path = unescape(words.next()?)?;
    if path == b"." && kind == FileKind::Directory {
        path.clear();
    }
    let link = words.next().map(unescape);
    let is_right = match &link {
        Some(link) => {
            kind == FileKind::Link && link.as_ref().is_some_and(|link| !link.contains(&0))
        }
        None => kind != FileKind::Link,
    };
    let fits = stat.size <= 1 << 53 && stat.stored <= 1 << 53;
    (is_right && fits && words.next().is_none()).then(|| (path, stat, link.flatten()))
}

fn number<T: std::str::FromStr>(word: Option<&[u8]>) -> Option<T> {
    std::str::from_utf8(word?).ok()?.parse().ok()
}

fn broken(what: &str) -> Error {
    let what = format!("the snapshot's list of files is broken: {what}");
    Error::new(Kind::Verify, what)
        .hint("envsyncd has not written it like this: find out who made the snapshot")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(text: &[u8], piece: usize) -> Result<Listing> {
        let mut reader = Reader::new();
        for piece in text.chunks(piece) {
            reader.feed(piece)?;
        }
        reader.finish()
    }

    const ROOT: &str = "d 0755 0 0 1.000000000 0 0 .\n";

    #[test]
    fn a_list_is_read_as_it_was_written() {
        let mut out = Vec::new();
        begin(&mut out);
        let root = Stat::unknown(FileKind::Directory);
        let mut file = Stat::unknown(FileKind::Regular);
        (file.size, file.stored, file.mode) = (7, 4096, 0o4644);
        (file.owner, file.modified) = ((1 << 30, 2), (-5, 3));
        let link = Stat::unknown(FileKind::Link);
        let all = [
            (&b""[..], &root, None),
            (&b"a"[..], &root, None),
            (&b"a/\xff \n\\"[..], &file, None),
            (&b"b"[..], &link, Some(&b"../x y"[..])),
        ];
        for (path, stat, leads_to) in all {
            line(path, stat, leads_to, &mut out);
        }
        end(4, &mut out);
        for piece in [1, 13, 4096] {
            let listing = read_all(&out, piece).unwrap();
            let mut cursor = listing.cursor().unwrap();
            for (path, stat, leads_to) in all {
                let (entry, _) = cursor.entry().unwrap();
                assert_eq!((&*entry.path, &entry.stat), (path, stat));
                assert_eq!(entry.link.as_deref(), leads_to);
                cursor.advance().unwrap();
            }
            assert!(cursor.entry().is_none());
        }
        for length in 0..out.len() {
            assert!(read_all(&out[..length], 4096).is_err(), "{length}");
        }
    }

    #[test]
    fn what_is_no_tree_is_refused() {
        let line = |path: &str| format!("f 0644 0 0 1.000000000 0 0 {path}\n");
        for lines in [
            line("a"),
            format!("{ROOT}{}", line("a/b")),
            format!("{ROOT}{}", line("../b")),
            format!("{ROOT}{}", line("/b")),
            format!("{ROOT}{}{}", line("b"), line("a")),
            format!("{ROOT}{}{}", line("a"), line("a")),
            format!("{ROOT}{}{}", line("a"), line("a/b")),
            format!("{ROOT}{}", line("a x")),
            format!("{ROOT}c 0644 0 0 1.000000000 0 0 a\n"),
            format!("{ROOT}l 0644 0 0 1.000000000 0 0 a\n"),
            format!("{ROOT}f 10644 0 0 1.000000000 0 0 a\n"),
        ] {
            let count = lines.lines().count();
            let text = format!("envsyncd files 1\n{lines}end {count}\n");
            assert!(read_all(text.as_bytes(), 64).is_err(), "{lines}");
        }
    }
}
