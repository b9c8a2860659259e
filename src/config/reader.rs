//! Typed readers over a parsed TOML file. They collect what is wrong instead of stopping at it.

use std::cell::RefCell;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostics::{Diagnostic, Diagnostics, did_you_mean};
use super::document::{Document, MOST, SECRET_WORDS, quote};
use super::value::Value;

/// Keys and tables whose feature comes later. They are refused wherever a key is unknown, never ignored.
const LATER: &[&str] = &[
    "api",
    "delete",
    "encrypt",
    "format",
    "http",
    "mask",
    "masks",
    "masks_exempt",
    "notifications",
    "retention",
    "roles",
];

/// What is wrong with one file, gathered while it is read.
pub(super) struct Findings<'d> {
    pub(super) document: &'d Document,
    list: RefCell<Vec<(usize, Diagnostic)>>,
    /// Lines with syntax errors: what else seems wrong there follows from them.
    pub(super) broken: Vec<usize>,
}

impl<'d> Findings<'d> {
    /// Parses a file; syntax errors are findings too.
    pub(super) fn parse(document: &'d Document) -> (Self, Spanned<DeTable<'d>>) {
        let (table, errors) = DeTable::parse_recoverable(&document.text);
        let mut findings = Self {
            document,
            list: RefCell::default(),
            broken: Vec::new(),
        };
        for error in errors.into_iter().take(MOST) {
            let span = error.span().unwrap_or(0..0);
            findings.broken.push(document.line_of(span.start));
            // Its text may name a key by its own words: "duplicate key"; it never repeats the file's.
            findings.push(&span, document.at(span.clone(), error.message()));
        }
        (findings, table)
    }

    pub(super) fn push(&self, span: &Range<usize>, diagnostic: Diagnostic) {
        let mut list = self.list.borrow_mut();
        let alike = |(_, other): &&(usize, Diagnostic)| other.severity == diagnostic.severity;
        if list.iter().filter(alike).count() < MOST {
            list.push((span.start, diagnostic));
        }
    }

    /// About the file as a whole.
    pub(super) fn push_whole(&self, diagnostic: Diagnostic) {
        self.push(&(0..0), diagnostic);
    }

    /// `Err` if one of them is an error, otherwise the warnings; in the file's order.
    pub(super) fn settle(self) -> Result<Vec<Diagnostic>, Diagnostics> {
        let mut list = self.list.into_inner();
        list.sort_by_key(|(at, _)| *at);
        Diagnostics::settle(list.into_iter().map(|(_, diagnostic)| diagnostic).collect())
    }
}

/// A table being read. Keys that nobody asked for are unknown: call [`Table::finish`].
pub(super) struct Table<'a> {
    pub(super) findings: &'a Findings<'a>,
    pub(super) keys: &'a DeTable<'a>,
    pub(super) path: String,
    pub(super) span: Range<usize>,
    pub(super) known: RefCell<Vec<&'static str>>,
    /// Keys that belong into another file or table, and which.
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
            if let Some(other) = super::diagnostics::nearest(key, unasked) {
                diagnostic = diagnostic.help(format!("there is `{other}`: is it meant?"));
            }
            self.findings.push(&self.span, diagnostic);
        }
        value
    }

    /// A key with one of a few words; `default` if it is missing, `None` if it is wrong.
    pub(super) fn choice<T: Copy>(
        &self,
        key: &'static str,
        all: &[(&str, T)],
        default: T,
    ) -> Option<T> {
        match self.get(key) {
            Some(value) => value.choice(all, &[]),
            None => Some(default),
        }
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

/// What a key says that may be missing; `None` if it was there and wrong, which was said.
#[allow(clippy::option_option)]
pub(super) fn optional<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        Some(None) => None,
        Some(value) => Some(value),
        None => Some(None),
    }
}

/// Where values stand that must never be shown: passwords written as such, and URLs with escapes or over several lines, which
/// the line-wise masks of [`Document`] would miss.
pub(super) fn secret_spans(text: &str) -> Vec<Range<usize>> {
    fn visit(key: &str, value: &Spanned<DeValue<'_>>, text: &str, found: &mut Vec<Range<usize>>) {
        match value.get_ref() {
            DeValue::String(content) => {
                let span = value.span();
                // What escapes hide from the masks, too.
                let odd = text
                    .get(span.clone())
                    .is_some_and(|raw| raw.contains(['\n', '\\']));
                let key = key.to_ascii_lowercase();
                let named = key == "key" || SECRET_WORDS.iter().any(|word| key.starts_with(word));
                if named || (odd && (content.contains('@') || content.contains("pass"))) {
                    found.push(span);
                }
            }
            DeValue::Array(members) => {
                for member in members {
                    visit(key, member, text, found);
                }
            }
            DeValue::Table(table) => {
                for (inner, value) in table {
                    visit(inner.get_ref(), value, text, found);
                }
            }
            _ => {}
        }
    }
    let (table, _) = DeTable::parse_recoverable(text);
    let mut found = Vec::new();
    for (key, value) in table.get_ref() {
        visit(key.get_ref(), value, text, &mut found);
    }
    found
}
