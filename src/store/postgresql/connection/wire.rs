//! The stream under a session: tokio-postgres speaks on it, and a COPY borrows it, so that rows go through in blocks.

use std::future::Ready;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, MutexGuard};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

use super::inspector::{Inspector, Refusal};
use crate::sync::Mutex;

/// What bytes go through, whatever is below.
pub(in crate::store::postgresql) trait Duplex:
    AsyncRead + AsyncWrite + Send + Unpin
{
}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connected stream: TCP, a Unix socket, or TLS on top.
pub(in crate::store::postgresql) type Wire = Box<dyn Duplex>;

/// Where a session's stream is at the moment.
#[derive(Clone, Default)]
pub(in crate::store::postgresql) struct Holder(Arc<Mutex<Slot>>);

#[derive(Default)]
struct Slot {
    wire: Option<Wire>,
    /// It will not come back.
    gone: bool,
    /// Why the server is not listened to any longer.
    refusal: Option<Refusal>,
    /// The connection's task, to be told that it may go on.
    waker: Option<Waker>,
}

impl Holder {
    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.0.lock()
    }

    /// Puts a new stream under the session.
    pub(in crate::store::postgresql) fn tap(
        &self,
        wire: Wire,
        binding: ChannelBinding,
        gate: Inspector,
    ) -> Tap {
        let mut slot = self.slot();
        slot.wire = Some(wire);
        slot.gone = false;
        slot.refusal = None;
        drop(slot);
        Tap {
            holder: self.clone(),
            binding: Mutex::new(Some(binding)),
            gate,
        }
    }

    /// Why the server is not listened to any longer, if that is how the session ended.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        self.slot().refusal
    }

    /// Takes the stream from a session that waits for no answer. `None`: the connection has ended.
    pub(in crate::store::postgresql) fn borrow(&self) -> Option<Borrowed> {
        let wire = self.slot().wire.take()?;
        Some(Borrowed {
            wire: Some(wire),
            holder: self.clone(),
        })
    }
}

/// A stream that its session has lent. Dropped and not given back, it is closed, and the session with it: nobody
/// would know what is still on its way.
pub(in crate::store::postgresql) struct Borrowed {
    wire: Option<Wire>,
    holder: Holder,
}

impl Borrowed {
    /// The stream itself.
    pub(in crate::store::postgresql) fn wire(&mut self) -> Pin<&mut Wire> {
        Pin::new(
            self.wire
                .as_mut()
                .expect("it is here until it is given back"),
        )
    }

    /// Gives it back, when all has been read that the server had to say.
    pub(in crate::store::postgresql) fn give_back(mut self) {
        let waker = {
            let mut slot = self.holder.slot();
            if !slot.gone {
                slot.wire = self.wire.take();
            }
            slot.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        if self.wire.take().is_some() {
            let waker = {
                let mut slot = self.holder.slot();
                slot.gone = true;
                slot.waker.take()
            };
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

/// What tokio-postgres reads from and writes to. While the stream is lent, it just waits.
pub(in crate::store::postgresql) struct Tap {
    holder: Holder,
    /// Asked for once, while the session is opened.
    binding: Mutex<Option<ChannelBinding>>,
    /// Looks at what the server says.
    gate: Inspector,
}

impl Tap {
    fn poll<T>(
        &self,
        cx: &mut Context<'_>,
        gone: impl FnOnce() -> io::Result<T>,
        act: impl FnOnce(Pin<&mut Wire>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let mut slot = self.holder.slot();
        let ended = slot.gone;
        let polled = match &mut slot.wire {
            Some(wire) => act(Pin::new(wire), cx),
            None if ended => Poll::Ready(gone()),
            None => Poll::Pending,
        };
        if polled.is_pending() {
            slot.waker = Some(cx.waker().clone());
        }
        polled
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let mut slot = self.holder.slot();
        slot.wire = None;
        slot.gone = true;
    }
}

fn closed<T>() -> io::Result<T> {
    Err(io::ErrorKind::BrokenPipe.into())
}

impl AsyncRead for Tap {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let tap = self.get_mut();
        let before = buffer.filled().len();
        // Nothing read: the end.
        let polled = tap.poll(cx, || Ok(()), |wire, cx| wire.poll_read(cx, buffer));
        if let Poll::Ready(Ok(())) = &polled {
            let looked = tap.gate.look(&buffer.filled()[before..]);
            if let Err(refusal) = looked {
                tap.holder.slot().refusal = Some(refusal);
                return Poll::Ready(Err(io::Error::other(refusal)));
            }
        }
        polled
    }
}

impl AsyncWrite for Tap {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll(cx, closed, |wire, cx| wire.poll_write(cx, data))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(cx, closed, AsyncWrite::poll_flush)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(cx, || Ok(()), AsyncWrite::poll_shutdown)
    }
}

impl TlsStream for Tap {
    fn channel_binding(&self) -> ChannelBinding {
        let mut binding = self.binding.lock();
        binding.take().unwrap_or_else(ChannelBinding::none)
    }
}

/// Hands tokio-postgres a stream that is encrypted already, if it is to be; what it would have encrypted leads nowhere.
pub(in crate::store::postgresql) struct Through(pub(super) Tap);

impl<S> TlsConnect<S> for Through {
    type Stream = Tap;
    type Error = io::Error;
    type Future = Ready<io::Result<Tap>>;

    fn connect(self, _nowhere: S) -> Self::Future {
        std::future::ready(Ok(self.0))
    }
}
