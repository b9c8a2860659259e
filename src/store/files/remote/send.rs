//! Calls of the far GNU tar that unpacks: all files that a run brings there go as one stream, which costs half of what rsync takes. It
//! is written by what writes the streams of snapshots.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::ChildStdin;
use tokio::sync::Notify;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, start};
use super::failure;
use super::login;
use super::names::{LONGEST, Meant, too_long};
use crate::error::{Error, Kind, Result, io};
use crate::process::stderr::Lines;
use crate::store::files::connection::blocking::{blocking, stopped};
use crate::store::files::connection::directory::Directory;
use crate::store::files::connection::stat::{FileKind, Stat};
use crate::store::files::packed::entry::{Out, Piece, Reading};
use crate::store::files::rows::listing::Entry;
use crate::store::files::rows::warnings::{Warning, Warnings};
use crate::store::files::rows::work::Work;

/// How tar is called: a machine that has them all, and has nothing to say to them, has a GNU tar of 1.29 or newer that keeps
/// extended attributes. ACLs are among those, as the kernel has them.
pub(super) const OPTIONS: &str = "--extract --file=- --blocking-factor=128 --same-permissions --numeric-owner --xattrs --xattrs-include=* \
     --warning=no-timestamp";
/// Its arguments: the folder, which nobody else may work in meanwhile, the tree that is filled, and the options.
const SCRIPT: &str = r#"LC_ALL=C; export LC_ALL; unset TAR_OPTIONS; umask 077; set -f
exec 8<"$1" && flock -n 8 || { echo "$1: a run that was cut off still works there" >&2; exit 7; }
cd -P -- "$2" && exec tar $3"#;

/// What it is that fails, for an error.
const WHAT: &str = "copying files";
/// Pieces of the stream that wait to be sent.
const WAITING: usize = 4;
/// So many lines of what is wrong are kept.
const LINES: usize = 20;
/// What it says where a part of what it wrote found no more room, without the reason,
const SHORT: &str = ": Wrote only ";
/// which whoever tries to write more is told.
const MORE: &str = r#"LC_ALL=C; export LC_ALL; exec head -c 1048576 /dev/zero >"$1/more""#;
/// What tar says at its end, because of what it has said before, or because no more was sent.
const ENDS: [&str; 4] = [
    " from previous errors",
    " due to previous errors",
    "Unexpected EOF in archive",
    "Error is not recoverable: exiting now",
];

/// Is told of a path, and of files and bytes that were sent with it.
type Told<'a> = dyn Fn(&[u8], u64, u64) + Send + Sync + 'a;

/// A tree that a tar there fills.
pub(super) struct Sending<'a> {
    pub(super) connection: &'a Connection,
    /// The path of the folder that it is in,
    pub(super) folder: &'a [u8],
    /// and its own.
    pub(super) there: &'a [u8],
    /// The tree that files are read from.
    pub(super) source: &'a Arc<Directory>,
    pub(super) keeps_owners: bool,
    pub(super) warnings: &'a Arc<Warnings>,
    pub(super) cancel: &'a CancellationToken,
}

/// What the far tar had to say, and the script that starts it.
#[derive(Default)]
struct Said {
    wrong: Vec<String>,
    /// What it says at its end.
    ends: Vec<String>,
}

impl Said {
    /// All of it, what tells most first.
    fn told(self) -> String {
        let (own, others): (Vec<_>, Vec<_>) =
            (self.wrong.into_iter()).partition(|line| of_tar(line).is_some());
        [own, others, self.ends].concat().join("\n")
    }
}

impl Sending<'_> {
    /// Sends those entries of a run's work that are meant, and what the tree itself has, if `root` says so.
    pub(super) async fn send(
        &self,
        work: &Work,
        meant: Meant,
        root: Option<Stat>,
        told: &Told<'_>,
    ) -> Result<()> {
        let owners = if self.keeps_owners {
            "--same-owner"
        } else {
            "--no-same-owner"
        };
        let options = format!("{OPTIONS} {owners}");
        let arguments = [self.folder, self.there, options.as_bytes()];
        let mut command = self.connection.command(SCRIPT, &arguments);
        let (mut child, stdin, stdout, stderr) = start(&mut command, "ssh")?;
        drop(stdout);
        let (sender, pieces) = mpsc::channel(WAITING);
        let packing = Packing {
            work: work.clone(),
            meant,
            root,
            source: Arc::clone(self.source),
            keeps_owners: self.keeps_owners,
            warnings: Arc::clone(self.warnings),
        };
        let failed = Notify::new();
        let (packed, is_cut, said) = tokio::join!(
            blocking(self.cancel, move |stop| packing.send(sender, stop)),
            write(stdin, pieces, &failed, told),
            read(stderr, self.warnings, &failed)
        );
        // It has put away what it had begun by now.
        let status = child.wait().await.map_err(io("cannot wait for ssh"))?;
        let said = said?;
        if !is_cut {
            packed?;
        }
        // They are told when what has arrived is looked at.
        self.warnings.forget(Warning::Vanished);
        let machine = self.connection.machine();
        if !status.success() {
            if said.wrong.iter().any(|line| line.contains(SHORT)) {
                self.connection.run(WHAT, MORE, &[self.there]).await?;
            }
            return Err(failure::of_tar(&machine, WHAT, status, &said.told()));
        }
        if is_cut {
            let what = format!("{WHAT}: tar on {machine} has ended before all was sent");
            return Err(Error::new(Kind::Io, what));
        }
        Ok(())
    }
}

/// What is packed.
struct Packing {
    work: Work,
    meant: Meant,
    root: Option<Stat>,
    source: Arc<Directory>,
    keeps_owners: bool,
    warnings: Arc<Warnings>,
}

impl Packing {
    fn send(self, sender: Sender<Piece>, stop: &CancellationToken) -> Result<()> {
        let mut out = Out::to_tar(sender, self.keeps_owners);
        let mut reading = Reading::new(&self.source, &self.warnings, stop);
        if let Some(stat) = self.root {
            let root = Entry {
                path: Vec::new(),
                stat,
                link: None,
            };
            reading.directory(&root, &mut out)?;
        }
        let mut tasks = self.work.tasks()?;
        while let Some((entry, action)) = tasks.task()? {
            stopped(stop)?;
            if (self.meant)(entry, action) {
                if entry.path.len() > LONGEST {
                    return Err(too_long(&entry.path));
                }
                match entry.stat.kind {
                    FileKind::Directory => reading.directory(entry, &mut out)?,
                    _ => reading.file_or_link(entry, &mut out)?,
                }
            }
            tasks.advance()?;
        }
        out.end()
    }
}

/// Writes a stream until it ends, or it is of no use any more. Returns whether that was so.
async fn write(
    mut stdin: ChildStdin,
    mut pieces: Receiver<Piece>,
    failed: &Notify,
    told: &Told<'_>,
) -> bool {
    let writing = async {
        while let Some(piece) = pieces.recv().await {
            // Why it reads no more is told by its exit.
            if stdin.write_all(&piece.data).await.is_err() {
                return true;
            }
            told(&piece.path, piece.files, piece.bytes);
        }
        false
    };
    let is_cut = tokio::select! {
        is_cut = writing => is_cut,
        () = failed.notified() => true,
    };
    let _ = stdin.shutdown().await;
    is_cut
}

/// Reads what tar says to its end. Where all that follows would fail, too, `failed` is told.
async fn read(
    stderr: impl AsyncRead + Unpin,
    warnings: &Warnings,
    failed: &Notify,
) -> Result<Said> {
    let mut lines = Lines::of(BufReader::new(stderr));
    let broken = || io("cannot read what tar says");
    let mut said = Said {
        wrong: login::passed_over(&mut lines).await.map_err(broken())?,
        ..Said::default()
    };
    while let Some(line) = lines.next().await.map_err(broken())? {
        match word(&line) {
            Word::None => {}
            Word::End => said.ends.push(line),
            Word::Attributes(name) => warnings.add(Warning::Attributes, name.as_bytes()),
            Word::Wrong => {
                if failure::of_files(WHAT, &line).is_some() || line.contains(SHORT) {
                    failed.notify_one();
                }
                if said.wrong.len() < LINES {
                    said.wrong.push(line);
                }
            }
        }
    }
    Ok(said)
}

/// What a line means.
#[derive(Debug, PartialEq, Eq)]
enum Word<'a> {
    /// Nothing.
    None,
    /// That it ends, as one that was told why knows.
    End,
    /// Attributes of a file could not be set. Its name is as tar prints it.
    Attributes(&'a str),
    /// Something else.
    Wrong,
}

fn word(line: &str) -> Word<'_> {
    if line.trim().is_empty() {
        return Word::None;
    }
    if ENDS.iter().any(|end| line.ends_with(end)) {
        return Word::End;
    }
    match of_tar(line).and_then(|rest| rest.split_once(": Warning: Cannot ")) {
        Some((name, _)) => Word::Attributes(name),
        None => Word::Wrong,
    }
}

/// What tar says in a line, if it is tar that does. It says its own name as it was called: it may be a path.
fn of_tar(line: &str) -> Option<&str> {
    let said = line.split_once(": ");
    said.filter(|(own, _)| own.ends_with("tar"))
        .map(|(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tar_says_while_it_unpacks_is_known_by_its_words() {
        for (line, expected) in [
            (
                "tar: a\\nb: Warning: Cannot setxattrat: Operation not supported",
                Word::Attributes("a\\nb"),
            ),
            (
                "/bin/tar: d/a: Warning: Cannot acl_set_file_at: Operation not permitted",
                Word::Attributes("d/a"),
            ),
            ("tar: a: Cannot write: No space left on device", Word::Wrong),
            ("tar: a: Cannot open: Permission denied", Word::Wrong),
            ("tar: Unexpected EOF in archive", Word::End),
            ("tar: Error is not recoverable: exiting now", Word::End),
            (
                "tar: Exiting with failure status due to previous errors",
                Word::End,
            ),
            ("sh: 1: tar: not found", Word::Wrong),
            ("", Word::None),
        ] {
            assert_eq!(word(line), expected, "{line}");
        }
    }

    #[tokio::test]
    async fn a_line_after_which_nothing_succeeds_stops_what_is_sent() {
        for (line, is_told) in [
            ("tar: a: Cannot write: No space left on device\n", true),
            ("tar: a: Wrote only 36352 of 65536 bytes\n", true),
            ("bash: warning: setlocale: cannot change locale\n", false),
            (
                "tar: a: Warning: Cannot setxattrat: Operation not permitted\n",
                false,
            ),
        ] {
            let (failed, warnings) = (Notify::new(), Warnings::default());
            let said = format!("mktemp: Permission denied\n\nenvsyncd begins here\n{line}");
            read(said.as_bytes(), &warnings, &failed).await.unwrap();
            let notified = tokio::time::timeout(std::time::Duration::ZERO, failed.notified());
            assert_eq!(notified.await.is_ok(), is_told, "{line}");
        }
    }
}
