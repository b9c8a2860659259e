//! What a file has beside its content: owner, permissions, extended attributes (ACLs are some), and when it was written.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd};

use rustix::buffer::spare_capacity;
use rustix::fs::{
    AtFlags, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags, chownat, fchmod, fchown,
    fgetxattr, flistxattr, fremovexattr, fsetxattr, futimens, llistxattr, utimensat,
};
use rustix::io::Errno;

use crate::error::Result;
use crate::store::files::connection::directory::{Directory, stat_of};
use crate::store::files::connection::stat::{Moment, Stat};
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
        let attributes = match from {
            Some(from) => {
                attributes_of(from, self.keeps_owner).at("cannot read the attributes of", path)?
            }
            None => Vec::new(),
        };
        self.give_with(to, &attributes, path, warnings)
    }

    /// Gives it to a directory that may have been there before. Of one that is somebody else's, all stays as it is, and that is
    /// told: who is neither root nor its owner may put files into it, and no more.
    pub(in crate::store::files) fn give_if_ours(
        &self,
        to: &Directory,
        path: &[u8],
        warnings: &Warnings,
    ) -> Result<()> {
        let user = nix::unistd::geteuid();
        let is_ours =
            user.is_root() || to.own_stat().at("cannot look at", path)?.owner.0 == user.as_raw();
        // Who is not root may have been given the right to it all the same.
        if !is_ours && let Err(Errno::PERM | Errno::ACCESS) = futimens(to, &self.times()) {
            warnings.add(Warning::NotOurs, path);
            return Ok(());
        }
        self.give(to, None::<&Directory>, path, warnings)
    }

    /// Gives it to a file that is open, with these extended attributes.
    pub(in crate::store::files) fn give_with(
        &self,
        to: impl AsFd,
        attributes: &[Attribute],
        path: &[u8],
        warnings: &Warnings,
    ) -> Result<()> {
        // What it has already is not set again: each time it is, the file system writes it down.
        let has = stat_of(&to).at("cannot look at", path)?;
        let is_given = self.keeps_owner && has.owner != self.like.owner;
        if is_given {
            let (user, group) = self.owner();
            fchown(&to, Some(user), Some(group)).at("cannot set the owner of", path)?;
        }
        // Before the permissions: who is not root may not set those of a file that they may not write.
        set_attributes(&to, attributes, self.keeps_owner, path, warnings);
        // A new owner takes setuid away, and an ACL has permissions of its own.
        if is_given || has.mode != self.mode || !attributes.is_empty() {
            self.give_mode(&to, path)?;
        }
        futimens(&to, &self.times()).at("cannot set the time of", path)
    }

    fn give_mode(&self, to: impl AsFd, path: &[u8]) -> Result<()> {
        match fchmod(&to, Mode::from_raw_mode(self.mode)) {
            // Of a file system without owners, which has no setuid either.
            Err(Errno::PERM) if !self.keeps_owner => Ok(()),
            set => set.at("cannot set the permissions of", path),
        }
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
        times(self.like.modified)
    }
}

/// A time of the last change; that of the last access stays.
pub(in crate::store::files) fn times((seconds, nanoseconds): Moment) -> Timestamps {
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

/// Makes a directory of ours what one is that was just made: it is nobody's but ours, and has no attributes.
pub(in crate::store::files) fn reset(directory: impl AsFd, path: &[u8]) -> Result<()> {
    let found = stat_of(&directory).at("cannot look at", path)?;
    let (user, group) = (
        nix::unistd::geteuid().as_raw(),
        nix::unistd::getegid().as_raw(),
    );
    if found.owner != (user, group) {
        let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
        fchown(&directory, Some(user), Some(group)).at("cannot set the owner of", path)?;
    }
    if found.mode != 0o700 {
        fchmod(&directory, Mode::RWXU).at("cannot set the permissions of", path)?;
    }
    without_attributes(directory, path)
}

/// Takes all attributes of a directory of ours away. What is made in one with an ACL for that would have it, too.
pub(in crate::store::files) fn without_attributes(directory: impl AsFd, path: &[u8]) -> Result<()> {
    let names = names_of_attributes(&directory, true).at("cannot read the attributes of", path)?;
    for name in names {
        match fremovexattr(&directory, &*name) {
            Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error).at("cannot remove the attributes of", path),
        }
    }
    Ok(())
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
    // An ACL may take away what others are set with.
    let is_acl = |name: &[u8]| name.starts_with(b"system.");
    let (last, first): (Vec<_>, Vec<_>) = kept.partition(|(name, _)| is_acl(name));
    let mut all_set = true;
    for (name, value) in first.into_iter().chain(last) {
        all_set &= fsetxattr(&to, &**name, value, XattrFlags::empty()).is_ok();
    }
    if !all_set {
        warnings.add(Warning::Attributes, path);
    }
}

/// Whether a name in a directory has extended attributes, but for this machine's own label; what cannot be looked at may have some.
pub(in crate::store::files) fn has_attributes(directory: &Directory, name: &CStr) -> bool {
    let mut path = format!("/proc/self/fd/{}/", directory.as_fd().as_raw_fd()).into_bytes();
    path.extend(name.to_bytes());
    let mut names = [0; 256];
    match llistxattr(path, &mut names[..]) {
        Ok(length) => {
            let names = names[..length].split(|byte| *byte == 0);
            let mut others = names.filter(|name| !matches!(*name, b"" | b"security.selinux"));
            others.next().is_some()
        }
        Err(error) => !matches!(error, Errno::NOENT | Errno::OPNOTSUPP),
    }
}

/// Whether what is made in a directory has an ACL from its beginning.
pub(in crate::store::files) fn has_default_acl(directory: impl AsFd) -> bool {
    let mut value = [0; 0];
    let found = fgetxattr(directory, "system.posix_acl_default", &mut value[..]);
    !matches!(found, Err(Errno::NODATA | Errno::OPNOTSUPP))
}

/// Takes the ACL of a file away that it has from its directory.
pub(in crate::store::files) fn without_acl(file: impl AsFd) -> rustix::io::Result<()> {
    match fremovexattr(file, "system.posix_acl_access") {
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
        removed => removed,
    }
}

/// The extended attributes that a copy keeps.
pub(in crate::store::files) fn attributes_of(
    from: impl AsFd,
    is_root: bool,
) -> rustix::io::Result<Vec<Attribute>> {
    let mut all = Vec::new();
    for name in names_of_attributes(&from, is_root)? {
        let mut value: Vec<u8> = Vec::with_capacity(LONGEST);
        match fgetxattr(&from, &*name, spare_capacity(&mut value)) {
            Ok(_) => {
                value.shrink_to_fit();
                all.push((name, value));
            }
            // It went meanwhile.
            Err(Errno::NODATA) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

/// The names of those.
fn names_of_attributes(from: impl AsFd, is_root: bool) -> rustix::io::Result<Vec<Vec<u8>>> {
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
    let names = names.split(|byte| *byte == 0);
    let kept = names.filter(|name| is_kept(name, is_root));
    Ok(kept.map(<[u8]>::to_vec).collect())
}

/// Labels of this machine's own, and what a file system keeps for itself, stay behind.
fn is_kept(name: &[u8], is_root: bool) -> bool {
    name.starts_with(b"user.")
        || name.starts_with(b"system.posix_acl_")
        || (is_root && (name == b"security.capability" || name.starts_with(b"trusted.")))
}
