//! TOML with the place of every key, read key by key: whatever is wrong is noted, and reading goes on.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostics::{Diagnostic, Text};

/// Everything that was found wrong with one file.
#[derive(Clone)]
pub(super) struct Notes {
    pub(super) text: Text,
    found: Rc<RefCell<Vec<Diagnostic>>>,
}

impl Notes {
    pub(super) fn error(&self, span: &Range<usize>, key: &str, message: impl Into<String>) {
        self.push(Diagnostic::at(&self.text, span, key, message));
    }

    pub(super) fn error_with(
        &self,
        span: &Range<usize>,
        key: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(Diagnostic::at(&self.text, span, key, message).help(help));
    }

    pub(super) fn push(&self, diagnostic: Diagnostic) {
        self.found.borrow_mut().push(diagnostic);
    }

    pub(super) fn into_vec(self) -> Vec<Diagnostic> {
        self.found.borrow().clone()
    }
}

/// A value with its place and the path that leads to it.
#[derive(Clone)]
pub(super) struct Value<'a> {
    raw: &'a Spanned<DeValue<'a>>,
    pub(super) path: String,
    notes: Notes,
}

/// A table that knows which of its keys were asked for.
pub(super) struct Table<'a> {
    raw: &'a DeTable<'a>,
    pub(super) span: Range<usize>,
    pub(super) path: String,
    pub(super) notes: Notes,
    asked: RefCell<BTreeSet<String>>,
}

/// Keys that will come, and where: refused with their own words, never ignored.
const LATER: [&str; 37] = [
    "mask",
    "masks",
    "masks_exempt",
    "roles",
    "throttle",
    "max_replication_lag",
    "definer",
    "events",
    "delete",
    "encrypt",
    "recipients",
    "format",
    "at",
    "retention",
    "timezone",
    "history",
    "http",
    "api",
    "metrics",
    "notifications",
    "notify",
    "keep_last",
    "keep_daily",
    "keep_weekly",
    "max_age",
    "settings",
    "large_objects",
    "collections",
    "checksum_jobs",
    "retry",
    "retries",
    "before_copy",
    "sites",
    "site",
    "prometheus",
    "web",
    "archive",
];

/// Reads a file; a file that cannot be read at all is a diagnostic, too.
pub(super) fn text_of(file: &Path) -> Result<Text, Diagnostic> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Text {
            file: file.to_owned(),
            text: text.into(),
        }),
        Err(error) => Err(Diagnostic::of_file(
            file,
            format!("the file cannot be read: {error}"),
        )),
    }
}

/// Parses a text and hands its root table to `read`.
pub(super) fn parse<T>(text: &Text, read: impl FnOnce(&Table<'_>) -> T) -> (T, Vec<Diagnostic>) {
    let notes = Notes {
        text: text.clone(),
        found: Rc::default(),
    };
    let (root, errors) = DeTable::parse_recoverable(&text.text);
    for error in &errors {
        let span = error.span().unwrap_or(0..0);
        notes.error(&span, "", error.message().to_owned());
    }
    let span = root.span();
    let table = Table {
        raw: root.get_ref(),
        span,
        path: String::new(),
        notes: notes.clone(),
        asked: RefCell::default(),
    };
    let made = read(&table);
    // After a syntax error, what follows from it would only confuse.
    if errors.is_empty() {
        table.finish();
    }
    drop(table);
    let mut found = notes.into_vec();
    if !errors.is_empty() {
        found.truncate(errors.len());
    }
    (made, found)
}

impl<'a> Table<'a> {
    /// The path of a key in here.
    pub(super) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    /// A key's value, if it is there.
    pub(super) fn get(&self, key: &str) -> Option<Value<'a>> {
        self.asked.borrow_mut().insert(key.to_owned());
        let raw = self.raw.get(key)?;
        Some(Value {
            raw,
            path: self.path_of(key),
            notes: self.notes.clone(),
        })
    }

    /// A key that has to be there.
    pub(super) fn require(&self, key: &str, allowed: &str) -> Option<Value<'a>> {
        let found = self.get(key);
        if found.is_none() {
            // A table's span is its header; the root's is the whole file.
            let span = if self.path.is_empty() {
                0..0
            } else {
                self.span.clone()
            };
            self.notes.error_with(
                &span,
                &self.path_of(key),
                format!("the key `{key}` is missing"),
                allowed,
            );
        }
        found
    }

    /// A table in here; one with no keys if it is not there.
    pub(super) fn table(&self, key: &str) -> Option<Table<'a>> {
        self.get(key)?.table()
    }

    /// All keys with their values.
    pub(super) fn entries(&self) -> Vec<(String, Range<usize>, Value<'a>)> {
        self.raw
            .iter()
            .map(|(key, raw)| {
                let name = key.get_ref().to_string();
                self.asked.borrow_mut().insert(name.clone());
                let value = Value {
                    raw,
                    path: self.path_of(&name),
                    notes: self.notes.clone(),
                };
                (name, key.span(), value)
            })
            .collect()
    }

    /// Where keys stand.
    pub(super) fn places(&self) -> Vec<(String, Range<usize>)> {
        self.raw
            .iter()
            .map(|(key, value)| (key.get_ref().to_string(), value.span()))
            .collect()
    }

    /// Notes every key that nobody asked for.
    pub(super) fn finish(&self) {
        let asked = self.asked.borrow();
        for key in self.raw.keys() {
            let name = key.get_ref().as_ref();
            if asked.contains(name) {
                continue;
            }
            let path = self.path_of(name);
            if LATER.contains(&name) {
                self.notes.error_with(
                    &key.span(),
                    &path,
                    format!("`{name}` is not supported yet"),
                    "remove the key: it would have no effect",
                );
                continue;
            }
            let near = asked
                .iter()
                .map(|known| (strsim::damerau_levenshtein(known, name), known))
                .filter(|(distance, known)| *distance <= 1 + known.len() / 4)
                .min();
            let known: Vec<&str> = asked.iter().map(String::as_str).collect();
            let help = match near {
                Some((_, known)) => format!("did you mean `{known}`?"),
                None => format!("allowed here: {}", known.join(", ")),
            };
            self.notes
                .error_with(&key.span(), &path, format!("unknown key `{name}`"), help);
        }
    }
}

impl<'a> Value<'a> {
    pub(super) fn span(&self) -> Range<usize> {
        self.raw.span()
    }

    pub(super) fn error(&self, message: impl Into<String>, help: impl Into<String>) {
        self.notes
            .error_with(&self.span(), &self.path, message, help);
    }

    pub(super) fn warn(&self, message: impl Into<String>, help: impl Into<String>) {
        self.notes.push(
            Diagnostic::at(&self.notes.text, &self.span(), &self.path, message)
                .help(help)
                .warning(),
        );
    }

    fn wrong_type(&self, wanted: &str) {
        let found = match self.raw.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.error(format!("this is {found}"), format!("allowed: {wanted}"));
    }

    /// The string that it is, if it is one.
    pub(super) fn as_str(&self) -> Option<&'a str> {
        self.raw.get_ref().as_str()
    }

    pub(super) fn string(&self) -> Option<String> {
        let found = self.as_str().map(str::to_owned);
        if found.is_none() {
            self.wrong_type("a string");
        }
        found
    }

    pub(super) fn filled(&self) -> Option<String> {
        let text = self.string()?;
        if text.trim().is_empty() {
            self.error("this is empty", "allowed: a string with something in it");
            return None;
        }
        Some(text)
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        let found = self.raw.get_ref().as_bool();
        if found.is_none() {
            self.wrong_type("true or false");
        }
        found
    }

    /// A whole number within bounds.
    pub(super) fn integer(&self, from: i64, to: i64) -> Option<i64> {
        let allowed = format!("a whole number from {from} to {to}");
        let Some(number) = self.raw.get_ref().as_integer() else {
            self.wrong_type(&allowed);
            return None;
        };
        let value = i64::from_str_radix(number.as_str(), number.radix())
            .ok()
            .filter(|n| (from..=to).contains(n));
        if value.is_none() {
            self.error(
                "this number is out of bounds",
                format!("allowed: {allowed}"),
            );
        }
        value
    }

    pub(super) fn duration(&self) -> Option<Duration> {
        let allowed = "a duration such as \"30s\", \"5m\" or \"1h 30m\"";
        let Some(text) = self.as_str() else {
            self.wrong_type(allowed);
            return None;
        };
        match humantime::parse_duration(text) {
            Ok(duration) if !duration.is_zero() => Some(duration),
            Ok(_) => {
                self.error(
                    "this duration is nothing",
                    format!("allowed: {allowed}, longer than nothing"),
                );
                None
            }
            Err(error) => {
                self.error(
                    format!("this is no duration: {error}"),
                    format!("allowed: {allowed}"),
                );
                None
            }
        }
    }

    /// One of some words; `later` are words that will come.
    pub(super) fn choice<T: Copy>(&self, words: &[(&str, T)], later: &[&str]) -> Option<T> {
        let list = words
            .iter()
            .map(|(word, _)| *word)
            .collect::<Vec<_>>()
            .join(" | ");
        let Some(text) = self.as_str() else {
            self.wrong_type(&list);
            return None;
        };
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        if later.contains(&text) {
            self.error(
                format!("`{text}` is not supported yet"),
                format!("allowed: {list}"),
            );
            return None;
        }
        let near = words
            .iter()
            .map(|(word, _)| (strsim::damerau_levenshtein(word, text), *word))
            .filter(|(distance, word)| *distance <= 1 + word.len() / 4)
            .min();
        let help = match near {
            Some((_, word)) => format!("did you mean `{word}`? allowed: {list}"),
            None => format!("allowed: {list}"),
        };
        self.error(format!("`{text}` is not known"), help);
        None
    }

    /// A list's values.
    pub(super) fn list(&self) -> Option<Vec<Value<'a>>> {
        let Some(list) = self.raw.get_ref().as_array() else {
            self.wrong_type("a list");
            return None;
        };
        Some(
            list.iter()
                .enumerate()
                .map(|(place, raw)| Value {
                    raw,
                    path: format!("{}[{place}]", self.path),
                    notes: self.notes.clone(),
                })
                .collect(),
        )
    }

    pub(super) fn strings(&self) -> Option<Vec<String>> {
        let values = self.list()?;
        values.iter().map(Value::filled).collect()
    }

    pub(super) fn is_table(&self) -> bool {
        self.raw.get_ref().is_table()
    }

    pub(super) fn is_list(&self) -> bool {
        self.raw.get_ref().is_array()
    }

    pub(super) fn table(&self) -> Option<Table<'a>> {
        let Some(raw) = self.raw.get_ref().as_table() else {
            self.wrong_type("a table");
            return None;
        };
        Some(Table {
            raw,
            span: self.span(),
            path: self.path.clone(),
            notes: self.notes.clone(),
            asked: RefCell::default(),
        })
    }

    /// A path, relative to `base`.
    pub(super) fn path(&self, base: &Path) -> Option<PathBuf> {
        let text = self.filled()?;
        Some(base.join(text))
    }
}
