//! URLs of archives: `file:///DIRECTORY` and `s3://BUCKET[/PREFIX]`, each in one spelling.

use std::fmt;
use std::path::PathBuf;

use super::bucket::BucketUrl;
use crate::config::flaw::Flaw;
use crate::config::percent::{percent_decoded_text, percent_encoded};

/// The schemes of their URLs.
pub(super) const SCHEMES: [&str; 2] = ["file", "s3"];
/// What their URLs look like, for people.
pub(super) const FORMS: [&str; 2] = ["file:///DIRECTORY", "s3://BUCKET/PREFIX"];

const DIRECTORY: &str = "file:///ABSOLUTE/DIRECTORY";

/// The URL of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArchiveUrl {
    /// A directory of this machine, absolute.
    Directory(PathBuf),
    /// In a bucket of an S3-compatible server.
    Bucket(BucketUrl),
}

impl ArchiveUrl {
    /// The archive in a directory; what no URL can say is refused.
    pub fn of_path(path: &str) -> Result<Self, Flaw> {
        directory(&format!("//{}", encode(path)))
    }

    /// The archive in a bucket, below a prefix; empty: in all of it.
    pub fn bucket(bucket: &str, prefix: &str) -> Self {
        Self::Bucket(BucketUrl::new(bucket, prefix))
    }

    /// Whether it is in a bucket.
    pub fn is_bucket(&self) -> bool {
        matches!(self, Self::Bucket(_))
    }
}

impl fmt::Display for ArchiveUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "file://{}", encode(&path.to_string_lossy())),
            Self::Bucket(url) => url.fmt(f),
        }
    }
}

/// Reads what stands behind `SCHEME:`; `None`: it is no archive's scheme.
pub(super) fn read(scheme: &str, rest: &str) -> Option<Result<ArchiveUrl, Flaw>> {
    match scheme {
        "file" => Some(directory(rest)),
        "s3" => Some(BucketUrl::read(rest).map(ArchiveUrl::Bucket)),
        _ => None,
    }
}

/// Reads what stands behind `file:`.
fn directory(rest: &str) -> Result<ArchiveUrl, Flaw> {
    let misshapen = |message: &str| Flaw::new(message).allowed(DIRECTORY);
    let Some(path) = rest.strip_prefix("//") else {
        return Err(misshapen("`//` is missing behind the scheme"));
    };
    if path.contains(['?', '#']) {
        return Err(Flaw::with_help(
            "a directory's URL has no parameters",
            "write `?` and `#` in a directory's name as %3F and %23",
        ));
    }
    if !path.starts_with('/') {
        return Err(misshapen(
            "the URL names a host, and an archive's directory is on this machine",
        ));
    }
    let Some(path) = percent_decoded_text(path) else {
        return Err(Flaw::with_help(
            "the URL is not well percent-encoded",
            "write `%` in a directory's name as %25",
        ));
    };
    let parts: Vec<&str> = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    if parts.contains(&"..") {
        return Err(Flaw::with_help(
            "the URL goes upwards by `..`",
            "write the directory's own path",
        ));
    }
    if parts.is_empty() {
        return Err(misshapen("the URL names no directory"));
    }
    Ok(ArchiveUrl::Directory(
        format!("/{}", parts.join("/")).into(),
    ))
}

/// What would end the path or be an escape, and what nobody sees.
fn encode(path: &str) -> String {
    percent_encoded(path, &[' ', '%', '?', '#'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> Option<Result<ArchiveUrl, Flaw>> {
        let (scheme, rest) = text.split_once(':')?;
        super::read(scheme, rest)
    }

    fn read(text: &str) -> Option<String> {
        Some(parsed(text)?.ok()?.to_string())
    }

    fn refused(text: &str) -> String {
        match parsed(text).unwrap() {
            Ok(url) => panic!("{text} became {url}"),
            Err(flaw) => flaw.message,
        }
    }

    #[test]
    fn an_archive_has_one_spelling() {
        for (url, spelling) in [
            ("s3://backups", "s3://backups"),
            ("s3://backups/", "s3://backups"),
            ("s3://backups/a/b", "s3://backups/a/b"),
            ("s3://backups/a/b/", "s3://backups/a/b"),
            ("s3://my.own-bucket1/a=1/b+c", "s3://my.own-bucket1/a=1/b+c"),
            ("file:///srv/a", "file:///srv/a"),
            ("file:///srv//./a/", "file:///srv/a"),
            ("file:///srv/a b", "file:///srv/a%20b"),
            ("file:///srv/%61%20b%25", "file:///srv/a%20b%25"),
            ("file:///srv/näme", "file:///srv/näme"),
        ] {
            assert_eq!(read(url).as_deref(), Some(spelling), "{url}");
        }
    }

    #[test]
    fn what_the_url_says_comes_out_decoded() {
        assert_eq!(
            parsed("file:///srv/a%20b%25"),
            Some(Ok(ArchiveUrl::Directory("/srv/a b%".into())))
        );
        let bucket = |bucket: &str, prefix: &str| Some(Ok(ArchiveUrl::bucket(bucket, prefix)));
        assert_eq!(parsed("s3://abc"), bucket("abc", ""));
        assert_eq!(parsed("s3://abc/d/e"), bucket("abc", "d/e"));
        assert_eq!(parsed("postgresql://h/d"), None);
    }

    #[test]
    fn what_no_bucket_and_no_directory_is_called_is_refused() {
        for (url, why) in [
            ("s3://", "names no bucket"),
            ("s3:///a", "names no bucket"),
            ("s3://abc/%2", "'%'"),
            ("s3:bucket", "`//` is missing"),
            ("s3://ab", "cannot be a bucket's name"),
            ("s3://Backups", "cannot be a bucket's name"),
            ("s3://my_backups", "cannot be a bucket's name"),
            ("s3://-backups", "cannot be a bucket's name"),
            ("s3://backups.", "cannot be a bucket's name"),
            ("s3://b\u{e4}ckups", "cannot be a bucket's name"),
            ("s3://back..ups", "two dots"),
            ("s3://192.168.0.1", "an IP address"),
            ("s3://xn--backups", "`xn--` is reserved"),
            ("s3://backups-s3alias", "`-s3alias` is reserved"),
            ("s3://backups:9000/x", "no port"),
            ("s3://backups?region=x", "no parameters"),
            ("s3://backups/x#y", "no parameters"),
            ("s3://key:hunter2@backups/x", "no user"),
            ("s3://backups/x@hunter2", "no user"),
            ("s3://backups//x", "an empty part"),
            ("s3://backups/x//y", "an empty part"),
            ("s3://backups/x/../y", "`..`"),
            ("s3://backups/./y", "`.`"),
            ("s3://backups/a%20b", "'%'"),
            ("s3://backups/a b", "' '"),
            ("s3://backups/a\\b", "\\\\"),
            ("file:/srv", "`//` is missing"),
            ("file://srv/a", "on this machine"),
            ("file://localhost/srv", "on this machine"),
            ("file://u:hunter2@h/srv", "on this machine"),
            ("file:///", "names no directory"),
            ("file:///.", "names no directory"),
            ("file:///srv/../x", "upwards"),
            ("file:///srv/%2e%2e/x", "upwards"),
            ("file:///srv?x", "no parameters"),
            ("file:///srv/%zz", "percent-encoded"),
            ("file:///srv/%00", "percent-encoded"),
        ] {
            let message = refused(url);
            assert!(message.contains(why), "{why} in {message} for {url}");
            assert!(!message.contains("hunter2"), "{message}");
        }
        assert!(refused(&format!("s3://{}", "a".repeat(64))).contains("bucket's name"));
        assert!(refused(&format!("s3://abc/{}", "a".repeat(601))).contains("too long"));
    }

    proptest! {
        /// Whatever is accepted stays as it is when it is read again, and names something below its root.
        #[test]
        fn a_spelling_is_its_own_spelling(text in "(file://|s3://abc)(/|\\.|%2[05eEfF]|[a-z ]|é|%){0,12}") {
            if let Some(url) = read(&text) {
                prop_assert_eq!(read(&url), Some(url.clone()));
                match parsed(&url) {
                    Some(Ok(ArchiveUrl::Directory(path))) => {
                        prop_assert!(path.is_absolute());
                        prop_assert!(!path.to_string_lossy().split('/').any(|part| part == ".."));
                    }
                    Some(Ok(ArchiveUrl::Bucket(BucketUrl { bucket, prefix }))) => {
                        prop_assert!(bucket.starts_with("abc") && !bucket.contains('/'));
                        prop_assert!(!prefix.starts_with('/') && !prefix.ends_with('/'));
                    }
                    _ => prop_assert!(false, "{} is no archive", url),
                }
            }
        }
    }
}
