//! Headers of tar entries as they are written: POSIX's `ustar`, with a pax header before it for what that cannot hold
//! (IEEE Std 1003.1-2017, "pax Interchange Format"). Extended attributes are `SCHILY.xattr.NAME`, as GNU tar, star and bsdtar
//! have them. Pure.

use crate::error::{Error, Kind, Result};
use crate::store::files::connection::stat::{FileKind, Stat};
use crate::store::files::connection::told::told;
use crate::store::files::incoming::metadata::Attribute;

/// A tar stream consists of blocks of so many bytes.
pub(in crate::store::files) const BLOCK: usize = 512;
/// No pax header is longer: the attributes of one file.
pub(in crate::store::files) const LONGEST_PAX: usize = 8 << 20;
/// What attributes' keys begin with.
pub(in crate::store::files) const ATTRIBUTE: &str = "SCHILY.xattr.";

/// An entry without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store::files) struct Head {
    /// Its path in the tree; the tree itself has none.
    pub(in crate::store::files) path: Vec<u8>,
    /// Kind, permissions, owner, size and time; nothing else of it is kept.
    pub(in crate::store::files) stat: Stat,
    /// Where it leads, of a link; else nothing.
    pub(in crate::store::files) link: Vec<u8>,
    /// Extended attributes.
    pub(in crate::store::files) attributes: Vec<Attribute>,
}

/// Appends an entry's headers. Its content follows, filled up to a whole block.
pub(in crate::store::files) fn write(head: &Head, out: &mut Vec<u8>) -> Result<()> {
    let stat = &head.stat;
    let mut path = head.path.clone();
    let (kind, size) = match stat.kind {
        FileKind::Regular => (b'0', stat.size),
        FileKind::Link => (b'2', 0),
        FileKind::Directory if path.is_empty() => {
            path.extend(b"./");
            (b'5', 0)
        }
        FileKind::Directory => {
            path.push(b'/');
            (b'5', 0)
        }
        FileKind::Special => return Err(Error::new(Kind::Internal, "a device is never packed")),
    };
    let mut pax = Vec::new();
    let (seconds, nanoseconds) = stat.modified;
    if path.len() > 100 {
        record(&mut pax, b"path", &path);
    }
    if head.link.len() > 100 {
        record(&mut pax, b"linkpath", &head.link);
    }
    if size >= 1 << 33 {
        record(&mut pax, b"size", size.to_string().as_bytes());
    }
    if nanoseconds != 0 || !(0..1 << 33).contains(&seconds) {
        record(&mut pax, b"mtime", moment(seconds, nanoseconds).as_bytes());
    }
    for (key, id) in [("uid", stat.owner.0), ("gid", stat.owner.1)] {
        if id >= 1 << 21 {
            record(&mut pax, key.as_bytes(), id.to_string().as_bytes());
        }
    }
    for (name, value) in &head.attributes {
        let key = [ATTRIBUTE.as_bytes(), name].concat();
        record(&mut pax, &key, value);
    }
    if pax.len() > LONGEST_PAX {
        let what = format!("{} has too many extended attributes", told(&head.path));
        return Err(Error::new(Kind::Full, what).hint("leave it out with `exclude`"));
    }
    if !pax.is_empty() {
        let owner = (0, 0);
        block(out, b"pax", b'x', owner, 0o644, pax.len() as u64, 0, b"");
        out.extend(&pax);
        fill(out, pax.len() as u64);
    }
    let seconds = u64::try_from(seconds).unwrap_or(0);
    let (owner, mode) = (stat.owner, stat.mode);
    block(out, &path, kind, owner, mode, size, seconds, &head.link);
    Ok(())
}

/// What ends a stream.
pub(in crate::store::files) fn write_end(out: &mut Vec<u8>) {
    out.resize(out.len() + 2 * BLOCK, 0);
}

/// Fills a content of so many bytes up to a whole block.
pub(in crate::store::files) fn fill(out: &mut Vec<u8>, length: u64) {
    out.resize(out.len() + filling(length), 0);
}

/// How many bytes a content of so many is filled up with.
pub(in crate::store::files) fn filling(length: u64) -> usize {
    (length.next_multiple_of(BLOCK as u64) - length) as usize
}

/// A moment as pax has it: a decimal number of seconds. Before 1970, the fraction counts on from the second before.
pub(in crate::store::files) fn moment(seconds: i64, nanoseconds: u32) -> String {
    if seconds >= 0 || nanoseconds == 0 {
        return format!("{seconds}.{nanoseconds:09}");
    }
    let (seconds, nanoseconds) = (-(seconds + 1), 1_000_000_000 - nanoseconds);
    format!("-{seconds}.{nanoseconds:09}")
}

/// A pax record: `LENGTH KEY=VALUE`, in which the length counts itself.
fn record(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    out.extend(length.to_string().as_bytes());
    out.push(b' ');
    out.extend(key);
    out.push(b'=');
    out.extend(value);
    out.push(b'\n');
}

#[allow(clippy::too_many_arguments)] // a header's fields, in one place
fn block(
    out: &mut Vec<u8>,
    path: &[u8],
    kind: u8,
    owner: (u32, u32),
    mode: u32,
    size: u64,
    seconds: u64,
    link: &[u8],
) {
    let mut head = [0; BLOCK];
    let mut put = |at: usize, length: usize, bytes: &[u8]| {
        let length = bytes.len().min(length);
        head[at..at + length].copy_from_slice(&bytes[..length]);
    };
    // What does not fit stands in the pax header.
    let octal = |number: u64, digits: u32| {
        let number = if number >> (3 * digits) == 0 {
            number
        } else {
            0
        };
        format!("{number:0width$o}", width = digits as usize)
    };
    put(0, 100, path);
    put(100, 7, octal(mode.into(), 7).as_bytes());
    put(108, 7, octal(owner.0.into(), 7).as_bytes());
    put(116, 7, octal(owner.1.into(), 7).as_bytes());
    put(124, 11, octal(size, 11).as_bytes());
    put(136, 11, octal(seconds, 11).as_bytes());
    put(156, 1, &[kind]);
    put(157, 100, link);
    put(257, 8, b"ustar\x0000");
    let sum = octal(checksum(&head), 6);
    head[148..154].copy_from_slice(sum.as_bytes());
    head[155] = b' ';
    out.extend(head);
}

/// The sum of a header's bytes, with spaces where it stands itself.
pub(in crate::store::files) fn checksum(head: &[u8; BLOCK]) -> u64 {
    let bytes = head.iter().enumerate();
    bytes
        .map(|(at, byte)| {
            u64::from(if (148..156).contains(&at) {
                b' '
            } else {
                *byte
            })
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_before_1970_is_a_number_below_nothing() {
        assert_eq!(moment(5, 7), "5.000000007");
        assert_eq!(moment(0, 0), "0.000000000");
        assert_eq!(moment(-1, 750_000_000), "-0.250000000");
        assert_eq!(moment(-3, 500_000_000), "-2.500000000");
        assert_eq!(moment(-3, 0), "-3.000000000");
    }
}
