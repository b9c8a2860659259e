//! A new tree put into live piece by piece, where live cannot be exchanged for it: what is new first, each file by one rename,
//! then what goes. Whoever uses live meanwhile sees old files and new ones, and never half of one.

use std::ffi::CString;
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, mkdirat, renameat, unlinkat};
use rustix::io::Errno;

use crate::error::{Error, Kind, Result};
use crate::store::files::connection::directory::Directory;
use crate::store::files::connection::told::{At, told};
use crate::store::files::rows::walk::{SOURCE, TARGET};
use crate::store::files::rows::work::{Action, Work};

/// A directory that is being worked in: its path, the new tree's, and live's if there is one.
struct Level {
    path: Vec<u8>,
    new: Option<Arc<Directory>>,
    live: Option<Arc<Directory>>,
    /// Live's, in which something may go, and which may then go itself.
    goes: Option<(Arc<Directory>, CString)>,
}

/// Renames what is new into live, and then removes what goes.
pub(in crate::store::files) fn apply(
    work: &Work,
    new: &Arc<Directory>,
    live: &Arc<Directory>,
) -> Result<()> {
    go_through(
        work,
        new,
        live,
        &mut |level, name, path, action| match action {
            Action::Copy => {
                let (Some(from), Some(to)) = (&level.new, &level.live) else {
                    return Ok(());
                };
                match renameat(from, name, to, name) {
                    // It has vanished from the source, and was never copied.
                    Ok(()) | Err(Errno::NOENT) => Ok(()),
                    Err(error) => Err(error).at("cannot put in place", path),
                }
            }
            _ => Ok(()),
        },
    )?;
    go_through(
        work,
        new,
        live,
        &mut |level, name, path, action| match (action, &level.live) {
            (Action::Delete, Some(live)) => match unlinkat(live, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => Ok(()),
                Err(error) => Err(error).at("cannot remove", path),
            },
            _ => Ok(()),
        },
    )
}

/// Is given a directory, a name in it, its path, and what becomes of it.
type Each<'a> = dyn FnMut(&Level, &CString, &[u8], Action) -> Result<()> + 'a;

/// Does something to each name that is no directory. Directories of the source are made in live if they are missing; those that
/// only live has are removed once they are empty.
fn go_through(
    work: &Work,
    new: &Arc<Directory>,
    live: &Arc<Directory>,
    each: &mut Each<'_>,
) -> Result<()> {
    let broken = || Error::new(Kind::Internal, "the list of a run's work is broken");
    let mut levels = vec![Level {
        path: Vec::new(),
        new: Some(Arc::clone(new)),
        live: Some(Arc::clone(live)),
        goes: None,
    }];
    let mut tasks = work.tasks()?;
    while let Some((entry, action)) = tasks.task()? {
        let (above, name) = entry.place()?;
        while levels.last().is_some_and(|level| level.path != above) {
            levels.pop().map(leave).transpose()?;
        }
        let level = levels.last().ok_or_else(broken)?;
        if let Action::Enter { sides, is_doomed } = action {
            let inner = enter(level, &name, &entry.path, sides, is_doomed)?;
            levels.push(inner);
        } else {
            each(level, &name, &entry.path, action)?;
        }
        tasks.advance()?;
    }
    while let Some(level) = levels.pop() {
        leave(level)?;
    }
    Ok(())
}

fn enter(
    above: &Level,
    name: &CString,
    path: &[u8],
    sides: [bool; 2],
    is_doomed: bool,
) -> Result<Level> {
    let open = |directory: &Option<Arc<Directory>>| match directory.as_ref()?.open(name) {
        Err(Errno::NOENT) => None,
        opened => Some(opened.map(Arc::new)),
    };
    let new = open(&above.new)
        .transpose()
        .at("cannot open directory", path)?;
    if sides[SOURCE]
        && !sides[TARGET]
        && let Some(live) = &above.live
    {
        make(live, name).at("cannot make", path)?;
    }
    let live = open(&above.live)
        .transpose()
        .at("cannot open directory", path)?;
    let goes = (above.live.clone()).filter(|_| is_doomed);
    Ok(Level {
        path: path.to_vec(),
        new,
        live,
        goes: goes.map(|live| (live, name.clone())),
    })
}

/// Makes a directory of the source's. A file that has its name makes way.
fn make(live: &Directory, name: &CString) -> rustix::io::Result<()> {
    match mkdirat(live, name, Mode::RWXU) {
        Err(Errno::EXIST) => {}
        made => return made,
    }
    match live.open(name) {
        Ok(_) => Ok(()),
        Err(Errno::NOTDIR | Errno::LOOP) => {
            unlinkat(live, name, AtFlags::empty())?;
            mkdirat(live, name, Mode::RWXU)
        }
        Err(error) => Err(error),
    }
}

/// Removes a directory that only live has, if nothing is left in it.
fn leave(level: Level) -> Result<()> {
    let Some((above, name)) = &level.goes else {
        return Ok(());
    };
    match unlinkat(above, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
        Err(error) => Err(error).at("cannot remove", &level.path),
    }
}

/// What was live before cannot be had again.
pub(in crate::store::files) fn cannot_be_undone(path: &str) -> Error {
    let what = format!(
        "{} was put in place file by file, and stays as it is",
        told(path.as_bytes())
    );
    Error::new(Kind::Io, what)
}
