//! Whether a file and an object, or two objects, are the same, by what a list says of objects: nobody is asked for each.

use rustix::fs::{Advice, fadvise};
use rustix::io::pread;
use tokio_util::sync::CancellationToken;

use super::sums::Tag;
use crate::error::Result;
use crate::store::files::connection::blocking::stopped;
use crate::store::files::connection::stat::{FileKind, Moment, Stat};
use crate::store::files::connection::told::At;
use crate::store::files::rows::decision::Likeness;
use crate::store::files::rows::follow::Follow;
use crate::store::files::rows::pair::{Pair, SOURCE, TARGET};
use crate::store::files::rows::precision::Kept;
use crate::sync::Mutex;

/// So far may two clocks be from each other: what was changed that much earlier than it was copied has not changed since.
const APART: i64 = 3600;
/// Bytes that are read at a time.
const PIECE: usize = 256 * 1024;

/// Compares by size, time and tag.
pub(in crate::store::files) struct ByTag {
    /// Content counts, and not time.
    pub(in crate::store::files) by_content: bool,
    /// Both are by one clock.
    pub(in crate::store::files) is_one_clock: bool,
    /// Objects that were put back since: when they were written says nothing about their content.
    pub(in crate::store::files) restored: Mutex<Follow>,
    /// Ends the reading of files.
    pub(in crate::store::files) stop: CancellationToken,
}

impl Likeness for ByTag {
    fn is_same(&self, pair: &Pair<'_>, source: &Stat, live: &Stat, kept: &Kept) -> Result<bool> {
        let is_file = |stat: &Stat| matches!(stat.kind, FileKind::Regular | FileKind::Link);
        if source.size != live.size || !is_file(source) || !is_file(live) {
            return Ok(false);
        }
        let by_content = self.by_content || self.restored.lock().find(pair.path)?.is_some();
        match (source.is_vague(), live.is_vague()) {
            // Out of a bucket: a copy has its object's time, in which its tag is, too.
            (true, false) => {
                let has_time = kept.has_time_of(source.modified, live.modified);
                if !by_content {
                    return Ok(has_time);
                }
                Ok(self
                    .has_tag(pair, TARGET, SOURCE, live)?
                    .unwrap_or(has_time))
            }
            // Into one.
            (false, true) => {
                let latest = source.modified.max(source.changed);
                if !by_content && is_before(latest, live.changed, APART) {
                    return Ok(true);
                }
                Ok(self.has_tag(pair, SOURCE, TARGET, source)?.unwrap_or(false))
            }
            _ => {
                let tags = (pair.link(SOURCE)?, pair.link(TARGET)?);
                let is_opaque =
                    tag_text(tags.0.as_deref()).is_none_or(|tag| Tag::of(tag) == Tag::Opaque);
                if tags.0 == tags.1 && !is_opaque {
                    return Ok(true);
                }
                let apart = if self.is_one_clock { 0 } else { APART };
                Ok(!by_content && is_before(source.changed, live.changed, apart))
            }
        }
    }
}

/// Whether one moment is before another one by more than so many seconds.
fn is_before(one: Moment, other: Moment, apart: i64) -> bool {
    (one.0.saturating_add(apart), one.1) < other
}

fn tag_text(tag: Option<&[u8]>) -> Option<&str> {
    std::str::from_utf8(tag?).ok()
}

impl ByTag {
    /// Whether the content of a file here has the tag of an object; `None`: that cannot be said.
    fn has_tag(
        &self,
        pair: &Pair<'_>,
        here: usize,
        there: usize,
        found: &Stat,
    ) -> Result<Option<bool>> {
        let tag = pair.link(there)?;
        let Some(tag) = tag_text(tag.as_deref()) else {
            return Ok(None);
        };
        let computed = sum(pair, here, found, Tag::of(tag), &self.stop)?;
        Ok(computed.map(|computed| computed.eq_ignore_ascii_case(tag)))
    }
}

/// The tag that the content of a file here has, in the form of an object's tag; `None`: nobody can tell. Of what is there no more, or
/// is another kind of thing by now, it is empty, as no object's is.
pub(in crate::store::files) fn sum(
    pair: &Pair<'_>,
    here: usize,
    found: &Stat,
    form: Tag,
    stop: &CancellationToken,
) -> Result<Option<String>> {
    let Some(mut sum) = form.sum(found.size) else {
        return Ok(None);
    };
    if found.kind == FileKind::Link {
        let Some(link) = pair.link(here)? else {
            return Ok(Some(String::new()));
        };
        sum.update(&link);
        return Ok(Some(sum.finish()));
    }
    let Some(directory) = pair.sides[here].as_ref().and_then(|side| side.directory) else {
        return Ok(None);
    };
    let file = directory.read_file_still_there(pair.name);
    let Some(file) = file.at("cannot read", pair.path)? else {
        return Ok(Some(String::new()));
    };
    // No more than a wish.
    let _ = fadvise(&file, 0, None, Advice::Sequential);
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    loop {
        stopped(stop)?;
        match pread(&file, &mut piece[..], at) {
            Ok(0) => return Ok(Some(sum.finish())),
            Ok(read) => {
                sum.update(&piece[..read]);
                at += read as u64;
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).at("cannot read", pair.path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_by_less_than_clocks_are_apart_is_not_sure() {
        assert!(is_before((0, 0), (APART + 1, 0), APART));
        assert!(!is_before((0, 1), (APART, 0), APART));
        assert!(!is_before((5, 0), (5, 0), 0));
    }
}
