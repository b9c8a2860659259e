//! One fetch for a file, however many ask for it. Those who wait are told how far it is.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

use tokio::sync::watch;

use super::name::Name;
use super::reply::Refusal;
use crate::sync::Mutex;

/// How far a fetch is.
#[derive(Clone)]
pub(super) enum Step {
    /// The origin has not answered yet.
    Asked,
    /// So many bytes are in the file.
    Arriving(Arc<Arrival>, u64),
    /// All of them are, and they are as many as they should be.
    Whole(Arc<Arrival>, u64),
    /// It was there before the fetch began.
    There,
    /// There will be nothing, or nothing more.
    Failed(Refusal),
}

/// A file on its way.
pub(super) struct Arrival {
    pub(super) file: Arc<File>,
    /// How many bytes it has, if the origin has said so.
    pub(super) length: Option<u64>,
    /// When it was changed last: seconds since 1970.
    pub(super) changed: Option<i64>,
}

/// The fetches that are under way.
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<Name, watch::Receiver<Step>>>);

impl Flights {
    /// Joins a file's fetch. `Some`: there is none yet, and whoever asks is to do it.
    pub(super) fn join(self: &Arc<Self>, name: &Name) -> (watch::Receiver<Step>, Option<Flight>) {
        let mut flights = self.0.lock();
        if let Some(step) = flights.get(name) {
            return (step.clone(), None);
        }
        let (tell, told) = watch::channel(Step::Asked);
        flights.insert(name.clone(), told.clone());
        let flight = Flight {
            flights: self.clone(),
            name: name.clone(),
            tell,
            is_over: false,
        };
        (told, Some(flight))
    }

    /// Whether none is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }
}

/// A fetch. Dropped, it is over: the next who asks begins another one.
pub(super) struct Flight {
    flights: Arc<Flights>,
    pub(super) name: Name,
    tell: watch::Sender<Step>,
    is_over: bool,
}

impl Flight {
    /// Says how far it is.
    pub(super) fn tell(&self, step: Step) {
        self.tell.send_replace(step);
    }

    /// It is over: who comes from now on finds what it left.
    pub(super) fn land(mut self, last: Step) {
        self.end();
        self.tell.send_replace(last);
    }
}

impl Flight {
    /// Once alone: the name's next fetch is another's.
    fn end(&mut self) {
        if !std::mem::replace(&mut self.is_over, true) {
            self.flights.0.lock().remove(&self.name);
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.end();
    }
}
