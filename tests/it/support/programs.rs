//! Servers' programs, where their users may read them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::postgres::Must;

/// Removes the directory `$1` as soon as its standard input closes: when this process ends, however that is.
const WATCHER: &str = r#"trap '' HUP INT TERM; cat >/dev/null; rm -rf "$1""#;

/// A copy of this directory that everyone may read: one for all servers, on the disk, which remembers what is read often.
pub(crate) fn readable(from: &Path) -> PathBuf {
    static ALL: Mutex<BTreeMap<PathBuf, Arc<OnceLock<PathBuf>>>> = Mutex::new(BTreeMap::new());
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    let copy = Arc::clone(all.entry(from.to_owned()).or_default());
    drop(all);
    copy.get_or_init(|| copy_of(from)).clone()
}

fn copy_of(from: &Path) -> PathBuf {
    let (place, watcher) = super::watched("envsyncd-programs-", Path::new("/tmp"), WATCHER);
    // Its input stays open until the process ends.
    std::mem::forget(watcher);
    let copy = place.join("copy");
    Command::new("cp")
        .args(["-a", "--reflink=auto"])
        .arg(from)
        .arg(&copy)
        .must("cp");
    Command::new("chmod")
        .args(["-R", "a+rX"])
        .arg(&place)
        .must("chmod");
    copy
}
