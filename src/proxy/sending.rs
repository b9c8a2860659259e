//! Bodies: a file that is there, and one that is arriving, in pieces of a bounded size.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::stream::unfold;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Bytes, Frame};
use hyper::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue,
    LAST_MODIFIED,
};
use hyper::{Response, StatusCode};
use rustix::io::ReadWriteFlags;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::conditions::{Validators, Wanted, http_date};
use super::flights::{Arrival, Step};
use super::media::Promise;
use super::reply::{self, Body};
use super::tree::Present;

/// Bytes that are read at a time.
const PIECE: u64 = 128 << 10;

/// Answers with a file that is there.
pub(super) async fn present(
    present: Present,
    promise: Promise,
    asked: &HeaderMap,
    is_head: bool,
) -> Response<Body> {
    let Present { file, validators } = present;
    let mut response = Response::new(reply::empty());
    let headers = response.headers_mut();
    reply::of_file(headers, promise);
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    say(headers, ETAG, Some(validators.etag()));
    say(headers, LAST_MODIFIED, validators.last_modified());
    let (status, range) = match validators.wanted(asked, SystemTime::now()) {
        Wanted::Whole => (StatusCode::OK, 0..validators.size),
        Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Wanted::Known => (StatusCode::NOT_MODIFIED, 0..0),
        Wanted::Changed => (StatusCode::PRECONDITION_FAILED, 0..0),
        Wanted::Beyond => (StatusCode::RANGE_NOT_SATISFIABLE, 0..0),
    };
    *response.status_mut() = status;
    told(response.headers_mut(), status, &range, &validators);
    if !is_head && !range.is_empty() {
        *response.body_mut() = body(file, range).await;
    }
    response
}

/// What an answer says of the bytes that are in it.
fn told(headers: &mut HeaderMap, status: StatusCode, range: &Range<u64>, file: &Validators) {
    let size = file.size;
    match status {
        StatusCode::PARTIAL_CONTENT => {
            let text = format!("bytes {}-{}/{size}", range.start, range.end - 1);
            say(headers, CONTENT_RANGE, Some(text));
        }
        StatusCode::RANGE_NOT_SATISFIABLE => {
            say(headers, CONTENT_RANGE, Some(format!("bytes */{size}")));
        }
        _ => {}
    }
    // 304 has no body, and says nothing of it.
    if status == StatusCode::NOT_MODIFIED {
        headers.remove(CONTENT_TYPE);
    } else {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
    }
}

fn say(headers: &mut HeaderMap, name: hyper::header::HeaderName, text: Option<String>) {
    if let Some(value) = text.and_then(|text| HeaderValue::try_from(text).ok()) {
        headers.insert(name, value);
    }
}

async fn body(file: Arc<File>, range: Range<u64>) -> Body {
    let first = read(&file, range.start, range.end - range.start).await;
    let at = match &first {
        Ok(piece) if range.start + piece.len() as u64 == range.end => {
            return reply::whole(piece.clone());
        }
        Ok(piece) => range.start + piece.len() as u64,
        Err(_) => range.start,
    };
    let first = futures_util::stream::iter([first.map(Frame::data)]);
    let rest = unfold((file, at..range.end), async |(file, range)| {
        if range.is_empty() {
            return None;
        }
        let piece = read(&file, range.start, range.end - range.start).await;
        let at = range.start + piece.as_ref().map_or(0, |piece| piece.len() as u64);
        // After an error there is nothing more.
        let end = if piece.is_ok() { range.end } else { at };
        Some((piece.map(Frame::data), (file, at..end)))
    });
    StreamBody::new(futures_util::StreamExt::chain(first, rest)).boxed_unsync()
}

/// Answers with a file that is arriving. Its first bytes are there.
pub(super) fn arriving(
    steps: watch::Receiver<Step>,
    arrival: Arc<Arrival>,
    length: Option<u64>,
    promise: Promise,
    is_head: bool,
) -> Response<Body> {
    let mut response = Response::new(reply::empty());
    let headers = response.headers_mut();
    reply::of_file(headers, promise);
    say(headers, LAST_MODIFIED, arrival.changed.and_then(http_date));
    if let Some(length) = length {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    if !is_head && length != Some(0) {
        let pieces = unfold(Some((steps, arrival, 0)), async |state| {
            let (mut steps, arrival, at) = state?;
            let piece = next(&mut steps, &arrival, at).await?;
            let after = match &piece {
                Ok(piece) => Some((steps, arrival, at + piece.len() as u64)),
                Err(_) => None,
            };
            Some((piece.map(Frame::data), after))
        });
        *response.body_mut() = StreamBody::new(pieces).boxed_unsync();
    }
    response
}

/// The next bytes of a file on its way, once there are some; `None`: that was all.
async fn next(
    steps: &mut watch::Receiver<Step>,
    arrival: &Arrival,
    at: u64,
) -> Option<io::Result<Bytes>> {
    loop {
        let step = steps.borrow_and_update().clone();
        match step {
            Step::Arriving(_, there) | Step::Whole(_, there) if at < there => {
                return Some(read(&arrival.file, at, there - at).await);
            }
            Step::Whole(..) => return None,
            Step::Arriving(..) if steps.changed().await.is_ok() => {}
            _ => return Some(Err(io::Error::other("the file did not arrive"))),
        }
    }
}

/// Some bytes of a file, and no more than so many. What the machine has in memory is had at once; only a disk is waited for
/// elsewhere. A file that ends before is an error.
async fn read(file: &Arc<File>, at: u64, most: u64) -> io::Result<Bytes> {
    let mut bytes = vec![0; usize::try_from(most.min(PIECE)).unwrap_or(0)];
    let now = rustix::io::preadv2(
        file,
        &mut [IoSliceMut::new(&mut bytes)],
        at,
        ReadWriteFlags::NOWAIT,
    );
    let (count, mut bytes) = if let Ok(count) = now {
        (count, bytes)
    } else {
        let file = file.clone();
        let read = spawn_blocking(move || file.read_at(&mut bytes, at).map(|count| (count, bytes)));
        read.await.map_err(io::Error::other)??
    };
    if count == 0 {
        return Err(io::Error::other("the file was cut short while it was sent"));
    }
    bytes.truncate(count);
    Ok(Bytes::from(bytes))
}
