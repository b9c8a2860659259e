//! Values as masks meet them, and what masks make of them.

use std::borrow::Cow;
use std::fmt;
use std::io::Write as _;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

/// How a text's bytes are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Encoding {
    /// UTF-8; bytes that are none are met all the same.
    #[default]
    Utf8,
    /// ISO 8859-1: a character a byte.
    Latin1,
    /// ASCII, and bytes above it of which nothing is known (PostgreSQL's SQL_ASCII).
    Unknown,
}

/// One value of a row. `Debug` shows what it is and how long, never the value.
#[derive(Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// NULL.
    Null,
    /// A text, or anything else that its store writes as text: dates, UUIDs, decimals.
    Text(&'a [u8], Encoding),
    /// Bytes that are no text.
    Bytes(&'a [u8]),
    /// A whole number.
    Integer(i128),
    /// A floating-point number.
    Real(f64),
    /// A truth value.
    Boolean(bool),
}

impl<'a> Value<'a> {
    /// A text in UTF-8.
    pub fn text(text: &'a str) -> Self {
        Self::Text(text.as_bytes(), Encoding::Utf8)
    }

    /// Whether it is NULL.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Whether it has no bytes, and is not NULL.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Text(bytes, _) | Self::Bytes(bytes) if bytes.is_empty())
    }

    /// The value as one text, whatever its store and column give it as: `42` and 42 are the same.
    pub(super) fn canonical(&self) -> Canonical<'a> {
        match *self {
            Self::Null => Canonical::Bytes(b""),
            Self::Text(bytes, Encoding::Latin1) if !bytes.is_ascii() => {
                Canonical::Text(bytes.iter().map(|byte| char::from(*byte)).collect())
            }
            Self::Text(bytes, _) | Self::Bytes(bytes) => Canonical::Bytes(bytes),
            Self::Boolean(truth) => Canonical::Bytes(if truth { b"true" } else { b"false" }),
            Self::Integer(number) => Canonical::number(format_args!("{number}")),
            Self::Real(number) => Canonical::number(format_args!("{number}")),
        }
    }

    /// The value as a whole number, if it is one.
    pub(super) fn integer(&self) -> Option<i128> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Text(bytes, _) => {
                let text = std::str::from_utf8(bytes).ok()?;
                // Nearly all are short, and those take less time.
                let short = text.parse().map(|number: i64| number.into());
                short.or_else(|_| text.parse()).ok()
            }
            _ => None,
        }
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("Null"),
            Self::Text(bytes, encoding) => write!(f, "Text({} bytes, {encoding:?})", bytes.len()),
            Self::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
            Self::Integer(_) => f.write_str("Integer"),
            Self::Real(_) => f.write_str("Real"),
            Self::Boolean(_) => f.write_str("Boolean"),
        }
    }
}

/// A value's text. Numbers are written into the value itself: nothing is allocated for them.
pub(super) enum Canonical<'a> {
    /// As it came.
    Bytes(&'a [u8]),
    /// A number's digits and how many they are.
    Number([u8; 48], usize),
    /// Converted, or too long for a number's place.
    Text(String),
}

impl Canonical<'_> {
    fn number(digits: fmt::Arguments<'_>) -> Self {
        let mut place = [0; 48];
        let mut rest = &mut place[..];
        match rest.write_fmt(digits) {
            Ok(()) => {
                let left = rest.len();
                Self::Number(place, 48 - left)
            }
            // A floating-point number of three hundred digits.
            Err(_) => Self::Text(digits.to_string()),
        }
    }
}

impl Deref for Canonical<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Number(place, length) => &place[..*length],
            Self::Text(text) => text.as_bytes(),
        }
    }
}

/// What a mask made of a value. Texts and bytes are in the buffer that it was given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Masked {
    /// NULL.
    Null,
    /// A text, in the encoding of the value that it stands for.
    Text,
    /// Bytes that are no text.
    Bytes,
    /// A whole number.
    Integer(i128),
    /// A floating-point number.
    Real(f64),
    /// A truth value.
    Boolean(bool),
}

/// What a mask made of a value, with its bytes.
#[derive(Clone, Copy, PartialEq)]
pub enum Replacement<'a> {
    /// The value stays.
    Keep,
    /// Another stands in its place. A text is in the encoding of the text that it stands for, and in UTF-8 if that was NULL.
    With(Value<'a>),
}

/// Writes a number's digits: as `write!` does, in half the time.
pub(super) fn put_number(number: u64, out: &mut Vec<u8>) {
    let (mut place, mut from, mut left) = ([0; 20], 20, number);
    loop {
        from -= 1;
        place[from] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            return out.extend_from_slice(&place[from..]);
        }
    }
}

/// Characters of a text: those that are no UTF-8 come as one replacement character a sequence.
pub(super) fn characters(text: &[u8]) -> impl Iterator<Item = char> + '_ {
    text.utf8_chunks().flat_map(|chunk| {
        let broken = (!chunk.invalid().is_empty()).then_some(char::REPLACEMENT_CHARACTER);
        chunk.valid().chars().chain(broken)
    })
}

/// How many characters a text has, those that are no UTF-8 included.
pub(super) fn length(text: &[u8]) -> usize {
    if text.is_ascii() {
        return text.len();
    }
    text.utf8_chunks()
        .map(|chunk| chunk.valid().chars().count() + chunk.invalid().len())
        .sum()
}

/// A text in UTF-8, whatever it came in. Of ASCII and of bytes whose encoding nobody knows nothing is changed.
pub(super) fn as_utf8(bytes: &[u8], encoding: Encoding) -> Cow<'_, [u8]> {
    if encoding != Encoding::Latin1 || bytes.is_ascii() {
        return Cow::Borrowed(bytes);
    }
    let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
    Cow::Owned(text.into_bytes())
}

/// UTF-8 to ISO 8859-1, in place. What it has not becomes a question mark.
pub(super) fn to_latin1(text: &mut Vec<u8>) {
    if text.is_ascii() {
        return;
    }
    let converted = characters(text)
        .map(|c| u8::try_from(c).unwrap_or(b'?'))
        .collect();
    *text = converted;
}

/// Cuts a text to so many characters; in an encoding that nobody knows, to so many bytes.
pub(super) fn cut(text: &mut Vec<u8>, longest: usize, encoding: Encoding) {
    if text.len() <= longest {
        return;
    }
    if encoding == Encoding::Unknown {
        text.truncate(longest);
        return;
    }
    let mut left = longest;
    let mut end = 0;
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            if left == 0 {
                return text.truncate(end);
            }
            (left, end) = (left - 1, end + c.len_utf8());
        }
        let broken = chunk.invalid().len().min(left);
        (left, end) = (left - broken, end + broken);
        if broken < chunk.invalid().len() {
            return text.truncate(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_same_value_has_one_text_whatever_it_came_as() {
        assert_eq!(&*Value::Integer(-42).canonical(), b"-42");
        assert_eq!(&*Value::text("-42").canonical(), b"-42");
        assert_eq!(&*Value::Real(0.5).canonical(), b"0.5");
        assert_eq!(Value::Real(f64::MAX).canonical().len(), 309);
        let smallest = Value::Integer(i128::MIN);
        assert_eq!(&*smallest.canonical(), i128::MIN.to_string().as_bytes());
        let latin = Value::Text(b"Zo\xeb", Encoding::Latin1);
        assert_eq!(&*latin.canonical(), "Zoë".as_bytes());
    }

    #[test]
    fn no_value_is_shown() {
        let shown = format!(
            "{:?} {:?} {:?} {:?}",
            Value::text("secret"),
            Value::Bytes(b"secret"),
            Value::Integer(4711),
            Value::Real(4711.0)
        );
        assert_eq!(shown, "Text(6 bytes, Utf8) Bytes(6 bytes) Integer Real");
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        let cut_to = |text: &[u8], longest, encoding| {
            let mut text = text.to_vec();
            cut(&mut text, longest, encoding);
            text
        };
        assert_eq!(
            cut_to("Zoë Müller".as_bytes(), 3, Encoding::Utf8),
            "Zoë".as_bytes()
        );
        assert_eq!(cut_to(b"a\xff\xfe\xfdb", 3, Encoding::Utf8), b"a\xff\xfe");
        assert_eq!(cut_to("Zoë".as_bytes(), 3, Encoding::Unknown), b"Zo\xc3");
        assert_eq!(cut_to(b"abc", 9, Encoding::Utf8), b"abc");
    }

    proptest! {
        #[test]
        fn what_is_cut_is_as_long_as_it_may_be(text: Vec<u8>, longest in 0_usize..20) {
            let mut cut_text = text.clone();
            cut(&mut cut_text, longest, Encoding::Utf8);
            prop_assert!(text.starts_with(&cut_text));
            prop_assert_eq!(length(&cut_text), length(&text).min(longest));
        }

        #[test]
        fn a_number_has_its_digits(number: u64, bits in 0_u32..64) {
            let mut out = Vec::new();
            put_number(number >> bits, &mut out);
            prop_assert_eq!(out, (number >> bits).to_string().into_bytes());
        }
    }
}
