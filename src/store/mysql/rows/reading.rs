//! Rows on their way out: one SELECT, or the SELECTs of several small tables in one packet, as streams.

use bytes::{Buf, BytesMut};
use futures_util::{StreamExt, stream};

use super::result_rows::Encoder;
use super::snapshot;
use super::warnings;
use crate::error::{Error, Kind, Result};
use crate::store::mysql::connection::outcome::{Answer, Done};
use crate::store::mysql::connection::pool::Lent;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::connection::wire::LONGEST;
use crate::store::{Batch, BatchChunk, Chunk, Chunks};

/// Rows are sent on in pieces of about this size.
const CHUNK: usize = 128 * 1024;

/// The room that a small table's rows get at first.
const SMALL: usize = 8 * 1024;

/// Where releasing a table's lock goes back to: whoever alters a table that was read waits for nobody.
pub(in crate::store::mysql) const BEFORE_READING: &str = "ROLLBACK TO SAVEPOINT envsyncd";

/// Before rows are read back from a target: values come as they are stored.
const BEFORE_READING_BACK: &str = "SET SESSION character_set_results = NULL";

/// Afterwards: they come as our sessions have text.
const READ_BACK: &str = "SET SESSION character_set_results = utf8mb4";

/// One result that is coming.
struct Reading {
    session: Lent,
    /// What is run when it is over.
    afterwards: &'static str,
    encoder: Encoder,
    long: Option<Long>,
    label: String,
    ended: bool,
}

/// Reads what a statement with so many columns selects, at the session's point in time.
pub(in crate::store::mysql) async fn read(
    session: Lent,
    sql: &str,
    columns: usize,
    label: String,
) -> Result<Chunks> {
    stream_of(session, sql, columns, label, BEFORE_READING).await
}

/// The same from a target, whose sessions are at no point in time.
pub(in crate::store::mysql) async fn read_back(
    mut session: Lent,
    sql: &str,
    columns: usize,
    label: String,
) -> Result<Chunks> {
    session.run(BEFORE_READING_BACK).await?;
    stream_of(session, sql, columns, label, READ_BACK).await
}

async fn stream_of(
    mut session: Lent,
    sql: &str,
    columns: usize,
    label: String,
    afterwards: &'static str,
) -> Result<Chunks> {
    begin(&mut session, sql, columns, &label).await?;
    let reading = Reading {
        session,
        afterwards,
        encoder: Encoder::new(columns, 2 * CHUNK),
        long: None,
        label,
        ended: false,
    };
    Ok(stream::try_unfold(reading, Reading::next).boxed())
}

async fn begin(session: &mut Session, sql: &str, columns: usize, label: &str) -> Result<()> {
    let begun = async {
        session.ask(sql).await?;
        rows_follow(session, columns).await
    };
    begun.await.map_err(|error| explained(error, label))
}

/// Reads to where the rows of so many columns begin.
async fn rows_follow(session: &mut Session, wanted: usize) -> Result<()> {
    match session.answer().await? {
        Answer::Columns(columns) if columns == wanted as u64 => session.skip_columns(columns).await,
        _ => Err(session.unexpected()),
    }
}

fn explained(error: crate::error::Error, label: &str) -> crate::error::Error {
    snapshot::altered(error).within(format!("reading {label}"))
}

impl Reading {
    async fn next(mut self) -> Result<Option<(Chunk, Self)>> {
        if self.ended {
            return Ok(None);
        }
        let full = collect(&mut self.session, &mut self.encoder, &mut self.long).await;
        match full.map_err(|error| explained(error, &self.label))? {
            Collected::More => {}
            Collected::Ended(end) => {
                self.ended = true;
                self.session.ended();
                warnings::settle_read(&mut self.session, end.warnings)
                    .await
                    .map_err(|error| explained(error, &self.label))?;
                self.session.run(self.afterwards).await?;
            }
        }
        let (rows, data) = taken(&mut self.encoder, 2 * CHUNK);
        if data.is_empty() && rows == 0 {
            return Ok(None);
        }
        Ok(Some((
            Chunk {
                rows,
                data: data.freeze(),
            },
            self,
        )))
    }
}

fn taken(encoder: &mut Encoder, room: usize) -> (u64, BytesMut) {
    let room = BytesMut::with_capacity(room);
    let data = std::mem::replace(&mut encoder.out, room);
    (std::mem::take(&mut encoder.rows), data)
}

enum Collected {
    /// The chunk is full.
    More,
    /// The result is over.
    Ended(Done),
}

/// Takes rows until a chunk is full or the result is over.
async fn collect(
    session: &mut Session,
    encoder: &mut Encoder,
    long: &mut Option<Long>,
) -> Result<Collected> {
    while encoder.out.len() < CHUNK {
        if let Some(row) = long {
            if row.proceed(session, encoder).await? {
                *long = None;
            }
            continue;
        }
        let Some(packet) = session.link.ready()? else {
            if session.link.inbox.len() < CHUNK {
                session.link.fill().await?;
            } else {
                *long = Some(Long::begin(session).await?);
            }
            continue;
        };
        if let Some(end) = session.end_of_rows(&packet)? {
            return Ok(Collected::Ended(end));
        }
        encoder.row(&packet).map_err(|_| session.unexpected())?;
    }
    Ok(Collected::More)
}

/// A row that is longer than what we keep at a time.
struct Long {
    /// Of the packet that we are in.
    left: usize,
    /// The row goes on in another packet.
    goes_on: bool,
}

impl Long {
    async fn begin(session: &mut Session) -> Result<Self> {
        let left = session.link.header().await?;
        Ok(Self {
            left,
            goes_on: left == LONGEST,
        })
    }

    /// Takes what there is of it; `true`: that was its end.
    async fn proceed(&mut self, session: &mut Session, encoder: &mut Encoder) -> Result<bool> {
        if self.left == 0 {
            if self.goes_on {
                *self = Self::begin(session).await?;
                return Ok(false);
            }
            encoder.end_row().map_err(|_| session.unexpected())?;
            return Ok(true);
        }
        if session.link.inbox.is_empty() {
            session.link.fill().await?;
        }
        let here = self.left.min(session.link.inbox.len()).min(CHUNK);
        let piece = encoder.piece(&session.link.inbox[..here]);
        piece.map_err(|_| session.unexpected())?;
        session.link.inbox.advance(here);
        self.left -= here;
        Ok(false)
    }
}

/// Several results that come one after the other.
struct Many {
    session: Lent,
    /// Columns of each.
    columns: Vec<usize>,
    /// The one that is coming.
    at: usize,
    encoder: Encoder,
    long: Option<Long>,
    rows: u64,
    bytes: u64,
    label: String,
    ended: bool,
    /// The server warned of something; of what can only be asked right after a statement.
    warned: bool,
}

/// Reads what several statements select, in their order; a piece never has rows of two of them.
pub(in crate::store::mysql) async fn read_many(
    mut session: Lent,
    statements: &[String],
    columns: Vec<usize>,
    label: String,
) -> Result<Batch> {
    begin(&mut session, &statements.join(";\n"), columns[0], &label).await?;
    let many = Many {
        session,
        encoder: Encoder::new(columns[0], SMALL),
        long: None,
        columns,
        at: 0,
        rows: 0,
        bytes: 0,
        label,
        ended: false,
        warned: false,
    };
    Ok(stream::try_unfold(many, Many::next).boxed())
}

impl Many {
    async fn next(mut self) -> Result<Option<(BatchChunk, Self)>> {
        if self.ended {
            return Ok(None);
        }
        let chunk = self.chunk().await;
        let chunk = chunk.map_err(|error| explained(error, &self.label))?;
        Ok(Some((chunk, self)))
    }

    async fn chunk(&mut self) -> Result<BatchChunk> {
        let collected = collect(&mut self.session, &mut self.encoder, &mut self.long).await?;
        let (rows, data) = taken(&mut self.encoder, SMALL);
        self.rows += rows;
        self.bytes += data.len() as u64;
        let mut ended = Vec::new();
        if let Collected::Ended(Done { more, warnings, .. }) = collected {
            self.warned |= warnings > 0;
            let sums = (
                std::mem::take(&mut self.rows),
                std::mem::take(&mut self.bytes),
            );
            ended.push((self.at, sums.0, sums.1));
            self.at += 1;
            if more != (self.at < self.columns.len()) {
                return Err(self.session.unexpected());
            }
            if more {
                rows_follow(&mut self.session, self.columns[self.at]).await?;
                self.encoder = Encoder::new(self.columns[self.at], SMALL);
            } else {
                self.ended = true;
                self.session.ended();
                self.session.run(BEFORE_READING).await?;
                if self.warned {
                    // The parts are read one by one then.
                    return Err(Error::new(
                        Kind::Verify,
                        "the source's server warned of the rows that it sent",
                    ));
                }
            }
        }
        Ok(BatchChunk {
            ended,
            data: data.freeze(),
        })
    }
}
