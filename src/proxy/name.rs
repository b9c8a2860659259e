//! The name of a file, out of a request's path. Pure.
//!
//! A path is taken apart at its slashes before anything in it is decoded, and each part is decoded once: what an escape
//! stands for is never a separator, and what was escaped twice is a name with a percent sign in it.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Bytes of a path (`PATH_MAX` of Linux without its NUL).
const LONGEST: usize = 4095;
/// Bytes of a part of it (`NAME_MAX`).
const LONGEST_PART: usize = 255;

/// A file's path below a directory: parts between single slashes, none of which is empty, `.` or `..`, or has a slash, a
/// backslash or a control character in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Name(String);

/// Why a path is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// It could only be meant to lead elsewhere, or makes no sense.
    Bad,
    /// It is a directory's, or no file can be called so.
    NoFile,
}

impl Name {
    /// The name that a request's path has, which begins with a slash and has no query.
    pub(super) fn parse(path: &[u8]) -> Result<Self, Flaw> {
        let rest = path.strip_prefix(b"/").ok_or(Flaw::Bad)?;
        // Three for each byte that it may stand for.
        if rest.len() > 3 * LONGEST {
            return Err(Flaw::NoFile);
        }
        let mut name = String::with_capacity(rest.len());
        let mut is_no_file = false;
        for (number, part) in rest.split(|byte| *byte == b'/').enumerate() {
            let part = decoded(part)?;
            if number > 0 {
                name.push('/');
            }
            // One that is empty stands before a slash too many, or behind one at the end.
            is_no_file |= part.is_empty() || part.len() > LONGEST_PART;
            name.push_str(&part);
        }
        if is_no_file || name.len() > LONGEST {
            return Err(Flaw::NoFile);
        }
        Ok(Self(name))
    }

    /// A name of parts that are already known to be good.
    pub(super) fn of_parts(parts: &[&str]) -> Self {
        Self(parts.join("/"))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(self.0.as_bytes()))
    }

    pub(super) fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// The last part.
    pub(super) fn last(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The directory that it is in; `None`: the root.
    pub(super) fn directory(&self) -> Option<&str> {
        self.0.rsplit_once('/').map(|(directory, _)| directory)
    }

    /// What follows the last dot of the last part, in small letters.
    pub(super) fn ending(&self) -> Option<String> {
        let (_, ending) = self.last().rsplit_once('.')?;
        Some(ending.to_ascii_lowercase())
    }

    /// As it stands in a URL, after a slash.
    pub(super) fn in_url(&self) -> String {
        let mut url = String::with_capacity(self.0.len());
        for byte in self.0.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
                url.push(char::from(byte));
            } else {
                url.push_str(&format!("%{byte:02X}"));
            }
        }
        url
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A part, decoded once. It is text: other servers may see in overlong forms of UTF-8 what we do not.
fn decoded(part: &[u8]) -> Result<String, Flaw> {
    let part = std::str::from_utf8(part).map_err(|_| Flaw::Bad)?;
    let bytes = crate::config::percent_decoded(part).ok_or(Flaw::Bad)?;
    let text = String::from_utf8(bytes).map_err(|_| Flaw::Bad)?;
    let is_bad = |c: char| matches!(c, '/' | '\\') || c.is_control();
    if text == "." || text == ".." || text.contains(is_bad) {
        return Err(Flaw::Bad);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_decoded_once_and_written_again_as_it_was_meant() {
        for (path, name, url) in [
            ("/a.jpg", "a.jpg", "a.jpg"),
            ("/2024-01/a%20b.jpg", "2024-01/a b.jpg", "2024-01/a%20b.jpg"),
            ("/%C3%A9.png", "é.png", "%C3%A9.png"),
            ("/a%252fb", "a%2fb", "a%252fb"),
            ("/%252e%252e/x", "%2e%2e/x", "%252e%252e/x"),
            ("/a+b&c=d;e", "a+b&c=d;e", "a%2Bb%26c%3Dd%3Be"),
            ("/%3f%23", "?#", "%3F%23"),
            ("/...", "...", "..."),
        ] {
            let found = Name::parse(path.as_bytes()).unwrap();
            assert_eq!(found.as_str(), name, "{path}");
            assert_eq!(found.in_url(), url, "{path}");
        }
    }

    #[test]
    fn what_could_lead_elsewhere_is_no_name_in_any_encoding() {
        for path in [
            "",
            "a.jpg",
            "/..",
            "/../a",
            "/a/../b",
            "/a/..",
            "/./a",
            "/%2e%2e/a",
            "/%2E./a",
            "/.%2e/a",
            "/%2e/a",
            "/a%2fb",
            "/a%2Fb",
            "/..%2fa",
            "/a%5cb",
            "/..%5C..%5ca",
            "/a\\b",
            "/a%00.jpg",
            "/a%0a",
            "/a%7f",
            "/%",
            "/%zz",
            "/%2",
            "/%c0%ae%c0%ae/a",
            "/%c0%afetc",
            "/%ff",
        ] {
            assert_eq!(Name::parse(path.as_bytes()), Err(Flaw::Bad), "{path}");
        }
        assert_eq!(Name::parse(b"/\xff"), Err(Flaw::Bad));
        for path in [
            "/",
            "//a",
            "/a//b",
            "/a/",
            &format!("/{}", "a".repeat(256)),
            &format!("/{}", "a/".repeat(9000)),
        ] {
            assert_eq!(Name::parse(path.as_bytes()), Err(Flaw::NoFile), "{path}");
        }
    }
}
