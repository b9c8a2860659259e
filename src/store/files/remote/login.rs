//! What a login says on its standard error before the command begins that it is for. The shell that logs in reads files of its own,
//! and what those say is no failure of the command's: it says where it begins.

use std::io;

use tokio::io::{AsyncBufRead, AsyncRead};

use super::quote::quote;
use crate::process::stderr::{self, Lines};

/// The line that a command says first.
const BEGINS: &str = "envsyncd begins here";
/// So many lines are kept of what was said where none begins.
const LINES: usize = 20;

/// A script that says where it begins.
pub(super) fn begun(script: &str) -> String {
    format!("{}\n{script}", word())
}

/// A command that says so, for whatever shell logs in.
pub(super) fn alone() -> Vec<u8> {
    [&b"sh -c "[..], &quote(word().as_bytes())].concat()
}

/// What came before need not have ended its line.
fn word() -> String {
    format!("printf '\\n%s\\n' '{BEGINS}' >&2")
}

/// What is said from where a command begins; all of it, if none does.
pub(super) async fn said(stderr: impl AsyncRead + Unpin) -> String {
    let said = stderr::beginning(stderr).await;
    let (login, own) = parted(&said);
    own.map_or_else(|| login.to_owned(), str::to_owned)
}

/// What was said before a command begins, and what after that, if one does.
pub(super) fn parted(said: &str) -> (&str, Option<&str>) {
    let begins = format!("\n{BEGINS}\n");
    match said.split_once(&begins) {
        Some((login, own)) => (login, Some(own)),
        None => (said, None),
    }
}

/// Reads lines to where a command begins. If none does, what was said is why.
pub(super) async fn passed_over<R: AsyncBufRead + Unpin>(
    lines: &mut Lines<R>,
) -> io::Result<Vec<String>> {
    let mut login = Vec::new();
    while let Some(line) = lines.next().await? {
        if line == BEGINS {
            return Ok(Vec::new());
        }
        if login.len() < LINES && !line.trim().is_empty() {
            login.push(line);
        }
    }
    Ok(login)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a shell says whose login says something first.
    fn shell(login: &str, script: &str) -> Vec<u8> {
        let script = format!("{login}\n{}", begun(script));
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &script]).output().unwrap().stderr
    }

    #[tokio::test]
    async fn what_a_login_says_is_known_from_what_its_command_says() {
        for login in ["", "echo a: Permission denied >&2", "printf 'no end' >&2"] {
            let text = shell(login, "echo own >&2; echo more >&2");
            assert_eq!(said(&*text).await, "own\nmore\n", "{login}");
            let mut lines = Lines::of(&*text);
            let before = passed_over(&mut lines).await.unwrap();
            assert_eq!(before, [""; 0], "{login}");
            assert_eq!(lines.next().await.unwrap().unwrap(), "own");
        }
    }

    #[tokio::test]
    async fn where_no_command_begins_what_was_said_is_why() {
        let text = &b"sh: not found\n\nmore"[..];
        assert_eq!(said(text).await, "sh: not found\n\nmore");
        let mut lines = Lines::of(text);
        let before = passed_over(&mut lines).await.unwrap();
        assert_eq!(before, ["sh: not found", "more"]);
        assert!(lines.next().await.unwrap().is_none());
    }
}
