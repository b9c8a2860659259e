//! A dump's rows as a source's: each table's once, in the dump's own order, out of its compression and into messages. None of
//! them is on a disk on its way.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use futures_util::{StreamExt, stream};
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc};
use tokio::task::JoinSet;

use super::blocks::{Blocks, Content};
use super::head::{self, Head};
use super::unpack::{Compression, MOUTHFUL, Unpack};
use crate::error::{Error, Kind, Result};
use crate::store::postgresql::rows::codec::TextDecoder;
use crate::store::postgresql::schema::dumped::Name;
use crate::store::{Chunk, Chunks, RowDecoder};

/// Chunks are of about so many bytes.
const CHUNK: usize = 256 * 1024;

/// So many of them are read ahead, while the target is at others.
const AHEAD: usize = 4;

/// What ends a table's rows.
const END: &[u8] = b"\\.\n\n\n";

/// The same in the middle of rows, which would be their end to a server.
const EARLY_END: &[u8] = b"\n\\.\n";

/// All that a dump has behind its head.
pub(super) struct Rows {
    reader: Arc<Mutex<Reader>>,
    /// The numbers of tables' blocks.
    tables: HashMap<Name, i64>,
    /// Those of large objects' blocks.
    large: HashSet<i64>,
}

struct Reader {
    blocks: Blocks,
    compression: Compression,
    /// Blocks that the head names and that have not come yet.
    missing: HashSet<i64>,
    /// Those of them that are still to be read.
    wanted: HashSet<i64>,
    /// Somebody stopped in the middle of a block.
    is_inside: bool,
}

/// What a head says of all that follows it.
pub(super) struct Kept {
    compression: Compression,
    tables: HashSet<i64>,
    large: HashSet<i64>,
}

impl Kept {
    pub(super) fn of(head: &Head, blocks: &Blocks) -> Result<Self> {
        let compression = Compression::of(head).ok_or_else(|| {
            let method = head.compression;
            let why = format!("its rows are compressed in a way that is not known ({method})");
            blocks.damaged(&why)
        })?;
        let of = |wanted: head::Kept| {
            let entries = head.entries.iter();
            let kept = entries.filter(|entry| entry.kept() == Some(wanted));
            kept.map(|entry| entry.id).collect()
        };
        Ok(Self {
            compression,
            tables: of(head::Kept::Rows),
            large: of(head::Kept::LargeObjects),
        })
    }
}

impl Rows {
    /// For a dump that keeps this, whose `tables` have these numbers; `blocks` is what follows the head.
    pub(super) fn new(kept: Kept, tables: HashMap<Name, i64>, blocks: Blocks) -> Self {
        Self {
            reader: Arc::new(Mutex::new(Reader {
                blocks,
                compression: kept.compression,
                missing: kept.tables.union(&kept.large).copied().collect(),
                wanted: HashSet::new(),
                is_inside: false,
            })),
            tables,
            large: kept.large,
        }
    }

    /// Says what is going to be read: rows that are wanted later are not passed over.
    pub(super) async fn want(&self, tables: impl Iterator<Item = Name>, large: bool) {
        let mut wanted: HashSet<i64> = tables
            .filter_map(|name| self.tables.get(&name).copied())
            .collect();
        if large {
            wanted.extend(&self.large);
        }
        self.reader.lock().await.wanted = wanted;
    }

    /// A table's rows; none, if the dump has none of it.
    pub(super) async fn read(&self, table: &Name) -> Result<Chunks> {
        let Some(id) = self.tables.get(table).copied() else {
            return Ok(stream::empty().boxed());
        };
        let mut reader = self.reader.clone().lock_owned().await;
        reader.seek(id).await?;
        Ok(started(reader, Reading::Table))
    }

    /// The large objects with these numbers.
    pub(super) async fn read_large(&self, wanted: HashSet<u32>) -> Chunks {
        let reader = self.reader.clone().lock_owned().await;
        let blocks = self.large.clone();
        started(reader, Reading::LargeObjects { blocks, wanted })
    }

    /// Reads what is left. What the head names has to have come.
    pub(super) async fn finish(&self) -> Result<()> {
        let mut reader = self.reader.lock().await;
        reader.refuse_inside()?;
        while let Some((content, id)) = reader.next().await? {
            reader.pass(content, id).await?;
        }
        if reader.missing.is_empty() {
            return Ok(());
        }
        Err(reader.blocks.damaged("it breaks off before its last rows"))
    }
}

/// What is read.
enum Reading {
    Table,
    LargeObjects {
        blocks: HashSet<i64>,
        wanted: HashSet<u32>,
    },
}

/// Reads ahead of who takes the chunks. Dropped, they end the reading.
fn started(mut reader: OwnedMutexGuard<Reader>, what: Reading) -> Chunks {
    let (to, from) = mpsc::channel(AHEAD);
    let mut reading = JoinSet::new();
    reading.spawn(async move {
        let read = match what {
            Reading::Table => reader.table(&to).await,
            Reading::LargeObjects { blocks, wanted } => {
                reader.large_objects(&blocks, &wanted, &to).await
            }
        };
        if let Err(error) = read {
            // Who does not listen any more has an error of its own.
            let _ = to.send(Err(error)).await;
        }
    });
    let state = (from, reading);
    stream::unfold(state, |(mut from, mut reading)| async move {
        if let Some(chunk) = from.recv().await {
            return Some((chunk, (from, reading)));
        }
        match reading.join_next().await {
            Some(Err(broke)) => {
                let error = Error::new(Kind::Internal, "reading a dump broke").because(broke);
                Some((Err(error), (from, reading)))
            }
            _ => None,
        }
    })
    .boxed()
}

/// Nobody takes the chunks any more.
fn unwanted() -> Error {
    Error::new(Kind::Internal, "nobody takes a dump's rows any more")
}

impl Reader {
    /// The next block.
    async fn next(&mut self) -> Result<Option<(Content, i64)>> {
        let Some((content, id)) = self.blocks.next().await? else {
            return Ok(None);
        };
        if !self.missing.remove(&id) {
            return Err(self
                .blocks
                .damaged("it has rows that its head does not name, or has them twice"));
        }
        Ok(Some((content, id)))
    }

    /// Goes to a table's block.
    async fn seek(&mut self, wanted: i64) -> Result<()> {
        self.refuse_inside()?;
        loop {
            match self.next().await? {
                Some((Content::Rows, id)) if id == wanted => {
                    self.wanted.remove(&id);
                    return Ok(());
                }
                Some((content, id)) => self.pass(content, id).await?,
                None => return Err(self.blocks.damaged("it breaks off before its last rows")),
            }
        }
    }

    /// Passes over a block that nobody wants.
    async fn pass(&mut self, content: Content, id: i64) -> Result<()> {
        if self.wanted.contains(&id) {
            return Err(self
                .blocks
                .damaged("its rows are in another order than its head has them"));
        }
        self.is_inside = true;
        self.blocks.skip(content).await?;
        self.is_inside = false;
        Ok(())
    }

    fn refuse_inside(&self) -> Result<()> {
        if self.is_inside {
            let what = "a dump is read on, and what was read before has not ended";
            return Err(Error::new(Kind::Internal, what));
        }
        Ok(())
    }

    async fn table(&mut self, to: &mpsc::Sender<Result<Chunk>>) -> Result<()> {
        self.is_inside = true;
        let mut unpack = self.unpack()?;
        let mut lines = Lines::default();
        loop {
            let mut left = self.blocks.length().await?;
            if left == 0 {
                break;
            }
            while left > 0 {
                let packed = self.blocks.bytes(left.min(MOUTHFUL as u64)).await?;
                left -= packed.len() as u64;
                let fed = unpack.feed(&packed, &mut lines.plain);
                fed.map_err(|why| self.blocks.damaged(why))?;
                if let Some(chunk) = lines.ready().map_err(|why| self.blocks.damaged(why))? {
                    to.send(Ok(chunk)).await.map_err(|_| unwanted())?;
                }
            }
        }
        unpack.end().map_err(|why| self.blocks.damaged(why))?;
        if let Some(chunk) = lines.end().map_err(|why| self.blocks.damaged(why))? {
            to.send(Ok(chunk)).await.map_err(|_| unwanted())?;
        }
        self.is_inside = false;
        Ok(())
    }

    async fn large_objects(
        &mut self,
        blocks: &HashSet<i64>,
        wanted: &HashSet<u32>,
        to: &mpsc::Sender<Result<Chunk>>,
    ) -> Result<()> {
        self.refuse_inside()?;
        let mut left = blocks.len();
        while left > 0 {
            let Some((content, id)) = self.next().await? else {
                return Err(self
                    .blocks
                    .damaged("it breaks off before its large objects"));
            };
            if content != Content::LargeObjects || !blocks.contains(&id) {
                self.pass(content, id).await?;
                continue;
            }
            left -= 1;
            self.is_inside = true;
            self.wanted.remove(&id);
            loop {
                let oid = self.blocks.object().await?;
                if oid == 0 {
                    break;
                }
                if wanted.contains(&oid) {
                    self.large_object(oid, to).await?;
                } else {
                    self.blocks.skip_chunks().await?;
                }
            }
            self.is_inside = false;
        }
        Ok(())
    }

    async fn large_object(&mut self, oid: u32, to: &mpsc::Sender<Result<Chunk>>) -> Result<()> {
        let mut unpack = self.unpack()?;
        let (mut plain, mut offset) = (BytesMut::new(), 0);
        let mut piece = |plain: &mut BytesMut| {
            let chunk = large_piece(oid, offset, plain);
            offset += plain.len() as i64;
            plain.clear();
            chunk
        };
        loop {
            let mut left = self.blocks.length().await?;
            if left == 0 {
                break;
            }
            while left > 0 {
                let packed = self.blocks.bytes(left.min(MOUTHFUL as u64)).await?;
                left -= packed.len() as u64;
                let fed = unpack.feed(&packed, &mut plain);
                fed.map_err(|why| self.blocks.damaged(why))?;
                if plain.len() >= CHUNK {
                    let chunk = piece(&mut plain);
                    to.send(Ok(chunk)).await.map_err(|_| unwanted())?;
                }
            }
        }
        unpack.end().map_err(|why| self.blocks.damaged(why))?;
        // One without bytes has a piece, too.
        let last = piece(&mut plain);
        to.send(Ok(last)).await.map_err(|_| unwanted())
    }

    fn unpack(&self) -> Result<Unpack> {
        Unpack::new(self.compression).map_err(|why| self.blocks.damaged(why))
    }
}

/// A piece of a large object, as it is on the wire.
fn large_piece(oid: u32, offset: i64, plain: &[u8]) -> Chunk {
    let mut data = BytesMut::with_capacity(plain.len() + 16);
    data.put_u32_le(oid);
    data.put_i64_le(offset);
    data.put_u32_le(plain.len() as u32);
    data.put_slice(plain);
    Chunk {
        rows: u64::from(offset == 0),
        data: data.freeze(),
    }
}

/// A table's rows without what ends them.
#[derive(Default)]
pub(super) struct Lines {
    pub(super) plain: BytesMut,
    decoder: TextDecoder,
    /// The last bytes that have gone.
    before: Vec<u8>,
}

const UNENDED: &str = "the rows of a table do not end as they should";

impl Lines {
    /// The next chunk, once there is enough of it.
    pub(super) fn ready(&mut self) -> std::result::Result<Option<Chunk>, &'static str> {
        if self.plain.len() < CHUNK {
            return Ok(None);
        }
        // What may be the end stays.
        let rows = self.plain.split_to(self.plain.len() - END.len());
        self.chunk(&rows)
    }

    /// The last one.
    pub(super) fn end(&mut self) -> std::result::Result<Option<Chunk>, &'static str> {
        let plain = self.plain.split();
        let rows = plain.strip_suffix(END).ok_or(UNENDED)?;
        let last = self.chunk(rows)?;
        self.decoder.end().map_err(|_| UNENDED)?;
        Ok(last)
    }

    fn chunk(&mut self, rows: &[u8]) -> std::result::Result<Option<Chunk>, &'static str> {
        // A server takes such a line for the end, and would not say that it passes over the others.
        let is_first = self.before.is_empty();
        let mut seam = std::mem::take(&mut self.before);
        if is_first {
            seam.push(b'\n');
        }
        seam.extend_from_slice(&rows[..rows.len().min(EARLY_END.len() - 1)]);
        let has_end = |text: &[u8]| memchr::memmem::find(text, EARLY_END).is_some();
        if has_end(&seam) || has_end(rows) {
            return Err("the rows of a table end before their end");
        }
        if rows.len() >= EARLY_END.len() {
            seam = rows[rows.len() - (EARLY_END.len() - 1)..].to_vec();
        } else {
            seam.drain(..seam.len().saturating_sub(EARLY_END.len() - 1));
        }
        self.before = seam;
        self.decoder.feed(rows).map_err(|_| UNENDED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> std::result::Result<u64, &'static str> {
        let mut lines = Lines::default();
        let mut rows = 0;
        for piece in pieces {
            lines.plain.extend_from_slice(piece);
            rows += lines.ready()?.map_or(0, |chunk| chunk.rows);
        }
        Ok(rows + lines.end()?.map_or(0, |chunk| chunk.rows))
    }

    #[test]
    fn rows_end_where_they_say_and_nowhere_else() {
        assert_eq!(lines(&[b"1\ta\n2\t\\N\n\\.\n\n\n"]), Ok(2));
        assert_eq!(lines(&[b"\\.\n\n\n"]), Ok(0));
        assert_eq!(lines(&[b"\n\n\\.\n\n\n"]), Ok(2));
        assert_eq!(lines(&[b"\\\\.\n\\.\n", b"\n\n"]), Ok(1));
        let long = vec![b'x'; CHUNK - 1];
        assert_eq!(lines(&[&long, b"\n", &long, b"\n\\.\n\n\n"]), Ok(2));
        for bad in [
            &b"1\ta\n"[..],
            b"",
            b"1\ta\\.\n\n\n",
            b"1\n\\.\n\n",
            b"1\n\\.\n2\n\\.\n\n\n",
            b"\\.\n1\n\\.\n\n\n",
        ] {
            assert!(lines(&[bad]).is_err(), "{}", String::from_utf8_lossy(bad));
        }
        // Across two chunks.
        let mut seam = vec![b'x'; CHUNK + 2];
        seam.extend(b"\n\\.\nmore");
        assert!(lines(&[&seam, b"\n\\.\n\n\n"]).is_err());
    }
}
