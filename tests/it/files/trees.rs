//! Two trees, and the job between them.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use crate::support::job::{Bed, Job, Outcome, Running};

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

    /// A run by somebody who may do nothing special.
    pub(super) fn as_nobody(&self, file: &Path) -> Running {
        let everybody = fs::Permissions::from_mode(0o777);
        for name in [".", "state", "status", "lock", "jobs"] {
            fs::set_permissions(self.bed.path(name), everybody.clone()).expect("it");
        }
        let setpriv = [
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
        ];
        self.run_by(&setpriv, file)
    }

    /// A run that another program starts.
    pub(super) fn run_by(&self, starter: &[&str], file: &Path) -> Running {
        let command = self.bed.command();
        let mut outer = Command::new(starter[0]);
        outer.args(&starter[1..]).arg(command.get_program());
        let variables = command.get_envs();
        outer.envs(variables.filter_map(|(key, value)| Some((key, value?))));
        outer.current_dir(self.bed.path("."));
        self.bed.spawn(outer.args(["--once", "-f"]).arg(file))
    }

    /// All of live as lines: paths, and what files have in them.
    pub(super) fn in_live(&self) -> Vec<String> {
        lines(&self.bed.path("live"))
    }

    /// What a run left beside live, but for what saves the next one time.
    #[track_caller]
    pub(super) fn beside(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder(""))
            .into_iter()
            .flatten()
            .flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.file_name().into_string().expect("text"))
            .filter(|name| !["mark.json", "lock", "spare", "changed"].contains(&name.as_str()))
            .collect();
        names.sort();
        names
    }
}

/// Has something done over and over until it is dropped.
pub(super) struct Meanwhile(Arc<AtomicBool>, Option<std::thread::JoinHandle<()>>);

impl Meanwhile {
    pub(super) fn new(mut work: impl FnMut() + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                work();
            }
        });
        Self(stop, Some(thread))
    }
}

impl Drop for Meanwhile {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        let _ = self.1.take().map(std::thread::JoinHandle::join);
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

/// A disk of its own in a file, for as long as it is wanted.
pub(super) struct Image(PathBuf);

impl Image {
    /// Made with these options of `mkfs.ext4`.
    pub(super) fn new(at: &Path, options: &[&str]) -> Self {
        Self::made_by("mkfs.ext4", options, 48 << 20, at)
    }

    /// With Btrfs.
    pub(super) fn btrfs(at: &Path) -> Self {
        Self::made_by("mkfs.btrfs", &[], 160 << 20, at)
    }

    fn made_by(program: &str, options: &[&str], size: u64, at: &Path) -> Self {
        fs::create_dir_all(at).expect("a directory");
        let image = Self(at.to_owned());
        let file = fs::File::create(image.file()).expect("a file");
        file.set_len(size).expect("a size");
        let mut make = Command::new(program);
        let made = make.arg("-q").args(options).arg(image.file()).status();
        assert!(made.expect(program).success());
        image.mount();
        image
    }

    fn file(&self) -> PathBuf {
        self.0.with_extension("image")
    }

    fn mount(&self) {
        let mut mount = Command::new("mount");
        let mounted = mount
            .args(["-o", "loop"])
            .arg(self.file())
            .arg(&self.0)
            .status();
        assert!(mounted.expect("mount").success(), "mount (as root)");
    }

    /// As after a start of the machine: nothing of it is in memory.
    pub(super) fn mounted_anew(self) -> Self {
        let done = Command::new("umount").arg(&self.0).status();
        assert!(done.expect("umount").success());
        self.mount();
        self
    }

    /// Nothing of it can be read any more.
    pub(super) fn breaks(&self) {
        let file = fs::File::options().write(true).open(self.file());
        file.and_then(|file| file.set_len(0)).expect("a file");
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// All that is in a tree: paths in it as text, and paths; directories come before what is in them.
pub(super) fn all_in(root: &Path) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_type().expect("a kind").is_dir() {
                open.push(path.clone());
            }
            let told = path.strip_prefix(root).expect("in it").display();
            found.push((told.to_string(), path));
        }
    }
    found
}

/// A tree as lines: `directory/`, `file=CONTENT`, `link->TARGET`; sorted.
pub(super) fn lines(root: &Path) -> Vec<String> {
    let line = |(told, path): (String, PathBuf)| {
        let kind = path.symlink_metadata().expect("it").file_type();
        if kind.is_dir() {
            format!("{told}/")
        } else if kind.is_symlink() {
            let to = fs::read_link(&path).expect("a link");
            format!("{told}->{}", to.display())
        } else if kind.is_file() {
            let text = fs::read(&path).expect("a file");
            let text: String = String::from_utf8_lossy(&text).chars().take(80).collect();
            format!("{told}={text}")
        } else {
            format!("{told} (special)")
        }
    };
    let mut found: Vec<String> = all_in(root).into_iter().map(line).collect();
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

/// All of a tree but for our own folder, as exactly as it can be had again: kinds, permissions, owners, times, links and contents.
pub(super) fn exact(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(path) = open.pop() {
        let about = path.symlink_metadata().expect("it is there");
        let content = if about.is_dir() {
            let entries = fs::read_dir(&path).expect("a directory").flatten();
            let inner = entries.map(|entry| entry.path());
            open.extend(inner.filter(|path| *path != root.join(".envsyncd")));
            Vec::new()
        } else if about.is_symlink() {
            let to = fs::read_link(&path).expect("a link");
            to.as_os_str().as_bytes().to_vec()
        } else {
            fs::read(&path).expect("a file")
        };
        let told = path.strip_prefix(root).expect("in it").as_os_str();
        found.push(format!(
            "{:?} {:o} {}:{} {}.{:09} {:?}",
            String::from_utf8_lossy(told.as_bytes()),
            about.mode(),
            about.uid(),
            about.gid(),
            about.mtime(),
            about.mtime_nsec(),
            String::from_utf8_lossy(&content),
        ));
    }
    found.sort();
    found
}
