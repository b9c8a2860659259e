//! Calls of rsync: the one that brings or sends the files of a list, and the one that only compares them.

use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStringExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::BufReader;
use tokio::process::Child;

use super::connection::{Connection, feed, start};
use super::facts::{Rsync, rsync};
use super::failure;
use super::login;
use super::names::Names;
use super::quote::quote;
use crate::error::{Error, Kind, Result, io};
use crate::process::program;
use crate::process::stderr::{self, Lines};
use crate::store::files::connection::directory::Directory;
use crate::store::files::rows::warnings::{Warning, Warnings};

/// An rsync that is ended has so long to put away what it has begun.
const PATIENCE: Duration = Duration::from_millis(20);
const PATIENT: u32 = 100;

/// What rsync says of files whose attributes or ACLs could not be set; they are there all the same.
const OF_ATTRIBUTES: [&str; 4] = ["set_acl", "sys_acl_set_file", "xattr", "acl_set"];
/// What it says of files that went away or were changed under its hands, and at its end.
const OF_CHANGES: [&str; 6] = [
    "file has vanished",
    "failed verification -- update discarded",
    "could not make way for new ",
    "cannot delete non-empty directory",
    "rsync error:",
    "rsync warning:",
];

/// What its lines begin with. Older ones do not say which of the two it is.
const OF_RSYNC: [&str; 5] = [
    "rsync: [",
    "rsync error: ",
    "rsync warning: ",
    "rsync: link_stat ",
    "rsync: send_files ",
];
/// How what it does with a file of the source fails,
const OF_SOURCE: [&str; 2] = ["link_stat ", "send_files failed to open "];
/// where the file is of another kind by now, or something is in the place of a directory that it was in.
const OF_KINDS: [&str; 3] = [
    ": Not a directory (20)",
    ": Too many levels of symbolic links (40)",
    ": No such device or address (6)",
];

/// From here on rsync has zstd.
const QUICK: (u32, u32) = (3, 2);

/// Which way files go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// From there to here.
    Here,
    /// From here to there.
    There,
}

/// Two trees, here and there, and the rsyncs of both machines.
pub(super) struct Pair<'a> {
    pub(super) connection: &'a Connection,
    /// The tree here.
    pub(super) here: &'a Arc<Directory>,
    /// The path of the tree there.
    pub(super) there: &'a [u8],
    pub(super) direction: Direction,
    /// What both rsyncs can.
    pub(super) can: Rsync,
    /// Whether owners are kept.
    pub(super) keeps_owners: bool,
    /// Bytes a second, if there is a pace.
    pub(super) throttle: Option<u64>,
}

/// The rsync of this machine.
pub(super) async fn own() -> Result<Rsync> {
    let found = program::other("rsync")
        .arg("--version")
        .env("LC_ALL", "C")
        .output()
        .await;
    let found = found
        .ok()
        .and_then(|output| rsync(&String::from_utf8_lossy(&output.stdout)));
    found.ok_or_else(|| {
        Error::new(Kind::Config, "there is no rsync on this machine")
            .hint("install rsync: files go over ssh by it")
    })
}

/// What one rsync can and the other, too.
pub(super) fn common(own: &Rsync, there: &Rsync) -> Rsync {
    Rsync {
        version: own.version.min(there.version),
        acls: own.acls && there.acls,
        attributes: own.attributes && there.attributes,
    }
}

impl Pair<'_> {
    /// Copies the files of a list. Whoever counts is told of files and bytes. Returns how many files and links have gone over.
    pub(super) async fn copy(
        &self,
        names: &Names,
        options: &[&str],
        warnings: &Warnings,
        told: &(dyn Fn(u64, u64) + Send + Sync),
    ) -> Result<usize> {
        let mut arguments: Vec<OsString> =
            ["--links", "--perms", "--times", "--out-format=%i %b %l"]
                .map(OsString::from)
                .to_vec();
        if self.keeps_owners {
            arguments.extend(["--owner", "--group", "--numeric-ids"].map(OsString::from));
        } else {
            arguments.push("--chmod=Fu-s,Fg-s".into());
        }
        if self.can.acls {
            arguments.push("--acls".into());
        }
        if self.can.attributes {
            arguments.extend(["--xattrs", "--filter=-x security.selinux"].map(OsString::from));
        }
        if names.is_sparse {
            arguments.push("--sparse".into());
            // rsync sends what is not stored as zeros. What compresses them in older ones is slower than the way.
            if self.can.version >= QUICK {
                arguments.push("--compress".into());
            }
        }
        if let Some(rate) = self.throttle {
            // In KiB.
            arguments.push(format!("--bwlimit={}", (rate / 1024).max(1)).into());
        }
        arguments.extend(options.iter().map(OsString::from));
        let mut copied = 0;
        let mut line = |line: &str| {
            if is_file(line) {
                copied += 1;
                let bytes = line.rsplit(' ').next().and_then(|bytes| bytes.parse().ok());
                told(1, bytes.unwrap_or_default());
            }
        };
        self.run("copying files", arguments, names, warnings, &mut line)
            .await?;
        Ok(copied)
    }

    /// The paths of those files of a list that have another content here than there.
    pub(super) async fn differing(
        &self,
        names: &Names,
        warnings: &Warnings,
    ) -> Result<Vec<Vec<u8>>> {
        let arguments = ["--dry-run", "--checksum", "--out-format=%i %n"];
        let mut found = Vec::new();
        let mut line = |line: &str| {
            if let Some((what, name)) = line.split_once(' ')
                && is_another_content(what)
            {
                found.push(unescaped(name));
            }
        };
        let arguments = arguments.map(OsString::from).to_vec();
        self.run("comparing files", arguments, names, warnings, &mut line)
            .await?;
        Ok(found)
    }

    async fn run(
        &self,
        what: &str,
        mut arguments: Vec<OsString>,
        names: &Names,
        warnings: &Warnings,
        line: &mut (dyn FnMut(&str) + Send),
    ) -> Result<()> {
        arguments.extend(["--files-from=-", "--from0", "--no-implied-dirs"].map(OsString::from));
        arguments.push("--ignore-missing-args".into());
        let mut shell = OsString::new();
        for word in self.connection.words() {
            shell.push(word);
            shell.push(" ");
        }
        arguments.extend([OsString::from("-e"), shell]);
        let mut path = b"--rsync-path=".to_vec();
        path.extend(login::alone());
        path.extend(b"; umask 077; cd ");
        path.extend(quote(self.there));
        path.extend(b" && env LC_ALL=C rsync");
        arguments.push(OsString::from_vec(path));
        arguments.push("--".into());
        let places = match self.direction {
            Direction::Here => ["far:.", "."],
            Direction::There => [".", "far:."],
        };
        arguments.extend(places.map(OsString::from));
        let mut command = program::other("rsync");
        command.args(arguments).env("LC_ALL", "C");
        command.current_dir(format!("/proc/self/fd/{}", self.here.as_fd().as_raw_fd()));
        let (child, stdin, stdout, said) = start(command.kill_on_drop(false), "rsync")?;
        let mut running = Running(child);
        let feeding = feed(stdin, names.text());
        let reading = async {
            let mut lines = Lines::of(BufReader::new(stdout));
            while let Some(text) = lines
                .next()
                .await
                .map_err(io("cannot read what rsync says"))?
            {
                line(&text);
            }
            Ok::<_, Error>(())
        };
        let ((), read, said) = tokio::join!(feeding, reading, stderr::beginning(said));
        let status = running
            .0
            .wait()
            .await
            .map_err(io("cannot wait for rsync"))?;
        read?;
        self.outcome(what, status, &of_both(&said), warnings)
    }

    /// Whether all that could be done was done.
    fn outcome(
        &self,
        what: &str,
        status: ExitStatus,
        said: &str,
        warnings: &Warnings,
    ) -> Result<()> {
        let has = |line: &str, words: &[&str]| words.iter().any(|word| line.contains(word));
        if matches!(status.code(), Some(0 | 23 | 24)) {
            let lines = said.lines().filter(|line| !line.trim().is_empty());
            let (of_attributes, lines): (Vec<&str>, Vec<&str>) =
                lines.partition(|line| has(line, &OF_ATTRIBUTES));
            for line in of_attributes {
                let name = line.split('"').nth(1).unwrap_or_default();
                warnings.add(Warning::Attributes, name.as_bytes());
            }
            let wrong = lines.iter().filter(|line| !is_of_changes(line));
            let wrong: Vec<&str> = wrong.copied().collect();
            if wrong.is_empty() || status.success() {
                return Ok(());
            }
            let wrong = wrong.join("\n");
            return Err(failure::of_rsync(
                &self.connection.machine(),
                what,
                status,
                &wrong,
            ));
        }
        Err(failure::of_rsync(
            &self.connection.machine(),
            what,
            status,
            said,
        ))
    }
}

/// Whether a line is said because a file went away, or was changed.
fn is_of_changes(line: &str) -> bool {
    let has = |words: &[&str]| words.iter().any(|words| line.contains(words));
    has(&OF_CHANGES) || (has(&OF_SOURCE) && OF_KINDS.iter().any(|kind| line.ends_with(kind)))
}

/// Whether a line is an itemized change (rsync's manual, `--itemize-changes`) of a file or a link. It may be a word about what is
/// neither.
fn is_file(line: &str) -> bool {
    matches!(
        line.as_bytes(),
        [b'<' | b'>' | b'c' | b'h' | b'.', b'f' | b'L', ..]
    )
}

/// What both rsyncs say. Before the other machine's begins, what is not this one's is of the login.
fn of_both(said: &str) -> String {
    let (before, own) = login::parted(said);
    let Some(own) = own else {
        return before.to_owned();
    };
    let of_rsync = |line: &&str| OF_RSYNC.iter().any(|words| line.starts_with(words));
    let before = before.lines().filter(of_rsync);
    before.chain(own.lines()).collect::<Vec<_>>().join("\n")
}

/// Whether an itemized change (rsync's manual, `--itemize-changes`) is one of a file's content.
fn is_another_content(what: &str) -> bool {
    let mut letters = what.chars();
    matches!(letters.next(), Some('<' | '>'))
        && letters.next() == Some('f')
        && matches!(letters.next(), Some('c' | '+'))
}

/// A name that rsync has printed: what is not printable stands there as `\#` and three octal digits.
fn unescaped(text: &str) -> Vec<u8> {
    let mut name = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        let digits = rest.strip_prefix(b"\\#").and_then(|rest| rest.get(..3));
        let byte = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        if let Some(byte) = byte {
            name.push(byte);
            rest = &rest[5..];
        } else {
            name.push(*first);
            rest = others;
        }
    }
    name
}

/// An rsync that runs. Nobody waits for it any more: it is ended, and has put away what it had begun before anything else is done to
/// the tree that it writes to.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let Some(pid) = self.0.id().and_then(|pid| i32::try_from(pid).ok()) else {
            return;
        };
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        for _ in 0..PATIENT {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(PATIENCE);
        }
        let _ = self.0.start_kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_rsync_prints_it() {
        for (printed, name) in [
            ("a b", &b"a b"[..]),
            ("a\\#012b", b"a\nb"),
            ("\\#377", b"\xff"),
            ("a\\#134#012", b"a\\#012"),
            ("a\\#12", b"a\\#12"),
            ("\\#", b"\\#"),
        ] {
            assert_eq!(unescaped(printed), name, "{printed}");
        }
    }

    #[test]
    fn what_a_login_says_is_no_word_of_rsync_s() {
        let login =
            "rsync: not found\nrsync: [sender] own\nrsync: link_stat own\nenv: Permission denied";
        let said = format!("{login}\nenvsyncd begins here\nsh: more\nrsync error: last\n");
        let expected = "rsync: [sender] own\nrsync: link_stat own\nsh: more\nrsync error: last";
        assert_eq!(of_both(&said), expected);
        assert_eq!(of_both(login), login);
    }

    #[test]
    fn what_has_become_something_else_is_a_change_and_what_cannot_be_written_is_none() {
        for line in [
            "rsync: [sender] link_stat \"/s/d/x\" failed: Not a directory (20)",
            "rsync: send_files failed to open \"/s/x\": No such device or address (6)",
            "could not make way for new symlink: d",
            "cannot delete non-empty directory: d",
            "file has vanished: \"/s/x\"",
        ] {
            assert!(is_of_changes(line), "{line}");
        }
        for line in [
            "rsync: [receiver] mkstemp \"/t/d/.x\" failed: Not a directory (20)",
            "rsync: [sender] change_dir \"/s\" failed: No such file or directory (2)",
            "rsync: [sender] send_files failed to open \"/s/x\": Permission denied (13)",
        ] {
            assert!(!is_of_changes(line), "{line}");
        }
        for (line, is) in [
            (">f+++++++++ 45 2", true),
            ("<f..t...... 45 2", true),
            ("cL+++++++++ 0 2", true),
            ("cd+++++++++ 0 4096", false),
            ("skipping directory d", false),
            ("skipping non-regular file \"c\"", false),
        ] {
            assert_eq!(is_file(line), is, "{line}");
        }
    }

    #[test]
    fn another_content_is_told_from_another_time() {
        assert!(is_another_content(">fc.t......") && is_another_content("<f+++++++++"));
        for other in [
            ".f..t......",
            ">f..t......",
            "cL+++++++++",
            "cd+++++++++",
            "",
        ] {
            assert!(!is_another_content(other), "{other}");
        }
    }
}
