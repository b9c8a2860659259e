//! A bucket's objects exchanged for what was kept of them, as a list of changes says: to undo a run, and to roll it back and forth.
//! The server copies them. Only what is as the list says is touched: all else is somebody else's, is named, and stays. Whatever was
//! cut short can be gone on with.

use tokio::task::JoinSet;

use super::changes::{Change, Changes, Lines, Version};
use super::folder::{Folder, NEW, OLD, kept, left};
use crate::error::{Error, Kind, Result};
use crate::s3::copy::Found;
use crate::s3::put::Copied;
use crate::store::files::bucket::about::Kept;
use crate::store::files::bucket::sums::Tag;
use crate::store::files::connection::stat::{FileKind, Stat};
use crate::store::files::connection::told::told;
use crate::store::files::publish::exchange::Way;
use crate::store::files::rows::follow::Follow;
use crate::store::files::rows::listing::{Entry, Listing};
use crate::store::files::rows::sorter::Sorter;

/// So many names that are left alone are told.
const NAMED: u64 = 20;
/// So many objects are deleted by one request.
const TOGETHER: usize = 1000;

/// How objects are exchanged.
#[derive(Clone)]
pub(super) struct Exchange {
    pub(super) folder: Folder,
    pub(super) run: String,
    pub(super) way: Way,
    /// The run has not come to its end, and began to change live then, by the server's clock: what it has made of an object may not
    /// be known, and is not kept.
    pub(super) undoes: Option<i64>,
}

/// What came of it.
pub(super) struct Outcome {
    /// The list, with what live's objects are now.
    pub(super) changes: Changes,
    /// Objects that are somebody else's, and were left alone.
    pub(super) left: u64,
    /// Objects that were written or deleted.
    pub(super) changed: u64,
}

/// What came of an object.
enum Came {
    /// It is what it is to be.
    Is(Version),
    /// It has become that.
    Became(Version),
    /// It is to go.
    Goes,
    /// It is not there, and is not to be.
    Gone,
    /// It is somebody else's.
    Left,
}

/// An object and what came of it.
type Landed = (String, Came);

impl Version {
    fn of(found: &Found) -> Self {
        Self {
            size: found.size,
            tag: found.tag.clone(),
            is_meant: false,
        }
    }

    /// Whether an object is this one.
    fn is(&self, found: &Found, path: &str) -> bool {
        let has_tag = match (&self.tag, &found.tag) {
            (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
            // Of one that stands for a directory a list says no more.
            _ => path.ends_with('/'),
        };
        self.size == found.size && has_tag
    }
}

impl Version {
    /// Whether an object is what a run meant to write, as far as that can be known: it was written since the run began, and has what
    /// we alone write; or, where tags of copies say nothing, it is as long as the source's.
    fn may_be(&self, found: &Found, began: i64) -> bool {
        let written = found.modified.map(|time| time.timestamp());
        if written.is_none_or(|written| written < began) {
            return false;
        }
        let is_sum = |tag: &Option<String>| {
            let tag = tag.as_deref();
            tag.is_some_and(|tag| Tag::of(tag) == Tag::Whole)
        };
        let says_nothing = self.tag.is_some() && !(is_sum(&self.tag) && is_sum(&found.tag));
        Kept::of(&found.headers).modified.is_some() || (says_nothing && self.size == found.size)
    }
}

impl Exchange {
    /// Keeps what will make way, before any of it does.
    pub(super) async fn keep(&self, changes: &Changes) -> Result<()> {
        let begin = |path: String, change: Change| {
            let one = self.clone();
            let goes = one.goes(&change).cloned()?;
            Some(async move { one.keep_one(&path, &goes).await })
        };
        each(changes, self.folder.at_once, begin, |()| Ok(())).await
    }

    /// Exchanges all: first what comes, then what goes.
    pub(super) async fn exchange(&self, changes: &Changes) -> Result<Outcome> {
        let at_once = self.folder.at_once;
        let mut tally = Tally::default();
        let begin = |path: String, change: Change| {
            let one = self.clone();
            let comes = one.comes(&change).cloned()?;
            Some(async move {
                let came = one.put(&path, &comes, &change).await?;
                Ok((path, came))
            })
        };
        each(changes, at_once, begin, |landed| tally.add(landed)).await?;
        let mut doomed = Sorter::new();
        let begin = |path: String, change: Change| {
            let one = self.clone();
            if one.comes(&change).is_some() {
                return None;
            }
            Some(async move {
                let came = one.take(&path, &change).await?;
                Ok((path, came))
            })
        };
        let landed = |(path, came): Landed| {
            if matches!(came, Came::Goes) {
                doomed.push(Entry {
                    path: path.clone().into_bytes(),
                    stat: Stat::unknown(FileKind::Regular),
                    link: None,
                })?;
            }
            tally.add((path, came))
        };
        each(changes, at_once, begin, landed).await?;
        self.delete(&doomed.finish(|_| Ok(()))?).await?;
        tally.outcome(changes, self.way)
    }

    async fn delete(&self, doomed: &Listing) -> Result<()> {
        let (mut batch, mut directories) = (Vec::new(), Vec::new());
        let mut cursor = doomed.cursor()?;
        while let Some((entry, _)) = cursor.entry() {
            let path = String::from_utf8_lossy(&entry.path).into_owned();
            if path.ends_with('/') {
                directories.push(path);
            } else {
                batch.push(path);
            }
            if batch.len() >= TOGETHER {
                self.folder.s3.delete_objects(&batch).await?;
                batch.clear();
            }
            cursor.advance()?;
        }
        // What is in a directory goes before the object that stands for it.
        batch.extend(directories.into_iter().rev());
        self.folder.s3.delete_objects(&batch).await
    }

    /// What comes.
    fn comes<'c>(&self, change: &'c Change) -> Option<&'c Version> {
        match self.way {
            Way::Back => change.old.as_ref(),
            Way::Forth => change.new.as_ref(),
        }
    }

    /// What makes way for it.
    fn goes<'c>(&self, change: &'c Change) -> Option<&'c Version> {
        match self.way {
            Way::Back => change.new.as_ref(),
            Way::Forth => change.old.as_ref(),
        }
    }

    /// Where what comes, or what goes, is kept.
    fn kept(&self, comes: bool, path: &str) -> String {
        let is_old = (self.way == Way::Back) == comes;
        kept(&self.run, if is_old { OLD } else { NEW }, path)
    }

    async fn keep_one(&self, path: &str, goes: &Version) -> Result<()> {
        let found = self.folder.s3.look(path).await?;
        let Some(found) = found.filter(|found| goes.is(found, path)) else {
            // It is told when its turn comes.
            return Ok(());
        };
        let to = self.kept(false, path);
        let tag = found.tag.as_deref();
        let copied = self.folder.copy((path, &to), found.size, tag).await;
        copied.map(drop)
    }

    /// Puts what was kept in place.
    async fn put(&self, path: &str, comes: &Version, change: &Change) -> Result<Came> {
        let from = self.kept(true, path);
        let s3 = &self.folder.s3;
        let found = s3.look(path).await?;
        if let Some(found) = found.as_ref().filter(|found| comes.is(found, path)) {
            return Ok(Came::Is(Version::of(found)));
        }
        let may_go = match (&found, self.goes(change)) {
            (None, None) => true,
            (Some(found), Some(goes)) => self.is_ours(goes, found, path).await?,
            _ => false,
        };
        if may_go {
            let copied = self.folder.copy((&from, path), comes.size, None).await?;
            if let Copied::Done(tag) = copied {
                return self.became(path, comes.size, tag).await;
            }
        } else if let Some(found) = &found
            && self.is_copy(&from, found, path).await?
        {
            // It came before something was cut short; some tags change with a copy.
            return Ok(Came::Is(Version::of(found)));
        }
        if self.undoes.is_some() {
            let to = left(&self.run, path);
            let kept = self.folder.copy((&from, &to), comes.size, None).await?;
            tracing::debug!(?kept, path, "what was there before the run is kept");
        }
        Ok(Came::Left)
    }

    async fn became(&self, path: &str, size: u64, tag: Option<String>) -> Result<Came> {
        let tag = match tag {
            Some(tag) => Some(tag),
            None => self.folder.s3.look(path).await?.and_then(|found| found.tag),
        };
        Ok(Came::Became(Version {
            size,
            tag,
            is_meant: false,
        }))
    }

    /// Whether an object goes that is not to be there.
    async fn take(&self, path: &str, change: &Change) -> Result<Came> {
        let Some(found) = self.folder.s3.look(path).await? else {
            return Ok(Came::Gone);
        };
        let Some(goes) = self.goes(change) else {
            return Ok(Came::Left);
        };
        let is_ours = self.is_ours(goes, &found, path).await?;
        Ok(if is_ours { Came::Goes } else { Came::Left })
    }

    /// Whether an object is what lies in a copy.
    async fn is_copy(&self, copy: &str, found: &Found, path: &str) -> Result<bool> {
        let copy = self.folder.s3.look(copy).await?;
        Ok(copy.is_some_and(|copy| Version::of(&copy).is(found, path)))
    }

    /// Whether an object is what makes way, and nothing of somebody else's.
    async fn is_ours(&self, goes: &Version, found: &Found, path: &str) -> Result<bool> {
        if goes.is(found, path) {
            return Ok(true);
        }
        match self.undoes {
            Some(began) => Ok(goes.is_meant && goes.may_be(found, began)),
            // It came before something was cut short.
            None => self.is_copy(&self.kept(false, path), found, path).await,
        }
    }
}

/// Counts what came of objects.
struct Tally {
    now: Sorter,
    left: u64,
    changed: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            now: Sorter::new(),
            left: 0,
            changed: 0,
        }
    }
}

impl Tally {
    fn add(&mut self, (path, came): Landed) -> Result<()> {
        let version = match came {
            Came::Gone => return Ok(()),
            Came::Goes => {
                self.changed += 1;
                return Ok(());
            }
            Came::Left => {
                self.left += 1;
                if self.left <= NAMED {
                    let file = told(path.as_bytes());
                    tracing::warn!(
                        file,
                        "somebody has written or deleted it since, and it stays as it is"
                    );
                }
                return Ok(());
            }
            Came::Became(version) => {
                self.changed += 1;
                version
            }
            Came::Is(version) => version,
        };
        self.now.push(Entry {
            path: path.into_bytes(),
            stat: Stat {
                size: version.size,
                ..Stat::unknown(FileKind::Regular)
            },
            link: version.tag.map(String::into_bytes),
        })
    }

    /// The list, with what live's objects are now.
    fn outcome(self, changes: &Changes, way: Way) -> Result<Outcome> {
        let now = self.now.finish(|_| Ok(()))?;
        let mut now = Follow::of(Some(&now))?;
        let mut lines = Lines::begin()?;
        let mut reading = changes.read()?;
        while let Some((path, mut change)) = reading.next()? {
            if let Some(entry) = now.find(path.as_bytes())? {
                let version = Some(version_of(entry));
                match way {
                    Way::Back => change.old = version,
                    Way::Forth => change.new = version,
                }
            }
            lines.add(&path, &change)?;
        }
        Ok(Outcome {
            changes: lines.end()?,
            left: self.left,
            changed: self.changed,
        })
    }
}

/// What an object of a list of ours is known by.
pub(super) fn version_of(entry: &Entry) -> Version {
    let tag = entry.link.clone().map(String::from_utf8);
    Version {
        size: entry.stat.size,
        tag: tag.and_then(std::result::Result::ok),
        is_meant: false,
    }
}

/// Does something with each object of a list, several at a time. After a failure, what is on its way is waited for.
pub(super) async fn each<T, F>(
    changes: &Changes,
    at_once: usize,
    mut begin: impl FnMut(String, Change) -> Option<F> + Send,
    mut landed: impl FnMut(T) -> Result<()> + Send,
) -> Result<()>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    let mut reading = changes.read()?;
    let mut flight: JoinSet<Result<T>> = JoinSet::new();
    let mut outcome = Ok(());
    loop {
        while outcome.is_ok() && flight.len() < at_once {
            let Some((path, change)) = reading.next()? else {
                break;
            };
            if let Some(one) = begin(path, change) {
                flight.spawn(one);
            }
        }
        let Some(done) = flight.join_next().await else {
            return outcome;
        };
        let done = done.map_err(|error| Error::new(Kind::Internal, "a worker died").because(error));
        outcome = outcome.and(done.and_then(|done| landed(done?)));
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use http::HeaderMap;

    use super::*;

    const ONE: &str = "0123456789abcdef0123456789abcdef";
    const OTHER: &str = "ffffffffffffffffffffffffffffffff";

    fn found(tag: &str, written: i64, is_ours: bool) -> Found {
        let mut headers = HeaderMap::new();
        if is_ours {
            let name = "x-amz-meta-envsyncd-mtime";
            headers.insert(name, "5.000000000".parse().unwrap());
        }
        Found {
            size: 3,
            tag: Some(tag.to_owned()),
            modified: DateTime::from_timestamp(written, 0),
            headers,
        }
    }

    fn meant(size: u64, tag: Option<&str>) -> Version {
        Version {
            size,
            tag: tag.map(str::to_owned),
            is_meant: true,
        }
    }

    #[test]
    fn an_object_is_what_a_list_says_by_length_and_tag() {
        assert!(meant(3, Some(ONE)).is(&found(&ONE.to_uppercase(), 0, false), "a"));
        assert!(!meant(3, Some(ONE)).is(&found(OTHER, 0, false), "a"));
        assert!(!meant(4, Some(ONE)).is(&found(ONE, 0, false), "a"));
        assert!(!meant(3, None).is(&found(ONE, 0, false), "a"));
        assert!(meant(3, None).is(&found(ONE, 0, false), "a/"));
    }

    #[test]
    fn what_a_killed_run_has_written_is_not_taken_for_somebody_else_s_nor_the_other_way_round() {
        // Of a file, we alone write its time.
        assert!(meant(9, None).may_be(&found(ONE, 10, true), 10));
        assert!(!meant(9, None).may_be(&found(ONE, 9, true), 10));
        assert!(!meant(3, None).may_be(&found(ONE, 10, false), 10));
        // A copy of an object has its tag, unless tags are none of content.
        assert!(!meant(3, Some(OTHER)).may_be(&found(ONE, 10, false), 10));
        assert!(meant(3, Some("0123-2")).may_be(&found(ONE, 10, false), 10));
        assert!(meant(3, Some(OTHER)).may_be(&found("opaque", 10, false), 10));
        assert!(!meant(4, Some("0123-2")).may_be(&found(ONE, 10, false), 10));
    }
}
