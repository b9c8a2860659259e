//! Trees on other machines: a real sshd, and the real rsync.

mod failures;
mod from;
mod to;

use std::path::Path;

use super::trees::Trees;
use crate::support::job::{Job, toml};
use crate::support::ssh::Sshd;

/// Two trees, of which one is reached over ssh.
struct Far {
    trees: Trees,
    sshd: Sshd,
}

impl Far {
    fn new() -> Self {
        Self {
            trees: Trees::new(),
            sshd: Sshd::start(),
        }
    }

    /// From there to here.
    fn pulls(&self) -> Job {
        self.pulls_from(&self.sshd.side(&self.trees.source("")))
    }

    /// From here to there.
    fn pushes(&self) -> Job {
        self.pushes_to(&self.sshd.side(&self.trees.live("")))
    }

    /// From here to this side.
    fn pushes_to(&self, side: &str) -> Job {
        Job::new("files", &here(&self.trees.source("")), side)
    }

    /// From this side to here.
    fn pulls_from(&self, side: &str) -> Job {
        Job::new("files", side, &here(&self.trees.live("")))
    }
}

fn here(path: &Path) -> String {
    toml(&format!("dir://{}", path.display()))
}
