//! A snapshot's name: `<UTC time>-<job>-<id>`, `20260102T030405Z-accounts-0123456789ab`.

use chrono::{DateTime, NaiveDateTime, Utc};

use crate::config::job_name::JobName;

/// RFC 3339's basic form, which has no characters that a file's name should not have.
const TIME: &str = "%Y%m%dT%H%M%SZ";

/// A snapshot's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// When it was begun; UTC, whole seconds.
    pub at: DateTime<Utc>,
    /// The job that made it.
    pub job: String,
    /// The last 12 digits of the run's id.
    pub id: String,
}

impl Name {
    /// Reads a name; whatever else lies in an archive is none.
    pub fn parse(folder: &str) -> Option<Self> {
        let (time, rest) = folder.split_once('-')?;
        let (job, id) = rest.rsplit_once('-')?;
        let at = NaiveDateTime::parse_from_str(time, TIME).ok()?.and_utc();
        let hexadecimal = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        let fine = id.len() == 12 && id.chars().all(hexadecimal) && JobName::parse(job).is_ok();
        let name = Self {
            at,
            job: job.to_owned(),
            id: id.to_owned(),
        };
        // One spelling only: what is parsed is what is written.
        (fine && name.to_string() == folder).then_some(name)
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}-{}", self.at.format(TIME), self.job, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshots_name_is_read_as_it_was_written() {
        let text = "20260102T030405Z-my-job.x-0123456789ab";
        let name = Name::parse(text).unwrap();
        assert_eq!(name.job, "my-job.x");
        assert_eq!(name.to_string(), text);
        for other in [
            "20260102T030405Z-my-job-0123456789a",
            "20260102T030405Z-my-job-0123456789AB",
            "20260102T030405Z--0123456789ab",
            "20260102T030405Z-0123456789ab",
            "2026-01-02-my-job-0123456789ab",
            "20260199T030405Z-my-job-0123456789ab",
            "latest",
            "",
        ] {
            assert_eq!(Name::parse(other), None, "{other}");
        }
    }
}
