//! Kinds that make the same of every value: `null`, `empty`, `fixed`, `bcrypt_fixed`.

use serde::Deserialize;

use super::contract::{About, Mask, Options, Refused, Site};
use crate::error::Result;
use crate::mask::column::{Column, Fit, Type, Uniqueness};
use crate::mask::row::Given;
use crate::mask::value::{Masked, Value};

pub(in crate::mask) const NULL: About = About {
    name: "null",
    what: "NULL.",
    options: &[],
    examples: &[("\"null\"", "whatever it was")],
    note: "",
};

pub(in crate::mask) const EMPTY: About = About {
    name: "empty",
    what: "An empty text; `{}` in JSON, no bytes in a column of bytes. NULL stays NULL.",
    options: &[],
    examples: &[("\"empty\"", "whatever it was")],
    note: "",
};

pub(in crate::mask) const FIXED: About = About {
    name: "fixed",
    what: "The same value everywhere, in place of NULL and empty values, too.",
    options: &[
        ("value", "a text, a number, true or false", "the value"),
        ("keep_null", "true, false (default)", "NULL stays NULL"),
    ],
    examples: &[
        ("{ kind = \"fixed\", value = \"active\" }", "suspended"),
        ("{ kind = \"fixed\", value = 0 }", "17"),
    ],
    note: "In columns of other types the value is a text as the server reads it: `value = \"2000-01-01\"`.",
};

pub(in crate::mask) const BCRYPT_FIXED: About = About {
    name: "bcrypt_fixed",
    what: "The bcrypt hash of one password that testers know, in place of every hash; NULL stays NULL.",
    options: &[(
        "hash",
        "a hash of bcrypt, beginning with $2a$, $2b$ or $2y$",
        "another password's, made with `htpasswd -nBC 10 \"\"`; by default that of `password`",
    )],
    examples: &[(
        "\"bcrypt_fixed\"",
        "$2b$12$abcdefghijklmnopqrstuuhqM2.rDBcSbCyqeJG4gLqsSPj1Ulrpe",
    )],
    note: "For environments that nobody reaches from outside: everybody has this password there.",
};

/// `password` under a salt of no meaning, at cost 10.
const OF_PASSWORD: &str = "$2b$10$envsyncdMasks2026MaskuuJltrDZhUpUbt1MMeJ9f9GsyGlffKkO";

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::mask) struct Null {}

impl Options for Null {
    fn fit(&self, column: &Column) -> Fit {
        if column.is_nullable {
            return Fit::Fits;
        }
        Fit::not(
            "makes NULL, and the column takes none",
            "empty or fixed would do",
        )
    }

    fn uniqueness(&self, _column: &Column) -> Uniqueness {
        Uniqueness::Nulls
    }

    fn compile(&self, _site: &Site<'_>) -> Result<Box<dyn Mask>> {
        Ok(Box::new(Constant(Masked::Null, Vec::new())))
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::mask) struct Empty {}

impl Options for Empty {
    fn fit(&self, column: &Column) -> Fit {
        match &column.kind {
            Type::Text { .. } | Type::Bytes { .. } | Type::Json => Fit::Fits,
            other => Fit::not(
                format!("makes an empty value, and {other} have none"),
                "null, or fixed with a value, would do",
            ),
        }
    }

    fn uniqueness(&self, _column: &Column) -> Uniqueness {
        Uniqueness::Lossy
    }

    fn compile(&self, site: &Site<'_>) -> Result<Box<dyn Mask>> {
        let (masked, bytes) = match site.column.kind {
            Type::Json => (Masked::Text, b"{}".to_vec()),
            Type::Bytes { .. } => (Masked::Bytes, Vec::new()),
            _ => (Masked::Text, Vec::new()),
        };
        Ok(Box::new(Constant(masked, bytes)))
    }
}

/// A value of a job's file.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "a text, a number, true or false is allowed")]
pub(in crate::mask) enum Scalar {
    Boolean(bool),
    Integer(i64),
    Real(f64),
    Text(String),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::mask) struct Fixed {
    value: Scalar,
    #[serde(default)]
    keep_null: bool,
}

impl Fixed {
    fn misses(&self, column: &Column) -> Option<String> {
        let instead = |what: &str| {
            Some(format!(
                "makes {what}, and the column holds {}",
                column.kind
            ))
        };
        match (&self.value, &column.kind) {
            (
                Scalar::Text(text),
                Type::Text {
                    longest,
                    repertoire,
                },
            ) => {
                let length = text.chars().count();
                if longest.is_some_and(|longest| length > longest as usize) {
                    return instead(&format!("a text of {length} characters"));
                }
                (!repertoire.has_all(text))
                    .then(|| "has characters that the column's encoding has not".to_owned())
            }
            (Scalar::Text(text), Type::Enum(words)) if !words.contains(text) => Some(format!(
                "makes a word that the column does not have: it has {}",
                words.join(", ")
            )),
            (Scalar::Text(text), Type::Json) => serde_json::from_str::<serde::de::IgnoredAny>(text)
                .is_err()
                .then(|| "makes text that is no JSON".to_owned()),
            (Scalar::Integer(number), Type::Integer { bits, is_signed }) => {
                let greatest = Type::greatest(*bits, *is_signed);
                let least = if *is_signed { -greatest - 1 } else { 0 };
                (!(least..=greatest).contains(&i128::from(*number))).then(|| {
                    format!("makes a number that the column cannot hold: {least} to {greatest}")
                })
            }
            (
                Scalar::Integer(number),
                Type::Decimal {
                    precision: Some(precision),
                    scale,
                },
            ) => {
                let digits = number
                    .unsigned_abs()
                    .checked_ilog10()
                    .map_or(1, |log| log + 1);
                (digits > u32::from(precision.saturating_sub(*scale)))
                    .then(|| "makes a number of more digits than the column has".to_owned())
            }
            (Scalar::Real(_), Type::Integer { .. }) => instead("a fraction"),
            (Scalar::Boolean(_), Type::Boolean | Type::Json | Type::Text { .. })
            | (Scalar::Integer(_), Type::Boolean)
            | (
                Scalar::Integer(_) | Scalar::Real(_),
                Type::Real | Type::Decimal { .. } | Type::Json | Type::Text { .. },
            ) => None,
            (Scalar::Boolean(_), _) => instead("true or false"),
            (Scalar::Integer(_) | Scalar::Real(_), _) => instead("a number"),
            (Scalar::Text(text), Type::Integer { .. }) if text.parse::<i128>().is_err() => {
                instead("a text")
            }
            (Scalar::Text(text), Type::Decimal { .. } | Type::Real)
                if text.parse::<f64>().is_err() =>
            {
                instead("a text")
            }
            (Scalar::Text(_), _) => None,
        }
    }
}

impl Options for Fixed {
    fn fit(&self, column: &Column) -> Fit {
        match self.misses(column) {
            None => Fit::Fits,
            Some(why) => Fit::not(why, "another `value` would do"),
        }
    }

    fn uniqueness(&self, _column: &Column) -> Uniqueness {
        Uniqueness::Lossy
    }

    fn is_for_all(&self) -> bool {
        !self.keep_null
    }

    fn compile(&self, site: &Site<'_>) -> Result<Box<dyn Mask>> {
        let is_text = matches!(site.column.kind, Type::Text { .. } | Type::Json);
        let made = match &self.value {
            Scalar::Text(text) if matches!(site.column.kind, Type::Bytes { .. }) => {
                Constant(Masked::Bytes, text.clone().into_bytes())
            }
            Scalar::Text(text) => Constant(Masked::Text, text.clone().into_bytes()),
            Scalar::Boolean(truth) if is_text => {
                Constant(Masked::Text, truth.to_string().into_bytes())
            }
            Scalar::Integer(number) if is_text => {
                Constant(Masked::Text, number.to_string().into_bytes())
            }
            Scalar::Real(number) if is_text => {
                Constant(Masked::Text, number.to_string().into_bytes())
            }
            Scalar::Integer(number) if site.column.kind == Type::Boolean => {
                Constant(Masked::Boolean(*number != 0), Vec::new())
            }
            Scalar::Boolean(truth) => Constant(Masked::Boolean(*truth), Vec::new()),
            Scalar::Integer(number) => Constant(Masked::Integer(i128::from(*number)), Vec::new()),
            Scalar::Real(number) => Constant(Masked::Real(*number), Vec::new()),
        };
        Ok(Box::new(made))
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::mask) struct BcryptFixed {
    #[serde(default = "of_password")]
    hash: String,
}

fn of_password() -> String {
    OF_PASSWORD.to_owned()
}

impl Options for BcryptFixed {
    fn check(&self) -> Result<(), String> {
        let is_hash = |hash: &str| {
            let rest = ["$2a$", "$2b$", "$2y$"]
                .iter()
                .find_map(|version| hash.strip_prefix(version))?;
            let (cost, rest) = rest.split_once('$')?;
            let is_known = |c: char| c.is_ascii_alphanumeric() || "./".contains(c);
            let costs = 4_u8..=31;
            (cost.len() == 2
                && costs.contains(&cost.parse::<u8>().ok()?)
                && rest.len() == 53
                && rest.chars().all(is_known))
            .then_some(())
        };
        is_hash(&self.hash).ok_or_else(|| {
            "`hash` is no hash of bcrypt: `$2b$`, a cost of two digits, `$`, and 53 characters"
                .to_owned()
        })
    }

    fn fit(&self, column: &Column) -> Fit {
        match &column.kind {
            Type::Text {
                longest: Some(longest),
                ..
            } if *longest < 60 => Fit::not(
                format!("makes 60 characters, and the column holds {longest}"),
                "fixed with another hash would do",
            ),
            Type::Text { .. } => Fit::Fits,
            other => Fit::no_text(other),
        }
    }

    fn uniqueness(&self, _column: &Column) -> Uniqueness {
        Uniqueness::Lossy
    }

    fn compile(&self, _site: &Site<'_>) -> Result<Box<dyn Mask>> {
        Ok(Box::new(Constant(
            Masked::Text,
            self.hash.clone().into_bytes(),
        )))
    }
}

/// The same for every value.
struct Constant(Masked, Vec<u8>);

impl Mask for Constant {
    fn mask(
        &self,
        _value: Value<'_>,
        _given: &Given<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Masked, Refused> {
        out.extend_from_slice(&self.1);
        Ok(self.0)
    }
}
