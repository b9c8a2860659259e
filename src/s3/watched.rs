//! A request's body that one can see move: a slow line is waited for, a dead one is not.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use object_store::client::{HttpError, HttpRequestBody};

use crate::sync::Mutex;

/// It is handed on in such pieces.
const FRAME: usize = 64 * 1024;

/// When a body last moved.
#[derive(Debug)]
pub(super) struct Moved(Mutex<Instant>);

impl Default for Moved {
    fn default() -> Self {
        Self(Mutex::new(Instant::now()))
    }
}

impl Moved {
    pub(super) fn last(&self) -> Instant {
        *self.0.lock()
    }

    fn now(&self) {
        *self.0.lock() = Instant::now();
    }
}

/// A body that leaves a mark each time some of it is taken.
pub(super) struct Watched {
    body: HttpRequestBody,
    rest: Bytes,
    moved: Arc<Moved>,
}

impl Watched {
    pub(super) fn new(body: HttpRequestBody, moved: Arc<Moved>) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            moved,
        }
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        while self.rest.is_empty() {
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.rest = frame.into_data().unwrap_or_default();
                }
                other => return other,
            }
        }
        self.moved.now();
        let length = self.rest.len().min(FRAME);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let inner = self.body.size_hint().exact().unwrap_or_default();
        SizeHint::with_exact(inner + self.rest.len() as u64)
    }
}
