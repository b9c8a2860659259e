//! A tree that is read.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;

use super::connection::blocking::blocking;
use super::connection::directory::Directory;
use super::connection::stat::{FileKind, Moment};
use super::connection::told::At;
use super::packed::cut::{Cut, cut};
use super::packed::definitions::{self, FILES};
use super::packed::entry::Out;
use super::packed::read::Packing;
use super::remote::tree::FarTree;
use super::rows::listing::Listing;
use super::rows::survey::{Batch, Found};
use super::rows::tree::{self, LIST, Likenesses, Tree, look};
use super::rows::walk::{Root, walk};
use super::rows::warnings::Warnings;
use super::schema::filter::Filter;
use super::schema::options::Options;
use super::url::{KIND, TreeUrl, elsewhere};
use crate::config::job::Task;
use crate::error::{Error, Kind, Result};
use crate::policy::Identity;
use crate::store::{
    ByName, Catalogue, Checksum, Chunks, Context, Encoding, Part, RowSum, Server, Slice, Source,
    Survey, Taker, Unit,
};
use crate::sync::Mutex;

/// What the parts of a tree are in: they are not rows, and go by the system's own means.
const WHOLE: Encoding = Encoding::new("files");

/// Chunks of a part that wait for whoever takes them.
const WAITING: usize = 4;

/// The version of how trees are copied, as servers have one.
pub(super) fn server() -> Server {
    Server::of(KIND, "1", 1)
}

/// A tree that is read.
pub(super) struct TreeSource {
    told: String,
    at: tree::At,
    identity: Identity,
    filter: Arc<Filter>,
    marker: Option<String>,
    context: Context,
    /// The first names that nobody has decided on, and how many there are.
    undecided: Mutex<(Vec<String>, u64)>,
    /// What is packed for an archive, once it was surveyed.
    packing: Mutex<Option<Arc<Packing>>>,
    /// What was read of each part.
    sums: Arc<Mutex<BTreeMap<usize, RowSum>>>,
    warnings: Arc<Warnings>,
}

impl TreeSource {
    /// A task's. It has to be there.
    pub(super) async fn open(task: &Task, context: &Context) -> Result<Self> {
        let options = task.options.get::<Options>()?;
        let filter = Arc::new(Filter::of(task, context.selection.describes_columns)?);
        let (at, identity, told) = match task.source.url.address::<TreeUrl>()? {
            TreeUrl::Directory(path) => {
                let (directory, identity) = here(path)?;
                (
                    tree::At::Here(directory),
                    identity,
                    path.display().to_string(),
                )
            }
            TreeUrl::Ssh(url) => {
                let (far, identity) = FarTree::open(url, task, &filter, context).await?;
                (
                    tree::At::Elsewhere(Arc::new(far)),
                    identity,
                    url.to_string(),
                )
            }
            TreeUrl::Bucket(_) => return Err(elsewhere()),
        };
        Ok(Self {
            told,
            at,
            identity,
            filter,
            marker: options.marker.clone(),
            context: context.clone(),
            undecided: Mutex::default(),
            packing: Mutex::default(),
            sums: Arc::default(),
            warnings: Arc::default(),
        })
    }

    /// What is walked, and the time before which it was what it is.
    async fn begin(&self) -> Result<(Root, Moment)> {
        match &self.at {
            tree::At::Here(directory) => {
                let has = |marker: &str| {
                    let found = look(directory, marker.as_bytes()).ok().flatten();
                    Ok(found.is_some_and(|found| found.kind == FileKind::Regular))
                };
                self.check_marker(has)?;
                Ok((
                    Root::Directory(Arc::clone(directory)),
                    tree::some_ticks_ago(),
                ))
            }
            tree::At::Elsewhere(fetch) => {
                let since = fetch.now().await?;
                let listing = fetch.list().await?;
                self.check_marker(|marker| has_file(&listing, marker.as_bytes()))?;
                Ok((Root::Listing(listing), since))
            }
        }
    }

    /// Cuts a tree for an archive.
    async fn cut(&self, found: &mut Found, since: Moment) -> Result<(Cut, Listing)> {
        let (listing, filter) = (found.listing()?, Arc::clone(&self.filter));
        let sizes = found.batches.iter();
        let all = sizes.fold((0, 0), |(files, bytes), one| {
            (files + one.files, bytes + one.bytes)
        });
        blocking(&self.context.cancel, move |stop| {
            cut(&listing, &filter, all, since, stop)
        })
        .await
    }

    /// The parts of a snapshot, which can be read from here on.
    fn pack(
        &self,
        batches: &[Batch],
        likenesses: &Likenesses,
        listing: &Listing,
    ) -> Result<Vec<Part>> {
        let tree::At::Here(directory) = &self.at else {
            return Err(elsewhere());
        };
        let packing = Packing {
            root: Arc::clone(directory),
            listing: listing.clone(),
            filter: Arc::clone(&self.filter),
            likenesses: Arc::clone(likenesses),
            marks: batches.iter().map(|batch| batch.mark).collect(),
            warnings: Arc::clone(&self.warnings),
        };
        packing.note_special()?;
        *self.packing.lock() = Some(Arc::new(packing));
        let sizes: Vec<_> = batches.iter().map(|one| (one.files, one.bytes)).collect();
        definitions::parts_of(&sizes)
    }

    /// Refuses a tree without its marker: something is to be mounted there, and is not.
    fn check_marker(&self, has: impl FnOnce(&str) -> Result<bool>) -> Result<()> {
        let Some(marker) = &self.marker else {
            return Ok(());
        };
        if has(marker)? {
            return Ok(());
        }
        let what = format!("the source {} has no file `{marker}`", self.told);
        Err(Error::new(Kind::Absent, what).hint(
            "see whether it is mounted: with `marker` a tree without that file is not copied",
        ))
    }
}

/// A directory on this machine.
fn here(path: &Path) -> Result<(Arc<Directory>, Identity)> {
    let directory = Directory::at(path).map_err(|error| {
        let what = format!("the source {} cannot be opened", path.display());
        Error::new(Kind::Connection, what)
            .because(std::io::Error::from(error))
            .hint("check the source's path, and whether it is a directory")
    })?;
    let found = directory.own_stat().at("cannot look at the source", b"")?;
    let identity = Identity {
        thing: Some(format!("files {}/{}", found.id.0, found.id.1)),
        place: format!("files {}", path.display()),
    };
    Ok((Arc::new(directory), identity))
}

/// Whether a list has a file at a path.
fn has_file(listing: &Listing, path: &[u8]) -> Result<bool> {
    let mut cursor = listing.cursor()?;
    while let Some((entry, _)) = cursor.entry() {
        if entry.path == path {
            return Ok(entry.stat.kind == FileKind::Regular);
        }
        cursor.advance()?;
    }
    Ok(false)
}

#[async_trait]
impl Source for TreeSource {
    async fn identity(&self) -> Result<Identity> {
        Ok(self.identity.clone())
    }

    async fn survey(&self, taker: &Taker) -> Result<Survey> {
        let (root, since) = self.begin().await?;
        let filter = Arc::clone(&self.filter);
        let mut found = blocking(&self.context.cancel, move |stop| {
            let mut found = Found::new(filter);
            walk([Some(root), None], (), &mut found, stop)?;
            Ok(found)
        })
        .await?;
        *self.undecided.lock() = std::mem::take(&mut found.undecided);
        let likenesses = Likenesses::default();
        let (batches, listing, parts) = match taker {
            Taker::Archive => {
                let (cut, listing) = self.cut(&mut found, since).await?;
                *likenesses.lock() = cut.likenesses;
                let parts = self.pack(&cut.batches, &likenesses, &listing)?;
                (cut.batches, listing, parts)
            }
            Taker::Server(_) => {
                let batches = std::mem::take(&mut found.batches);
                let parts = parts_of(&batches)?;
                (batches, found.listing()?, parts)
            }
        };
        let tree = Tree {
            told: self.told.clone(),
            at: self.at.clone(),
            listing,
            filter: Arc::clone(&self.filter),
            starts: batches.into_iter().map(|batch| batch.start).collect(),
            likenesses,
            files: found.files,
            since,
        };
        Ok(Survey::new(server(), parts, Vec::new(), Arc::new(tree)))
    }

    /// As an archive has it.
    async fn read(&self, part: &Part) -> Result<Chunks> {
        let packing = self.packing.lock().clone().ok_or_else(no_rows)?;
        let (sender, chunks) = mpsc::channel(WAITING);
        let (part, sums) = (part.clone(), Arc::clone(&self.sums));
        let stop = self.context.cancel.child_token();
        let stops_when_dropped = stop.clone().drop_guard();
        tokio::task::spawn_blocking(move || {
            let out = Out::new(sender.clone());
            let packed = match &*part.name {
                FILES => packing.files(part.id, out, &stop).map(|sum| {
                    sums.lock().insert(part.id, sum);
                }),
                LIST => packing.list(out, &stop),
                _ => packing.directories(out, &stop),
            };
            if let Err(error) = packed {
                // Nobody hears it who reads no more.
                let _ = sender.blocking_send(Err(error));
            }
        });
        let reading = (chunks, stops_when_dropped);
        Ok(stream::unfold(reading, |(mut chunks, guard)| async {
            let chunk = chunks.recv().await?;
            Some((chunk, (chunks, guard)))
        })
        .boxed())
    }

    /// Files have nothing that is defined apart from them: the trees are compared themselves.
    async fn catalogue(&self) -> Result<Catalogue> {
        Ok(Catalogue::default())
    }

    /// Over what was read of it: the files themselves may be others by now.
    async fn checksum(&self, part: &Part) -> Result<Checksum> {
        let mut total = RowSum::default();
        if part.name == FILES {
            for sum in self.sums.lock().values() {
                total += *sum;
            }
        }
        Ok(total.into())
    }

    async fn close(&self) {
        self.warnings.tell();
    }

    fn by_name(&self) -> Option<&dyn ByName> {
        Some(self)
    }
}

#[async_trait]
impl ByName for TreeSource {
    async fn unnamed(&self) -> Result<(Vec<String>, u64)> {
        Ok(self.undecided.lock().clone())
    }
}

/// Parts as a run counts them.
pub(super) fn parts_of(batches: &[Batch]) -> Result<Vec<Part>> {
    let mut parts = Vec::with_capacity(batches.len());
    for (id, batch) in batches.iter().enumerate() {
        parts.push(Part {
            unit: Unit::Files,
            rows: batch.files,
            slice: Some(Slice::new(&id)?),
            ..Part::whole(id, "files", WHOLE, batch.bytes)
        });
    }
    Ok(parts)
}

/// Who asks for rows has not looked at what a tree is.
pub(super) fn no_rows() -> Error {
    Error::new(
        Kind::Internal,
        "a tree of files has no rows where it goes from directory to directory",
    )
}
