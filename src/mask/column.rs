//! Columns as masks meet them, and whether a kind fits one.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which characters a text column can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Repertoire {
    /// All.
    Unicode,
    /// Those of three bytes in UTF-8 at most (MySQL's utf8mb3).
    Basic,
    /// ISO 8859-1.
    Latin1,
    /// ASCII; also where the encoding is not known.
    Ascii,
}

impl Repertoire {
    /// Whether it has this character.
    pub fn has(self, c: char) -> bool {
        match self {
            Self::Unicode => true,
            Self::Basic => u32::from(c) < 0x1_0000,
            Self::Latin1 => u32::from(c) < 0x100,
            Self::Ascii => c.is_ascii(),
        }
    }

    /// Whether it has all characters of a text.
    pub fn has_all(self, text: &str) -> bool {
        self == Self::Unicode || text.chars().all(|c| self.has(c))
    }
}

/// A column's type, as far as masks have to know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Type {
    /// Text.
    Text {
        /// How many characters it can have.
        longest: Option<u32>,
        /// Which.
        repertoire: Repertoire,
    },
    /// Whole numbers.
    Integer {
        /// Of how many bits, the sign's included.
        bits: u8,
        /// Whether there are negative ones.
        is_signed: bool,
    },
    /// Decimal numbers.
    Decimal {
        /// How many digits, if that is limited.
        precision: Option<u16>,
        /// How many of them after the point.
        scale: u16,
    },
    /// Floating-point numbers.
    Real,
    /// Days.
    Date,
    /// Times of day.
    Time,
    /// Days with times, with or without a zone.
    Timestamp,
    /// Truth values.
    Boolean,
    /// UUIDs.
    Uuid,
    /// JSON documents, binary ones included.
    Json,
    /// Bytes.
    Bytes {
        /// How many it can have.
        longest: Option<u32>,
    },
    /// IP addresses.
    Inet {
        /// Whether they are networks, which have no bits beyond their mask.
        is_network: bool,
    },
    /// Hardware addresses.
    Mac,
    /// One of these words.
    Enum(Vec<String>),
    /// Any other, by its name: arrays, ranges, geometries ...
    Other(String),
}

impl Type {
    /// Text without limits.
    pub const TEXT: Self = Self::Text {
        longest: None,
        repertoire: Repertoire::Unicode,
    };

    /// The greatest of the whole numbers of so many bits.
    pub(super) fn greatest(bits: u8, is_signed: bool) -> i128 {
        (1_i128 << (bits.min(126) - u8::from(is_signed))) - 1
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text {
                longest: Some(longest),
                ..
            } => write!(f, "text of at most {longest} characters"),
            Self::Text { .. } => f.write_str("text"),
            Self::Integer { bits, .. } => write!(f, "whole numbers of {bits} bits"),
            Self::Decimal { .. } => f.write_str("decimal numbers"),
            Self::Real => f.write_str("floating-point numbers"),
            Self::Date => f.write_str("dates"),
            Self::Time => f.write_str("times"),
            Self::Timestamp => f.write_str("timestamps"),
            Self::Boolean => f.write_str("booleans"),
            Self::Uuid => f.write_str("UUIDs"),
            Self::Json => f.write_str("JSON"),
            Self::Bytes { .. } => f.write_str("bytes"),
            Self::Inet { .. } => f.write_str("IP addresses"),
            Self::Mac => f.write_str("hardware addresses"),
            Self::Enum(_) => f.write_str("an enumeration"),
            Self::Other(name) => write!(f, "the type {name}"),
        }
    }
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: Type,
    /// Whether it takes NULL.
    pub is_nullable: bool,
}

/// Whether what a kind makes can stand in a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fit {
    /// It can.
    Fits,
    /// Once it is cut to so many characters.
    Cut(u32),
    /// It cannot.
    Not {
        /// The reason, as the end of a sentence that begins with the kind's name.
        why: String,
        /// What would.
        instead: &'static str,
    },
}

impl Fit {
    pub(super) fn not(why: impl Into<String>, instead: &'static str) -> Self {
        Self::Not {
            why: why.into(),
            instead,
        }
    }

    /// Of a kind that makes texts of up to so many ASCII characters, for text columns alone. `None`: never longer than
    /// what it stands for.
    pub(super) fn of_text(column: &Column, made: Option<u32>) -> Self {
        match (&column.kind, made) {
            (
                Type::Text {
                    longest: Some(longest),
                    ..
                },
                Some(made),
            ) if *longest < made => Self::Cut(*longest),
            (Type::Text { .. }, _) => Self::Fits,
            (other, _) => Self::no_text(other),
        }
    }

    /// Of a kind for texts that meets another type.
    pub(super) fn no_text(met: &Type) -> Self {
        let instead = match met {
            Type::Integer { .. } => "digits, number_noise, bucket, fixed and null fit",
            Type::Decimal { .. } | Type::Real => "number_noise, bucket, fixed and null fit",
            Type::Date | Type::Timestamp => "date_shift, bucket, fixed and null fit",
            Type::Uuid => "uuid, fixed and null fit",
            Type::Json => "json, empty, fixed and null fit",
            Type::Bytes { .. } => "hash, empty, fixed and null fit",
            Type::Inet { .. } => "ip, fixed and null fit",
            Type::Mac => "mac, fixed and null fit",
            Type::Time | Type::Boolean | Type::Enum(_) => "fixed and null fit",
            Type::Other(_) | Type::Text { .. } => "null fits, or fixed with a value of that type",
        };
        Self::not(format!("makes text, and the column holds {met}"), instead)
    }
}

/// Whether two values stay two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uniqueness {
    /// Always.
    Injective,
    /// In practice: two of them become one with a probability of 1 in 2 to the power of this.
    Distinct {
        /// The power.
        bits: u16,
    },
    /// All become NULL, of which unique indexes take any number, unless they are NULLS NOT DISTINCT.
    Nulls,
    /// Not.
    Lossy,
}

impl Uniqueness {
    /// Whether a unique column of so many rows can be masked so: the chance that any two of them become one is less than
    /// one in a thousand.
    pub fn is_enough_for(self, rows: u64) -> bool {
        match self {
            Self::Injective | Self::Nulls => true,
            Self::Lossy => false,
            // Pairs of rows against values: n^2 / 2 < 2^bits / 2^10.
            Self::Distinct { bits } => {
                let log = f64::from(bits);
                2.0 * (rows.max(1) as f64).log2() - 1.0 < log - 10.0
            }
        }
    }
}

impl fmt::Display for Uniqueness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Injective => f.write_str("injective"),
            Self::Distinct { bits } => write!(f, "keeps distinct in practice ({bits} bits)"),
            Self::Nulls => f.write_str("NULLs, which are never equal"),
            Self::Lossy => f.write_str("lossy"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_enough_for_so_many_rows_and_no_more() {
        let sixty = Uniqueness::Distinct { bits: 60 };
        assert!(sixty.is_enough_for(40_000_000));
        assert!(!sixty.is_enough_for(100_000_000));
        assert!(Uniqueness::Injective.is_enough_for(u64::MAX));
        assert!(!Uniqueness::Lossy.is_enough_for(1));
    }

    #[test]
    fn a_repertoire_has_its_characters_alone() {
        assert!(Repertoire::Latin1.has_all("Zoë") && !Repertoire::Latin1.has_all("Łódź"));
        assert!(Repertoire::Basic.has('Ł') && !Repertoire::Basic.has('😀'));
        assert!(!Repertoire::Ascii.has('ë'));
    }
}
