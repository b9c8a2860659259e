//! Endpoints as a person types them on the command line.

use std::path::Path;

use super::flaw::Flaw;
use super::job::Endpoint;
use super::stores::Stores;
use super::url::{ArchiveUrl, EndpointUrl, is_meant_for_archive, looks_like_url, read_url};
use crate::error::{Error, Kind, Result, io};
use crate::secret::Secret;

/// The endpoint at a URL, whose files are absolute. What a URL does not say has its defaults.
pub fn endpoint_at(text: &str, stores: Stores) -> Result<Endpoint> {
    let (url, password) =
        read_url(text, Path::new("/"), stores).map_err(|flaw| refused("the URL", &flaw))?;
    Ok(Endpoint {
        password: password.map(Secret::Inline),
        ..Endpoint::of(url)
    })
}

/// The archive at a URL; `None`: the text is no URL. What a URL does not say is the usual chain's.
pub fn archive_at(text: &str, stores: Stores) -> Result<Option<Endpoint>> {
    if !looks_like_url(text, stores) && !is_meant_for_archive(text, None, stores) {
        return Ok(None);
    }
    // Relative files are a store's, which is none.
    let (url, _) = read_url(text, Path::new("/"), stores)
        .map_err(|flaw| refused("the archive's URL", &flaw))?;
    match url.kind() {
        None => Ok(Some(Endpoint::of(url))),
        Some(kind) => Err(
            Error::new(Kind::Usage, format!("a {kind} URL is not an archive's"))
                .hint("an archive's URL is s3://BUCKET/PREFIX or file:///DIRECTORY"),
        ),
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
    // By its URL, so that what no URL can say is refused here as well.
    let url = ArchiveUrl::of_path(path).map_err(|flaw| refused("the archive's URL", &flaw))?;
    Ok(Endpoint::of(EndpointUrl::from(url)))
}

fn refused(what: &str, flaw: &Flaw) -> Error {
    let error = Error::new(Kind::Usage, format!("{what}: {}", flaw.message));
    match flaw.advice() {
        Some(advice) => error.hint(advice),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::stores;

    #[test]
    fn a_url_is_an_archive_and_a_name_is_none() {
        let url = |text: &str| {
            let endpoint = archive_at(text, stores()).unwrap();
            endpoint.map(|endpoint| endpoint.url.text().to_owned())
        };
        assert_eq!(url("s3://backups/a/").as_deref(), Some("s3://backups/a"));
        assert_eq!(url("file:///srv//a").as_deref(), Some("file:///srv/a"));
        assert_eq!(url("backups"), None);
        assert_eq!(url("/srv/backups"), None);
        for text in ["sqlite:///a.db", "postgresql://h/d", "s3:x", "gopher://x"] {
            assert_eq!(
                archive_at(text, stores()).unwrap_err().kind(),
                Kind::Usage,
                "{text}"
            );
        }
        let error = archive_at("s3://key:hunter2@backups/x", stores()).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn a_directory_is_an_archive_by_any_path() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("a b%")).unwrap();
        let expected = format!("file://{}/a%20b%25", root.display());
        for path in ["a b%", "a b%/", "./a b%", "a b%/../a b%"] {
            assert_eq!(archive_in(&root.join(path)).unwrap().url.text(), expected);
        }
        let missing = archive_in(&root.join("missing")).unwrap();
        assert_eq!(
            missing.url.text(),
            format!("file://{}/missing", root.display())
        );
        assert!(archive_in(&root.join("missing/../x")).is_err());
    }
}
