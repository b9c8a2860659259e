//! Whether a server is still there. A connection that breaks says so; a machine that vanishes is found out by TCP itself; and a
//! server whose process stands still, by nobody: it is asked for a sign of life when nothing has been heard of it for long.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::sync::Mutex;

/// How TCP looks after a connection on which nothing is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Keepalive {
    /// When it asks the other machine; `None`: never.
    pub(super) idle: Option<Duration>,
    /// How long it waits before it asks again.
    pub(super) interval: Duration,
    /// How often it asks in vain.
    pub(super) count: u32,
    /// How long what was sent may go without being acknowledged.
    pub(super) user_timeout: Duration,
}

impl Default for Keepalive {
    /// A machine that has vanished without a word is noticed within two minutes, and what is on the way does not forget a
    /// connection that waits while others work.
    fn default() -> Self {
        Self {
            idle: Some(Duration::from_secs(60)),
            interval: Duration::from_secs(10),
            count: 6,
            user_timeout: Duration::from_secs(120),
        }
    }
}

impl Keepalive {
    /// Sets a connection up so. What is said goes at once.
    pub(super) fn apply(&self, stream: &TcpStream) -> io::Result<()> {
        let seconds = |time: Duration| u32::try_from(time.as_secs().max(1)).unwrap_or(u32::MAX);
        stream.set_nodelay(true)?;
        if let Some(idle) = self.idle {
            setsockopt(stream, sockopt::KeepAlive, &true)?;
            setsockopt(stream, sockopt::TcpKeepIdle, &seconds(idle))?;
            setsockopt(stream, sockopt::TcpKeepInterval, &seconds(self.interval))?;
            setsockopt(stream, sockopt::TcpKeepCount, &self.count)?;
        }
        let limit = u32::try_from(self.user_timeout.as_millis()).unwrap_or(u32::MAX);
        setsockopt(stream, sockopt::TcpUserTimeout, &limit)?;
        Ok(())
    }
}

/// When a server that says nothing is asked for a sign of life, and when it is given up.
#[derive(Debug, Clone, Copy)]
struct Rhythm {
    /// How long nothing is heard before it is asked.
    quiet: Duration,
    /// How long between two times that it is asked in vain.
    pause: Duration,
    /// How often.
    tries: u32,
}

/// With the time that a login may take, a server that stands still is given up after five to eight minutes: nobody's server takes
/// that long over a checkpoint.
const RHYTHM: Rhythm = Rhythm {
    quiet: Duration::from_secs(120),
    pause: Duration::from_secs(60),
    tries: 3,
};

/// What is known of a server by all connections to it together. One that says nothing for hours may be at work; if none of them
/// hears anything, and a new one does not either, the server is gone.
#[derive(Clone, Default)]
pub(super) struct Pulse(Arc<Heart>);

#[derive(Default)]
struct Heart {
    /// How often something was heard.
    heard: AtomicU64,
    gone: AtomicBool,
    watched: Mutex<Watched>,
}

#[derive(Default)]
struct Watched {
    /// The tasks that wait for the server.
    waiting: Vec<Weak<Waiting>>,
    /// Somebody watches.
    is_watched: bool,
}

#[derive(Default)]
struct Waiting {
    to_read: AtomicWaker,
    to_write: AtomicWaker,
}

impl fmt::Debug for Pulse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pulse")
            .field("gone", &self.is_gone())
            .finish_non_exhaustive()
    }
}

impl Pulse {
    /// Whether the server was given up.
    pub(super) fn is_gone(&self) -> bool {
        self.0.gone.load(Ordering::Acquire)
    }

    /// Ends when the server is given up: for who waits for a program that waits for it.
    pub(super) async fn lost(&self) {
        while !self.is_gone() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// A connection to the server, which breaks when the server is given up.
    pub(super) fn listen<S>(&self, stream: S) -> Heard<S> {
        let waiting = Arc::new(Waiting::default());
        let mut watched = self.watched();
        watched.waiting.retain(|one| one.strong_count() > 0);
        watched.waiting.push(Arc::downgrade(&waiting));
        Heard {
            stream,
            heart: self.0.clone(),
            waiting,
        }
    }

    /// Asks for signs of life from now on, as long as there is a connection. `ask` makes a new one, by which the server is heard
    /// or is not; it has a limit of its own.
    pub(super) fn watch<F, A>(&self, ask: F)
    where
        F: Fn() -> A + Send + 'static,
        A: Future<Output = ()> + Send,
    {
        self.watch_in(RHYTHM, ask);
    }

    fn watch_in<F, A>(&self, rhythm: Rhythm, ask: F)
    where
        F: Fn() -> A + Send + 'static,
        A: Future<Output = ()> + Send,
    {
        if std::mem::replace(&mut self.watched().is_watched, true) {
            return;
        }
        let pulse = self.clone();
        tokio::spawn(async move {
            let mut failed = 0;
            while failed < rhythm.tries {
                let before = pulse.heard();
                if failed == 0 {
                    tokio::time::sleep(rhythm.quiet).await;
                } else {
                    tokio::time::sleep(rhythm.pause).await;
                }
                if pulse.is_over() {
                    return;
                }
                if pulse.heard() == before {
                    ask().await;
                }
                failed = if pulse.heard() == before {
                    failed + 1
                } else {
                    0
                };
            }
            pulse.give_up();
        });
    }

    fn heard(&self) -> u64 {
        self.0.heard.load(Ordering::Relaxed)
    }

    /// Whether nobody is connected any more; then nobody watches, either.
    fn is_over(&self) -> bool {
        let mut watched = self.watched();
        watched.waiting.retain(|one| one.strong_count() > 0);
        if watched.waiting.is_empty() {
            watched.is_watched = false;
        }
        watched.waiting.is_empty()
    }

    /// Breaks all connections.
    fn give_up(&self) {
        self.0.gone.store(true, Ordering::Release);
        for waiting in self.watched().waiting.drain(..) {
            if let Some(waiting) = waiting.upgrade() {
                waiting.to_read.wake();
                waiting.to_write.wake();
            }
        }
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.0.watched.lock()
    }
}

/// What those hear who wait for a server that was given up.
pub(super) const GONE: &str = "the server has not given a sign of life for minutes";

/// A connection whose server is listened to.
pub(super) struct Heard<S> {
    stream: S,
    heart: Arc<Heart>,
    waiting: Arc<Waiting>,
}

impl<S> Heard<S> {
    fn is_gone(&self) -> bool {
        self.heart.gone.load(Ordering::Acquire)
    }

    /// What a stream that is not ready comes to. Who waits is woken when the server is given up, and who has begun to wait
    /// just then has not missed it.
    fn pending<T>(
        &self,
        waker: impl Fn(&Waiting) -> &AtomicWaker,
        cx: &Context<'_>,
    ) -> Poll<io::Result<T>> {
        waker(&self.waiting).register(cx.waker());
        if self.is_gone() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, GONE)));
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(cx, buffer) {
            Poll::Pending => self.pending(|waiting| &waiting.to_read, cx),
            ready @ Poll::Ready(_) => {
                self.heart.heard.fetch_add(1, Ordering::Relaxed);
                ready
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(cx, data) {
            Poll::Pending => self.pending(|waiting| &waiting.to_write, cx),
            ready @ Poll::Ready(_) => ready,
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write_vectored(cx, data) {
            Poll::Pending => self.pending(|waiting| &waiting.to_write, cx),
            ready @ Poll::Ready(_) => ready,
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Pending => self.pending(|waiting| &waiting.to_write, cx),
            ready @ Poll::Ready(_) => ready,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::getsockopt;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const QUICK: Rhythm = Rhythm {
        quiet: Duration::from_millis(1),
        pause: Duration::from_millis(1),
        tries: 3,
    };

    #[tokio::test]
    async fn who_waits_for_a_server_that_stands_still_is_told() {
        let pulse = Pulse::default();
        // Nobody reads from the other side, and nobody writes to it.
        let (here, _there) = tokio::io::duplex(8);
        let mut idle = pulse.listen(here);
        let (here, _full) = tokio::io::duplex(8);
        let mut writer = pulse.listen(here);
        pulse.watch_in(QUICK, || std::future::ready(()));
        let mut byte = [0];
        let (read, written) = tokio::join!(idle.read(&mut byte), writer.write_all(&[7; 64]));
        for error in [read.unwrap_err(), written.unwrap_err()] {
            assert_eq!(error.to_string(), GONE);
        }
        assert!(pulse.is_gone());
        // And whoever asks later.
        let (here, _there) = tokio::io::duplex(8);
        assert!(pulse.listen(here).read(&mut byte).await.is_err());
    }

    #[tokio::test]
    async fn a_server_that_still_lets_others_in_is_waited_for() {
        let pulse = Pulse::default();
        let (here, mut there) = tokio::io::duplex(8);
        let mut waiting = pulse.listen(here);
        let asked = Arc::new(AtomicU64::new(0));
        let (asker, count) = (pulse.clone(), asked.clone());
        pulse.watch_in(QUICK, move || {
            let (pulse, count) = (asker.clone(), count.clone());
            async move {
                // A new connection, on which the server says a word.
                let (here, mut there) = tokio::io::duplex(8);
                there.write_all(b"x").await.unwrap();
                pulse.listen(here).read_u8().await.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        let answer = async {
            while asked.load(Ordering::Relaxed) < 10 {
                tokio::task::yield_now().await;
            }
            there.write_all(b"y").await.unwrap();
        };
        let (read, ()) = tokio::join!(waiting.read_u8(), answer);
        assert_eq!(read.unwrap(), b'y');
        assert!(!pulse.is_gone());
    }

    #[tokio::test]
    async fn nobody_is_asked_when_nobody_is_connected() {
        let pulse = Pulse::default();
        drop(pulse.listen(tokio::io::empty()));
        pulse.watch_in(QUICK, || async { panic!("asked") });
        while pulse.watched().is_watched {
            tokio::task::yield_now().await;
        }
        assert!(!pulse.is_gone());
    }

    #[tokio::test]
    async fn a_connection_is_kept_alive_as_it_is_told() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        Keepalive::default().apply(&stream).unwrap();
        assert!(getsockopt(&stream, sockopt::KeepAlive).unwrap());
        assert_eq!(getsockopt(&stream, sockopt::TcpKeepIdle).unwrap(), 60);
        assert_eq!(getsockopt(&stream, sockopt::TcpKeepCount).unwrap(), 6);
        assert_eq!(
            getsockopt(&stream, sockopt::TcpUserTimeout).unwrap(),
            120_000
        );
    }
}
