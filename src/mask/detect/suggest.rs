//! A kind that fits a column: its type, NOT NULL, its length, and whether its values have to stay unique.

use std::fmt::Write as _;

use serde::Deserialize as _;

use super::class::Class;
use super::look::{Look, Subject};
use crate::mask::column::{Column, Fit};
use crate::mask::kind::Kind;
use crate::mask::{Type, Uniqueness};

/// What would do, the best first; what does not fit is passed over.
fn wanted(class: Class) -> &'static [&'static str] {
    match class {
        Class::Email => &["\"email\""],
        Class::Phone => &["\"phone\"", "\"digits\""],
        Class::Iban => &["\"iban\"", "\"digits\""],
        Class::Card => &["\"card\"", "\"digits\""],
        Class::Ip => &["\"ip\""],
        Class::Mac => &["\"mac\""],
        Class::Postcode => &["\"postcode\"", "\"digits\""],
        Class::NationalNumber => &["\"digits\""],
        Class::FullName => &["\"full_name\"", "\"username\""],
        Class::FirstName => &["\"first_name\""],
        Class::LastName => &["\"last_name\""],
        Class::Username => &["\"username\""],
        Class::Street => &["\"street\""],
        Class::City => &["\"city\""],
        Class::Company => &["\"company\""],
        Class::BirthDate => &[
            "{ kind = \"date_shift\", days = 365 }",
            "{ kind = \"bucket\", size = 10 }",
        ],
        Class::Url => &["\"url\""],
        Class::FreeText => &["\"redact\"", "\"text\""],
        Class::Secret | Class::Picture | Class::Trait | Class::Location | Class::Unknown => {
            &["\"null\""]
        }
        Class::Device | Class::Marked | Class::Document => &[],
    }
}

/// What does where nothing of the class's own does.
const ANYWHERE: &[&str] = &[
    "\"text\"",
    "\"hash\"",
    "\"digits\"",
    "\"uuid\"",
    "\"ip\"",
    "\"mac\"",
    "\"number_noise\"",
    "{ kind = \"date_shift\", days = 365 }",
    "\"empty\"",
    "\"null\"",
];

/// The same of what nobody needs to see on the other side.
const SECRET: &[&str] = &[
    "\"null\"",
    "\"hash\"",
    "\"uuid\"",
    "\"digits\"",
    "\"empty\"",
];

/// A kind as it stands in a job's file, and whether it leaves parts of values.
pub(super) fn kind(subject: &Subject<'_>, look: &Look) -> (String, bool) {
    if subject.is_opaque {
        return ("\"null\"".to_owned(), false);
    }
    let document = document(subject, look);
    let rest = match look.class {
        Class::Secret => SECRET,
        _ => ANYWHERE,
    };
    let own = wanted(look.class)
        .iter()
        .chain(rest)
        .map(|kind| (*kind).to_owned());
    let mut all = document.into_iter().chain(own);
    let found = all.find_map(|text| {
        let kind = parse(&text)?;
        fits(&kind, subject).then(|| (text, !kind.is_cover()))
    });
    // Nothing but NULL is left for what takes no NULL: whoever reviews it sees it.
    found.unwrap_or_else(|| ("\"null\"".to_owned(), false))
}

/// A kind as it is written.
fn parse(text: &str) -> Option<Kind> {
    let table: toml::Table = toml::from_str(&format!("kind = {text}")).ok()?;
    Kind::deserialize(table.get("kind")?.clone()).ok()
}

fn fits(kind: &Kind, subject: &Subject<'_>) -> bool {
    if matches!(kind.fit(subject.column), Fit::Not { .. }) {
        return false;
    }
    subject
        .unique
        .is_none_or(|rows| match kind.uniqueness(subject.column) {
            Uniqueness::Nulls => subject.column.is_nullable,
            other => other.is_enough_for(rows),
        })
}

/// Of a document: its paths with a kind for each.
fn document(subject: &Subject<'_>, look: &Look) -> Option<String> {
    if look.class != Class::Document || look.paths.is_empty() {
        return None;
    }
    let kind = if look.why.iter().any(|why| why.starts_with("in PHP's")) {
        "php_serialized"
    } else {
        "json"
    };
    let anywhere = Column {
        name: subject.column.name.clone(),
        kind: Type::TEXT,
        is_nullable: true,
    };
    let inner = Subject {
        column: &anywhere,
        unique: None,
        ..*subject
    };
    let mut text = format!("{{ kind = \"{kind}\", paths = {{ ");
    for (place, (path, class)) in look.paths.iter().enumerate() {
        let look = Look::of(*class, look.confidence, "");
        let (kind, _) = self::kind(&inner, &look);
        let separator = if place > 0 { ", " } else { "" };
        let _ = write!(
            text,
            "{separator}{} = {kind}",
            toml::Value::String(path.clone())
        );
    }
    text.push_str(" } }");
    Some(text)
}
