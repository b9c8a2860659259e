//! Which files of a source a task is for.

use std::time::{SystemTime, UNIX_EPOCH};

use super::options::Options;
use crate::config::globs::Globs;
use crate::config::job::Task;
use crate::error::{Error, Kind, Result};
use crate::store::files::connection::stat::{FileKind, Moment, Stat};

/// A tree whose files are put in place one by one has a folder of ours in it.
pub(in crate::store::files) const OWN_FOLDER: &[u8] = b".envsyncd";

/// A tree that misses files on demand has a folder of the file proxy in it, which is its own on each side.
const FILE_PROXY_FOLDER: &[u8] = b".envsyncd-proxy";

/// Which files of a source a task is for.
pub(in crate::store::files) struct Filter {
    excluded: Globs,
    /// What is copied; `None`: everything.
    included: Option<Globs>,
    passed: Globs,
    max_size: Option<u64>,
    /// Files that were changed earlier are not copied.
    oldest: Option<Moment>,
    /// Whether each file has to be passed by its name.
    requires_passes: bool,
}

impl Filter {
    /// A task's, as of now. `requires_passes`: the environment that it writes to wants everything to be decided on.
    pub(in crate::store::files) fn of(task: &Task, requires_passes: bool) -> Result<Self> {
        let options = task.options.get::<Options>()?;
        let generated = options.generated.iter().copied();
        let excluded = Globs::new(generated.chain(task.exclude.iter().map(String::as_str)));
        let passed = task.path_passes.iter().flat_map(|pass| &pass.paths);
        let passed = Globs::new(passed.map(String::as_str));
        let included = match options.include.as_slice() {
            [] => None,
            globs => Some(Globs::new(globs.iter().map(String::as_str))?),
        };
        let oldest = options.newer_than.map(|age| {
            let now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            let oldest = now.saturating_sub(age);
            (oldest.as_secs() as i64, oldest.subsec_nanos())
        });
        Ok(Self {
            excluded: excluded.map_err(|error| error.within("`exclude`"))?,
            included,
            passed: passed.map_err(|error| error.within("[[task.pass]]"))?,
            max_size: options.max_size,
            oldest,
            requires_passes,
        })
    }

    /// One for all files.
    #[cfg(test)]
    pub(in crate::store::files) fn of_everything() -> Result<Self> {
        Ok(Self {
            excluded: Globs::new([])?,
            included: None,
            passed: Globs::new([])?,
            max_size: None,
            oldest: None,
            requires_passes: false,
        })
    }

    /// Whether the run leaves a name alone, on both sides, and all that is below it.
    pub(in crate::store::files) fn excludes(&self, path: &[u8], kind: FileKind) -> bool {
        path == OWN_FOLDER
            || path == FILE_PROXY_FOLDER
            || self.excluded.are_for(path, kind == FileKind::Directory)
    }

    /// Whether size and age have to be known for [`Self::takes`].
    pub(in crate::store::files) fn looks_closer(&self) -> bool {
        self.max_size.is_some() || self.oldest.is_some()
    }

    /// Whether a file is for the task: as far as names go, with those of the directories above it.
    pub(in crate::store::files) fn includes(&self, path: &[u8]) -> bool {
        (self.included.as_ref()).is_none_or(|included| included.are_for_any(path))
    }

    /// Whether a file is for the task: by its name, and small and new enough.
    pub(in crate::store::files) fn takes(&self, path: &[u8], found: &Stat) -> bool {
        self.includes(path) && self.takes_as(found)
    }

    fn takes_as(&self, found: &Stat) -> bool {
        found.kind != FileKind::Regular
            || (self.max_size.is_none_or(|most| found.size <= most)
                && self.oldest.is_none_or(|oldest| found.modified >= oldest))
    }

    /// Whether a file may be copied as far as names go: where each has to be passed, this one is, or a directory above it.
    pub(in crate::store::files) fn is_decided(&self, path: &[u8]) -> bool {
        !self.requires_passes || self.passed.are_for_any(path)
    }
}

/// Refuses globs of a `[[task.pass]]` that could not be what they say.
pub(in crate::store::files) fn check_passes(task: &Task) -> Result<()> {
    let paths = task.path_passes.iter().flat_map(|pass| &pass.paths);
    if let Some(path) = paths.clone().find(|path| path.starts_with('!')) {
        let what = format!("`{path}`: a pass takes nothing back");
        return Err(Error::new(Kind::Config, what)
            .hint("name what is not personal, and leave the rest out with `exclude`"));
    }
    Globs::new(paths.map(String::as_str)).map(drop)
}

/// Refuses what is no glob in `exclude`.
pub(in crate::store::files) fn check_exclude(task: &Task) -> Result<()> {
    Globs::new(task.exclude.iter().map(String::as_str)).map(drop)
}
