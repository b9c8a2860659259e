//! One `[[file_proxy]]` at work: from a request to an answer.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::{Method, Request, Response};
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::absent::Absent;
use super::disk::Disk;
use super::fetch::Fetcher;
use super::flights::{Flights, Step};
use super::media::Promise;
use super::name::{Flaw, Name};
use super::origin::Origin;
use super::pace::Pace;
use super::reply::{self, Body, Refusal};
use super::rules::Rules;
use super::tree::{Found, Root, Tree};
use super::{sending, styles};
use crate::config::file_proxy::{FileProxy, Mode};
use crate::error::{Result, io};
use crate::sync::Mutex;

/// How often it is looked whether the directory is still the one that stands at its path.
const LOOK: Duration = Duration::from_secs(1);

/// How long fetches are waited for when their clients have gone.
const LAST: Duration = Duration::from_secs(5);

const NOT_SERVED: &str = "files of this name are not served";
const NO_TYPE: &str = "files of this type are not fetched";
const NO_NAME: &str = "no file can have this name";
const NO_FILE: &str = "there is something of this name that is no regular file";
const MADE_HERE: &str = "the original is here: the site makes the image";

/// A directory and what it takes to serve it.
pub(super) struct Site {
    mode: Mode,
    original_first: bool,
    rules: Arc<Rules>,
    root: Root,
    held: Mutex<Held>,
    flights: Arc<Flights>,
    fetcher: Arc<Fetcher>,
}

/// The directory that stood at the path when it was looked at last.
#[derive(Clone)]
struct Held {
    tree: Arc<Tree>,
    /// `None`: nothing is written there.
    disk: Option<Arc<Disk>>,
    looked: Instant,
}

/// What came of a wait for a file.
enum Waited {
    /// Bytes of it are there, and maybe all.
    Arriving(Response<Body>),
    /// It stands in its place.
    There,
}

impl Site {
    /// Opens what it needs. `before`: what served the same directory until now. Blocks.
    pub(super) fn open(proxy: &FileProxy, before: Option<&Self>) -> Result<Self> {
        let root = Root {
            path: proxy.root.clone(),
            writes: proxy.mode == Mode::Fetch,
        };
        let before = before.map(|site| site.held.lock().tree.clone());
        let held = hold(&root, proxy.limits.max_disk, before.as_deref())?;
        let limits = proxy.limits.clone();
        let rules = Arc::new(Rules::new(proxy)?);
        let fetcher = Fetcher {
            origin: Origin::new(proxy, Arc::clone(&rules))?,
            pace: Pace::new(&limits),
            absent: Absent::new(limits.negative_names, limits.negative_ttl),
            limits,
        };
        Ok(Self {
            mode: proxy.mode,
            original_first: proxy.original_first,
            rules,
            root,
            held: Mutex::new(held),
            flights: Arc::default(),
            fetcher: Arc::new(fetcher),
        })
    }

    /// Waits until no fetch is under way, but not long: nobody waits for what is left.
    pub(super) async fn landed(&self) {
        let begun = Instant::now();
        while !self.flights.is_empty() && begun.elapsed() < LAST {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Answers a request.
    pub(super) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        let is_head = request.method() == Method::HEAD;
        if !is_head && request.method() != Method::GET {
            return Ok(Refusal::Method.response());
        }
        let found = self
            .find(request.uri().path(), request.headers(), is_head)
            .await;
        Ok(found.unwrap_or_else(|refusal| refusal.response()))
    }

    async fn find(
        &self,
        path: &str,
        asked: &HeaderMap,
        is_head: bool,
    ) -> Result<Response<Body>, Refusal> {
        let name = Name::parse(path.as_bytes()).map_err(|flaw| match flaw {
            Flaw::Bad => Refusal::Bad("this path is no file's"),
            Flaw::NoFile => Refusal::Absent(NO_NAME),
        })?;
        if !self.rules.serve(&name) {
            return Err(Refusal::Absent(NOT_SERVED));
        }
        let promise = Promise::of(name.ending().as_deref());
        // What was fetched may be gone again before it is sent.
        for _ in 0..3 {
            let held = self.held().await;
            if let Some(present) = look(&held.tree, &name).await? {
                return Ok(sending::present(present, promise, asked, is_head).await);
            }
            match self.missing(&held, &name, promise, is_head).await? {
                Waited::Arriving(response) => return Ok(response),
                Waited::There => {}
            }
        }
        Err(Refusal::Broken)
    }

    /// What becomes of a request for a file that is not there.
    async fn missing(
        &self,
        held: &Held,
        name: &Name,
        promise: Promise,
        is_head: bool,
    ) -> Result<Waited, Refusal> {
        if self.mode == Mode::Redirect {
            if !self.rules.fetch(name) {
                return Err(Refusal::Absent(NO_TYPE));
            }
            let to = self.fetcher.origin.url_of(name);
            return Ok(Waited::Arriving(reply::redirect(to.as_str())));
        }
        if self.original_first {
            self.original_of(held, name).await?;
        }
        let mut steps = self.ask_for(held, name)?;
        match settled(&mut steps).await {
            Step::Arriving(arrival, _) => {
                let length = arrival.length;
                Ok(Waited::Arriving(sending::arriving(
                    steps, arrival, length, promise, is_head,
                )))
            }
            Step::Whole(arrival, size) => Ok(Waited::Arriving(sending::arriving(
                steps,
                arrival,
                Some(size),
                promise,
                is_head,
            ))),
            Step::There => Ok(Waited::There),
            Step::Failed(refusal) => Err(refusal),
            Step::Asked => Err(Refusal::Broken),
        }
    }

    /// Fetches what a missing image style is made of. The style itself is the site's to make, so that it gets 404; where there
    /// is no original it would get the same.
    async fn original_of(&self, held: &Held, name: &Name) -> Result<(), Refusal> {
        let originals = styles::originals(name);
        let mut last = None;
        for original in originals
            .iter()
            .filter(|original| self.rules.serve(original))
        {
            match self.has(held, original).await {
                Ok(()) => return Err(Refusal::Absent(MADE_HERE)),
                Err(refusal @ Refusal::Absent(_)) => last = Some(refusal),
                Err(other) => return Err(other),
            }
        }
        if originals.is_empty() {
            return Ok(());
        }
        Err(last.unwrap_or(Refusal::Absent(NOT_SERVED)))
    }

    /// Has a file in its place, fetched to its end if need be.
    async fn has(&self, held: &Held, name: &Name) -> Result<(), Refusal> {
        if look(&held.tree, name).await?.is_some() {
            return Ok(());
        }
        let mut steps = self.ask_for(held, name)?;
        loop {
            match settled(&mut steps).await {
                Step::Arriving(..) if steps.changed().await.is_ok() => {}
                Step::Whole(..) | Step::There => return Ok(()),
                Step::Failed(refusal) => return Err(refusal),
                Step::Asked | Step::Arriving(..) => return Err(Refusal::Broken),
            }
        }
    }

    /// Begins a file's fetch, or joins it.
    fn ask_for(&self, held: &Held, name: &Name) -> Result<watch::Receiver<Step>, Refusal> {
        if !self.rules.fetch(name) {
            return Err(Refusal::Absent(NO_TYPE));
        }
        if let Some(refusal) = self.fetcher.absent.get(name, Instant::now()) {
            return Err(refusal);
        }
        let Some(disk) = &held.disk else {
            return Err(Refusal::Broken);
        };
        let (steps, flight) = self.flights.join(name);
        if let Some(flight) = flight {
            let (fetcher, tree, disk) = (self.fetcher.clone(), held.tree.clone(), disk.clone());
            // Its own, whatever becomes of who asked.
            tokio::spawn(async move { fetcher.fetch(flight, tree, disk).await });
        }
        Ok(steps)
    }

    /// The directory that stands at the path.
    async fn held(&self) -> Held {
        let held = {
            let mut held = self.held.lock();
            if held.looked.elapsed() < LOOK || held.tree.is_at(&self.root.path) {
                if held.looked.elapsed() >= LOOK {
                    held.looked = Instant::now();
                }
                return held.clone();
            }
            // The others go on with what there is meanwhile.
            held.looked = Instant::now();
            held.clone()
        };
        let (root, most) = (self.root.clone(), self.fetcher.limits.max_disk);
        let before = held.tree.clone();
        let opened = spawn_blocking(move || hold(&root, most, Some(&before))).await;
        match opened {
            Ok(Ok(new)) => {
                tracing::info!(root = %self.root.path.display(), "another directory stands at the file proxy's root, and is served");
                *self.held.lock() = new.clone();
                new
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "another directory stands at the file proxy's root, and cannot be served");
                held
            }
            Err(_) => held,
        }
    }
}

fn hold(root: &Root, max_disk: u64, before: Option<&Tree>) -> Result<Held> {
    let tree = root.open(before)?;
    let disk = if root.writes {
        let what = format!(
            "the list of fetched files in {} cannot be read",
            root.path.display()
        );
        Some(Disk::open(max_disk, tree.clone()).map_err(io(what))?)
    } else {
        None
    };
    Ok(Held {
        tree,
        disk,
        looked: Instant::now(),
    })
}

/// What a fetch has come to, once that is more than a question.
async fn settled(steps: &mut watch::Receiver<Step>) -> Step {
    let settled = steps.wait_for(|step| !matches!(step, Step::Asked)).await;
    // Who fetched has met a bug, and said so.
    settled.map_or(Step::Failed(Refusal::Broken), |step| step.clone())
}

/// A file that is there; `None`: nothing of this name is.
async fn look(tree: &Arc<Tree>, name: &Name) -> Result<Option<super::tree::Present>, Refusal> {
    let found = match tree.look(name, true) {
        Ok(None) => {
            let (tree, name) = (tree.clone(), name.clone());
            let looked = spawn_blocking(move || tree.look(&name, false)).await;
            looked.unwrap_or_else(|error| Err(std::io::Error::other(error)))
        }
        found => found,
    };
    match found {
        Ok(Some(Found::File(present))) => Ok(Some(present)),
        Ok(Some(Found::Nothing)) => Ok(None),
        Ok(Some(Found::Other)) => Err(Refusal::Absent(NO_FILE)),
        Ok(Some(Found::Unreadable)) => Err(Refusal::Unreadable),
        Ok(None) => Err(Refusal::Broken),
        Err(error) => {
            tracing::warn!(file = ?name.as_str(), %error, "a file cannot be looked up");
            Err(Refusal::Broken)
        }
    }
}
