//! Sockets, TLS, and what limits connections: a client that is slow, or there are many of them, holds nobody up.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use rustls::crypto::ring;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tower_service::Service as _;

use super::crowd::{Answered, Crowd, Guest};
use super::peer::Peer;
use crate::config::http::{Certificate, Http, Listen};
use crate::error::{Error, Kind, Result};
use crate::guard::sockets;
use crate::tls;

/// At most so many connections at a time.
const CONNECTIONS: u64 = 4096;

/// Connections that have to go and are not closed yet, beside those.
const GOING: usize = 32;

/// Files that the rest of the process needs beside connections.
const SPARE: u64 = 160;

/// How long a client may take for a handshake, and for the headers of a request.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of a request's headers.
const HEADERS: usize = 16 << 10;

/// A socket that is listened at.
pub(super) struct Socket {
    listener: Listener,
    tls: Option<TlsAcceptor>,
}

enum Listener {
    Unix(std::os::unix::net::UnixListener),
    Tcp(std::net::TcpListener),
}

impl Socket {
    pub(super) fn bind(http: &Http, lock_dir: &Path) -> Result<Self> {
        let listener = match &http.listen {
            Listen::Unix(path) => Listener::Unix(unix(path, lock_dir)?),
            Listen::Tcp(address) => {
                let listener = sockets::tcp(address);
                Listener::Tcp(listener.map_err(|error| unavailable(&address.to_string(), error))?)
            }
        };
        let tls = http.tls.as_ref().map(acceptor).transpose()?;
        Ok(Self { listener, tls })
    }

    /// Serves whoever connects, and never ends.
    pub(super) async fn serve(self, router: Router, http: &Http, limits: Limits) {
        let crowd = Crowd::new(limits.connections);
        // Those that have to go are still there for a moment.
        let room = Arc::new(Semaphore::new(limits.connections + GOING));
        let listener = match self.listener {
            Listener::Unix(listener) => UnixListener::from_std(listener).map(Accept::Unix),
            Listener::Tcp(listener) => TcpListener::from_std(listener).map(Accept::Tcp),
        };
        let listener = match listener {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%error, "the API's socket cannot be used");
                return;
            }
        };
        let mut refused: u64 = 0;
        loop {
            let Ok(permit) = room.clone().acquire_owned().await else {
                return;
            };
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // No more files, say.
                    tracing::warn!(%error, "a connection to the API cannot be accepted");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    continue;
                }
            };
            let Some(guest) = crowd.enter(peer, peer.is_proxy(http)) else {
                // Dropped, and with it closed.
                if refused.is_multiple_of(1000) {
                    tracing::warn!(%peer, connections = limits.connections, "too many connections to the API: more are closed at once");
                }
                refused += 1;
                continue;
            };
            let tls = self.tls.clone();
            let router = router.clone();
            tokio::spawn(async move {
                let gone = guest.gone();
                let routes = Routes {
                    router,
                    peer,
                    guest: Arc::new(guest),
                };
                let served = async {
                    match (stream, tls) {
                        (Stream::Tcp(stream), Some(tls)) => secured(stream, &tls, routes).await,
                        (Stream::Tcp(stream), None) => connection(stream, false, routes).await,
                        (Stream::Unix(stream), _) => connection(stream, false, routes).await,
                    }
                };
                tokio::select! {
                    () = served => {}
                    () = gone.cancelled() => {}
                }
                drop(permit);
            });
        }
    }
}

/// How much at a time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    connections: usize,
}

impl Limits {
    /// As much as this process may have open, within reason. Raises what it may as far as it can.
    pub(super) fn of_process() -> Self {
        let open = sockets::may_open(CONNECTIONS + SPARE);
        let connections = open.saturating_sub(SPARE).clamp(16, CONNECTIONS);
        Self {
            connections: usize::try_from(connections).unwrap_or(16),
        }
    }
}

enum Accept {
    Unix(UnixListener),
    Tcp(TcpListener),
}

enum Stream {
    Unix(tokio::net::UnixStream),
    Tcp(tokio::net::TcpStream),
}

impl Accept {
    async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let uid = stream.peer_cred()?.uid();
                Ok((Stream::Unix(stream), Peer::User(uid)))
            }
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                let _ = stream.set_nodelay(true);
                Ok((
                    Stream::Tcp(stream),
                    Peer::Address(address.ip().to_canonical()),
                ))
            }
        }
    }
}

/// What is answered to a peer. A layer of routes for each connection would take more memory than the connection.
#[derive(Clone)]
struct Routes {
    router: Router,
    peer: Peer,
    guest: Arc<Guest>,
}

impl Routes {
    async fn answer(mut self, mut request: Request<Incoming>) -> Result<Response, Infallible> {
        let asking = self.guest.asks();
        request.extensions_mut().insert(self.peer);
        let answer = self.router.call(request).await?;
        Ok(answer.map(|body| {
            Body::new(Answered {
                body,
                _asking: asking,
            })
        }))
    }
}

/// A connection with TLS, over which both sides agree on HTTP/1.1 or 2.
async fn secured(stream: tokio::net::TcpStream, tls: &TlsAcceptor, router: Routes) {
    let shaken = tokio::time::timeout(PATIENCE, tls.accept(stream)).await;
    if let Ok(Ok(stream)) = shaken {
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        connection(stream, is_http2, router).await;
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    is_http2: bool,
    router: Routes,
) {
    let builder = auto::Builder::new(TokioExecutor::new());
    // Said, and not looked for: who says nothing would be listened to for ever.
    let mut builder = if is_http2 {
        builder.http2_only()
    } else {
        builder.http1_only()
    };
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_headers(64)
        .max_buf_size(HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(64)
        .max_header_list_size(16 << 10)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(PATIENCE);
    let service = service_fn(move |request| router.clone().answer(request));
    // A client that goes away is no event.
    let _ = builder
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

fn unavailable(place: &str, error: io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => "another program listens there: change `listen` under [http]",
        io::ErrorKind::PermissionDenied => {
            "run the daemon as a user who may, or change `listen` under [http]"
        }
        _ => "see `listen` under [http]",
    };
    Error::new(Kind::Io, format!("the API cannot listen at {place}"))
        .because(error)
        .hint(hint)
}

/// A socket that every local user may connect to: who they are decides what they may do.
fn unix(path: &Path, lock_dir: &Path) -> Result<std::os::unix::net::UnixListener> {
    let failed = |error| unavailable(&path.display().to_string(), error);
    if path.parent() == Some(lock_dir) {
        fs::create_dir_all(lock_dir).map_err(failed)?;
    }
    sockets::unix(path).map_err(failed)
}

/// TLS 1.2 and 1.3.
fn acceptor(files: &Certificate) -> Result<TlsAcceptor> {
    let wrong = |file: &PathBuf, what: &str| {
        Error::new(Kind::Config, format!("{} {what}", file.display()))
            .hint("see `tls` under [http]")
    };
    let chain = tls::certificates(&files.certificate).map_err(|fault| {
        fault.because_of(wrong(
            &files.certificate,
            "has no certificate that can be used",
        ))
    })?;
    let key = tls::key(&files.key)
        .map_err(|fault| fault.because_of(wrong(&files.key, "has no key that can be used")))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .and_then(|config| config)
        .map_err(|error| wrong(&files.certificate, "cannot be used with its key").because(error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
