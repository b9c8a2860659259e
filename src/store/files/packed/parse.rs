//! Reads tar streams as [`super::header`] writes them, or as GNU tar does: what is of another kind, leads elsewhere or is out of
//! its order is an error. Pure; bytes may come cut anywhere.

use std::cmp::Ordering;

use super::header::{BLOCK, Head, LONGEST_PAX, checksum, filling};
use super::pax::{Dialect, Pax, broken, strange};
use crate::error::Result;
use crate::store::files::connection::inside::is_path;
use crate::store::files::connection::stat::{FileKind, Stat};
use crate::store::files::rows::listing::order;

/// No path is longer.
pub(in crate::store::files) const LONGEST_PATH: usize = 64 * 1024;
/// No file is larger: more than any file system has.
const LARGEST: u64 = 1 << 53;
/// GNU tar fills its last record up with blocks of zeros: no more than so many, whatever a record's length is.
const ZEROS: usize = 1024;

/// What is in a stream.
pub(in crate::store::files) enum Event<'a> {
    /// An entry begins.
    Entry(&'a Head),
    /// A piece of its content.
    Content(&'a [u8]),
    /// It ends.
    End,
}

/// Where the parser is.
enum At {
    /// In a header.
    Header,
    /// In a pax header's records: so many bytes, and what fills them up.
    Pax(usize, usize),
    /// In an entry's content, or what fills it up: so many bytes are left of each.
    Content(u64, usize),
    /// Behind the last entry: blocks of zeros that have come.
    End(usize),
}

/// Reads a stream.
pub(in crate::store::files) struct Parser {
    dialect: Dialect,
    at: At,
    waiting: Vec<u8>,
    pax: Option<Pax>,
    last: Option<Vec<u8>>,
}

impl Parser {
    /// At a stream's beginning.
    pub(in crate::store::files) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            at: At::Header,
            waiting: Vec::new(),
            pax: None,
            last: None,
        }
    }

    /// Shows what is in the bytes that come next.
    pub(in crate::store::files) fn feed(
        &mut self,
        mut bytes: &[u8],
        show: &mut dyn FnMut(Event<'_>) -> Result<()>,
    ) -> Result<()> {
        while !bytes.is_empty() {
            match self.at {
                At::Header | At::End(_) => {
                    let Some(block) = self.gather(&mut bytes, BLOCK) else {
                        return Ok(());
                    };
                    self.block(&block, show)?;
                }
                At::Pax(length, filling) => {
                    let Some(records) = self.gather(&mut bytes, length + filling) else {
                        return Ok(());
                    };
                    is_filling(&records[length..])?;
                    self.pax = Some(Pax::read(&records[..length], self.dialect)?);
                    self.at = At::Header;
                }
                At::Content(left, filling) if left > 0 => {
                    let length = usize::try_from(left).unwrap_or(usize::MAX);
                    let (piece, rest) = bytes.split_at(length.min(bytes.len()));
                    show(Event::Content(piece))?;
                    bytes = rest;
                    self.content(left - piece.len() as u64, filling, show)?;
                }
                At::Content(_, filling) => {
                    let (piece, rest) = bytes.split_at(filling.min(bytes.len()));
                    is_filling(piece)?;
                    bytes = rest;
                    self.content(0, filling - piece.len(), show)?;
                }
            }
        }
        Ok(())
    }

    /// The stream has ended: whether it was whole.
    pub(in crate::store::files) fn end(&self) -> Result<()> {
        match self.at {
            At::End(seen) if seen >= 2 && self.waiting.is_empty() => Ok(()),
            _ => Err(broken("it ends before its end")),
        }
    }

    /// So many bytes, once they are there.
    fn gather(&mut self, bytes: &mut &[u8], length: usize) -> Option<Vec<u8>> {
        let missing = length - self.waiting.len();
        let (piece, rest) = bytes.split_at(missing.min(bytes.len()));
        self.waiting.extend(piece);
        *bytes = rest;
        (self.waiting.len() == length).then(|| std::mem::take(&mut self.waiting))
    }

    fn content(
        &mut self,
        left: u64,
        filling: usize,
        show: &mut dyn FnMut(Event<'_>) -> Result<()>,
    ) -> Result<()> {
        self.at = At::Content(left, filling);
        if (left, filling) == (0, 0) {
            self.at = At::Header;
            show(Event::End)?;
        }
        Ok(())
    }

    fn block(&mut self, block: &[u8], show: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<()> {
        let block: &[u8; BLOCK] = block.try_into().map_err(|_| broken("a header is cut"))?;
        if block.iter().all(|byte| *byte == 0) && self.pax.is_none() {
            let seen = match self.at {
                At::End(seen) => seen,
                _ => 0,
            };
            let most = match self.dialect {
                Dialect::Own => 2,
                Dialect::Gnu => ZEROS,
            };
            if seen == most {
                return Err(broken("something follows its end"));
            }
            self.at = At::End(seen + 1);
            return Ok(());
        }
        if matches!(self.at, At::End(_)) {
            return Err(broken("something follows its end"));
        }
        if &block[257..265] != b"ustar\x0000" || octal(&block[148..154])? != checksum(block) {
            return Err(broken("a header has no checksum, or a wrong one"));
        }
        let size = octal(&block[124..135])?;
        if block[156] == b'x' {
            if self.pax.is_some() || size > LONGEST_PAX as u64 {
                return Err(broken("a pax header is out of place, or too long"));
            }
            self.at = At::Pax(size as usize, filling(size));
            return if size == 0 {
                Err(broken("a pax header is empty"))
            } else {
                Ok(())
            };
        }
        let head = entry(
            block,
            size,
            self.pax.take().unwrap_or_default(),
            self.dialect,
        )?;
        let comes_after = |last: &Vec<u8>| order(last, &head.path) == Ordering::Less;
        if !self.last.as_ref().is_none_or(comes_after) {
            return Err(broken("its entries are not in their order"));
        }
        let size = match head.stat.kind {
            FileKind::Regular => head.stat.size,
            _ => 0,
        };
        show(Event::Entry(&head))?;
        self.last = Some(head.path);
        self.content(size, filling(size), show)
    }
}

fn entry(block: &[u8; BLOCK], size: u64, pax: Pax, dialect: Dialect) -> Result<Head> {
    let kind = match block[156] {
        b'0' => FileKind::Regular,
        b'2' => FileKind::Link,
        b'5' => FileKind::Directory,
        // What a name has become meanwhile, that a file was asked for of.
        b'3' | b'4' | b'6' if dialect == Dialect::Gnu => FileKind::Special,
        _ => {
            return Err(broken(
                "an entry is neither a file nor a link nor a directory",
            ));
        }
    };
    let mut path = pax.path.unwrap_or_else(|| text(&block[..100]));
    if kind == FileKind::Directory && path.pop() != Some(b'/') {
        return Err(broken("a directory's path has no `/` at its end"));
    }
    if dialect == Dialect::Gnu && path.starts_with(b"./") {
        path.drain(..2);
    }
    if kind == FileKind::Directory && path == b"." {
        path.clear();
    } else {
        check_path(&path)?;
    }
    let link = pax.link.unwrap_or_else(|| text(&block[157..257]));
    let is_link = kind == FileKind::Link;
    if is_link == link.is_empty() || link.contains(&0) || link.len() > LONGEST_PATH {
        return Err(broken(
            "a link leads nowhere, or what is none leads somewhere",
        ));
    }
    let size = pax.size.unwrap_or(size);
    if size > LARGEST || (kind != FileKind::Regular && size != 0) {
        return Err(broken("an entry's size is impossible"));
    }
    let mode = octal(&block[100..107])?;
    let mode = u32::try_from(mode).ok().filter(|mode| *mode <= 0o7777);
    let id = |said: Option<u32>, at: usize| match said {
        Some(id) => Ok(id),
        None => octal(&block[at..at + 7]).map(|id| id as u32),
    };
    let seconds = octal(&block[136..147])?;
    let stat = Stat {
        mode: mode.ok_or_else(|| broken("an entry's permissions are impossible"))?,
        owner: (id(pax.owner.0, 108)?, id(pax.owner.1, 116)?),
        size: if is_link { link.len() as u64 } else { size },
        modified: pax.modified.unwrap_or((seconds as i64, 0)),
        ..Stat::unknown(kind)
    };
    Ok(Head {
        path,
        stat,
        link,
        attributes: pax.attributes,
    })
}

/// Refuses a path that could lead out of a tree, or that no file can have.
pub(in crate::store::files) fn check_path(path: &[u8]) -> Result<()> {
    if path.len() > LONGEST_PATH || path.contains(&0) || !is_path(path) {
        return Err(strange("a path is none inside of a tree"));
    }
    Ok(())
}

/// What is in a field up to the first NUL.
fn text(field: &[u8]) -> Vec<u8> {
    let end = field.iter().position(|byte| *byte == 0);
    field[..end.unwrap_or(field.len())].to_vec()
}

fn octal(field: &[u8]) -> Result<u64> {
    let mut number = 0;
    for byte in field {
        let digit = byte.wrapping_sub(b'0');
        if digit > 7 {
            return Err(broken("a number in a header is none"));
        }
        number = number << 3 | u64::from(digit);
    }
    Ok(number)
}

fn is_filling(bytes: &[u8]) -> Result<()> {
    if bytes.iter().all(|byte| *byte == 0) {
        return Ok(());
    }
    Err(broken("there is something between its entries"))
}

#[cfg(test)]
mod tests {
    use super::super::header::{fill, moment as written, write, write_end};
    use super::super::pax::moment;
    use super::*;
    use proptest::prelude::*;

    fn head(path: &[u8], kind: FileKind, stat: impl FnOnce(&mut Stat)) -> Head {
        let mut found = Stat::unknown(kind);
        stat(&mut found);
        let is_link = kind == FileKind::Link;
        let link = if is_link { vec![b'l'; 300] } else { Vec::new() };
        if is_link {
            found.size = 300;
        }
        Head {
            path: path.to_vec(),
            stat: found,
            link,
            attributes: vec![(b"user.a".to_vec(), b"1\n=\0\xff".to_vec())],
        }
    }

    /// What is in a stream whose bytes come in pieces of this length.
    fn read(stream: &[u8], piece: usize) -> Result<Vec<(Head, Vec<u8>)>> {
        let mut parser = Parser::new(Dialect::Own);
        let mut found: Vec<(Head, Vec<u8>)> = Vec::new();
        for piece in stream.chunks(piece) {
            parser.feed(piece, &mut |event| {
                match event {
                    Event::Entry(head) => found.push((head.clone(), Vec::new())),
                    Event::Content(bytes) => found.last_mut().unwrap().1.extend(bytes),
                    Event::End => {}
                }
                Ok(())
            })?;
        }
        parser.end()?;
        Ok(found)
    }

    fn stream(entries: &[(Head, Vec<u8>)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (head, content) in entries {
            write(head, &mut out).unwrap();
            out.extend(content);
            fill(&mut out, content.len() as u64);
        }
        write_end(&mut out);
        out
    }

    fn entries() -> Vec<(Head, Vec<u8>)> {
        let long = [b'n'; 5000];
        vec![
            (
                head(b"", FileKind::Directory, |it| it.mode = 0o755),
                Vec::new(),
            ),
            (
                head(b"a", FileKind::Directory, |it| it.owner = (1 << 22, 7)),
                Vec::new(),
            ),
            (
                head(b"a/\xff\n", FileKind::Regular, |it| {
                    (it.size, it.mode) = (1300, 0o4755);
                }),
                vec![7; 1300],
            ),
            (
                head(b"b", FileKind::Regular, |it| {
                    it.modified = (-5, 250_000_000);
                }),
                Vec::new(),
            ),
            (
                head(b"c", FileKind::Link, |it| it.modified = (5, 0)),
                Vec::new(),
            ),
            (
                head(&long, FileKind::Regular, |it| it.size = 512),
                vec![1; 512],
            ),
        ]
    }

    #[test]
    fn what_was_written_is_read_however_it_is_cut() {
        let entries = entries();
        let stream = stream(&entries);
        for piece in [1, 7, 512, 4096, stream.len()] {
            assert_eq!(read(&stream, piece).unwrap(), entries, "{piece}");
        }
    }

    #[test]
    fn a_stream_that_is_cut_anywhere_is_not_whole() {
        let stream = stream(&entries());
        for length in (0..stream.len()).step_by(97) {
            assert!(read(&stream[..length], 4096).is_err(), "{length}");
        }
        let more = [stream, vec![0]].concat();
        assert!(read(&more, 4096).is_err());
    }

    #[test]
    fn a_path_that_leads_elsewhere_is_refused() {
        for path in [
            &b"../x"[..],
            b"/x",
            b"a/../../x",
            b"a//b",
            b"./a",
            b"a/.",
            b"a/",
        ] {
            let one = (head(path, FileKind::Regular, |_| {}), Vec::new());
            assert!(read(&stream(&[one]), 512).is_err(), "{path:?}");
        }
        let twice = head(b"a", FileKind::Regular, |_| {});
        let both = [(twice.clone(), Vec::new()), (twice, Vec::new())];
        assert!(read(&stream(&both), 512).is_err());
    }

    #[test]
    fn what_is_no_file_link_or_directory_is_refused() {
        let one = (head(b"a", FileKind::Regular, |_| {}), Vec::new());
        let good = stream(&[one]);
        let at = good.len() - 3 * BLOCK;
        for kind in *b"134678gKLSV\0" {
            let mut bad = good.clone();
            bad[at + 156] = kind;
            let header: [u8; BLOCK] = bad[at..at + BLOCK].try_into().unwrap();
            let sum = format!("{:06o}", checksum(&header));
            bad[at + 148..at + 154].copy_from_slice(sum.as_bytes());
            let error = read(&bad, 512).unwrap_err().to_string();
            assert!(error.contains("neither"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn a_moment_is_read_as_it_was_written(seconds in -1_i64 << 40..1 << 40, nanoseconds in 0..1_000_000_000_u32) {
            let text = written(seconds, nanoseconds);
            prop_assert_eq!(moment(text.as_bytes()), Some((seconds, nanoseconds)), "{}", text);
        }
    }
}
