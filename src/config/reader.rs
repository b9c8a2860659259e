//! Typed readers over a parsed TOML file. They collect what is wrong instead of stopping at it.

use std::cell::RefCell;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostics::{Diagnostic, did_you_mean, nearest};
use super::document::quote;
use super::findings::Findings;
use super::flaw::Flaw;

/// Keys and tables whose feature comes later. They are refused wherever a key is unknown, never ignored.
const LATER: &[&str] = &[
    "api",
    "delete",
    "encrypt",
    "format",
    "notifications",
    "retention",
    "roles",
];

/// A table being read. Keys that nobody asked for are unknown: call [`Table::finish`].
pub(super) struct Table<'a> {
    pub(super) findings: &'a Findings<'a>,
    pub(super) keys: &'a DeTable<'a>,
    pub(super) path: String,
    pub(super) span: Range<usize>,
    pub(super) known: RefCell<Vec<&'static str>>,
    /// Keys that belong in another file or table, and which.
    pub(super) elsewhere: &'static [(&'static str, &'static str)],
}

impl<'a> Table<'a> {
    /// The file's outermost table.
    pub(super) fn root(findings: &'a Findings<'a>, table: &'a Spanned<DeTable<'a>>) -> Self {
        Self {
            findings,
            keys: table.get_ref(),
            path: String::new(),
            span: 0..0,
            known: RefCell::default(),
            elsewhere: &[],
        }
    }

    /// Keys that people look for here and that belong elsewhere.
    pub(super) fn elsewhere(mut self, keys: &'static [(&'static str, &'static str)]) -> Self {
        self.elsewhere = keys;
        self
    }

    fn path_of(&self, key: &str) -> String {
        let plain = !key.is_empty()
            && key
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
        let key = if plain {
            key.to_owned()
        } else {
            quote(key).replace('`', "\"")
        };
        if self.path.is_empty() {
            key
        } else {
            format!("{}.{key}", self.path)
        }
    }

    fn value_at(&self, key: &str) -> Option<Value<'a>> {
        let value = self.keys.get(key)?;
        Some(Value {
            findings: self.findings,
            content: value.get_ref(),
            span: value.span(),
            path: self.path_of(key),
        })
    }

    /// A key that may be missing.
    pub(super) fn get(&self, key: &'static str) -> Option<Value<'a>> {
        self.known.borrow_mut().push(key);
        self.value_at(key)
    }

    /// Whether the key is there, right or wrong.
    pub(super) fn has(&self, key: &str) -> bool {
        self.keys.contains_key(key)
    }

    /// A key that must be there.
    pub(super) fn required(&self, key: &'static str, what: &str) -> Option<Value<'a>> {
        let value = self.get(key);
        // In a file with syntax errors, a missing key may well be there.
        if value.is_none() && self.findings.broken.is_empty() {
            let mut diagnostic = self
                .findings
                .document
                .at(self.span.clone(), format!("`{key}` is missing: {what}"));
            if self.path.is_empty() {
                diagnostic.place = None;
            }
            diagnostic.key = Some(self.path_of(key));
            let near = self.keys.keys().map(|k| k.get_ref().as_ref());
            let unasked = near.filter(|k| !self.known.borrow().contains(k));
            if let Some(other) = nearest(key, unasked) {
                diagnostic = diagnostic.help(format!("there is `{other}`: is it meant?"));
            }
            self.findings.push(&self.span, diagnostic);
        }
        value
    }

    /// All keys of a table whose keys are names.
    pub(super) fn entries(&self) -> Vec<(&'a str, Range<usize>, Value<'a>)> {
        self.keys
            .iter()
            .filter_map(|(key, _)| {
                let name: &'a str = key.get_ref();
                Some((name, key.span(), self.value_at(name)?))
            })
            .collect()
    }

    /// Where each key's value stands.
    pub(super) fn places(&self) -> impl Iterator<Item = (String, Range<usize>)> + use<'a> {
        self.keys
            .iter()
            .map(|(key, value)| (key.get_ref().to_string(), value.span()))
    }

    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Refuses every key that was not asked for.
    pub(super) fn finish(self) {
        let known = self.known.borrow();
        for (key, _) in self.keys {
            let name: &str = key.get_ref();
            if known.contains(&name) {
                continue;
            }
            let span = key.span();
            let document = self.findings.document;
            let mut diagnostic =
                if let Some((_, place)) = self.elsewhere.iter().find(|(key, _)| *key == name) {
                    document
                        .at(span.clone(), format!("`{name}` does not belong here"))
                        .help(format!("it belongs {place}"))
                } else if LATER.contains(&name) {
                    document.at(span.clone(), format!("`{name}` is not supported yet"))
                } else {
                    let mut sorted = known.clone();
                    sorted.sort_unstable();
                    sorted.dedup();
                    document
                        .at(span.clone(), format!("unknown key {}", quote(name)))
                        .allowed(sorted.join(", "))
                        .maybe_help(did_you_mean(name, known.iter().copied()))
                };
            diagnostic.key = Some(self.path_of(name));
            self.findings.push(&span, diagnostic);
        }
    }
}

/// A value being read.
#[derive(Clone)]
pub(super) struct Value<'a> {
    pub(super) findings: &'a Findings<'a>,
    pub(super) content: &'a DeValue<'a>,
    pub(super) span: Range<usize>,
    pub(super) path: String,
}

impl<'a> Value<'a> {
    /// Where it stands.
    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// A diagnostic about it, to be given to [`Value::report`].
    pub(super) fn wrong(&self, flaw: impl Into<Flaw>) -> Diagnostic {
        let mut diagnostic = self.findings.document.at(self.span.clone(), flaw);
        diagnostic.key = Some(self.path.clone());
        diagnostic
    }

    /// Adds a diagnostic to the file's.
    pub(super) fn report(&self, diagnostic: Diagnostic) {
        let line = self.findings.document.line_of(self.span.start);
        if !self.findings.broken.contains(&line) {
            self.findings.push(&self.span, diagnostic);
        }
    }

    pub(super) fn wrong_type(&self, wanted: &str, help: Option<String>) {
        let found = match self.content {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.report(
            self.wrong(format!("expected {wanted}, found {found}"))
                .maybe_help(help),
        );
    }

    /// Whether it is a string, without complaint.
    pub(super) fn is_string(&self) -> bool {
        self.content.is_str()
    }

    /// Whether it is a list, without complaint.
    pub(super) fn is_list(&self) -> bool {
        self.content.is_array()
    }

    /// Any string.
    pub(super) fn string(&self) -> Option<&'a str> {
        let text = self.content.as_str();
        if text.is_none() {
            self.wrong_type("a string", None);
        }
        text
    }

    /// A string with something in it.
    pub(super) fn text(&self) -> Option<&'a str> {
        let text = self.string()?;
        if text.trim().is_empty() {
            self.report(self.wrong("must not be empty"));
            return None;
        }
        if text.contains('\0') {
            self.report(self.wrong("must not contain a NUL character"));
            return None;
        }
        Some(text)
    }

    /// The members of a list.
    pub(super) fn list(&self) -> Option<Vec<Value<'a>>> {
        let Some(array) = self.content.as_array() else {
            let help = self
                .content
                .as_str()
                .map(|_| "write it in brackets: [\"...\"]".to_owned());
            self.wrong_type("a list", help);
            return None;
        };
        Some(
            array
                .iter()
                .enumerate()
                .map(|(number, member)| Value {
                    findings: self.findings,
                    content: member.get_ref(),
                    span: member.span(),
                    path: format!("{}[{number}]", self.path),
                })
                .collect(),
        )
    }

    /// A table.
    pub(super) fn table(&self) -> Option<Table<'a>> {
        let table = self.table_or_nothing();
        if table.is_none() {
            self.wrong_type("a table", None);
        }
        table
    }

    /// A table, without complaint.
    pub(super) fn table_or_nothing(&self) -> Option<Table<'a>> {
        self.content.as_table().map(|table| Table {
            findings: self.findings,
            keys: table,
            path: self.path.clone(),
            span: self.span.clone(),
            known: RefCell::default(),
            elsewhere: &[],
        })
    }
}

/// What a key says that may be missing; `None` if it was there and wrong, which was said.
#[allow(clippy::option_option)]
pub(super) fn optional<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        Some(None) => None,
        Some(value) => Some(value),
        None => Some(None),
    }
}
