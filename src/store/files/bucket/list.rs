//! What is in a bucket's tree: pages of a list, sorted as trees are walked, with the directories that keys make.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::object::{self, Meaning};
use crate::error::{Error, Kind, Result};
use crate::s3::S3;
use crate::s3::pages::{self, Listed};
use crate::store::files::connection::blocking::blocking;
use crate::store::files::connection::stat::FileKind;
use crate::store::files::connection::told::told;
use crate::store::files::rows::listing::{Entry, Listing};
use crate::store::files::rows::sorter::Sorter;
use crate::store::files::schema::filter::Filter;

/// So many keys are named in an error.
const NAMED: usize = 3;

/// How a tree is listed.
#[derive(Clone)]
pub(in crate::store::files) struct Wanted {
    /// What is left alone, and need not be a file.
    pub(in crate::store::files) filter: Arc<Filter>,
    /// Whether keys that cannot be files are refused; else they are left alone.
    pub(in crate::store::files) is_strict: bool,
    /// A file that is looked for.
    pub(in crate::store::files) marker: Option<String>,
}

/// What was found.
pub(in crate::store::files) struct Found {
    /// The tree; each file has its object's tag where a link says where it leads.
    pub(in crate::store::files) listing: Listing,
    /// Whether the marker is there.
    pub(in crate::store::files) has_marker: bool,
}

/// Lists a tree.
pub(in crate::store::files) async fn list(
    s3: &Arc<S3>,
    wanted: &Wanted,
    cancel: &CancellationToken,
) -> Result<Found> {
    let mut pages = pages::Listing::of(s3);
    let mut gathered = Gathered::new(wanted.clone())?;
    while let Some(page) = pages.next().await? {
        gathered = blocking(cancel, move |_| {
            gathered.add(page)?;
            Ok(gathered)
        })
        .await?;
    }
    let place = s3.place().to_owned();
    blocking(cancel, move |_| gathered.finish(&place)).await
}

/// What has been listed so far.
struct Gathered {
    wanted: Wanted,
    sorter: Sorter,
    /// The directory of the last file, whose directories have been noted.
    above: String,
    odd: Vec<String>,
    all_odd: u64,
    has_marker: bool,
}

impl Gathered {
    fn new(wanted: Wanted) -> Result<Self> {
        let mut sorter = Sorter::new();
        sorter.push(directory("", false))?;
        Ok(Self {
            wanted,
            sorter,
            above: String::new(),
            odd: Vec::new(),
            all_odd: 0,
            has_marker: false,
        })
    }

    fn add(&mut self, page: Vec<Listed>) -> Result<()> {
        for object in page {
            self.has_marker |= self.wanted.marker.as_deref() == Some(object.path.as_str());
            if self.is_excluded(&object.path) {
                continue;
            }
            match object::meaning(&object.path, object.size) {
                Meaning::File(path) => {
                    self.add_above(path)?;
                    self.sorter.push(Entry {
                        path: path.as_bytes().to_vec(),
                        stat: object::stat(&object),
                        link: object.tag.as_deref().map(|tag| tag.as_bytes().to_vec()),
                    })?;
                }
                Meaning::Directory("") => {}
                Meaning::Directory(path) => {
                    self.add_above(path)?;
                    self.sorter.push(directory(path, true))?;
                }
                Meaning::Impossible(why) => self.note(object.path.as_bytes(), why),
            }
        }
        Ok(())
    }

    /// Whether a key, or a directory that it would be in, is left alone.
    fn is_excluded(&self, key: &str) -> bool {
        let filter = &self.wanted.filter;
        let (path, kind) = match key.strip_suffix('/') {
            Some(path) => (path, FileKind::Directory),
            None => (key, FileKind::Regular),
        };
        let is_directory = |(end, _): (usize, char)| {
            end > 0 && filter.excludes(&path.as_bytes()[..end], FileKind::Directory)
        };
        let mut slashes = path.char_indices().filter(|(_, c)| *c == '/');
        !path.is_empty() && (slashes.any(is_directory) || filter.excludes(path.as_bytes(), kind))
    }

    /// Notes the directories above a path.
    fn add_above(&mut self, path: &str) -> Result<()> {
        let above = path.rsplit_once('/').map_or("", |(above, _)| above);
        if above == self.above {
            return Ok(());
        }
        for (end, _) in above.match_indices('/') {
            // What the last one had, too, has been noted.
            let is_known = self.above.as_bytes().get(end) == Some(&b'/')
                && self.above.as_bytes()[..end] == above.as_bytes()[..end];
            if !is_known {
                self.sorter.push(directory(&above[..end], false))?;
            }
        }
        if !above.is_empty() {
            self.sorter.push(directory(above, false))?;
        }
        above.clone_into(&mut self.above);
        Ok(())
    }

    fn note(&mut self, key: &[u8], why: &str) {
        self.all_odd += 1;
        if self.odd.len() < NAMED {
            self.odd.push(format!("{} ({why})", told(key)));
        }
    }

    fn finish(mut self, place: &str) -> Result<Found> {
        let sorter = std::mem::replace(&mut self.sorter, Sorter::new());
        let why = "there are objects below it, as if it were a directory";
        let listing = sorter.finish(|entry| {
            self.note(&entry.path, why);
            Ok(())
        })?;
        let found = Found {
            listing,
            has_marker: self.has_marker,
        };
        if self.all_odd == 0 {
            return Ok(found);
        }
        let (first, all) = (self.odd.join(", "), self.all_odd);
        if !self.wanted.is_strict {
            tracing::warn!(
                objects = all,
                first,
                "objects that cannot be files are left alone"
            );
            return Ok(found);
        }
        let more = match all - self.odd.len() as u64 {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        let what = format!("objects in {place} cannot be files: {first}{more}");
        Err(Error::new(Kind::Verify, what)
            .hint("delete or rename them, or leave them out with `exclude`"))
    }
}

fn directory(path: &str, is_marked: bool) -> Entry {
    Entry {
        path: path.as_bytes().to_vec(),
        stat: object::directory(is_marked),
        link: None,
    }
}
