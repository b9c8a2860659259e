//! Names of people: `full_name`, `first_name`, `last_name`, `username`.

use serde::Deserialize;

use super::contract::{About, Mask, Options, Refused, Site};
use super::names::{LANGUAGE, Language, Lists, letters, other_than, pick};
use crate::error::Result;
use crate::mask::column::{Column, Fit, Type, Uniqueness};
use crate::mask::key::{Prf, Seed};
use crate::mask::row::Given;
use crate::mask::value::{Masked, Value};

pub(in crate::mask) const FULL_NAME: About = About {
    name: "full_name",
    what: "A first and a last name.",
    options: &[LANGUAGE],
    examples: &[
        ("\"full_name\"", "Ada Lovelace"),
        (
            "{ kind = \"full_name\", language = \"de\" }",
            "Ada Lovelace",
        ),
    ],
    note: "",
};

pub(in crate::mask) const FIRST_NAME: About = About {
    name: "first_name",
    what: "A first name.",
    options: &[LANGUAGE],
    examples: &[("\"first_name\"", "Ada")],
    note: "",
};

pub(in crate::mask) const LAST_NAME: About = About {
    name: "last_name",
    what: "A last name.",
    options: &[LANGUAGE],
    examples: &[("\"last_name\"", "Lovelace")],
    note: "",
};

pub(in crate::mask) const USERNAME: About = About {
    name: "username",
    what: "A first name in small letters, an underscore, and ten letters and digits; in columns of less than 22 characters the \
           latter alone.",
    options: &[],
    examples: &[("\"username\"", "ada.l")],
    note: "",
};

/// The longest name of `fake` has fewer characters.
const LONGEST: u32 = 40;

macro_rules! name {
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
                Ok(Box::new(Name {
                    prf: site.key.prf($about.name, self.language.code()),
                    lists: self.language.lists(),
                    write: $write,
                }))
            }
        }
    };
}

name!(FullName, FULL_NAME, |lists, seed, out| {
    out.extend_from_slice(pick(lists.first, seed, 0).as_bytes());
    out.push(b' ');
    out.extend_from_slice(pick(lists.last, seed, 1).as_bytes());
});
name!(FirstName, FIRST_NAME, |lists, seed, out| {
    out.extend_from_slice(pick(lists.first, seed, 0).as_bytes());
});
name!(LastName, LAST_NAME, |lists, seed, out| {
    out.extend_from_slice(pick(lists.last, seed, 1).as_bytes());
});

struct Name {
    prf: Prf,
    lists: Lists,
    write: fn(&Lists, &Seed, &mut Vec<u8>),
}

impl Mask for Name {
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
pub(in crate::mask) struct Username {}

/// Letters and digits after the name.
const TAIL: u32 = 10;

/// First names that are longer are cut.
const HEAD: usize = 11;

/// Columns that are shorter have no name.
const WITH_NAME: u32 = HEAD as u32 + 1 + TAIL;

impl Username {
    fn tail(column: &Column) -> u32 {
        match column.kind {
            Type::Text {
                longest: Some(longest),
                ..
            } => longest.min(TAIL),
            _ => TAIL,
        }
    }
}

impl Options for Username {
    fn fit(&self, column: &Column) -> Fit {
        Fit::of_text(column, Some(TAIL))
    }

    fn uniqueness(&self, column: &Column) -> Uniqueness {
        Uniqueness::Distinct {
            bits: 5 * Self::tail(column) as u16,
        }
    }

    fn compile(&self, site: &Site<'_>) -> Result<Box<dyn Mask>> {
        let has_name = match site.column.kind {
            Type::Text { longest, .. } => longest.is_none_or(|longest| longest >= WITH_NAME),
            _ => true,
        };
        Ok(Box::new(UsernameMask {
            prf: site.key.prf(USERNAME.name, ""),
            first: has_name.then(|| Language::En.lists().first),
            tail: Self::tail(site.column) as usize,
        }))
    }
}

struct UsernameMask {
    prf: Prf,
    first: Option<&'static [&'static str]>,
    tail: usize,
}

impl Mask for UsernameMask {
    fn mask(
        &self,
        value: Value<'_>,
        _given: &Given<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Masked, Refused> {
        let seed = self.prf.of(&value.canonical());
        if let Some(first) = self.first {
            let name = pick(first, &seed, 0)
                .bytes()
                .filter(u8::is_ascii_alphabetic);
            out.extend(name.take(HEAD).map(|letter| letter.to_ascii_lowercase()));
            out.push(b'_');
        }
        letters(&seed, self.tail, out);
        Ok(Masked::Text)
    }
}
