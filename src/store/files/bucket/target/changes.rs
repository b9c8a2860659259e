//! The list of what a run changes in a bucket, as it lies beside what was replaced: a line of text for each object, in the order of
//! the walk. `docs/files.md` says what stands in it.
//!
//! | line | what the run does |
//! | --- | --- |
//! | `= PATH OLD NEW` | another object takes the place of one |
//! | `+ PATH NEW` | an object comes where none was |
//! | `- PATH OLD` | an object goes |
//!
//! An object is known by its length and its entity tag, `5:5d41402abc4b2a76b9719d911017c592`; with a `?` before it, it is what the
//! run meant to write, and the tag that of the source's object.

use std::io::BufReader;

use crate::error::{Error, Kind, Result, io};
use crate::store::files::connection::escape::{escape, unescape};
use crate::store::files::rows::counted::{self, Form};
use crate::store::files::rows::spool::{Reader, Spool, Spooled};

/// The first line: whose it is, and the version.
const HEAD: &[u8] = b"envsyncd-objects 1";
/// No line is longer: a key of 1,024 bytes has four letters for each, and there are two tags.
static FORM: Form = Form {
    head: HEAD,
    longest: 8 * 1024,
    broken,
};

/// What an object is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    /// Its length in bytes.
    pub(super) size: u64,
    /// Its entity tag. An object that stands for a directory may have none here.
    pub(super) tag: Option<String>,
    /// It is what the run meant to write: what has become of it is not known.
    pub(super) is_meant: bool,
}

/// What becomes of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// What was there.
    pub(super) old: Option<Version>,
    /// What the run puts there.
    pub(super) new: Option<Version>,
}

/// Writes a list.
pub(super) struct Lines {
    spool: Spool,
    lines: u64,
}

impl Lines {
    /// How it begins.
    pub(super) fn begin() -> Result<Self> {
        let mut spool = Spool::new();
        spool.write(&[HEAD, b"\n"].concat()).map_err(not_kept())?;
        Ok(Self { spool, lines: 0 })
    }

    /// An object; paths come in the order of the walk. Where nothing was and nothing comes, there is no line.
    pub(super) fn add(&mut self, path: &str, change: &Change) -> Result<()> {
        let kind: &[u8] = match (&change.old, &change.new) {
            (Some(_), Some(_)) => b"=",
            (None, Some(_)) => b"+",
            (Some(_), None) => b"-",
            (None, None) => return Ok(()),
        };
        let mut line = [kind, b" ./"].concat();
        escape(path.as_bytes(), &mut line);
        for version in [&change.old, &change.new].into_iter().flatten() {
            line.push(b' ');
            if version.is_meant {
                line.push(b'?');
            }
            line.extend(format!("{}:", version.size).as_bytes());
            line.extend(version.tag.as_deref().unwrap_or_default().as_bytes());
        }
        line.push(b'\n');
        self.lines += 1;
        self.spool.write(&line).map_err(not_kept())
    }

    /// How it ends: what is cut off is no list.
    pub(super) fn end(mut self) -> Result<Changes> {
        let end = format!("end {}\n", self.lines);
        self.spool.write(end.as_bytes()).map_err(not_kept())?;
        self.spool.finish().map(Changes::of).map_err(not_kept())
    }
}

fn not_kept() -> impl FnOnce(std::io::Error) -> Error {
    io("cannot keep the list of what is changed in /var/tmp")
}

/// A whole list.
#[derive(Clone)]
pub(super) struct Changes(Spooled);

impl Changes {
    /// What was written.
    pub(super) fn of(text: Spooled) -> Self {
        Self(text)
    }

    /// Its bytes, from the beginning.
    pub(super) fn text(&self) -> BufReader<Reader> {
        self.0.reader(0)
    }

    /// Reads it from the beginning.
    pub(super) fn read(&self) -> Result<Reading> {
        counted::Reading::begin(&FORM, self.text()).map(Reading)
    }

    /// Reads all of it: what is cut off is told before anything is done.
    pub(super) fn check(&self) -> Result<()> {
        let mut reading = self.read()?;
        while reading.next()?.is_some() {}
        Ok(())
    }
}

/// A place in a list.
pub(super) struct Reading(counted::Reading);

impl Reading {
    /// The next object, and what becomes of it; `None`: the list is at its end.
    pub(super) fn next(&mut self) -> Result<Option<(String, Change)>> {
        let line = self.0.next()?;
        line.map(|line| read(line).ok_or_else(broken)).transpose()
    }
}

fn read(line: &[u8]) -> Option<(String, Change)> {
    let mut words = line.split(|byte| *byte == b' ');
    let kind = words.next()?;
    let path = String::from_utf8(unescape(words.next()?.strip_prefix(b"./")?)?).ok()?;
    let names = path.strip_suffix('/').unwrap_or(&path);
    if path.contains('\0') || names.split('/').any(|name| matches!(name, "" | "." | "..")) {
        return None;
    }
    let mut version = || read_version(words.next()?);
    let (old, new) = match kind {
        b"=" => (Some(version()?), Some(version()?)),
        b"+" => (None, Some(version()?)),
        b"-" => (Some(version()?), None),
        _ => return None,
    };
    words
        .next()
        .is_none()
        .then_some((path, Change { old, new }))
}

fn read_version(word: &[u8]) -> Option<Version> {
    let word = std::str::from_utf8(word).ok()?;
    let (is_meant, word) = match word.strip_prefix('?') {
        Some(rest) => (true, rest),
        None => (false, word),
    };
    let (size, tag) = word.split_once(':')?;
    let is_fine = tag.len() <= 200 && tag.bytes().all(|byte| byte.is_ascii_graphic());
    is_fine.then_some(())?;
    Some(Version {
        size: size.parse().ok()?,
        tag: (!tag.is_empty()).then(|| tag.to_owned()),
        is_meant,
    })
}

fn broken() -> Error {
    let what = "the list of what was changed, beside what was replaced, is damaged";
    Error::new(Kind::Verify, what)
        .hint("what was replaced lies in `.envsyncd/RUN/old/` below the target's prefix: copy it back by hand")
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use proptest::prelude::*;

    fn changes(text: &[u8]) -> Changes {
        let mut spool = Spool::new();
        spool.write(text).unwrap();
        Changes::of(spool.finish().unwrap())
    }

    fn all(text: &[u8]) -> Result<Vec<(String, Change)>> {
        let mut reading = changes(text).read()?;
        let mut found = Vec::new();
        while let Some(one) = reading.next()? {
            found.push(one);
        }
        assert_eq!(reading.next()?, None);
        Ok(found)
    }

    fn sample(paths: Vec<String>) -> Vec<(String, Change)> {
        let version = |size, tag: &str, is_meant| {
            let tag = (!tag.is_empty()).then(|| tag.to_owned());
            Some(Version {
                size,
                tag,
                is_meant,
            })
        };
        let old = version(u64::MAX, "a:b-3", false);
        let kinds = [
            (old.clone(), version(5, "", true)),
            (None, version(0, "x?", true)),
            (version(0, "", false), None),
            (old, version(1, "\"", false)),
        ];
        let kinds = kinds.map(|(old, new)| Change { old, new });
        paths.into_iter().zip(kinds.into_iter().cycle()).collect()
    }

    proptest! {
        #[test]
        fn a_list_is_read_as_it_was_written_and_never_by_half(
            paths in prop::collection::vec("[a-b é\n\\\\]{1,3}(/[^/\0]{3,9}){0,2}/?", 0..9), cut: prop::sample::Index
        ) {
            let changes = sample(paths);
            let mut lines = Lines::begin().unwrap();
            for (path, change) in &changes {
                lines.add(path, change).unwrap();
            }
            let mut text = Vec::new();
            lines.end().unwrap().text().read_to_end(&mut text).unwrap();
            prop_assert_eq!(all(&text).unwrap(), changes);
            prop_assert!(all(&text[..cut.index(text.len())]).is_err());
        }
    }

    #[test]
    fn what_leads_out_of_the_tree_is_refused() {
        for line in [
            "- ./../x 1:a",
            "- ./a/../b 1:a",
            "- ./ 1:a",
            "- ./a//b 1:a",
            "- ./a// 1:a",
            "- /x 1:a",
            "- ./a\\000b 1:a",
            "- ./x y 1:a",
            "= ./x 1:a",
            "+ ./x 1",
            "x ./x",
        ] {
            let text = format!("envsyncd-objects 1\n{line}\nend 1\n");
            assert!(all(text.as_bytes()).is_err(), "{line}");
        }
        assert!(all(b"envsyncd-objects 2\nend 0\n").is_err());
        assert_eq!(all(b"envsyncd-objects 1\nend 0\n").unwrap(), []);
    }
}
