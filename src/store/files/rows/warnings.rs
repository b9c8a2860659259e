//! What a run has to say of single files, without a line for each of a million.

use std::collections::BTreeMap;

use crate::store::files::connection::told::told;
use crate::sync::Mutex;

/// So many names are told of each.
const NAMED: usize = 5;

/// What is said of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store::files) enum Warning {
    /// It was written while it was read, twice.
    Changed,
    /// It was there, and then no more.
    Vanished,
    /// A socket, a pipe or a device.
    Special,
    /// It has extended attributes that the target's file system does not take.
    Attributes,
    /// The file system shares no blocks.
    NotShared,
    /// A directory of live's that is somebody else's.
    NotOurs,
}

impl Warning {
    fn text(self) -> &'static str {
        match self {
            Self::Changed => {
                "files were written while they were read, and may be copied half old and half new"
            }
            Self::Vanished => {
                "files vanished before they were read, and are not copied: live keeps its own, if it has them"
            }
            Self::Special => "sockets, pipes and devices are not copied",
            Self::Attributes => "extended attributes could not be set on the target",
            Self::NotShared => "files are copied, as the file system cannot share their blocks",
            Self::NotOurs => {
                "directories of live are somebody else's, and keep their permissions and times: only their owner and root can set them"
            }
        }
    }
}

/// What was found so far: how often, and the first names.
#[derive(Default)]
pub(in crate::store::files) struct Warnings(Mutex<BTreeMap<Warning, (u64, Vec<String>)>>);

impl Warnings {
    /// One more. A file is counted once where it is one of the first.
    pub(in crate::store::files) fn add(&self, warning: Warning, path: &[u8]) {
        let mut all = self.0.lock();
        let (count, names) = all.entry(warning).or_default();
        let name = told(path);
        if names.contains(&name) {
            return;
        }
        *count += 1;
        if names.len() < NAMED {
            names.push(name);
        }
    }

    /// Forgets what will be found once more.
    pub(in crate::store::files) fn forget(&self, warning: Warning) {
        self.0.lock().remove(&warning);
    }

    /// Whether there is one of these.
    #[cfg(test)]
    pub(super) fn has(&self, warning: Warning) -> bool {
        self.0.lock().contains_key(&warning)
    }

    /// Logs all, and forgets them.
    pub(in crate::store::files) fn tell(&self) {
        for (warning, (files, names)) in std::mem::take(&mut *self.0.lock()) {
            let (first, what) = (names.join(", "), warning.text());
            tracing::warn!(files, first, "{what}");
        }
    }
}
