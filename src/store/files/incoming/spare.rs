//! The spare: a tree beside live whose files are live's own under second names, so that the next run need not link what has not
//! changed. It is the tree that would be removed after a publish, without all that live does not have.

use std::ffi::{CStr, CString};
use std::sync::{Arc, Condvar, PoisonError};

use rustix::fs::{AtFlags, linkat};
use rustix::io::Errno;
use tokio_util::sync::CancellationToken;

use super::recycle::{clear, reuse};
use crate::error::{Error, Result};
use crate::store::files::connection::blocking::stopped;
use crate::store::files::connection::directory::Directory;
use crate::store::files::connection::inside::Inside;
use crate::store::files::connection::mounts::not_removed;
use crate::store::files::connection::stat::FileKind;
use crate::store::files::connection::told::At;
use crate::store::files::rows::work::Changed;
use crate::sync::Mutex;

/// Threads that remove and link, at the most: much of the time they wait for the disk.
const THREADS: usize = 8;
/// Threads that remove single files, at the most. Where the disk is told of each block that is free again, each waits for that.
const REMOVERS: usize = 32;

/// A directory of the spare, and the one of live's that is like it.
struct Pair {
    spare: Arc<Directory>,
    live: Arc<Directory>,
}

/// A directory that is to be done: its name in two others.
struct Job {
    above: Arc<Pair>,
    name: CString,
}

/// Removes whatever a tree of ours has that is not a file of live's at the same path. `false`: it cannot be used.
pub(in crate::store::files) fn prune(
    folder: &Directory,
    name: &CStr,
    live: &Arc<Directory>,
) -> Result<bool> {
    let path = name.to_bytes();
    let Some(spare) = reuse(folder, name, path)? else {
        return Ok(false);
    };
    let [one, other] = [&spare, live].map(|it| it.own_stat().at("cannot look at", path));
    if one?.id.0 != other?.id.0 {
        return Ok(false);
    }
    let root = Pair {
        spare: Arc::new(spare),
        live: Arc::clone(live),
    };
    let first = prune_one(root)?;
    each(first, THREADS, |job| {
        let (above, name) = (&job.above, &*job.name);
        let live = match above.live.open(name) {
            Ok(live) => live,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                return clear(&above.spare, name, None).map(|()| Vec::new());
            }
            Err(error) => return Err(error).at("cannot open live's", name.to_bytes()),
        };
        let Some(spare) = reuse(&above.spare, name, name.to_bytes())? else {
            return Ok(Vec::new());
        };
        prune_one(Pair {
            spare: Arc::new(spare),
            live: Arc::new(live),
        })
    })?;
    Ok(true)
}

/// Paths that one thread goes to at a time.
const TOGETHER: usize = 32;

/// Removes what a tree of ours has at these paths, which come in the order of the walk.
pub(in crate::store::files) fn prune_at(tree: &Arc<Directory>, changed: &Changed) -> Result<()> {
    let paths: Vec<&[u8]> = changed.paths().collect();
    let jobs: Vec<_> = paths.chunks(TOGETHER).collect();
    let threads = jobs.len().min(REMOVERS);
    each(jobs, threads, |paths: &[&[u8]]| {
        let root = Inside::staying(Arc::clone(tree));
        let mut inside = root.at("cannot look at", b"")?;
        for path in paths {
            match inside.at(path) {
                Ok((above, name)) => clear(above, &name, Some(FileKind::Regular))?,
                // It went with the directory that it was in.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(Errno::XDEV) => return Err(not_removed(tree, path)),
                Err(error) => return Err(error).at("cannot open the directory of", path),
            }
        }
        Ok(Vec::new())
    })
}

/// Does to one directory what [`prune`] does to a tree; returns those in it.
fn prune_one(pair: Pair) -> Result<Vec<Job>> {
    let pair = Arc::new(pair);
    let read = |directory: &Directory| directory.names().at("cannot read directory", b"");
    let [spare, live] = [read(&pair.spare)?, read(&pair.live)?];
    let (mut at, mut inner) = (0, Vec::new());
    for place in 0..spare.len() {
        let Some((name, kind)) = spare.get(place) else {
            break;
        };
        while live.get(at).is_some_and(|(other, _)| other < name) {
            at += 1;
        }
        let there = live.get(at).filter(|(other, _)| *other == name);
        let kinds = (kind, there.and_then(|(_, kind)| kind));
        let inodes = (spare.inode(place), live.inode(at));
        match kinds {
            (Some(FileKind::Directory), Some(FileKind::Directory)) => inner.push(Job {
                above: Arc::clone(&pair),
                name: name.to_owned(),
            }),
            (Some(one), Some(other)) if one == other && inodes.0 == inodes.1 && inodes.0 != 0 => {}
            _ => clear(&pair.spare, name, kind)?,
        }
    }
    Ok(inner)
}

/// Makes a tree that has second names of all files of another one.
pub(in crate::store::files) fn make(
    folder: &Directory,
    name: &CStr,
    tree: &Arc<Directory>,
    stop: &CancellationToken,
) -> Result<()> {
    let made = folder.make(name).at("cannot make", name.to_bytes())?;
    // Somebody else may be reading the one that is open.
    let tree = Arc::new(tree.open(c".").at("cannot open", name.to_bytes())?);
    let first = link_all(Pair {
        spare: Arc::new(made),
        live: tree,
    })?;
    each(first, THREADS, |job| {
        stopped(stop)?;
        let (above, name) = (&job.above, &*job.name);
        let live = above.live.open(name);
        let made = above.spare.make(name);
        link_all(Pair {
            spare: Arc::new(made.at("cannot make", name.to_bytes())?),
            live: Arc::new(live.at("cannot open directory", name.to_bytes())?),
        })
    })
}

/// The same of one directory; returns those in it.
fn link_all(pair: Pair) -> Result<Vec<Job>> {
    let pair = Arc::new(pair);
    let names = pair.live.names().at("cannot read directory", b"")?;
    let mut inner = Vec::new();
    for place in 0..names.len() {
        match names.get(place) {
            Some((name, Some(FileKind::Directory))) => inner.push(Job {
                above: Arc::clone(&pair),
                name: name.to_owned(),
            }),
            Some((name, Some(FileKind::Regular | FileKind::Link))) => {
                match linkat(&pair.live, name, &pair.spare, name, AtFlags::empty()) {
                    // The next run does what is missing.
                    Ok(()) | Err(Errno::NOENT | Errno::MLINK | Errno::PERM) => {}
                    Err(error) => return Err(error).at("cannot link", name.to_bytes()),
                }
            }
            _ => {}
        }
    }
    Ok(inner)
}

/// What is left to do, and what came of it.
struct State<J> {
    jobs: Vec<J>,
    busy: usize,
    failure: Option<Error>,
}

/// A job that somebody is at, until that is dropped.
struct Busy<'a, J>(&'a Mutex<State<J>>, &'a Condvar);

impl<J> Drop for Busy<'_, J> {
    fn drop(&mut self) {
        self.0.lock().busy -= 1;
        self.1.notify_all();
    }
}

/// Has jobs done by a few threads, and those that come of them, until there is none left or one has failed.
fn each<J: Send>(
    jobs: Vec<J>,
    threads: usize,
    work: impl Fn(J) -> Result<Vec<J>> + Sync,
) -> Result<()> {
    let state = Mutex::new(State {
        jobs,
        busy: 0,
        failure: None,
    });
    let changed = Condvar::new();
    let next = || {
        let mut now = state.lock();
        loop {
            if now.failure.is_some() {
                return None;
            }
            if let Some(job) = now.jobs.pop() {
                now.busy += 1;
                return Some((job, Busy(&state, &changed)));
            }
            if now.busy == 0 {
                return None;
            }
            now = changed.wait(now).unwrap_or_else(PoisonError::into_inner);
        }
    };
    let working = || {
        while let Some((job, _busy)) = next() {
            let done = work(job);
            let mut now = state.lock();
            match done {
                Ok(more) => now.jobs.extend(more),
                Err(error) => now.failure = now.failure.take().or(Some(error)),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            // Without it, there are fewer.
            let _ = std::thread::Builder::new()
                .name("spare".to_owned())
                .spawn_scoped(scope, working);
        }
        working();
    });
    state.into_inner().failure.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::path::Path;

    use super::*;

    fn inodes(root: &Path) -> Vec<(String, u64)> {
        let mut found = Vec::new();
        let mut open = vec![root.to_owned()];
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(&directory).unwrap().flatten() {
                let path = entry.path();
                let told = path.strip_prefix(root).unwrap().display().to_string();
                let about = path.symlink_metadata().unwrap();
                if about.is_dir() {
                    found.push((told, 0));
                    open.push(path);
                } else {
                    found.push((told, about.ino()));
                }
            }
        }
        found.sort();
        found
    }

    #[test]
    fn a_spare_has_live_s_own_files_and_after_live_has_changed_no_others() {
        let place = tempfile::tempdir().unwrap();
        let live = place.path().join("live");
        for number in 0..300 {
            let directory = live.join(format!("{}/d", number % 20));
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join(format!("{number}")), "x").unwrap();
        }
        symlink("nowhere", live.join("link")).unwrap();
        let folder = Directory::at(place.path()).unwrap();
        let opened = Arc::new(Directory::at(&live).unwrap());
        let stop = CancellationToken::new();
        make(&folder, c"spare", &opened, &stop).unwrap();
        let spare = place.path().join("spare");
        assert_eq!(inodes(&spare), inodes(&live));
        // Changed, gone, new, and of another kind.
        fs::remove_file(live.join("1/d/1")).unwrap();
        fs::write(live.join("1/d/1"), "new").unwrap();
        fs::remove_dir_all(live.join("2")).unwrap();
        fs::write(live.join("2"), "a file").unwrap();
        fs::remove_file(live.join("link")).unwrap();
        fs::create_dir(live.join("link")).unwrap();
        fs::write(live.join("3/d/new"), "new").unwrap();
        fs::remove_dir_all(live.join("4")).unwrap();
        fs::write(spare.join("5/stray"), "stray").unwrap();
        fs::create_dir_all(spare.join("stray/deep")).unwrap();
        assert!(prune(&folder, c"spare", &opened).unwrap());
        let (left, all) = (inodes(&spare), inodes(&live));
        assert!(left.iter().all(|name| all.contains(name)), "{left:?}");
        let missing: Vec<_> = all.iter().filter(|name| !left.contains(name)).collect();
        let missing: Vec<_> = missing.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(missing, ["1/d/1", "2", "3/d/new", "link"]);
        fs::write(place.path().join("file"), "").unwrap();
        assert!(!prune(&folder, c"file", &opened).unwrap());
    }

    #[test]
    fn at_paths_that_are_named_everything_goes_and_through_no_link() {
        let place = tempfile::tempdir().unwrap();
        let tree = place.path().join("tree");
        let files = ["a/1", "a/2", "b/deep/er/x", "b/y", "c", "d/z"];
        for file in files {
            fs::create_dir_all(tree.join(file).parent().unwrap()).unwrap();
            fs::write(tree.join(file), "").unwrap();
        }
        fs::create_dir(place.path().join("outside")).unwrap();
        fs::write(place.path().join("outside/kept"), "").unwrap();
        symlink("../outside", tree.join("link")).unwrap();
        let opened = Arc::new(Directory::at(&tree).unwrap());
        let paths = b"a/2\0a/3\0b/deep\0b/deep/er/x\0c/under\0link/kept\0none/at/all\0";
        prune_at(&opened, &Changed::of(paths.to_vec())).unwrap();
        let left: Vec<String> = inodes(&tree).into_iter().map(|(path, _)| path).collect();
        assert_eq!(left, ["a", "a/1", "b", "b/y", "c", "d", "d/z", "link"]);
        assert!(place.path().join("outside/kept").exists());
        prune_at(&opened, &Changed::default()).unwrap();
    }
}
