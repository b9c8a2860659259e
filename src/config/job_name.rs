//! Names of jobs.

use std::fmt;
use std::path::Path;

/// How the names of jobs begin that follow from a site.
const SITE: &str = "site:";

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

    /// The name of a job that follows from a site, without a file: `site:main production->staging`. `None` if one of the
    /// names is not fit for it.
    pub fn of_site(site: &str, from: &str, to: &str) -> Option<Self> {
        let fit = |name: &str| name.len() <= 64 && Self::parse(name).is_ok();
        [site, from, to]
            .into_iter()
            .all(fit)
            .then(|| Self(format!("{SITE}{site} {from}->{to}")))
    }

    /// The site, `from` and `to` of a name that [`Self::of_site`] has made.
    pub fn site(&self) -> Option<(&str, &str, &str)> {
        let (site, way) = self.0.strip_prefix(SITE)?.split_once(' ')?;
        let (from, to) = way.split_once("->")?;
        Some((site, from, to))
    }

    /// Checks the name of a job that has a file, or follows from a site.
    pub fn known(name: &str) -> Result<Self, String> {
        let of_site = || {
            let (site, way) = name.strip_prefix(SITE)?.split_once(' ')?;
            let (from, to) = way.split_once("->")?;
            Self::of_site(site, from, to)
        };
        match of_site() {
            Some(name) => Ok(name),
            None => Self::parse(name),
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
