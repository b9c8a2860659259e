//! `php_serialized`.

use std::borrow::Cow;
use std::io::Write as _;

use serde::Deserialize;

use super::contract::{About, Mask, Need, Options, Refused, Site};
use super::paths::{Leaves, OPTIONS, Paths, Step};
use crate::error::Result;
use crate::mask::column::{Column, Fit, Type, Uniqueness};
use crate::mask::row::Given;
use crate::mask::value::{Encoding, Masked, Value};

pub(in crate::mask) const ABOUT: About = About {
    name: "php_serialized",
    what: "What PHP's serialize() made, whose values are masked by their paths; keys and classes stay.",
    options: OPTIONS,
    examples: &[(
        "{ kind = \"php_serialized\", paths = { email = \"email\" }, default = \"text\" }",
        "a:2:{s:5:\"email\";s:16:\"ada@lovelace.org\";s:4:\"city\";s:6:\"London\";}",
    )],
    note: "Lengths are counted anew; numbers and truths stay such where what becomes of them is one. What PHP could not read becomes `N;`, its NULL, and so do values of classes that write themselves \
           (`C:`), and what is too long for its column afterwards. Without `default` a column is not masked for those who require \
           masks.",
};

/// Deeper values are none for us.
const DEEPEST: usize = 128;

#[derive(Debug, Clone, Deserialize)]
#[serde(transparent, bound = "K: Deserialize<'de>")]
pub(in crate::mask) struct PhpSerialized<K>(Paths<K>);

impl<K: Options> Options for PhpSerialized<K> {
    fn keeps_parts(&self) -> bool {
        true
    }

    fn check(&self) -> Result<(), String> {
        self.0.check()
    }

    fn fit(&self, column: &Column) -> Fit {
        match &column.kind {
            Type::Text { .. } | Type::Bytes { .. } => Fit::Fits,
            other => Fit::no_text(other),
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
        let is_bytes = matches!(site.column.kind, Type::Bytes { .. });
        Ok(Box::new(PhpMask(self.0.compile(site)?, is_bytes)))
    }
}

struct PhpMask(Leaves, bool);

impl Mask for PhpMask {
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
        let done = scan.value().map(|()| scan.at == met.len());
        match done {
            Ok(true) if self.0.has_room_for(scan.out) => {}
            Err(Stop::Refused(refused)) => return Err(refused),
            _ => {
                out.clear();
                out.extend_from_slice(b"N;");
            }
        }
        Ok(if self.1 { Masked::Bytes } else { Masked::Text })
    }
}

/// Why a value is not read to its end.
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
    fn take(&mut self, count: usize) -> Result<&'a [u8], Stop> {
        let end = self.at.checked_add(count).ok_or(Stop::Broken)?;
        let taken = self.text.get(self.at..end).ok_or(Stop::Broken)?;
        self.at += count;
        Ok(taken)
    }

    fn expect(&mut self, sign: &[u8]) -> Result<(), Stop> {
        if self.take(sign.len())? == sign {
            Ok(())
        } else {
            Err(Stop::Broken)
        }
    }

    /// What stands before a sign, which is taken, too.
    fn until(&mut self, sign: u8) -> Result<&'a [u8], Stop> {
        let rest = &self.text[self.at..];
        // Numbers and the like: no more than that many bytes.
        let end = rest
            .iter()
            .take(64)
            .position(|byte| *byte == sign)
            .ok_or(Stop::Broken)?;
        self.at += end + 1;
        Ok(&rest[..end])
    }

    fn count(&mut self, sign: u8) -> Result<usize, Stop> {
        let digits = self.until(sign)?;
        let is_count = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        let number = is_count
            .then(|| std::str::from_utf8(digits).ok()?.parse().ok())
            .flatten();
        number.ok_or(Stop::Broken)
    }

    /// `5:"hello"`.
    fn counted(&mut self) -> Result<&'a [u8], Stop> {
        let length = self.count(b':')?;
        self.expect(b"\"")?;
        let text = self.take(length)?;
        self.expect(b"\"")?;
        Ok(text)
    }

    fn value(&mut self) -> Result<(), Stop> {
        let from = self.at;
        let sign = self.take(2)?;
        match sign {
            b"N;" => self.leaf(Value::Null, from),
            b"b:" => match self.until(b';')? {
                b"0" => self.leaf(Value::Boolean(false), from),
                b"1" => self.leaf(Value::Boolean(true), from),
                _ => Err(Stop::Broken),
            },
            b"i:" => {
                let number = std::str::from_utf8(self.until(b';')?)
                    .ok()
                    .and_then(|text| text.parse::<i64>().ok());
                let number = number.ok_or(Stop::Broken)?;
                self.leaf(Value::Integer(i128::from(number)), from)
            }
            b"d:" => {
                let digits = self.until(b';')?;
                let fine = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
                if digits.is_empty() || !digits.iter().all(fine) {
                    return Err(Stop::Broken);
                }
                self.leaf(Value::Text(digits, Encoding::Utf8), from)
            }
            b"s:" => {
                let text = self.counted()?;
                self.expect(b";")?;
                self.leaf(Value::Text(text, Encoding::Utf8), from)
            }
            b"a:" => self.members(from),
            b"O:" => {
                self.counted()?;
                self.expect(b":")?;
                self.members(from)
            }
            // An enumeration's case, and what was there before.
            b"E:" => {
                self.counted()?;
                self.expect(b";")?;
                self.stays(from);
                Ok(())
            }
            b"r:" | b"R:" => {
                self.count(b';')?;
                self.stays(from);
                Ok(())
            }
            _ => Err(Stop::Broken),
        }
    }

    fn stays(&mut self, from: usize) {
        self.out.extend_from_slice(&self.text[from..self.at]);
    }

    fn members(&mut self, from: usize) -> Result<(), Stop> {
        if self.path.len() >= DEEPEST {
            return Err(Stop::Broken);
        }
        let count = self.count(b':')?;
        self.expect(b"{")?;
        self.stays(from);
        for _ in 0..count {
            let from = self.at;
            let step = match self.take(2)? {
                b"i:" => {
                    let number = self.until(b';')?;
                    let place = std::str::from_utf8(number)
                        .ok()
                        .and_then(|text| text.parse().ok());
                    place.map_or(Step::Key(Cow::Borrowed(number)), Step::Place)
                }
                b"s:" => {
                    let key = self.counted()?;
                    self.expect(b";")?;
                    Step::Key(Cow::Borrowed(property(key)))
                }
                _ => return Err(Stop::Broken),
            };
            self.stays(from);
            self.path.push(step);
            self.value()?;
            self.path.pop();
        }
        let from = self.at;
        self.expect(b"}")?;
        self.stays(from);
        Ok(())
    }

    /// A single value, which has been read from `from` on.
    fn leaf(&mut self, value: Value<'_>, from: usize) -> Result<(), Stop> {
        let Some(leaf) = self.leaves.at(&self.path) else {
            self.stays(from);
            return Ok(());
        };
        self.made.clear();
        let Some(masked) = leaf
            .mask(value, self.given, &mut self.made)
            .map_err(Stop::Refused)?
        else {
            self.stays(from);
            return Ok(());
        };
        let out = &mut *self.out;
        let written = match masked {
            Masked::Integer(number) => match i64::try_from(number) {
                Ok(number) => write!(out, "i:{number};"),
                Err(_) => write!(out, "N;"),
            },
            Masked::Real(number) if number.is_finite() => write!(out, "d:{number};"),
            Masked::Null | Masked::Real(_) => write!(out, "N;"),
            Masked::Boolean(truth) => write!(out, "b:{};", u8::from(truth)),
            Masked::Text | Masked::Bytes => {
                self.leaves.fold(&mut self.made);
                // What was no text stays none, if it can.
                let sign = &self.text[from..from + 2];
                let was = self.text.get(from + 2..self.at - 1).unwrap_or_default();
                let made = match (sign, &self.made[..]) {
                    (b"b:", b"true") => &b"1"[..],
                    (b"b:", b"false") => &b"0"[..],
                    (_, made) => made,
                };
                let is_other = matches!(sign, b"i:" | b"d:" | b"b:");
                if is_other && (made == was || stays_a(sign, made)) {
                    out.extend_from_slice(sign);
                    out.extend_from_slice(made);
                    out.push(b';');
                    return Ok(());
                }
                write!(out, "s:{}:\"", self.made.len()).map(|()| {
                    out.extend_from_slice(&self.made);
                    out.extend_from_slice(b"\";");
                })
            }
        };
        written.expect("memory takes everything");
        Ok(())
    }
}

/// Whether a text can be written as a value of the type that it was made of.
fn stays_a(sign: &[u8], made: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(made) else {
        return false;
    };
    match sign {
        b"i:" => text
            .parse::<i64>()
            .is_ok_and(|number| number.to_string() == text),
        b"d:" => text.parse::<f64>().is_ok_and(f64::is_finite),
        b"b:" => matches!(text, "0" | "1"),
        _ => false,
    }
}

/// A property's name without the class that it is private to, or the star of those that are protected.
fn property(key: &[u8]) -> &[u8] {
    match key {
        [0, rest @ ..] => rest.splitn(2, |byte| *byte == 0).nth(1).unwrap_or(key),
        key => key,
    }
}
