//! COPY on a session's own stream: rows pass in blocks of whole bytes, not one by one.
//!
//! CopyData is framed alike from and to a server (PostgreSQL manual, "Message Formats"), so what one sends can be sent on
//! as it is. Only headers are looked at. A server sends a message a row ("COPY Operations" in the same chapter).

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWrite};

use crate::error::{Error, Kind, Result};
use crate::store::Chunk;
use crate::store::postgresql::connection::server_error::ServerError;
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::connection::wire::Borrowed;

/// A chunk is sent on when it has so many bytes.
const CHUNK: usize = 128 * 1024;

/// Room for a chunk, and for what comes with its last bytes: what is read is never moved.
const BLOCK: usize = CHUNK + CHUNK / 2;

/// Room for what a server says beside.
const REMARKS: usize = 1024;

/// A message's type and its length.
const HEADER: usize = 5;

/// No message other than a row is longer; if one seems to be, we have lost our place.
const LONGEST: usize = 64 * 1024 * 1024;

/// The tag of a message with rows.
pub(super) const COPY_DATA: u8 = b'd';

/// The tag of the message that ends them.
pub(super) const COPY_DONE: u8 = b'c';

/// That message as a whole.
pub(super) const COPY_ENDS: &[u8] = &[COPY_DONE, 0, 0, 0, 4];

/// A session's stream, and what was read from it.
pub(in crate::store::postgresql) struct CopyStream {
    stream: Borrowed,
    pub(in crate::store::postgresql) read: BytesMut,
    place: String,
}

impl CopyStream {
    /// Borrows a session's stream and starts a statement on it, which has to be a COPY: `begun` is how the server
    /// says that it is.
    pub(in crate::store::postgresql) async fn start(
        session: &Session,
        sql: &str,
        begun: u8,
    ) -> Result<Self> {
        // When this is answered, so is all that came before it.
        session.run("").await?;
        let mut stream = Self {
            stream: session.borrow()?,
            read: BytesMut::new(),
            place: session.place().to_owned(),
        };
        let mut query = BytesMut::with_capacity(sql.len() + HEADER + 1);
        query.put_u8(b'Q');
        query.put_u32(sql.len() as u32 + HEADER as u32);
        query.put_slice(sql.as_bytes());
        query.put_u8(0);
        stream.write(query.freeze()).await?;
        loop {
            match stream.message().await? {
                (b'E', body) => return Err(stream.end_with(&body).await),
                (tag, _) if tag == begun => return Ok(stream),
                (tag, body) => stream.aside(tag, &body)?,
            }
        }
    }

    /// The server refused and goes on: so can the session.
    pub(super) async fn end_with(mut self, body: &[u8]) -> Error {
        let error = self.said(body);
        loop {
            match self.message().await {
                Ok((b'Z', _)) => {
                    self.stream.give_back();
                    return error;
                }
                Ok(_) => {}
                Err(_) => return error,
            }
        }
    }

    /// The error that the server reports.
    pub(in crate::store::postgresql) fn said(&self, body: &[u8]) -> Error {
        ServerError::parse(body).explain(&self.place)
    }

    fn broken(&self, error: &io::Error) -> Error {
        Error::new(
            Kind::Connection,
            format!(
                "{}: error communicating with the server: {error}",
                self.place
            ),
        )
        .hint("check that the server is up and can be reached from here")
    }

    fn out_of_step(&self) -> Error {
        Error::new(
            Kind::Internal,
            format!(
                "{}: the server sent a message that does not belong in a COPY",
                self.place
            ),
        )
    }

    /// What a server may say at any time.
    pub(super) fn aside(&self, tag: u8, body: &[u8]) -> Result<()> {
        match tag {
            b'N' => {
                let (notice, _) = ServerError::parse(body).told("");
                tracing::debug!(notice, "the server remarks");
                Ok(())
            }
            // Parameters and notifications; and the end of a COPY's rows.
            b'S' | b'A' | COPY_DONE => Ok(()),
            _ => Err(self.out_of_step()),
        }
    }

    /// Reads once; the server's end is an error.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.read.capacity() - self.read.len() < REMARKS {
            self.read.reserve(REMARKS);
        }
        // A future without state: it can be made anew for each poll.
        let mut stream = self.stream.wire();
        let reading = pin!(stream.read_buf(&mut self.read));
        Poll::Ready(match ready!(reading.poll(cx)) {
            Ok(0) => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the server closed the connection",
            )),
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        })
    }

    /// Reads more.
    pub(in crate::store::postgresql) async fn fill(&mut self) -> Result<()> {
        poll_fn(|cx| self.poll_fill(cx))
            .await
            .map_err(|error| self.broken(&error))
    }

    /// The length of the message that starts at `at` without its type, if its header is there.
    pub(in crate::store::postgresql) fn header(&self, at: usize) -> Result<Option<(u8, usize)>> {
        let Some(mut head) = self.read.get(at..at + HEADER) else {
            return Ok(None);
        };
        let (tag, length) = (head.get_u8(), head.get_u32() as usize);
        if length < 4 || (tag != COPY_DATA && length > LONGEST) {
            return Err(self.out_of_step());
        }
        Ok(Some((tag, length)))
    }

    /// The next message, if all of it has been read.
    pub(super) fn take_message(&mut self) -> Result<Option<(u8, Bytes)>> {
        let Some((tag, length)) = self.header(0)? else {
            return Ok(None);
        };
        if self.read.len() <= length {
            return Ok(None);
        }
        let mut message = self.read.split_to(length + 1).freeze();
        message.advance(HEADER);
        Ok(Some((tag, message)))
    }

    /// The next message, with its tag.
    pub(in crate::store::postgresql) async fn message(&mut self) -> Result<(u8, Bytes)> {
        loop {
            if let Some(message) = self.take_message()? {
                return Ok(message);
            }
            self.fill().await?;
        }
    }

    /// Writes and listens at the same time: a server that has something to say may not take anything until it is heard.
    /// An error that it sends ends the writing.
    pub(in crate::store::postgresql) async fn write(&mut self, mut data: Bytes) -> Result<()> {
        let written = poll_fn(|cx| {
            while let Poll::Ready(filled) = self.poll_fill(cx) {
                if let Err(error) = filled {
                    return Poll::Ready(Err(error));
                }
                // Notices of a whole COPY would add up.
                match self.overheard() {
                    Ok(None) => {}
                    Ok(Some(error)) | Err(error) => return Poll::Ready(Ok(Err(error))),
                }
            }
            while data.has_remaining() {
                match ready!(self.stream.wire().poll_write(cx, &data)) {
                    Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Ok(length) => data.advance(length),
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            self.stream.wire().poll_flush(cx).map_ok(Ok)
        })
        .await;
        match written {
            Ok(written) => written,
            Err(error) => Err(self.last_words(&error).await),
        }
    }

    /// What the server has said while we write; an error of it.
    fn overheard(&mut self) -> Result<Option<Error>> {
        while let Some((tag, length)) = self.header(0)? {
            if self.read.len() <= length
                || matches!(tag, b'G' | b'H' | b'C' | b'Z' | COPY_DATA | COPY_DONE)
            {
                return Ok(None);
            }
            let Some((tag, body)) = self.take_message()? else {
                return Ok(None);
            };
            if tag == b'E' {
                return Ok(Some(self.said(&body)));
            }
            self.aside(tag, &body)?;
        }
        Ok(None)
    }

    /// The reason is in the server's answer, not in the broken pipe.
    async fn last_words(&mut self, error: &io::Error) -> Error {
        loop {
            match self.message().await {
                Ok((b'E', body)) => return self.said(&body),
                Ok(_) => {}
                Err(_) => return self.broken(error),
            }
        }
    }

    /// Gives the stream back, after the server has said that it waits.
    pub(in crate::store::postgresql) fn finish(self) -> Result<()> {
        if !self.read.is_empty() {
            return Err(self.out_of_step());
        }
        self.stream.give_back();
        Ok(())
    }
}

#[cfg(test)]
impl CopyStream {
    /// One with a server that says this, whatever it is told.
    pub(in crate::store::postgresql) fn that_says(said: &[u8]) -> Option<Self> {
        let said = io::Cursor::new(said.to_vec());
        let wire = Box::new(tokio::io::join(said, tokio::io::sink()));
        let holder = crate::store::postgresql::connection::wire::Holder::default();
        let binding = tokio_postgres::tls::ChannelBinding::none();
        let tap = holder.tap(
            wire,
            binding,
            crate::store::postgresql::connection::inspector::Inspector::open(),
        );
        let stream = holder.borrow()?;
        drop(tap);
        Some(Self {
            stream,
            read: BytesMut::new(),
            place: "source".to_owned(),
        })
    }
}

#[cfg(test)]
impl Out {
    /// One of a COPY that has begun.
    pub(in crate::store::postgresql) fn that_says(said: &[u8], binary: bool) -> Option<Self> {
        Some(Self {
            stream: Some(CopyStream::that_says(said)?),
            rest: 0,
            extra: u64::from(binary),
            rows: 0,
            done: false,
        })
    }
}

/// The rows of `COPY n`, as a server ends it.
pub(in crate::store::postgresql) fn rows_of(tag: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(tag.strip_suffix(b"\0")?).ok()?;
    text.strip_prefix("COPY ")?.parse().ok()
}

/// A `COPY ... TO STDOUT` under way.
pub(in crate::store::postgresql) struct Out {
    /// `None` once it has ended.
    stream: Option<CopyStream>,
    /// How much of the message that we are in is still to come.
    rest: usize,
    /// What is not a row's message: a binary COPY ends with one more than it has rows.
    extra: u64,
    rows: u64,
    done: bool,
}

impl Out {
    /// Starts it. The session must not be used again before the COPY has come to its end.
    pub(in crate::store::postgresql) async fn start(
        session: &Session,
        sql: &str,
        binary: bool,
    ) -> Result<Self> {
        Ok(Self {
            stream: Some(CopyStream::start(session, sql, b'H').await?),
            rest: 0,
            extra: u64::from(binary),
            rows: 0,
            done: false,
        })
    }

    /// The next messages, as they are; `None` when all have come and the session can be used again.
    pub(in crate::store::postgresql) async fn next(&mut self) -> Result<Option<Chunk>> {
        let mut at = 0;
        let mut messages = 0;
        if let Some(stream) = &mut self.stream {
            // When the last chunk has been written, this is the same memory again, still warm. Nothing is read ahead:
            // the sockets' own buffers keep both servers busy.
            stream.read.reserve(BLOCK);
        }
        loop {
            let Some(stream) = &mut self.stream else {
                return Ok(None);
            };
            // Over all that was read: in big steps, most of it is never touched.
            loop {
                let here = stream.read.len() - at;
                if self.rest > 0 {
                    let step = self.rest.min(here);
                    at += step;
                    self.rest -= step;
                    if self.rest > 0 {
                        break;
                    }
                    messages += 1;
                }
                match stream.header(at)? {
                    Some((COPY_DATA, length)) => self.rest = length + 1,
                    Some(_) => {
                        if at > 0 {
                            return Ok(Some(self.chunk(at, messages)));
                        }
                        break;
                    }
                    None => break,
                }
            }
            if at >= CHUNK {
                return Ok(Some(self.chunk(at, messages)));
            }
            // A row's message is never taken as a whole.
            if at == 0
                && self.rest == 0
                && let Some((tag, body)) = stream.take_message()?
            {
                self.hear(tag, &body)?;
                continue;
            }
            stream.fill().await?;
        }
    }

    fn chunk(&mut self, at: usize, messages: u64) -> Chunk {
        let stream = self.stream.as_mut().expect("it has not ended");
        let data = stream.read.split_to(at).freeze();
        // The first message of a binary COPY has its header and its first row, or its end.
        let skipped = self.extra.min(messages);
        self.extra -= skipped;
        let rows = messages - skipped;
        self.rows += rows;
        Chunk { rows, data }
    }

    fn hear(&mut self, tag: u8, body: &[u8]) -> Result<()> {
        let stream = self.stream.as_mut().expect("it has not ended");
        match tag {
            b'E' => {
                let error = stream.said(body);
                // Whatever else comes, nobody waits for it.
                self.stream = None;
                Err(error)
            }
            b'C' => {
                let said = rows_of(body);
                if said != Some(self.rows) {
                    return Err(Error::new(
                        Kind::Verify,
                        format!(
                            "{}: the server says that it sent {} rows, and {} came",
                            stream.place,
                            said.unwrap_or_default(),
                            self.rows
                        ),
                    ));
                }
                self.done = true;
                Ok(())
            }
            b'Z' if self.done => self.stream.take().map_or(Ok(()), CopyStream::finish),
            _ => stream.aside(tag, body),
        }
    }
}

/// A `COPY ... FROM STDIN` under way. Dropped before its end, it closes the connection, and the server undoes it.
pub(in crate::store::postgresql) struct In(CopyStream);

impl In {
    /// Starts it. The session must not be used again before `finish`.
    pub(in crate::store::postgresql) async fn start(session: &Session, sql: &str) -> Result<Self> {
        CopyStream::start(session, sql, b'G').await.map(Self)
    }

    /// Sends CopyData messages, or pieces of some.
    pub(in crate::store::postgresql) async fn send(&mut self, messages: Bytes) -> Result<()> {
        self.0.write(messages).await
    }

    /// Ends it; returns how many rows the server took. The session can be used again, even after an error.
    pub(in crate::store::postgresql) async fn finish(self) -> Result<u64> {
        let mut stream = self.0;
        stream.write(Bytes::from_static(COPY_ENDS)).await?;
        let mut rows = None;
        loop {
            match stream.message().await? {
                (b'E', body) => return Err(stream.end_with(&body).await),
                (b'C', body) => rows = rows_of(&body),
                (b'Z', _) => {
                    let lost = stream.out_of_step();
                    stream.finish()?;
                    return rows.ok_or(lost);
                }
                (tag, body) => stream.aside(tag, &body)?,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_a_copy_names_its_rows() {
        assert_eq!(rows_of(b"COPY 12345678901\0"), Some(12_345_678_901));
        for other in [&b"INSERT 0 1\0"[..], b"COPY\0", b"COPY 5", b"COPY x\0", b""] {
            assert_eq!(rows_of(other), None, "{other:?}");
        }
    }
}
