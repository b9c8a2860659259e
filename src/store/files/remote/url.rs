//! URLs of trees on other machines: `ssh://[USER@]HOST[:PORT]/ABSOLUTE/DIRECTORY`. Pure.

use std::fmt;

use crate::config::{Flaw, percent_decoded, percent_decoded_text};

/// The form of these URLs.
pub(in crate::store::files) const FORM: &str = "ssh://USER@HOST/ABSOLUTE/DIRECTORY";

/// A tree on another machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store::files) struct SshUrl {
    /// Who logs in; `None`: whom ssh's own configuration names.
    pub(in crate::store::files) user: Option<String>,
    /// A name, an address, or a name of ssh's own configuration; an IPv6 address without brackets.
    pub(in crate::store::files) host: String,
    /// The port; `None`: the one of ssh's own configuration.
    pub(in crate::store::files) port: Option<u16>,
    /// The directory: an absolute path without `.` and `..`.
    pub(in crate::store::files) path: Vec<u8>,
}

impl SshUrl {
    /// The name of its directory, and the path of the one that it is in.
    pub(in crate::store::files) fn split(&self) -> (&[u8], &[u8]) {
        let at = self
            .path
            .iter()
            .rposition(|byte| *byte == b'/')
            .unwrap_or(0);
        (&self.path[at + 1..], &self.path[..at.max(1)])
    }

    /// The machine as people know it.
    pub(in crate::store::files) fn machine(&self) -> String {
        let user = self.user.as_ref().map(|user| format!("{user}@"));
        let port = self.port.map(|port| format!(":{port}"));
        let (user, port) = (user.unwrap_or_default(), port.unwrap_or_default());
        format!("{user}{}{port}", bracketed(&self.host))
    }
}

impl fmt::Display for SshUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = crate::store::files::connection::told::told(&self.path);
        write!(f, "{}:{path}", self.machine())
    }
}

/// A URL that was read: its text without a slash at the end, one spelling for all users, and what it says.
pub(in crate::store::files) struct Read {
    /// It is read again as the same.
    pub(in crate::store::files) text: String,
    /// Without the user.
    pub(in crate::store::files) place: String,
    /// What it says.
    pub(in crate::store::files) url: SshUrl,
}

/// Reads what stands behind `ssh:`.
pub(in crate::store::files) fn read(rest: &str) -> Result<Read, Flaw> {
    let wrong = |why: &str| Flaw::new(why.to_owned()).allowed(FORM);
    if rest.contains(['?', '#']) {
        return Err(Flaw::with_help(
            "the URL of a directory has no parameters",
            "write `?` and `#` in a directory's name as %3F and %23",
        ));
    }
    let rest = rest.strip_prefix("//");
    let rest = rest.ok_or_else(|| wrong("an ssh URL begins with ssh://"))?;
    let slash = rest.find('/');
    let slash = slash.ok_or_else(|| wrong("the URL names no directory"))?;
    let (authority, path) = rest.split_at(slash);
    let (user, server) = match authority.rsplit_once('@') {
        Some((user, server)) => (Some(read_user(user)?), server),
        None => (None, authority),
    };
    let (host, port) = read_server(server)?;
    let (written, path) = read_path(path)?;
    let url = SshUrl {
        user,
        host,
        port,
        path,
    };
    let server = SshUrl {
        user: None,
        ..url.clone()
    };
    Ok(Read {
        text: format!("ssh://{}{written}", url.machine()),
        place: format!("ssh://{}{written}", server.machine()),
        url,
    })
}

/// What begins with `-` would be an option to ssh; and what a shell reads as more than a word is no user's name.
fn read_user(text: &str) -> Result<String, Flaw> {
    if text.contains(':') {
        return Err(Flaw::with_help(
            "the URL has a password in it, and ssh takes none",
            "leave it out: envsyncd logs in with a key, see `identity`",
        ));
    }
    let user = percent_decoded_text(text).unwrap_or_default();
    let is_fine = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | '@');
    if user.is_empty() || user.starts_with('-') || !user.chars().all(is_fine) {
        return Err(Flaw::new("what stands before `@` is no user's name")
            .allowed("letters, digits, `.`, `_`, `-`, `+`; not `-` at the beginning"));
    }
    if user.contains('@') {
        return Err(Flaw::new("there are two `@` in front of the host").allowed(FORM));
    }
    Ok(user)
}

fn read_server(text: &str) -> Result<(String, Option<u16>), Flaw> {
    let wrong = |why: &str| Flaw::new(why.to_owned()).allowed(FORM);
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest
            .split_once(']')
            .ok_or_else(|| wrong("the `[` of the address is not closed"))?;
        host.parse::<std::net::Ipv6Addr>()
            .map_err(|_| wrong("what stands in brackets is no IPv6 address"))?;
        match port.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if port.is_empty() => (host, None),
            None => return Err(wrong("behind `]` comes a port or the directory")),
        }
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':');
    if host.is_empty() || host.starts_with('-') || !host.chars().all(is_fine) {
        return Err(Flaw::new("the URL names no host")
            .allowed("a name, an address, or an IPv6 address in brackets"));
    }
    let port = match port.map(str::parse::<u16>) {
        None => None,
        Some(Ok(port)) if port > 0 => Some(port),
        Some(_) => return Err(wrong("the port is no number from 1 to 65535")),
    };
    Ok((host.to_ascii_lowercase(), port))
}

/// The path as it is written, without a slash at the end, and what it stands for.
fn read_path(text: &str) -> Result<(String, Vec<u8>), Flaw> {
    let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty()).collect();
    if parts.first().is_some_and(|first| first.starts_with('~')) {
        return Err(Flaw::with_help(
            "`~` is not looked up: the path of an ssh URL is absolute",
            "write the whole path; a directory whose name begins with `~` is written with %7E",
        ));
    }
    if parts.is_empty() {
        return Err(Flaw::new("the URL names no directory that could be copied").allowed(FORM));
    }
    let mut path = Vec::new();
    for part in &parts {
        let decoded = percent_decoded(part).ok_or_else(|| {
            Flaw::with_help(
                "a `%` in the URL is not followed by two digits",
                "write `%` in a directory's name as %25",
            )
        })?;
        if matches!(&*decoded, b"." | b"..") || decoded.contains(&b'/') {
            return Err(Flaw::with_help(
                "the path has a `.`, a `..` or a hidden `/` in it",
                "write the path as it is on the other machine",
            ));
        }
        if decoded.contains(&0) {
            return Err(Flaw::new("no directory's name has a NUL in it"));
        }
        path.push(b'/');
        path.extend(decoded);
    }
    Ok((format!("/{}", parts.join("/")), path))
}

fn bracketed(host: &str) -> String {
    if host.contains(':') {
        return format!("[{host}]");
    }
    host.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(rest: &str) -> Result<String, Flaw> {
        read(rest).map(|read| read.text)
    }

    #[test]
    fn a_tree_elsewhere_has_a_host_and_an_absolute_path() {
        for (rest, left) in [
            ("//web1/srv/files", "ssh://web1/srv/files"),
            ("//me@web1:2222/srv/files/", "ssh://me@web1:2222/srv/files"),
            (
                "//Web1.example//srv///a%20b",
                "ssh://web1.example/srv/a%20b",
            ),
            ("//me@[::1]:22/srv", "ssh://me@[::1]:22/srv"),
            ("//[2001:db8::1]/srv", "ssh://[2001:db8::1]/srv"),
            ("//h/%7Ename", "ssh://h/%7Ename"),
        ] {
            assert_eq!(text(rest).unwrap(), left, "{rest}");
            let again = left.strip_prefix("ssh:").unwrap();
            assert_eq!(text(again).unwrap(), left, "{rest}");
        }
        let read = read("//me@web1/srv/%ff/b").unwrap();
        assert_eq!(read.place, "ssh://web1/srv/%ff/b");
        assert_eq!(read.url.split(), (&b"b"[..], &b"/srv/\xff"[..]));
        let read = super::read("//h/a").unwrap();
        assert_eq!(read.url.split(), (&b"a"[..], &b"/"[..]));
    }

    #[test]
    fn what_would_be_an_option_or_leads_elsewhere_is_refused() {
        for rest in [
            "",
            "//",
            "//host",
            "//host/",
            "//host//",
            "/srv",
            "host:/srv",
            "///srv",
            "//@host/srv",
            "//-oProxyCommand=x/srv",
            "//-h@host/srv",
            "//me@-host/srv",
            "//a:secret@host/srv",
            "//me@you@host/srv",
            "//ho st/srv",
            "//host:0/srv",
            "//host:99999/srv",
            "//host:/srv",
            "//[::1/srv",
            "//[host]/srv",
            "//[::1]x/srv",
            "//::1/srv",
            "//host/~",
            "//host/~me/x",
            "//host/a/../b",
            "//host/a/%2e%2e",
            "//host/a%2fb",
            "//host/a%00",
            "//host/a%",
            "//h/a?b",
            "//h/a#b",
            "//m;e@host/srv",
            "//host$(x)/srv",
            "//%2dx@host/a",
        ] {
            assert!(text(rest).is_err(), "{rest}");
        }
    }

    #[test]
    fn a_password_is_never_repeated() {
        let flaw = text("//me:hunter2@host/srv").unwrap_err();
        assert!(!format!("{flaw:?}").contains("hunter2"), "{flaw:?}");
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_read_again_as_the_same(rest in "//[-a-z@:.\\[\\]%0-9~/]{0,40}") {
            if let Ok(read) = read(&rest) {
                let again = read.text.strip_prefix("ssh:").unwrap();
                let again = super::read(again).unwrap();
                prop_assert_eq!(&again.text, &read.text);
                prop_assert_eq!(&again.url, &read.url);
                prop_assert!(!read.url.host.starts_with('-'));
                prop_assert!(read.url.user.is_none_or(|user| !user.starts_with('-')));
            }
        }
    }
}
