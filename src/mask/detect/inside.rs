//! What stands in documents (JSON, PHP's serialized values) and in free text.

use std::collections::BTreeMap;

use serde_json::Value;

use super::class::{Class, Confidence};
use super::look::{Look, merge};
use super::{checks, forms, naming, values};

/// Longer documents are not read.
const LONGEST: usize = 1 << 20;

/// So many values of a path are looked at, and so many paths.
const VALUES: usize = 200;
const PATHS: usize = 400;

/// PHP's values nest as deep, no deeper.
const DEEPEST: usize = 64;

/// What documents and texts of a column have inside.
pub(super) fn look(table: &str, texts: &[&str]) -> Option<Look> {
    let mut leaves = Leaves::default();
    let mut documents = (0, false);
    let mut rest = Vec::new();
    for text in texts.iter().filter(|text| text.len() <= LONGEST) {
        match document(text.trim()) {
            Some((value, is_php)) => {
                documents = (documents.0 + 1, documents.1 | is_php);
                leaves.add(&mut Vec::new(), &value);
            }
            None => rest.push(*text),
        }
    }
    let in_documents = of_leaves(table, leaves, documents);
    let in_texts = free_text(&rest);
    match (in_documents, in_texts) {
        (Some(documents), Some(texts)) if texts.confidence > documents.confidence => Some(texts),
        (documents, texts) => documents.or(texts),
    }
}

/// An object or an array of JSON, or of PHP; whether it is PHP's.
fn document(text: &str) -> Option<(Value, bool)> {
    if text.starts_with(['{', '[']) {
        let value = serde_json::from_str(text).ok();
        return value.map(|value| (value, false));
    }
    if text.starts_with("a:") || text.starts_with("O:") {
        return php(text.as_bytes()).map(|value| (value, true));
    }
    None
}

/// Values by their paths, as masks write those.
#[derive(Default)]
struct Leaves {
    values: BTreeMap<String, (String, Vec<String>)>,
    /// Keys that are addresses themselves.
    personal_keys: usize,
}

impl Leaves {
    fn add(&mut self, path: &mut Vec<String>, value: &Value) {
        match value {
            Value::Object(members) => {
                for (key, member) in members {
                    self.personal_keys += usize::from(key.contains('@') && forms::is_email(key));
                    path.push(step(key));
                    self.add(path, member);
                    path.pop();
                }
            }
            Value::Array(members) => {
                for member in members {
                    path.push("*".to_owned());
                    self.add(path, member);
                    path.pop();
                }
            }
            Value::Null | Value::Bool(_) => {}
            Value::String(text) => self.leaf(path, text.clone()),
            Value::Number(number) => self.leaf(path, number.to_string()),
        }
    }

    fn leaf(&mut self, path: &[String], value: String) {
        let whole = path.join(".");
        if whole.is_empty() || self.values.len() >= PATHS && !self.values.contains_key(&whole) {
            return;
        }
        let key = path.iter().rev().find(|step| *step != "*");
        let key = key.cloned().unwrap_or_default();
        let (_, values) = self
            .values
            .entry(whole)
            .or_insert_with(|| (key, Vec::new()));
        if values.len() < VALUES {
            values.push(value);
        }
    }
}

/// A key as a part of a path: numbers and what looks made by machines stand for any.
fn step(key: &str) -> String {
    let is_made = !key.is_empty()
        && key.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
        && key.chars().any(|c| c.is_ascii_digit());
    if is_made || key.is_empty() || key.contains('@') {
        return "*".to_owned();
    }
    key.replace('\\', "\\\\").replace('.', "\\.")
}

fn of_leaves(table: &str, leaves: Leaves, (documents, is_php): (usize, bool)) -> Option<Look> {
    if documents == 0 {
        return None;
    }
    let mut found: Option<Look> = None;
    let mut add = |path: Option<&str>, class: Class, confidence: Confidence, why: String| {
        let look = found.get_or_insert_with(|| Look {
            class: Class::Document,
            confidence,
            why: Vec::new(),
            paths: Vec::new(),
        });
        look.confidence = look.confidence.max(confidence);
        look.why.push(why);
        if let Some(path) = path {
            look.paths.push((path.to_owned(), class));
        }
    };
    if leaves.personal_keys > 0 {
        add(
            None,
            Class::Email,
            Confidence::Certain,
            "keys that are e-mail addresses".to_owned(),
        );
    }
    for (path, (key, values)) in &leaves.values {
        let texts: Vec<&str> = values.iter().map(String::as_str).collect();
        let valued = values::look(&texts, super::types::Holds::Text).or_else(|| free_text(&texts));
        let key = if key.is_empty() { table } else { key };
        let Some(look) = merge([valued, naming::look_at_key(key)].into_iter().flatten()) else {
            continue;
        };
        let shown = if is_php { "in PHP's" } else { "in JSON" };
        add(
            Some(path),
            look.class,
            look.confidence,
            format!("{shown} {path}: {} ({})", look.class, look.why.join(", ")),
        );
    }
    found
}

/// Texts of several words with addresses and numbers in them.
fn free_text(texts: &[&str]) -> Option<Look> {
    let (mut sentences, mut found) = (0, [0_usize; 4]);
    for text in texts {
        if text.len() < 12 || !text.contains(char::is_whitespace) || text.len() > LONGEST {
            continue;
        }
        // What is an address as a whole is no text with one in it.
        if text.len() < 120
            && forms::ALL
                .iter()
                .any(|form| form.passes(text) == Some(true))
        {
            continue;
        }
        sentences += 1;
        let has = contents(text);
        for (count, has) in found.iter_mut().zip(has) {
            *count += usize::from(has);
        }
    }
    let names = [
        "e-mail addresses",
        "IBANs",
        "keys or tokens",
        "telephone numbers",
    ];
    let told: Vec<String> = names
        .iter()
        .zip(found)
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{name} in {count} of {sentences} texts"))
        .collect();
    let confidence = match found {
        [0, 0, 0, 0] => return None,
        // Rows of digits are many things.
        [0, 0, 0, _] => Confidence::Possible,
        _ => Confidence::Certain,
    };
    Some(Look {
        class: Class::FreeText,
        confidence,
        why: told,
        paths: Vec::new(),
    })
}

/// Whether there is an address, an IBAN, a secret, a telephone number in a text.
fn contents(text: &str) -> [bool; 4] {
    let mut found = [false; 4];
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || "<>()[]{}\"';,|".contains(c))
        .collect();
    for word in words.iter().filter(|word| word.len() > 4) {
        let word = word.trim_matches(|c: char| ".:!?*_".contains(c));
        found[0] |= word.contains('@') && forms::is_email(word);
        found[2] |= word.len() >= 20 && forms::secret(word) == Some(true);
        let value = word.rsplit(['=', ':']).next().unwrap_or(word);
        found[1] |= value.len() >= 15 && checks::iban(value.as_bytes()) == Some(true);
    }
    found[1] |= has_spaced_iban(&words);
    found[3] = has_phone(text);
    found
}

/// `DE89 3704 0044 0532 0130 00`
fn has_spaced_iban(words: &[&str]) -> bool {
    let is_head = |word: &str| {
        let bytes = word.as_bytes();
        bytes.len() == 4
            && bytes[..2].iter().all(u8::is_ascii_uppercase)
            && bytes[2..].iter().all(u8::is_ascii_digit)
    };
    (0..words.len())
        .filter(|place| is_head(words[*place]))
        .any(|place| {
            let mut whole = String::new();
            words[place..].iter().take(9).any(|word| {
                whole.push_str(word.trim_end_matches(['.', ':']));
                checks::iban(whole.as_bytes()) == Some(true)
            })
        })
}

/// A plus and digits with what people put between them.
fn has_phone(text: &str) -> bool {
    text.match_indices('+').any(|(place, _)| {
        let rest = &text[place..];
        let end = rest[1..].find(|c: char| !(c.is_ascii_digit() || " -/().".contains(c)));
        let number = &rest[..end.map_or(rest.len(), |end| end + 1)];
        let number: String = number.chars().take(24).collect();
        forms::phone(number.trim_end_matches([' ', '.', ')', '(', '-', '/'])) == Some(true)
    })
}

/// What PHP's serialize() made, as JSON; `None`: it is not that.
fn php(text: &[u8]) -> Option<Value> {
    let mut reader = Php { text, at: 0 };
    let value = reader.value(0)?;
    (reader.at == text.len()).then_some(value)
}

struct Php<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Php<'a> {
    /// What stands before a sign, which is passed.
    fn until(&mut self, sign: u8) -> Option<&'a str> {
        let rest = self.text.get(self.at..)?;
        let end = rest.iter().take(400).position(|byte| *byte == sign)?;
        self.at += end + 1;
        std::str::from_utf8(&rest[..end]).ok()
    }

    fn sign(&mut self, sign: u8) -> Option<()> {
        (self.text.get(self.at) == Some(&sign)).then(|| self.at += 1)
    }

    /// `5:"hello"`
    fn string(&mut self) -> Option<String> {
        let length: usize = self.until(b':')?.parse().ok()?;
        self.sign(b'"')?;
        let end = self.at.checked_add(length)?;
        let bytes = self.text.get(self.at..end)?;
        self.at = end;
        self.sign(b'"')?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        let kind = *self.text.get(self.at)?;
        self.at += 1;
        if depth > DEEPEST {
            return None;
        }
        if kind == b'N' {
            self.sign(b';')?;
            return Some(Value::Null);
        }
        self.sign(b':')?;
        Some(match kind {
            b'b' => Value::Bool(self.until(b';')? == "1"),
            b'i' | b'd' => Value::String(self.until(b';')?.to_owned()),
            b's' => {
                let text = self.string()?;
                self.sign(b';')?;
                Value::String(text)
            }
            b'O' => {
                self.string()?;
                self.sign(b':')?;
                self.members(depth)?
            }
            b'a' => self.members(depth)?,
            b'r' | b'R' => {
                self.until(b';')?;
                Value::Null
            }
            _ => return None,
        })
    }

    /// `2:{s:1:"a";i:1;...}`
    fn members(&mut self, depth: usize) -> Option<Value> {
        let count: usize = self.until(b':')?.parse().ok()?;
        self.sign(b'{')?;
        let mut members = serde_json::Map::new();
        for _ in 0..count {
            let Value::String(key) = self.value(depth + 1)? else {
                return None;
            };
            // Private and protected members have their class in front.
            let key = key.rsplit('\0').next().unwrap_or_default().to_owned();
            let value = self.value(depth + 1)?;
            members.insert(key, value);
        }
        self.sign(b'}')?;
        Some(Value::Object(members))
    }
}
