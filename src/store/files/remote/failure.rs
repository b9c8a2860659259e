//! What ssh, rsync and tar say when they fail, in words that help. Pure.

use std::process::ExitStatus;

use crate::error::{Error, Kind};
use crate::store::files::connection::told::told;

/// So many lines of what a program said are told.
const LINES: usize = 3;

/// ssh's own exit status where the connection failed, see ssh(1).
const SSH_FAILED: i32 = 255;

/// What stands in ssh's words, and what it means.
const OF_SSH: [(&str, Kind, &str, &str); 13] = [
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        Kind::Connection,
        "shows another host key than the one that is known",
        "find out why before anything else: it may be another machine; if it was set up anew, put its new key into known_hosts",
    ),
    (
        "Host key verification failed",
        Kind::Connection,
        "shows a host key that is not known",
        "compare its key with the machine's own (ssh-keygen -lf on it), and put it into known_hosts: a new key is never accepted unseen",
    ),
    (
        "host key is known for",
        Kind::Connection,
        "shows a host key that is not known",
        "compare its key with the machine's own (ssh-keygen -lf on it), and put it into known_hosts: a new key is never accepted unseen",
    ),
    (
        "UNPROTECTED PRIVATE KEY FILE",
        Kind::Config,
        "was not asked, as others may read the key's file",
        "run chmod 600 on the file that `identity` names",
    ),
    (
        "error in libcrypto",
        Kind::Config,
        "was not asked, as `identity` is no private key that ssh can read",
        "give it a private key in OpenSSH's own format, without a passphrase",
    ),
    (
        "invalid format",
        Kind::Config,
        "was not asked, as `identity` is no private key that ssh can read",
        "give it a private key in OpenSSH's own format, without a passphrase",
    ),
    (
        "Permission denied (",
        Kind::Permission,
        "does not let us in",
        "put the public key into ~/.ssh/authorized_keys there; a key with a passphrase needs an agent, as nobody is asked for it",
    ),
    (
        "Too many authentication failures",
        Kind::Permission,
        "does not let us in",
        "name the key with `identity`: the agent has too many of them",
    ),
    (
        "Connection refused",
        Kind::Connection,
        "cannot be reached: the connection was refused",
        "see whether sshd runs there, and on this port",
    ),
    (
        "Could not resolve hostname",
        Kind::Connection,
        "cannot be reached: its name is not known here",
        "check the URL's host, and ssh's configuration",
    ),
    (
        "timed out",
        Kind::Connection,
        "cannot be reached: it does not answer",
        "see whether it is up, and whether a firewall is between",
    ),
    (
        "No route to host",
        Kind::Connection,
        "cannot be reached: there is no way to it",
        "see whether it is up, and whether a firewall is between",
    ),
    (
        "Session open refused",
        Kind::Connection,
        "does not take several sessions over one connection",
        "allow more with MaxSessions in its sshd_config",
    ),
];

/// What stands in the words of rsync and other programs there, and what it means.
const OF_FILES: [(&str, Kind, &str); 6] = [
    (
        "since it's on a different device",
        Kind::Io,
        "another file system is mounted there, unmount it",
    ),
    ("No space left on device", Kind::Full, "the disk is full"),
    ("Disk quota exceeded", Kind::Full, "the quota is used up"),
    (
        "Read-only file system",
        Kind::Permission,
        "the file system is read-only",
    ),
    ("Permission denied", Kind::Permission, "permission denied"),
    (
        "Operation not permitted",
        Kind::Permission,
        "it is not permitted",
    ),
];

/// The first lines of what a program said, on one.
pub(super) fn first_lines(said: &str) -> String {
    let lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines = lines.filter(|line| !line.starts_with("@@@"));
    let first: Vec<String> = lines.take(LINES).map(|l| told(l.as_bytes())).collect();
    first.join("; ")
}

/// ssh did not reach `machine`, or did not stay connected.
pub(super) fn of_ssh(machine: &str, said: &str) -> Error {
    if let Some((_, kind, what, hint)) = OF_SSH.iter().find(|(words, ..)| said.contains(words)) {
        return Error::new(*kind, format!("{machine} {what}")).hint(*hint);
    }
    let said = first_lines(said);
    let why = if said.is_empty() {
        "without a word".to_owned()
    } else {
        said
    };
    Error::new(
        Kind::Connection,
        format!("the connection to {machine} ended: {why}"),
    )
    .hint("run the job again; `ssh -v` to it shows more")
}

/// A program there ended with an error, or ssh on the way to it.
pub(super) fn of_command(machine: &str, what: &str, status: ExitStatus, said: &str) -> Error {
    if status.code() == Some(SSH_FAILED) {
        return of_ssh(machine, said).within(what);
    }
    of_files(what, said).unwrap_or_else(|| {
        let said = first_lines(said);
        Error::new(Kind::Io, format!("{what} failed on {machine}: {said}")).of_program(status)
    })
}

/// A failure that has to do with files, if one is known in these words.
pub(super) fn of_files(what: &str, said: &str) -> Option<Error> {
    let found = OF_FILES.iter().find(|(words, ..)| said.contains(words));
    found.map(|(words, kind, means)| {
        let lines = said.lines().filter(|line| line.contains(words));
        let lines: Vec<&str> = lines.take(LINES).collect();
        let lines = first_lines(&lines.join("\n"));
        Error::new(*kind, format!("{what}: {means}: {lines}"))
    })
}

/// How an rsync ended that did not succeed; see its manual, EXIT VALUES.
pub(super) fn of_rsync(machine: &str, what: &str, status: ExitStatus, said: &str) -> Error {
    let cut = "connection unexpectedly closed";
    let lines = first_lines(said);
    match status.code() {
        Some(127) => no_rsync(machine),
        Some(12) if said.contains("not found") => no_rsync(machine),
        Some(SSH_FAILED | 10 | 30 | 35) => broken(machine, what, &lines),
        Some(12) if said.contains(cut) => broken(machine, what, &lines),
        Some(code) => {
            let by_files = of_files(what, said);
            by_files.unwrap_or_else(|| {
                let why = if lines.is_empty() {
                    format!("rsync ended with {code}")
                } else {
                    lines
                };
                Error::new(Kind::Io, format!("{what}: {why}"))
            })
        }
        None => Error::new(Kind::Io, format!("{what}: rsync was ended: {status}")),
    }
    .of_program(status)
}

/// How a tar there ended that did not succeed; see its manual, Exit status.
pub(super) fn of_tar(machine: &str, what: &str, status: ExitStatus, said: &str) -> Error {
    match status.code() {
        Some(SSH_FAILED) => broken(machine, what, &first_lines(said)),
        Some(code) if said.is_empty() => {
            let what = format!("{what}: tar ended with {code} on {machine}, without a word");
            Error::new(Kind::Io, what)
        }
        _ => of_command(machine, what, status, said),
    }
    .of_program(status)
}

fn broken(machine: &str, what: &str, said: &str) -> Error {
    Error::new(
        Kind::Connection,
        format!("{what}: the connection to {machine} was cut: {said}"),
    )
    .hint("run the job again: what has been copied is not copied once more")
}

/// There is no rsync there.
pub(super) fn no_rsync(machine: &str) -> Error {
    let what = format!("there is no rsync on {machine}, or none that is 3.1 or newer");
    Error::new(Kind::Config, what).hint("install rsync there: files go over ssh by it")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    fn ended(code: i32) -> ExitStatus {
        ExitStatus::from_raw(code << 8)
    }

    #[test]
    fn what_ssh_says_is_told_in_words_that_help() {
        for (said, kind, part) in [
            (
                "@@@@\n@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.",
                Kind::Connection,
                "another host key",
            ),
            (
                "No ED25519 host key is known for h and you have requested strict checking.\nHost key verification failed.",
                Kind::Connection,
                "not known",
            ),
            (
                "me@h: Permission denied (publickey).",
                Kind::Permission,
                "let us in",
            ),
            (
                "ssh: connect to host h port 22: Connection refused",
                Kind::Connection,
                "refused",
            ),
            ("something else", Kind::Connection, "something else"),
            ("", Kind::Connection, "without a word"),
        ] {
            let error = of_ssh("h", said);
            assert_eq!(error.kind(), kind, "{said}");
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn what_rsync_says_is_told_by_its_reason() {
        for (code, said, kind) in [
            (127, "sh: 1: rsync: not found", Kind::Config),
            (
                12,
                "rsync: connection unexpectedly closed (5 bytes received so far) [receiver]",
                Kind::Connection,
            ),
            (255, "", Kind::Connection),
            (
                11,
                "rsync: write failed on \"/x\": No space left on device (28)",
                Kind::Full,
            ),
            (
                23,
                "rsync: [sender] send_files failed to open \"/x\": Permission denied (13)",
                Kind::Permission,
            ),
            (23, "rsync: something", Kind::Io),
        ] {
            let error = of_rsync("h", "copying", ended(code), said);
            assert_eq!(error.kind(), kind, "{code} {said}: {error}");
        }
    }

    #[test]
    fn a_line_of_another_machine_is_told_without_its_control_characters() {
        let error = of_ssh("h", "\u{1b}[2Jevil\nmore");
        assert!(
            error.to_string().chars().all(|c| !c.is_control()),
            "{error}"
        );
    }
}
