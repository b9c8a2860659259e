//! Sockets, and what limits connections: a client that is slow holds nobody up.

use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc;
use tokio::time::{Sleep, sleep};
use tokio_util::sync::CancellationToken;

use super::seats::{Seat, Seats, Watch};
use super::site::Site;
use crate::config::http::Listen;
use crate::error::{Error, Kind, Result};
use crate::guard::sockets;

/// Connections of all listeners together.
const CONNECTIONS: u64 = 4096;
/// Each has a file open, too.
const FILES: u64 = 2;
/// Files that the rest of the process needs.
const SPARE: u64 = 512;
/// How long a client may say nothing.
const IDLE: Duration = Duration::from_secs(30);
/// How long a client may take nothing of what it is sent.
const STALLED: Duration = Duration::from_secs(60);
/// Bytes of a request's headers. Cookies are long.
const HEADERS: usize = 32 << 10;

/// One number for all listeners, as the files that connections need are the process's. Made for the first client: where there
/// is no file proxy, the process's limits stay as they are.
static SEATS: LazyLock<Seats> = LazyLock::new(|| Seats::new(connections()));

/// A socket that is listened at.
pub(super) enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Listener {
    /// Takes an address. In a runtime.
    pub(super) fn bind(listen: &Listen) -> Result<Self> {
        match listen {
            Listen::Unix(path) => sockets::unix(path)
                .and_then(UnixListener::from_std)
                .map(Self::Unix)
                .map_err(|error| unavailable(&path.display().to_string(), error)),
            Listen::Tcp(address) => sockets::tcp(address)
                .and_then(TcpListener::from_std)
                .map(Self::Tcp)
                .map_err(|error| unavailable(&address.to_string(), error)),
        }
    }

    /// Serves whoever connects until it is told to stop, and then those who are being answered.
    pub(super) async fn serve(self, site: Arc<Site>, stop: CancellationToken) {
        // Each connection has a sender, so that the channel ends with the last of them.
        let (open, mut ended) = mpsc::channel::<()>(1);
        loop {
            let next = async {
                let accepted = match &self {
                    Self::Unix(listener) => {
                        let accepted = listener.accept().await;
                        accepted.map(|(stream, _)| Stream::Unix(stream))
                    }
                    Self::Tcp(listener) => {
                        let accepted = listener.accept().await;
                        accepted.map(|(stream, _)| Stream::Tcp(stream))
                    }
                };
                // Who comes when all seats are taken waits, and the others behind it.
                Ok((accepted?, SEATS.take().await))
            };
            let next: io::Result<_> = tokio::select! {
                next = next => next,
                () = stop.cancelled() => break,
            };
            let (stream, seat) = match next {
                Ok(next) => next,
                Err(error) => {
                    // No more files, say.
                    tracing::warn!(%error, "a connection to the file proxy cannot be accepted");
                    sleep(Duration::from_millis(200)).await;
                    continue;
                }
            };
            let (site, stop, open) = (site.clone(), stop.clone(), open.clone());
            tokio::spawn(async move {
                match stream {
                    Stream::Tcp(stream) => {
                        let _ = stream.set_nodelay(true);
                        connection(stream, &seat, site, stop).await;
                    }
                    Stream::Unix(stream) => connection(stream, &seat, site, stop).await,
                }
                drop((seat, open));
            });
        }
        drop((self, open));
        let _ = ended.recv().await;
    }
}

enum Stream {
    Unix(tokio::net::UnixStream),
    Tcp(tokio::net::TcpStream),
}

/// How many connections at a time: as many as this process may have files for, within reason.
fn connections() -> usize {
    let open = sockets::may_open(CONNECTIONS * FILES + SPARE);
    let connections = (open.saturating_sub(SPARE) / FILES).clamp(64, CONNECTIONS);
    usize::try_from(connections).unwrap_or(64)
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    seat: &Seat,
    site: Arc<Site>,
    stop: CancellationToken,
) {
    let watch = seat.watch();
    let service = service_fn(move |request| {
        let (answering, answer) = (watch.answering(), site.clone().answer(request));
        async {
            let answer = answer.await;
            answer.map(|answer| answer.map(|body| answering.with(body)))
        }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_headers(100)
        .max_buf_size(HEADERS);
    let stream = TokioIo::new(Patient {
        stream,
        seat: seat.watch(),
        stalled: None,
    });
    let mut served = pin!(builder.serve_connection(stream, service));
    // A client that goes away is no event.
    tokio::select! {
        _ = served.as_mut() => return,
        () = seat.wanted() => return,
        () = stop.cancelled() => served.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        _ = served => {}
        () = seat.wanted() => {}
    }
}

fn unavailable(place: &str, error: io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program listens there: change `listen` under [[file_proxy]]"
        }
        _ => "see `listen` under [[file_proxy]]",
    };
    Error::new(Kind::Io, format!("the file proxy cannot listen at {place}"))
        .because(error)
        .hint(hint)
}

/// A stream whose other end may take its time, and not for ever.
struct Patient<S> {
    stream: S,
    seat: Watch,
    /// Since nothing was taken.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        done: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if done.is_ready() {
            self.stalled = None;
            return done;
        }
        self.seat.stalls();
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(STALLED)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write(context, bytes);
        if done.is_ready() {
            self.seat.took();
        }
        self.watch(context, done)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        if done.is_ready() {
            self.seat.took();
        }
        self.watch(context, done)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, done)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watch(context, done)
    }
}
