//! Many small tables in one go: their rows by one statement of many COPYs on each side, what stands on them in the same
//! transaction, their statistics right afterwards. A table of ten rows costs round trips and commits, not rows.

use bytes::{BufMut, BytesMut};
use futures_util::{StreamExt, stream};

use super::copy_stream::{COPY_DATA, COPY_DONE, COPY_ENDS, CopyStream, rows_of};
use super::relation::rows_in;
use crate::error::{Error, Kind, Result};
use crate::store::postgresql::connection::pool::Pool;
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::schema::properties::Properties;
use crate::store::postgresql::schema::row_encodings::COPY_BINARY;
use crate::store::{Batch, BatchChunk, Part};

/// A batch is sent on in pieces of about this size: so both servers are at it at the same time.
const CHUNK: usize = 32 * 1024;

/// `public.small and 9 more tables`.
pub(in crate::store::postgresql) fn label(parts: &[Part]) -> String {
    match parts {
        [one] => one.label(),
        [first, rest @ ..] => format!("{} and {} more tables", first.label(), rest.len()),
        [] => "no tables".to_owned(),
    }
}

/// A statement of many COPYs to us under way. Dropped before its end, it takes its session with it.
pub(in crate::store::postgresql) struct Out {
    session: Session,
    pool: Pool,
    stream: Option<CopyStream>,
    /// Of each part: whether a COPY of it has one message more than rows.
    binary: Vec<bool>,
    /// The part that is coming.
    at: usize,
    messages: u64,
    bytes: u64,
    /// How much of the message that we are in is still to come.
    rest: usize,
    label: String,
}

impl Out {
    /// Starts it; `session` goes to `pool` when all has come.
    pub(in crate::store::postgresql) async fn start(
        session: Session,
        pool: Pool,
        parts: &[Part],
        properties: &Properties,
    ) -> Result<Batch> {
        let sql: Vec<String> = parts
            .iter()
            .map(|part| {
                let options = properties.copy_options(&part.encoding);
                format!("COPY {} TO STDOUT{options}", rows_in(part))
            })
            .collect();
        let label = label(parts);
        let stream = CopyStream::start(&session, &sql.join(";"), b'H')
            .await
            .map_err(|error| error.within(format!("reading {label}")))?;
        let out = Self {
            session,
            pool,
            stream: Some(stream),
            binary: parts
                .iter()
                .map(|part| part.encoding == COPY_BINARY)
                .collect(),
            at: 0,
            messages: 0,
            bytes: 0,
            rest: 0,
            label,
        };
        Ok(stream::try_unfold(out, Self::next).boxed())
    }

    async fn next(mut self) -> Result<Option<(BatchChunk, Self)>> {
        let chunk = self
            .chunk()
            .await
            .map_err(|error| error.within(format!("reading {}", self.label)))?;
        let Some(chunk) = chunk else {
            self.pool.rest(self.session);
            return Ok(None);
        };
        Ok(Some((chunk, self)))
    }

    async fn chunk(&mut self) -> Result<Option<BatchChunk>> {
        let mut data = BytesMut::new();
        let mut ended = Vec::new();
        while data.len() < CHUNK {
            let Some(stream) = &mut self.stream else {
                break;
            };
            if self.rest == 0
                && let Some((COPY_DATA, length)) = stream.header(0)?
            {
                self.rest = length + 1;
                self.messages += 1;
            }
            if self.rest > 0 {
                let here = self.rest.min(stream.read.len());
                data.put(stream.read.split_to(here));
                self.rest -= here;
                self.bytes += here as u64;
                if self.rest > 0 {
                    stream.fill().await?;
                }
                continue;
            }
            let Some((tag, body)) = stream.take_message()? else {
                stream.fill().await?;
                continue;
            };
            match tag {
                b'E' => return Err(stream.said(&body)),
                b'H' => {}
                // Ends the COPY on the other side as well.
                COPY_DONE => data.put_slice(COPY_ENDS),
                b'C' => {
                    let extra = self.binary.get(self.at).is_some_and(|binary| *binary);
                    let rows = self.messages.saturating_sub(u64::from(extra));
                    if rows_of(&body) != Some(rows) {
                        return Err(Error::new(
                            Kind::Verify,
                            format!("the server says that it sent other rows than came, {rows}"),
                        ));
                    }
                    ended.push((self.at, rows, self.bytes));
                    self.at += 1;
                    (self.messages, self.bytes) = (0, 0);
                }
                b'Z' => {
                    if let Some(stream) = self.stream.take() {
                        stream.finish()?;
                    }
                }
                _ => stream.aside(tag, &body)?,
            }
        }
        if data.is_empty() && ended.is_empty() {
            return Ok(None);
        }
        Ok(Some(BatchChunk {
            ended,
            data: data.freeze(),
        }))
    }
}

/// Sends a batch's rows to a statement of many COPYs; returns how many rows the server took of each.
pub(in crate::store::postgresql) async fn take(
    session: &Session,
    sql: &str,
    mut batch: Batch,
) -> Result<Vec<u64>> {
    let mut stream = CopyStream::start(session, sql, b'G').await?;
    while let Some(chunk) = batch.next().await {
        // An error here leaves a COPY unfinished: the server undoes all when the session goes.
        stream.write(chunk?.data).await?;
    }
    let mut taken = Vec::new();
    loop {
        match stream.message().await? {
            (b'E', body) => return Err(stream.end_with(&body).await),
            // Only a COPY ends with a number of rows and nothing else.
            (b'C', body) => taken.extend(rows_of(&body)),
            (b'Z', _) => {
                stream.finish()?;
                return Ok(taken);
            }
            (b'G', _) => {}
            (tag, body) => stream.aside(tag, &body)?,
        }
    }
}
