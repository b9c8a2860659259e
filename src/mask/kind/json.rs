//! `json`.

use std::borrow::Cow;
use std::io::Write as _;

use serde::Deserialize;

use super::contract::{About, Mask, Need, Options, Refused, Site};
use super::paths::{Leaf, Leaves, OPTIONS, Paths, Step};
use crate::error::Result;
use crate::mask::column::{Column, Fit, Type, Uniqueness};
use crate::mask::row::Given;
use crate::mask::value::{Encoding, Masked, Value};

pub(in crate::mask) const ABOUT: About = About {
    name: "json",
    what: "A document of JSON whose values are masked by their paths; keys, order and blanks stay.",
    options: OPTIONS,
    examples: &[
        (
            "{ kind = \"json\", paths = { \"user.email\" = \"email\", id = \"digits\" }, default = \"text\" }",
            "{\"id\": 42, \"user\": {\"email\": \"ada@lovelace.org\", \"likes\": [\"Analysis\"]}}",
        ),
        (
            "{ kind = \"json\", paths = { \"**.token\" = \"null\" } }",
            "{\"token\": \"8f14e45fce\", \"state\": \"open\"}",
        ),
    ],
    note: "What is no JSON becomes `null`, and so does a document that is too long for its column afterwards. A value may change its \
           type: a number under `email` becomes a text. Without `default` a column is not masked for those who require masks. Keys \
           stay: a document whose keys are personal is for `empty`.",
};

/// Documents that are deeper are no JSON for us; PostgreSQL and MySQL stop earlier or later, people long before.
const DEEPEST: usize = 128;

#[derive(Debug, Clone, Deserialize)]
#[serde(transparent, bound = "K: Deserialize<'de>")]
pub(in crate::mask) struct Json<K>(Paths<K>);

impl<K: Options> Options for Json<K> {
    fn keeps_parts(&self) -> bool {
        true
    }

    fn check(&self) -> Result<(), String> {
        self.0.check()
    }

    fn fit(&self, column: &Column) -> Fit {
        match &column.kind {
            Type::Json | Type::Text { .. } => Fit::Fits,
            other => Fit::not(
                format!("is for JSON, and the column holds {other}"),
                "null and fixed fit",
            ),
        }
    }

    fn uniqueness(&self, _column: &Column) -> Uniqueness {
        Uniqueness::Lossy
    }

    fn is_reversible(&self) -> bool {
        self.0.is_reversible()
    }

    fn is_cover(&self) -> bool {
        self.0.is_cover()
    }

    fn needs(&self) -> Vec<Need> {
        self.0.needs()
    }

    fn compile(&self, site: &Site<'_>) -> Result<Box<dyn Mask>> {
        Ok(Box::new(JsonMask(self.0.compile(site)?)))
    }
}

struct JsonMask(Leaves);

impl Mask for JsonMask {
    fn mask(
        &self,
        value: Value<'_>,
        given: &Given<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Masked, Refused> {
        let met = value.canonical();
        let mut scan = Scan {
            text: &met,
            at: 0,
            path: Vec::new(),
            leaves: &self.0,
            given,
            out,
            made: Vec::new(),
        };
        match scan.document() {
            Ok(()) if self.0.has_room_for(scan.out) => {}
            Err(Stop::Refused(refused)) => return Err(refused),
            Ok(()) | Err(Stop::Broken) => {
                out.clear();
                out.extend_from_slice(b"null");
            }
        }
        Ok(Masked::Text)
    }
}

/// Why a document is not read to its end.
enum Stop {
    /// It is none.
    Broken,
    /// A value in it fails the run.
    Refused(Refused),
}

struct Scan<'a> {
    text: &'a [u8],
    at: usize,
    path: Vec<Step<'a>>,
    leaves: &'a Leaves,
    given: &'a Given<'a>,
    out: &'a mut Vec<u8>,
    made: Vec<u8>,
}

impl<'a> Scan<'a> {
    fn document(&mut self) -> Result<(), Stop> {
        self.value()?;
        self.blanks();
        if self.at == self.text.len() {
            Ok(())
        } else {
            Err(Stop::Broken)
        }
    }

    fn peek(&self) -> Result<u8, Stop> {
        self.text.get(self.at).copied().ok_or(Stop::Broken)
    }

    fn blanks(&mut self) {
        let blanks = self.text[self.at..]
            .iter()
            .take_while(|byte| b" \t\r\n".contains(byte))
            .count();
        self.copy(blanks);
    }

    /// Takes so many bytes over as they are.
    fn copy(&mut self, count: usize) {
        self.out
            .extend_from_slice(&self.text[self.at..self.at + count]);
        self.at += count;
    }

    fn expect(&mut self, byte: u8) -> Result<(), Stop> {
        if self.peek()? != byte {
            return Err(Stop::Broken);
        }
        self.copy(1);
        Ok(())
    }

    fn value(&mut self) -> Result<(), Stop> {
        self.blanks();
        match self.peek()? {
            b'{' => self.members(b'}', true),
            b'[' => self.members(b']', false),
            b'"' => {
                let quoted = self.quoted()?;
                self.string(quoted)
            }
            b't' => self.literal(b"true", Value::Boolean(true)),
            b'f' => self.literal(b"false", Value::Boolean(false)),
            b'n' => self.literal(b"null", Value::Null),
            _ => self.number(),
        }
    }

    /// An object's or an array's.
    fn members(&mut self, end: u8, has_keys: bool) -> Result<(), Stop> {
        if self.path.len() >= DEEPEST {
            return Err(Stop::Broken);
        }
        self.copy(1);
        self.blanks();
        if self.peek()? == end {
            self.copy(1);
            return Ok(());
        }
        for place in 0.. {
            let step = if has_keys {
                self.blanks();
                if self.peek()? != b'"' {
                    return Err(Stop::Broken);
                }
                let quoted = self.quoted()?;
                self.out.extend_from_slice(quoted);
                self.blanks();
                self.expect(b':')?;
                Step::Key(unquoted(quoted)?)
            } else {
                Step::Place(place)
            };
            self.path.push(step);
            self.value()?;
            self.path.pop();
            self.blanks();
            let byte = self.peek()?;
            self.copy(1);
            match byte {
                b',' => {}
                byte if byte == end => return Ok(()),
                _ => return Err(Stop::Broken),
            }
        }
        Ok(())
    }

    /// A string with its quotes, which is not written yet.
    fn quoted(&mut self) -> Result<&'a [u8], Stop> {
        let from = self.at;
        let mut at = from + 1;
        loop {
            let found = memchr::memchr2(b'"', b'\\', &self.text[at..]).ok_or(Stop::Broken)?;
            at += found;
            if self.text[at] == b'"' {
                break;
            }
            at += 2;
            if at > self.text.len() {
                return Err(Stop::Broken);
            }
        }
        self.at = at + 1;
        let quoted = &self.text[from..self.at];
        // Control characters stand in no string.
        if quoted.iter().any(|byte| *byte < 0x20) {
            Err(Stop::Broken)
        } else {
            Ok(quoted)
        }
    }

    fn leaf(&self) -> Option<&'a Leaf> {
        self.leaves.at(&self.path)
    }

    fn string(&mut self, quoted: &'a [u8]) -> Result<(), Stop> {
        let text = unquoted(quoted)?;
        let value = Value::Text(&text, Encoding::Utf8);
        if !self.masked(value, true)? {
            self.out.extend_from_slice(quoted);
        }
        Ok(())
    }

    fn literal(&mut self, word: &[u8], value: Value<'_>) -> Result<(), Stop> {
        if !self.text[self.at..].starts_with(word) {
            return Err(Stop::Broken);
        }
        self.at += word.len();
        if !self.masked(value, false)? {
            self.out.extend_from_slice(word);
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), Stop> {
        let is_of = |byte: &&u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
        let length = self.text[self.at..].iter().take_while(is_of).count();
        let text = &self.text[self.at..self.at + length];
        if !is_number(text) {
            return Err(Stop::Broken);
        }
        self.at += length;
        let whole = std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse::<i64>().ok());
        let value = match whole {
            Some(number) => Value::Integer(i128::from(number)),
            None => Value::Text(text, Encoding::Utf8),
        };
        if !self.masked(value, false)? {
            self.out.extend_from_slice(text);
        }
        Ok(())
    }

    /// Writes what becomes of a value; says if it stays.
    fn masked(&mut self, value: Value<'_>, is_string: bool) -> Result<bool, Stop> {
        let Some(leaf) = self.leaf() else {
            return Ok(false);
        };
        self.made.clear();
        let Some(masked) = leaf
            .mask(value, self.given, &mut self.made)
            .map_err(Stop::Refused)?
        else {
            return Ok(false);
        };
        let out = &mut *self.out;
        let written = match masked {
            Masked::Integer(number) => write!(out, "{number}"),
            Masked::Real(number) if number.is_finite() => write!(out, "{number}"),
            Masked::Null | Masked::Real(_) => write!(out, "null"),
            Masked::Boolean(truth) => write!(out, "{truth}"),
            Masked::Text | Masked::Bytes => {
                self.leaves.fold(&mut self.made);
                // What was no string stays none, if it can.
                let is_bare = !is_string
                    && (is_number(&self.made)
                        || [&b"true"[..], b"false"].contains(&&self.made[..]));
                if is_bare {
                    out.extend_from_slice(&self.made);
                } else {
                    quote(&self.made, out);
                }
                Ok(())
            }
        };
        written.expect("memory takes everything");
        Ok(true)
    }
}

/// What a string is without its quotes.
fn unquoted(quoted: &[u8]) -> Result<Cow<'_, [u8]>, Stop> {
    let inside = &quoted[1..quoted.len() - 1];
    if memchr::memchr(b'\\', inside).is_none() {
        return Ok(Cow::Borrowed(inside));
    }
    // Of bytes that are no UTF-8 nothing is known but that they are no escapes.
    let lossy = String::from_utf8_lossy(quoted);
    let text: String = serde_json::from_str(&lossy).map_err(|_| Stop::Broken)?;
    Ok(Cow::Owned(text.into_bytes()))
}

fn quote(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            0..0x20 => write!(out, "\\u{byte:04x}").expect("memory takes everything"),
            byte => out.push(*byte),
        }
    }
    out.push(b'"');
}

/// RFC 8259, section 6.
fn is_number(text: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits(text);
    if whole == 0 || (whole > 1 && text[0] == b'0') {
        return false;
    }
    let mut rest = &text[whole..];
    if let Some(after) = rest.strip_prefix(b".") {
        let count = digits(after);
        if count == 0 {
            return false;
        }
        rest = &after[count..];
    }
    if let [b'e' | b'E', after @ ..] = rest {
        let after = after
            .strip_prefix(b"+")
            .or(after.strip_prefix(b"-"))
            .unwrap_or(after);
        let count = digits(after);
        return count > 0 && count == after.len();
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_standard() {
        for number in ["0", "-0", "10", "1.5", "1e5", "1E+5", "-1.25e-3"] {
            assert!(is_number(number.as_bytes()), "{number}");
        }
        for other in [
            "", "-", "01", "1.", ".5", "1e", "+1", "1e+", "1a", "Infinity",
        ] {
            assert!(!is_number(other.as_bytes()), "{other}");
        }
    }
}
