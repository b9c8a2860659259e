//! What may be told of a server's words: nothing that can hold a row's value. Pure, and the one place for it in all stores.
//!
//! A server quotes values in what it says of an error: `Duplicate entry 'alice@example.org' for key 'mail'`. Three things
//! are told nevertheless:
//! - a statement without its literals ([`statement`]);
//! - a message whose words are all known ([`words`]): from a list of the server's own words, or from the statement, or
//!   because there is something of that name;
//! - a message that is as a known template has it ([`filled`]): the places for values are left open in it, and a name is only
//!   told if it is known as one.
//!
//! All else is for the store to say by the error's number and by the fields that a server has for names.

use std::collections::HashSet;

use crate::error::Error;

mod statement;

pub use statement::{Dialect, statement};

/// Words that are no secret: those of a statement that are no literals, and the names of what there is.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// In lower case, without marks between them.
    words: HashSet<String>,
    /// In lower case, as they are.
    whole: HashSet<String>,
}

impl Names {
    /// The names in a statement.
    pub fn of(sql: &str, dialect: Dialect) -> Self {
        let mut names = Self::default();
        names.add_words(&statement::without_literals(sql, dialect));
        names
    }

    /// Adds the words of a text.
    pub fn add_words(&mut self, text: &str) {
        self.words.extend(cut(text).map(str::to_lowercase));
    }

    /// Adds the name of something that there is.
    pub fn add(&mut self, name: &str) {
        self.whole.insert(name.to_lowercase());
    }

    fn has_word(&self, word: &str) -> bool {
        self.words.contains(word) || self.whole.contains(word)
    }

    /// Whether a name, with dots between its parts and quotes around them, is known.
    pub fn has(&self, name: &str) -> bool {
        let bare = |part: &str| part.trim_matches(['`', '\'', '"']).to_lowercase();
        let known = |part: &str| {
            self.whole.contains(&bare(part))
                || cut(part).all(|word| self.has_word(&word.to_lowercase()))
        };
        self.whole.contains(&bare(name)) || name.split('.').all(known)
    }
}

/// Adds the statement that an error was about, without its literals, to what can be done about it.
pub fn about(error: Error, sql: &str, dialect: Dialect) -> Error {
    let shown = statement(sql, dialect);
    let shown = shown.trim_end_matches([';', ' ']);
    let hint = match error.advice() {
        Some(advice) => format!("the statement was: {shown}; {advice}"),
        None => format!("the statement was: {shown}"),
    };
    error.hint(hint)
}

/// The words of a text: letters, digits, `_` and `$`.
fn cut(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !is_of_word(c))
        .filter(|word| !word.is_empty())
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$') || !(c.is_ascii() || c.is_whitespace())
}

/// A message of which every word is known: of the server's `own` words (in lower case), or a name. Numbers are only known
/// as parts of names.
pub fn words(message: &str, own: &[&str], names: &Names) -> Option<String> {
    let known = |word: &str| {
        let word = word.to_lowercase();
        names.has_word(&word) || own.contains(&word.as_str())
    };
    cut(message).all(known).then(|| one_line(message))
}

/// Whether a word of a message stands in a literal or a comment of a statement, and nowhere else in it.
pub fn has_literal(message: &str, sql: &str, dialect: Dialect) -> bool {
    let names = Names::of(sql, dialect);
    let mut all = Names::default();
    all.add_words(sql);
    cut(message).any(|word| {
        let word = word.to_lowercase();
        all.has_word(&word) && !names.has_word(&word)
    })
}

/// A message as the first template has it that fits. In a template `{}` is a name, which is told if it is known; `{#}` a
/// number of up to four digits; `{*}` is anything. What may not be told is `?`.
pub fn filled(message: &str, templates: &[&str], names: &Names) -> Option<String> {
    templates
        .iter()
        .find_map(|template| fill(message, template, names))
}

/// The names in a message that its template has a place for and that are not known.
pub fn unknown<'a>(message: &'a str, templates: &[&str], names: &Names) -> Vec<&'a str> {
    let found = templates
        .iter()
        .find_map(|template| places(message, template));
    let found = found.unwrap_or_default().into_iter();
    found
        .filter(|(slot, text)| *slot == Slot::Name && !names.has(text))
        .map(|(_, text)| text)
        .collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Name,
    Number,
    Value,
}

const SLOTS: [(&str, Slot); 3] = [
    ("{}", Slot::Name),
    ("{#}", Slot::Number),
    ("{*}", Slot::Value),
];

/// The text before a template's first place, the place, and the rest.
fn next(template: &str) -> Option<(&str, Slot, &str)> {
    let first = SLOTS
        .iter()
        .filter_map(|(mark, slot)| template.find(mark).map(|at| (at, *mark, *slot)));
    let (at, mark, slot) = first.min_by_key(|(at, ..)| *at)?;
    Some((&template[..at], slot, &template[at + mark.len()..]))
}

/// What stands in a template's places; `None`: the message is not as the template has it. Where a value could be read in two
/// ways, a name may come out wrong, and is then no known one.
fn places<'a>(message: &'a str, template: &str) -> Option<Vec<(Slot, &'a str)>> {
    let Some((before, slot, rest)) = next(template) else {
        return (message == template).then(Vec::new);
    };
    let message = message.strip_prefix(before)?;
    let end = match next(rest) {
        None => message.len().checked_sub(rest.len())?,
        Some(("", ..)) => return None,
        // What is not found behind the first of them is not found behind a later one.
        Some((until, ..)) => message.find(until)?,
    };
    let mut found = places(message.get(end..)?, rest)?;
    found.insert(0, (slot, &message[..end]));
    Some(found)
}

fn fill(message: &str, template: &str, names: &Names) -> Option<String> {
    let mut made = String::new();
    let mut rest = template;
    for (slot, text) in places(message, template)? {
        let (before, _, after) = next(rest)?;
        made.push_str(before);
        let may_be_told = match slot {
            Slot::Name => names.has(text),
            Slot::Number => text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit()),
            Slot::Value => false,
        };
        made.push_str(if may_be_told { text } else { "?" });
        rest = after;
    }
    made.push_str(rest);
    Some(one_line(&made))
}

/// A text as a part of one line.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DUPLICATE: &[&str] = &[
        "Duplicate entry '{*}' for key '{}'",
        "Incorrect {} value: '{*}' for column `{}`.`{}` at row {*}",
        "(errno: {#} \"{*}\")",
    ];

    fn names() -> Names {
        let sql = "UPDATE users SET mail = 'MARKER' WHERE \"odd name\" = 5";
        let mut names = Names::of(sql, Dialect::Postgresql);
        names.add("my key");
        names
    }

    #[test]
    fn a_template_leaves_values_open_and_tells_known_names() {
        let told = |message: &str| filled(message, DUPLICATE, &names());
        assert_eq!(
            told("Duplicate entry 'MARKER' for key 'users.my key'").as_deref(),
            Some("Duplicate entry '?' for key 'users.my key'")
        );
        assert_eq!(
            told("Duplicate entry 'MARKER' for key 'my key'").as_deref(),
            Some("Duplicate entry '?' for key 'my key'")
        );
        assert_eq!(
            told("Duplicate entry 'x' for key 'MARKER' for key 'mail'").as_deref(),
            Some("Duplicate entry '?' for key '?'")
        );
        assert_eq!(
            told("Duplicate entry 'x' for key 'MARKER'").as_deref(),
            Some("Duplicate entry '?' for key '?'")
        );
        assert_eq!(
            told("(errno: 150 \"MARKER\")").as_deref(),
            Some("(errno: 150 \"?\")")
        );
        assert_eq!(
            told("(errno: 4111111111111111 \"\")").as_deref(),
            Some("(errno: ? \"?\")")
        );
        assert_eq!(told("Duplicate entry MARKER"), None);
        assert_eq!(
            unknown("Duplicate entry 'a' for key 'b'", DUPLICATE, &names()),
            ["b"]
        );
    }

    #[test]
    fn a_message_is_told_if_all_of_its_words_are_known() {
        let own = &["relation", "does", "not", "exist"][..];
        let told = |message: &str| words(message, own, &names());
        assert!(told("relation \"users\" does not exist").is_some());
        assert!(told("relation \"odd name\" does not exist").is_some());
        for secret in [
            "relation \"MARKER\" does not exist",
            "relation \"users\" MARKER \"mail\" does not exist",
            "relation \"5\" does not exist",
            "relation \"users\u{301}\" does not exist",
        ] {
            assert_eq!(told(secret), None);
        }
    }

    proptest! {
        #[test]
        fn no_planted_value_survives(
            before in "[\\PC'`\" .]{0,8}",
            after in "[\\PC'`\" .]{0,8}",
            place in 0_usize..3,
        ) {
            let planted = format!("{before}MARKER{after}");
            let messages = [
                format!("Duplicate entry '{planted}' for key '{planted}'"),
                format!("Incorrect {planted} value: '{planted}' for column `users`.`{planted}` at row {planted}"),
                format!("relation {planted} does not exist"),
            ];
            let message = &messages[place];
            let own = &["relation", "does", "not", "exist"][..];
            let filled = filled(message, DUPLICATE, &names()).unwrap_or_default();
            let words = words(message, own, &names()).unwrap_or_default();
            prop_assert!(!filled.contains("MARKER"), "{}", filled);
            prop_assert!(!words.contains("MARKER"), "{}", words);
        }
    }
}
