//! Where a private server lives, and as whom.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Mutex, PoisonError};

use super::super::postgres::Must;

/// Ends the server of the directory `$1` and removes it as soon as its standard input closes, which the kernel does for
/// a process that is killed, too.
const WATCHER: &str = r#"
trap '' HUP INT TERM
cat >/dev/null
pid=$(cat "$1/pid" 2>/dev/null)
if [ -n "$pid" ] && tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null | grep -qxF -e "--datadir=$1/data"; then
    kill -KILL "$pid"
    n=0
    while grep -qs '^State:[[:space:]]*[^Z]' "/proc/$pid/status" && [ $n -lt 200 ]; do sleep 0.05; n=$((n + 1)); done
fi
if mountpoint -q "$1/data"; then umount "$1/data"; fi
rm -rf "$1"
"#;

/// A directory and its watcher.
pub(super) struct Place {
    pub(super) root: PathBuf,
    /// A server refuses to run as root, so there it runs as someone else.
    account: Option<(u32, u32)>,
    watcher: Mutex<Child>,
}

impl Place {
    pub(super) fn new() -> Self {
        let account = nix::unistd::geteuid().is_root().then(|| {
            ["mysql", "nobody"]
                .iter()
                .find_map(|name| nix::unistd::User::from_name(name).ok().flatten())
                .map(|user| (user.uid.as_raw(), user.gid.as_raw()))
                .expect("every Linux has nobody")
        });
        let (root, watcher) =
            super::super::watched("envsyncd-my-", super::super::servers_home(), WATCHER);
        let place = Self {
            root,
            account,
            watcher: Mutex::new(watcher),
        };
        for directory in [place.data(), place.root.join("tmp")] {
            fs::create_dir(&directory).expect("a directory");
            place.give_to_server(&directory);
        }
        place.give_to_server(&place.root);
        // Others than the server's user connect, too.
        fs::set_permissions(&place.root, fs::Permissions::from_mode(0o755)).expect("chmod");
        place
    }

    /// Ends what runs here, and removes it.
    pub(super) fn end(&self) {
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        drop(watcher.stdin.take());
        let _ = watcher.wait();
    }

    pub(super) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    pub(super) fn mount_data(&self, mebibytes: u32) {
        let (uid, gid) = self
            .account
            .expect("a small file system can be mounted by root only: run these tests as root");
        Command::new("mount")
            .args(["-t", "tmpfs", "-o"])
            .arg(format!("size={mebibytes}m,mode=0700,uid={uid},gid={gid}"))
            .arg("tmpfs")
            .arg(self.data())
            .must("mount");
    }

    /// A program as the server's user.
    pub(super) fn as_server(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = bare(program);
        command
            .current_dir(&self.root)
            .env("HOME", &self.root)
            // A server that starts removes what others have left in its directory for temporary tables, or have there.
            .env("TMPDIR", self.root.join("tmp"));
        if let Some((uid, gid)) = self.account {
            command.uid(uid).gid(gid);
        }
        command
    }

    pub(super) fn give_to_server(&self, path: &Path) {
        if let Some((uid, gid)) = self.account {
            std::os::unix::fs::chown(path, Some(uid), Some(gid)).expect("chown");
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.end();
    }
}

/// Any program, deaf to the environment's own ideas of a server. `mariadbd` is not on everyone's PATH.
pub(super) fn bare(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    for (key, _) in std::env::vars_os() {
        if key
            .to_str()
            .is_some_and(|key| key.starts_with("MYSQL") || key.starts_with("MARIADB"))
        {
            command.env_remove(key);
        }
    }
    let path = std::env::var("PATH").unwrap_or_default();
    command
        .env("PATH", format!("{path}:/usr/sbin:/usr/local/sbin"))
        .env("LC_ALL", "C.UTF-8");
    command
}
