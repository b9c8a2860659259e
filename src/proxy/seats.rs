//! Connections of all listeners: as many as there may be, and which of them gives way when another client comes and all are
//! taken.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::body::{Bytes, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::reply::Body;
use crate::sync::Mutex;

/// How long a client may be about to ask for something before it gives way.
const SILENT: Duration = Duration::from_secs(2);
/// How long it may take nothing of what it is sent before it does.
const STILL: Duration = Duration::from_secs(10);
/// How often it is looked who could give way, while nobody can.
const AGAIN: Duration = Duration::from_millis(100);

/// Seats for so many connections.
pub(super) struct Seats {
    room: Arc<Semaphore>,
    taken: Arc<Mutex<HashMap<u64, Arc<Marks>>>>,
    next: AtomicU64,
}

/// What is known of a connection.
struct Marks {
    begun: Instant,
    /// When it was let in, was sent something, or had its answer: milliseconds since it began.
    last: AtomicU64,
    /// Answers that it waits for or that are being sent.
    answers: AtomicU32,
    /// It takes nothing just now.
    is_stalled: AtomicBool,
    leave: CancellationToken,
}

/// A connection's seat, until it is dropped.
pub(super) struct Seat {
    number: u64,
    marks: Arc<Marks>,
    taken: Arc<Mutex<HashMap<u64, Arc<Marks>>>>,
    _permit: OwnedSemaphorePermit,
}

/// A handle on a seat, for whoever sees what happens there.
#[derive(Clone)]
pub(super) struct Watch(Arc<Marks>);

/// An answer's body: who is sent one keeps the seat.
pub(super) struct Answer {
    body: Body,
    _answering: Answering,
}

/// An answer that is waited for, or being sent.
pub(super) struct Answering(Arc<Marks>);

impl Seats {
    pub(super) fn new(most: usize) -> Self {
        Self {
            room: Arc::new(Semaphore::new(most)),
            taken: Arc::default(),
            next: AtomicU64::new(0),
        }
    }

    /// Takes a seat for a client that has come. Where there is none, the one gives way that has been silent for longest; where
    /// none is, it is waited for.
    pub(super) async fn take(&self) -> Seat {
        loop {
            let free = self.room.clone().acquire_owned();
            let wait = if self.room.available_permits() == 0 {
                self.make_room();
                AGAIN
            } else {
                Duration::from_secs(1)
            };
            if let Ok(Ok(permit)) = tokio::time::timeout(wait, free).await {
                return self.seat(permit);
            }
        }
    }

    fn seat(&self, permit: OwnedSemaphorePermit) -> Seat {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let marks = Arc::new(Marks {
            begun: Instant::now(),
            last: AtomicU64::new(0),
            answers: AtomicU32::new(0),
            is_stalled: AtomicBool::new(false),
            leave: CancellationToken::new(),
        });
        self.taken.lock().insert(number, marks.clone());
        Seat {
            number,
            marks,
            taken: self.taken.clone(),
            _permit: permit,
        }
    }

    /// Tells one client to leave.
    fn make_room(&self) {
        let taken = self.taken.lock();
        let silent = taken.values().filter(|marks| !marks.leave.is_cancelled());
        let longest = silent.filter_map(|marks| Some((marks.silent()?, marks)));
        if let Some((_, marks)) = longest.max_by_key(|(silence, _)| *silence) {
            marks.leave.cancel();
        }
    }
}

impl Marks {
    fn touch(&self) {
        let now = self.begun.elapsed().as_millis() as u64;
        self.last.store(now, Ordering::Relaxed);
    }

    /// For how long nothing has happened, where that is the client's doing and long enough to give way.
    fn silent(&self) -> Option<Duration> {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        let silence = self.begun.elapsed().saturating_sub(last);
        let limit = if self.is_stalled.load(Ordering::Relaxed) {
            STILL
        } else if self.answers.load(Ordering::Relaxed) > 0 {
            return None;
        } else {
            SILENT
        };
        (silence >= limit).then_some(silence)
    }
}

impl Seat {
    pub(super) fn watch(&self) -> Watch {
        Watch(self.marks.clone())
    }

    /// Comes to an end when the client has to give way.
    pub(super) async fn wanted(&self) {
        self.marks.leave.cancelled().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.taken.lock().remove(&self.number);
    }
}

impl Watch {
    /// The client has taken something.
    pub(super) fn took(&self) {
        self.0.is_stalled.store(false, Ordering::Relaxed);
        self.0.touch();
    }

    /// It takes nothing.
    pub(super) fn stalls(&self) {
        self.0.is_stalled.store(true, Ordering::Relaxed);
    }

    /// It has asked for something.
    pub(super) fn answering(&self) -> Answering {
        self.0.answers.fetch_add(1, Ordering::Relaxed);
        Answering(self.0.clone())
    }
}

impl Answering {
    pub(super) fn with(self, body: Body) -> Answer {
        Answer {
            body,
            _answering: self,
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.touch();
        self.0.answers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As if so much time had passed without a word.
    fn age(seat: &mut Seat, by: Duration) {
        let mut taken = seat.taken.lock();
        let marks = Arc::new(Marks {
            begun: Instant::now().checked_sub(by).unwrap(),
            last: AtomicU64::new(0),
            answers: AtomicU32::new(seat.marks.answers.load(Ordering::Relaxed)),
            is_stalled: AtomicBool::new(seat.marks.is_stalled.load(Ordering::Relaxed)),
            leave: CancellationToken::new(),
        });
        taken.insert(seat.number, marks.clone());
        seat.marks = marks;
    }

    #[tokio::test]
    async fn who_has_been_silent_for_longest_gives_way_and_nobody_who_is_answered() {
        let seats = Seats::new(4);
        let mut all = Vec::new();
        for _ in 0..4 {
            all.push(seats.take().await);
        }
        let waits = all[0].watch().answering();
        all[3].watch().stalls();
        let left = |all: &[Seat]| -> Vec<bool> {
            let all = all.iter();
            all.map(|seat| seat.marks.leave.is_cancelled()).collect()
        };
        // All have just come.
        seats.make_room();
        assert_eq!(left(&all), [false; 4]);
        for (seat, seconds) in all.iter_mut().zip([100, 3, 5, 9]) {
            age(seat, Duration::from_secs(seconds));
        }
        seats.make_room();
        assert_eq!(left(&all), [false, false, true, false]);
        seats.make_room();
        assert_eq!(left(&all), [false, true, true, false]);
        // It may take its time, and not that much.
        seats.make_room();
        assert_eq!(left(&all), [false, true, true, false]);
        age(&mut all[3], Duration::from_secs(11));
        seats.make_room();
        assert_eq!(left(&all), [false, true, true, true]);
        all[2].wanted().await;
        drop(all.remove(2));
        seats.take().await;
        drop((waits, all));
        assert_eq!(seats.room.available_permits(), 4);
        assert!(seats.taken.lock().is_empty());
    }
}
