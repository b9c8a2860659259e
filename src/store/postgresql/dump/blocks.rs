//! What follows a dump's head, block by block as it comes: each has a number, and in it chunks of bytes, or large objects with
//! such chunks (`pg_backup_custom.c`).

use bytes::Bytes;
use futures_util::TryStreamExt;

use super::head;
use crate::error::{Error, Kind, Result};
use crate::store::dump::Dump;

/// A block of a table's rows, and one of large objects.
const DATA: u8 = 1;

const LARGE: u8 = 3;

/// What a block has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Rows,
    LargeObjects,
}

/// A dump behind its head.
pub(super) struct Blocks {
    dump: Dump,
    /// What came and is not looked at yet.
    rest: Bytes,
    /// How many bytes its numbers have, but for the sign.
    int: usize,
    name: String,
}

impl Blocks {
    pub(super) fn new(dump: Dump, int: usize, name: String) -> Self {
        Self {
            dump,
            rest: Bytes::new(),
            int,
            name,
        }
    }

    /// The error of a dump that cannot be read.
    pub(super) fn damaged(&self, why: &str) -> Error {
        let what = format!("{} is damaged or not whole: {why}", self.name);
        Error::new(Kind::Verify, what)
            .hint("take another one with `snapshot` or `at`, and look at how this one was written")
    }

    /// The next block's content and number; `None` at the dump's end.
    pub(super) async fn next(&mut self) -> Result<Option<(Content, i64)>> {
        if !self.fill().await? {
            return Ok(None);
        }
        let content = match self.rest.split_to(1)[0] {
            DATA => Content::Rows,
            LARGE => Content::LargeObjects,
            _ => return Err(self.damaged("something else than rows is where rows should be")),
        };
        Ok(Some((content, self.number().await?)))
    }

    /// A chunk's length; 0 ends a block's chunks.
    pub(super) async fn length(&mut self) -> Result<u64> {
        let number = self.number().await?;
        u64::try_from(number).map_err(|_| self.damaged("a length is below zero"))
    }

    /// The oid of a large object; 0 ends them. Large ones are written as if they were below zero.
    pub(super) async fn object(&mut self) -> Result<u32> {
        let number = self.number().await?;
        let signed = i32::try_from(number).map(i32::cast_unsigned);
        let oid = signed.or_else(|_| u32::try_from(number));
        oid.map_err(|_| self.damaged("a large object has an odd number"))
    }

    /// The next bytes of a chunk, at most so many, and at least one.
    pub(super) async fn bytes(&mut self, most: u64) -> Result<Bytes> {
        if !self.fill().await? {
            return Err(self.cut());
        }
        let length = usize::try_from(most).unwrap_or(usize::MAX);
        Ok(self.rest.split_to(length.min(self.rest.len())))
    }

    /// Passes over what is in a block.
    pub(super) async fn skip(&mut self, content: Content) -> Result<()> {
        loop {
            if content == Content::LargeObjects && self.object().await? == 0 {
                return Ok(());
            }
            self.skip_chunks().await?;
            if content == Content::Rows {
                return Ok(());
            }
        }
    }

    /// Passes over chunks up to the end of them.
    pub(super) async fn skip_chunks(&mut self) -> Result<()> {
        loop {
            let mut left = self.length().await?;
            if left == 0 {
                return Ok(());
            }
            while left > 0 {
                left -= self.bytes(left).await?.len() as u64;
            }
        }
    }

    async fn number(&mut self) -> Result<i64> {
        let mut read = [0; 9];
        let mut at = 0;
        while at <= self.int {
            let piece = self.bytes((self.int + 1 - at) as u64).await?;
            read[at..at + piece.len()].copy_from_slice(&piece);
            at += piece.len();
        }
        Ok(head::number(&read[..=self.int]))
    }

    /// `false`: the dump has ended.
    async fn fill(&mut self) -> Result<bool> {
        while self.rest.is_empty() {
            match self.dump.try_next().await {
                Ok(Some(piece)) => self.rest = piece,
                Ok(None) => return Ok(false),
                Err(error) => return Err(error.within(self.name.clone())),
            }
        }
        Ok(true)
    }

    fn cut(&self) -> Error {
        self.damaged("it breaks off among its rows")
    }
}
