//! Names of people, by the first and last names that are known.

use std::collections::HashSet;
use std::sync::LazyLock;

use fake::locales::{DE_DE, Data, EN, FR_FR, IT_IT, NL_NL, PT_BR};

use super::class::Class;
use super::forms::Evidence;

/// First and last names of all languages, in small letters.
struct Known {
    first: HashSet<String>,
    last: HashSet<String>,
}

static KNOWN: LazyLock<Known> = LazyLock::new(|| {
    let lower = |lists: &[&[&str]]| -> HashSet<String> {
        let names = lists.iter().flat_map(|list| list.iter());
        names
            .map(|name| name.to_lowercase())
            .filter(|name| name.len() > 2)
            .collect()
    };
    Known {
        first: lower(&[
            EN::NAME_FIRST_NAME,
            DE_DE::NAME_FIRST_NAME,
            FR_FR::NAME_FIRST_NAME,
            IT_IT::NAME_FIRST_NAME,
            NL_NL::NAME_FIRST_NAME,
            PT_BR::NAME_FIRST_NAME,
        ]),
        last: lower(&[
            EN::NAME_LAST_NAME,
            DE_DE::NAME_LAST_NAME,
            FR_FR::NAME_LAST_NAME,
            IT_IT::NAME_LAST_NAME,
            NL_NL::NAME_LAST_NAME,
            PT_BR::NAME_LAST_NAME,
        ]),
    }
});

/// How often words with capitals are a known first and a known last name, and no person's.
const CHANCE_OF_BOTH: f64 = 0.01;

/// The same of single words: Georgia and Victoria are not only people.
const CHANCE_OF_ONE: f64 = 0.12;

/// What the values say of people's names.
pub(super) fn evidence(texts: &[&str]) -> Vec<(Class, &'static str, Evidence)> {
    let (mut both, mut first, mut last) = (Vec::new(), Vec::new(), Vec::new());
    for text in texts {
        let Some(words) = words(text) else { continue };
        if let [word] = &words[..] {
            first.push(KNOWN.first.contains(word));
            last.push(KNOWN.last.contains(word));
        } else {
            let (front, back) = (&words[0], &words[words.len() - 1]);
            let is_person = |front: &String, back: &String| {
                KNOWN.first.contains(front) && KNOWN.last.contains(back)
            };
            both.push(is_person(front, back) || is_person(back, front));
        }
    }
    vec![
        (
            Class::FullName,
            "are a known first and last name",
            Evidence::count(CHANCE_OF_BOTH, both.into_iter()),
        ),
        (
            Class::FirstName,
            "are known first names",
            Evidence::count(CHANCE_OF_ONE, first.into_iter()),
        ),
        (
            Class::LastName,
            "are known last names",
            Evidence::count(CHANCE_OF_ONE, last.into_iter()),
        ),
    ]
}

/// The words of what may be a name, in small letters: one to four, of letters alone, each with a capital in front or all of them
/// in small letters or capitals.
fn words(text: &str) -> Option<Vec<String>> {
    let text = text.trim();
    if text.len() > 60 || text.is_empty() {
        return None;
    }
    let parts: Vec<&str> = text
        .split([' ', ','])
        .filter(|part| !part.is_empty())
        .collect();
    let is_word = |part: &&str| {
        let mut letters = part.chars().filter(|c| !matches!(c, '\'' | '-' | '.'));
        letters.clone().next().is_some_and(char::is_uppercase) && letters.all(char::is_alphabetic)
    };
    let fits = (1..=4).contains(&parts.len()) && parts.iter().all(is_word);
    fits.then(|| {
        parts
            .iter()
            .map(|part| part.trim_end_matches('.').to_lowercase())
            .collect()
    })
}
