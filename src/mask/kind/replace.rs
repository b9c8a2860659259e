//! `replace`.

use std::collections::BTreeMap;

use regex::bytes::{Captures, Regex, RegexBuilder};
use serde::Deserialize;

use super::contract::{About, Mask, Options, Refused, Site};
use crate::error::{Error, Kind as Cause, Result};
use crate::mask::column::{Column, Fit, Type, Uniqueness};
use crate::mask::row::Given;
use crate::mask::value::{Masked, Value};

pub(in crate::mask) const ABOUT: About = About {
    name: "replace",
    what: "Parts of a text replaced by others; the rest stays.",
    options: &[
        (
            "literal",
            "a table of texts and what stands for them",
            "each of these texts, wherever it is found; of two that begin at one place the longer",
        ),
        (
            "hosts",
            "a site's name in envsyncd.toml",
            "host names of the site, wherever they are found, by those that the target's environment has",
        ),
        (
            "pattern",
            "a regular expression (of the crate regex)",
            "what matches it",
        ),
        (
            "with",
            "a text",
            "what stands for a match of `pattern`; `$1` and `$name` are its groups, `$$` is a $",
        ),
    ],
    examples: &[
        (
            "{ kind = \"replace\", literal = { \"www.example.org\" = \"staging.example.org\" } }",
            "see https://www.example.org/a",
        ),
        (
            "{ kind = \"replace\", pattern = \"token=[0-9a-f]+\", with = \"token=0\" }",
            "/reset?token=8f14e45fce",
        ),
    ],
    note: "For host names and the like. As most of a text stays, a column is not masked by this for those who require masks.",
};

/// More than any expression that people write takes.
const LARGEST: usize = 1 << 20;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::mask) struct Replace {
    #[serde(default)]
    literal: BTreeMap<String, String>,
    /// Whoever reads the job puts the site's names into `literal`.
    hosts: Option<String>,
    pattern: Option<String>,
    with: Option<String>,
}

impl Replace {
    fn regex(&self) -> Result<Regex, String> {
        let pattern = if let Some(pattern) = &self.pattern {
            pattern.clone()
        } else {
            let mut texts: Vec<&String> = self.literal.keys().collect();
            texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
            let texts: Vec<String> = texts.into_iter().map(|text| regex::escape(text)).collect();
            texts.join("|")
        };
        let built = RegexBuilder::new(&pattern).size_limit(LARGEST).build();
        built.map_err(|error| format!("`pattern` is no regular expression: {error}"))
    }
}

impl Options for Replace {
    fn keeps_parts(&self) -> bool {
        true
    }

    fn check(&self) -> Result<(), String> {
        if self.hosts.is_some() {
            return Err("`hosts` is for the masks of a job".to_owned());
        }
        match (self.literal.is_empty(), &self.pattern, &self.with) {
            (false, None, None) | (true, Some(_), Some(_)) => {}
            _ => {
                return Err(
                    "`literal`, `hosts`, or `pattern` and `with` are needed, and not both"
                        .to_owned(),
                );
            }
        }
        if self.regex()?.is_match(b"") {
            Err(
                "it would replace empty texts, of which there is one between any two characters"
                    .to_owned(),
            )
        } else {
            Ok(())
        }
    }

    fn fit(&self, column: &Column) -> Fit {
        match column.kind {
            Type::Json => Fit::not(
                "changes text, and the column holds JSON",
                "json, with this as its `default`, would do",
            ),
            _ => Fit::of_text(column, None),
        }
    }

    fn uniqueness(&self, _column: &Column) -> Uniqueness {
        Uniqueness::Lossy
    }

    fn is_cover(&self) -> bool {
        false
    }

    fn compile(&self, _site: &Site<'_>) -> Result<Box<dyn Mask>> {
        let regex = self.regex().map_err(|why| Error::new(Cause::Config, why))?;
        Ok(Box::new(if let Some(with) = &self.with {
            ReplaceMask::Pattern(regex, with.clone().into_bytes())
        } else {
            let bytes = |(from, to): (&String, &String)| {
                (from.clone().into_bytes(), to.clone().into_bytes())
            };
            ReplaceMask::Literal(regex, self.literal.iter().map(bytes).collect())
        }))
    }
}

enum ReplaceMask {
    Pattern(Regex, Vec<u8>),
    Literal(Regex, BTreeMap<Vec<u8>, Vec<u8>>),
}

impl Mask for ReplaceMask {
    fn mask(
        &self,
        value: Value<'_>,
        _given: &Given<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Masked, Refused> {
        let met = value.canonical();
        let made = match self {
            Self::Pattern(regex, with) => regex.replace_all(&met, &with[..]),
            Self::Literal(regex, texts) => regex.replace_all(&met, |found: &Captures<'_>| {
                texts.get(&found[0]).cloned().unwrap_or_default()
            }),
        };
        out.extend_from_slice(&made);
        Ok(Masked::Text)
    }
}
