//! Companies and addresses: `company`, `street`, `city`, `postcode`.

use std::io::Write as _;

use serde::Deserialize;

use super::contract::{About, Mask, Options, Refused, Site};
use super::names::{LANGUAGE, Language, Lists, Street as Form, other_than, pick};
use crate::error::Result;
use crate::mask::column::{Column, Fit, Uniqueness};
use crate::mask::key::{Prf, Seed};
use crate::mask::row::Given;
use crate::mask::value::{Masked, Value, characters};

pub(in crate::mask) const COMPANY: About = About {
    name: "company",
    what: "A company that is called after somebody.",
    options: &[LANGUAGE],
    examples: &[("\"company\"", "Analytical Engines Ltd")],
    note: "",
};

pub(in crate::mask) const STREET: About = About {
    name: "street",
    what: "A street that is called after somebody, with a number.",
    options: &[LANGUAGE],
    examples: &[
        ("\"street\"", "12 St James's Square"),
        ("{ kind = \"street\", language = \"de\" }", "Hauptstr. 5"),
    ],
    note: "",
};

pub(in crate::mask) const CITY: About = About {
    name: "city",
    what: "A town that is called after somebody and is on no map.",
    options: &[LANGUAGE],
    examples: &[("\"city\"", "London")],
    note: "",
};

pub(in crate::mask) const POSTCODE: About = About {
    name: "postcode",
    what: "Another postcode of the same form: a digit for a digit, a letter for a letter.",
    options: &[],
    examples: &[("\"postcode\"", "SW1A 1AA"), ("\"postcode\"", "10117")],
    note: "Such a postcode may not exist.",
};

/// Two of `fake`'s longest words fit.
const LONGEST: u32 = 48;

macro_rules! place {
    ($options:ident, $about:ident, $write:expr) => {
        #[derive(Debug, Clone, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(in crate::mask) struct $options {
            #[serde(default)]
            language: Language,
        }

        impl Options for $options {
            fn fit(&self, column: &Column) -> Fit {
                Fit::of_text(column, Some(LONGEST))
            }

            fn uniqueness(&self, _column: &Column) -> Uniqueness {
                Uniqueness::Lossy
            }

            fn compile(&self, site: &Site<'_>) -> Result<Box<dyn Mask>> {
                Ok(Box::new(Place {
                    prf: site.key.prf($about.name, self.language.code()),
                    lists: self.language.lists(),
                    write: $write,
                }))
            }
        }
    };
}

place!(Company, COMPANY, |lists, seed, out| {
    out.extend_from_slice(pick(lists.last, seed, 0).as_bytes());
    out.push(b' ');
    out.extend_from_slice(pick(lists.company, seed, 1).as_bytes());
});
place!(Street, STREET, |lists, seed, out| {
    let name = pick(lists.last, seed, 0);
    let number = 1 + seed.stream().below(199);
    let written = match lists.street {
        Form::After(words) => write!(out, "{number} {name} {}", pick(words, seed, 1)),
        Form::Joined(words) => write!(out, "{name}{} {number}", pick(words, seed, 1)),
        Form::Before(words) => write!(out, "{number} {} {name}", pick(words, seed, 1)),
    };
    written.expect("memory takes everything");
});
place!(City, CITY, |lists, seed, out| {
    let (before, after) = lists.town;
    out.extend_from_slice(before.as_bytes());
    out.extend_from_slice(pick(lists.last, seed, 0).as_bytes());
    out.extend_from_slice(pick(after, seed, 1).as_bytes());
});

struct Place {
    prf: Prf,
    lists: Lists,
    write: fn(&Lists, &Seed, &mut Vec<u8>),
}

impl Mask for Place {
    fn mask(
        &self,
        value: Value<'_>,
        _given: &Given<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Masked, Refused> {
        let met = value.canonical();
        let write = |seed: &Seed, out: &mut Vec<u8>| (self.write)(&self.lists, seed, out);
        Ok(other_than(&met, self.prf.of(&met), out, write))
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::mask) struct Postcode {}

impl Options for Postcode {
    fn fit(&self, column: &Column) -> Fit {
        Fit::of_text(column, None)
    }

    fn uniqueness(&self, _column: &Column) -> Uniqueness {
        Uniqueness::Lossy
    }

    fn compile(&self, site: &Site<'_>) -> Result<Box<dyn Mask>> {
        Ok(Box::new(PostcodeMask(site.key.prf(POSTCODE.name, ""))))
    }
}

struct PostcodeMask(Prf);

impl Mask for PostcodeMask {
    fn mask(
        &self,
        value: Value<'_>,
        _given: &Given<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Masked, Refused> {
        let met = value.canonical();
        let write = |seed: &Seed, out: &mut Vec<u8>| {
            let mut stream = seed.stream();
            let mut other = |byte| match byte {
                b'0'..=b'9' => stream.digit(),
                b'a'..=b'z' => b'a' + stream.below(26) as u8,
                // What is neither stays, as far as it is ASCII.
                0..0x80 if !byte.is_ascii_uppercase() => byte,
                _ => b'A' + stream.below(26) as u8,
            };
            if met.is_ascii() {
                out.extend(met.iter().map(|byte| other(*byte)));
            } else {
                out.extend(characters(&met).map(|c| other(u8::try_from(c).unwrap_or(u8::MAX))));
            }
        };
        Ok(other_than(&met, self.0.of(&met), out, write))
    }
}
