//! Names of jobs.

use std::fmt;
use std::path::Path;

/// A job's name: its file's name without `.toml`. Letters, digits, `.`, `_`, `-`; it names files.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobName(String);

impl JobName {
    /// Checks a name.
    pub fn parse(name: &str) -> Result<Self, String> {
        let first = name.chars().next();
        let fine = first.is_some_and(|c| c.is_ascii_alphanumeric())
            && name.len() <= 128
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
        if fine {
            Ok(Self(name.to_owned()))
        } else {
            Err(format!(
                "`{name}` cannot be a job's name: it starts with a letter or digit and has letters, digits, `.`, `_`, `-`"
            ))
        }
    }

    /// The name of the job in this file.
    pub fn of_file(file: &Path) -> Result<Self, String> {
        let stem = file
            .file_stem()
            .and_then(|s| s.to_str())
            .unwrap_or_default();
        Self::parse(stem)
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
