//! Looks: what one kind of evidence says of a column, and what several say together.

use super::class::{Class, Confidence};
use crate::mask::column::Column;

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

/// What is known before a kind is sought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) class: Class,
    pub(super) confidence: Confidence,
    pub(super) why: Vec<String>,
    /// Of a document: what is at which path.
    pub(super) paths: Vec<(String, Class)>,
}

impl Look {
    pub(super) fn of(class: Class, confidence: Confidence, why: impl Into<String>) -> Self {
        Self {
            class,
            confidence,
            why: vec![why.into()],
            paths: Vec::new(),
        }
    }
}

/// What several looks say together: two that agree are surer than each; of two that do not, the surer one is right, and of
/// equals the first.
pub(super) fn merge(looks: impl Iterator<Item = Look>) -> Option<Look> {
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
