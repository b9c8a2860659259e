//! What was to come from elsewhere and has vanished there: live's own stay in the new tree, where it has them.

use std::sync::Arc;

use rustix::io::Errno;
use tokio_util::sync::CancellationToken;

use super::build::{Batch, Build, One};
use super::copy::Copier;
use crate::error::{Error, Kind, Result};
use crate::store::files::connection::blocking::stopped;
use crate::store::files::connection::directory::Directory;
use crate::store::files::connection::told::At;
use crate::store::files::rows::pair::TARGET;
use crate::store::files::rows::work::{Action, Work};

/// How many files a run fetches if none of them vanishes.
pub(in crate::store::files) fn wanted(work: &Work) -> Result<u64> {
    let mut tasks = work.tasks()?;
    let mut count = 0;
    while let Some((_, action)) = tasks.task()? {
        count += u64::from(action == Action::Copy);
        tasks.advance()?;
    }
    Ok(count)
}

/// A directory of both trees.
struct Level {
    path: Vec<u8>,
    sides: Option<(Arc<Directory>, Arc<Directory>)>,
}

/// Takes them over; returns how many there were.
pub(in crate::store::files) fn keep(
    build: &Build<'_>,
    new: Arc<Directory>,
    stop: &CancellationToken,
) -> Result<u64> {
    let broken = || Error::new(Kind::Internal, "the list of a run's work is broken");
    let live = build.roots[TARGET].clone();
    let mut levels = vec![Level {
        path: Vec::new(),
        sides: live.map(|live| (new, live)),
    }];
    let copied = |_| {};
    let mut copier = Copier::new(stop, &copied, build.throttle);
    let mut kept = 0;
    let mut tasks = build.work.tasks()?;
    while let Some((entry, action)) = tasks.task()? {
        stopped(stop)?;
        let (above, name) = entry.place()?;
        while levels.last().is_some_and(|level| level.path != above) {
            levels.pop();
        }
        let level = levels.last().ok_or_else(broken)?;
        if let Action::Enter { .. } = action {
            let open = |directory: &Directory| match directory.open(&name) {
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
                opened => opened.map(|opened| Some(Arc::new(opened))),
            };
            let mut sides = None;
            if let Some((new, live)) = &level.sides {
                let both = open(new).and_then(|new| Ok((new, open(live)?)));
                let (new, live) = both.at("cannot open directory", &entry.path)?;
                sides = new.zip(live);
            }
            let path = entry.path.clone();
            levels.push(Level { path, sides });
        } else if let (Action::Copy, Some((new, live))) = (action, &level.sides)
            && new.find(&name).at("cannot look at", &entry.path)?.is_none()
        {
            let batch = Batch::of(new, live);
            let mut one = One::new(build, &batch, &name, &entry.path, &mut copier);
            kept += u64::from(one.keep()?);
        }
        tasks.advance()?;
    }
    Ok(kept)
}
