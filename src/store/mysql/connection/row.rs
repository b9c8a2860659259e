//! Rows of an answer that is kept as a whole: values as the server prints them.

use bytes::{Buf, Bytes};

use crate::error::{Error, Kind, Result};
use crate::store::mysql::sql::byte_text;

/// A number of variable length ("Protocol data types", int<lenenc>).
pub(in crate::store::mysql) fn lenenc(bytes: &mut &[u8]) -> Option<u64> {
    let first = *bytes.first()?;
    let extra = match first {
        0..=0xfa => {
            *bytes = &bytes[1..];
            return Some(u64::from(first));
        }
        0xfc => 2,
        0xfd => 3,
        0xfe => 8,
        _ => return None,
    };
    let mut number = [0; 8];
    number[..extra].copy_from_slice(bytes.get(1..=extra)?);
    *bytes = &bytes[1 + extra..];
    Some(u64::from_le_bytes(number))
}

/// One row: its values as the server prints them.
#[derive(Debug, Clone)]
pub(in crate::store::mysql) struct Row(Vec<Option<Bytes>>);

impl Row {
    pub(in crate::store::mysql) fn read(mut packet: Bytes, columns: usize) -> Option<Self> {
        // Each takes at least a byte: a server may say that there are any number of them.
        let mut cells = Vec::with_capacity(columns.min(packet.len()));
        for _ in 0..columns {
            if packet.first() == Some(&0xfb) {
                packet.advance(1);
                cells.push(None);
                continue;
            }
            let mut rest = &packet[..];
            let length = usize::try_from(lenenc(&mut rest)?).ok()?;
            let header = packet.len() - rest.len();
            if rest.len() < length {
                return None;
            }
            packet.advance(header);
            cells.push(Some(packet.split_to(length)));
        }
        // What is left would be of columns that there are not.
        packet.is_empty().then_some(Self(cells))
    }

    /// A value's bytes; `None`: NULL, or no such column.
    pub(in crate::store::mysql) fn bytes(&self, column: usize) -> Option<&[u8]> {
        self.0.get(column)?.as_deref()
    }

    /// A text, or nothing for NULL.
    pub(in crate::store::mysql) fn maybe(&self, column: usize) -> Result<Option<String>> {
        match self.bytes(column) {
            None => Ok(None),
            Some(bytes) => std::str::from_utf8(bytes)
                .map(|text| Some(text.to_owned()))
                .map_err(|_| unreadable(column, "is not UTF-8")),
        }
    }

    /// A text.
    pub(in crate::store::mysql) fn text(&self, column: usize) -> Result<String> {
        self.maybe(column)?
            .ok_or_else(|| unreadable(column, "is NULL"))
    }

    /// A definition: a text whose bytes need not be UTF-8 ([`byte_text`]).
    pub(in crate::store::mysql) fn definition(&self, column: usize) -> Result<String> {
        self.bytes(column)
            .map(byte_text::decode)
            .ok_or_else(|| unreadable(column, "is NULL"))
    }

    /// A number.
    pub(in crate::store::mysql) fn number(&self, column: usize) -> Result<u64> {
        self.text(column)?
            .parse()
            .map_err(|_| unreadable(column, "is no number"))
    }
}

fn unreadable(column: usize, why: &str) -> Error {
    Error::new(
        Kind::Internal,
        format!("column {} of a server's answer {why}", column + 1),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_length_are_read_and_short_ones_refused() {
        for (bytes, number) in [
            (&b"\x05"[..], 5),
            (b"\xfa", 250),
            (b"\xfc\x34\x12", 0x1234),
            (b"\xfd\x56\x34\x12", 0x12_3456),
            (b"\xfe\x01\0\0\0\0\0\0\x80", 1 | 1 << 63),
        ] {
            let mut rest = bytes;
            assert_eq!(lenenc(&mut rest), Some(number));
            assert!(rest.is_empty());
            assert_eq!(lenenc(&mut &bytes[..bytes.len() - 1]), None);
        }
    }

    #[test]
    fn a_row_has_its_nulls_and_texts_and_a_cut_one_is_refused() {
        let packet = Bytes::from_static(b"\x01a\xfb\x00\x0212");
        let row = Row::read(packet.clone(), 4).expect("a row");
        assert_eq!(row.text(0).expect("a text"), "a");
        assert_eq!(row.maybe(1).expect("NULL"), None);
        assert_eq!(row.bytes(2), Some(&b""[..]));
        assert_eq!(row.number(3).expect("a number"), 12);
        assert!(row.number(0).is_err() && row.text(1).is_err());
        assert!(Row::read(packet.slice(..packet.len() - 1), 4).is_none());
        assert!(Row::read(packet.clone(), 3).is_none() && Row::read(packet, 5).is_none());
    }
}
