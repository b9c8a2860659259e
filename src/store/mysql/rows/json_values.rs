//! The values of a JSON document by their numbers: the text says where each stands, and the server tells of which type the value
//! of a number is. Pure.
//!
//! The numbers are those that `JSON_EXTRACT(document, '$**.*', '$**[*]')` gives them: first the members of all objects, then
//! the cells of all arrays, containers in the order in which they begin.

use std::collections::BTreeMap;

/// An object or array that we are in.
struct Frame<'a> {
    is_object: bool,
    /// How many containers begin before it.
    number: usize,
    /// Those that have begun.
    children: u32,
    /// Of the last of them, as it stands in the text.
    key: &'a str,
}

/// What a container has.
struct Size {
    is_object: bool,
    children: u32,
}

/// A value that was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found<'a> {
    pub(super) number: u64,
    pub(super) path: String,
    /// A scalar as it stands in the text.
    pub(super) text: &'a str,
}

/// How many values there are below a document's root; `None`: this is no document.
pub(super) fn count(document: &str) -> Option<u64> {
    let mut count = 0;
    walk(document, |frames, _| count += u64::from(!frames.is_empty()))?;
    Some(count)
}

/// Those of these numbers, in the order of the text; how many values there are, too.
pub(super) fn find<'a, T>(
    document: &'a str,
    wanted: &BTreeMap<u64, T>,
) -> Option<(u64, Vec<Found<'a>>)> {
    let mut sizes: Vec<Size> = Vec::new();
    walk(document, |frames, value| {
        if let Some(parent) = frames.last() {
            sizes[parent.number].children = parent.children;
        }
        if is_container(value) {
            sizes.push(Size {
                is_object: value == "{",
                children: 0,
            });
        }
    })?;
    let sum = |sizes: &[Size], objects: bool| -> u64 {
        let of_kind = sizes.iter().filter(|size| size.is_object == objects);
        of_kind.map(|size| u64::from(size.children)).sum()
    };
    let members = sum(&sizes, true);
    let count = members + sum(&sizes, false);
    let mut found = Vec::with_capacity(wanted.len());
    let (mut next_member, mut next_cell) = (1, members + 1);
    let firsts: Vec<u64> = sizes
        .iter()
        .map(|size| {
            let next = if size.is_object {
                &mut next_member
            } else {
                &mut next_cell
            };
            let first = *next;
            *next += u64::from(size.children);
            first
        })
        .collect();
    drop(sizes);
    walk(document, |frames, text| {
        let Some(parent) = frames.last() else {
            return;
        };
        let number = firsts[parent.number] + u64::from(parent.children) - 1;
        if wanted.contains_key(&number) {
            found.push(Found {
                number,
                path: path(frames),
                text,
            });
        }
    })?;
    Some((count, found))
}

/// The path of the value that the last frame has come to.
fn path(frames: &[Frame<'_>]) -> String {
    let mut path = "$".to_owned();
    for frame in frames {
        if frame.is_object {
            path.push('.');
            path.push_str(frame.key);
        } else {
            path.push_str(&format!("[{}]", frame.children - 1));
        }
    }
    path
}

fn is_container(value: &str) -> bool {
    value == "{" || value == "["
}

/// Shows `visit` every value with the containers around it: a scalar's text, or the bracket that begins a container.
fn walk<'a>(document: &'a str, mut visit: impl FnMut(&[Frame<'a>], &'a str)) -> Option<()> {
    let mut tokens = Tokens(document);
    let mut frames: Vec<Frame<'a>> = Vec::new();
    let mut containers = 0;
    let mut has_root = false;
    while let Some(token) = tokens.next() {
        let mut value = token;
        match token {
            "}" | "]" => {
                if frames.pop()?.is_object != (token == "}") {
                    return None;
                }
                continue;
            }
            "," => continue,
            ":" => return None,
            _ => {}
        }
        match frames.last_mut() {
            Some(frame) => {
                if frame.is_object {
                    frame.key = token.starts_with('"').then_some(token)?;
                    tokens.next().filter(|mark| *mark == ":")?;
                    value = tokens.next().filter(|value| !is_mark(value))?;
                }
                frame.children = frame.children.checked_add(1)?;
            }
            None if has_root => return None,
            None => has_root = true,
        }
        visit(&frames, value);
        if is_container(value) {
            frames.push(Frame {
                is_object: value == "{",
                number: containers,
                children: 0,
                key: "",
            });
            containers += 1;
        }
    }
    (has_root && frames.is_empty()).then_some(())
}

fn is_mark(token: &str) -> bool {
    matches!(token, "}" | "]" | "," | ":")
}

/// Brackets, commas, colons, strings with their quotes, and what else stands between them.
struct Tokens<'a>(&'a str);

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.0.trim_start_matches([' ', '\t', '\n', '\r']);
        let bytes = text.as_bytes();
        let length = match bytes.first()? {
            b'{' | b'}' | b'[' | b']' | b',' | b':' => 1,
            b'"' => string(bytes),
            _ => bytes
                .iter()
                .position(|byte| b"{}[],:\" \t\n\r".contains(byte))
                .unwrap_or(bytes.len()),
        };
        let (token, rest) = text.split_at(length);
        self.0 = rest;
        Some(token)
    }
}

/// How long the string is that begins here.
fn string(bytes: &[u8]) -> usize {
    let mut at = 1;
    while let Some(next) = bytes
        .get(at..)
        .and_then(|rest| memchr::memchr2(b'"', b'\\', rest))
    {
        at += next + 1;
        if bytes[at - 1] == b'"' {
            return at;
        }
        // What is escaped is no end; it may have more bytes than one, none of which is one, either.
        at += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// A value's number, path and text.
    type Told<'a> = (u64, String, &'a str);

    fn all(document: &str) -> Option<(u64, Vec<Told<'_>>)> {
        let wanted: BTreeMap<u64, u64> = (0..1000).map(|number| (number, number)).collect();
        let (count, found) = find(document, &wanted)?;
        assert_eq!(super::count(document), Some(count));
        let mut found: Vec<_> = found
            .into_iter()
            .map(|found| (found.number, found.path, found.text))
            .collect();
        found.sort();
        Some((count, found))
    }

    #[test]
    fn values_have_the_servers_numbers_and_their_paths() {
        let document = r#"{"a": [1, {"x": "}\\\"", "y\"z": []}], "b": {"é": -1.5e3}, "": null}"#;
        let (count, found) = all(document).expect("a document");
        let found: Vec<_> = found
            .iter()
            .map(|(number, path, text)| (*number, path.as_str(), *text))
            .collect();
        assert_eq!(count, 8);
        assert_eq!(
            found,
            [
                (1, r#"$."a""#, "["),
                (2, r#"$."b""#, "{"),
                (3, r#"$."""#, "null"),
                (4, r#"$."a"[1]."x""#, r#""}\\\"""#),
                (5, r#"$."a"[1]."y\"z""#, "["),
                (6, r#"$."b"."é""#, "-1.5e3"),
                (7, r#"$."a"[0]"#, "1"),
                (8, r#"$."a"[1]"#, "{"),
            ]
        );
        assert_eq!(all(" 1.10 "), Some((0, Vec::new())));
    }

    #[test]
    fn what_is_no_document_is_none() {
        for text in [
            "",
            " ",
            "[",
            "]",
            "[}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\" 1}",
            "{1: 2}",
            "1 2",
            ":",
            "{\"a\": \"",
            "{\"a",
        ] {
            assert_eq!(count(text), None, "{text}");
            assert_eq!(all(text), None, "{text}");
        }
    }

    fn documents() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            "[\\PC\"\\\\\n]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec(("[\\PC\"\\\\]{0,4}", inner), 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// All containers in the order in which they begin.
    fn containers<'a>(value: &'a Value, all: &mut Vec<&'a Value>) {
        if value.is_array() || value.is_object() {
            all.push(value);
        }
        match value {
            Value::Array(cells) => cells.iter().for_each(|cell| containers(cell, all)),
            Value::Object(members) => members.values().for_each(|member| containers(member, all)),
            _ => {}
        }
    }

    proptest! {
        #[test]
        fn every_value_has_its_number(document in documents()) {
            let mut every = Vec::new();
            containers(&document, &mut every);
            let members = every.iter().filter_map(|one| one.as_object()).flat_map(|members| members.values());
            let cells = every.iter().filter_map(|one| one.as_array()).flatten();
            let expected: Vec<&Value> = members.chain(cells).collect();
            let text = document.to_string();
            let (count, found) = all(&text).expect("a document");
            prop_assert_eq!(count, expected.len() as u64);
            for ((number, _, text), (at, value)) in found.iter().zip(expected.iter().enumerate()) {
                prop_assert_eq!(*number, at as u64 + 1);
                match value {
                    Value::Array(_) => prop_assert_eq!(*text, "["),
                    Value::Object(_) => prop_assert_eq!(*text, "{"),
                    scalar => prop_assert_eq!(*text, scalar.to_string()),
                }
            }
        }

        #[test]
        fn no_text_is_too_odd(text in "[{}\\[\\],:\"\\\\ a1é]{0,30}") {
            let count = count(&text);
            prop_assert_eq!(all(&text).map(|(count, _)| count), count);
        }
    }
}
