//! The API and the control panel, which the daemon serves.
//!
//! They start nothing by themselves that the command line could not: what is asked for goes into the queue of the state store,
//! and all that is shown is read there, and from the files as the daemon has them in force ([`crate::daemon::View`]). They
//! have a thread and connections to the state store of their own: whatever their clients do, the daemon's clock goes on.
//!
//! | module | what it is |
//! | --- | --- |
//! | `api` | `/api/v1`, and its description |
//! | `panel` | the pages |
//! | `phase` | what a step of a run is called |
//! | `live` | logs and progress to all who watch, read once |
//! | `auth` | who asks, and what they may do |
//! | `revocation`, `bearers` | whether those who watch still may |
//! | `session` | browsers that have logged in |
//! | `gate` | around every request: its host, time, and headers |
//! | `reply` | ETags, problems |
//! | `feeds`, `guesses` | what is known of who watches, and of who guesses |
//! | `listen` | sockets and TLS |
//! | `crowd`, `peer` | who is connected, and who has to go for somebody new |
//! | `app` | what all of them share |

mod api;
mod app;
mod auth;
mod bearers;
mod crowd;
mod feeds;
mod gate;
mod guesses;
mod listen;
mod live;
mod panel;
mod peer;
mod phase;
mod reply;
mod revocation;
mod session;

use std::sync::Arc;

use tokio::sync::watch;

use self::app::App;
use self::listen::Socket;
use crate::config::http::Http;
use crate::config::job::Settings;
use crate::daemon::View;
use crate::error::{Error, Kind, Result};

/// A server that has its socket and answers nobody yet.
pub struct Server {
    http: Http,
    socket: Socket,
}

impl Server {
    /// Takes the socket, and reads the certificate.
    pub fn bind(http: &Http, settings: &Settings) -> Result<Self> {
        Ok(Self {
            socket: Socket::bind(http, &settings.lock_dir)?,
            http: http.clone(),
        })
    }

    /// Answers in a thread of its own, until the process ends.
    pub fn start(self, views: watch::Receiver<Arc<View>>) -> Result<()> {
        let failed =
            |error| Error::new(Kind::Internal, "the API's thread cannot be started").because(error);
        let app = App::new(self.http, views)?;
        let socket = self.socket;
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::Builder::new()
            .name("http".to_owned())
            .spawn(move || match runtime() {
                Ok(runtime) => {
                    let _ = tell.send(Ok(()));
                    runtime.block_on(socket.serve(api::router(&app), app.http(), app.limits()));
                }
                Err(error) => drop(tell.send(Err(error))),
            })
            .map_err(failed)?;
        // A thread that ends without a word has met a bug of ours, and said so.
        let silent = || std::io::Error::other("it has ended");
        told.recv()
            .unwrap_or_else(|_| Err(silent()))
            .map_err(failed)
    }
}

/// What the API's thread works with.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(app::READERS)
        .thread_name("http")
        .enable_all()
        .build()
}
