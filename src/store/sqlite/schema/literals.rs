//! Values as SQL that every `sqlite3` reads back as what they were, on one line; and back. Pure.
//!
//! A text has no line feed, carriage return or NUL in its literal: the shell takes some of them away. As its own `.dump`
//! does it, others stand for them, and `replace()` puts them back. A real is written so that it is computed without
//! rounding, for SQLite reads decimal digits a little wrong at times (https://sqlite.org/floatingpoint.html).

use std::borrow::Cow;
use std::collections::HashSet;

use bytes::{BufMut, BytesMut};
use memchr::memmem;
use rusqlite::types::{Value, ValueRef};

/// As SQL.
pub(in crate::store::sqlite) fn written(value: &Value) -> Option<String> {
    let mut out = BytesMut::new();
    write(ValueRef::from(value), &mut out).ok()?;
    String::from_utf8(out.to_vec()).ok()
}

/// What stands for what in a text; each marker begins with a backslash and has no other, so that what it is put beside never
/// makes another one.
const STAND_INS: [(u8, u8); 3] = [(b'\n', b'n'), (b'\r', b'r'), (0, b'0')];

/// A value that SQLite does not store: a real that is no number.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::store::sqlite) struct Unwritable;

/// A value that was read.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::store::sqlite) enum Literal<'a> {
    Null,
    Integer(i64),
    Real(f64),
    Text(Cow<'a, [u8]>),
    Blob(Vec<u8>),
}

/// Appends a value.
pub(in crate::store::sqlite) fn write(
    value: ValueRef<'_>,
    out: &mut BytesMut,
) -> Result<(), Unwritable> {
    match value {
        ValueRef::Null => out.put_slice(b"NULL"),
        ValueRef::Integer(value) => out.put_slice(value.to_string().as_bytes()),
        ValueRef::Real(value) => real(value, out)?,
        ValueRef::Text(value) => text(value, out),
        ValueRef::Blob(value) => blob(value, out),
    }
    Ok(())
}

fn blob(value: &[u8], out: &mut BytesMut) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.reserve(2 * value.len() + 3);
    out.put_slice(b"X'");
    for byte in value {
        out.put_slice(&[
            DIGITS[usize::from(byte >> 4)],
            DIGITS[usize::from(byte & 15)],
        ]);
    }
    out.put_u8(b'\'');
}

/// As decimal digits where these are the very value; else as a whole number that is multiplied or divided by powers of two.
fn real(value: f64, out: &mut BytesMut) -> Result<(), Unwritable> {
    if value.is_nan() {
        return Err(Unwritable);
    }
    if value.is_infinite() {
        out.put_slice(if value > 0.0 { b"9e999" } else { b"-9e999" });
        return Ok(());
    }
    if value.abs() < 1e11 && (value * 16.0).fract() == 0.0 {
        out.put_slice(format!("{value:?}").as_bytes());
        return Ok(());
    }
    // IEEE 754: 52 bits of mantissa, 11 of exponent.
    let bits = value.to_bits();
    let (fraction, exponent) = (bits & ((1 << 52) - 1), (bits >> 52) & 0x7ff);
    let (mut whole, mut power) = if exponent == 0 {
        (fraction, -1074)
    } else {
        (fraction | (1 << 52), exponent as i32 - 1075)
    };
    let zeros = whole.trailing_zeros();
    whole >>= zeros;
    power += zeros as i32;
    let sign = if value < 0.0 { "-" } else { "" };
    out.put_slice(format!("{sign}1.0*{whole}").as_bytes());
    while power != 0 {
        let step = power.unsigned_abs().min(62);
        let sign = if power < 0 { '/' } else { '*' };
        out.put_slice(format!("{sign}{}", 1_u64 << step).as_bytes());
        power -= power.signum() * step as i32;
    }
    Ok(())
}

fn text(value: &[u8], out: &mut BytesMut) {
    if std::str::from_utf8(value).is_err() {
        out.put_slice(b"CAST(");
        blob(value, out);
        out.put_slice(b" AS TEXT)");
        return;
    }
    let markers: Vec<(u8, Vec<u8>)> = STAND_INS
        .iter()
        .filter(|(byte, _)| memchr::memchr(*byte, value).is_some())
        .map(|(byte, letter)| (*byte, marker(value, *letter)))
        .collect();
    out.reserve(value.len() + 32);
    for _ in &markers {
        out.put_slice(b"replace(");
    }
    out.put_u8(b'\'');
    if markers.is_empty() {
        for piece in value.split_inclusive(|byte| *byte == b'\'') {
            out.put_slice(piece);
            if piece.last() == Some(&b'\'') {
                out.put_u8(b'\'');
            }
        }
    } else {
        for byte in value {
            match markers.iter().find(|(marked, _)| marked == byte) {
                Some((_, marker)) => out.put_slice(marker),
                None if *byte == b'\'' => out.put_slice(b"''"),
                None => out.put_u8(*byte),
            }
        }
    }
    out.put_u8(b'\'');
    for (byte, marker) in &markers {
        out.put_slice(b",'");
        out.put_slice(marker);
        out.put_slice(format!("',char({byte}))").as_bytes());
    }
}

/// What can stand for a byte in this text: `\n`, or with a number that makes it one that is not there.
fn marker(text: &[u8], letter: u8) -> Vec<u8> {
    let mut marker = vec![b'\\', letter];
    // The numbers that stand behind it, and those that they begin with. More than nine digits are never needed.
    let mut taken = HashSet::new();
    let mut is_there = false;
    for at in memmem::find_iter(text, &marker) {
        is_there = true;
        let digits = text[at + 2..].iter().take(9);
        let mut number = 0_u32;
        for digit in digits.take_while(|byte| byte.is_ascii_digit()) {
            if number == 0 && *digit == b'0' {
                break;
            }
            number = number * 10 + u32::from(digit - b'0');
            taken.insert(number);
        }
    }
    if is_there && let Some(number) = (1..=u32::MAX).find(|number| !taken.contains(number)) {
        marker.extend_from_slice(number.to_string().as_bytes());
    }
    marker
}

/// Takes a value off the front; `None` if it is not one as [`write`] writes them.
pub(in crate::store::sqlite) fn read<'a>(data: &mut &'a [u8]) -> Option<Literal<'a>> {
    match data.first()? {
        b'N' => expect(data, b"NULL").map(|()| Literal::Null),
        b'X' => hexadecimal(data).map(Literal::Blob),
        b'\'' | b'C' | b'r' => read_text(data, STAND_INS.len()).map(Literal::Text),
        _ => number(data),
    }
}

fn expect(data: &mut &[u8], wanted: &[u8]) -> Option<()> {
    *data = data.strip_prefix(wanted)?;
    Some(())
}

fn hexadecimal(data: &mut &[u8]) -> Option<Vec<u8>> {
    expect(data, b"X'")?;
    let end = memchr::memchr(b'\'', data)?;
    let (digits, rest) = (&data[..end], &data[end + 1..]);
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    };
    let (pairs, []) = digits.as_chunks::<2>() else {
        return None;
    };
    let mut bytes = Vec::with_capacity(pairs.len());
    for [high, low] in pairs {
        bytes.push(digit(*high)? << 4 | digit(*low)?);
    }
    *data = rest;
    Some(bytes)
}

/// `depth`: how many of `replace()` may still be around it.
fn read_text<'a>(data: &mut &'a [u8], depth: usize) -> Option<Cow<'a, [u8]>> {
    match data.first()? {
        b'\'' => literal(data),
        b'C' => {
            expect(data, b"CAST(")?;
            let bytes = hexadecimal(data)?;
            expect(data, b" AS TEXT)")?;
            Some(Cow::Owned(bytes))
        }
        _ => {
            let depth = depth.checked_sub(1)?;
            expect(data, b"replace(")?;
            let inner = read_text(data, depth)?;
            expect(data, b",")?;
            let marker = literal(data)?;
            expect(data, b",char(")?;
            let (byte, _) = STAND_INS
                .iter()
                .find(|(_, letter)| marker.starts_with(&[b'\\', *letter]))?;
            expect(data, byte.to_string().as_bytes())?;
            expect(data, b"))")?;
            Some(Cow::Owned(replaced(&inner, &marker, *byte)))
        }
    }
}

fn replaced(text: &[u8], marker: &[u8], byte: u8) -> Vec<u8> {
    let mut made = Vec::with_capacity(text.len());
    let mut from = 0;
    for at in memmem::find_iter(text, marker) {
        made.extend_from_slice(&text[from..at]);
        made.push(byte);
        from = at + marker.len();
    }
    made.extend_from_slice(&text[from..]);
    made
}

fn literal<'a>(data: &mut &'a [u8]) -> Option<Cow<'a, [u8]>> {
    expect(data, b"'")?;
    let end = memchr::memchr(b'\'', data)?;
    if data.get(end + 1) != Some(&b'\'') {
        let text = &data[..end];
        *data = &data[end + 1..];
        return Some(Cow::Borrowed(text));
    }
    let mut text = Vec::new();
    loop {
        let end = memchr::memchr(b'\'', data)?;
        text.extend_from_slice(&data[..end]);
        *data = &data[end + 1..];
        if data.first() != Some(&b'\'') {
            return Some(Cow::Owned(text));
        }
        text.push(b'\'');
        *data = &data[1..];
    }
}

fn number<'a>(data: &mut &'a [u8]) -> Option<Literal<'a>> {
    let length = data
        .iter()
        .take_while(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'.' | b'e' | b'*' | b'/'))
        .count();
    let (digits, rest) = data.split_at(length);
    *data = rest;
    let digits = std::str::from_utf8(digits).ok()?;
    if let Ok(whole) = digits.parse() {
        return Some(Literal::Integer(whole));
    }
    let Some(at) = digits.find(['*', '/']) else {
        let fits = !digits.contains('e') || matches!(digits, "9e999" | "-9e999");
        return digits.parse().ok().filter(|_| fits).map(Literal::Real);
    };
    let mut value: f64 = digits[..at].parse().ok()?;
    let mut left = &digits[at..];
    while !left.is_empty() {
        let (sign, after) = left.split_at(1);
        let end = after.find(['*', '/']).unwrap_or(after.len());
        let other = after[..end].parse::<u64>().ok()? as f64;
        value = if sign == "*" {
            value * other
        } else {
            value / other
        };
        left = &after[end..];
    }
    value.is_finite().then_some(Literal::Real(value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rusqlite::Connection;
    use rusqlite::types::Value;

    use super::*;

    fn written(value: ValueRef<'_>) -> String {
        let mut out = BytesMut::new();
        write(value, &mut out).unwrap();
        // Invalid UTF-8 is in hexadecimal digits.
        String::from_utf8(out.to_vec()).unwrap()
    }

    /// Not `==`, to which -0.0 is 0.0.
    fn same(a: ValueRef<'_>, b: ValueRef<'_>) -> bool {
        match (a, b) {
            (ValueRef::Real(a), ValueRef::Real(b)) => a.to_bits() == b.to_bits(),
            (a, b) => a == b,
        }
    }

    /// By us, and by SQLite.
    fn comes_back(connection: &Connection, value: ValueRef<'_>) {
        let sql = written(value);
        assert!(!sql.contains(['\n', '\r', '\0']), "{sql:?}");
        let mut rest = sql.as_bytes();
        let read = read(&mut rest).unwrap_or_else(|| panic!("{sql}"));
        assert!(rest.is_empty(), "{sql}");
        let read = match &read {
            Literal::Null => ValueRef::Null,
            Literal::Integer(value) => ValueRef::Integer(*value),
            Literal::Real(value) => ValueRef::Real(*value),
            Literal::Text(value) => ValueRef::Text(value),
            Literal::Blob(value) => ValueRef::Blob(value),
        };
        assert!(same(read, value), "{sql}");
        connection
            .query_row(&format!("SELECT {sql}"), [], |row| {
                assert!(same(row.get_ref(0)?, value), "{sql}");
                Ok(())
            })
            .unwrap();
    }

    #[test]
    fn odd_values_come_back() {
        let connection = Connection::open_in_memory().unwrap();
        for value in [i64::MIN, i64::MAX, 0, -1] {
            comes_back(&connection, ValueRef::Integer(value));
        }
        for value in [
            0.0,
            -0.0,
            1.0,
            0.1,
            -2.5,
            1e11,
            1e300,
            f64::MAX,
            f64::MIN_POSITIVE,
            5e-324,
            -5e-324,
            f64::INFINITY,
            f64::NEG_INFINITY,
            9_007_199_254_740_993.0,
        ] {
            comes_back(&connection, ValueRef::Real(value));
        }
        for value in [
            &b""[..],
            b"it's",
            b"''",
            b"'",
            b"a\nb\r\nc\0d'",
            b"\\n\n\\n1\\\n\n",
            b"\\r\r\\0\0\n",
            b"\0",
            b"\xff\xfe\n",
            b"\xed\xa0\x80",
            b");\nINSERT",
        ] {
            comes_back(&connection, ValueRef::Text(value));
            comes_back(&connection, ValueRef::Blob(value));
        }
        comes_back(&connection, ValueRef::Null);
        let mut out = BytesMut::new();
        assert_eq!(write(ValueRef::Real(f64::NAN), &mut out), Err(Unwritable));
    }

    #[test]
    fn what_is_easy_to_read_is_written_so() {
        for (value, expected) in [
            (Value::Real(2.0), "2.0"),
            (Value::Real(-0.25), "-0.25"),
            (Value::Real(0.1), "1.0*3602879701896397/36028797018963968"),
            (Value::Text("it's".to_owned()), "'it''s'"),
            (
                Value::Text("a\nb".to_owned()),
                "replace('a\\nb','\\n',char(10))",
            ),
            (
                Value::Text("\\n\n".to_owned()),
                "replace('\\n\\n1','\\n1',char(10))",
            ),
            (Value::Blob(vec![0, 255]), "X'00FF'"),
            (Value::Null, "NULL"),
        ] {
            assert_eq!(written(ValueRef::from(&value)), expected);
        }
    }

    #[test]
    fn what_we_do_not_write_is_refused() {
        for sql in [
            "",
            "nULL",
            "x'00'",
            "X'0'",
            "X'0g'",
            "X'00",
            "'open",
            "1e400",
            "1.0*",
            "1.0*a",
            "1.0*-2",
            "random()",
            "CAST('a' AS TEXT)",
            "replace('a','b',char(10))",
            "replace('a','\\n',char(13))",
            "replace(replace(replace(replace('a','\\n',char(10)),'\\n',char(10)),'\\n',char(10)),'\\n',char(10))",
            "inf",
            "NaN",
            "--",
        ] {
            let mut rest = sql.as_bytes();
            assert_eq!(read(&mut rest), None, "{sql}");
        }
    }

    proptest! {
        #[test]
        fn any_real_comes_back(bits: u64) {
            let value = f64::from_bits(bits);
            prop_assume!(!value.is_nan());
            comes_back(&Connection::open_in_memory().unwrap(), ValueRef::Real(value));
        }

        #[test]
        fn any_text_comes_back(text in "[a\\\\nr01'\n\r\0é]{0,30}") {
            comes_back(&Connection::open_in_memory().unwrap(), ValueRef::Text(text.as_bytes()));
        }

        #[test]
        fn any_bytes_come_back(bytes: Vec<u8>) {
            let connection = Connection::open_in_memory().unwrap();
            comes_back(&connection, ValueRef::Text(&bytes));
            comes_back(&connection, ValueRef::Blob(&bytes));
        }

        #[test]
        fn nothing_makes_the_reader_panic(bytes in "[NULXCAS'()0-9.e*/,\\\\nreplace -]{0,40}") {
            let _ = read(&mut bytes.as_bytes());
        }
    }
}
