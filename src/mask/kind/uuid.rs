//! `uuid`.

use serde::Deserialize;

use super::contract::{About, Mask, Options, Refused, Site};
use super::digits::ONE_WAY;
use crate::error::Result;
use crate::mask::column::{Column, Fit, Type, Uniqueness};
use crate::mask::ff1::{Ff1, Halves, Radix};
use crate::mask::key::Prf;
use crate::mask::row::Given;
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
            ff1: (!self.one_way).then_some(ff1),
            prf: site.key.prf(ABOUT.name, ""),
            is_bytes: matches!(site.column.kind, Type::Bytes { .. }),
        }))
    }
}

struct UuidMask {
    ff1: Option<Ff1>,
    prf: Prf,
    is_bytes: bool,
}

impl UuidMask {
    fn of(&self, number: u128) -> u128 {
        let Some(ff1) = &self.ff1 else {
            return self.hashed(&number.to_be_bytes()) & !FIXED | number & FIXED;
        };
        // Before the version, between it and the variant, and after that.
        let low = number & ((1 << 62) - 1);
        let middle = number >> 64 & 0xfff;
        let high = number >> 80;
        let packed = high << 74 | middle << 62 | low;
        let mask = (1 << HALF) - 1;
        let made = ff1.encrypt(
            &[],
            Halves {
                a: (packed >> HALF) as u64,
                b: packed as u64 & mask,
                n: 2 * HALF,
            },
        );
        let packed = u128::from(made.a) << HALF | u128::from(made.b);
        let (high, middle) = (packed >> 74, packed >> 62 & 0xfff);
        high << 80 | middle << 64 | packed & ((1 << 62) - 1) | number & FIXED
    }

    fn hashed(&self, value: &[u8]) -> u128 {
        let seed = self.prf.of(value);
        u128::from(seed.number(0)) << 64 | u128::from(seed.number(1))
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

impl Mask for UuidMask {
    fn mask(
        &self,
        value: Value<'_>,
        _given: &Given<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Masked, Refused> {
        const FORM: &[u8; 36] = b"00000000-0000-0000-0000-000000000000";
        let met = value.canonical();
        let version_4 = || self.hashed(&met) & !FIXED | 4 << 76 | 2 << 62;
        if self.is_bytes {
            let number = <[u8; 16]>::try_from(&*met).map(u128::from_be_bytes);
            let made = number.map_or_else(|_| version_4(), |number| self.of(number));
            out.extend_from_slice(&made.to_be_bytes());
            return Ok(Masked::Bytes);
        }
        match read(&met) {
            Some(number) => write(self.of(number), &met, out),
            None => write(version_4(), FORM, out),
        }
        Ok(Masked::Text)
    }
}
