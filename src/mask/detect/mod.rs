//! Detection: which columns look personal, and why. Pure; it knows columns and values, and no store.
//!
//! | file | what it is |
//! | --- | --- |
//! | [`class`] | what a column can look like, and how sure that is |
//! | [`words`], [`naming`] | names of columns in several languages, and how a name is read |
//! | [`checks`], [`forms`], [`people`] | values by their form, by check digits, by the names of people |
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
mod naming;
mod people;
mod suggest;
#[cfg(test)]
mod tests;
mod types;
mod words;

pub use self::class::{Class, Confidence};

use std::borrow::Cow;

use self::forms::Evidence;
use self::types::Holds;
use super::column::Column;

/// How many values of a column are looked at.
const VALUES: usize = 10_000;

/// A column, with what is known of it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The table's name, without its schema.
    pub table: &'a str,
    /// The column, for what fits it.
    pub column: &'a Column,
    /// The type as the store calls it.
    pub type_name: &'a str,
    /// What was written beside the column and its table.
    pub comments: &'a [&'a str],
    /// Of a column whose values have to stay unique: about how many rows there are.
    pub unique: Option<u64>,
    /// Nothing but NULL can be put in the place of its values.
    pub is_opaque: bool,
    /// A sample of its values, without NULLs, as the store writes them.
    pub values: &'a [&'a [u8]],
}

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

/// What is known before a kind is sought.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Look {
    class: Class,
    confidence: Confidence,
    why: Vec<String>,
    /// Of a document: what is at which path.
    paths: Vec<(String, Class)>,
}

impl Look {
    fn of(class: Class, confidence: Confidence, why: impl Into<String>) -> Self {
        Self {
            class,
            confidence,
            why: vec![why.into()],
            paths: Vec::new(),
        }
    }
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
        .then(|| by_values(&texts, holds))
        .flatten();
    let within = (holds.has_documents())
        .then(|| inside::look(subject.table, &texts))
        .flatten();
    // What is inside a document says more than how the whole of it looks.
    let found = [within, valued, named, commented, by_type];
    merge(found.into_iter().flatten())
}

/// A value as text: what is no UTF-8 as ISO 8859-1, in which all bytes are letters.
fn as_text(value: &[u8]) -> Cow<'_, str> {
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

/// What the values themselves say.
fn by_values(texts: &[&str], holds: Holds) -> Option<Look> {
    // A word that stands in a thousand rows is one piece of evidence.
    let mut texts = texts.to_vec();
    texts.sort_unstable();
    texts.dedup();
    let texts = &texts[..];
    let found = forms::ALL
        .iter()
        .filter(|form| holds.is_text() || form.is_of_digits);
    let found = found.map(|form| (form.class, form.what, Evidence::of(form, texts)));
    let people = (holds.is_text())
        .then(|| people::evidence(texts))
        .into_iter();
    let found = found.chain(people.flatten());
    let best = found
        .filter_map(|(class, what, evidence)| Some((class, what, evidence, evidence.confidence()?)))
        // Of equals, the one with the most values.
        .max_by_key(|(_, _, evidence, confidence)| (*confidence, evidence.valid));
    best.map(|(class, what, evidence, confidence)| {
        let why = format!(
            "{} of {} different values {what}",
            evidence.valid,
            texts.len()
        );
        Look::of(class, confidence, why)
    })
}

/// What several looks say together: two that agree are surer than each; of two that do not, the surer one is right, and of
/// equals the first.
fn merge(looks: impl Iterator<Item = Look>) -> Option<Look> {
    let mut looks: Vec<Look> = looks.collect();
    // What its name calls a secret is one, whatever it is made of.
    let is_secret =
        |look: &Look| look.class == Class::Secret && look.confidence >= Confidence::Likely;
    let best = looks.iter().position(is_secret).or_else(|| {
        let surest = looks.iter().map(|look| look.confidence).max()?;
        looks.iter().position(|look| look.confidence == surest)
    })?;
    let mut best = looks.remove(best);
    for other in looks {
        if other.class == best.class {
            best.confidence = match (best.confidence, other.confidence) {
                (Confidence::Possible, Confidence::Possible) => Confidence::Likely,
                _ => Confidence::Certain,
            };
            best.why.extend(other.why);
            best.paths.extend(other.paths);
        }
    }
    Some(best)
}
