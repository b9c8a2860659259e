//! URLs of trees: `dir:///ABSOLUTE/DIRECTORY`, `dir:DIRECTORY`, or `ssh://USER@HOST/ABSOLUTE/DIRECTORY`; and
//! `s3://BUCKET/PREFIX`, which is an archive's where nothing says that it is files.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::remote::url::{self as ssh, SshUrl};
use crate::config::{
    BucketUrl, Files, Flaw, OwnKey, OwnOptions, ParsedUrl, StoreFormat, StoreKind, absolute_path,
    percent_decoded,
};
use crate::error::{Error, Kind};
use crate::store::files::schema::options::{self, OWN_KEYS};

/// The store's kind.
pub const KIND: StoreKind = StoreKind::new("files");

const FORMS: [&str; 3] = ["dir:///ABSOLUTE/DIRECTORY", "dir:DIRECTORY", ssh::FORM];

/// What stands beside an ssh URL.
const SECRETS: [&str; 2] = ["identity", "known_hosts"];

/// The scheme of buckets.
const S3: &str = "s3";

/// Trees of files as configuration files have them.
pub(in crate::store) struct Format;

impl StoreFormat for Format {
    fn kind(&self) -> StoreKind {
        KIND
    }

    fn schemes(&self) -> &'static [&'static str] {
        &["dir", "ssh"]
    }

    fn schemes_by_kind(&self) -> &'static [&'static str] {
        &[S3]
    }

    fn forms(&self) -> &'static [&'static str] {
        &FORMS
    }

    fn files(&self) -> Option<Files> {
        Some(Files {
            name: "a tree of files",
            no_password: "files have no password; a bucket has access_key_id and secret_access_key",
        })
    }

    fn secrets(&self, scheme: &str) -> &'static [&'static str] {
        if scheme == "ssh" { &SECRETS } else { &[] }
    }

    fn own_keys(&self) -> &'static [OwnKey] {
        &OWN_KEYS
    }

    fn read_own(&self, given: &toml::Table) -> Result<OwnOptions, Vec<(&'static str, Flaw)>> {
        options::read(given).map(OwnOptions::new)
    }

    fn overlays(&self) -> bool {
        true
    }

    fn keeps_in_place(&self) -> bool {
        true
    }

    fn includes_by_glob(&self) -> bool {
        true
    }

    fn read_url(&self, scheme: &str, rest: &str, directory: &Path) -> Result<ParsedUrl, Flaw> {
        if scheme == "ssh" {
            let read = ssh::read(rest)?;
            return Ok(ParsedUrl {
                place: read.place,
                has_no_swap: true,
                ..ParsedUrl::new(read.text, Arc::new(TreeUrl::Ssh(read.url)))
            });
        }
        if scheme == S3 {
            if cfg!(not(feature = "s3")) {
                return Err(Flaw::new(
                    "this envsyncd was built without s3: trees in buckets",
                ));
            }
            let url = BucketUrl::read(rest)?;
            let tree = Arc::new(TreeUrl::Bucket(url.clone()));
            let parsed = ParsedUrl::new(url.to_string(), tree);
            return Ok(ParsedUrl {
                bucket: Some(url),
                has_no_swap: true,
                ..parsed
            });
        }
        let (text, tree) = read(rest, directory)?;
        Ok(ParsedUrl::new(text, Arc::new(tree)))
    }
}

/// The URL of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TreeUrl {
    /// A directory on this machine: an absolute path, as it was written.
    Directory(PathBuf),
    /// One on another machine.
    Ssh(SshUrl),
    /// A bucket, or what is below a prefix in it.
    Bucket(BucketUrl),
}

impl TreeUrl {
    /// The directory on this machine.
    pub(super) fn directory(&self) -> Result<&Path, Error> {
        match self {
            Self::Directory(path) => Ok(path),
            Self::Ssh(_) | Self::Bucket(_) => Err(elsewhere()),
        }
    }
}

/// What only a tree on this machine can do was asked of another one.
pub(super) fn elsewhere() -> Error {
    Error::new(Kind::Internal, "the tree is not on this machine")
}

/// Reads what stands behind `dir:`. The text is `dir:///ABSOLUTE`.
pub(super) fn read(rest: &str, directory: &Path) -> Result<(String, TreeUrl), Flaw> {
    if rest.contains(['?', '#']) {
        return Err(Flaw::with_help(
            "the URL of a directory has no parameters",
            "write `?` and `#` in a directory's name as %3F and %23",
        ));
    }
    let path = match rest.strip_prefix("//") {
        Some(path) if path.starts_with('/') || path.is_empty() => path,
        Some(_) => {
            let why = "the URL of a directory names no host: behind dir:// comes an absolute path";
            return Err(Flaw::new(why).allowed(FORMS.join(" | ")));
        }
        None => rest,
    };
    if path.is_empty() {
        return Err(Flaw::new("the URL names no directory").allowed(FORMS.join(" | ")));
    }
    let absolute = absolute_path(path, directory).ok_or_else(|| {
        Flaw::with_help(
            "a relative directory cannot be reached from a directory whose name is not UTF-8",
            "write the absolute path",
        )
    })?;
    if absolute.file_name().is_none() {
        return Err(Flaw::with_help(
            "the URL names no directory that could be replaced: it ends in `/` or `..`",
            "name the directory itself",
        ));
    }
    let absolute = absolute.display().to_string();
    let directory = decoded(&absolute)?;
    Ok((format!("dir://{absolute}"), TreeUrl::Directory(directory)))
}

/// The path that an encoded one stands for. Its name may be no text; what is decoded may not lead elsewhere.
fn decoded(absolute: &str) -> Result<PathBuf, Flaw> {
    let decoded = percent_decoded(absolute).ok_or_else(|| {
        Flaw::with_help(
            "a `%` in the URL is not followed by two digits",
            "write `%` in a directory's name as %25",
        )
    })?;
    if decoded.contains(&0) {
        return Err(Flaw::new("no directory's name has a NUL in it"));
    }
    let directory = PathBuf::from(OsString::from_vec(decoded));
    if directory.file_name().is_none() || directory.components().count() != parts(absolute) {
        return Err(Flaw::with_help(
            "a `/` or `.` that changes where the URL leads is written as an escape",
            "write it as it is",
        ));
    }
    Ok(directory)
}

/// How many parts a path has.
fn parts(path: &str) -> usize {
    Path::new(path).components().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(rest: &str) -> Result<String, Flaw> {
        read(rest, Path::new("/etc/jobs")).map(|(text, _)| text)
    }

    #[test]
    fn a_tree_is_absolute_or_relative_to_the_job() {
        for (rest, left) in [
            ("///srv/main/files", "dir:///srv/main/files"),
            ("///srv/main/files/", "dir:///srv/main/files"),
            ("files", "dir:///etc/jobs/files"),
            ("./x/files", "dir:///etc/jobs/x/files"),
            ("../files", "dir:///etc/jobs/../files"),
            ("/srv/a%20b", "dir:///srv/a%20b"),
        ] {
            assert_eq!(text(rest).unwrap(), left, "{rest}");
        }
    }

    #[test]
    fn what_names_no_directory_is_refused() {
        for rest in [
            "",
            "//",
            "///",
            "//host/files",
            "/srv/..",
            "/a?b",
            "/a%",
            "/a%00",
            "/a%2Fb",
            "/a%2F..",
            "/%2E%2E",
        ] {
            assert!(text(rest).is_err(), "{rest}");
        }
    }

    #[test]
    fn a_name_that_is_no_text_is_written_by_escapes() {
        use std::os::unix::ffi::OsStrExt;
        let (_, url) = read("/srv/%ff", Path::new("/")).unwrap();
        let directory = url.directory().unwrap();
        assert_eq!(directory.as_os_str().as_bytes(), b"/srv/\xff");
    }
}
