//! Names in an archive. A snapshot is a folder, `<UTC time>-<job>-<id>`, and `manifest.json` in it is written last.

use chrono::{DateTime, NaiveDateTime, Utc};

/// What makes a folder a snapshot.
pub const MANIFEST: &str = "manifest.json";

/// The manifest's authentication, where there is a key; written just before the manifest.
pub const MAC: &str = "manifest.mac";

/// Who is writing; written first.
pub const WRITER: &str = "writer.json";

/// The definitions as a pull reads them.
pub const DEFINITIONS: &str = "envsyncd.json";

/// Everything that has a definition, as the source printed it: what a pull is held against.
pub const CATALOGUE: &str = "catalogue.json";

/// RFC 3339's basic form, which has no characters that a file's name should not have.
const TIME: &str = "%Y%m%dT%H%M%SZ";

/// A snapshot's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// When it was begun; UTC, whole seconds.
    pub at: DateTime<Utc>,
    /// The job that made it.
    pub job: String,
    /// The last 12 digits of the run's id.
    pub id: String,
}

impl Name {
    /// Reads a folder's name; whatever else lies in the archive is none.
    pub fn parse(folder: &str) -> Option<Self> {
        let (time, rest) = folder.split_once('-')?;
        let (job, id) = rest.rsplit_once('-')?;
        let at = NaiveDateTime::parse_from_str(time, TIME).ok()?.and_utc();
        let hexadecimal = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        let fine = id.len() == 12 && id.chars().all(hexadecimal) && !job.is_empty();
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

/// A file for a part's rows: its number, then what of its name every file system and shell can do with, then the ending.
pub fn rows(number: usize, label: &str, sequence: usize, ending: &str) -> String {
    let plain: String = label
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') {
                c
            } else {
                '_'
            }
        })
        .take(100)
        .collect();
    format!("rows/{number:06}-{plain}.{sequence:04}.{ending}")
}

/// A file for definitions.
pub fn definitions(name: &str, sequence: usize, ending: &str) -> String {
    format!("definitions/{name}.{sequence:04}.{ending}")
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

    #[test]
    fn a_file_for_rows_has_no_character_that_leads_elsewhere() {
        assert_eq!(
            rows(7, "public.od/d \"näme\"", 2, "copy.zst"),
            "rows/000007-public.od_d__n_me_.0002.copy.zst"
        );
        assert_eq!(rows(1, "..", 0, "tsv"), "rows/000001-...0000.tsv");
    }
}
