//! A file that arrives out of a bucket: its content is held against its checksums, and it gets what its object keeps of it.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{
    AtFlags, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, chownat, fchmod, fchown, futimens,
    symlinkat, unlinkat, utimensat,
};
use rustix::io::{Errno, write};

use super::about::Kept;
use super::object::{FILE_MODE, moment};
use super::sums::{Sent, Sum, Tag};
use crate::error::{Error, Kind, Result};
use crate::s3::get::Get;
use crate::store::files::connection::directory::Directory;
use crate::store::files::connection::stat::Moment;
use crate::store::files::connection::told::{At, told};
use crate::store::files::incoming::out::not_made;

/// Where a link leads fits into so many bytes.
const LONGEST_LINK: u64 = 4095;

/// Where a file goes.
#[derive(Clone)]
pub(in crate::store::files) struct Place {
    /// Its path in the tree.
    pub(in crate::store::files) path: Vec<u8>,
    /// The directory that it is in.
    pub(in crate::store::files) into: Arc<Directory>,
    /// Its name there.
    pub(in crate::store::files) name: CString,
    /// Whether owners are kept, and whose it is if its object does not say.
    pub(in crate::store::files) owner: Option<(u32, u32)>,
    pub(in crate::store::files) keeps_owner: bool,
}

/// What is computed of content, to be held against what the server says of it.
pub(in crate::store::files) struct Proof {
    tag: Option<(Sum, String)>,
    sent: Option<Sent>,
}

impl Proof {
    /// Of an object.
    pub(in crate::store::files) fn of(get: &Get) -> Self {
        let header = |name: &str| get.headers.get(name).and_then(|value| value.to_str().ok());
        // Where keys of the key service or of the customer encrypt it, its tag is no MD5.
        let is_sum = header("x-amz-server-side-encryption").is_none_or(|how| how == "AES256")
            && header("x-amz-server-side-encryption-customer-algorithm").is_none();
        let tag = get.tag.as_deref().filter(|_| is_sum);
        let tag = tag.filter(|tag| Tag::of(tag) == Tag::Whole);
        Self {
            tag: tag.map(|tag| (Sum::new(None), tag.to_ascii_lowercase())),
            sent: Sent::of(header),
        }
    }

    /// More content.
    pub(in crate::store::files) fn update(&mut self, bytes: &[u8]) {
        if let Some((sum, _)) = &mut self.tag {
            sum.update(bytes);
        }
        if let Some(sent) = &mut self.sent {
            sent.update(bytes);
        }
    }

    /// Whether it is the content that the server has.
    pub(in crate::store::files) fn holds(self) -> bool {
        self.tag.is_none_or(|(sum, tag)| sum.finish() == tag) && self.sent.is_none_or(Sent::holds)
    }
}

/// A file that is being written.
pub(in crate::store::files) struct Arrival {
    place: Place,
    kept: Kept,
    modified: Option<Moment>,
    proof: Proof,
    /// `None`: it is a link, and `text` is where it leads.
    file: Option<OwnedFd>,
    text: Vec<u8>,
}

impl Arrival {
    /// Begins it, of an object.
    pub(in crate::store::files) fn begin(place: Place, get: &Get) -> Result<Self> {
        let kept = Kept::of(&get.headers);
        if kept.is_link && get.size > LONGEST_LINK {
            let what = format!(
                "{} is said to be a link, and is too long for one",
                told(&place.path)
            );
            return Err(Error::new(Kind::Verify, what));
        }
        let tag = get.tag.as_deref().unwrap_or_default();
        let file = if kept.is_link {
            None
        } else {
            let made = place.into.make_file(&place.name, 0o600);
            Some(made.map_err(|error| not_made(error, &place.path))?)
        };
        Ok(Self {
            modified: get.modified.map(|time| moment(time.timestamp(), tag)),
            proof: Proof::of(get),
            kept,
            place,
            file,
            text: Vec::new(),
        })
    }

    /// Writes more of it.
    pub(in crate::store::files) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.proof.update(bytes);
        let Some(file) = &self.file else {
            self.text.extend_from_slice(bytes);
            return Ok(());
        };
        let mut rest = bytes;
        while !rest.is_empty() {
            match write(file, rest) {
                Ok(written) => rest = &rest[written..],
                Err(Errno::INTR) => {}
                Err(error) => return Err(error).at("cannot write", &self.place.path),
            }
        }
        Ok(())
    }

    /// Ends it; `false`: it has not the content that the server has, and is gone again.
    pub(in crate::store::files) fn finish(self) -> Result<bool> {
        if !self.proof.holds() {
            remove(self.file.is_some(), &self.place)?;
            return Ok(false);
        }
        let place = &self.place;
        let owner = self.kept.owner.or(place.owner);
        let owner = owner.filter(|_| place.keeps_owner);
        let times = times(self.modified);
        let Some(file) = &self.file else {
            let text = CString::new(self.text).map_err(|_| {
                let what = format!(
                    "{}: a link leads to what has a NUL in it",
                    told(&place.path)
                );
                Error::new(Kind::Verify, what)
            })?;
            let (into, name, flags) = (&place.into, &*place.name, AtFlags::SYMLINK_NOFOLLOW);
            symlinkat(&*text, into, name).map_err(|error| not_made(error, &place.path))?;
            if let Some((user, group)) = owner {
                let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
                chownat(into, name, Some(user), Some(group), flags)
                    .at("cannot set the owner of", &place.path)?;
            }
            utimensat(into, name, &times, flags).at("cannot set the time of", &place.path)?;
            return Ok(true);
        };
        if let Some((user, group)) = owner {
            let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
            fchown(file, Some(user), Some(group)).at("cannot set the owner of", &place.path)?;
        }
        // What lets it run as its owner goes only with the owner that its object says.
        let is_owned = place.keeps_owner && self.kept.owner.is_some();
        let mode = self.kept.mode.unwrap_or(FILE_MODE);
        let mode = if is_owned { mode } else { mode & 0o1777 };
        fchmod(file, Mode::from_raw_mode(mode)).at("cannot set the permissions of", &place.path)?;
        futimens(file.as_fd(), &times).at("cannot set the time of", &place.path)?;
        Ok(true)
    }

    /// Gives it up: nothing of it is left.
    pub(in crate::store::files) fn discard(self) -> Result<()> {
        remove(self.file.is_some(), &self.place)
    }
}

fn remove(is_there: bool, place: &Place) -> Result<()> {
    if is_there {
        unlinkat(&place.into, &*place.name, AtFlags::empty()).at("cannot remove", &place.path)?;
    }
    Ok(())
}

fn times(modified: Option<Moment>) -> Timestamps {
    let omitted = Timespec {
        tv_sec: 0,
        tv_nsec: UTIME_OMIT,
    };
    Timestamps {
        last_access: omitted,
        last_modification: modified.map_or(omitted, |(seconds, nanoseconds)| Timespec {
            tv_sec: seconds,
            tv_nsec: nanoseconds.into(),
        }),
    }
}
