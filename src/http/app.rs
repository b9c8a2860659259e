//! What all answers have in common: the files in force, the state store, and who is watching.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::bearers::Bearers;
use super::feeds::Hub;
use super::guesses::Failures;
use super::listen::Limits;
use super::reply::Problem;
use crate::config::http::Http;
use crate::config::job::Settings;
use crate::daemon::View;
use crate::error::{Error, Kind, Result};
use crate::process::{host_name, panics};
use crate::state::State;
use crate::sync::Mutex;

/// So many threads ask the state store at a time.
pub(super) const READERS: usize = 4;

/// How long a file that was written may take to be in force.
const UNTIL_SEEN: Duration = Duration::from_secs(8);

/// How old what many ask for may be.
const FRESH: Duration = Duration::from_millis(200);

/// Shared by all connections.
#[derive(Clone)]
pub(super) struct App(Arc<Inner>);

struct Inner {
    http: Http,
    views: watch::Receiver<Arc<View>>,
    /// Handles on the state store that nobody uses.
    idle: Mutex<Vec<State>>,
    failures: Failures,
    hub: Hub,
    bearers: Bearers,
    limits: Limits,
    /// Names of this host, lower case.
    hosts: Vec<String>,
    /// What makes forms of this process's own pages.
    salt: String,
    /// What was made of the whole state store last, by what it is.
    kept: Mutex<Vec<Kept>>,
    /// Requests with a key are looked at one after the other.
    keyed: tokio::sync::Mutex<()>,
}

struct Kept {
    what: &'static str,
    at: Instant,
    view: Arc<View>,
    bytes: Arc<Vec<u8>>,
}

/// What an answer is made of.
pub(super) struct Look {
    /// The files in force.
    pub(super) view: Arc<View>,
    /// The state store.
    pub(super) state: State,
}

impl Look {
    /// envsyncd.toml.
    pub(super) fn settings(&self) -> &Settings {
        &self.view.settings
    }
}

impl App {
    pub(super) fn new(http: Http, views: watch::Receiver<Arc<View>>) -> Result<Self> {
        let state = State::open(&views.borrow().settings.state_dir)?;
        let name = host_name().to_ascii_lowercase();
        let mut hosts = vec!["localhost".to_owned(), name];
        hosts.extend(http.hosts.iter().cloned());
        Ok(Self(Arc::new(Inner {
            hosts,
            http,
            views,
            idle: Mutex::new(vec![state]),
            failures: Failures::default(),
            hub: Hub::default(),
            bearers: Bearers::default(),
            limits: Limits::of_process(),
            salt: crate::state::secret()?,
            kept: Mutex::new(Vec::new()),
            keyed: tokio::sync::Mutex::new(()),
        })))
    }

    pub(super) fn http(&self) -> &Http {
        &self.0.http
    }

    pub(super) fn limits(&self) -> Limits {
        self.0.limits
    }

    pub(super) fn failures(&self) -> &Failures {
        &self.0.failures
    }

    pub(super) fn hub(&self) -> &Hub {
        &self.0.hub
    }

    pub(super) fn bearers(&self) -> &Bearers {
        &self.0.bearers
    }

    pub(super) fn salt(&self) -> &str {
        &self.0.salt
    }

    pub(super) fn keyed(&self) -> &tokio::sync::Mutex<()> {
        &self.0.keyed
    }

    /// The files in force.
    pub(super) fn view(&self) -> Arc<View> {
        self.0.views.borrow().clone()
    }

    /// Waits for seconds until the daemon has files in force of which this holds. False: it has not yet.
    pub(super) async fn until(&self, holds: impl Fn(&View) -> bool) -> bool {
        let mut views = self.0.views.clone();
        let seen = views.wait_for(|view| holds(view));
        let seen = tokio::time::timeout(UNTIL_SEEN, seen).await;
        seen.is_ok_and(|seen| seen.is_ok())
    }

    /// Whether this host is called so. What asks for another host was led here by somebody else's name server.
    pub(super) fn is_called(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let is_ours = |name: &String| {
            // The host's own name, with its domain or without.
            *name == host
                || host
                    .split_once('.')
                    .is_some_and(|(first, _)| first == name && name != "localhost")
        };
        bare.parse::<std::net::IpAddr>().is_ok() || self.0.hosts.iter().any(is_ours)
    }

    /// Asks the state store, in a thread that may wait for it.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Look) -> Result<T> + Send + 'static,
    ) -> Result<T, Problem> {
        let app = self.clone();
        let asked = tokio::task::spawn_blocking(move || app.ask_now(ask)).await;
        let answer = asked.map_err(|_| Error::new(Kind::Internal, "the answer was not made"))?;
        Ok(answer?)
    }

    /// The same, for who may wait.
    pub(super) fn ask_now<T>(&self, ask: impl FnOnce(&Look) -> Result<T>) -> Result<T> {
        let view = self.view();
        let idle = self.0.idle.lock().pop();
        let state = match idle {
            Some(state) => state,
            None => State::open(&view.settings.state_dir)?,
        };
        let look = Look { view, state };
        let answer = panics::caught(|| ask(&look));
        let mut idle = self.0.idle.lock();
        if idle.len() < READERS {
            idle.push(look.state);
        }
        drop(idle);
        answer?
    }

    /// As [`Self::ask`], for what many ask for and takes long to make: it is a moment old.
    pub(super) async fn ask_often(
        &self,
        what: &'static str,
        make: impl FnOnce(&Look) -> Result<Vec<u8>> + Send + 'static,
    ) -> Result<Arc<Vec<u8>>, Problem> {
        let view = self.view();
        let is_it = |kept: &Kept| kept.what == what;
        {
            let all = self.0.kept.lock();
            let kept = all.iter().find(|kept| is_it(kept));
            if let Some(kept) = kept
                && kept.at.elapsed() < FRESH
                && Arc::ptr_eq(&kept.view, &view)
            {
                return Ok(kept.bytes.clone());
            }
        }
        let at = Instant::now();
        let bytes = Arc::new(self.ask(make).await?);
        let mut all = self.0.kept.lock();
        all.retain(|kept| !is_it(kept));
        all.push(Kept {
            what,
            at,
            view,
            bytes: bytes.clone(),
        });
        Ok(bytes)
    }
}
