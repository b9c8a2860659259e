//! Definitions that are not valid UTF-8, as text: a default of a binary column, a routine that was made under `SET NAMES binary`.
//! Each byte that is not UTF-8 becomes a character of its own, from the end of Unicode's private use area, and a byte again when a
//! statement is sent. Pure.

use std::borrow::Cow;

/// The character that stands for the byte 0x80; the others follow.
const FIRST: u32 = 0x0010_ff80;

/// The character that stands for a byte of 0x80 or more.
fn stand_in(byte: u8) -> char {
    char::from_u32(FIRST + u32::from(byte) - 0x80).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// The byte that a character stands for.
fn byte(stand_in: char) -> Option<u8> {
    let byte = u32::from(stand_in).checked_sub(FIRST)? + 0x80;
    u8::try_from(byte).ok()
}

/// Bytes as text. What is UTF-8 is itself, except for the characters that stand for bytes: those are taken as bytes, so that
/// [`encode`] always gives back what there was.
pub(in crate::store::mysql) fn decode(bytes: &[u8]) -> String {
    let mut made = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if byte(c).is_some() {
                let mut room = [0; 4];
                made.extend(c.encode_utf8(&mut room).bytes().map(stand_in));
            } else {
                made.push(c);
            }
        }
        made.extend(chunk.invalid().iter().map(|byte| stand_in(*byte)));
    }
    made
}

/// Whether characters in it stand for bytes.
pub(in crate::store::mysql) fn has_bytes(text: &str) -> bool {
    memchr::memmem::find(text.as_bytes(), &[0xf4, 0x8f]).is_some()
        && text.chars().any(|c| byte(c).is_some())
}

/// The bytes that a text stands for.
pub(in crate::store::mysql) fn encode(text: &str) -> Cow<'_, [u8]> {
    if !has_bytes(text) {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut made = Vec::with_capacity(text.len());
    let mut room = [0; 4];
    for c in text.chars() {
        match byte(c) {
            Some(byte) => made.push(byte),
            None => made.extend_from_slice(c.encode_utf8(&mut room).as_bytes()),
        }
    }
    Cow::Owned(made)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_is_itself_and_bytes_have_characters() {
        assert_eq!(decode("größe 😀".as_bytes()), "größe 😀");
        assert!(!has_bytes("größe 😀 \u{10ff7f}"));
        let odd = decode(b"DEFAULT '\\0\xff'");
        assert!(has_bytes(&odd) && odd.starts_with("DEFAULT '\\0"));
        assert_eq!(&*encode(&odd), b"DEFAULT '\\0\xff'");
    }

    #[test]
    fn a_character_that_stands_for_a_byte_comes_back_as_itself() {
        let odd = "a\u{10ff80}b\u{10ffff}".as_bytes();
        assert_eq!(&*encode(&decode(odd)), odd);
    }

    proptest! {
        #[test]
        fn any_bytes_come_back(all in proptest::collection::vec(any::<u8>(), 0..200)) {
            let read = decode(&all);
            prop_assert_eq!(encode(&read).into_owned(), all);
        }
    }
}
