//! Definitions whose bytes are no UTF-8: a default of a binary column, a routine that was made under `SET NAMES binary`.
//! Each such byte is a letter of its own on its way through us, of those at the end of Unicode that nobody uses, and a byte
//! again where a statement is sent. Pure.

use std::borrow::Cow;

/// The letter of the byte 0x80; the others follow.
const FIRST: u32 = 0x0010_ff80;

/// The letter that stands for a byte of 0x80 or more.
fn letter(byte: u8) -> char {
    char::from_u32(FIRST + u32::from(byte) - 0x80).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// The byte that a letter stands for.
fn byte(letter: char) -> Option<u8> {
    let byte = u32::from(letter).checked_sub(FIRST)? + 0x80;
    u8::try_from(byte).ok()
}

/// Bytes as text. What is UTF-8 is itself, but for the letters that stand for bytes: those are taken as bytes, so that
/// [`bytes`] always gives back what there was.
pub(in crate::store::mysql) fn text(bytes: &[u8]) -> String {
    let mut made = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if byte(c).is_some() {
                let mut room = [0; 4];
                made.extend(c.encode_utf8(&mut room).bytes().map(letter));
            } else {
                made.push(c);
            }
        }
        made.extend(chunk.invalid().iter().map(|byte| letter(*byte)));
    }
    made
}

/// Whether letters in it stand for bytes.
pub(in crate::store::mysql) fn has_bytes(text: &str) -> bool {
    memchr::memmem::find(text.as_bytes(), &[0xf4, 0x8f]).is_some()
        && text.chars().any(|c| byte(c).is_some())
}

/// The bytes that a text is of.
pub(in crate::store::mysql) fn bytes(text: &str) -> Cow<'_, [u8]> {
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
    fn text_is_itself_and_bytes_are_letters() {
        assert_eq!(text("größe 😀".as_bytes()), "größe 😀");
        assert!(!has_bytes("größe 😀 \u{10ff7f}"));
        let odd = text(b"DEFAULT '\\0\xff'");
        assert!(has_bytes(&odd) && odd.starts_with("DEFAULT '\\0"));
        assert_eq!(&*bytes(&odd), b"DEFAULT '\\0\xff'");
    }

    #[test]
    fn a_letter_that_stands_for_a_byte_comes_back_as_itself() {
        let odd = "a\u{10ff80}b\u{10ffff}".as_bytes();
        assert_eq!(&*bytes(&text(odd)), odd);
    }

    proptest! {
        #[test]
        fn any_bytes_come_back(all in proptest::collection::vec(any::<u8>(), 0..200)) {
            let read = text(&all);
            prop_assert_eq!(bytes(&read).into_owned(), all);
        }
    }
}
