//! Names of dumps: `<time>-<database>.gz`.

use std::fmt;

use chrono::{DateTime, NaiveDateTime, SubsecRound, Utc};

use crate::config::archive::{Archive, Format};
use crate::config::job::Endpoint;
use crate::error::{Error, Kind, Result};

/// The ending of every dump, whatever is in it.
const ENDING: &str = ".gz";
/// The chart's times, in UTC.
const COMPACT: &str = "%Y-%m-%dT%H%M%SZ";
/// The older script's, in its machine's own time zone: UTC on all of theirs. Ours, too: the older script finds no other, and
/// the chart takes what is pointed at.
const LONG: &str = "%Y-%m-%dT%H:%M:%S";

/// A dump's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// When the dump was begun.
    pub at: DateTime<Utc>,
    /// The database.
    pub database: String,
    text: String,
}

impl Name {
    /// One of ours.
    pub fn new(at: DateTime<Utc>, database: &str) -> Self {
        Self {
            at: at.trunc_subsecs(0),
            database: database.to_owned(),
            text: format!("{}-{database}{ENDING}", at.format(LONG)),
        }
    }

    /// Reads a file's name; `None`: it is no dump's.
    pub fn parse(text: &str) -> Option<Self> {
        let stem = text.strip_suffix(ENDING)?;
        for (form, length) in [(COMPACT, 18), (LONG, 19)] {
            let Some((time, rest)) = stem.split_at_checked(length) else {
                continue;
            };
            if let (Ok(at), Some(database)) = (
                NaiveDateTime::parse_from_str(time, form),
                rest.strip_prefix('-'),
            ) && can_stand(database)
            {
                return Some(Self {
                    at: at.and_utc(),
                    database: database.to_owned(),
                    text: text.to_owned(),
                });
            }
        }
        None
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether a database's name can be part of a file's.
pub(in crate::archive) fn can_stand(database: &str) -> bool {
    !database.is_empty()
        && database.len() <= 200
        && !database.contains('/')
        && !database.chars().any(char::is_control)
}

/// The database in the files' names: what the archive's `database` says, or else the one of the task's other side.
pub(super) fn database(archive: &Archive, other: &Endpoint) -> Result<String> {
    let said = match &archive.format {
        Format::Govuk(govuk) => govuk.database.clone(),
        Format::Envsyncd => None,
    };
    let database = said.or_else(|| other.url.database().map(str::to_owned));
    database.filter(|name| can_stand(name)).ok_or_else(|| {
        Error::new(
            Kind::Config,
            format!(
                "it is not known what database the dumps beside {} are called by",
                other.url
            ),
        )
        .hint("write database = \"NAME\" beside the archive's `url`")
    })
}

/// The file that says which dump of a database is the last good one.
pub(super) fn pointer(database: &str) -> String {
    format!("latest-{database}.txt")
}

/// The database that such a file is about.
pub(in crate::archive) fn pointed(file: &str) -> Option<&str> {
    file.strip_prefix("latest-")?.strip_suffix(".txt")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_both_scripts_are_read_and_written_as_they_are() {
        let at = "2026-01-02T03:04:05Z".parse::<DateTime<Utc>>().unwrap();
        for (text, database) in [
            (
                "2026-01-02T030405Z-publishing_api_production.gz",
                "publishing_api_production",
            ),
            (
                "2026-01-02T03:04:05-email-alert-api_production.gz",
                "email-alert-api_production",
            ),
            ("2026-01-02T030405Z-a.gz.gz", "a.gz"),
        ] {
            let name = Name::parse(text).unwrap();
            assert_eq!((name.at, name.database.as_str()), (at, database), "{text}");
            assert_eq!(name.to_string(), text);
        }
        assert_eq!(
            Name::new(at, "app").to_string(),
            "2026-01-02T03:04:05-app.gz"
        );
        for text in [
            "2026-01-02T030405Z-app.sql",
            "2026-01-02T030405Z-.gz",
            "2026-01-02T030405-app.gz",
            "2026-13-02T030405Z-app.gz",
            "latest-app.txt",
            "2026-01-02.gz",
            "ä2026-01-02T030405Z-app.gz",
            ".gz",
        ] {
            assert!(Name::parse(text).is_none(), "{text}");
        }
    }
}
