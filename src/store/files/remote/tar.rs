//! Calls of the far GNU tar: the files of a list come as one stream, which costs half of what rsync takes. It is read by what reads
//! the streams of snapshots: a name that was not asked for is not written, and none through a link.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read as _;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, OFlags, fcntl_getfl, fcntl_setfl, unlinkat};
use rustix::io::Errno;
use tokio::io::{AsyncRead, BufReader};
use tokio::process::ChildStdout;
use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, feed, start};
use super::failure;
use super::login;
use super::names::Names;
use crate::error::{Error, Result, io};
use crate::process::stderr::Lines;
use crate::store::files::connection::blocking::{blocking, stopped};
use crate::store::files::connection::directory::Directory;
use crate::store::files::connection::inside::Inside;
use crate::store::files::connection::told::At as _;
use crate::store::files::packed::parse::Parser;
use crate::store::files::packed::pax::Dialect;
use crate::store::files::packed::unpack::{Fate, Means, Unpacker};
use crate::store::files::rows::listing::Entry;
use crate::store::files::rows::tree::{Fetching, Told};
use crate::store::files::rows::warnings::{Warning, Warnings};

/// How tar is called: a machine that has them all, and has nothing to say to them, has a GNU tar of 1.29 or newer. ACLs are among the
/// attributes, as the kernel has them.
pub(super) const OPTIONS: &str = "--create --file=- --format=posix --no-recursion --null --verbatim-files-from --files-from=- \
     --numeric-owner --hard-dereference --xattrs --pax-option=delete=atime,delete=ctime --blocking-factor=128";
/// Its arguments: the tree, and the options.
const SCRIPT: &str = r#"LC_ALL=C; export LC_ALL; unset TAR_OPTIONS; cd -P -- "$1" && exec tar $2"#;

/// What it is that fails, for an error.
const WHAT: &str = "copying files";
/// So much of a stream is read at a time.
const PIECE: usize = 256 * 1024;
/// So many lines of what is wrong are kept.
const LINES: usize = 20;

/// A tree there, of which a tar makes streams.
pub(super) struct Tar<'a> {
    pub(super) connection: &'a Connection,
    /// The path of the tree.
    pub(super) there: &'a [u8],
    pub(super) cancel: &'a CancellationToken,
}

/// What became of a stream.
struct Unpacked {
    /// How many files have arrived, or why that is not known.
    files: Result<u64>,
    /// Whether it was read to its end, wherever that was.
    is_read: bool,
}

/// What the far tar had to say.
#[derive(Default)]
struct Said<'a> {
    /// Files that were written while they were read.
    changed: HashSet<&'a [u8]>,
    /// What else is wrong.
    wrong: Vec<String>,
    /// Whether it has named a file that was gone, or has become none.
    has_lost: bool,
}

impl Tar<'_> {
    /// Fetches the files of a list; returns how many of them are here. What was written while it was read is read once more.
    pub(super) async fn fetch(&self, names: &Names, fetching: &Fetching) -> Result<u64> {
        let (mut files, changed) = self.stream(names, fetching, &fetching.told).await?;
        if changed.count == 0 {
            return Ok(files);
        }
        files -= self.remove(&changed, fetching).await?;
        let quiet: Arc<Told> = Arc::new(|_: &[u8], _, _| {});
        let (again, changed) = self.stream(&changed, fetching, &quiet).await?;
        for name in changed.iter() {
            fetching.warnings.add(Warning::Changed, name);
        }
        Ok(files + again)
    }

    /// Fetches the files of a list once. Returns how many have come, and the names of those that were written meanwhile.
    async fn stream(
        &self,
        names: &Names,
        fetching: &Fetching,
        told: &Arc<Told>,
    ) -> Result<(u64, Names)> {
        let arguments = [self.there, OPTIONS.as_bytes()];
        let mut command = self.connection.command(SCRIPT, &arguments);
        let (mut child, stdin, stdout, stderr) = start(&mut command, "ssh")?;
        let from = file_of(stdout)?;
        let unpacking = Unpacking {
            wanted: names.entries(),
            into: Arc::clone(&fetching.into),
            keeps_owners: fetching.keeps_owners,
            warnings: Arc::clone(&fetching.warnings),
            told: Arc::clone(told),
            busy: Arc::clone(&fetching.busy),
        };
        let unpacked = blocking(self.cancel, move |stop| Ok(unpacking.of(from, stop)));
        let unpacked = async {
            let unpacked = unpacked.await?;
            if !unpacked.is_read {
                let _ = child.start_kill();
            }
            Ok::<_, Error>(unpacked)
        };
        let ((), said, unpacked) = tokio::join!(
            feed(stdin, names.text()),
            read(stderr, names, &fetching.warnings),
            unpacked
        );
        let (said, unpacked) = (said?, unpacked?);
        let status = child.wait().await.map_err(io("cannot wait for ssh"))?;
        let files = self.outcome(status, &said, unpacked)?;
        let mut changed = Names::new(false);
        for name in names.iter().filter(|name| said.changed.contains(name)) {
            changed.add(name, 0);
        }
        Ok((files, changed))
    }

    /// Whether all that could be done was done.
    fn outcome(&self, status: ExitStatus, said: &Said<'_>, unpacked: Unpacked) -> Result<u64> {
        // Whoever reads no more has failed, and tar because of that.
        if unpacked.files.is_ok() || unpacked.is_read {
            let is_known = match status.code() {
                Some(0) => true,
                Some(1 | 2) => said.wrong.is_empty() && (said.has_lost || !said.changed.is_empty()),
                _ => false,
            };
            if !is_known {
                let wrong = said.wrong.join("\n");
                let machine = self.connection.machine();
                return Err(failure::of_tar(&machine, WHAT, status, &wrong));
            }
        }
        let within = format!("{WHAT} from {}", self.connection.machine());
        unpacked.files.map_err(|error| error.within(within))
    }

    /// Removes what is to be fetched once more; returns how many files have gone.
    async fn remove(&self, names: &Names, fetching: &Fetching) -> Result<u64> {
        let names: Vec<Vec<u8>> = names.iter().map(<[u8]>::to_vec).collect();
        let (into, busy) = (Arc::clone(&fetching.into), Arc::clone(&fetching.busy));
        blocking(self.cancel, move |_| {
            let _until_done = busy;
            let mut inside = Inside::new(into);
            let mut gone = 0;
            for path in &names {
                let (above, name) = inside.at(path).at("cannot open the directory of", path)?;
                match unlinkat(above, &name, AtFlags::empty()) {
                    Err(Errno::NOENT) => {}
                    removed => {
                        removed.at("cannot remove", path)?;
                        gone += 1;
                    }
                }
            }
            Ok(gone)
        })
        .await
    }
}

/// A stream that is written into a tree.
struct Unpacking {
    wanted: Vec<Entry>,
    into: Arc<Directory>,
    keeps_owners: bool,
    warnings: Arc<Warnings>,
    told: Arc<Told>,
    busy: Arc<OwnedMutexGuard<()>>,
}

impl Unpacking {
    fn of(self, from: File, stop: &CancellationToken) -> Unpacked {
        let _until_done = &self.busy;
        let warnings = &*self.warnings;
        let fate = |fate: Fate| {
            if let Fate::Missing(entry) | Fate::Other(entry) = fate {
                warnings.add(Warning::Vanished, &entry.path);
            }
            Ok(())
        };
        // To tell of each file costs more than to write it: it is done for each piece of the stream.
        let first = self.wanted.first().map(|entry| entry.path.clone());
        let (files, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
        let count = |_: &[u8], more_files, more_bytes| {
            files.fetch_add(more_files, Ordering::Relaxed);
            bytes.fetch_add(more_bytes, Ordering::Relaxed);
        };
        let tell = || {
            let counted = [&files, &bytes].map(|all| all.swap(0, Ordering::Relaxed));
            (self.told)(first.as_deref().unwrap_or_default(), counted[0], counted[1]);
        };
        let means = Means {
            warnings,
            told: &count,
            fate: &fate,
            hashes: false,
            stop,
        };
        let unpacker = Unpacker::new(self.into, self.wanted, self.keeps_owners, means);
        let mut is_read = false;
        let unpacked = unpack(unpacker, from, (stop, &tell), &mut is_read);
        Unpacked {
            files: unpacked,
            is_read,
        }
    }
}

fn unpack(
    mut unpacker: Unpacker<'_>,
    mut from: File,
    (stop, tell): (&CancellationToken, &dyn Fn()),
    is_read: &mut bool,
) -> Result<u64> {
    let mut parser = Parser::new(Dialect::Gnu);
    let mut piece = vec![0; PIECE];
    loop {
        stopped(stop)?;
        let length = match from.read(&mut piece) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            read => read.map_err(io("cannot read what ssh says"))?,
        };
        if length == 0 {
            *is_read = true;
            parser.end()?;
            return unpacker.finish();
        }
        parser.feed(&piece[..length], &mut |event| unpacker.take(event))?;
        tell();
    }
}

/// A stream that a thread waits for.
fn file_of(stdout: ChildStdout) -> Result<File> {
    let failed = || io("cannot read what ssh says");
    let descriptor = stdout.into_owned_fd().map_err(failed())?;
    let flags = fcntl_getfl(&descriptor).map_err(|error| failed()(error.into()))?;
    let waits = fcntl_setfl(&descriptor, flags - OFlags::NONBLOCK);
    waits.map_err(|error| failed()(error.into()))?;
    Ok(File::from(descriptor))
}

/// Reads what tar says to its end.
async fn read<'a>(
    stderr: impl AsyncRead + Unpin,
    names: &'a Names,
    warnings: &Warnings,
) -> Result<Said<'a>> {
    let mut known: Option<HashSet<&[u8]>> = None;
    let mut lines = Lines::of(BufReader::new(stderr));
    let broken = || io("cannot read what tar says");
    let mut said = Said {
        wrong: login::passed_over(&mut lines).await.map_err(broken())?,
        ..Said::default()
    };
    while let Some(line) = lines.next().await.map_err(broken())? {
        let known = known.get_or_insert_with(|| names.iter().collect());
        match Word::of(&line) {
            Word::None => {}
            Word::Lost => said.has_lost = true,
            Word::Changed(name) if known.contains(&*name) => {
                said.changed.extend(known.get(&*name).copied());
            }
            Word::Attributes(name) if known.contains(&*name) => {
                warnings.add(Warning::Attributes, &name);
            }
            _ if said.wrong.len() < LINES => said.wrong.push(line),
            _ => {}
        }
    }
    Ok(said)
}

/// What a line means.
#[derive(Debug, PartialEq, Eq)]
enum Word {
    /// Nothing.
    None,
    /// A file was written while it was read: what has come may be half old and half new, or has zeros at its end.
    Changed(Vec<u8>),
    /// A file was gone, or is none any more.
    Lost,
    /// A file's attributes could not be read.
    Attributes(Vec<u8>),
    /// Something else.
    Wrong,
}

impl Word {
    fn of(line: &str) -> Self {
        // It says its own name as it was called: it may be a path.
        let said = line
            .split_once(": ")
            .filter(|(own, _)| own.ends_with("tar"));
        let Some((_, rest)) = said else {
            return if line.trim().is_empty() {
                Self::None
            } else {
                Self::Wrong
            };
        };
        let is_end = |line: &str| {
            line.ends_with(" from previous errors") || line.ends_with(" due to previous errors")
        };
        let Some((name, what)) = named(rest) else {
            return if is_end(rest) {
                Self::None
            } else {
                Self::Wrong
            };
        };
        let is_gone = |what: &str| {
            let ends = [": No such file or directory", ": Not a directory"];
            what.starts_with("Cannot ") && ends.iter().any(|end| what.ends_with(end))
        };
        match what {
            "file changed as we read it" => Self::Changed(name),
            what if what.starts_with("File shrank by ") => Self::Changed(name),
            "File removed before we read it"
            | "socket ignored"
            | "door ignored"
            | "Unknown file type; file ignored" => Self::Lost,
            what if is_gone(what) => Self::Lost,
            what if what.starts_with("Warning: Cannot ") && what.contains("xattr") => {
                Self::Attributes(name)
            }
            _ => Self::Wrong,
        }
    }
}

/// A name as tar prints it, and what it says of it. In the name, a backslash stands before colons and backslashes, and what is not
/// printable is as in C.
fn named(text: &str) -> Option<(Vec<u8>, &str)> {
    let mut name = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    loop {
        let (first, others) = rest.split_first()?;
        rest = others;
        match first {
            b':' => {
                let what = text[text.len() - rest.len()..].strip_prefix(' ')?;
                let name = name.strip_prefix(b"./")?.to_vec();
                return Some((name, what));
            }
            b'\\' => name.push(escaped(&mut rest)?),
            byte => name.push(*byte),
        }
    }
}

/// What stands behind a backslash.
fn escaped(rest: &mut &[u8]) -> Option<u8> {
    let octal = rest
        .get(..3)
        .and_then(|digits| std::str::from_utf8(digits).ok());
    if let Some(byte) = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
        *rest = &rest[3..];
        return Some(byte);
    }
    let (first, others) = rest.split_first()?;
    *rest = others;
    Some(match first {
        b'a' => 7,
        b'b' => 8,
        b't' => b'\t',
        b'n' => b'\n',
        b'v' => 11,
        b'f' => 12,
        b'r' => b'\r',
        byte => *byte,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tar_says_is_known_by_its_words_and_its_names_are_read() {
        for (line, word) in [
            (
                "tar: ./a: file changed as we read it",
                Word::Changed(b"a".to_vec()),
            ),
            (
                "tar: ./a b\\: c/x: File shrank by 5 bytes; padding with zeros",
                Word::Changed(b"a b: c/x".to_vec()),
            ),
            (
                "tar: ./\\377\\n\\t\\\\\\:: File shrank by 1 byte; padding with zeros",
                Word::Changed(b"\xff\n\t\\:".to_vec()),
            ),
            ("tar: ./a: File removed before we read it", Word::Lost),
            (
                "tar: ./a: Cannot stat: No such file or directory",
                Word::Lost,
            ),
            ("tar: ./a: Cannot stat: Not a directory", Word::Lost),
            (
                "tar: ./a: Warning: Cannot llistxattrat: Input/output error",
                Word::Attributes(b"a".to_vec()),
            ),
            ("tar: ./a: Cannot open: Permission denied", Word::Wrong),
            (
                "tar: ./a: Read error at byte 0, while reading 5 bytes: Input/output error",
                Word::Wrong,
            ),
            (
                "/usr/bin/tar: ./a: Cannot open: No such file or directory",
                Word::Lost,
            ),
            (
                "tar: Exiting with failure status due to previous errors",
                Word::None,
            ),
            ("tar: Error is not recoverable: exiting now", Word::Wrong),
            ("sh: 1: cd: can't cd to /x", Word::Wrong),
            ("tar: ./a\\", Word::Wrong),
            ("", Word::None),
        ] {
            assert_eq!(Word::of(line), word, "{line}");
        }
    }

    #[test]
    fn what_tar_says_of_a_name_that_was_not_asked_for_is_wrong() {
        let mut names = Names::new(false);
        names.add(b"a", 0);
        let text = "no such shim: Permission denied\n\nenvsyncd begins here\n\
            tar: ./a: file changed as we read it\ntar: ./b: file changed as we read it\n";
        let warnings = Warnings::default();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let said = runtime
            .block_on(read(text.as_bytes(), &names, &warnings))
            .unwrap();
        assert!(said.changed.contains(&b"a"[..]) && said.changed.len() == 1);
        assert_eq!(said.wrong.len(), 1);
    }
}
