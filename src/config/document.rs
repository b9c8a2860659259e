//! One configuration file as text: where a byte stands, and the line around it with its passwords masked.

use std::cell::Cell;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::diagnostics::{Diagnostic, Diagnostics, Place};
use super::flaw::Flaw;
use crate::limits;
use crate::trust;

/// What stands where a password was.
pub(super) const MASK: &str = "***";

/// Keys that begin like this have a secret as their value.
pub(super) const SECRET_WORDS: [&str; 5] = ["pass", "pwd", "secret", "token", "identity"];

/// More than anybody writes by hand; whatever is larger was put there by mistake.
const LARGEST: u64 = 1 << 20;

/// So many errors, and as many warnings, are told of one file. A file of nothing but errors has some hundred thousand, and
/// each would have its line with it.
pub(super) const MOST: usize = 200;

/// A file that was read.
#[derive(Debug)]
pub(super) struct Document {
    /// Absolute.
    pub(super) file: PathBuf,
    pub(super) text: String,
    /// Bytes that are never shown, besides what [`secret_ranges`] finds in a line.
    hidden: Vec<Range<usize>>,
    /// How many places were shown.
    shown: Cell<usize>,
}

/// The bytes of a configuration file, 1 MiB at the most, unless this is root and others may write it.
pub fn contents(file: &Path) -> io::Result<Vec<u8>> {
    trust::read(file, LARGEST)
}

/// The bytes of a file of `managed_job_dir`, 1 MiB at the most. Root reads one of another user's as well, with that user's
/// rights, for it can tell root nothing that root's own files do not allow.
pub fn managed_contents(file: &Path) -> io::Result<Vec<u8>> {
    let _used = file.parent().map(|at| trust::Rights::of_owner(at).used());
    limits::read_all(trust::open_own(file)?, LARGEST)
}

fn unreadable(file: &Path, error: &io::Error) -> Diagnostic {
    let diagnostic = Diagnostic::of_file(file, format!("cannot be read: {error}"));
    match error.kind() {
        io::ErrorKind::PermissionDenied => diagnostic.help("run as a user who may read it"),
        _ => diagnostic,
    }
}

impl Document {
    pub(super) fn read(file: &Path) -> Result<Self, Diagnostics> {
        Self::read_as(file, file)
    }

    /// What `copy` says, as if it stood in `file`.
    pub(super) fn read_as(file: &Path, copy: &Path) -> Result<Self, Diagnostics> {
        let bytes = contents(copy).map_err(|error| unreadable(file, &error))?;
        Self::of_bytes(file, bytes)
    }

    /// The same of a file of `managed_job_dir`.
    pub(super) fn read_managed(file: &Path, copy: &Path) -> Result<Self, Diagnostics> {
        let bytes = managed_contents(copy).map_err(|error| unreadable(file, &error))?;
        Self::of_bytes(file, bytes)
    }

    /// A file of these bytes.
    pub(super) fn of_bytes(file: &Path, bytes: Vec<u8>) -> Result<Self, Diagnostics> {
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self::new(file, text)),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                let lossy = Self::new(file, text);
                Err(lossy.at(at..at + 1, "is not UTF-8").into())
            }
        }
    }

    pub(super) fn new(file: &Path, text: String) -> Self {
        Self {
            file: std::path::absolute(file).unwrap_or_else(|_| file.to_owned()),
            text,
            hidden: Vec::new(),
            shown: Cell::new(0),
        }
    }

    /// Never shows these bytes.
    pub(super) fn hide(&mut self, ranges: Vec<Range<usize>>) {
        self.hidden = ranges;
    }

    /// The directory that relative paths start from.
    pub(super) fn directory(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new("/"))
    }

    /// An error about these bytes.
    pub(super) fn at(&self, span: Range<usize>, flaw: impl Into<Flaw>) -> Diagnostic {
        let mut diagnostic = Diagnostic::of_file(&self.file, flaw);
        let shown = self.shown.get();
        if shown < 2 * MOST {
            self.shown.set(shown + 1);
            diagnostic.place = Some(self.place(span));
        }
        diagnostic
    }

    /// The first line that a byte range stands on, 0-based.
    pub(super) fn line_of(&self, at: usize) -> usize {
        let at = self.floor(at);
        self.text[..at].matches('\n').count()
    }

    fn place(&self, span: Range<usize>) -> Place {
        let start = self.floor(span.start);
        let begin = self.text[..start].rfind('\n').map_or(0, |at| at + 1);
        let end = self.text[start..]
            .find('\n')
            .map_or(self.text.len(), |at| start + at);
        let line = self.text[begin..end].trim_end_matches('\r');
        // What is wrong may be the carriage return itself, which is no part of the line.
        let start = start.min(begin + line.len());
        let stop = self.floor(span.end).clamp(start, begin + line.len());

        let mut secrets = secret_ranges(line);
        for range in &self.hidden {
            let from = self.floor(range.start).clamp(begin, begin + line.len()) - begin;
            let to = self.floor(range.end).clamp(begin, begin + line.len()) - begin;
            if from < to {
                secrets.push(from..to);
            }
        }
        let (text, moved) = mask_ranges(line, secrets);
        let before = moved(start - begin);
        let after = moved(stop - begin);
        Place {
            line: self.text[..begin].matches('\n').count() + 1,
            column: line[..start - begin].chars().count() + 1,
            text,
            before,
            width: after.saturating_sub(before).max(1),
        }
    }

    fn floor(&self, at: usize) -> usize {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }
}

/// A text that came from a file, short and without a password, to be quoted in a message.
pub fn quote(text: &str) -> String {
    let (masked, _) = mask_ranges(text, secret_ranges(text));
    let line: String = masked
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(60)
        .collect();
    let more = if masked.chars().count() > 60 {
        "..."
    } else {
        ""
    };
    format!("`{line}{more}`")
}

/// Whether a text may have a password in it.
pub(super) fn has_secret(text: &str) -> bool {
    !secret_ranges(text).is_empty()
}

/// Replaces ranges by the mask; also tells where a byte of the old text is in the new one, in characters.
fn mask_ranges(line: &str, mut ranges: Vec<Range<usize>>) -> (String, impl Fn(usize) -> usize) {
    ranges.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    let mut text = String::new();
    let mut at = 0;
    for range in &merged {
        text.push_str(&line[at..range.start]);
        text.push_str(MASK);
        at = range.end;
    }
    text.push_str(&line[at..]);
    let line = line.to_owned();
    let moved = move |byte: usize| {
        let mut count = 0;
        let mut at = 0;
        for range in &merged {
            if byte <= range.start {
                break;
            }
            count += line[at..range.start].chars().count() + MASK.len();
            at = range.end;
        }
        if byte > at {
            count += line[at..byte].chars().count();
        }
        count
    };
    (text, moved)
}

/// Where passwords may stand in a line, whether or not it is TOML. It would rather hide too much than too little:
/// everything between the colon behind a user's name and the last `@`, age's secret keys, and whatever is assigned to a
/// [`SECRET_WORDS`] or to `key`, unless that is a table or a list.
fn secret_ranges(line: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    if let Some(at) = line.rfind('@') {
        let begin = line[..at]
            .find("://")
            .map(|scheme| scheme + 3)
            .or_else(|| line[..at].find('=').map(|equals| equals + 1))
            .unwrap_or(0);
        if let Some(colon) = line[begin..at].find(':')
            && begin + colon + 1 < at
        {
            found.push(begin + colon + 1..at);
        }
    }
    let lower = line.to_ascii_lowercase();
    let in_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let mut end = 0;
    for (start, _) in lower.match_indices("age-secret-key-") {
        // One that begins inside another ends with it.
        if start >= end {
            let length = line[start..].find(|c: char| !in_word(c));
            end = length.map_or(line.len(), |length| start + length);
            found.push(start..end);
        }
    }
    for word in SECRET_WORDS.iter().copied().chain(["key"]) {
        // The end of what was looked at: each byte of a long line is looked at a few times, and not for each word in it.
        let mut looked = 0;
        for (start, _) in lower.match_indices(word) {
            if start < looked {
                continue;
            }
            let rest = &line[start..];
            let name = rest.find(|c: char| !in_word(c)).unwrap_or(rest.len());
            // `key` only as a whole: there are too many words that have it in them.
            if word == "key" && (name > word.len() || line[..start].ends_with(in_word)) {
                looked = start + name;
                continue;
            }
            looked = start + name;
            let after = rest[name..].trim_start_matches(['"', '\'', ' ', '\t']);
            let Some(assigned) = after.strip_prefix('=') else {
                continue;
            };
            let value = assigned.trim_start();
            if value.is_empty() || value.starts_with(['{', '[']) {
                continue;
            }
            let (from, to) = assigned_range(line, line.len() - value.len());
            if from < to {
                found.push(from..to);
                looked = to;
            }
        }
    }
    found
}

/// Where an assigned value that begins at `from` stands without quotes. Quoted, it goes up to the line's last quote; in a
/// URL's query, up to the next parameter.
fn assigned_range(line: &str, from: usize) -> (usize, usize) {
    if let Some(quote @ ('"' | '\'')) = line[from..].chars().next() {
        let inside = from + 1;
        let close = line[inside..]
            .rfind(quote)
            .map_or(line.len(), |at| inside + at);
        return (inside, close);
    }
    let end = line[from..]
        .find('&')
        .or_else(|| line[from..].rfind(['"', '\'']));
    (from, end.map_or(line.len(), |at| from + at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str) -> String {
        let document = Document::new(Path::new("/x.toml"), format!("a = 1\n{line}\nb = 2\n"));
        document.at(8..9, "wrong").to_string()
    }

    #[test]
    fn no_spelling_of_a_password_is_shown() {
        for line in [
            r#"source = "postgresql://u:hunter2@h/db""#,
            r#"source = "postgresql://u:hunter2@h/db?a=b@c""#,
            r#"source = "postgresql://u:hu/nt?hunter2#@h/db""#,
            r#"source = "postgresql://u:a@hunter2@h/db""#,
            r#"source = "postgresql://u@h/db?password=hunter2&x=y""#,
            r#"source = "postgresql://u@h/db?sslpassword=hunter2""#,
            r#"source = "host=h password=hunter2 user=u""#,
            r#"source = { url = "postgresql://u@h/db", password = "hunter2" }"#,
            r#"source = { url = "postgresql://u:hunter2@h/db", password = { file = "x" } }"#,
            r"password = 'hunter2'",
            r#"passwd = "hunter2""#,
            r#""password" = "hun\"hunter2""#,
            r#"source = "u:hunter2@h/db""#,
            r#"source = "postgresql://u:hunter2@h/db"#,
            r#"source = { url = "s3://abc", key = "hunter2" }"#,
            r#"secret_access_key = "hunter2"#,
            r#"identity = "hunter2""#,
            r#"recipients = ["AGE-SECRET-KEY-1hunter2"]"#,
        ] {
            let text = shown(line);
            assert!(!text.contains("hunter2"), "{text}");
            assert!(text.contains(MASK), "{text}");
        }
    }

    #[test]
    fn a_reference_to_a_password_stays_readable() {
        for line in [
            r#"password = { file = "/run/secrets/staging" }"#,
            r#"source = "postgresql://u@h:5432/db""#,
            r#"source = { url = "sqlite:a.db", password = { env = "X" } }"#,
            r#"source = { url = "s3://abc", access_key_id = "AKIA", key = { env = "X" } }"#,
        ] {
            assert!(shown(line).contains(line), "{}", shown(line));
        }
    }

    #[test]
    fn carets_stand_under_their_words_behind_a_mask_and_behind_wide_letters() {
        let text = "source = \"postgresql://u:hunter2@h\", é = true\n";
        let document = Document::new(Path::new("/x.toml"), text.to_owned());
        let start = text.find("true").unwrap();
        let shown = document.at(start..start + 4, "wrong").to_string();
        assert_eq!(
            shown,
            "error: wrong\n --> /x.toml:1:42\n  |\n\
             1 | source = \"postgresql://u:***@h\", é = true\n  |                                      ^^^^"
        );
    }

    #[test]
    fn a_carriage_return_that_is_wrong_is_shown_at_its_lines_end() {
        for text in ["x\r", "x\r\r\n", "\r", "a = 1\nx\r", "\u{e4}\r\n\r"] {
            let document = Document::new(Path::new("/x.toml"), text.to_owned());
            for (start, _) in text.char_indices() {
                for end in start..=text.len() + 1 {
                    let shown = document.at(start..end, "wrong").to_string();
                    assert!(shown.contains('^') && !shown.contains('\r'), "{shown:?}");
                }
            }
        }
    }

    #[test]
    fn a_place_behind_the_end_of_the_file_is_its_end() {
        let document = Document::new(Path::new("/x.toml"), "a = 1".to_owned());
        assert_eq!(document.at(90..99, "wrong").location(), "/x.toml:1:6");
    }
}
