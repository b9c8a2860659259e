//! Two trees, and the job between them.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::support::job::{Bed, Job, Outcome};

/// A directory with `source` and `live` in it.
pub(super) struct Trees {
    pub(super) bed: Bed,
}

impl Trees {
    /// An empty source, and no live.
    pub(super) fn new() -> Self {
        let trees = Self { bed: Bed::new() };
        fs::create_dir(trees.source("")).expect("a directory");
        trees
    }

    pub(super) fn source(&self, path: &str) -> PathBuf {
        self.bed.path("source").join(path)
    }

    pub(super) fn live(&self, path: &str) -> PathBuf {
        self.bed.path("live").join(path)
    }

    pub(super) fn folder(&self, path: &str) -> PathBuf {
        self.bed.path("live.envsyncd").join(path)
    }

    /// Writes files, with their directories: `PATH=CONTENT`.
    pub(super) fn write(&self, files: &[&str]) {
        for file in files {
            let (path, content) = file.split_once('=').expect("PATH=CONTENT");
            let path = self.bed.path(path);
            fs::create_dir_all(path.parent().expect("one")).expect("a directory");
            fs::write(&path, content).expect("a file");
            // Written in the same tick of the clock, two files of one size are taken to be the same.
            if ["live", "real", "disk"]
                .iter()
                .any(|old| file.starts_with(old))
            {
                let then = SystemTime::now() - Duration::from_secs(3600);
                let opened = fs::File::options().write(true).open(path).expect("a file");
                opened.set_modified(then).expect("a time");
            }
        }
    }

    pub(super) fn job(&self) -> Job {
        let url = |path: &str| format!("dir://{}", self.bed.path(path).display());
        Job::between("files", &url("source"), &url("live"))
    }

    pub(super) fn once(&self, job: &Job) -> Outcome {
        self.bed.once(&self.bed.job("app", job))
    }

    /// The job with these lines of its task.
    pub(super) fn with(&self, lines: &str) -> Job {
        self.job().task(lines)
    }

    /// All of live as lines: paths, and what files have in them.
    pub(super) fn in_live(&self) -> Vec<String> {
        lines(&self.bed.path("live"))
    }

    /// What a run left beside live.
    #[track_caller]
    pub(super) fn beside(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder(""))
            .into_iter()
            .flatten()
            .flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.file_name().into_string().expect("text"))
            .filter(|name| name != "mark.json" && name != "lock")
            .collect();
        names.sort();
        names
    }
}

/// A file system in memory, for as long as it is wanted.
pub(super) struct Disk(PathBuf);

impl Disk {
    pub(super) fn new(at: &Path, options: &str) -> Self {
        fs::create_dir_all(at).expect("a directory");
        let mut mount = Command::new("mount");
        let mounted = mount
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(at)
            .status();
        assert!(mounted.expect("mount").success(), "mount (as root)");
        Self(at.to_owned())
    }

    pub(super) fn remount(&self, how: &str) {
        let mut mount = Command::new("mount");
        let done = mount
            .args(["-o", &format!("remount,{how}")])
            .arg(&self.0)
            .status();
        assert!(done.expect("mount").success(), "mount (as root)");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// A tree as lines: `directory/`, `file=CONTENT`, `link->TARGET`; sorted.
pub(super) fn lines(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let path = entry.path();
            let told = path
                .strip_prefix(root)
                .expect("in it")
                .display()
                .to_string();
            let kind = entry.file_type().expect("a kind");
            if kind.is_dir() {
                found.push(format!("{told}/"));
                open.push(path);
            } else if kind.is_symlink() {
                let to = fs::read_link(&path).expect("a link");
                found.push(format!("{told}->{}", to.display()));
            } else if kind.is_file() {
                let text = fs::read(&path).expect("a file");
                let text: String = String::from_utf8_lossy(&text).chars().take(80).collect();
                found.push(format!("{told}={text}"));
            } else {
                found.push(format!("{told} (special)"));
            }
        }
    }
    found.sort();
    found
}

/// Inode of a file.
pub(super) fn inode(path: &Path) -> u64 {
    path.symlink_metadata().expect("it is there").ino()
}

/// A name of these bytes in a directory.
pub(super) fn named(directory: &Path, name: &[u8]) -> PathBuf {
    directory.join(OsStr::from_bytes(name))
}
