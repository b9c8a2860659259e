//! Trees on other machines: a real sshd, and the real rsync.

mod back;
mod changing;
mod contents;
mod failures;
mod from;
mod login;
mod odd;
mod sent;
mod tar;
mod to;
mod ways;

use std::path::Path;
use std::process::Command;

use super::trees::Trees;
use crate::support::job::{Job, toml};
use crate::support::ssh::Sshd;
use crate::support::wait_until;

/// Two trees, of which one is reached over ssh.
pub(super) struct Far {
    pub(super) trees: Trees,
    pub(super) sshd: Sshd,
}

impl Far {
    pub(super) fn new() -> Self {
        Self {
            trees: Trees::new(),
            sshd: Sshd::start(),
        }
    }

    /// Waits until nothing is done in live's folder any more: what goes on there for a moment has ended with the connection,
    /// and holds it until then.
    fn settles(&self) {
        wait_until("nothing is done there any more", || {
            let free = Command::new("flock")
                .arg("--nonblock")
                .arg(self.trees.folder(""))
                .args(["flock", "--nonblock"])
                .arg(self.trees.folder("lock"))
                .arg("true")
                .status();
            free.is_ok_and(|free| free.success())
        });
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
    pub(super) fn pushes_to(&self, side: &str) -> Job {
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
