//! Which files and directories root trusts, by their owners and modes.
//!
//! What a file tells root to do is done with all of root's rights: so the file has to be root's own, and nobody else may
//! write it (logrotate and cron keep to the same). In a directory that belongs to somebody else, root has no more rights than
//! the owner: whatever lies in wait there, it reaches nothing that its owner could not reach.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::marker::PhantomData;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::unistd::{Gid, Group, Uid, User, geteuid, setfsgid, setfsuid};

use crate::error::{Error, Kind, Result};
use crate::limits;

/// The sticky bit: in such a directory nobody removes or renames the files of others.
const STICKY: u32 = 0o1000;

/// Why root does not go by a file or a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// `can be written by others`.
    pub what: String,
    /// `chmod o-w FILE`.
    pub advice: String,
}

impl Doubt {
    fn new(what: String, advice: String) -> Self {
        Self { what, advice }
    }

    /// As an error of this kind; `named` is the file or directory.
    pub fn into_error(self, kind: Kind, named: &str) -> Error {
        Error::new(
            kind,
            format!("{named} {}, and root does not go by it", self.what),
        )
        .hint(format!("run: {}", self.advice))
    }
}

/// Why a file must not tell this process what to do. Only root is asked to be careful: others can do no more harm with what
/// they read than whoever gave it to them could ask them to.
pub fn of_file(path: &Path, found: &Metadata) -> Option<Doubt> {
    if !geteuid().is_root() {
        return None;
    }
    doubt(path, found.uid(), found.gid(), found.mode())
}

/// The same of a directory whose files tell this process what to do.
pub fn of_directory(path: &Path) -> Option<Doubt> {
    let found = fs::metadata(path).ok()?;
    of_file(path, &found)
}

/// The same of a directory that a single file lies in. One with the sticky bit will do, and its owner may be anybody: the file
/// itself is looked at.
pub fn of_surroundings(path: &Path) -> Option<Doubt> {
    let found = fs::metadata(path).ok()?;
    if !geteuid().is_root() || found.mode() & STICKY != 0 {
        return None;
    }
    doubt(path, 0, found.gid(), found.mode())
}

fn doubt(path: &Path, uid: u32, gid: u32, mode: u32) -> Option<Doubt> {
    let path = path.display();
    if uid != 0 {
        let what = format!("belongs to {}, who can change it", user(uid));
        return Some(Doubt::new(what, format!("chown root {path}")));
    }
    writable(gid, mode).map(|(who, bits)| {
        Doubt::new(
            format!("can be written by {who}"),
            format!("chmod {bits} {path}"),
        )
    })
}

/// The others, besides the owner, who may write.
fn writable(gid: u32, mode: u32) -> Option<(String, &'static str)> {
    // root's own group is root.
    match (mode & 0o002 != 0, mode & 0o020 != 0 && gid != 0) {
        (true, true) => Some(("its group and by others".to_owned(), "go-w")),
        (true, false) => Some(("others".to_owned(), "o-w")),
        (false, true) => Some((format!("its group, {}", group(gid)), "g-w")),
        (false, false) => None,
    }
}

fn user(uid: u32) -> String {
    let known = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    known.map_or_else(|| format!("user {uid}"), |user| user.name)
}

fn group(gid: u32) -> String {
    let known = Group::from_gid(Gid::from_raw(gid)).ok().flatten();
    known.map_or_else(|| gid.to_string(), |group| group.name)
}

/// Reads a file that tells this process what to do, `limit` bytes at the most: what is looked at is what is read.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    if let Some(doubt) = of_file(path, &file.metadata()?) {
        return Err(refused(&doubt));
    }
    limits::read_all(file, limit)
}

/// A doubt as a reason why a file is not read.
pub fn refused(doubt: &Doubt) -> io::Error {
    io::Error::other(format!(
        "it {}, and root does not go by it; run: {}",
        doubt.what, doubt.advice
    ))
}

/// Opens a file to read it. A pipe would be waited for, and a device may have no end.
pub fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY)
        .open(path)?;
    regular(file)
}

/// The same of a file that we have written ourselves, and never as a link.
pub fn open_own(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY | nix::libc::O_NOFOLLOW)
        .open(path)?;
    regular(file)
}

fn regular(file: File) -> io::Result<File> {
    let found = file.metadata()?;
    if found.is_dir() {
        return Err(io::Error::other("it is a directory"));
    }
    if !found.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    Ok(file)
}

/// The rights that root uses in a directory of envsyncd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    /// `None`: its own.
    owner: Option<(u32, u32)>,
}

impl Rights {
    /// Those of whoever owns the directory, or one that it lies in, where this is root and that is somebody else: what the way
    /// there leads to is the owner's choice, too. One that others may write besides is refused by root: `named` is what it is
    /// called (`state_dir /var/lib/envsyncd`). One that is not there is going to be made.
    pub fn in_directory(directory: &Path, named: &str) -> Result<Self> {
        if !geteuid().is_root() {
            return Ok(Self { owner: None });
        }
        if let Ok(found) = fs::metadata(directory)
            && let Some((who, bits)) = writable(found.gid(), found.mode())
        {
            let doubt = Doubt::new(
                format!("can be written by {who}"),
                format!("chmod {bits} {}", directory.display()),
            );
            return Err(doubt.into_error(Kind::State, named));
        }
        Ok(Self::of_owner(directory))
    }

    /// The same, and whoever else may write there is left alone: what is written does not depend on what lies there.
    pub fn of_owner(directory: &Path) -> Self {
        if !geteuid().is_root() {
            return Self { owner: None };
        }
        // From the root down: who owns one may put anything in the place of those below it.
        let mut on_the_way: Vec<&Path> = directory.ancestors().collect();
        on_the_way.reverse();
        let owner = on_the_way
            .into_iter()
            .filter_map(|path| fs::metadata(path).ok())
            .find(|found| found.uid() != 0)
            .map(|found| (found.uid(), found.gid()));
        Self { owner }
    }

    /// This process's own.
    pub fn own() -> Self {
        Self { owner: None }
    }

    /// Whether they are those of somebody else.
    pub fn are_anothers(self) -> bool {
        self.owner.is_some()
    }

    /// Makes a directory and what it lies in, unless it is there.
    pub fn make_directory(self, directory: &Path, mode: u32) -> io::Result<()> {
        let _used = self.used();
        fs::DirBuilder::new()
            .recursive(true)
            .mode(mode)
            .create(directory)
    }

    /// Uses them on this thread, for all that has to do with files, until what is returned is dropped.
    pub fn used(self) -> InUse {
        let before = self.owner.map(|(uid, gid)| {
            // The group first: it takes root's rights.
            let group = setfsgid(Gid::from_raw(gid));
            (setfsuid(Uid::from_raw(uid)), group)
        });
        InUse {
            before,
            _of_this_thread: PhantomData,
        }
    }
}

/// Rights that are in use (setfsuid(2)); they belong to a thread.
#[derive(Debug)]
#[must_use]
pub struct InUse {
    before: Option<(Uid, Gid)>,
    _of_this_thread: PhantomData<*const ()>,
}

impl Drop for InUse {
    fn drop(&mut self) {
        if let Some((user, group)) = self.before {
            setfsuid(user);
            setfsgid(group);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    #[test]
    fn root_goes_by_what_only_root_can_write() {
        let found = |uid, gid, mode| {
            doubt(Path::new("/x"), uid, gid, mode).map(|doubt| (doubt.what, doubt.advice))
        };
        for (uid, gid, mode) in [(0, 0, 0o644), (0, 0, 0o664), (0, 50, 0o640), (0, 0, 0o755)] {
            assert_eq!(found(uid, gid, mode), None, "{uid} {gid} {mode:o}");
        }
        for (uid, gid, mode, what, advice) in [
            (65534, 0, 0o600, "belongs to ", "chown root /x"),
            (
                4_000_000,
                0,
                0o600,
                "belongs to user 4000000",
                "chown root /x",
            ),
            (0, 0, 0o666, "can be written by others", "chmod o-w /x"),
            (0, 50, 0o660, "can be written by its group", "chmod g-w /x"),
            (0, 50, 0o666, "by its group and by others", "chmod go-w /x"),
        ] {
            let (said, advised) = found(uid, gid, mode).unwrap();
            assert!(said.contains(what), "{said}");
            assert_eq!(advised, advice);
        }
    }

    #[test]
    fn what_is_no_file_is_not_waited_for_and_what_is_too_large_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        nix::unistd::mkfifo(&path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        fs::write(path("large"), vec![b'x'; 2049]).unwrap();
        symlink(path("large"), path("link")).unwrap();
        let why = |name: &str| read(&path(name), 2048).unwrap_err().to_string();
        assert_eq!(why("pipe"), "it is not a file");
        assert_eq!(why("large"), "it is larger than 2 KiB");
        assert_eq!(why("."), "it is a directory");
        assert_eq!(read(&path("link"), 2049).unwrap().len(), 2049);
        assert!(open_own(&path("link")).is_err());
        assert!(open_own(&path("large")).is_ok());
    }

    /// As root: what is somebody else's is written with no more than their rights, and never read as orders.
    #[test]
    fn in_somebody_elses_directory_root_can_do_what_they_can() {
        if !geteuid().is_root() {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(path("secret"), "root's").unwrap();
        fs::set_permissions(path("secret"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::create_dir(path("theirs")).unwrap();
        chown(path("theirs"), Some(4_000_001), Some(4_000_001)).unwrap();
        let rights = Rights::in_directory(&path("theirs"), "state_dir").unwrap();
        assert!(rights.are_anothers());
        symlink(path("secret"), path("theirs/link")).unwrap();
        {
            let _used = rights.used();
            assert!(fs::write(path("theirs/link"), "x").is_err());
            assert!(fs::read(path("theirs/link")).is_err());
            fs::write(path("theirs/file"), "x").unwrap();
            let _again = Rights::own().used();
        }
        assert_eq!(fs::read_to_string(path("theirs/link")).unwrap(), "root's");
        let made = fs::metadata(path("theirs/file")).unwrap();
        assert_eq!((made.uid(), made.gid()), (4_000_001, 4_000_001));
        // Nor does a way lead out of it.
        fs::create_dir(path("ours")).unwrap();
        symlink(path("ours"), path("theirs/out")).unwrap();
        for name in ["theirs/out", "theirs/none", "theirs/out/none"] {
            let rights = Rights::in_directory(&path(name), "status_dir").unwrap();
            assert!(rights.are_anothers(), "{name}");
        }
        let rights = Rights::of_owner(&path("theirs/out/none"));
        assert!(
            rights
                .make_directory(&path("theirs/out/none"), 0o755)
                .is_err()
        );
        Rights::of_owner(&path("theirs/new"))
            .make_directory(&path("theirs/new"), 0o755)
            .unwrap();
        assert_eq!(fs::metadata(path("theirs/new")).unwrap().uid(), 4_000_001);
        assert!(!Rights::of_owner(&path("ours")).are_anothers());
        let refused = read(&path("theirs/file"), 10).unwrap_err().to_string();
        assert!(refused.contains("chown root "), "{refused}");
        fs::set_permissions(path("theirs"), fs::Permissions::from_mode(0o775)).unwrap();
        let refused = Rights::in_directory(&path("theirs"), "state_dir x").unwrap_err();
        assert!(
            refused.to_string().contains("can be written by its group")
                && refused.to_string().contains("chmod g-w "),
            "{refused}"
        );
    }
}
