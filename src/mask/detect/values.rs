//! What values by themselves say: by their forms, and as names of people.

use super::forms::{self, Evidence};
use super::look::Look;
use super::people;
use super::types::Holds;

/// What the values themselves say.
pub(super) fn look(texts: &[&str], holds: Holds) -> Option<Look> {
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
