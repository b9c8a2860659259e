//! Kinds of masks: what they are called, what they can be told, what they promise, and what they do to a value.
//!
//! A family of kinds is a file. A kind is a struct of options ([`Options`]); with a key and a column it becomes a [`Mask`]. What is
//! said of it in the documentation stands beside it ([`About`]).

mod bank;
mod ciphered;
mod constant;
pub(super) mod contract;
mod digit_cipher;
mod digits;
mod hash;
mod internet;
mod json;
mod moment;
mod names;
mod number;
mod paths;
mod person;
mod php;
mod place;
mod redact;
mod replace;
mod shape;
mod template;
mod uuid;
mod whole;

use std::fmt;

use serde::de::value::{MapAccessDeserializer, MapDeserializer};
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

pub use self::contract::About;
use self::contract::{Mask, Need, Options, Site};
use super::column::{Column, Fit, Uniqueness};
use crate::error::Result;

/// One of the kinds, with its options: `"email"`, or `{ kind = "email", domain = "mail.invalid" }`.
#[derive(Debug, Clone)]
pub struct Kind(Any);

macro_rules! kinds {
    ($($name:literal $variant:ident $options:ty, $about:path;)*) => {
        #[derive(Debug, Clone, serde::Deserialize)]
        #[serde(tag = "kind")]
        enum Any {
            $(#[serde(rename = $name)] $variant($options),)*
        }

        impl Any {
            fn options(&self) -> &dyn Options {
                match self { $(Self::$variant(options) => options,)* }
            }

            fn about(&self) -> &'static About {
                match self { $(Self::$variant(_) => &$about,)* }
            }
        }

        /// All of them, in the order of the documentation.
        pub const ALL: &[&About] = &[$(&$about,)*];
    };
}

kinds! {
    "null" Null constant::Null, constant::NULL;
    "empty" Empty constant::Empty, constant::EMPTY;
    "fixed" Fixed constant::Fixed, constant::FIXED;
    "template" Template template::Template, template::ABOUT;
    "full_name" FullName person::FullName, person::FULL_NAME;
    "first_name" FirstName person::FirstName, person::FIRST_NAME;
    "last_name" LastName person::LastName, person::LAST_NAME;
    "username" Username person::Username, person::USERNAME;
    "company" Company place::Company, place::COMPANY;
    "street" Street place::Street, place::STREET;
    "city" City place::City, place::CITY;
    "postcode" Postcode place::Postcode, place::POSTCODE;
    "email" Email internet::Email, internet::EMAIL;
    "url" Url internet::Url, internet::URL;
    "ip" Ip internet::Ip, internet::IP;
    "mac" MacAddress internet::MacAddress, internet::MAC;
    "phone" Phone digits::Phone, digits::PHONE;
    "digits" Digits digits::Digits, digits::DIGITS;
    "iban" Iban bank::Iban, bank::IBAN;
    "card" Card bank::Card, bank::CARD;
    "uuid" Uuid uuid::Uuid, uuid::ABOUT;
    "hash" Hash hash::Hash, hash::ABOUT;
    "stars" Stars shape::Stars, shape::STARS;
    "text" Text shape::Text, shape::TEXT;
    "redact" Redact redact::Redact, redact::ABOUT;
    "replace" Replace replace::Replace, replace::ABOUT;
    "date_shift" DateShift moment::DateShift, moment::ABOUT;
    "number_noise" NumberNoise number::NumberNoise, number::NOISE;
    "bucket" Bucket number::Bucket, number::BUCKET;
    "json" Json json::Json<Kind>, json::ABOUT;
    "php_serialized" PhpSerialized php::PhpSerialized<Kind>, php::ABOUT;
    "bcrypt_fixed" BcryptFixed constant::BcryptFixed, constant::BCRYPT_FIXED;
}

impl Kind {
    /// NULL in the place of every value.
    pub fn null() -> Self {
        Self(Any::Null(constant::Null {}))
    }

    /// What it is called in a job's file.
    pub fn name(&self) -> &'static str {
        self.0.about().name
    }

    /// A text that it is for, from the documentation.
    pub(super) fn sample(&self) -> &'static str {
        self.0
            .about()
            .examples
            .first()
            .map_or("", |(_, value)| value)
    }

    /// Whether it can be put on a column.
    pub fn fit(&self, column: &Column) -> Fit {
        self.0.options().fit(column)
    }

    /// Whether two values of a column stay two.
    pub fn uniqueness(&self, column: &Column) -> Uniqueness {
        self.0.options().uniqueness(column)
    }

    /// Whether who has the key can have the values back.
    pub fn is_reversible(&self) -> bool {
        self.0.options().is_reversible()
    }

    /// Whether NULL and empty values are replaced, too.
    pub fn is_for_all(&self) -> bool {
        self.0.options().is_for_all()
    }

    /// Whether a column is masked by it, for those who require masks.
    pub fn is_cover(&self) -> bool {
        self.0.options().is_cover()
    }

    /// Names of other columns that it looks at.
    pub fn looks_at(&self) -> Vec<String> {
        let name = |need| match need {
            Need::Raw(name) | Need::Masked(name) => name,
        };
        self.needs().into_iter().map(name).collect()
    }
}

/// A kind is put inside documents, too.
impl Options for Kind {
    fn fit(&self, column: &Column) -> Fit {
        self.0.options().fit(column)
    }

    fn uniqueness(&self, column: &Column) -> Uniqueness {
        self.0.options().uniqueness(column)
    }

    fn is_reversible(&self) -> bool {
        self.0.options().is_reversible()
    }

    fn is_for_all(&self) -> bool {
        self.0.options().is_for_all()
    }

    fn is_cover(&self) -> bool {
        self.0.options().is_cover()
    }

    fn keeps_parts(&self) -> bool {
        self.0.options().keeps_parts()
    }

    fn needs(&self) -> Vec<Need> {
        self.0.options().needs()
    }

    fn compile(&self, site: &Site<'_>) -> Result<Box<dyn Mask>> {
        self.0.options().compile(site)
    }
}

/// Names of all kinds.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|about| about.name)
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written)
    }
}

struct Written;

impl<'de> Visitor<'de> for Written {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a kind, or a table with `kind` and its options")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Kind, E> {
        let map = MapDeserializer::new(std::iter::once(("kind", name)));
        checked(Any::deserialize(map))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Kind, A::Error> {
        let table = toml::Table::deserialize(MapAccessDeserializer::new(map))?;
        checked(Any::deserialize(table.clone()))
            .map_err(|error| de::Error::custom(of_option(&table, &error)))
    }
}

fn checked<E: de::Error>(read: Result<Any, E>) -> Result<Kind, E> {
    let any = read.map_err(|error| {
        let text = error.to_string();
        match text.strip_prefix("unknown variant ") {
            Some(rest) if rest.contains(&format!("`{}`", ALL[0].name)) => {
                E::custom(format!("unknown kind {rest}"))
            }
            _ => error,
        }
    })?;
    match any.options().check() {
        Ok(()) => Ok(Kind(any)),
        Err(why) => Err(E::custom(format!("{}: {why}", any.about().name))),
    }
}

/// An error with the option that it is about, which serde does not say: the one without which there is another error or none.
fn of_option(table: &toml::Table, error: &toml::de::Error) -> String {
    let error = error.message();
    let is_about = |name: &&String| {
        let mut others = table.clone();
        others.remove(name.as_str());
        let other = checked(Any::deserialize(others));
        *name != "kind" && other.map_or_else(|other| other.message() != error, |_| true)
    };
    match table.keys().find(is_about) {
        Some(name) if !error.contains(&format!("`{name}`")) => format!("`{name}`: {error}"),
        _ => error.to_owned(),
    }
}
