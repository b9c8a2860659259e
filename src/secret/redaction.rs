//! Known secrets, struck out of what other programs print.
//!
//! A hook that says what it does (`sh -x`, `curl -v`, `env`) says the passwords that it was given, too. Each secret that this
//! process has fetched, and each value of `env_dir`, is known here; whoever puts a program's words into a log or an error lets
//! them go through a [`Redaction`] first. Known are also the forms that programs print them in: URL-encoded, in quotes and
//! with escapes, in Base64 and in hexadecimal digits.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::sync::Mutex;

/// Shorter ones are not struck out: `1`, `on` and `app` are in every second line.
pub const SHORTEST: usize = 4;

/// What stands in a secret's place.
const STRUCK: &str = "***";

/// How much of the end or the beginning of a secret is taken for it where a line breaks in the middle of it.
const PIECE: usize = 4;

static KNOWN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// From now on this value is struck out of what programs print. Of several lines, each is.
pub fn know(value: &str) {
    let mut known = KNOWN.lock();
    for line in value.lines().map(str::trim) {
        if line.len() >= SHORTEST {
            known.insert(line.to_owned());
        }
    }
}

/// Strikes out of the lines of one stream what is known when it begins. Values that a line break cuts in two are known by
/// their pieces.
#[derive(Clone, Default)]
pub struct Redaction {
    /// The longest first, so that one that begins with another goes as a whole.
    values: Vec<Vec<u8>>,
    /// Without quotes and backslashes.
    bare: Vec<Vec<u8>>,
    /// What the next line may begin with: the rest of one that the last line ended with the beginning of.
    rest: Vec<Vec<u8>>,
}

impl Redaction {
    /// With all that is known now.
    pub fn known() -> Self {
        let known = KNOWN.lock();
        Self::of(known.iter().map(String::as_str))
    }

    pub(crate) fn of<'a>(secrets: impl Iterator<Item = &'a str>) -> Self {
        let (mut values, mut bare) = (BTreeSet::new(), BTreeSet::new());
        for secret in secrets {
            values.extend(forms(secret));
            let without = secret
                .bytes()
                .filter(|byte| !is_mark(*byte))
                .collect::<Vec<_>>();
            if without.len() >= SHORTEST {
                bare.insert(without);
            }
        }
        let longest_first = |found: BTreeSet<Vec<u8>>| {
            let mut found: Vec<_> = found.into_iter().collect();
            found.sort_by_key(|value| std::cmp::Reverse(value.len()));
            found
        };
        Self {
            values: longest_first(values),
            bare: longest_first(bare),
            rest: Vec::new(),
        }
    }

    /// A whole text, line by line.
    pub fn text(mut self, text: &str) -> String {
        let lines: Vec<String> = text
            .lines()
            .map(|line| self.line(line.as_bytes()))
            .collect();
        lines.join("\n")
    }

    /// How much of a line that is too long has to be kept for the next piece of it.
    pub fn longest(&self) -> usize {
        // Each byte of it may be URL-encoded, or have an escape.
        self.values.first().map_or(0, |value| value.len() * 3)
    }

    /// The next line.
    pub fn line(&mut self, line: &[u8]) -> String {
        if self.values.is_empty() {
            return String::from_utf8_lossy(line).into_owned();
        }
        let mut struck = vec![false; line.len()];
        strike(line, &identity(line), &self.values, &mut struck);
        strike(line, &url_decoded(line), &self.values, &mut struck);
        strike(line, &without_marks(line), &self.bare, &mut struck);
        self.across(line, &mut struck);
        let mut made = Vec::with_capacity(line.len());
        for (at, byte) in line.iter().enumerate() {
            if !struck[at] {
                made.push(*byte);
            } else if at == 0 || !struck[at - 1] {
                made.extend_from_slice(STRUCK.as_bytes());
            }
        }
        String::from_utf8_lossy(&made).into_owned()
    }

    /// What this line has of a secret that goes on in the next one, or began in the last.
    fn across(&mut self, line: &[u8], struck: &mut [bool]) {
        let trimmed = line.trim_ascii();
        let from = line.len() - line.trim_ascii_start().len();
        let mut next = Vec::new();
        for rest in std::mem::take(&mut self.rest) {
            if trimmed.starts_with(&rest) {
                struck[from..from + rest.len()].fill(true);
            } else if trimmed.len() >= PIECE && rest.starts_with(trimmed) {
                struck[from..from + trimmed.len()].fill(true);
                next.push(rest[trimmed.len()..].to_vec());
            }
        }
        let end = from + trimmed.len();
        for value in &self.values {
            let longest = trimmed.len().min(value.len() - 1);
            // Where a secret repeats itself, it may have begun in more than one place.
            for length in (1..=longest).filter(|length| trimmed.ends_with(&value[..*length])) {
                if length >= PIECE {
                    struck[end - length..end].fill(true);
                }
                if length > 1 || value.len() - length >= PIECE {
                    // A blank that the line broke at is not compared.
                    next.push(value[length..].trim_ascii_start().to_vec());
                }
            }
        }
        self.rest = next;
    }
}

/// Values in it may be secrets.
impl std::fmt::Debug for Redaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redaction").finish_non_exhaustive()
    }
}

/// A reading of a line: bytes, each with the range of the line that it stands for.
type Reading = Vec<(u8, usize, usize)>;

fn identity(line: &[u8]) -> Reading {
    line.iter()
        .enumerate()
        .map(|(at, byte)| (*byte, at, at + 1))
        .collect()
}

fn url_decoded(line: &[u8]) -> Reading {
    let digit = |at: usize| {
        line.get(at)
            .and_then(|byte| char::from(*byte).to_digit(16))
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let mut made = Vec::with_capacity(line.len());
    let mut at = 0;
    while at < line.len() {
        let (byte, length) = match (line[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => (high << 4 | low, 3),
            (b'+', ..) => (b' ', 1),
            (byte, ..) => (byte, 1),
        };
        made.push((byte, at, at + length));
        at += length;
    }
    made
}

/// Quotes and backslashes: what shells and JSON put between the letters of a value.
fn is_mark(byte: u8) -> bool {
    matches!(byte, b'\'' | b'"' | b'\\')
}

fn without_marks(line: &[u8]) -> Reading {
    let mut made = identity(line);
    made.retain(|(byte, ..)| !is_mark(*byte));
    made
}

fn strike(line: &[u8], reading: &Reading, values: &[Vec<u8>], struck: &mut [bool]) {
    let bytes: Vec<u8> = reading.iter().map(|(byte, ..)| *byte).collect();
    for value in values {
        let mut from = 0;
        while let Some(found) = find(&bytes[from..], value) {
            let at = from + found;
            let (_, start, _) = reading[at];
            let (.., end) = reading[at + value.len() - 1];
            struck[start..end.min(line.len())].fill(true);
            from = at + 1;
        }
    }
}

fn find(bytes: &[u8], value: &[u8]) -> Option<usize> {
    bytes
        .windows(value.len())
        .position(|window| window == value)
}

/// A shorter encoded form would be found where it is not.
const LEAST: usize = 8;

/// A secret as programs print it.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let mut made = vec![secret.as_bytes().to_vec()];
    let mut hex = String::new();
    for byte in secret.bytes() {
        let _ = write!(hex, "{byte:02x}");
    }
    if hex.len() >= LEAST {
        made.push(hex.to_uppercase().into_bytes());
        made.push(hex.into_bytes());
    }
    for shift in 0..3 {
        let core = base64_core(secret.as_bytes(), shift);
        if core.len() >= LEAST {
            let for_urls = core
                .iter()
                .map(|byte| match byte {
                    b'+' => b'-',
                    b'/' => b'_',
                    byte => *byte,
                })
                .collect::<Vec<_>>();
            made.push(for_urls);
            made.push(core);
        }
    }
    made
}

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The letters that the bytes have in Base64 whatever stands before and after them, with so many bytes of a group before.
fn base64_core(bytes: &[u8], shift: usize) -> Vec<u8> {
    let bit = |at: usize| bytes[at / 8] >> (7 - at % 8) & 1;
    // The first letter that has bits of ours alone.
    let first = (6 - shift * 8 % 6) % 6;
    let mut made = Vec::new();
    let mut at = first;
    while at + 6 <= bytes.len() * 8 {
        let letter = (at..at + 6).fold(0, |letter, at| letter << 1 | bit(at));
        made.push(LETTERS[usize::from(letter)]);
        at += 6;
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECRET: &str = "t0p's/ec+ret 99";

    fn struck(text: &str) -> String {
        Redaction::of([SECRET, "s3cret", "s3cret-and-more"].into_iter()).text(text)
    }

    #[test]
    fn a_secret_is_struck_out_in_every_form_that_programs_print() {
        for (said, expected) in [
            ("+ test -n s3cret", "+ test -n ***"),
            ("a=s3crets3cret.", "a=***."),
            ("s3cret-and-more s3cret-and", "*** ***"),
            ("pw=t0p's/ec+ret 99!", "pw=***!"),
            (
                "postgresql://u:t0p%27s%2fec%2Bret%2099@h/d",
                "postgresql://u:***@h/d",
            ),
            (
                "postgresql://u:t0p%27s/ec%2Bret+99@h/d",
                "postgresql://u:***@h/d",
            ),
            ("+ psql 't0p'\\''s/ec+ret 99'", "+ psql '***'"),
            ("+ psql 't0p'\"'\"'s/ec+ret 99'", "+ psql '***'"),
            ("{\"pw\": \"t0p's\\/ec+ret 99\"}", "{\"pw\": \"***\"}"),
            ("733363726574", "***"),
        ] {
            assert_eq!(struck(said), expected, "{said}");
        }
        // `user:s3cret-and-more`, `u:s3cret-and-more`, `us:s3cret-and-more`.
        for encoded in [
            "dXNlcjpzM2NyZXQtYW5kLW1vcmU=",
            "dTpzM2NyZXQtYW5kLW1vcmU=",
            "dXM6czNjcmV0LWFuZC1tb3Jl",
        ] {
            let line = struck(&format!("authorization: Basic {encoded}"));
            assert!(line.contains("***"), "{line}");
            assert!(line.len() < 40, "{line}");
        }
        assert_eq!(struck("nothing of it"), "nothing of it");
    }

    #[test]
    fn what_a_line_break_cuts_in_two_is_struck_out_in_pieces() {
        assert_eq!(
            struck("pw=t0p's/ec\n+ret 99, and on"),
            "pw=***\n***, and on"
        );
        assert_eq!(
            struck("t0p's\n/ec+\nret 99 t0p's"),
            "***\n***\n*** ***",
            "in three"
        );
        assert_eq!(struck("s3\ncret-and-more"), "s3\n***");
        assert_eq!(struck("it ends in s3"), "it ends in s3");
    }

    #[test]
    fn what_is_short_is_left_alone_and_each_line_of_a_long_one_is_known() {
        know("on");
        know("-----BEGIN KEY-----\nMIIredactionTEST\n");
        let text = Redaction::known().text("it is on: MIIredactionTEST");
        assert_eq!(text, "it is on: ***");
    }

    proptest! {
        #[test]
        fn no_secret_survives_wherever_it_stands(
            secret in "[!-~]{4,20}",
            before in "[ -~]{0,20}",
            after in "[ -~]{0,20}",
        ) {
            let redaction = Redaction::of([secret.as_str()].into_iter());
            let line = redaction.text(&format!("{before}{secret}{after}"));
            prop_assume!(!STRUCK.contains(secret.as_str()));
            // What stands around it may make another one with the asterisks.
            prop_assert!(!line.replace(STRUCK, "\u{0}").contains(&secret), "{}", line);
        }
    }
}
