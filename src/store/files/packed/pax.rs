//! Pax headers of tar streams: what stands before an entry that its own header cannot hold. Pure.

use super::header::ATTRIBUTE;
use crate::error::{Error, Kind, Result};
use crate::store::files::connection::stat::Moment;
use crate::store::files::incoming::metadata::Attribute;

/// Whose streams are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store::files) enum Dialect {
    /// Those of snapshots. What envsyncd has not written like this is refused.
    Own,
    /// Those of GNU tar in its format `posix`: paths begin with `./`, a time has as many digits behind its point as it needs,
    /// attributes' names have `%3D` and `%25` for `=` and `%`, keys may be unknown, and zeros follow its end.
    Gnu,
}

/// What a pax header said.
#[derive(Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) modified: Option<Moment>,
    pub(super) owner: (Option<u32>, Option<u32>),
    pub(super) attributes: Vec<Attribute>,
}

impl Pax {
    /// Reads its records.
    pub(super) fn read(mut records: &[u8], dialect: Dialect) -> Result<Self> {
        let mut pax = Self::default();
        while !records.is_empty() {
            let (key, value);
            (key, value, records) =
                record(records).ok_or_else(|| broken("a pax header is damaged"))?;
            pax.set(key, value, dialect)?;
        }
        Ok(pax)
    }

    fn set(&mut self, key: &[u8], value: &[u8], dialect: Dialect) -> Result<()> {
        let impossible = || broken("a pax header has an impossible value");
        let number = || std::str::from_utf8(value).ok()?.parse::<u64>().ok();
        let id = || {
            number()
                .and_then(|id| u32::try_from(id).ok())
                .ok_or_else(impossible)
        };
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"size" => self.size = Some(number().ok_or_else(impossible)?),
            b"mtime" => {
                let modified = match dialect {
                    Dialect::Own => moment(value),
                    Dialect::Gnu => moment_of_gnu(value),
                };
                self.modified = Some(modified.ok_or_else(impossible)?);
            }
            b"uid" => self.owner.0 = Some(id()?),
            b"gid" => self.owner.1 = Some(id()?),
            // It would say that the content is not the file's, but where its pieces are.
            _ if key.starts_with(b"GNU.sparse.") => return Err(impossible()),
            _ => match key.strip_prefix(ATTRIBUTE.as_bytes()) {
                Some(name) if !name.is_empty() && !name.contains(&0) => {
                    let name = match dialect {
                        Dialect::Own => name.to_vec(),
                        Dialect::Gnu => decoded(name),
                    };
                    self.attributes.push((name, value.to_vec()));
                }
                _ if dialect == Dialect::Gnu => {}
                _ => return Err(broken("a pax header has a key that is not known")),
            },
        }
        Ok(())
    }
}

/// The first record of several: key and value, and the rest.
fn record(records: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = records.iter().take(12).position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&records[..space]).ok()?.parse().ok()?;
    let rest = records.get(length..)?;
    let record = records.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((&record[..equals], &record[equals + 1..], rest))
}

/// A decimal number of seconds with nine digits behind the point, as a moment.
pub(in crate::store::files) fn moment(text: &[u8]) -> Option<Moment> {
    let text = std::str::from_utf8(text).ok()?;
    let (is_before, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (seconds, fraction) = digits.split_once('.')?;
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    if !are_digits(seconds) || !are_digits(fraction) || fraction.len() != 9 {
        return None;
    }
    let (seconds, nanoseconds): (i64, u32) = (seconds.parse().ok()?, fraction.parse().ok()?);
    Some(match (is_before, nanoseconds) {
        (false, _) => (seconds, nanoseconds),
        (true, 0) => (-seconds, 0),
        (true, _) => (-seconds - 1, 1_000_000_000 - nanoseconds),
    })
}

/// The same with as many digits as it needs.
fn moment_of_gnu(text: &[u8]) -> Option<Moment> {
    let point = text.iter().position(|byte| *byte == b'.');
    let digits = point.map_or(0, |point| text.len() - point - 1);
    let mut whole = text.to_vec();
    if point.is_none() {
        whole.push(b'.');
    }
    whole.resize(whole.len() + 9_usize.checked_sub(digits)?, b'0');
    moment(&whole)
}

/// An attribute's name as GNU tar writes it.
fn decoded(name: &[u8]) -> Vec<u8> {
    let mut found = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((first, others)) = rest.split_first() {
        let (byte, next) = match rest.get(..3) {
            Some(b"%3D") => (b'=', &rest[3..]),
            Some(b"%25") => (b'%', &rest[3..]),
            _ => (*first, others),
        };
        found.push(byte);
        rest = next;
    }
    found
}

/// An attribute's name as GNU tar reads it.
pub(super) fn encoded(name: &[u8]) -> Vec<u8> {
    let mut written = Vec::with_capacity(name.len());
    for byte in name {
        match byte {
            b'=' => written.extend(b"%3D"),
            b'%' => written.extend(b"%25"),
            byte => written.push(*byte),
        }
    }
    written
}

/// What a stream has that none has.
pub(super) fn broken(what: &str) -> Error {
    strange(&format!("a tar stream is broken: {what}"))
}

/// What nobody has written whose streams are read.
pub(super) fn strange(what: &str) -> Error {
    Error::new(Kind::Verify, what).hint(
        "neither envsyncd nor GNU tar writes it like this: find out who made the snapshot, or which tar the other machine has",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_of_gnu_tar_has_as_many_digits_as_it_needs() {
        for (text, moment) in [
            ("978307200", Some((978_307_200, 0))),
            ("978307200.5", Some((978_307_200, 500_000_000))),
            ("1.787372125", Some((1, 787_372_125))),
            ("-5", Some((-5, 0))),
            ("-315619199.75", Some((-315_619_200, 250_000_000))),
            ("1.0000000001", None),
            ("1.", Some((1, 0))),
            (".5", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(moment_of_gnu(text.as_bytes()), moment, "{text}");
        }
    }

    #[test]
    fn an_attribute_s_name_is_read_as_gnu_tar_writes_it() {
        assert_eq!(decoded(b"user.a%3Db%25%253D%4"), b"user.a=b%%3D%4");
        for name in [&b"user.a"[..], b"user.a=b%%3D%4", b"=", b"\xff%"] {
            assert_eq!(decoded(&encoded(name)), name);
        }
    }

    #[test]
    fn a_key_that_is_not_known_is_passed_over_in_gnu_s_dialect_alone() {
        let records = b"11 a.b=cde\n19 SCHILY.acl.x=12\n";
        assert!(Pax::read(records, Dialect::Gnu).unwrap().path.is_none());
        assert!(Pax::read(records, Dialect::Own).is_err());
        let sparse = b"24 GNU.sparse.realsize=1\n";
        for dialect in [Dialect::Gnu, Dialect::Own] {
            assert!(Pax::read(sparse, dialect).is_err());
        }
    }
}
