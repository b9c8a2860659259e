//! How names are read: cut into words, without accents, and held against what columns are called in several languages.

use std::collections::HashMap;
use std::sync::LazyLock;

use deunicode::deunicode;

use super::class::{Class, Confidence};
use super::look::Look;
use super::types::Holds;
use super::words;

/// So many words of a name are one thing at the most: `numero_de_securite_sociale`.
const WORDS: usize = 5;

static NAMES: LazyLock<HashMap<&str, (Class, Confidence)>> = LazyLock::new(|| {
    let all = words::NAMES.iter();
    all.flat_map(|(class, confidence, names)| {
        let names = names.split_ascii_whitespace();
        names.map(|name| (name, (*class, *confidence)))
    })
    .collect()
});

/// The words of a name: cut where letters end and where capitals begin, in small letters, without accents.
pub(super) fn cut(name: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut word = String::new();
    let chars: Vec<char> = name.chars().collect();
    for (place, c) in chars.iter().enumerate() {
        let before = place.checked_sub(1).map(|before| chars[before]);
        let after = chars.get(place + 1);
        // `firstName`, `IPAddress`.
        let begins = c.is_uppercase()
            && (before.is_some_and(|before| before.is_lowercase() || before.is_ascii_digit())
                || before.is_some_and(char::is_uppercase)
                    && after.is_some_and(|after| after.is_lowercase()));
        if (begins || !c.is_alphanumeric()) && !word.is_empty() {
            found.push(std::mem::take(&mut word));
        }
        if c.is_alphanumeric() {
            word.push(*c);
        }
    }
    if !word.is_empty() {
        found.push(word);
    }
    found
        .iter()
        .map(|word| plain(word))
        .filter(|word| !word.is_empty())
        .collect()
}

/// Small letters without accents; German umlauts as they are written without.
fn plain(word: &str) -> String {
    let lower = word.to_lowercase();
    let spelled: String = lower
        .chars()
        .map(|c| match c {
            'ä' => "ae".to_owned(),
            'ö' => "oe".to_owned(),
            'ü' => "ue".to_owned(),
            'ß' => "ss".to_owned(),
            c => c.to_string(),
        })
        .collect();
    if spelled.is_ascii() {
        return spelled;
    }
    deunicode(&spelled)
        .to_lowercase()
        .replace(|c: char| !c.is_ascii_alphanumeric(), "")
}

/// Little words that stand between others: `date_de_naissance`.
const BETWEEN: &[&str] = &[
    "de", "di", "da", "do", "del", "della", "la", "le", "du", "van", "of", "the", "e", "i", "y",
    "et", "und",
];

/// What a column is by its name.
pub(super) fn look(table: &str, column: &str, holds: Holds) -> Option<Look> {
    let parts = cut(column);
    let (class, confidence) = of_words(&parts).or_else(|| of_person(table, &parts))?;
    holds_class(holds, class).then(|| Look::of(class, confidence, "its name"))
}

/// The same by its words alone: of a key in a document.
pub(super) fn look_at_key(key: &str) -> Option<Look> {
    let (class, confidence) = of_words(&cut(key))?;
    Some(Look::of(class, confidence, "a key's name"))
}

/// What is secret goes before all else (`email_address_ciphertext`); then the first of the longest matches.
fn of_words(parts: &[String]) -> Option<(Class, Confidence)> {
    let is_secret = |class| class == Class::Secret;
    longest(parts, is_secret).or_else(|| longest(parts, |_| true))
}

fn longest(parts: &[String], is_wanted: impl Fn(Class) -> bool) -> Option<(Class, Confidence)> {
    for length in (1..=WORDS.min(parts.len())).rev() {
        for start in 0..=parts.len() - length {
            let (before, rest) = parts.split_at(start);
            let (inside, after) = rest.split_at(length);
            let is_none = before
                .iter()
                .any(|word| words::has(words::NEGATING_BEFORE, word))
                || after
                    .iter()
                    .any(|word| words::has(words::NEGATING_AFTER, word));
            if is_none {
                continue;
            }
            let whole = inside.concat();
            let short: String = inside
                .iter()
                .filter(|word| !BETWEEN.contains(&&***word))
                .map(String::as_str)
                .collect();
            let bare = whole.trim_end_matches(|c: char| c.is_ascii_digit());
            let known = [&*whole, &*short, bare]
                .into_iter()
                .find_map(|name| NAMES.get(name).filter(|(class, _)| is_wanted(*class)));
            if let Some((class, confidence)) = known {
                // A word of four letters among others is often something else: `last_to_first`.
                let is_alone = parts.len() == length;
                if *confidence == Confidence::Possible && !is_alone && whole.len() < 5 {
                    continue;
                }
                return Some((*class, *confidence));
            }
            if length == 1 && after.is_empty() {
                let end = words::ENDINGS
                    .iter()
                    .find(|(end, _)| whole.len() > end.len() && whole.ends_with(end));
                if let Some((_, class)) = end {
                    return Some((*class, Confidence::Likely));
                }
            }
        }
    }
    None
}

/// `users.name`, and `customer_name` anywhere.
fn of_person(table: &str, parts: &[String]) -> Option<(Class, Confidence)> {
    let (last, front) = parts.split_last()?;
    if !words::has(words::NAME_OF, last) {
        return None;
    }
    let is_person = |word: &String| words::has(words::PEOPLE, word);
    if front.is_empty() && cut(table).iter().any(is_person) || front.iter().any(is_person) {
        return Some((Class::FullName, Confidence::Likely));
    }
    None
}

/// Whether a column that holds this can be what its name says: no number is a street, and no moment a password.
fn holds_class(holds: Holds, class: Class) -> bool {
    use Class as C;
    match holds {
        Holds::Nothing | Holds::Span => false,
        Holds::Text | Holds::Unknown | Holds::Document => true,
        Holds::Bytes => !matches!(class, C::FreeText),
        Holds::Word => class == C::Trait,
        Holds::Number => matches!(
            class,
            C::Phone
                | C::Card
                | C::NationalNumber
                | C::Postcode
                | C::Location
                | C::Trait
                | C::BirthDate
                | C::Iban
                | C::Ip
                | C::Secret
        ),
        Holds::Moment => class == C::BirthDate,
        Holds::Uuid => matches!(class, C::Secret | C::Device),
        Holds::Address => class == C::Ip,
        Holds::Hardware => class == C::Mac,
        Holds::Place => class == C::Location,
    }
}

/// What was written beside a column and its table.
pub(super) fn look_at_comments(comments: &[&str], holds: Holds) -> Option<Look> {
    let lower: Vec<String> = comments
        .iter()
        .map(|comment| deunicode(comment).to_lowercase())
        .collect();
    let is_marked = |comment: &String| words::MARKS.iter().any(|mark| has_word(comment, mark));
    if lower.iter().any(is_marked) {
        return Some(Look::of(
            Class::Marked,
            Confidence::Likely,
            "its comment says that it is personal",
        ));
    }
    // A comment is a sentence: what it names may be beside the point.
    let class = comments.iter().find_map(|comment| {
        let (class, confidence) = of_words(&cut(comment))?;
        (confidence >= Confidence::Likely && holds_class(holds, class)).then_some(class)
    })?;
    Some(Look::of(class, Confidence::Possible, "its comment"))
}

/// Whether a text has these words as words.
fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(place, _)| {
        let is_letter = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        !is_letter(text[..place].chars().next_back())
            && !is_letter(text[place + word.len()..].chars().next())
    })
}
