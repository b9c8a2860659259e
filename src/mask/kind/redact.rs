//! `redact`.

use serde::Deserialize;

use super::contract::{About, Mask, Need, Options, Refused, Site};
use super::digits::Rows;
use super::internet::Email;
use crate::error::Result;
use crate::mask::column::{Column, Fit, Type, Uniqueness};
use crate::mask::row::Given;
use crate::mask::value::{Canonical, Encoding, Masked, Value};

pub(in crate::mask) const ABOUT: About = About {
    name: "redact",
    what: "Free text in which e-mail addresses, numbers of six digits or more, and values of other columns of the row are masked; \
           the rest stays.",
    options: &[(
        "of",
        "a list of columns",
        "where their values are found, in capitals or not, their masked values stand; values of fewer than three bytes are not \
         looked for",
    )],
    examples: &[(
        "\"redact\"",
        "Ada (ada@lovelace.org, +44 20 7946 0958) called again on Monday.",
    )],
    note: "Addresses become those that `email` makes, and digits those that `digits` makes, so that they are the same as in columns \
           with these kinds. Blanks, hyphens, points, slashes and brackets between digits stay; dates are numbers like any other. \
           A name that is in no column of `of` stays: a text that must not have any is for `text`.",
};

/// A number has so many digits.
const FEWEST_DIGITS: usize = 6;

/// Shorter values would be found in every word.
const SHORTEST: usize = 3;

/// RFC 5321: no part of an address is longer.
const LONGEST_PART: usize = 255;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::mask) struct Redact {
    #[serde(default)]
    of: Vec<String>,
}

impl Options for Redact {
    fn keeps_parts(&self) -> bool {
        true
    }

    fn fit(&self, column: &Column) -> Fit {
        Fit::of_text(column, None)
    }

    fn uniqueness(&self, _column: &Column) -> Uniqueness {
        Uniqueness::Lossy
    }

    fn needs(&self) -> Vec<Need> {
        self.of.iter().cloned().map(Need::Masked).collect()
    }

    fn compile(&self, site: &Site<'_>) -> Result<Box<dyn Mask>> {
        let anywhere = Column {
            name: site.column.name.clone(),
            kind: Type::TEXT,
            is_nullable: true,
        };
        Ok(Box::new(RedactMask {
            email: Email::plain().compile(&Site {
                column: &anywhere,
                ..*site
            })?,
            digits: Rows::new(site.key, "digits", false, false, &[&[0]]),
            of: self.of.iter().map(|name| (site.place)(name)).collect(),
        }))
    }
}

struct RedactMask {
    email: Box<dyn Mask>,
    digits: Rows,
    of: Vec<usize>,
}

/// What is found at a place of a text, and how long it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    Nothing,
    /// One of the values that are looked for.
    Value(usize),
    Address,
    Number,
}

/// A value that is looked for, and what stands for it.
struct Sought<'a> {
    raw: Canonical<'a>,
    masked: Canonical<'a>,
}

fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || b".!#$%&*+/=?^_{|}~-".contains(&byte)
}

fn is_domain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || b".-".contains(&byte)
}

/// The length of a run of bytes.
fn run(text: &[u8], is_in: impl Fn(u8) -> bool) -> usize {
    text.iter()
        .take(LONGEST_PART)
        .take_while(|byte| is_in(**byte))
        .count()
}

/// The length of an address at the beginning of a text, or that of what might have been one and is none.
fn address(text: &[u8]) -> Result<usize, usize> {
    let local = run(text, is_local);
    if local == 0 || text.get(local) != Some(&b'@') {
        return Err(local);
    }
    let after = &text[local + 1..];
    let mut domain = run(after, is_domain);
    while domain > 0 && b".-".contains(&after[domain - 1]) {
        domain -= 1;
    }
    if domain == 0 {
        Err(local)
    } else {
        Ok(local + 1 + domain)
    }
}

/// The length of a number at the beginning of a text, or that of what might have been one and has too few digits.
fn number(text: &[u8]) -> Result<usize, usize> {
    let (mut digits, mut end, mut between) = (0, 0, 0);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'0'..=b'9' => (digits, end, between) = (digits + 1, at + 1, 0),
            // The last two: a blank that does not break.
            b' ' | b'-' | b'.' | b'/' | b'(' | b')' | b'+' | 0xc2 | 0xa0 if between < 3 => {
                between += 1;
            }
            _ => break,
        }
    }
    if digits >= FEWEST_DIGITS {
        Ok(end)
    } else {
        Err(end.max(1))
    }
}

impl RedactMask {
    fn scan(
        &self,
        met: &[u8],
        sought: &[Sought<'_>],
        given: &Given<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        let mut begins = [false; 256];
        for byte in sought.iter().filter_map(|one| one.raw.first()) {
            begins[usize::from(byte.to_ascii_lowercase())] = true;
            begins[usize::from(byte.to_ascii_uppercase())] = true;
        }
        // Up to where there is no address and no number: what has been looked at is not looked at again.
        let (mut no_address, mut no_number) = (0, 0);
        let mut at = 0;
        while let Some(byte) = met.get(at) {
            let rest = &met[at..];
            let (mut found, mut length) = (Found::Nothing, 0);
            if begins[usize::from(*byte)] {
                let here = |one: &Sought<'_>| {
                    rest.get(..one.raw.len())
                        .is_some_and(|text| text.eq_ignore_ascii_case(&one.raw))
                };
                if let Some(which) = sought.iter().position(here) {
                    (found, length) = (Found::Value(which), sought[which].raw.len());
                }
            }
            if at >= no_address && is_local(*byte) {
                match address(rest) {
                    Ok(longer) if longer > length => (found, length) = (Found::Address, longer),
                    Ok(_) => {}
                    Err(none) => no_address = at + none,
                }
            }
            if at >= no_number && (byte.is_ascii_digit() || *byte == b'+') {
                match number(rest) {
                    Ok(longer) if longer > length => (found, length) = (Found::Number, longer),
                    Ok(_) => {}
                    Err(none) => no_number = at + none,
                }
            }
            match found {
                Found::Nothing => {
                    out.push(*byte);
                    length = 1;
                }
                Found::Value(which) => out.extend_from_slice(&sought[which].masked),
                Found::Address => {
                    let address = Value::Text(&rest[..length], Encoding::Utf8);
                    self.email.mask(address, given, out)?;
                }
                Found::Number => self.digits.in_text(&rest[..length], out),
            }
            at += length;
        }
        Ok(())
    }
}

impl Mask for RedactMask {
    fn mask(
        &self,
        value: Value<'_>,
        given: &Given<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Masked, Refused> {
        let met = value.canonical();
        let mut sought: Vec<Sought<'_>> = Vec::new();
        for place in &self.of {
            let one = Sought {
                raw: given.raw(*place).canonical(),
                masked: match given.masked(*place) {
                    Value::Null => Canonical::Bytes(b"***"),
                    masked => masked.canonical(),
                },
            };
            if one.raw.len() >= SHORTEST {
                sought.push(one);
            }
        }
        sought.sort_by_key(|one| std::cmp::Reverse(one.raw.len()));
        out.reserve(met.len());
        self.scan(&met, &sought, given, out)?;
        Ok(Masked::Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_numbers_end_where_they_end() {
        assert_eq!(address(b"ada@lovelace.org, and"), Ok(16));
        assert_eq!(address(b"ada@lovelace.org."), Ok(16));
        assert_eq!(address(b"ada and"), Err(3));
        assert_eq!(address(b"ada@"), Err(3));
        assert_eq!(number(b"+44 20 7946 0958, or"), Ok(16));
        assert_eq!(number(b"12345 people"), Err(5));
        assert_eq!(number(b"+"), Err(1));
        assert_eq!(number(b"1     23456"), Err(1));
    }
}
