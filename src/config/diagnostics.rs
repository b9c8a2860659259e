//! What is wrong with a file, and where: file, line, key, a caret, what is allowed.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Kind};

/// A file's text, to point into.
#[derive(Debug, Clone)]
pub(super) struct Text {
    pub(super) file: PathBuf,
    pub(super) text: Arc<str>,
}

/// Whether it stops the file from being used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// It does.
    Error,
    /// It does not.
    Warning,
}

/// One thing that is wrong.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The file.
    pub file: PathBuf,
    /// Line and column, from 1; `None` for the file as a whole.
    pub place: Option<(usize, usize)>,
    /// The key, with its table: `task[0].mode`; may be empty.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What is allowed, or what to do.
    pub help: Option<String>,
    /// The line itself, with secrets blanked, and how many columns the caret underlines.
    line: Option<(String, usize)>,
}

impl Diagnostic {
    /// About a file as a whole.
    pub(super) fn of_file(file: &Path, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            file: file.to_owned(),
            place: None,
            key: String::new(),
            message: message.into(),
            help: None,
            line: None,
        }
    }

    /// About a piece of a text.
    pub(super) fn at(
        text: &Text,
        span: &Range<usize>,
        key: &str,
        message: impl Into<String>,
    ) -> Self {
        let start = floor(&text.text, span.start);
        let line_start = text.text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text.text[start..]
            .find('\n')
            .map_or(text.text.len(), |at| start + at);
        let number = text.text[..start].matches('\n').count() + 1;
        let line = &text.text[line_start..line_end];
        let column = text.text[line_start..start].chars().count() + 1;
        let end = floor(&text.text, span.end).clamp(start, line_end);
        let width = text.text[start..end].chars().count().max(1);
        Self {
            severity: Severity::Error,
            file: text.file.clone(),
            place: Some((number, column)),
            key: key.to_owned(),
            message: message.into(),
            help: None,
            line: Some((blanked(line), width)),
        }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(super) fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// In one line, without the source.
    fn short(&self) -> String {
        let place = self
            .place
            .map_or_else(String::new, |(line, column)| format!(":{line}:{column}"));
        let key = if self.key.is_empty() {
            String::new()
        } else {
            format!(" (key {})", self.key)
        };
        format!("{}{place}: {}{key}", self.file.display(), self.message)
    }
}

fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// A line without the passwords that may stand in it: those of URLs, and whatever follows `password =`. The length
/// stays, so that carets still point at the right place.
fn blanked(line: &str) -> String {
    let mut out: Vec<char> = line.chars().collect();
    let mut hide = |from: usize, to: usize| {
        for c in &mut out[from..to] {
            *c = '*';
        }
    };
    let chars: Vec<char> = line.chars().collect();
    let find = |from: usize, what: &str| {
        let what: Vec<char> = what.chars().collect();
        (from..chars.len().saturating_sub(what.len() - 1))
            .find(|&at| chars[at..at + what.len()] == what[..])
    };
    let mut from = 0;
    while let Some(at) = find(from, "://") {
        let start = at + 3;
        let end = (start..chars.len())
            .find(|&i| matches!(chars[i], '/' | '?' | '"' | '\'' | ' '))
            .unwrap_or(chars.len());
        if let Some(sign) = (start..end).rev().find(|&i| chars[i] == '@')
            && let Some(colon) = (start..sign).find(|&i| chars[i] == ':')
        {
            hide(colon + 1, sign);
        }
        from = end;
    }
    let mut from = 0;
    while let Some(at) = find(from, "password=") {
        let start = at + 9;
        let end = (start..chars.len())
            .find(|&i| matches!(chars[i], '&' | '"' | '\'' | ' '))
            .unwrap_or(chars.len());
        hide(start, end);
        from = end.max(start);
    }
    // `password = "..."`: not a table, so somebody tried to write the password itself.
    if let Some(at) = find(0, "password") {
        let rest: String = chars[at + 8..].iter().collect();
        let after = rest.trim_start();
        if let Some(value) = after.strip_prefix('=')
            && let Some(quote) = value
                .trim_start()
                .chars()
                .next()
                .filter(|c| matches!(c, '"' | '\''))
            && let Some(open) = (at + 8..chars.len()).find(|&i| chars[i] == quote)
        {
            let close = (open + 1..chars.len())
                .find(|&i| chars[i] == quote)
                .unwrap_or(chars.len());
            hide(open + 1, close);
        }
    }
    out.into_iter().collect()
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity}: {}", self.message)?;
        let number = self
            .place
            .map_or_else(String::new, |(line, _)| line.to_string());
        let margin = " ".repeat(number.len());
        match (self.place, &self.line) {
            (Some((line, column)), Some((text, width))) => {
                write!(f, "\n{margin}--> {}:{line}:{column}", self.file.display())?;
                write!(f, "\n{margin} |\n{number} | {text}")?;
                // Tabs stay tabs, so that the caret is below its column.
                let indent: String = text
                    .chars()
                    .take(column - 1)
                    .map(|c| if c == '\t' { '\t' } else { ' ' })
                    .collect();
                write!(f, "\n{margin} | {indent}{}", "^".repeat(*width))?;
            }
            _ => write!(f, "\n{margin}--> {}", self.file.display())?,
        }
        if !self.key.is_empty() {
            write!(f, "\n{margin} = key: {}", self.key)?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n{margin} = help: {help}")?;
        }
        Ok(())
    }
}

/// All that is wrong with a file; at least one thing is.
#[derive(Debug, Clone)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// The errors among these, if there is one; else the warnings.
    pub(super) fn check(all: Vec<Diagnostic>) -> Result<Vec<Diagnostic>, Self> {
        if all.iter().any(|one| one.severity == Severity::Error) {
            let mut all = all;
            all.sort_by_key(|one| (one.severity == Severity::Warning, one.place));
            Err(Self(all))
        } else {
            Ok(all)
        }
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.0.iter()
    }

    /// One line: the first error, and how many more there are.
    pub fn to_error(&self) -> Error {
        let errors: Vec<&Diagnostic> = self
            .0
            .iter()
            .filter(|one| one.severity == Severity::Error)
            .collect();
        let first = errors.first().map_or_else(String::new, |one| one.short());
        let more = errors.len().saturating_sub(1);
        let rest = match more {
            0 => String::new(),
            1 => ", and 1 more error".to_owned(),
            _ => format!(", and {more} more errors"),
        };
        let error = Error::new(Kind::Config, format!("{first}{rest}"));
        match errors.first().and_then(|one| one.help.clone()) {
            Some(help) => error.hint(help),
            None => error,
        }
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, one) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str("\n\n")?;
            }
            write!(f, "{one}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        for (line, gone) in [
            ("url = \"postgresql://u:s3cret@h/d\"", "s3cret"),
            ("url = \"postgresql://u:s3c@ret@h/d\"", "s3c"),
            (
                "url = \"postgresql://h/d?user=u&password=s3cret&x=y\"",
                "s3cret",
            ),
            ("password = \"s3cret\"", "s3cret"),
            ("password='s3cret'", "s3cret"),
            (
                "source = { url = \"x://h\", password = \"s3cret\" }",
                "s3cret",
            ),
        ] {
            let blank = blanked(line);
            assert!(!blank.contains(gone), "{blank}");
            assert_eq!(blank.chars().count(), line.chars().count());
        }
        assert_eq!(
            blanked("password = { env = \"NAME\" }"),
            "password = { env = \"NAME\" }"
        );
    }

    #[test]
    fn the_caret_stands_below_its_key() {
        let text = Text {
            file: "job.toml".into(),
            text: "a = 1\n  mdoe = \"x\"\n".into(),
        };
        let shown = Diagnostic::at(&text, &(8..12), "task[0].mdoe", "unknown key")
            .help("did you mean `mode`?")
            .to_string();
        assert_eq!(
            shown,
            "error: unknown key\n --> job.toml:2:3\n  |\n2 |   mdoe = \"x\"\n  |   ^^^^\n  = key: task[0].mdoe\n  = help: did you mean `mode`?"
        );
    }
}
