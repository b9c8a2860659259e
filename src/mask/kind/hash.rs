//! `hash`.

use serde::Deserialize;

use super::contract::{About, Mask, Options, Refused, Site};
use crate::error::Result;
use crate::mask::column::{Column, Fit, Type, Uniqueness};
use crate::mask::key::Prf;
use crate::mask::row::Given;
use crate::mask::value::{Masked, Value};

pub(in crate::mask) const ABOUT: About = About {
    name: "hash",
    what: "Hexadecimal digits of a keyed hash (by AES-256); in columns of bytes half as many bytes.",
    options: &[("length", "8 to 64, 32 by default", "how many digits")],
    examples: &[
        ("\"hash\"", "correct horse battery staple"),
        ("{ kind = \"hash\", length = 12 }", "4711"),
    ],
    note: "Without the key nobody can try out what the value was. Digits beyond 32 are those of the same function under another key.",
};

/// Fewer digits would soon be the same.
const SHORTEST: u32 = 8;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::mask) struct Hash {
    #[serde(default = "length")]
    length: u32,
}

fn length() -> u32 {
    32
}

impl Hash {
    /// How many digits a column has room for, two for a byte.
    fn digits(&self, column: &Column) -> u32 {
        match column.kind {
            Type::Text {
                longest: Some(longest),
                ..
            } => longest.min(self.length),
            Type::Bytes {
                longest: Some(longest),
            } => longest.saturating_mul(2).min(self.length),
            _ => self.length,
        }
    }
}

impl Options for Hash {
    fn check(&self) -> Result<(), String> {
        match self.length {
            SHORTEST..=64 => Ok(()),
            other => Err(format!(
                "`length` is {other}, and {SHORTEST} to 64 are allowed"
            )),
        }
    }

    fn fit(&self, column: &Column) -> Fit {
        match &column.kind {
            Type::Text { .. } | Type::Bytes { .. } => match self.digits(column) {
                digits if digits < SHORTEST => Fit::not(
                    format!(
                        "makes {SHORTEST} digits at least, and the column holds {}",
                        column.kind
                    ),
                    "stars, digits, null and fixed fit",
                ),
                digits if digits < self.length => Fit::Cut(digits),
                _ => Fit::Fits,
            },
            other => Fit::no_text(other),
        }
    }

    fn uniqueness(&self, column: &Column) -> Uniqueness {
        Uniqueness::Distinct {
            bits: 4 * self.digits(column) as u16,
        }
    }

    fn compile(&self, site: &Site<'_>) -> Result<Box<dyn Mask>> {
        Ok(Box::new(HashMask {
            prf: site.key.prf(ABOUT.name, ""),
            longer: (self.digits(site.column) > 32).then(|| site.key.prf(ABOUT.name, "longer")),
            digits: self.digits(site.column) as usize,
            is_bytes: matches!(site.column.kind, Type::Bytes { .. }),
        }))
    }
}

struct HashMask {
    prf: Prf,
    /// What makes the digits beyond those of one seed.
    longer: Option<Prf>,
    digits: usize,
    is_bytes: bool,
}

impl Mask for HashMask {
    fn mask(
        &self,
        value: Value<'_>,
        _given: &Given<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Masked, Refused> {
        let met = value.canonical();
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&self.prf.of(&met).0);
        if let Some(longer) = &self.longer {
            bytes[16..].copy_from_slice(&longer.of(&met).0);
        }
        if self.is_bytes {
            out.extend_from_slice(&bytes[..self.digits / 2]);
            return Ok(Masked::Bytes);
        }
        hexadecimal(&bytes, self.digits, out);
        Ok(Masked::Text)
    }
}

/// Writes the first digits of so many bytes.
pub(super) fn hexadecimal(bytes: &[u8], digits: usize, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend((0..digits).map(|at| {
        let byte = bytes[at / 2];
        DIGITS[usize::from(if at % 2 == 0 { byte >> 4 } else { byte & 15 })]
    }));
}
