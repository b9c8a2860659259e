//! Archives as a person types them on the command line.

use std::path::Path;

use super::{Flaw, Location, archive, looks_like_archive, looks_like_url, parse};
use crate::config::archive::Archive;
use crate::config::job::Endpoint;
use crate::error::{Error, Kind, Result, io};

/// The archive at a URL; `None`: the text is no URL. What a URL does not say is the usual chain's.
pub fn archive_at(text: &str) -> Result<Option<Endpoint>> {
    if !looks_like_url(text) && !looks_like_archive(text) {
        return Ok(None);
    }
    // Relative files are a SQLite database's, which is none.
    match parse(text, Path::new("/")) {
        Ok(location) if location.found.is_archive() => Ok(Some(endpoint(location))),
        Ok(location) => Err(Error::new(
            Kind::Usage,
            format!("a {} URL is not an archive's", location.found),
        )
        .hint("an archive's URL is s3://BUCKET/PREFIX or file:///DIRECTORY")),
        Err(flaw) => Err(refused(flaw)),
    }
}

/// The archive in a directory, which need not be there.
pub fn archive_in(directory: &Path) -> Result<Endpoint> {
    let shown = directory.display();
    let failed = || io(format!("the directory {shown} cannot be used"));
    let directory = match directory.canonicalize() {
        Ok(there) => there,
        Err(_) => std::path::absolute(directory).map_err(failed())?,
    };
    let path = directory.to_str().ok_or_else(|| {
        Error::new(
            Kind::Usage,
            format!("the directory {shown} has a name that is not UTF-8"),
        )
    })?;
    let url = format!("file://{}", archive::encode(path));
    parse(&url, Path::new("/")).map(endpoint).map_err(refused)
}

fn endpoint(location: Location) -> Endpoint {
    Endpoint {
        name: None,
        url: location.url,
        password: None,
        archive: Some(Box::<Archive>::default()),
    }
}

fn refused(flaw: Flaw) -> Error {
    let error = Error::new(Kind::Usage, format!("the archive's URL: {}", flaw.message));
    match (flaw.help, flaw.allowed) {
        (Some(help), _) => error.hint(help),
        (None, Some(allowed)) => error.hint(format!("allowed: {allowed}")),
        (None, None) => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_an_archive_and_a_name_is_none() {
        let url = |text: &str| {
            let endpoint = archive_at(text).unwrap();
            endpoint.map(|endpoint| endpoint.url)
        };
        assert_eq!(url("s3://backups/a/").as_deref(), Some("s3://backups/a"));
        assert_eq!(url("file:///srv//a").as_deref(), Some("file:///srv/a"));
        assert_eq!(url("backups"), None);
        assert_eq!(url("/srv/backups"), None);
        for text in ["sqlite:///a.db", "postgresql://h/d", "s3:x", "gopher://x"] {
            assert_eq!(archive_at(text).unwrap_err().kind(), Kind::Usage, "{text}");
        }
        let error = archive_at("s3://key:hunter2@backups/x").unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn a_directory_is_an_archive_by_any_path() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("a b%")).unwrap();
        let expected = format!("file://{}/a%20b%25", root.display());
        for path in ["a b%", "a b%/", "./a b%", "a b%/../a b%"] {
            assert_eq!(archive_in(&root.join(path)).unwrap().url, expected);
        }
        let missing = archive_in(&root.join("missing")).unwrap();
        assert_eq!(missing.url, format!("file://{}/missing", root.display()));
        assert!(archive_in(&root.join("missing/../x")).is_err());
    }
}
