//! Holds the new tree against the source.

use tokio_util::sync::CancellationToken;

use crate::error::{Error, Kind, Result};
use crate::store::files::connection::stat::{FileKind, Moment, Stat};
use crate::store::files::connection::told::{At, told};
use crate::store::files::rows::content;
use crate::store::files::rows::pair::{Descent, Pair, SOURCE, TARGET, Visitor};
use crate::store::files::rows::warnings::{Warning, Warnings};
use crate::store::files::rows::work::{Action, Planned};
use crate::store::files::schema::filter::{Filter, OWN_FOLDER};

/// An error names so many differences,
const NAMED: usize = 3;
/// and the log so many.
const LOGGED: u64 = 100;

/// What is said of a file of the same size that is not the same.
pub(in crate::store::files) const OTHER_CONTENT: &str = "has another content";

/// Compares a source's files with those of a new tree.
pub(in crate::store::files) struct Check<'a> {
    /// Which files of the source are copied.
    pub(in crate::store::files) filter: &'a Filter,
    /// Whether contents are read and compared, too.
    pub(in crate::store::files) by_content: bool,
    /// What was changed later than this may differ: the run had begun.
    pub(in crate::store::files) since: Moment,
    /// Looks at a file of the source once more: the walk may go by a list of what it was.
    pub(in crate::store::files) again: &'a (dyn Fn(&Pair<'_>) -> Result<Option<Stat>> + 'a),
    /// Whether the copy has directories of its own, and not only those that its files' paths make.
    pub(in crate::store::files) has_directories: bool,
    /// What was planned, where the copy was made of what is live's: a name that was planned to be live's file, and has its
    /// inode, is what was compared with the source already.
    pub(in crate::store::files) planned: Option<Planned>,
    /// Whether that is not compared once more.
    pub(in crate::store::files) goes_by_plan: bool,
    /// What is told at the end.
    pub(in crate::store::files) warnings: &'a Warnings,
    /// Ends the comparison.
    pub(in crate::store::files) stop: &'a CancellationToken,
    /// Files of the new tree, as far as they have been seen.
    pub(in crate::store::files) files: u64,
    /// The first differences, and how many there are.
    pub(in crate::store::files) differences: (Vec<String>, u64),
}

/// What differs between a copy and its source.
pub(in crate::store::files) fn unequal(differences: &str) -> Error {
    let what = format!("the copy is not equal to the source: {differences}");
    let mut hint = "the run's log names the first hundred differences".to_owned();
    if differences.contains(OTHER_CONTENT) {
        hint.push_str(
            "; files of one size and time are taken for the same, unless `compare = \"checksum\"` has their contents compared",
        );
    }
    Error::new(Kind::Verify, what).hint(hint)
}

impl Check<'_> {
    /// Fails if there were differences, or if the new tree has other files than those that were put into it.
    pub(in crate::store::files) fn outcome(&self, built: Option<u64>) -> Result<()> {
        let (first, all) = &self.differences;
        if *all > 0 {
            let more = match all - first.len() as u64 {
                0 => String::new(),
                more => format!(", and {more} more"),
            };
            return Err(unequal(&format!("{}{more}", first.join("; "))));
        }
        if let Some(built) = built.filter(|built| *built != self.files) {
            let what = format!(
                "{built} files were put into the new tree, and it has {}",
                self.files
            );
            return Err(Error::new(Kind::Verify, what));
        }
        Ok(())
    }

    /// Notes a difference, unless the source's file, or the copy, was changed since the run began.
    fn differs(&mut self, pair: &Pair<'_>, what: &str) -> Result<()> {
        // What has vanished was told when its turn came.
        let Some(source) = (self.again)(pair)? else {
            return Ok(());
        };
        if source.changed >= self.since {
            self.warnings.add(Warning::Changed, pair.path);
            return Ok(());
        }
        let difference = format!("{} {what}", told(pair.path));
        let (first, all) = &mut self.differences;
        *all += 1;
        if *all <= LOGGED {
            tracing::error!(difference, "not the same on both sides");
        }
        if first.len() < NAMED {
            first.push(difference);
        }
        Ok(())
    }

    /// Notes what is in the copy and was not planned; says whether a file of it is live's own, as it was compared before.
    fn is_live_s(&mut self, pair: &Pair<'_>) -> Result<bool> {
        let (Some(planned), Some(there)) = (&mut self.planned, &pair.sides[TARGET]) else {
            return Ok(false);
        };
        let is_directory = there.kind == FileKind::Directory;
        match planned.find(pair.path)? {
            Some((Action::Enter { .. }, _)) if is_directory => Ok(false),
            Some((Action::TakeOver { is_same }, inode)) if !is_directory => {
                Ok(self.goes_by_plan && is_same && inode != 0 && inode == there.inode)
            }
            Some((Action::Copy, _)) if !is_directory => Ok(false),
            _ => {
                let what = format!("{} is in the copy, and was not planned", told(pair.path));
                Err(Error::new(Kind::Verify, what))
            }
        }
    }

    fn compare(&mut self, pair: &Pair<'_>) -> Result<()> {
        let Some(source) = pair.stat(SOURCE)? else {
            return Ok(());
        };
        if !self.filter.takes(pair.path, &source) {
            return Ok(());
        }
        let Some(target) = pair.stat(TARGET)? else {
            return self.differs(pair, "is missing");
        };
        // What is in no file system does not say that it is a link; its content is where that leads.
        let is_vague = source.is_vague() || target.is_vague();
        if source.kind != target.kind && !is_vague {
            return self.differs(pair, "is another kind of file");
        }
        match source.kind {
            FileKind::Regular | FileKind::Link if is_vague && source.size == target.size => Ok(()),
            FileKind::Regular | FileKind::Link if source.size != target.size => {
                let what = format!("has {} bytes instead of {}", target.size, source.size);
                self.differs(pair, &what)
            }
            FileKind::Regular if self.by_content => self.compare_content(pair),
            FileKind::Link => self.compare_links(pair),
            _ => Ok(()),
        }
    }

    fn compare_links(&mut self, pair: &Pair<'_>) -> Result<()> {
        match (pair.link(SOURCE)?, pair.link(TARGET)?) {
            (None, _) => Ok(()),
            (one, other) if one == other => Ok(()),
            _ => self.differs(pair, "leads elsewhere"),
        }
    }

    fn compare_content(&mut self, pair: &Pair<'_>) -> Result<()> {
        let [Some(one), Some(other)] = pair.sides.each_ref().map(|side| side.as_ref()?.directory)
        else {
            let what = format!("{} cannot be read on both sides", told(pair.path));
            return Err(Error::new(Kind::Internal, what));
        };
        let file = one.read_file_still_there(pair.name);
        let Some(file) = file.at("cannot read", pair.path)? else {
            return Ok(());
        };
        let copy = other.read_file(pair.name);
        let copy = copy.at("cannot read back", pair.path)?;
        if content::is_same([&file, &copy], pair.path, self.stop)? {
            return Ok(());
        }
        self.differs(pair, OTHER_CONTENT)
    }
}

impl Visitor for Check<'_> {
    type Level = ();

    fn entry(&mut self, (): &mut (), pair: &Pair<'_>) -> Result<Option<Descent<()>>> {
        if pair.path == OWN_FOLDER {
            return Ok(None);
        }
        let (source, target) = (pair.kind(SOURCE), pair.kind(TARGET));
        let is_live_s = self.is_live_s(pair)?;
        let is_directory = Some(FileKind::Directory);
        if target.is_some() && target != is_directory {
            self.files += 1;
        }
        let is_meant = source.is_some_and(|kind| !self.filter.excludes(pair.path, kind));
        let both = [is_meant && source == is_directory, target == is_directory];
        if both != [false, false] {
            if both[SOURCE] && target.is_none() && self.has_directories {
                return self.differs(pair, "is missing").map(|()| None);
            }
            return Ok(Some(Descent {
                level: (),
                sides: both,
            }));
        }
        if is_meant && !is_live_s && matches!(source, Some(FileKind::Regular | FileKind::Link)) {
            self.compare(pair)?;
        }
        Ok(None)
    }
    fn passes_by(&self, path: &[u8]) -> bool {
        self.filter.excludes(path, FileKind::Directory)
    }
}
