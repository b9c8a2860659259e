//! What is wrong with a file, gathered while it is read.

use std::cell::RefCell;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostics::{Diagnostic, Diagnostics};
use super::document::{Document, MOST, SECRET_WORDS};

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
        // A site's options are read for each pair of environments.
        if list
            .iter()
            .any(|(at, other)| *at == span.start && *other == diagnostic)
        {
            return;
        }
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
