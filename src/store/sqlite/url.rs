//! URLs of SQLite databases: `sqlite:FILE.db`, or `sqlite:///ABSOLUTE/FILE.db`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::{
    Files, Flaw, ParsedUrl, StoreFormat, StoreKind, absolute_path, percent_decoded_text,
};

/// The store's kind.
pub const KIND: StoreKind = StoreKind::new("sqlite");

const FORMS: [&str; 2] = ["sqlite:FILE.db", "sqlite:///ABSOLUTE/FILE.db"];

/// SQLite as configuration files have it.
pub(in crate::store) struct Format;

impl StoreFormat for Format {
    fn kind(&self) -> StoreKind {
        KIND
    }

    fn schemes(&self) -> &'static [&'static str] {
        &["sqlite"]
    }

    fn forms(&self) -> &'static [&'static str] {
        &FORMS
    }

    fn files(&self) -> Option<Files> {
        Some(Files {
            name: "an SQLite file",
            no_password: "a SQLite file has no password",
        })
    }

    fn read_url(&self, _scheme: &str, rest: &str, directory: &Path) -> Result<ParsedUrl, Flaw> {
        let (text, url) = read(rest, directory)?;
        Ok(ParsedUrl {
            place: text.clone(),
            text,
            password: None,
            database: None,
            risk: None,
            bucket: None,
            has_no_swap: false,
            address: Arc::new(url),
        })
    }
}

/// The URL of a SQLite database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SqliteUrl {
    /// The database's file: an absolute path, as it was written.
    pub(super) file: PathBuf,
}

/// Reads what stands behind `sqlite:`. The text is `sqlite:///ABSOLUTE`.
fn read(rest: &str, directory: &Path) -> Result<(String, SqliteUrl), Flaw> {
    if rest.contains(['?', '#']) {
        return Err(Flaw::with_help(
            "a SQLite URL has no parameters",
            "write `?` and `#` in a file's name as %3F and %23",
        ));
    }
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path.is_empty() || path.ends_with('/') || path == ":memory:" {
        return Err(Flaw::new("the URL names no file").allowed(FORMS.join(" | ")));
    }
    let broken = || {
        Flaw::with_help(
            "a `%` in the URL is not followed by two digits",
            "write `%` in a file's name as %25",
        )
    };
    percent_decoded_text(path).ok_or_else(broken)?;
    let absolute = absolute_path(path, directory).ok_or_else(|| {
        Flaw::with_help(
            "a relative file cannot be reached from a directory whose name is not UTF-8",
            "write the file's absolute path",
        )
    })?;
    let absolute = absolute.display().to_string();
    let file = percent_decoded_text(&absolute).ok_or_else(broken)?.into();
    Ok((format!("sqlite://{absolute}"), SqliteUrl { file }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{EndpointUrl, read_url};
    use crate::store::registry::formats;

    fn read_one(url: &str) -> Result<EndpointUrl, Flaw> {
        read_url(url, Path::new("/etc/jobs"), formats()).map(|(url, _)| url)
    }

    #[test]
    fn a_sqlite_file_is_absolute_or_relative_to_the_job() {
        for (url, left) in [
            ("sqlite:///srv/a.db", "sqlite:///srv/a.db"),
            ("sqlite:a.db", "sqlite:///etc/jobs/a.db"),
            ("sqlite:./x/a.db", "sqlite:///etc/jobs/x/a.db"),
            ("sqlite://../a.db", "sqlite:///etc/jobs/../a.db"),
            ("sqlite:/srv/a%20b.db", "sqlite:///srv/a%20b.db"),
        ] {
            assert_eq!(read_one(url).unwrap().text(), left, "{url}");
        }
        for url in [
            "sqlite:",
            "sqlite://",
            "sqlite::memory:",
            "sqlite:a.db?mode=ro",
            "sqlite:a/",
        ] {
            assert!(read_one(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_url_is_decoded_and_a_broken_one_is_refused() {
        let url = read_one("sqlite:/a%20b%25").unwrap();
        assert_eq!(url.address::<SqliteUrl>().unwrap().file, Path::new("/a b%"));
        for bad in ["sqlite:///tmp/a?mode=rw", "sqlite:///tmp/%zz"] {
            assert!(read_one(bad).is_err(), "{bad}");
        }
        let other = crate::config::endpoint_at("file:///x", formats()).unwrap();
        assert!(other.url.address::<SqliteUrl>().is_err());
    }
}
