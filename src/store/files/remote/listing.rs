//! The list of a far tree, as GNU find prints it: each file in fields with a NUL behind each, as no name has one in it.

use tokio::io::AsyncReadExt;

use super::connection::{Connection, start};
use super::facts::id;
use super::failure::{self, first_lines};
use super::login;
use super::shell::{Ended, Shell};
use crate::error::{Error, Kind, Result, io};
use crate::store::files::connection::inside::is_path;
use crate::store::files::connection::stat::{FileKind, Moment, Stat};
use crate::store::files::connection::told::told;

/// Its argument is the tree. What find says of files that vanished is no failure: they are told apart by their words.
const SCRIPT: &str = r#"LC_ALL=C; export LC_ALL; cd -- "$1" || exit 9
exec find . -printf '%y\0%m\0%U\0%G\0%s\0%b\0%T@\0%C@\0%D\0%i\0%l\0%P\0'"#;

/// Fields of a file.
const FIELDS: usize = 12;
/// Bytes that are read of it at a time.
const PIECE: usize = 128 * 1024;
/// No record is longer: a path and a link have 4,096 bytes at the most, and find walks deeper than that.
const LONGEST: usize = 4 << 20;

/// A file of a list: its path, which is empty for the tree itself, what is known of it, and where it leads if it is a link.
pub(super) struct Listed<'a> {
    pub(super) path: &'a [u8],
    pub(super) stat: Stat,
    pub(super) link: Option<&'a [u8]>,
}

/// Lists a tree, whose path is without links; `take` is shown each file, in find's own order. What may not be read is an error, unless
/// `is_left_out` says that nobody wants it. Returns files that vanished meanwhile, as lines.
pub(super) async fn list(
    connection: &Connection,
    path: &[u8],
    is_left_out: &(dyn Fn(&[u8]) -> bool + Sync),
    mut take: impl FnMut(&Listed<'_>) -> Result<()> + Send,
) -> Result<Vec<String>> {
    let machine = connection.machine();
    let what = format!("listing {}", told(path));
    let mut reader = Reader::default();
    let (read, Ended { status, said }) = match connection.shell() {
        Some(mut shell) => match by_shell(&mut shell, path, &mut reader, &mut take).await {
            Ok(read) => read,
            Err(_) => return Err(connection.shell_is_gone(&what).await),
        },
        None => by_itself(connection, path, &mut reader, &mut take).await?,
    };
    // What the program says of its failure is worth more than that its list was cut off.
    if let Err(error) = read {
        if error.kind() != Kind::Connection {
            return Err(error);
        }
        return Err(failure::of_command(&machine, &what, status, &said));
    }
    let (gone, mut failed): (Vec<&str>, Vec<&str>) =
        said.lines().partition(|line| has_vanished(line));
    let all = failed.len() + gone.len();
    failed.retain(|line| !denied(line).is_some_and(|path| is_left_out(path.as_bytes())));
    if status.success() || (status.code() == Some(1) && failed.is_empty() && all > 0) {
        return Ok(gone.into_iter().map(str::to_owned).collect());
    }
    if status.code() == Some(1) {
        let what = format!("cannot list all of {} on {machine}", told(path));
        let why = first_lines(&failed.join("\n"));
        return Err(Error::new(Kind::Permission, format!("{what}: {why}"))
            .hint("who logs in has to be able to read all of it; leave out what is not, or log in as somebody else"));
    }
    Err(failure::of_command(&machine, &what, status, &said))
}

/// Has the shell there print the list. Inside, whether it was read; an error: the shell is gone.
async fn by_shell(
    shell: &mut Shell,
    path: &[u8],
    reader: &mut Reader,
    take: &mut impl FnMut(&Listed<'_>) -> Result<()>,
) -> std::io::Result<(Result<()>, Ended)> {
    shell.begin(SCRIPT, &[path]).await?;
    loop {
        let ended = shell.read(&mut reader.held).await?;
        if let Err(error) = reader.take(take) {
            return Ok((Err(error), Ended::unknown()));
        }
        if let Some(ended) = ended {
            return Ok((reader.end(), ended));
        }
    }
}

/// Has the list printed in a session of its own.
async fn by_itself(
    connection: &Connection,
    path: &[u8],
    reader: &mut Reader,
    take: &mut impl FnMut(&Listed<'_>) -> Result<()>,
) -> Result<(Result<()>, Ended)> {
    let mut command = connection.command(SCRIPT, &[path]);
    let (mut child, stdin, mut stdout, said) = start(&mut command, "ssh")?;
    drop(stdin);
    // Whoever reads no more closes it, and find ends.
    let reading = async move {
        loop {
            reader.held.reserve(PIECE);
            let read = stdout.read_buf(&mut reader.held).await;
            if read.map_err(io("cannot read what ssh says"))? == 0 {
                return reader.end();
            }
            reader.take(take)?;
        }
    };
    let (read, said) = tokio::join!(reading, login::said(said));
    if read
        .as_ref()
        .is_err_and(|error| error.kind() != Kind::Connection)
    {
        return Ok((read, Ended::unknown()));
    }
    let status = child.wait().await.map_err(io("cannot wait for ssh"))?;
    Ok((read, Ended { status, said }))
}

/// Whether a line says that something was there before, or was a directory.
fn has_vanished(line: &str) -> bool {
    let reasons = [
        ": No such file or directory",
        ": Not a directory",
        ": Too many levels of symbolic links",
    ];
    reasons.iter().any(|reason| line.ends_with(reason))
}

/// The directory that find says it may not read; of one with strange letters in its name it says more than that.
fn denied(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("find: './")?;
    rest.strip_suffix("': Permission denied")
}

/// What has come of a list and has not been shown yet.
#[derive(Default)]
pub(super) struct Reader {
    held: Vec<u8>,
}

impl Reader {
    /// Adds what has come, and shows all files that are here whole.
    #[cfg(test)]
    pub(super) fn give(
        &mut self,
        piece: &[u8],
        take: &mut impl FnMut(&Listed<'_>) -> Result<()>,
    ) -> Result<()> {
        self.held.extend_from_slice(piece);
        self.take(take)
    }

    /// Shows all files that are here whole.
    fn take(&mut self, take: &mut impl FnMut(&Listed<'_>) -> Result<()>) -> Result<()> {
        let mut begin = 0;
        loop {
            let mut ends = [0; FIELDS];
            let mut at = begin;
            let mut found = 0;
            while found < FIELDS {
                let Some(end) = memchr::memchr(0, &self.held[at..]) else {
                    break;
                };
                ends[found] = at + end;
                at += end + 1;
                found += 1;
            }
            if found < FIELDS {
                break;
            }
            let mut from = begin;
            let fields = ends.map(|end| {
                let field = &self.held[from..end];
                from = end + 1;
                field
            });
            take(&read(&fields).ok_or_else(strange)?)?;
            begin = at;
        }
        self.held.drain(..begin);
        if self.held.len() > LONGEST {
            return Err(strange());
        }
        Ok(())
    }

    /// All has come.
    fn end(&self) -> Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        Err(Error::new(Kind::Connection, "a list of files was cut off"))
    }
}

fn strange() -> Error {
    Error::new(
        Kind::Verify,
        "find on the other machine prints what is no list of files",
    )
    .hint("see that its find is GNU's")
}

fn read<'a>(fields: &[&'a [u8]; FIELDS]) -> Option<Listed<'a>> {
    let [
        kind,
        mode,
        user,
        group,
        size,
        blocks,
        modified,
        changed,
        device,
        inode,
        link,
        path,
    ] = fields;
    let kind = match *kind {
        b"d" => FileKind::Directory,
        b"f" => FileKind::Regular,
        b"l" => FileKind::Link,
        b"p" | b"s" | b"b" | b"c" | b"D" => FileKind::Special,
        _ => return None,
    };
    let owner = |field: &[u8]| number(field).and_then(|number| u32::try_from(number).ok());
    (path.is_empty() || is_path(path)).then_some(())?;
    Some(Listed {
        path,
        stat: Stat {
            kind,
            mode: digits(mode, 8).and_then(|mode| u32::try_from(mode).ok())? & 0o7777,
            owner: (owner(user)?, owner(group)?),
            size: number(size)?,
            stored: number(blocks)?.checked_mul(512)?,
            modified: moment(modified)?,
            changed: moment(changed)?,
            id: id(number(device)?, number(inode)?),
            is_mounted_on: false,
            is_fixed: false,
        },
        link: (kind == FileKind::Link).then_some(*link),
    })
}

/// A number, which is digits and nothing else.
fn number(field: &[u8]) -> Option<u64> {
    digits(field, 10)
}

/// The same to another base, which is no more than ten.
fn digits(field: &[u8], base: u8) -> Option<u64> {
    if field.is_empty() {
        return None;
    }
    field.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < base)?;
        number
            .checked_mul(u64::from(base))?
            .checked_add(u64::from(digit))
    })
}

/// `SECONDS.NANOSECONDS`: find prints the two as the system has them, seconds rounded down before 1970, too.
pub(super) fn moment(field: &[u8]) -> Option<Moment> {
    let dot = memchr::memchr(b'.', field).unwrap_or(field.len());
    let (seconds, rest) = (&field[..dot], field.get(dot + 1..).unwrap_or_default());
    let (is_before, seconds) = match seconds {
        [b'-', seconds @ ..] => (true, seconds),
        seconds => (false, seconds),
    };
    let seconds = i64::try_from(number(seconds)?).ok()?;
    if !rest.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut nanoseconds = 0;
    for at in 0..9 {
        nanoseconds = nanoseconds * 10 + rest.get(at).map_or(0, |digit| u32::from(digit - b'0'));
    }
    Some((if is_before { -seconds } else { seconds }, nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(path: &[u8], link: &[u8], kind: &str) -> Vec<u8> {
        let mut record = format!(
            "{kind}\x00644\x001\x002\x0010\x008\x001.5000000000\x00-2.5000000000\x0066\x007\x00"
        )
        .into_bytes();
        record.extend_from_slice(link);
        record.push(0);
        record.extend_from_slice(path);
        record.push(0);
        record
    }

    /// Path, link and what is known.
    type Shown = (Vec<u8>, Option<Vec<u8>>, Stat);

    fn shown(pieces: &[&[u8]]) -> Result<Vec<Shown>> {
        let mut reader = Reader::default();
        let mut found = Vec::new();
        for piece in pieces {
            reader.held.extend_from_slice(piece);
            reader.take(&mut |listed| {
                found.push((
                    listed.path.to_vec(),
                    listed.link.map(<[u8]>::to_vec),
                    listed.stat,
                ));
                Ok(())
            })?;
        }
        reader.end()?;
        Ok(found)
    }

    #[test]
    fn what_find_says_is_what_is_known_of_a_file() {
        let found = shown(&[&record(b"a\nb", b"", "f")]).unwrap();
        let stat = found[0].2;
        assert_eq!((stat.mode, stat.owner, stat.size), (0o644, (1, 2), 10));
        assert_eq!((stat.stored, stat.modified), (4096, (1, 500_000_000)));
        assert_eq!(stat.changed, (-2, 500_000_000));
    }

    #[test]
    fn a_directory_that_may_not_be_read_is_known_by_what_find_says() {
        assert_eq!(denied("find: './a b/c': Permission denied"), Some("a b/c"));
        for other in [
            "find: './a': Input/output error",
            "find: '/a': Permission denied",
            "",
        ] {
            assert_eq!(denied(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_no_list_or_leads_out_of_the_tree_is_refused() {
        for path in [&b"../x"[..], b"a/../b", b"/etc/passwd", b"a//b", b"."] {
            assert!(shown(&[&record(path, b"", "f")]).is_err(), "{path:?}");
        }
        assert!(shown(&[&record(b"a", b"", "x")]).is_err());
        assert!(shown(&[b"d\x00755"]).is_err());
        let endless = vec![b'x'; LONGEST + 1];
        assert!(shown(&[&endless]).is_err());
    }

    proptest! {
        #[test]
        fn any_name_is_read_wherever_its_record_is_cut(
            names in proptest::collection::vec("[^/\0]{1,12}", 1..6), cut in 0usize..200
        ) {
            let names: Vec<String> = names.into_iter().filter(|n| n != "." && n != "..").collect();
            let whole: Vec<u8> = names.iter().flat_map(|n| record(n.as_bytes(), n.as_bytes(), "l")).collect();
            let (one, other) = whole.split_at(cut.min(whole.len()));
            let found = shown(&[one, other]).unwrap();
            let read: Vec<&[u8]> = found.iter().map(|(path, ..)| path.as_slice()).collect();
            let expected: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
            prop_assert_eq!(&read, &expected);
            prop_assert!(found.iter().all(|(path, link, _)| link.as_ref() == Some(path)));
        }
    }
}
