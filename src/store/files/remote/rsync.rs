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
const OF_CHANGES: [&str; 4] = [
    "file has vanished",
    "failed verification -- update discarded",
    "rsync error:",
    "rsync warning:",
];

/// What stands before each name: without it, rsync takes one that begins with `#` or `;` for a comment.
const HERE: &[u8] = b"./";

/// Names of files, as rsync is told them: with a NUL behind each.
pub(super) struct Names {
    text: Vec<u8>,
    /// How many there are.
    pub(super) count: usize,
    /// Bytes of the files.
    pub(super) bytes: u64,
    /// They have holes.
    pub(super) is_sparse: bool,
}

impl Names {
    /// None.
    pub(super) fn new(is_sparse: bool) -> Self {
        Self {
            text: Vec::new(),
            count: 0,
            bytes: 0,
            is_sparse,
        }
    }

    /// One more.
    pub(super) fn add(&mut self, path: &[u8], bytes: u64) {
        self.text.extend_from_slice(HERE);
        self.text.extend_from_slice(path);
        self.text.push(0);
        self.count += 1;
        self.bytes += bytes;
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let names = self.text.split(|byte| *byte == 0);
        names.take(self.count).map(|name| &name[HERE.len()..])
    }
}

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

/// What one rsync can and the other, too.
pub(super) async fn common(there: &Rsync) -> Result<Rsync> {
    let found = program::other("rsync")
        .arg("--version")
        .env("LC_ALL", "C")
        .output()
        .await;
    let found = found
        .ok()
        .and_then(|output| rsync(&String::from_utf8_lossy(&output.stdout)));
    let own = found.ok_or_else(|| {
        Error::new(Kind::Config, "there is no rsync on this machine")
            .hint("install rsync: files go over ssh by it")
    })?;
    Ok(Rsync {
        version: own.version.min(there.version),
        acls: own.acls && there.acls,
        attributes: own.attributes && there.attributes,
    })
}

impl Pair<'_> {
    /// Copies the files of a list. Whoever counts is told of files and bytes. Returns how many have gone over.
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
        }
        if let Some(rate) = self.throttle {
            // In KiB.
            arguments.push(format!("--bwlimit={}", (rate / 1024).max(1)).into());
        }
        arguments.extend(options.iter().map(OsString::from));
        let mut copied = 0;
        let mut line = |line: &str| {
            copied += 1;
            let is_directory = line.as_bytes().get(1) == Some(&b'd');
            let bytes = line.rsplit(' ').next().and_then(|bytes| bytes.parse().ok());
            if !is_directory {
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
        let mut path = b"--rsync-path=umask 077; cd ".to_vec();
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
        let feeding = feed(stdin, &names.text);
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
        self.outcome(what, status, &said, warnings)
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
            let wrong = lines.iter().filter(|line| !has(line, &OF_CHANGES));
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
