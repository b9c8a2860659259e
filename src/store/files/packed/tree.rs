//! A tree in a snapshot, as a tree here asks for it.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt;
use tokio::sync::mpsc::{self, Receiver};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::header::Head;
use super::parse::{Event, Parser};
use super::pax::Dialect;
use super::unpack::{Fate, Means, Unpacker, give_attributes};
use crate::error::{Error, Kind, Result};
use crate::store::files::connection::blocking::{blocking, stopped};
use crate::store::files::connection::directory::Directory;
use crate::store::files::connection::inside::Inside;
use crate::store::files::connection::stat::{FileKind, Moment, Stat};
use crate::store::files::connection::told::{At as _, told};
use crate::store::files::incoming::throttle::Throttle;
use crate::store::files::rows::listing::{Cursor, Entry, Listing, Writer, order};
use crate::store::files::rows::sorter::Sorter;
use crate::store::files::rows::tree::{Fetch, Fetching, part_of};
use crate::store::files::rows::warnings::{Warning, Warnings};
use crate::store::files::rows::work::{Action, Work};
use crate::store::files::schema::filter::Filter;
use crate::store::{Chunks, Part, ReadParts};
use crate::sync::Mutex;

/// Pieces of a part that wait for the disk at the most.
const WAITING: usize = 8;

/// A tree in a snapshot.
pub(in crate::store::files) struct Packed {
    /// Reads its parts.
    pub(in crate::store::files) reader: Arc<dyn ReadParts>,
    /// The parts with files, by their number.
    pub(in crate::store::files) parts: Vec<Part>,
    /// The part with the directories.
    pub(in crate::store::files) directories: Part,
    /// Where each part with files begins.
    pub(in crate::store::files) starts: Vec<Box<[u8]>>,
    /// What is in it.
    pub(in crate::store::files) listing: Listing,
    /// Which of its files are copied.
    pub(in crate::store::files) filter: Arc<Filter>,
    /// So many parts are unpacked at a time.
    pub(in crate::store::files) workers: usize,
    /// So many bytes a second are unpacked.
    pub(in crate::store::files) throttle: Option<u64>,
    /// Ends everything.
    pub(in crate::store::files) cancel: CancellationToken,
    /// What was unpacked, each file with its hash in the place of a link.
    pub(in crate::store::files) arrived: Mutex<Option<Listing>>,
}

/// What the threads that unpack share.
struct Shared {
    fetching: Fetching,
    sorter: Mutex<Sorter>,
    throttle: Option<Throttle>,
}

#[async_trait]
impl Fetch for Packed {
    /// What was unpacked is as it was when it was packed, and not when it was listed.
    async fn list(&self) -> Result<Listing> {
        let Some(arrived) = self.arrived.lock().clone() else {
            return Ok(self.listing.clone());
        };
        let listing = self.listing.clone();
        blocking(&self.cancel, move |stop| merged(&listing, &arrived, stop)).await
    }

    async fn fetch(&self, fetching: Fetching) -> Result<u64> {
        let work = fetching.work.clone();
        let shared = Arc::new(Shared {
            fetching,
            sorter: Mutex::new(Sorter::new()),
            throttle: self.throttle.map(Throttle::new),
        });
        let (starts, stop) = (self.starts.clone(), self.cancel.child_token());
        let _stops_when_dropped = stop.clone().drop_guard();
        let (sender, mut batches) = mpsc::channel(1);
        let (sharing, going) = (Arc::clone(&shared), stop.clone());
        let cutting = tokio::task::spawn_blocking(move || {
            let _until_done = &sharing.fetching.busy;
            cut(&work, &starts, &going, &mut |part, wanted| {
                let sent = sender.blocking_send((part, wanted));
                sent.map_err(|_| Error::new(Kind::Internal, "nobody unpacks any more"))
            })
        });
        let mut unpacking: JoinSet<Result<u64>> = JoinSet::new();
        let mut files = 0;
        while let Some((part, wanted)) = batches.recv().await {
            while unpacking.len() >= self.workers.max(1) {
                files += landed(&mut unpacking).await?;
            }
            let chunks = self.read(part)?;
            let (shared, stop) = (Arc::clone(&shared), stop.clone());
            unpacking.spawn(unpack(chunks, wanted, shared, stop));
        }
        while !unpacking.is_empty() {
            files += landed(&mut unpacking).await?;
        }
        cutting.await.map_err(broken_thread)??;
        self.give_attributes(&shared, &stop).await?;
        let sorter = std::mem::replace(&mut *shared.sorter.lock(), Sorter::new());
        let arrived = sorter.finish(|entry| {
            let what = format!("{} is in the snapshot twice", told(&entry.path));
            Err(Error::new(Kind::Verify, what))
        })?;
        *self.arrived.lock() = Some(arrived);
        Ok(files)
    }

    /// Reads back what was unpacked: the snapshot itself was checked, block by block, when it was read.
    async fn compare(
        &self,
        copy: &Arc<Directory>,
        _since: Moment,
        _warnings: &Warnings,
    ) -> Result<()> {
        let Some(arrived) = self.arrived.lock().clone() else {
            return Ok(());
        };
        let copy = Arc::clone(copy);
        blocking(&self.cancel, move |stop| read_back(copy, &arrived, stop)).await
    }
}

impl Packed {
    fn read(&self, part: usize) -> Result<Chunks> {
        let missing = || Error::new(Kind::Internal, "the snapshot has no such part");
        self.reader.read(self.parts.get(part).ok_or_else(missing)?)
    }

    /// Gives the directories that the snapshot has their extended attributes.
    async fn give_attributes(&self, shared: &Arc<Shared>, stop: &CancellationToken) -> Result<()> {
        let chunks = self.reader.read(&self.directories)?;
        let (shared, filter) = (Arc::clone(shared), Arc::clone(&self.filter));
        let stop = stop.clone();
        through(chunks, None, move |mut pieces| {
            let Fetching {
                into,
                keeps_owners,
                warnings,
                ..
            } = &shared.fetching;
            let mut inside = Inside::new(Arc::clone(into));
            let give = |head: &Head| {
                let how = (&*filter, *keeps_owners);
                give_attributes(&mut inside, into, head, how, warnings)
            };
            let mut give = give;
            parse(&mut pieces, &mut |event| {
                stopped(&stop)?;
                match event {
                    Event::Entry(head) if head.stat.kind == FileKind::Directory => give(head),
                    Event::Entry(_) => Err(Error::new(
                        Kind::Verify,
                        "the snapshot's part of directories has something else in it",
                    )),
                    _ => Ok(()),
                }
            })
        })
        .await
    }
}

/// The names that are to be copied, part by part: no part is asked for of which live has everything.
fn cut(
    work: &Work,
    starts: &[Box<[u8]>],
    stop: &CancellationToken,
    send: &mut dyn FnMut(usize, Vec<Entry>) -> Result<()>,
) -> Result<()> {
    let mut tasks = work.tasks()?;
    let (mut part, mut wanted) = (0, Vec::new());
    while let Some((entry, action)) = tasks.task()? {
        stopped(stop)?;
        if action == Action::Copy {
            let its = part_of(starts, &entry.path);
            if its != part && !wanted.is_empty() {
                send(part, std::mem::take(&mut wanted))?;
            }
            part = its;
            wanted.push(entry.clone());
        }
        tasks.advance()?;
    }
    if wanted.is_empty() {
        return Ok(());
    }
    send(part, wanted)
}

async fn landed(unpacking: &mut JoinSet<Result<u64>>) -> Result<u64> {
    match unpacking.join_next().await {
        Some(ended) => ended.map_err(broken_thread)?,
        None => Ok(0),
    }
}

fn broken_thread(error: tokio::task::JoinError) -> Error {
    Error::new(Kind::Internal, "a thread broke").because(error)
}

/// Unpacks what is wanted of a part.
async fn unpack(
    chunks: Chunks,
    wanted: Vec<Entry>,
    shared: Arc<Shared>,
    stop: CancellationToken,
) -> Result<u64> {
    let sharing = Arc::clone(&shared);
    through(chunks, sharing.throttle.as_ref(), move |mut pieces| {
        let Fetching {
            into,
            keeps_owners,
            told,
            warnings,
            ..
        } = &shared.fetching;
        let fate = |fate: Fate| {
            let entry = match fate {
                Fate::Arrived(entry) => entry,
                Fate::Missing(entry) => missing(entry, warnings),
                Fate::Other(_) => {
                    let what =
                        "a part of the snapshot has a directory where it has a file in its list";
                    return Err(Error::new(Kind::Verify, what));
                }
            };
            shared.sorter.lock().push(entry)
        };
        let means = Means {
            warnings,
            told: &**told,
            fate: &fate,
            hashes: true,
            stop: &stop,
        };
        let mut unpacker = Unpacker::new(Arc::clone(into), wanted, *keeps_owners, means);
        parse(&mut pieces, &mut |event| unpacker.take(event))?;
        unpacker.finish()
    })
    .await
}

/// What was in the list, and was gone when its turn came to be packed.
fn missing(entry: Entry, warnings: &Warnings) -> Entry {
    warnings.add(Warning::Vanished, &entry.path);
    Entry {
        stat: Stat::unknown(FileKind::Special),
        link: None,
        ..entry
    }
}

/// Hands the pieces of a part, at this pace, to a thread that may wait for the disk.
async fn through<T: Send + 'static>(
    mut chunks: Chunks,
    throttle: Option<&Throttle>,
    work: impl FnOnce(Receiver<Result<Bytes>>) -> Result<T> + Send + 'static,
) -> Result<T> {
    let (sender, pieces) = mpsc::channel(WAITING);
    let working = tokio::task::spawn_blocking(move || work(pieces));
    loop {
        let piece = match chunks.try_next().await {
            Ok(Some(chunk)) => Ok(chunk.data),
            Ok(None) => break,
            Err(error) => Err(error),
        };
        if let (Some(throttle), Ok(piece)) = (throttle, &piece) {
            // Meanwhile no more is read.
            throttle.wait(piece.len() as u64).await;
        }
        let is_last = piece.is_err();
        // Whoever takes no more has failed, and says why.
        if sender.send(piece).await.is_err() || is_last {
            break;
        }
    }
    drop(sender);
    working.await.map_err(broken_thread)?
}

/// Shows what is in a tar stream.
fn parse(
    pieces: &mut Receiver<Result<Bytes>>,
    show: &mut dyn FnMut(Event<'_>) -> Result<()>,
) -> Result<()> {
    let mut parser = Parser::new(Dialect::Own);
    while let Some(piece) = pieces.blocking_recv() {
        parser.feed(&piece?, show)?;
    }
    // Whoever stops before the end leaves a stream that is not whole.
    parser.end()
}

/// A list in which what was unpacked is as it was unpacked; what the snapshot did not have after all is not in it.
fn merged(listing: &Listing, arrived: &Listing, stop: &CancellationToken) -> Result<Listing> {
    let mut all = Writer::new();
    let (mut entries, mut others) = (listing.cursor()?, arrived.cursor()?);
    while let Some((entry, _)) = entries.entry() {
        stopped(stop)?;
        match entry_of(&mut others, &entry.path)? {
            None => all.push(&entry.path, &entry.stat, entry.link.as_deref(), 0)?,
            Some(other) => {
                let link = other
                    .link
                    .as_deref()
                    .filter(|_| other.stat.kind == FileKind::Link);
                if other.stat.kind != FileKind::Special {
                    all.push(&other.path, &other.stat, link, 0)?;
                }
            }
        }
        entries.advance()?;
    }
    all.finish()
}

/// Goes on to a path; its entry, if there is one.
fn entry_of<'a>(cursor: &'a mut Cursor, path: &[u8]) -> Result<Option<&'a Entry>> {
    while let Some((entry, _)) = cursor.entry()
        && order(&entry.path, path).is_lt()
    {
        cursor.advance()?;
    }
    let found = cursor.entry().map(|(entry, _)| entry);
    Ok(found.filter(|entry| entry.path == path))
}

/// Refuses a copy in which a file that was unpacked has another content than was written.
fn read_back(copy: Arc<Directory>, arrived: &Listing, stop: &CancellationToken) -> Result<()> {
    let mut inside = Inside::new(copy);
    let mut cursor = arrived.cursor()?;
    while let Some((entry, _)) = cursor.entry() {
        stopped(stop)?;
        if entry.stat.kind == FileKind::Regular {
            let path = &*entry.path;
            let file = (inside.at(path)).and_then(|(above, name)| above.read_file(&name));
            let mut file = std::fs::File::from(file.at("cannot read back", path)?);
            let mut hash = blake3::Hasher::new();
            let failed = |error| {
                let what = format!("cannot read back {}", told(path));
                crate::error::io(what)(error)
            };
            hash.update_reader(&mut file).map_err(failed)?;
            if Some(&hash.finalize().as_bytes()[..]) != entry.link.as_deref() {
                let what = format!("{} has another content than the snapshot's", told(path));
                return Err(Error::new(Kind::Verify, what));
            }
        }
        cursor.advance()?;
    }
    Ok(())
}
