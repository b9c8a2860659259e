//! Which values tell of one person, and their hashes.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

/// Shorter values are in many rows, and longer ones are texts.
const SHORTEST: usize = 5;
pub(in crate::run) const LONGEST: usize = 200;

/// Hashes under a key that this process has drawn, and that is never written anywhere.
#[derive(Debug, Clone, Default)]
pub(in crate::run) struct Hasher(RandomState);

impl Hasher {
    /// The hash of a value, without the blanks around it, in capitals or not.
    pub(in crate::run) fn of(&self, value: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        let mut place = [0; LONGEST];
        for piece in value.trim_ascii().chunks(LONGEST) {
            let small = &mut place[..piece.len()];
            small.copy_from_slice(piece);
            small.make_ascii_lowercase();
            hasher.write(small);
        }
        hasher.finish()
    }
}

/// Whether a value is hardly anybody else's: an address, a number of nine digits or more, letters with digits, several words.
pub(in crate::run) fn is_telling(value: &[u8]) -> bool {
    let value = value.trim_ascii();
    if !(SHORTEST..=LONGEST).contains(&value.len()) {
        return false;
    }
    let mut counts = Counts::default();
    for byte in value {
        counts.add(*byte);
    }
    let Counts {
        letters,
        digits,
        words,
        ..
    } = counts;
    match () {
        () if counts.has_at => letters > 2,
        () if letters == 0 => digits >= 9 && !is_moment_or_fraction(value),
        // A moment with its zone: 2026-01-02T03:04:05Z.
        () if digits > 0 => {
            value.len() >= 8
                && letters + digits >= 8
                && !(letters < 5 && is_moment_or_fraction(value))
        }
        () if words > 1 => letters >= 9,
        () => letters >= 16,
    }
}

#[derive(Default)]
struct Counts {
    letters: usize,
    digits: usize,
    words: usize,
    has_at: bool,
    is_in_word: bool,
}

impl Counts {
    fn add(&mut self, byte: u8) {
        let is_letter = byte.is_ascii_alphabetic() || byte >= 0x80;
        self.letters += usize::from(is_letter);
        self.digits += usize::from(byte.is_ascii_digit());
        self.has_at |= byte == b'@';
        let is_of_word = !byte.is_ascii_whitespace();
        self.words += usize::from(is_of_word && !self.is_in_word);
        self.is_in_word = is_of_word;
    }
}

/// Days, times, and numbers with a point: many rows have the same.
fn is_moment_or_fraction(value: &[u8]) -> bool {
    let is_digits = |range: std::ops::Range<usize>| {
        value
            .get(range)
            .is_some_and(|part| part.iter().all(u8::is_ascii_digit))
    };
    let is_day = is_digits(0..4) && is_digits(5..7) && is_digits(8..10) && value[4] == value[7];
    let is_time = is_digits(0..2) && is_digits(3..5) && value.get(2) == Some(&b':');
    let mut parts = value.split(|byte| *byte == b'.');
    let has_point = parts.next().is_some() && parts.next().is_some() && parts.next().is_none();
    let is_fraction = has_point
        && value
            .iter()
            .all(|byte| byte.is_ascii_digit() || b".-+eE".contains(byte));
    // 0000000000, 1111111111
    let is_one_digit = value.iter().all(|byte| *byte == value[0]);
    is_day || is_time || is_fraction || is_one_digit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tells_of_one_person_is_told_from_what_does_not() {
        for value in [
            "ada@example.com",
            "+44 20 7946 0958",
            "12 Baker Street",
            "Ada Lovelace",
            "DE89370400440532013000",
            "4f2c1a90-7b1e-4e5b-9b40-0a8d8e8c2f11",
            "Müller-Lüdenscheidt, Klöbner",
            "sk_live_abcdef123",
        ] {
            assert!(is_telling(value.as_bytes()), "{value}");
        }
        for value in [
            "",
            "Anna",
            "London",
            "Georgia",
            "published",
            "12345678",
            "2026-01-02",
            "2026-01-02 03:04:05.678901+00",
            "2026-01-02T03:04:05Z",
            "03:04:05.123456789",
            "0.123456789012",
            "000000000000",
            "v1.2.3",
            "New York",
            "true",
        ] {
            assert!(!is_telling(value.as_bytes()), "{value}");
        }
        assert!(!is_telling(&[b'a'; LONGEST + 1]));
    }

    #[test]
    fn a_hash_knows_neither_capitals_nor_blanks_around() {
        let hasher = Hasher::default();
        assert_eq!(
            hasher.of(b" Ada@Example.com  "),
            hasher.of(b"ada@example.com")
        );
        assert_ne!(hasher.of(b"ada@example.com"), hasher.of(b"bob@example.com"));
        // Of nobody else.
        assert_ne!(
            hasher.of(b"ada@example.com"),
            Hasher::default().of(b"ada@example.com")
        );
    }
}
