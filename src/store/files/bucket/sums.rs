//! Checksums of objects: what a server calls an object's tag, and what it sends with it. Pure.

use std::fmt::Write as _;

use crc_fast::{CrcAlgorithm, Digest as Crc};
use md5::{Digest as _, Md5};
use sha2::Sha256;

/// Bytes of a part of an upload, unless the object would have more than ten thousand of them.
const PIECE: u64 = 8 << 20;
/// A larger object is written in parts.
const WHOLE: u64 = 16 << 20;
/// An object has no more parts (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>).
const MOST: u64 = 10_000;

/// How we cut an object of so many bytes into parts; `None`: it is written as a whole.
pub(in crate::store::files) fn piece(size: u64) -> Option<u64> {
    const MIB: u64 = 1 << 20;
    (size > WHOLE).then(|| {
        size.div_ceil(MOST)
            .div_ceil(MIB)
            .saturating_mul(MIB)
            .max(PIECE)
    })
}

/// What an object's tag says of its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store::files) enum Tag {
    /// Nothing that could be held against content.
    Opaque,
    /// It has the form of an MD5.
    Whole,
    /// It has the form of an MD5 over the MD5s of so many parts.
    Parts(u64),
}

impl Tag {
    /// What a tag looks like.
    pub(in crate::store::files) fn of(tag: &str) -> Self {
        let is_sum = |sum: &str| sum.len() == 32 && sum.bytes().all(|b| b.is_ascii_hexdigit());
        if is_sum(tag) {
            return Self::Whole;
        }
        match tag.split_once('-') {
            Some((sum, parts)) if is_sum(sum) => match parts.parse() {
                Ok(parts) if parts > 0 => Self::Parts(parts),
                _ => Self::Opaque,
            },
            _ => Self::Opaque,
        }
    }

    /// What can be computed of content of this size to be held against it; `None`: nothing.
    pub(in crate::store::files) fn sum(self, size: u64) -> Option<Sum> {
        match self {
            Self::Opaque => None,
            Self::Whole => Some(Sum::new(None)),
            Self::Parts(parts) => {
                // Whoever else wrote it may have cut it otherwise.
                let piece = piece(size).filter(|piece| size.div_ceil(*piece) == parts)?;
                Some(Sum::new(Some(piece)))
            }
        }
    }
}

/// A tag that is being computed.
pub(in crate::store::files) struct Sum {
    piece: Option<u64>,
    current: Md5,
    /// Bytes that `current` has.
    filled: u64,
    /// The sums of the parts before.
    parts: Vec<u8>,
}

impl Sum {
    /// Of content that is sent as a whole, or in parts of so many bytes.
    pub(in crate::store::files) fn new(piece: Option<u64>) -> Self {
        Self {
            piece,
            current: Md5::new(),
            filled: 0,
            parts: Vec::new(),
        }
    }

    /// More content.
    pub(in crate::store::files) fn update(&mut self, mut bytes: &[u8]) {
        while let Some(piece) = self.piece
            && self.filled + bytes.len() as u64 > piece
        {
            let (fits, rest) = bytes.split_at((piece - self.filled) as usize);
            self.current.update(fits);
            let part = std::mem::take(&mut self.current).finalize();
            self.parts.extend_from_slice(&part);
            self.filled = 0;
            bytes = rest;
        }
        self.current.update(bytes);
        self.filled += bytes.len() as u64;
    }

    /// The tag.
    pub(in crate::store::files) fn finish(mut self) -> String {
        let last = self.current.finalize();
        if self.piece.is_none() {
            return hex(&last);
        }
        self.parts.extend_from_slice(&last);
        let parts = self.parts.len() / last.len();
        format!("{}-{parts}", hex(&Md5::digest(&self.parts)))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A checksum that a server sent with an object, and what has come of it so far.
pub(in crate::store::files) enum Sent {
    /// SHA-256.
    Sha256(Box<Sha256>, String),
    /// One of the cyclic redundancy checks, of so many bytes.
    Crc(Box<Crc>, usize, String),
}

/// The headers of checksums, the strongest first.
const HEADERS: [&str; 4] = [
    "x-amz-checksum-sha256",
    "x-amz-checksum-crc64nvme",
    "x-amz-checksum-crc32c",
    "x-amz-checksum-crc32",
];

impl Sent {
    /// The strongest of an object's headers; `None`: there is none, or none of the whole object.
    pub(in crate::store::files) fn of<'h>(
        header: impl Fn(&str) -> Option<&'h str>,
    ) -> Option<Self> {
        if header("x-amz-checksum-type").is_some_and(|kind| kind != "FULL_OBJECT") {
            return None;
        }
        let found = HEADERS.iter().find_map(|name| Some((*name, header(name)?)));
        let (name, value) = found.filter(|(_, value)| !value.contains('-'))?;
        let value = value.to_owned();
        let crc = |kind, bytes, value| Self::Crc(Box::new(Crc::new(kind)), bytes, value);
        Some(match name {
            "x-amz-checksum-sha256" => Self::Sha256(Box::default(), value),
            "x-amz-checksum-crc64nvme" => crc(CrcAlgorithm::Crc64Nvme, 8, value),
            "x-amz-checksum-crc32c" => crc(CrcAlgorithm::Crc32Iscsi, 4, value),
            _ => crc(CrcAlgorithm::Crc32IsoHdlc, 4, value),
        })
    }

    /// More content.
    pub(in crate::store::files) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(sum, _) => sha2::Digest::update(&mut **sum, bytes),
            Self::Crc(sum, ..) => sum.update(bytes),
        }
    }

    /// Whether the content has this checksum.
    pub(in crate::store::files) fn holds(self) -> bool {
        match self {
            Self::Sha256(sum, sent) => {
                crate::s3::put::base64(&sha2::Digest::finalize(*sum)) == sent
            }
            Self::Crc(sum, bytes, sent) => {
                let all = sum.finalize().to_be_bytes();
                crate::s3::put::base64(&all[all.len() - bytes..]) == sent
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_objects_are_sent_as_a_whole_and_none_has_too_many_parts() {
        assert_eq!(piece(16 << 20), None);
        assert_eq!(piece((16 << 20) + 1), Some(8 << 20));
        for size in [100 << 30, 5 << 40_u64] {
            let piece = piece(size).unwrap();
            assert!(size.div_ceil(piece) <= MOST && piece <= 5 << 30, "{size}");
        }
    }

    #[test]
    fn a_tag_is_told_by_its_form() {
        let sum = "d41d8cd98f00b204e9800998ecf8427e";
        assert_eq!(Tag::of(sum), Tag::Whole);
        assert_eq!(Tag::of(&format!("{sum}-3")), Tag::Parts(3));
        for tag in [
            "",
            "x",
            "1-1",
            &sum[1..],
            &format!("{sum}-0"),
            &format!("{sum}-x"),
        ] {
            assert_eq!(Tag::of(tag), Tag::Opaque, "{tag}");
        }
        assert!(Tag::Parts(3).sum(17 << 20).is_some());
        assert!(Tag::Parts(2).sum(17 << 20).is_none());
    }

    #[test]
    fn a_tag_is_the_same_however_content_comes() {
        let content: Vec<u8> = (0..100_000_u32).map(|n| n as u8).collect();
        let of = |piece, step: usize| {
            let mut sum = Sum::new(piece);
            content.chunks(step).for_each(|bytes| sum.update(bytes));
            sum.finish()
        };
        assert_eq!(of(None, 7), of(None, 100_000));
        let parts = of(Some(40_000), 100_000);
        assert!(parts.ends_with("-3"), "{parts}");
        assert_eq!(of(Some(40_000), 9), parts);
        assert!(of(Some(50_000), 50_000).ends_with("-2"));
        assert_eq!(Sum::new(None).finish(), "d41d8cd98f00b204e9800998ecf8427e");
    }

    #[test]
    fn checksums_are_those_of_the_servers() {
        for (name, value) in [
            (
                "x-amz-checksum-sha256",
                "uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=",
            ),
            ("x-amz-checksum-crc32", "DUoRhQ=="),
            ("x-amz-checksum-crc32c", "yZRlqg=="),
            ("x-amz-checksum-crc64nvme", "jSnVw/bqjr4="),
        ] {
            let sent = |content: &[u8]| {
                let mut sent = Sent::of(|wanted| (wanted == name).then_some(value)).unwrap();
                sent.update(content);
                sent.holds()
            };
            assert!(!sent(b"hello worlds"), "{name}");
            assert!(sent(b"hello world"), "{name}");
        }
        let composite = |name: &str| (name == "x-amz-checksum-type").then_some("COMPOSITE");
        assert!(Sent::of(composite).is_none());
    }
}
