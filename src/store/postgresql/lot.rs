//! Many small tables in one go: their rows by one statement of many COPYs on each side, what stands on them in the same
//! transaction, their statistics right afterwards. A table of ten rows costs round trips and commits, not rows.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use bytes::{BufMut, BytesMut};
use futures_util::{StreamExt, stream};

use super::batch::LOCKS_OF_A_TABLE;
use super::connection::Session;
use super::load::SMALL;
use super::relay::{COPY_DATA, COPY_DONE, COPY_ENDS, Talk, rows_of};
use super::settings::Writing;
use super::target::Target;
use super::traits::Traits;
use super::{foreign, large};
use crate::error::{Error, Kind, Result};
use crate::store::{Encoding, Lot, LotChunk, Part};

/// A lot has at most so many bytes of rows, as stored on the source, so that workers finish at about the same time.
const BYTES: u64 = 4 * 1024 * 1024;

/// A lot is sent on in pieces of about this size: so both servers are at it at the same time.
const CHUNK: usize = 32 * 1024;

/// `public.small and 9 more tables`.
pub(super) fn label(parts: &[Part]) -> String {
    match parts {
        [one] => one.label(),
        [first, rest @ ..] => format!("{} and {} more tables", first.label(), rest.len()),
        [] => "no tables".to_owned(),
    }
}

/// A table with the columns that a COPY moves.
pub(super) fn rows_in(part: &Part) -> String {
    let name = super::table_name(part);
    if part.columns.is_empty() {
        name
    } else {
        format!("{name} ({})", super::column_list(&part.columns))
    }
}

/// A statement of many COPYs to us under way. Dropped before its end, it takes its session with it.
pub(super) struct Out {
    session: Session,
    idle: Arc<Mutex<Vec<Session>>>,
    talk: Option<Talk>,
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
    /// Starts it; `session` goes to `idle` when all has come.
    pub(super) async fn start(
        session: Session,
        idle: Arc<Mutex<Vec<Session>>>,
        parts: &[Part],
        traits: &Traits,
    ) -> Result<Lot> {
        let sql: Vec<String> = parts
            .iter()
            .map(|part| {
                let options = traits.copy_options(part.encoding);
                format!("COPY {} TO STDOUT{options}", rows_in(part))
            })
            .collect();
        let label = label(parts);
        let talk = Talk::start(&session, &sql.join(";"), b'H')
            .await
            .map_err(|error| error.within(format!("reading {label}")))?;
        let out = Self {
            session,
            idle,
            talk: Some(talk),
            binary: parts
                .iter()
                .map(|part| part.encoding == Encoding::CopyBinary)
                .collect(),
            at: 0,
            messages: 0,
            bytes: 0,
            rest: 0,
            label,
        };
        Ok(stream::try_unfold(out, Self::next).boxed())
    }

    async fn next(mut self) -> Result<Option<(LotChunk, Self)>> {
        let chunk = self
            .chunk()
            .await
            .map_err(|error| error.within(format!("reading {}", self.label)))?;
        let Some(chunk) = chunk else {
            self.idle
                .lock()
                .expect("no one panics with this lock")
                .push(self.session);
            return Ok(None);
        };
        Ok(Some((chunk, self)))
    }

    async fn chunk(&mut self) -> Result<Option<LotChunk>> {
        let mut data = BytesMut::new();
        let mut ended = Vec::new();
        while data.len() < CHUNK {
            let Some(talk) = &mut self.talk else { break };
            if self.rest == 0
                && let Some((COPY_DATA, length)) = talk.header(0)?
            {
                self.rest = length + 1;
                self.messages += 1;
            }
            if self.rest > 0 {
                let here = self.rest.min(talk.read.len());
                data.put(talk.read.split_to(here));
                self.rest -= here;
                self.bytes += here as u64;
                if self.rest > 0 {
                    talk.fill().await?;
                }
                continue;
            }
            let Some((tag, body)) = talk.take_message()? else {
                talk.fill().await?;
                continue;
            };
            match tag {
                b'E' => return Err(talk.said(&body)),
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
                    if let Some(talk) = self.talk.take() {
                        talk.finish()?;
                    }
                }
                _ => talk.aside(tag, &body)?,
            }
        }
        if data.is_empty() && ended.is_empty() {
            return Ok(None);
        }
        Ok(Some(LotChunk {
            ended,
            data: data.freeze(),
        }))
    }
}

/// Sends a lot's rows to a statement of many COPYs; returns how many rows the server took of each.
async fn take(session: &Session, sql: &str, mut lot: Lot) -> Result<Vec<u64>> {
    let mut talk = Talk::start(session, sql, b'G').await?;
    while let Some(chunk) = lot.next().await {
        // An error here leaves a COPY unfinished: the server undoes all when the session goes.
        talk.write(chunk?.data).await?;
    }
    let mut taken = Vec::new();
    loop {
        match talk.message().await? {
            (b'E', body) => return Err(talk.end_with(&body).await),
            // Only a COPY ends with a number of rows and nothing else.
            (b'C', body) => taken.extend(rows_of(&body)),
            (b'Z', _) => {
                talk.finish()?;
                return Ok(taken);
            }
            (b'G', _) => {}
            (tag, body) => talk.aside(tag, &body)?,
        }
    }
}

impl Target {
    /// Neighbours among the parts that are best taken together.
    pub(super) fn small_ones(&self, parts: &[Part]) -> Vec<Range<usize>> {
        let made = self.made();
        let definitions = &made.definitions;
        let alone = |part: &Part| {
            part.bytes > SMALL
                || large::is(part)
                || definitions.by_root.contains_key(&part.id)
                || definitions.conditions.contains_key(&part.id)
        };
        let mut lots = Vec::new();
        let (mut start, mut bytes, mut locks) = (0, 0, 0);
        for (place, part) in parts.iter().enumerate() {
            let indexes = self.indexes_on(part).len();
            let more = LOCKS_OF_A_TABLE + 2 * indexes;
            let alone = alone(part);
            if alone || bytes + part.bytes > BYTES || locks + more > made.locks / 2 {
                if place > start + 1 {
                    lots.push(start..place);
                }
                start = if alone { place + 1 } else { place };
                (bytes, locks) = (0, 0);
                if alone {
                    continue;
                }
            }
            bytes += part.bytes;
            locks += more;
        }
        if parts.len() > start + 1 {
            lots.push(start..parts.len());
        }
        lots
    }

    /// Takes a lot's rows, and builds what stands on them.
    pub(super) async fn take_lot(&self, parts: &[Part], lot: Lot) -> Result<Vec<u64>> {
        let made = self.made();
        let session = self.session().await?;
        let mut script: Vec<String> = parts
            .iter()
            .map(|part| {
                let options = made.definitions.traits.copy_options(part.encoding);
                format!("COPY {} FROM STDIN{options}", rows_in(part))
            })
            .collect();
        let indexes: Vec<usize> = {
            let mut waiting = made.waiting.lock().expect("no one panics with this lock");
            parts
                .iter()
                .flat_map(|part| self.indexes_on(part))
                .map(|place| *place as usize)
                .filter(|place| waiting.remove(place))
                .collect()
        };
        for place in &indexes {
            script.push(made.sorted.indexes[*place].definition().to_owned());
        }
        // Text is read under the same settings, whoever it is that needs them.
        let text = parts
            .iter()
            .find(|part| part.encoding == Encoding::CopyText);
        let encoding = text.map_or(Encoding::CopyBinary, |part| part.encoding);
        let writing = Writing::Rows(encoding);
        let is_plain = !indexes.iter().any(|place| {
            let written = Writing::Definition(made.sorted.indexes[*place].definition());
            self.is_written_for(&written)
        });
        let changed = is_plain && self.compute(&session, &writing).await?;
        let taken = match take(&session, &script.join("\n;\n"), lot).await {
            Ok(taken) => taken,
            Err(error) => {
                let mut waiting = made.waiting.lock().expect("no one panics with this lock");
                waiting.extend(indexes);
                return Err(error.within(format!("writing {}", label(parts))));
            }
        };
        if taken.len() != parts.len() {
            return Err(Error::new(
                Kind::Internal,
                format!("writing {}: not every COPY was answered", label(parts)),
            ));
        }
        self.read_again(&session, changed).await?;
        self.thaw(parts);
        self.analyze_now(&session, parts).await;
        self.rest(session);
        Ok(taken)
    }

    /// Statistics of tables whose rows this very session has just loaded: it knows them still.
    async fn analyze_now(&self, session: &Session, parts: &[Part]) {
        // Those with a foreign table below them stay without: `complete` says so.
        let Ok(parents) = foreign::parents(session).await else {
            return;
        };
        let is_here = |part: &&Part| {
            let name = (part.schema.clone().unwrap_or_default(), part.name.clone());
            !parents.contains(&name)
        };
        let parts: Vec<&Part> = parts.iter().filter(is_here).collect();
        let names: Vec<String> = parts.iter().map(|part| super::table_name(part)).collect();
        if names.is_empty() {
            return;
        }
        let analyze = format!("ANALYZE {}", names.join(", "));
        // With scripts, it is done after them.
        if self.has_scripts || session.batch_execute(&analyze).await.is_ok() {
            let made = self.made();
            made.chain
                .are_ready(parts.iter().filter_map(|part| self.table_of(part)));
        }
        // If not, it is done again when everything is there, and then has to succeed.
    }
}
