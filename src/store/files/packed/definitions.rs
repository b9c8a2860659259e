//! A snapshot of a tree, until its list is read; and then as the tree that it is.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::TryStreamExt;

use super::codec::{LIST, TAR};
use super::index::Reader;
use super::tree::Packed;
use crate::config::job::Task;
use crate::error::{Error, Kind, Result};
use crate::store::files::connection::blocking::blocking;
use crate::store::files::connection::stat::Moment;
use crate::store::files::rows::listing::Listing;
use crate::store::files::rows::stored::Stored;
use crate::store::files::rows::survey::Found;
use crate::store::files::rows::tree::{self, Tree};
use crate::store::files::rows::walk::{Root, walk};
use crate::store::files::schema::filter::Filter;
use crate::store::{
    ByName, Catalogue, Context, Definitions, Part, ReadParts, Restored, Slice, SurveyedSnapshot,
    Unit, own,
};
use crate::sync::Mutex;

/// The name of the parts with files.
pub(in crate::store::files) const FILES: &str = "files";
/// The name of the part with the directories.
pub(in crate::store::files) const DIRECTORIES: &str = "directories";

/// What a snapshot says of a tree.
#[derive(Debug)]
struct Snapshot(Stored);

impl Definitions for Snapshot {
    fn to_json(&self) -> Result<Vec<u8>> {
        self.0.to_json()
    }

    fn catalogue(&self, stored: Catalogue, _task: &Task) -> Result<Catalogue> {
        Ok(stored)
    }
}

/// The parts of a snapshot that has these with files: those, the list, and the directories.
pub(in crate::store::files) fn parts_of(batches: &[(u64, u64)]) -> Result<Vec<Part>> {
    let mut parts = Vec::with_capacity(batches.len() + 2);
    for (id, (files, bytes)) in batches.iter().enumerate() {
        parts.push(Part {
            unit: Unit::Files,
            rows: *files,
            slice: Some(Slice::new(&id)?),
            ..Part::whole(id, FILES, TAR, *bytes)
        });
    }
    for (name, encoding) in [(tree::LIST, LIST), (DIRECTORIES, TAR)] {
        parts.push(Part {
            unit: Unit::Files,
            ..Part::whole(parts.len(), name, encoding, 0)
        });
    }
    Ok(parts)
}

/// Reads what was put away.
pub(in crate::store::files) fn read(stored: &[u8], parts: Vec<Part>) -> Result<Restored> {
    let stored = Stored::read(stored)?;
    Ok(Restored::new(Arc::new(Snapshot(stored)), parts, Vec::new()))
}

/// Reads the list of a snapshot, and makes the tree of it.
pub(in crate::store::files) async fn survey(
    task: &Task,
    context: &Context,
    restored: Restored,
    reader: Arc<dyn ReadParts>,
) -> Result<SurveyedSnapshot> {
    let stored = &own::<Snapshot>(&*restored.definitions)?.0;
    let its = Parts::of(restored.parts, stored.starts.len())?;
    let mut list = Reader::new();
    let mut chunks = reader.read(&its.list)?;
    while let Some(chunk) = chunks.try_next().await? {
        list.feed(&chunk.data)?;
    }
    let listing = list.finish()?;
    let filter = Arc::new(Filter::of(task, context.selection.describes_columns)?);
    let mut found = look(&listing, &filter, context).await?;
    let undecided = std::mem::take(&mut found.undecided);
    let packed = Packed {
        reader,
        parts: its.files.clone(),
        directories: its.directories,
        starts: stored.starts.clone(),
        listing,
        filter: Arc::clone(&filter),
        workers: context.workers,
        throttle: task.throttle,
        cancel: context.cancel.clone(),
        arrived: Mutex::new(None),
    };
    let tree = Tree {
        told: format!("snapshot of {}", stored.told),
        at: tree::At::Elsewhere(Arc::new(packed)),
        listing: found.listing()?,
        filter,
        starts: stored.starts.clone(),
        likenesses: tree::Likenesses::default(),
        files: found.files,
        since: NEVER,
    };
    let restored = Restored::new(Arc::new(tree), its.files, restored.left_out);
    let by_name = Arc::new(Undecided(undecided));
    Ok(SurveyedSnapshot { restored, by_name })
}

/// Nothing in a snapshot changes.
const NEVER: Moment = (i64::MAX, 0);

/// What of a list a task is for.
async fn look(listing: &Listing, filter: &Arc<Filter>, context: &Context) -> Result<Found> {
    let (listing, filter) = (listing.clone(), Arc::clone(filter));
    blocking(&context.cancel, move |stop| {
        let mut found = Found::new(filter);
        walk([Some(Root::Listing(listing)), None], (), &mut found, stop)?;
        Ok(found)
    })
    .await
}

/// The parts of a snapshot.
struct Parts {
    files: Vec<Part>,
    list: Part,
    directories: Part,
}

impl Parts {
    /// Of so many with files, which are numbered from 0.
    fn of(parts: Vec<Part>, files: usize) -> Result<Self> {
        let broken = || {
            Error::new(
                Kind::Verify,
                "the parts of the snapshot are not those of a tree",
            )
        };
        let mut found: Vec<Part> = Vec::with_capacity(files);
        let (mut list, mut directories) = (None, None);
        for part in parts {
            match (&*part.name, &part.encoding, &part.slice) {
                (FILES, encoding, Some(_)) if *encoding == TAR => found.push(part),
                (tree::LIST, encoding, None) if *encoding == LIST => list = Some(part),
                (DIRECTORIES, encoding, None) if *encoding == TAR => directories = Some(part),
                _ => return Err(broken()),
            }
        }
        found.sort_by_key(|part| part.id);
        let are_all = found.iter().enumerate().all(|(at, part)| part.id == at);
        if !are_all || found.len() != files {
            return Err(broken());
        }
        Ok(Self {
            files: found,
            list: list.ok_or_else(broken)?,
            directories: directories.ok_or_else(broken)?,
        })
    }
}

/// The first names that nobody has decided on, and how many there are.
struct Undecided((Vec<String>, u64));

#[async_trait]
impl ByName for Undecided {
    async fn unnamed(&self) -> Result<(Vec<String>, u64)> {
        Ok(self.0.clone())
    }
}
