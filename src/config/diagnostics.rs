//! What is wrong with a configuration file, shown where it is wrong.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use super::flaw::Flaw;
use crate::error::{Error, Kind};

/// Whether a run may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// It can, but somebody should look.
    Warning,
}

/// Where in a file it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// 1-based.
    pub line: usize,
    /// 1-based, in characters.
    pub column: usize,
    /// The line, with every password in it replaced by `***`.
    pub text: String,
    /// How many characters of `text` stand before the carets.
    pub before: usize,
    /// How many carets; at least one.
    pub width: usize,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// A file's path, or `environment variable NAME`.
    pub origin: String,
    /// Where in the file; `None`: the file as a whole.
    pub place: Option<Place>,
    /// The key's path: `task[0].mode`.
    pub key: Option<String>,
    /// What is wrong, and what to do.
    pub flaw: Flaw,
}

impl Diagnostic {
    /// An error that concerns a whole file, or an environment variable.
    pub fn error(origin: impl Into<String>, flaw: impl Into<Flaw>) -> Self {
        Self {
            severity: Severity::Error,
            origin: origin.into(),
            place: None,
            key: None,
            flaw: flaw.into(),
        }
    }

    /// An error that concerns a file as a whole.
    pub fn of_file(file: &Path, flaw: impl Into<Flaw>) -> Self {
        Self::error(file.display().to_string(), flaw)
    }

    /// The same as a warning.
    #[must_use]
    pub fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// With what is possible.
    #[must_use]
    pub fn allowed(mut self, allowed: impl Into<Cow<'static, str>>) -> Self {
        self.flaw = self.flaw.allowed(allowed);
        self
    }

    /// With what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.flaw = self.flaw.help(help);
        self
    }

    /// With what to do, if that is known.
    #[must_use]
    pub fn maybe_help(mut self, help: Option<String>) -> Self {
        self.flaw = self.flaw.maybe_help(help);
        self
    }

    /// `FILE:LINE:COLUMN`, or the file alone.
    pub fn location(&self) -> String {
        match &self.place {
            Some(place) => format!("{}:{}:{}", self.origin, place.line, place.column),
            None => self.origin.clone(),
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity}: {}", self.flaw.message)?;
        let number = self.place.as_ref().map(|place| place.line.to_string());
        let gutter = " ".repeat(number.as_ref().map_or(1, String::len));
        write!(f, "\n{gutter}--> {}", self.location())?;
        if let (Some(place), Some(number)) = (&self.place, &number) {
            // Tabs stay tabs, so that the carets stand under what they mean at any tab width.
            let padding: String = place
                .text
                .chars()
                .take(place.before)
                .map(|c| if c == '\t' { '\t' } else { ' ' })
                .collect();
            write!(f, "\n{gutter} |\n{number} | {}", place.text)?;
            write!(f, "\n{gutter} | {padding}{}", "^".repeat(place.width))?;
        }
        let notes = [
            self.key.as_ref().map(|key| format!("key: {key}")),
            (self.flaw.allowed.as_ref()).map(|text| format!("allowed: {text}")),
            self.flaw.help.clone(),
        ];
        for note in notes.iter().flatten() {
            write!(f, "\n{gutter} = {note}")?;
        }
        Ok(())
    }
}

/// Everything that is wrong with a file: at least one error, and the warnings beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// `Err` if one of them is an error, otherwise the warnings.
    pub(crate) fn settle(list: Vec<Diagnostic>) -> Result<Vec<Diagnostic>, Self> {
        if list.iter().any(|d| d.severity == Severity::Error) {
            Err(Self(list))
        } else {
            Ok(list)
        }
    }

    /// All of them, in the file's order.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.0.iter()
    }

    /// How many errors (warnings left out).
    pub fn errors(&self) -> usize {
        self.0
            .iter()
            .filter(|d| d.severity == Severity::Error)
            .count()
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(one: Diagnostic) -> Self {
        Self(vec![one])
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, diagnostic) in self.0.iter().enumerate() {
            if number > 0 {
                f.write_str("\n\n")?;
            }
            write!(f, "{diagnostic}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

impl From<Diagnostics> for Error {
    fn from(all: Diagnostics) -> Self {
        let Some(first) = all
            .iter()
            .find(|d| d.severity == Severity::Error)
            .or_else(|| all.0.first())
        else {
            return Error::new(Kind::Config, "the configuration is wrong");
        };
        let key = first
            .key
            .as_ref()
            .map_or_else(String::new, |key| format!(" (`{key}`)"));
        let more = match all.errors().saturating_sub(1) {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        let error = Error::new(
            Kind::Config,
            format!("{}: {}{key}{more}", first.location(), first.flaw.message),
        );
        match first.flaw.advice() {
            Some(advice) => error.hint(advice),
            None => error,
        }
    }
}

impl From<Diagnostic> for Error {
    fn from(one: Diagnostic) -> Self {
        Diagnostics::from(one).into()
    }
}

/// The candidate that was most likely meant.
pub(crate) fn nearest<'c>(
    given: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    candidates
        .into_iter()
        .map(|candidate| {
            let near = strsim::normalized_damerau_levenshtein(given, candidate);
            let begun = given.len() >= 3 && candidate.starts_with(given);
            (candidate, if begun { near.max(0.9) } else { near })
        })
        .filter(|(_, near)| *near >= 0.55)
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(candidate, _)| candidate)
}

/// `did you mean` for a near miss.
pub fn did_you_mean<'c>(
    given: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<String> {
    nearest(given, candidates).map(|candidate| format!("did you mean `{candidate}`?"))
}
