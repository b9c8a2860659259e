//! What a file has beside its content: owner, permissions, extended attributes (ACLs are some), and when it was written.

use std::ffi::CStr;
use std::os::fd::AsFd;

use rustix::buffer::spare_capacity;
use rustix::fs::{
    AtFlags, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags, chownat, fchmod, fchown,
    fgetxattr, flistxattr, fsetxattr, futimens, utimensat,
};
use rustix::io::Errno;

use crate::error::Result;
use crate::store::files::connection::directory::{Directory, stat_of};
use crate::store::files::connection::stat::Stat;
use crate::store::files::connection::told::At;
use crate::store::files::rows::warnings::{Warning, Warnings};

/// No list of attributes' names, and no value, is longer (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX`).
const LONGEST: usize = 64 * 1024;

/// An extended attribute's name and value.
pub(in crate::store::files) type Attribute = (Vec<u8>, Vec<u8>);

/// What a file or directory is to have.
pub(in crate::store::files) struct Metadata<'a> {
    /// The one that it is a copy of.
    pub(in crate::store::files) like: &'a Stat,
    /// Its permissions.
    pub(in crate::store::files) mode: u32,
    /// Whether it gets the owner, too.
    pub(in crate::store::files) keeps_owner: bool,
}

impl Metadata<'_> {
    /// Gives it to a file or directory that is open; extended attributes are those of `from`.
    pub(in crate::store::files) fn give(
        &self,
        to: impl AsFd,
        from: Option<impl AsFd>,
        path: &[u8],
        warnings: &Warnings,
    ) -> Result<()> {
        self.give_owner(&to, path)?;
        if let Some(from) = from {
            let attributes = attributes_of(from, self.keeps_owner);
            let attributes = attributes.at("cannot read the attributes of", path)?;
            set_attributes(&to, &attributes, self.keeps_owner, path, warnings);
        }
        futimens(&to, &self.times()).at("cannot set the time of", path)
    }

    /// Gives it to a file that is open, with these extended attributes.
    pub(in crate::store::files) fn give_with(
        &self,
        to: impl AsFd,
        attributes: &[Attribute],
        path: &[u8],
        warnings: &Warnings,
    ) -> Result<()> {
        self.give_owner(&to, path)?;
        set_attributes(&to, attributes, self.keeps_owner, path, warnings);
        futimens(&to, &self.times()).at("cannot set the time of", path)
    }

    fn give_owner(&self, to: impl AsFd, path: &[u8]) -> Result<()> {
        // What it has already is not set again: each time it is, the file system writes it down.
        let has = stat_of(&to).at("cannot look at", path)?;
        let is_given = self.keeps_owner && has.owner != self.like.owner;
        if is_given {
            let (user, group) = self.owner();
            fchown(&to, Some(user), Some(group)).at("cannot set the owner of", path)?;
        }
        // A new owner takes setuid away.
        if is_given || has.mode != self.mode {
            fchmod(&to, Mode::from_raw_mode(self.mode))
                .at("cannot set the permissions of", path)?;
        }
        Ok(())
    }

    /// Gives it to a link.
    pub(in crate::store::files) fn give_link(
        &self,
        directory: &Directory,
        name: &CStr,
        path: &[u8],
    ) -> Result<()> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        if self.keeps_owner {
            let (user, group) = self.owner();
            chownat(directory, name, Some(user), Some(group), flags)
                .at("cannot set the owner of", path)?;
        }
        utimensat(directory, name, &self.times(), flags).at("cannot set the time of", path)
    }

    fn owner(&self) -> (Uid, Gid) {
        let (user, group) = self.like.owner;
        (Uid::from_raw(user), Gid::from_raw(group))
    }

    fn times(&self) -> Timestamps {
        let (seconds, nanoseconds) = self.like.modified;
        Timestamps {
            last_access: Timespec {
                tv_sec: 0,
                tv_nsec: UTIME_OMIT,
            },
            last_modification: Timespec {
                tv_sec: seconds,
                tv_nsec: nanoseconds.into(),
            },
        }
    }
}

/// Sets extended attributes; that some cannot be set is told.
pub(in crate::store::files) fn set_attributes(
    to: impl AsFd,
    attributes: &[Attribute],
    is_root: bool,
    path: &[u8],
    warnings: &Warnings,
) {
    let kept = attributes.iter().filter(|(name, _)| is_kept(name, is_root));
    let mut all_set = true;
    for (name, value) in kept {
        all_set &= fsetxattr(&to, &**name, value, XattrFlags::empty()).is_ok();
    }
    if !all_set {
        warnings.add(Warning::Attributes, path);
    }
}

/// The extended attributes that a copy keeps.
pub(in crate::store::files) fn attributes_of(
    from: impl AsFd,
    is_root: bool,
) -> rustix::io::Result<Vec<Attribute>> {
    let mut short = [0; 256];
    let mut long = Vec::new();
    let names = match flistxattr(&from, &mut short[..]) {
        Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Ok(length) => &short[..length],
        Err(Errno::RANGE) => {
            long.reserve_exact(LONGEST);
            flistxattr(&from, spare_capacity(&mut long))?;
            &long[..]
        }
        Err(error) => return Err(error),
    };
    let mut all = Vec::new();
    for name in names
        .split(|byte| *byte == 0)
        .filter(|name| is_kept(name, is_root))
    {
        let mut value: Vec<u8> = Vec::with_capacity(LONGEST);
        match fgetxattr(&from, name, spare_capacity(&mut value)) {
            Ok(_) => {
                value.shrink_to_fit();
                all.push((name.to_vec(), value));
            }
            // It went meanwhile.
            Err(Errno::NODATA) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

/// Labels of this machine's own, and what a file system keeps for itself, stay behind.
fn is_kept(name: &[u8], is_root: bool) -> bool {
    name.starts_with(b"user.")
        || name.starts_with(b"system.posix_acl_")
        || (is_root && (name == b"security.capability" || name.starts_with(b"trusted.")))
}
