//! The encoding of rows on their way: each value a tag and its bytes, as SQLite stores it, so that nothing is converted.

use bytes::BufMut;
use rusqlite::Row;
use rusqlite::types::ValueRef;

const NULL: u8 = 0;

const INTEGER: u8 = 1;

const REAL: u8 = 2;

const TEXT: u8 = 3;

const BLOB: u8 = 4;

/// Appends a row of so many values.
pub(in crate::store::sqlite) fn encode(
    row: &Row<'_>,
    values: usize,
    out: &mut impl BufMut,
) -> rusqlite::Result<()> {
    for index in 0..values {
        put(row.get_ref(index)?, out);
    }
    Ok(())
}

/// The same; false, and nothing that can be used, if its texts and blobs have more than so many bytes.
pub(super) fn encode_within(
    row: &Row<'_>,
    values: usize,
    most: usize,
    out: &mut impl BufMut,
) -> rusqlite::Result<bool> {
    let mut left = most;
    for index in 0..values {
        let value = row.get_ref(index)?;
        if let ValueRef::Text(bytes) | ValueRef::Blob(bytes) = value {
            match left.checked_sub(bytes.len()) {
                Some(rest) => left = rest,
                None => return Ok(false),
            }
        }
        put(value, out);
    }
    Ok(true)
}

/// Appends one value.
pub(in crate::store::sqlite) fn put(value: ValueRef<'_>, out: &mut impl BufMut) {
    match value {
        ValueRef::Null => out.put_u8(NULL),
        ValueRef::Integer(value) => {
            out.put_u8(INTEGER);
            out.put_i64_le(value);
        }
        ValueRef::Real(value) => {
            out.put_u8(REAL);
            out.put_f64_le(value);
        }
        ValueRef::Text(text) => bytes(TEXT, text, out),
        ValueRef::Blob(blob) => bytes(BLOB, blob, out),
    }
}

fn bytes(tag: u8, value: &[u8], out: &mut impl BufMut) {
    out.put_u8(tag);
    // SQLite's own limit on a value is 2^31 - 1 bytes.
    out.put_u32_le(value.len() as u32);
    out.put_slice(value);
}

/// Takes the next value off the front.
pub(in crate::store::sqlite) fn decode<'a>(data: &mut &'a [u8]) -> Option<ValueRef<'a>> {
    fn take<'a>(data: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
        let (value, rest) = data.split_at_checked(length)?;
        *data = rest;
        Some(value)
    }
    let tag = take(data, 1)?[0];
    Some(match tag {
        NULL => ValueRef::Null,
        INTEGER => ValueRef::Integer(i64::from_le_bytes(take(data, 8)?.try_into().ok()?)),
        REAL => ValueRef::Real(f64::from_le_bytes(take(data, 8)?.try_into().ok()?)),
        TEXT | BLOB => {
            let length = u32::from_le_bytes(take(data, 4)?.try_into().ok()?);
            let value = take(data, length as usize)?;
            if tag == TEXT {
                ValueRef::Text(value)
            } else {
                ValueRef::Blob(value)
            }
        }
        _ => return None,
    })
}
