//! A fetch, from the first request for a missing file to its place in the directory. It goes on when all who asked have gone.

use std::sync::Arc;
use std::time::Instant;

use hyper::body::Bytes;
use tokio::task::spawn_blocking;

use super::absent::Absent;
use super::disk::{Disk, Reserved};
use super::flights::{Arrival, Flight, Step};
use super::media::Promise;
use super::name::Name;
use super::origin::{Answer, Origin, Trouble};
use super::pace::Pace;
use super::reply::Refusal;
use super::tree::{Found, Kept, Tree, Unfinished};
use crate::config::file_proxy::Limits;

const NO_ROOM: &str = "there is no room for more fetched files";
const CUT: &str = "the origin's answer was cut short";
const TOO_SLOW: &str = "the file takes longer than `max_time`";
const TOO_LARGE: &str = "the file is larger than `max_size`";

/// What fetches share.
pub(super) struct Fetcher {
    pub(super) origin: Origin,
    pub(super) pace: Pace,
    pub(super) absent: Absent,
    pub(super) limits: Limits,
}

/// How a fetch ends.
enum End {
    Whole(Arc<Arrival>, u64),
    There,
}

impl Fetcher {
    /// Fetches a file, and says how far it is.
    pub(super) async fn fetch(&self, flight: Flight, tree: Arc<Tree>, disk: Arc<Disk>) {
        let name = flight.name.clone();
        let done =
            tokio::time::timeout(self.limits.max_time, self.work(&flight, &tree, &disk)).await;
        let slow = || Err(Trouble::Final(Refusal::Origin(TOO_SLOW)));
        let done = done.unwrap_or_else(|_| slow());
        match done {
            Ok(End::Whole(arrival, size)) => {
                tracing::debug!(file = ?name.as_str(), size, "a missing file is fetched");
                flight.land(Step::Whole(arrival, size));
            }
            Ok(End::There) => flight.land(Step::There),
            Err(trouble) => {
                let refusal = self.refused(&name, trouble);
                flight.land(Step::Failed(refusal));
            }
        }
    }

    /// What is answered, and remembered, after trouble.
    fn refused(&self, name: &Name, trouble: Trouble) -> Refusal {
        match trouble {
            Trouble::Passing(asked) => self.pace.troubled(asked),
            Trouble::Final(refusal) => {
                let lasts = matches!(
                    refusal,
                    Refusal::Absent(_) | Refusal::Origin(_) | Refusal::Broken
                );
                if lasts {
                    tracing::debug!(file = ?name.as_str(), why = refusal.why(), "a missing file is not fetched");
                    self.absent.put(name, refusal.clone(), Instant::now());
                }
                refusal
            }
        }
    }

    async fn work(
        &self,
        flight: &Flight,
        tree: &Arc<Tree>,
        disk: &Arc<Disk>,
    ) -> Result<End, Trouble> {
        // Whoever asked may have looked before another fetch had ended.
        let (looked, name) = (tree.clone(), flight.name.clone());
        let found = blocking(move || looked.look(&name, false)).await?;
        if !matches!(found, Some(Found::Nothing)) {
            return Ok(End::There);
        }
        if disk.is_full() {
            return Err(no_room(disk).await);
        }
        let mut turn = self.pace.turn().await.map_err(Trouble::Final)?;
        let promise = Promise::of(flight.name.ending().as_deref());
        let answer = self.origin.ask(&flight.name, promise, &mut turn).await;
        match &answer {
            // It was to be asked once more, and was not.
            Err(Trouble::Passing(_) | Trouble::Final(Refusal::Later(..))) => {}
            Ok(_) | Err(Trouble::Final(_)) => self.pace.answered(),
        }
        let answer = answer?;
        let Some(room) = disk.reserve(answer.length.unwrap_or_default()) else {
            return Err(no_room(disk).await);
        };
        self.take_in(flight, tree, answer, room, promise).await
    }

    /// Writes an answer's body, shows it as it comes, and puts the file in its place once it is whole.
    async fn take_in(
        &self,
        flight: &Flight,
        tree: &Arc<Tree>,
        answer: Answer,
        mut room: Reserved,
        promise: Promise,
    ) -> Result<End, Trouble> {
        let begun = tree.clone();
        let unfinished = blocking(move || begun.begin()).await?;
        let file = unfinished.file.clone();
        let Answer {
            mut response,
            length,
            changed,
        } = answer;
        let arrival = Arc::new(Arrival {
            file: file.clone(),
            length,
            changed,
        });
        let mut so_far = 0_u64;
        let mut begin = Some(Begin::of(promise));
        let mut is_over = false;
        while !is_over {
            let chunk = tokio::time::timeout(self.limits.timeout, response.chunk()).await;
            let chunk = match chunk {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => {
                    is_over = true;
                    Bytes::new()
                }
                // This file's trouble, as far as can be seen; silence is the origin's.
                Ok(Err(_)) => return Err(Trouble::Final(Refusal::Origin(CUT))),
                Err(_) => return Err(Trouble::Passing(None)),
            };
            self.pace.took(chunk.len()).await;
            let chunk = match begin.take() {
                None => chunk,
                Some(known) => match known.with(chunk, is_over)? {
                    Known::Enough(chunk) => chunk,
                    Known::TooLittle(known) => {
                        begin = Some(known);
                        continue;
                    }
                },
            };
            if chunk.is_empty() {
                continue;
            }
            so_far = self.write(&file, chunk, so_far, length, &mut room).await?;
            flight.tell(Step::Arriving(arrival.clone(), so_far));
        }
        if length.is_some_and(|length| length != so_far) {
            return Err(Trouble::Final(Refusal::Origin(CUT)));
        }
        let name = flight.name.clone();
        let kept =
            blocking(move || keep(unfinished, &name, changed).map(|kept| (kept, name))).await;
        match kept {
            Ok((Kept::Yes, name)) => room.keep(&name),
            Ok((Kept::Overtaken, _)) => drop(room),
            Err(trouble) => return Err(trouble),
        }
        Ok(End::Whole(arrival, so_far))
    }

    async fn write(
        &self,
        file: &Arc<std::fs::File>,
        chunk: Bytes,
        so_far: u64,
        length: Option<u64>,
        room: &mut Reserved,
    ) -> Result<u64, Trouble> {
        let after = so_far + chunk.len() as u64;
        if after > self.limits.max_size {
            return Err(Trouble::Final(Refusal::Origin(TOO_LARGE)));
        }
        if length.is_none() && !room.grow(chunk.len() as u64) {
            return Err(Trouble::Final(Refusal::Full(NO_ROOM)));
        }
        let file = file.clone();
        blocking(move || Unfinished::write(&file, &chunk, so_far)).await?;
        Ok(after)
    }
}

/// The begin of an answer, until it is long enough to see that it is no page in the place of a file.
struct Begin {
    promise: Promise,
    bytes: Vec<u8>,
}

/// Whether that is seen.
enum Known {
    Enough(Bytes),
    TooLittle(Begin),
}

impl Begin {
    fn of(promise: Promise) -> Self {
        Self {
            promise,
            bytes: Vec::new(),
        }
    }

    /// With what comes next, after which nothing does if that is over.
    fn with(mut self, chunk: Bytes, is_over: bool) -> Result<Known, Trouble> {
        let bytes = if self.bytes.is_empty() {
            chunk
        } else {
            self.bytes.extend_from_slice(&chunk);
            Bytes::from(std::mem::take(&mut self.bytes))
        };
        match self.promise.may_begin_with(&bytes) {
            Some(false) => {
                let why = "the origin sends a page in place of the file";
                Err(Trouble::Final(Refusal::Absent(why)))
            }
            None if !is_over => {
                self.bytes = bytes.into();
                Ok(Known::TooLittle(self))
            }
            _ => Ok(Known::Enough(bytes)),
        }
    }
}

/// Says that there is no room, and looks whether there is again.
async fn no_room(disk: &Arc<Disk>) -> Trouble {
    let disk = disk.clone();
    let looked = blocking(move || {
        disk.look_again();
        Ok(())
    });
    match looked.await {
        Ok(()) => Trouble::Final(Refusal::Full(NO_ROOM)),
        Err(trouble) => trouble,
    }
}

/// A file system of its own may be mounted in the directory: there a file cannot go.
fn keep(unfinished: Unfinished, name: &Name, changed: Option<i64>) -> std::io::Result<Kept> {
    let kept = unfinished.keep(name, changed);
    if let Err(error) = &kept {
        tracing::warn!(file = ?name.as_str(), %error, "a file that was fetched cannot be put in its place");
    }
    kept
}

/// Does what may wait for a disk.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, Trouble> {
    let broken = || Trouble::Final(Refusal::Broken);
    let done = spawn_blocking(work).await.map_err(|_| broken())?;
    done.map_err(|error| match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            tracing::warn!(%error, "a missing file cannot be kept: the disk is full");
            Trouble::Final(Refusal::Full(NO_ROOM))
        }
        _ => {
            tracing::warn!(%error, "a missing file cannot be written");
            broken()
        }
    })
}
