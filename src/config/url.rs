//! URLs of endpoints: which store or archive they mean, and the password cut out of them. What is left is for the store to read.

mod archive;
mod mysql;
mod postgresql;
mod transport;
mod typed;

use std::fmt;
use std::path::{Component, Path, PathBuf};

use secrecy::SecretString;

use super::diagnostics::{Diagnostic, did_you_mean};
use super::document::quote;
use super::job::StoreKind;
use super::value::Value;

pub use archive::ArchiveUrl;
pub use mysql::{MysqlTls, MysqlUrl};
pub use postgresql::{AuthMethods, tls_is_required};
pub use transport::{Risk, is_here, risk};
pub use typed::{archive_at, archive_in};

/// URL schemes of stores and archives that come later.
const LATER: &[&str] = &["http", "https", "mongodb", "mongodb+srv", "opensearch"];
const SCHEMES: &str = "postgresql://USER@HOST/DATABASE | mysql://USER@HOST/DATABASE | mariadb://USER@HOST/DATABASE | sqlite:FILE.db | sqlite:///ABSOLUTE/FILE.db | file:///DIRECTORY | s3://BUCKET/PREFIX";
const ENCODE: &str = "write `/`, `?`, `#`, `@`, `%` and spaces in a user's name, password or database as %2F, %3F, %23, %40, %25, %20";

/// What a URL leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// A store.
    Store(StoreKind),
    /// An archive in a directory.
    Directory,
    /// An archive in a bucket.
    Bucket,
}

impl Found {
    pub(super) fn is_archive(self) -> bool {
        !matches!(self, Self::Store(_))
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(kind) => kind.fmt(f),
            Self::Directory => f.write_str("file"),
            Self::Bucket => f.write_str("s3"),
        }
    }
}

/// A URL that was understood.
pub(super) struct Location {
    pub(super) found: Found,
    /// Without a password, percent-encoded as it was written; files in it are absolute, a SQLite database's is written
    /// as `sqlite:///ABSOLUTE`.
    pub(super) url: String,
    pub(super) password: Option<SecretString>,
}

/// Whether a text is a URL rather than an endpoint's name.
pub(super) fn looks_like_url(text: &str) -> bool {
    text.contains("://") || text.starts_with("sqlite:")
}

/// What a validated URL leads to.
pub(super) fn found(url: &str) -> Found {
    if looks_like_archive(url) {
        match ArchiveUrl::parse(url) {
            Some(ArchiveUrl::Directory(_)) => Found::Directory,
            _ => Found::Bucket,
        }
    } else if url.starts_with("sqlite:") {
        Found::Store(StoreKind::Sqlite)
    } else if mysql::after_scheme(url).is_some() {
        Found::Store(StoreKind::Mysql)
    } else {
        Found::Store(StoreKind::Postgresql)
    }
}

/// Whether a text, right or wrong, is meant to be an archive's URL.
pub(super) fn looks_like_archive(text: &str) -> bool {
    text.starts_with("file:") || text.starts_with("s3:")
}

/// Reads a URL, or reports why not. `directory` is where a relative file starts.
pub(super) fn read(value: &Value<'_>, text: &str, directory: &Path) -> Option<Location> {
    match parse(text, directory) {
        Ok(location) => {
            if let Some(flaw) = transport::risky(&location.url) {
                value.report(value.wrong(flaw.message).warning().maybe_help(flaw.help));
            }
            Some(location)
        }
        Err(flaw) => {
            let diagnostic: Diagnostic = value.wrong(flaw.message);
            let diagnostic = match flaw.allowed {
                Some(allowed) => diagnostic.allowed(allowed),
                None => diagnostic,
            };
            value.report(diagnostic.maybe_help(flaw.help));
            None
        }
    }
}

pub(super) struct Flaw {
    message: String,
    allowed: Option<&'static str>,
    help: Option<String>,
}

fn flaw(message: &str, help: &str) -> Flaw {
    Flaw {
        message: message.to_owned(),
        allowed: None,
        help: Some(help.to_owned()),
    }
}

pub(super) fn parse(text: &str, directory: &Path) -> Result<Location, Flaw> {
    let scheme = text.split(':').next().unwrap_or_default();
    match scheme {
        "postgresql" | "postgres" | "mysql" | "mariadb" => {
            match text[scheme.len()..].strip_prefix("://") {
                Some(rest) if scheme.starts_with('m') => mysql::read(scheme, rest, directory),
                Some(rest) => postgresql::read(rest),
                None => Err(Flaw {
                    message: "`://` is missing behind the scheme".to_owned(),
                    allowed: Some(SCHEMES),
                    help: None,
                }),
            }
        }
        // Without a colon it is no URL: then the scheme is all there is.
        "sqlite" => sqlite(
            text["sqlite".len()..].strip_prefix(':').unwrap_or_default(),
            directory,
        ),
        "file" => archive::directory(text["file".len()..].strip_prefix(':').unwrap_or_default()),
        "s3" => archive::bucket(text["s3".len()..].strip_prefix(':').unwrap_or_default()),
        later if LATER.contains(&later) => Err(Flaw {
            message: format!("{later}:// is not supported yet"),
            allowed: Some(SCHEMES),
            help: None,
        }),
        path if path.starts_with('/') => Err(Flaw {
            message: format!("{} is a path and no URL", quote(text)),
            allowed: None,
            help: Some(format!(
                "a directory with snapshots is file://{text}, an SQLite file sqlite://{text}"
            )),
        }),
        other => Err(Flaw {
            message: format!(
                "{} is not the scheme of a store or an archive",
                quote(other)
            ),
            allowed: Some(SCHEMES),
            help: did_you_mean(
                &other.to_ascii_lowercase(),
                [
                    "postgresql",
                    "postgres",
                    "mysql",
                    "mariadb",
                    "sqlite",
                    "file",
                    "s3",
                ],
            ),
        }),
    }
}

fn sqlite(rest: &str, directory: &Path) -> Result<Location, Flaw> {
    if rest.contains(['?', '#']) {
        return Err(flaw(
            "a SQLite URL has no parameters",
            "write `?` and `#` in a file's name as %3F and %23",
        ));
    }
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path.is_empty() || path.ends_with('/') || path == ":memory:" {
        return Err(Flaw {
            message: "the URL names no file".to_owned(),
            allowed: Some("sqlite:FILE.db | sqlite:///ABSOLUTE/FILE.db"),
            help: None,
        });
    }
    if decode(path).is_none() {
        return Err(flaw(
            "a `%` in the URL is not followed by two digits",
            "write `%` in a file's name as %25",
        ));
    }
    let absolute = if path.starts_with('/') {
        tidy(Path::new(path))
    } else {
        tidy(&encode_directory(directory)?.join(path))
    };
    Ok(Location {
        found: Found::Store(StoreKind::Sqlite),
        url: format!("sqlite://{}", absolute.display()),
        password: None,
    })
}

/// The job's directory is not percent-encoded, what stands behind it in the URL is.
fn encode_directory(directory: &Path) -> Result<PathBuf, Flaw> {
    let text = directory.to_str().ok_or_else(|| {
        flaw(
            "a relative file cannot be reached from a directory whose name is not UTF-8",
            "write the file's absolute path",
        )
    })?;
    Ok(PathBuf::from(
        text.replace('%', "%25")
            .replace('?', "%3F")
            .replace('#', "%23"),
    ))
}

/// Without `.`; `..` stays, because of symbolic links.
fn tidy(path: &Path) -> PathBuf {
    path.components()
        .filter(|part| !matches!(part, Component::CurDir))
        .collect()
}

/// Control characters and these written as percent escapes.
fn percent_encoded(text: &str, reserved: &[char]) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || reserved.contains(&c) {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                out.push_str(&format!("%{byte:02X}"));
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// Percent escapes turned into what they stand for; `None` if one is broken.
pub fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        out.push(if byte == b'%' {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            (digit(bytes.next()?)? * 16 + digit(bytes.next()?)?) as u8
        } else {
            byte
        });
    }
    Some(out)
}

/// `None` if an escape is broken or the result is not UTF-8.
fn decode(text: &str) -> Option<String> {
    let bytes = percent_decoded(text)?;
    String::from_utf8(bytes).ok().filter(|t| !t.contains('\0'))
}

/// The database that a server's URL names, as it is called there.
pub fn database_of(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let (path, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let named = path.split_once('/').map_or("", |(_, database)| database);
    let named = if named.is_empty() {
        let mut pairs = parameters.split('&');
        pairs.find_map(|pair| pair.strip_prefix("dbname="))?
    } else {
        named
    };
    decode(named).filter(|name| !name.is_empty())
}

/// A URL in one spelling, without user and parameters, to see whether two of them name one place.
pub(super) fn place(url: &str) -> String {
    if let Some(mysql) = MysqlUrl::parse(url) {
        return mysql.place();
    }
    let Some(rest) = url.strip_prefix("postgresql://") else {
        return url.to_owned();
    };
    let (rest, _) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let hosts = authority.rsplit_once('@').map_or(authority, |(_, h)| h);
    // Without a host, the parameters say which server it is: then nothing can be said without them.
    if hosts.is_empty() {
        return url.to_owned();
    }
    let hosts = hosts.to_ascii_lowercase();
    let hosts = hosts.strip_suffix(":5432").unwrap_or(&hosts);
    format!("postgresql://{hosts}/{path}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    fn parsed(text: &str) -> (String, Option<String>) {
        match parse(text, Path::new("/etc/jobs")) {
            Ok(location) => (
                location.url,
                location.password.map(|p| p.expose_secret().to_owned()),
            ),
            Err(flaw) => panic!("{text}: {}", flaw.message),
        }
    }

    pub(super) fn refused(text: &str) -> String {
        match parse(text, Path::new("/etc/jobs")) {
            Ok(location) => panic!("{text} became {}", location.url),
            Err(flaw) => flaw.message,
        }
    }

    #[test]
    fn a_password_is_cut_out_and_decoded_wherever_it_stands() {
        for (url, left, password) in [
            ("postgresql://u@h/d", "postgresql://u@h/d", None),
            (
                "postgres://u:p@h:5433/d",
                "postgresql://u@h:5433/d",
                Some("p"),
            ),
            (
                "postgresql://u:p%40s%2Fs%25@h/d",
                "postgresql://u@h/d",
                Some("p@s/s%"),
            ),
            (
                "postgresql://u:p@ss@h/d",
                "postgresql://u@h/d",
                Some("p@ss"),
            ),
            ("postgresql://u:a:b@h/d", "postgresql://u@h/d", Some("a:b")),
            ("postgresql://u:@h/d", "postgresql://u@h/d", None),
            (
                "postgresql://u@h/d?sslmode=require&password=p&application_name=x",
                "postgresql://u@h/d?sslmode=require&application_name=x",
                Some("p"),
            ),
            (
                "postgresql://u@/d?host=/run/pg",
                "postgresql://u@/d?host=/run/pg",
                None,
            ),
            (
                "postgresql://u@[::1]:5433/d",
                "postgresql://u@[::1]:5433/d",
                None,
            ),
            ("postgresql://u@a:1,b:2/d", "postgresql://u@a:1,b:2/d", None),
        ] {
            assert_eq!(
                parsed(url),
                (left.to_owned(), password.map(str::to_owned)),
                "{url}"
            );
        }
    }

    #[test]
    fn a_url_that_would_be_split_in_the_wrong_place_is_refused_without_being_quoted() {
        for url in [
            "postgresql://u:hun/ter2@h/d",
            "postgresql://u:12/hunter2@h/d",
            "postgresql://u:hun?ter2@h/d",
            "postgresql://u:hunter2#@h/d",
            "postgresql://u:hunter2%zz@h/d",
            "postgresql://u:hunter2@h/d?password=hunter2",
            "postgresql://u@h/d?sslpassword=hunter2",
        ] {
            let message = refused(url);
            assert!(
                !message.contains("hunter2") && !message.contains("ter2"),
                "{message}"
            );
        }
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
            assert_eq!(parsed(url).0, left, "{url}");
        }
        for url in [
            "sqlite:",
            "sqlite://",
            "sqlite::memory:",
            "sqlite:a.db?mode=ro",
            "sqlite:a/",
        ] {
            refused(url);
        }
    }

    #[test]
    fn stores_of_later_are_told_from_nonsense() {
        for url in ["mongodb://h", "https://bucket/x"] {
            assert!(refused(url).contains("not supported yet"), "{url}");
        }
        for url in ["postgrseql://h/d", "mysqlx://u@h/d"] {
            assert!(refused(url).contains("not the scheme"), "{url}");
        }
    }

    #[test]
    fn two_spellings_of_one_place_are_one() {
        let same = |a: &str, b: &str| place(a) == place(b);
        assert!(same(
            "postgresql://a@H:5432/d",
            "postgresql://b@h/d?sslmode=require"
        ));
        assert!(!same("postgresql://h/d", "postgresql://h/e"));
        assert!(!same("postgresql:///d?host=/a", "postgresql:///d?host=/b"));
    }
}
