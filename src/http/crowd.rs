//! Who is connected: so many at a time, and not all of them from one place. Where there is no room, somebody who says
//! nothing goes for who comes: a thousand silent connections keep nobody out.

use std::collections::{BTreeSet, HashMap};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::body::{Body, Frame, SizeHint};
use tokio_util::sync::CancellationToken;

use super::peer::Peer;
use crate::sync::Mutex;

/// One peer has a quarter of all connections at the most.
const SHARE: usize = 4;

/// All connections.
pub(super) struct Crowd {
    most: usize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    next: u64,
    guests: HashMap<u64, Seat>,
    peers: HashMap<Peer, Place>,
}

/// A connection.
struct Seat {
    peer: Peer,
    /// Whether it has ever asked for something.
    is_known: bool,
    /// How many of its requests are being answered.
    requests: usize,
    gone: CancellationToken,
}

/// A peer's connections.
#[derive(Default)]
struct Place {
    count: usize,
    /// Those that ask for nothing just now: first those that never have, the oldest first.
    silent: BTreeSet<(bool, u64)>,
}

impl Crowd {
    /// With room for so many.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            inner: Mutex::default(),
        })
    }

    /// Lets somebody in, whom somebody silent may have to make room for. `None`: there is no room.
    pub(super) fn enter(self: &Arc<Self>, peer: Peer, is_proxy: bool) -> Option<Guest> {
        let mut inner = self.inner.lock();
        let share = if is_proxy {
            self.most
        } else {
            (self.most / SHARE).max(1)
        };
        let own = inner.peers.get(&peer).map_or(0, |place| place.count);
        if own >= share {
            inner.evict(peer)?;
        } else if inner.guests.len() >= self.most {
            let silent = inner.peers.iter().filter(|(_, it)| !it.silent.is_empty());
            let (fullest, _) = silent.max_by_key(|(_, place)| place.count)?;
            let fullest = *fullest;
            inner.evict(fullest)?;
        }
        let number = inner.next;
        inner.next += 1;
        let gone = CancellationToken::new();
        let place = inner.peers.entry(peer).or_default();
        place.count += 1;
        place.silent.insert((false, number));
        let seat = Seat {
            peer,
            is_known: false,
            requests: 0,
            gone: gone.clone(),
        };
        inner.guests.insert(number, seat);
        Some(Guest {
            crowd: self.clone(),
            number,
            gone,
        })
    }
}

impl Inner {
    /// Ends a peer's connection that has been silent for longest. `None`: none is.
    fn evict(&mut self, peer: Peer) -> Option<()> {
        let (_, number) = *self.peers.get(&peer)?.silent.first()?;
        self.remove(number)?.gone.cancel();
        Some(())
    }

    fn remove(&mut self, number: u64) -> Option<Seat> {
        let seat = self.guests.remove(&number)?;
        if let Some(place) = self.peers.get_mut(&seat.peer) {
            place.count -= 1;
            place.silent.remove(&(seat.is_known, number));
            if place.count == 0 {
                self.peers.remove(&seat.peer);
            }
        }
        Some(seat)
    }

    fn begin(&mut self, number: u64) {
        let Some(seat) = self.guests.get_mut(&number) else {
            return;
        };
        if seat.requests == 0
            && let Some(place) = self.peers.get_mut(&seat.peer)
        {
            place.silent.remove(&(seat.is_known, number));
        }
        seat.is_known = true;
        seat.requests += 1;
    }

    fn end(&mut self, number: u64) {
        let Some(seat) = self.guests.get_mut(&number) else {
            return;
        };
        seat.requests -= 1;
        if seat.requests == 0
            && let Some(place) = self.peers.get_mut(&seat.peer)
        {
            place.silent.insert((true, number));
        }
    }
}

/// A connection, until it is dropped.
pub(super) struct Guest {
    crowd: Arc<Crowd>,
    number: u64,
    gone: CancellationToken,
}

impl Guest {
    /// Ends when it has to go for somebody else.
    pub(super) fn gone(&self) -> CancellationToken {
        self.gone.clone()
    }

    /// It asks for something; until what is returned is dropped, it does not have to go.
    pub(super) fn asks(&self) -> Asking {
        self.crowd.inner.lock().begin(self.number);
        Asking {
            crowd: self.crowd.clone(),
            number: self.number,
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.crowd.inner.lock().remove(self.number);
    }
}

/// A request that is being answered.
pub(super) struct Asking {
    crowd: Arc<Crowd>,
    number: u64,
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.crowd.inner.lock().end(self.number);
    }
}

/// An answer's body, with which the answer ends.
pub(super) struct Answered<B> {
    pub(super) body: B,
    pub(super) _asking: Asking,
}

impl<B: Body + Unpin> Body for Answered<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
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

    fn user(uid: u32) -> Peer {
        Peer::User(uid)
    }

    #[test]
    fn who_floods_loses_its_own_oldest_silent_connection_and_nobody_elses() {
        let crowd = Crowd::new(8);
        let other = crowd.enter(user(1), false).unwrap();
        let mut flood: Vec<Guest> = Vec::new();
        for _ in 0..100 {
            flood.push(crowd.enter(user(2), false).unwrap());
        }
        assert!(!other.gone().is_cancelled());
        let left: Vec<usize> = (0..100)
            .filter(|place| !flood[*place].gone().is_cancelled())
            .collect();
        assert_eq!(left, [98, 99]);
        assert_eq!(crowd.inner.lock().guests.len(), 3);
        drop((flood, other));
        let inner = crowd.inner.lock();
        assert!(inner.guests.is_empty() && inner.peers.is_empty());
    }

    #[test]
    fn many_places_together_lose_to_who_comes_alone() {
        let crowd = Crowd::new(8);
        let flood: Vec<Guest> = (0..40)
            .filter_map(|number| crowd.enter(user(10 + number / 2), false))
            .collect();
        assert_eq!(flood.len(), 40);
        let alone = crowd.enter(user(1), false).unwrap();
        assert!(!alone.gone().is_cancelled());
        assert_eq!(crowd.inner.lock().guests.len(), 8);
    }

    #[test]
    fn who_is_being_answered_stays_and_who_was_answered_goes_last() {
        let crowd = Crowd::new(8);
        let (one, two) = (
            crowd.enter(user(1), false).unwrap(),
            crowd.enter(user(1), false).unwrap(),
        );
        let (first, second) = (one.asks(), two.asks());
        // A quarter, and both are busy.
        assert!(crowd.enter(user(1), false).is_none());
        // A proxy has all there is.
        let silent = crowd.enter(user(1), true).unwrap();
        drop(first);
        // Who never asked goes before who has.
        let next = crowd.enter(user(1), false).unwrap();
        assert!(silent.gone().is_cancelled() && !one.gone().is_cancelled());
        assert!(crowd.enter(user(1), false).is_some());
        assert!(next.gone().is_cancelled());
        drop(second);
        // What ends after its connection has gone changes nothing.
        let asking = one.asks();
        drop(one);
        drop(asking);
        drop(two);
    }

    #[test]
    fn where_all_are_busy_nobody_is_let_in() {
        let crowd = Crowd::new(4);
        let guests: Vec<Guest> = (0..4)
            .map(|uid| crowd.enter(user(uid), false).unwrap())
            .collect();
        let asking: Vec<Asking> = guests.iter().map(Guest::asks).collect();
        assert!(crowd.enter(user(9), false).is_none());
        drop(asking);
        assert!(crowd.enter(user(9), false).is_some());
    }
}
