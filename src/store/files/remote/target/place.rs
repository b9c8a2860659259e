//! Where live is on the other machine, and the folder beside it.

use crate::error::{Error, Kind, Result};
use crate::store::files::connection::told::told;
use crate::store::files::publish::folder::read_mark;
use crate::store::files::remote::facts::{Beside, Facts};
use crate::store::files::remote::url::SshUrl;

/// A place for a tree there.
pub(super) struct Place {
    /// Its path without links.
    pub(super) live: Vec<u8>,
    /// The path of the directory that it is in, and its name there.
    pub(super) above: Vec<u8>,
    pub(super) name: Vec<u8>,
    /// The device that it is on; `None`: there is nothing yet.
    pub(super) device: Option<u64>,
    /// For people.
    pub(super) shown: String,
    device_above: Option<u64>,
    may_write: bool,
    room: Option<u64>,
    has_flock: bool,
}

impl Place {
    /// The one of a URL. The tree may be missing; the directory that it is in may not.
    pub(super) fn of(url: &SshUrl, facts: &Facts) -> Result<Self> {
        if !facts.is_missing() {
            facts.check_directory(url, "target")?;
        }
        let Some(above) = facts.above.clone() else {
            let what = format!("the directory of the target {url} is not there");
            return Err(Error::new(Kind::Absent, what)
                .hint("make the directory that the target is to be in"));
        };
        let name = facts.name.clone();
        if name.is_empty() {
            return Err(
                Error::new(Kind::Config, format!("{url} is the root of its machine"))
                    .hint("name a directory in another one"),
            );
        }
        Ok(Self {
            live: joined(&above, &name),
            above,
            name,
            device: facts.id.map(|id| id.0),
            shown: url.to_string(),
            device_above: facts.chain.first().map(|id| id.0),
            may_write: facts.may_write,
            room: facts.room,
            has_flock: facts.has_flock,
        })
    }

    /// The folder beside it.
    pub(super) fn folder(&self) -> Vec<u8> {
        [&self.live, &b".envsyncd"[..]].concat()
    }

    /// What a run builds, in the folder.
    pub(super) fn incoming(&self, run: &str) -> Vec<u8> {
        self.inner(&format!("incoming-{run}"))
    }

    /// What a run takes out of live, in the folder.
    pub(super) fn replaced(&self, run: &str) -> Vec<u8> {
        self.inner(&format!("replaced-{run}"))
    }

    /// What has this name in the folder.
    pub(super) fn inner(&self, name: &str) -> Vec<u8> {
        joined(&self.folder(), name.as_bytes())
    }

    /// Refuses a place in which nothing could be renamed.
    pub(super) fn check(&self) -> Result<()> {
        let shown = &self.shown;
        if self
            .device
            .is_some_and(|device| Some(device) != self.device_above)
        {
            let what = format!("{shown} is a mount point");
            return Err(Error::new(Kind::Config, what).hint(
                "give the task a directory in it as its target: files are renamed into it from a folder beside it",
            ));
        }
        if !self.may_write {
            let what = format!("cannot make anything in the directory that {shown} is in");
            return Err(Error::new(Kind::Permission, what).hint(
                "new files are put into a folder beside live first: allow who logs in to write to the directory that it is in",
            ));
        }
        if !self.has_flock {
            let what = format!("there is no flock on the machine of {shown}");
            return Err(Error::new(Kind::Config, what)
                .hint("install util-linux there: live is locked by it"));
        }
        Ok(())
    }

    /// Refuses a folder that is not ours.
    pub(super) fn check_folder(&self, facts: &Facts) -> Result<()> {
        let shown = format!("{}.envsyncd", self.shown);
        let foreign = |why: &str| {
            Error::new(Kind::Policy, format!("{shown} {why}"))
                .hint("a run would build and remove in it: move it away, if nobody needs it there")
        };
        let folder = match &facts.folder {
            None => return Ok(()),
            Some(Beside::Other) => return Err(foreign("is no directory")),
            Some(Beside::Directory(folder)) => folder,
        };
        if Some(folder.user) != facts.user || folder.mode & 0o022 != 0 {
            return Err(foreign("is not ours, or others may write to it"));
        }
        match read_mark(&folder.mark) {
            Some(1) => Ok(()),
            Some(_) => {
                let what = format!("{shown} is of a newer envsyncd");
                Err(Error::new(Kind::Config, what))
            }
            None if folder.is_empty => Ok(()),
            None => Err(foreign("does not bear the mark of envsyncd")),
        }
    }

    /// Refuses more than there is room for.
    pub(super) fn check_room(&self, needed: u64) -> Result<()> {
        const MIB: u64 = 1 << 20;
        let Some(free) = self.room.filter(|free| *free < needed) else {
            return Ok(());
        };
        let (free, needed) = (free / MIB, needed.div_ceil(MIB));
        let shown = &self.shown;
        let what =
            format!("{free} MiB are free beside {shown}, and the copy needs about {needed} MiB");
        Err(Error::new(Kind::Full, what).hint("free space there and run the job again"))
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Place({})", told(&self.live))
    }
}

fn joined(above: &[u8], name: &[u8]) -> Vec<u8> {
    let slash: &[u8] = if above == b"/" { b"" } else { b"/" };
    [above, slash, name].concat()
}
