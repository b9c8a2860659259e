//! Detection: which columns look personal, and why. Pure; it knows columns and values, and no store.
//!
//! | file | what it is |
//! | --- | --- |
//! | [`class`] | what a column can look like, and how sure that is |
//! | [`look`] | what one kind of evidence says, and what several say together |
//! | [`words`], [`naming`] | names of columns in several languages, and how a name is read |
//! | [`checks`], [`forms`], [`people`], [`values`] | values by their form, by check digits, by the names of people |
//! | [`inside`] | what stands in JSON, in PHP's serialized values, in free text |
//! | [`types`] | what a column of a type can hold |
//! | [`suggest`] | a kind that fits |
//!
//! What always holds:
//!
//! - Evidence counts, never a majority: one good IBAN among a thousand values is evidence. Against it stands only how often values
//!   of that form pass the same check by chance ([`forms::Evidence`]).
//! - It shares no list of types or columns with the masks and their coverage: what they would miss, it must be able to find.
//! - No value is in what it says.

mod checks;
mod class;
mod forms;
mod inside;
mod look;
mod naming;
mod people;
mod suggest;
#[cfg(test)]
mod tests;
mod types;
mod values;
mod words;

pub use self::class::{Class, Confidence};
pub use self::look::Subject;

use std::borrow::Cow;

use self::look::{Look, merge};
use self::types::Holds;

/// How many values of a column are looked at.
const VALUES: usize = 10_000;

/// A column that looks personal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it looks like.
    pub class: Class,
    /// How sure that is.
    pub confidence: Confidence,
    /// Why, in words; never a value.
    pub why: Vec<String>,
    /// A kind that fits, as it stands in a job's file.
    pub kind: String,
    /// Whether that kind leaves parts of values.
    pub leaves_parts: bool,
}

/// What a column looks like; `None`: like nothing personal.
pub fn look(subject: &Subject<'_>) -> Option<Finding> {
    let look = look_at(subject)?;
    let (kind, leaves_parts) = suggest::kind(subject, &look);
    Some(Finding {
        class: look.class,
        confidence: look.confidence,
        why: look.why,
        kind,
        leaves_parts,
    })
}

fn look_at(subject: &Subject<'_>) -> Option<Look> {
    let holds = types::holds(subject.type_name);
    let by_type = match holds {
        Holds::Nothing => return None,
        Holds::Address => Some(Look::of(
            Class::Ip,
            Confidence::Certain,
            "its type is for IP addresses",
        )),
        Holds::Hardware => Some(Look::of(
            Class::Mac,
            Confidence::Certain,
            "its type is for hardware addresses",
        )),
        Holds::Place => Some(Look::of(
            Class::Location,
            Confidence::Likely,
            "its type is for places",
        )),
        Holds::Unknown => Some(Look::of(
            Class::Unknown,
            Confidence::Possible,
            format!("nothing is known of the type {}", subject.type_name),
        )),
        _ => None,
    };
    let texts: Vec<Cow<'_, str>> = subject
        .values
        .iter()
        .take(VALUES)
        .map(|value| as_text(value))
        .filter(|text| !text.trim().is_empty())
        .collect();
    let texts: Vec<&str> = texts.iter().map(Cow::as_ref).collect();
    let named = naming::look(subject.table, &subject.column.name, holds);
    let commented = naming::look_at_comments(subject.comments, holds);
    let valued = (holds.has_forms())
        .then(|| values::look(&texts, holds))
        .flatten();
    let within = (holds.has_documents())
        .then(|| inside::look(subject.table, &texts))
        .flatten();
    // What is inside a document says more than how the whole of it looks.
    let found = [within, valued, named, commented, by_type];
    merge(found.into_iter().flatten())
}

/// A value as text: what is no UTF-8 as ISO 8859-1, in which all bytes are letters.
pub fn as_text(value: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(value).map_or_else(
        |_| {
            value
                .iter()
                .map(|byte| char::from(*byte))
                .collect::<String>()
                .into()
        },
        Cow::Borrowed,
    )
}
