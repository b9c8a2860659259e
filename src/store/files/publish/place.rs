//! Where live is, whether it is there or not.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Access, AtFlags, accessat};
use rustix::io::Errno;

use crate::error::{Error, Kind, Result, io};
use crate::policy::Identity;
use crate::store::files::connection::directory::Directory;
use crate::store::files::connection::stat::{FileKind, Stat};
use crate::store::files::connection::told::At;
use crate::store::files::schema::filter::OWN_FOLDER;

/// What the folder beside live is called behind live's name; in it, that is its name.
const SUFFIX: &[u8] = OWN_FOLDER;
/// No name of a file is longer.
const LONGEST: usize = 255;

/// A place for a tree: a directory, and a name in it.
#[derive(Clone)]
pub(in crate::store::files) struct Place {
    /// The tree's path, without links.
    pub(in crate::store::files) path: PathBuf,
    /// The directory that it is in.
    pub(in crate::store::files) parent: Arc<Directory>,
    /// Its name there.
    pub(in crate::store::files) name: CString,
    /// What is put in place is renamed into the tree, file by file, and the tree itself is not: the folder is in it.
    pub(in crate::store::files) file_by_file: bool,
}

impl Place {
    /// The one at a path, which may be a link to a directory. That may be missing; the directory that it is in may not.
    pub(in crate::store::files) fn at(path: &Path, file_by_file: bool) -> Result<Self> {
        let real = match path.canonicalize() {
            Ok(real) => real,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
                    return Err(no_place(path));
                };
                if path.symlink_metadata().is_ok() {
                    let what =
                        format!("the target {} is a link that leads nowhere", path.display());
                    return Err(Error::new(Kind::Absent, what)
                        .hint("make the directory that it leads to, or remove the link"));
                }
                let above = above.canonicalize().map_err(|error| {
                    io(format!("the directory of the target {}", path.display()))(error)
                        .hint("make the directory that the target is to be in")
                })?;
                above.join(name)
            }
            Err(error) => return Err(io(format!("the target {}", path.display()))(error)),
        };
        let (Some(above), Some(name)) = (real.parent(), real.file_name()) else {
            return Err(no_place(path));
        };
        if name.len() + SUFFIX.len() > LONGEST {
            let what = format!("the name of the target {} is too long", path.display());
            let most = LONGEST - SUFFIX.len();
            return Err(Error::new(Kind::Config, what).hint(format!("{most} bytes fit")));
        }
        let parent = Directory::at(above).at("cannot open", above.as_os_str().as_bytes())?;
        Ok(Self {
            name: c_string(name.as_bytes())?,
            parent: Arc::new(parent),
            path: real,
            file_by_file,
        })
    }

    /// Where the folder is, and its name there.
    pub(in crate::store::files) fn folder(&self) -> Result<(Arc<Directory>, CString)> {
        if !self.file_by_file {
            let name = c_string(&[self.name.to_bytes(), SUFFIX].concat())?;
            return Ok((Arc::clone(&self.parent), name));
        }
        let Some((live, _)) = self.live()? else {
            let what = format!("the target {} does not exist", self.path.display());
            return Err(Error::new(Kind::Absent, what)
                .hint("make the directory: with publish = \"in_place\" files are put into one that is there"));
        };
        Ok((live, c_string(SUFFIX)?))
    }

    /// The folder's path.
    pub(in crate::store::files) fn folder_path(&self) -> PathBuf {
        let suffix = std::ffi::OsStr::from_bytes(SUFFIX);
        if self.file_by_file {
            return self.path.join(suffix);
        }
        let mut path = self.path.clone().into_os_string();
        path.push(suffix);
        PathBuf::from(path)
    }

    /// The same for people.
    pub(in crate::store::files) fn told_folder(&self) -> String {
        self.folder_path().display().to_string()
    }

    /// What is there, if anything is. What is no directory is an error.
    pub(in crate::store::files) fn live(&self) -> Result<Option<(Arc<Directory>, Stat)>> {
        let told = self.path.as_os_str().as_bytes();
        let directory = match self.parent.open(&self.name) {
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::NOTDIR | Errno::LOOP) => {
                let what = format!("the target {} is no directory", self.path.display());
                return Err(Error::new(Kind::Config, what));
            }
            opened => opened.at("cannot open", told)?,
        };
        let found = directory.own_stat().at("cannot look at", told)?;
        Ok(Some((Arc::new(directory), found)))
    }

    /// It, as policy knows it.
    pub(in crate::store::files) fn identity(&self) -> Result<Identity> {
        let told = self.path.as_os_str().as_bytes();
        let above = self.parent.own_stat().at("cannot look at", told)?;
        let found = self.parent.find(&self.name).at("cannot look at", told)?;
        Ok(identity(above.id, &self.name, found))
    }

    /// Refuses one that could not be exchanged.
    pub(in crate::store::files) fn check(&self, live: Option<&Stat>) -> Result<()> {
        let shown = self.path.display();
        let rights = Access::WRITE_OK | Access::EXEC_OK;
        if self.file_by_file {
            return accessat(&self.parent, &*self.name, rights, AtFlags::EACCESS).map_err(
                |error| {
                    Error::new(
                        Kind::Permission,
                        format!("cannot make and rename files in {shown}"),
                    )
                    .because(std::io::Error::from(error))
                    .hint("allow us to write to it")
                },
            );
        }
        if live.is_some_and(|live| live.is_mounted_on) {
            let what = format!("{shown} is a mount point, and cannot be renamed");
            return Err(Error::new(Kind::Config, what).hint(
                "name a directory in it as the target, or have files put in place one by one: publish = \"in_place\"",
            ));
        }
        accessat(&self.parent, c".", rights, AtFlags::EACCESS).map_err(|error| {
            let above = self.path.parent().unwrap_or(&self.path).display();
            let what = format!("cannot make and rename directories in {above}");
            Error::new(Kind::Permission, what)
                .because(std::io::Error::from(error))
                .hint("incoming is built beside live: allow us to write to the directory that it is in, or have files put in place one by one: publish = \"in_place\"")
        })
    }

    /// Devices and inodes of a directory and of all those above it.
    pub(in crate::store::files) fn chain(directory: &Directory) -> Result<Vec<(u64, u64)>> {
        let mut found = vec![directory.own_stat().at("cannot look at", b"")?.id];
        let mut above = directory
            .open(c"..")
            .at("cannot open the directory above", b"")?;
        loop {
            let id = above.own_stat().at("cannot look at", b"")?.id;
            if found.last() == Some(&id) {
                return Ok(found);
            }
            found.push(id);
            above = above
                .open(c"..")
                .at("cannot open the directory above", b"")?;
        }
    }
}

/// A thing with this name in this directory, as policy knows it.
pub(in crate::store::files) fn identity(
    above: (u64, u64),
    name: &CString,
    found: Option<Stat>,
) -> Identity {
    let thing = found.filter(|found| found.kind == FileKind::Directory);
    let name = crate::store::files::connection::told::told(name.to_bytes());
    Identity {
        thing: thing.map(|found| format!("files {}/{}", found.id.0, found.id.1)),
        place: format!("files {}/{}/{name}", above.0, above.1),
    }
}

fn no_place(path: &Path) -> Error {
    let what = format!("{} cannot be replaced", path.display());
    Error::new(Kind::Config, what).hint("name a directory in another one")
}

fn c_string(bytes: &[u8]) -> Result<CString> {
    CString::new(bytes).map_err(|_| Error::new(Kind::Config, "no name of a file has a NUL in it"))
}
