//! A bucket's tree as a tree here asks for it: its objects are read many at a time.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::BytesMut;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::arrival::{Arrival, Place};
use super::compare::{Comparison, End, compare};
use super::likeness::ByTag;
use super::list::{Wanted, list};
use super::parents::Parents;
use crate::error::{Error, Kind, Result};
use crate::s3::S3;
use crate::s3::get::{Get, Next};
use crate::store::Context;
use crate::store::files::connection::blocking::{blocking, stopped};
use crate::store::files::connection::directory::Directory;
use crate::store::files::connection::stat::{FileKind, Moment};
use crate::store::files::connection::told::told;
use crate::store::files::incoming::throttle::Throttle;
use crate::store::files::rows::decision::Likeness;
use crate::store::files::rows::listing::Listing;
use crate::store::files::rows::tree::{Fetch, Fetching};
use crate::store::files::rows::walk::Root;
use crate::store::files::rows::warnings::{Warning, Warnings};
use crate::store::files::rows::work::Action;
use crate::sync::Mutex;

/// So many bytes of an object are in memory.
const PIECE: usize = 256 * 1024;
/// An object that is replaced while it is read is read so often.
const TRIES: usize = 5;
/// For each worker so many objects are on their way: it is a server's answer that takes the time.
const EACH: usize = 8;

/// A tree in a bucket that is read.
pub(in crate::store::files) struct BucketFetch {
    pub(in crate::store::files) s3: Arc<S3>,
    pub(in crate::store::files) wanted: Wanted,
    pub(in crate::store::files) context: Context,
    /// So many bytes a second.
    pub(in crate::store::files) throttle: Option<u64>,
}

/// How many objects are on their way at once.
pub(in crate::store::files) fn at_once(context: &Context) -> usize {
    (context.workers * EACH).min(64)
}

/// What came of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    /// It is there.
    Whole,
    /// It was replaced while it was read.
    Replaced,
    /// It came with another content than it has.
    Wrong,
}

#[async_trait]
impl Fetch for BucketFetch {
    async fn list(&self) -> Result<Listing> {
        let found = list(&self.s3, &self.wanted, &self.context.cancel).await?;
        Ok(found.listing)
    }

    fn likeness(&self, by_content: bool, stop: &CancellationToken) -> Option<Arc<dyn Likeness>> {
        Some(Arc::new(ByTag {
            by_content,
            is_one_clock: true,
            restored: Mutex::default(),
            stop: stop.clone(),
        }))
    }

    fn is_vague(&self) -> bool {
        true
    }

    async fn fetch(&self, fetching: Fetching) -> Result<u64> {
        let fetching = Arc::new(fetching);
        let throttle = self.throttle.map(|rate| Arc::new(Throttle::new(rate)));
        let (sender, mut places) = mpsc::channel(256);
        let reading = {
            let fetching = Arc::clone(&fetching);
            blocking(&self.context.cancel, move |stop| {
                give_out(&fetching, &sender, stop)
            })
        };
        let receiving = async {
            let mut flight = JoinSet::new();
            let mut files = 0;
            let at_once = at_once(&self.context);
            loop {
                tokio::select! {
                    place = places.recv(), if flight.len() < at_once => {
                        let Some(place) = place else { break };
                        let one = One {
                            s3: Arc::clone(&self.s3),
                            fetching: Arc::clone(&fetching),
                            cancel: self.context.cancel.clone(),
                            throttle: throttle.clone(),
                            place,
                        };
                        flight.spawn(one.fetch());
                    }
                    Some(done) = flight.join_next() => files += landed(done)?,
                }
            }
            while let Some(done) = flight.join_next().await {
                files += landed(done)?;
            }
            Ok(files)
        };
        let ((), files) = tokio::try_join!(reading, receiving)?;
        Ok(files)
    }

    fn bucket(&self) -> Option<&Arc<S3>> {
        Some(&self.s3)
    }

    async fn compare(
        &self,
        copy: &Arc<Directory>,
        since: Moment,
        warnings: &Warnings,
    ) -> Result<()> {
        let listing = self.list().await?;
        let comparison = Comparison {
            ends: [
                End::Bucket(Arc::clone(&self.s3)),
                End::Here(Arc::clone(copy)),
            ],
            roots: [Root::Listing(listing), Root::Directory(Arc::clone(copy))],
            filter: Arc::clone(&self.wanted.filter),
            since,
            at_once: at_once(&self.context),
            cancel: self.context.cancel.clone(),
        };
        compare(comparison, warnings).await
    }
}

fn landed(done: std::result::Result<Result<bool>, tokio::task::JoinError>) -> Result<u64> {
    let done = done.map_err(|error| Error::new(Kind::Internal, "a worker died").because(error))?;
    done.map(u64::from)
}

/// Goes through what is to be done, and says where each file goes.
fn give_out(
    fetching: &Fetching,
    sender: &mpsc::Sender<Place>,
    stop: &CancellationToken,
) -> Result<()> {
    let root = fetching.work.root.filter(|root| !root.is_vague());
    let mut parents = Parents::of(Arc::clone(&fetching.into));
    let mut tasks = fetching.work.tasks()?;
    while let Some((entry, action)) = tasks.task()? {
        stopped(stop)?;
        if action == Action::Copy && entry.stat.kind != FileKind::Directory {
            let (into, name) = parents.of_path(&entry.path)?;
            let place = Place {
                path: entry.path.clone(),
                into,
                name,
                owner: root.map(|root| root.owner),
                keeps_owner: fetching.keeps_owners,
            };
            if sender.blocking_send(place).is_err() {
                // Why nobody takes it is told by who has stopped.
                return Ok(());
            }
        }
        tasks.advance()?;
    }
    Ok(())
}

/// One object on its way into a tree.
struct One {
    s3: Arc<S3>,
    fetching: Arc<Fetching>,
    cancel: CancellationToken,
    throttle: Option<Arc<Throttle>>,
    place: Place,
}

impl One {
    /// `false`: it has vanished.
    async fn fetch(self) -> Result<bool> {
        let path = String::from_utf8_lossy(&self.place.path).into_owned();
        let mut wrong = false;
        for _ in 0..TRIES {
            let Some(get) = Get::open(&self.s3, &path).await? else {
                self.fetching
                    .warnings
                    .add(Warning::Vanished, &self.place.path);
                return Ok(false);
            };
            match self.receive(get).await? {
                Came::Whole => return Ok(true),
                Came::Replaced => {}
                Came::Wrong if wrong => return Err(self.is_wrong()),
                Came::Wrong => wrong = true,
            }
        }
        let what = format!(
            "{} in {} was written anew {TRIES} times while it was read",
            told(&self.place.path),
            self.s3.place()
        );
        Err(Error::new(Kind::Verify, what).hint("run the job when nobody writes to it"))
    }

    fn is_wrong(&self) -> Error {
        let what = format!(
            "{} in {} comes with another content than its checksum says",
            told(&self.place.path),
            self.s3.place()
        );
        Error::new(Kind::Verify, what)
            .hint("it was damaged on its way or where it lies: write it anew, or leave it out with `exclude`")
    }

    async fn receive(&self, mut get: Get) -> Result<Came> {
        let mut arrival = None;
        let mut gathered = BytesMut::new();
        let size = get.size;
        loop {
            let next = get.next().await?;
            match next {
                Next::Bytes(bytes) => {
                    if let Some(throttle) = &self.throttle {
                        // Meanwhile no more is read, and the server waits.
                        throttle.wait(bytes.len() as u64).await;
                    }
                    gathered.extend_from_slice(&bytes);
                }
                Next::Replaced => {
                    if let Some(arrival) = arrival.take() {
                        self.on_disk(move || Arrival::discard(arrival)).await?;
                    }
                    return Ok(Came::Replaced);
                }
                Next::End => break,
            }
            if gathered.len() < PIECE {
                continue;
            }
            let bytes = gathered.split();
            let begun = match arrival.take() {
                Some(arrival) => arrival,
                // No more than the making of a file.
                None => Arrival::begin(self.place.clone(), &get)?,
            };
            self.count(0, bytes.len() as u64);
            let written = self.on_disk(move || {
                let mut arrival = begun;
                arrival.write(&bytes)?;
                Ok(arrival)
            });
            arrival = Some(written.await?);
        }
        let rest = gathered.len() as u64;
        let place = self.place.clone();
        let is_right = self
            .on_disk(move || {
                let mut arrival = match arrival {
                    Some(arrival) => arrival,
                    None => Arrival::begin(place, &get)?,
                };
                arrival.write(&gathered)?;
                arrival.finish()
            })
            .await?;
        if !is_right {
            return Ok(Came::Wrong);
        }
        self.count(1, rest.min(size));
        Ok(Came::Whole)
    }

    fn count(&self, files: u64, bytes: u64) {
        (self.fetching.told)(&self.place.path, files, bytes);
    }

    /// Does what waits for the disk; until it is done, nothing is removed.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let busy = Arc::clone(&self.fetching.busy);
        blocking(&self.cancel, move |_| {
            let _until_done = busy;
            work()
        })
        .await
    }
}
