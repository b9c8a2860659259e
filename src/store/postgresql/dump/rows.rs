//! A dump's rows as a source's: each table's once, in the dump's own order, out of its compression and into messages. None of
//! them is on a disk on its way.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use futures_util::{StreamExt, stream};
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc};

use super::blocks::{Blocks, Content};
use super::head::{self, Head};
use super::lines::{CHUNK, Lines};
use super::unpack::{Compression, MOUTHFUL, Unpack};
use crate::error::{Error, Kind, Result};
use crate::store::dump::{read_ahead, unwanted};
use crate::store::postgresql::schema::dumped::Name;
use crate::store::{Chunk, Chunks};

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

/// Reads ahead of who takes the chunks.
fn started(mut reader: OwnedMutexGuard<Reader>, what: Reading) -> Chunks {
    read_ahead(|to| async move {
        match what {
            Reading::Table => reader.table(&to).await,
            Reading::LargeObjects { blocks, wanted } => {
                reader.large_objects(&blocks, &wanted, &to).await
            }
        }
    })
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::TryStreamExt;

    use super::*;

    /// A table's block, as a dump with numbers of one byte has it.
    fn block(id: u8, rows: &[u8]) -> Vec<u8> {
        let length = rows.len() as u8;
        [&[1, 0, id, 0, length], rows, &[0, 0]].concat()
    }

    fn objects(id: u8, oid: u8, bytes: &[u8]) -> Vec<u8> {
        let length = bytes.len() as u8;
        [&[3, 0, id, 0, oid, 0, length], bytes, &[0, 0, 0, 0]].concat()
    }

    fn name(id: i64) -> Name {
        ("public".to_owned(), format!("t{id}"))
    }

    /// A dump of these blocks, whose head names tables 1 to 3 and large objects 9.
    fn dump(blocks: &[Vec<u8>]) -> Rows {
        let bytes = Ok(Bytes::from(blocks.concat()));
        let blocks = Blocks::new(stream::iter([bytes]).boxed(), 1, "dump".to_owned());
        let kept = Kept {
            compression: Compression::None,
            tables: [1, 2, 3].into(),
            large: [9].into(),
        };
        let tables = [1, 2, 3].map(|id| (name(id), id)).into();
        Rows::new(kept, tables, blocks)
    }

    async fn read(rows: &Rows, id: i64) -> std::result::Result<u64, String> {
        let read = async {
            let mut chunks = rows.read(&name(id)).await?;
            let mut count = 0;
            while let Some(chunk) = chunks.try_next().await? {
                count += chunk.rows;
            }
            Ok::<_, Error>(count)
        };
        read.await.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn what_is_wanted_is_read_in_the_dump_s_order_and_the_rest_passed_over() {
        let whole = [
            block(1, b"a\n\\.\n\n\n"),
            block(2, b"b\nc\n\\.\n\n\n"),
            block(3, b"\\.\n\n\n"),
            objects(9, 7, b"large"),
        ];
        let rows = dump(&whole);
        rows.want([name(1), name(3)].into_iter(), true).await;
        assert_eq!(read(&rows, 1).await, Ok(1));
        assert_eq!(read(&rows, 3).await, Ok(0));
        // The dump has none of it.
        assert_eq!(read(&rows, 4).await, Ok(0));
        let large: Vec<Chunk> = rows
            .read_large([7].into())
            .await
            .try_collect()
            .await
            .unwrap();
        assert_eq!((large.len(), large[0].rows), (1, 1));
        assert!(large[0].data.ends_with(b"large"));
        rows.finish().await.unwrap();

        let rows = dump(&whole);
        rows.want([name(1), name(2)].into_iter(), false).await;
        let error = read(&rows, 2).await.unwrap_err();
        assert!(error.contains("another order"), "{error}");
    }

    #[tokio::test]
    async fn what_is_missing_doubled_or_breaks_off_is_no_whole_dump() {
        let one = block(1, b"a\n\\.\n\n\n");
        let (two, three) = (block(2, b"\\.\n\n\n"), block(3, b"\\.\n\n\n"));
        for blocks in [
            vec![one.clone()],
            vec![one.clone(), one.clone()],
            vec![
                one.clone(),
                two.clone(),
                three.clone(),
                block(4, b"\\.\n\n\n"),
            ],
            vec![one.clone(), two.clone(), three[..4].to_vec()],
            vec![one.clone(), two.clone(), three.clone(), vec![7]],
        ] {
            let rows = dump(&blocks);
            rows.want([name(1)].into_iter(), false).await;
            assert_eq!(read(&rows, 1).await, Ok(1));
            let error = rows.finish().await.unwrap_err().to_string();
            assert!(error.starts_with("dump is damaged or not whole"), "{error}");
        }
        let rows = dump(&[two]);
        let error = read(&rows, 1).await.unwrap_err();
        assert!(error.contains("breaks off"), "{error}");
    }

    #[tokio::test]
    async fn who_stops_in_the_middle_of_rows_is_noticed() {
        let long = [vec![b'x'; 200], b"\n\\.\n\n\n".to_vec()].concat();
        let mut first = block(1, &long);
        // It goes on, and nothing comes.
        first.truncate(100);
        let rows = dump(&[first]);
        assert!(read(&rows, 1).await.is_err());
        let error = read(&rows, 2).await.unwrap_err();
        assert!(error.contains("has not ended"), "{error}");
    }
}
