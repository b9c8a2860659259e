//! `uuid`.

use serde::Deserialize;

use super::ciphered::{Begun, Ciphered};
use super::contract::{About, Mask, Options, Refused, Site};
use super::digits::ONE_WAY;
use crate::error::Result;
use crate::mask::column::{Column, Fit, Type, Uniqueness};
use crate::mask::ff1::{Ff1, Form, Halves, Radix};
use crate::mask::key::Prf;
use crate::mask::value::{Masked, Value};

pub(in crate::mask) const ABOUT: About = About {
    name: "uuid",
    what: "Another UUID of the same version and variant, in the same notation.",
    options: &[ONE_WAY],
    examples: &[("\"uuid\"", "6ba7b810-9dad-11d1-80b4-00c04fd430c8")],
    note: "By FF1 over the 122 bits that are neither version nor variant. The time and the machine that old ones tell are gone. \
           What is no UUID becomes one of version 4.",
};

/// Where version and variant are (RFC 9562): four bits, and two.
const FIXED: u128 = 0xf << 76 | 0x3 << 62;

/// The bits of each half that FF1 changes.
const HALF: u32 = 61;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::mask) struct Uuid {
    #[serde(default)]
    one_way: bool,
}

impl Options for Uuid {
    fn fit(&self, column: &Column) -> Fit {
        match &column.kind {
            Type::Uuid => Fit::Fits,
            Type::Bytes { longest } if longest.is_none_or(|longest| longest >= 16) => Fit::Fits,
            // Those without hyphens have 32 characters.
            Type::Text { longest, .. } if longest.is_none_or(|longest| longest >= 32) => Fit::Fits,
            Type::Text { .. } | Type::Bytes { .. } => Fit::not(
                format!("makes UUIDs, and the column holds {}", column.kind),
                "hash would do",
            ),
            other => Fit::no_text(other),
        }
    }

    fn uniqueness(&self, column: &Column) -> Uniqueness {
        match (&column.kind, self.one_way) {
            (Type::Uuid, false) => Uniqueness::Injective,
            // In a text or in bytes there may be something else, which becomes a UUID by hashing.
            _ => Uniqueness::Distinct { bits: 122 },
        }
    }

    fn is_reversible(&self) -> bool {
        !self.one_way
    }

    fn compile(&self, site: &Site<'_>) -> Result<Box<dyn Mask>> {
        let ff1 = Ff1::new(&site.key.derive(ABOUT.name, "ff1"), Radix::Two);
        Ok(Box::new(UuidMask {
            form: ff1.form(&[], 2 * HALF),
            ff1: (!self.one_way).then_some(ff1),
            prf: site.key.prf(ABOUT.name, ""),
            is_bytes: matches!(site.column.kind, Type::Bytes { .. }),
        }))
    }
}

struct UuidMask {
    ff1: Option<Ff1>,
    form: Form,
    prf: Prf,
    is_bytes: bool,
}

/// The bits of a UUID that are neither version nor variant, in two halves.
fn halves(number: u128) -> Halves {
    // Before the version, between it and the variant, and after that.
    let low = number & ((1 << 62) - 1);
    let middle = number >> 64 & 0xfff;
    let high = number >> 80;
    let packed = high << 74 | middle << 62 | low;
    Halves {
        a: (packed >> HALF) as u64,
        b: packed as u64 & ((1 << HALF) - 1),
    }
}

/// The way back, with zeros for version and variant.
fn number(Halves { a, b }: Halves) -> u128 {
    let packed = u128::from(a) << HALF | u128::from(b);
    let (high, middle) = (packed >> 74, packed >> 62 & 0xfff);
    high << 80 | middle << 64 | packed & ((1 << 62) - 1)
}

impl UuidMask {
    fn hashed(&self, value: &[u8]) -> u128 {
        u128::from_be_bytes(self.prf.of(value).0)
    }

    /// Writes one in the place of a value, in the value's notation if it has one.
    fn put(&self, made: u128, met: &[u8], out: &mut Vec<u8>) -> Masked {
        if self.is_bytes {
            out.extend_from_slice(&made.to_be_bytes());
            return Masked::Bytes;
        }
        write(made, met, out);
        Masked::Text
    }
}

fn is_between(byte: u8) -> bool {
    matches!(byte, b'-' | b'{' | b'}')
}

/// The number that 32 hexadecimal digits are, hyphens and braces left out.
fn read(text: &[u8]) -> Option<u128> {
    let (mut number, mut count) = (0_u128, 0);
    for byte in text {
        if is_between(*byte) {
            continue;
        }
        number = number << 4 | u128::from((*byte as char).to_digit(16)?);
        count += 1;
        if count > 32 {
            return None;
        }
    }
    (count == 32 && text.len() <= 40).then_some(number)
}

/// Writes a number in the notation of `form`.
fn write(number: u128, form: &[u8], out: &mut Vec<u8>) {
    let digits: &[u8; 16] = if form.iter().any(u8::is_ascii_uppercase) {
        b"0123456789ABCDEF"
    } else {
        b"0123456789abcdef"
    };
    let mut left = 128;
    for byte in form {
        if is_between(*byte) {
            out.push(*byte);
        } else {
            left -= 4;
            out.push(digits[(number >> left & 15) as usize]);
        }
    }
}

/// The notation of what is made of a value that is no UUID.
const FORM: &[u8; 36] = b"00000000-0000-0000-0000-000000000000";

impl Ciphered for UuidMask {
    /// The value's number.
    type Work = u128;

    fn ff1(&self) -> Option<&Ff1> {
        self.ff1.as_ref()
    }

    fn begin(&self, value: Value<'_>, out: &mut Vec<u8>) -> Result<Begun<'_, u128>, Refused> {
        let met = value.canonical();
        let met_number = if self.is_bytes {
            <[u8; 16]>::try_from(&*met).map(u128::from_be_bytes).ok()
        } else {
            read(&met)
        };
        Ok(match met_number {
            Some(number) if self.ff1.is_some() => Begun::Number(&self.form, halves(number), number),
            Some(number) => {
                let made = self.hashed(&number.to_be_bytes()) & !FIXED | number & FIXED;
                Begun::Done(self.put(made, &met, out))
            }
            None => {
                let made = self.hashed(&met) & !FIXED | 4 << 76 | 2 << 62;
                Begun::Done(self.put(made, FORM, out))
            }
        })
    }

    fn end(&self, met_number: u128, value: Value<'_>, made: Halves, out: &mut Vec<u8>) -> Masked {
        self.put(number(made) | met_number & FIXED, &value.canonical(), out)
    }
}
