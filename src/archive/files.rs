//! Streams of bytes as they lie in an archive (`write` makes them), on their way back: no byte is used before the hash of its
//! block was found right.

use std::io;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use super::bucket::Bucket;
use super::crypt::Identity;
use super::manifest::File;
use crate::error::{Error, Kind, Result};

/// The length of a block: what a pull has to have in memory before it uses any of it.
pub const BLOCK: usize = 4 * 1024 * 1024;

/// The longest block that is read, whatever a manifest says: several files are read at once. What we write has half of it.
const LONGEST_BLOCK: usize = 2 * BLOCK;

/// The largest window of a frame, as a power of two: 8 MiB, which `zstd -19` needs. What we write has 512 KiB. A frame that
/// asks for more is refused before anything is set aside for it.
const WINDOW_LOG: u32 = 23;

/// Bytes of definitions, or of a catalogue, as they are in memory: those of 100,000 tables have some 100 MB.
const LONGEST_WHOLE: usize = 256 * 1024 * 1024;

/// What is decompressed at once.
const PIECE: usize = 256 * 1024;

/// The ending of a file's name.
pub fn ending(encrypted: bool) -> String {
    if encrypted { "zst.age" } else { "zst" }.to_owned()
}

/// The hash of a block.
pub(super) fn hash(block: &[u8]) -> String {
    blake3::hash(block).to_hex().to_string()
}

/// Why a block of an object did not come.
#[derive(Debug)]
pub enum Trouble {
    /// It cannot be read.
    Unread(Error),
    /// It is not what was written; the second half of a sentence.
    Damaged(String),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Unread(error)
    }
}

/// The blocks of an object, each known to be as it was written. `folder` is the snapshot's.
pub fn blocks(bucket: &Bucket, folder: &str, file: &File) -> BoxStream<'static, Result<Bytes>> {
    let path = file.place(folder);
    examined(bucket, folder, file)
        .map_err(move |trouble| match trouble {
            Trouble::Unread(error) => error,
            Trouble::Damaged(what) => Error::new(Kind::Verify, format!("{path} is damaged: {what}"))
                .hint("envsyncd snapshots verify looks at all of a snapshot; pull another one with `snapshot = \"NAME\"`"),
        })
        .boxed()
}

/// The same for whoever looks for what is wrong.
pub fn examined(
    bucket: &Bucket,
    folder: &str,
    file: &File,
) -> BoxStream<'static, Result<Bytes, Trouble>> {
    let (bucket, path) = (bucket.clone(), file.place(folder));
    let stream = stream::once(async move { bucket.read(&path, 0).await });
    held(file, stream.try_flatten().boxed())
}

/// An object's bytes, held against the manifest.
fn held(
    file: &File,
    stream: BoxStream<'static, Result<Bytes>>,
) -> BoxStream<'static, Result<Bytes, Trouble>> {
    let reading = Reading {
        file: file.clone(),
        stream,
        block: BytesMut::new(),
        next: 0,
        seen: 0,
    };
    stream::try_unfold(reading, Reading::next).boxed()
}

/// Reads an object block by block.
struct Reading {
    file: File,
    stream: BoxStream<'static, Result<Bytes>>,
    block: BytesMut,
    /// The number of the next block.
    next: usize,
    seen: u64,
}

impl Reading {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, Trouble> {
        let expected = self.length()?;
        if expected == 0 {
            return self.end().await.map(|()| None);
        }
        while self.block.len() < expected {
            let Some(bytes) = self.more().await? else {
                return Err(Trouble::Damaged(format!(
                    "it ends after {} of {} bytes",
                    self.seen, self.file.size
                )));
            };
            self.block.extend_from_slice(&bytes);
        }
        let block = self.block.split_to(expected).freeze();
        if self.file.blocks[self.next] != hash(&block) {
            let from = self.next as u64 * self.file.block;
            return Err(Trouble::Damaged(format!(
                "block {} of {} is not what was written (bytes {from} to {})",
                self.next + 1,
                self.file.blocks.len(),
                from + expected as u64
            )));
        }
        self.next += 1;
        Ok(Some((block, self)))
    }

    /// The length of the next block; 0 at the end.
    fn length(&self) -> Result<usize, Trouble> {
        let from = (self.next as u64).saturating_mul(self.file.block);
        let left = self.file.size.saturating_sub(from);
        let length = usize::try_from(left.min(self.file.block)).ok();
        match length {
            Some(length)
                if length <= LONGEST_BLOCK
                    && (length == 0) == (self.next == self.file.blocks.len()) =>
            {
                Ok(length)
            }
            _ => Err(Trouble::Damaged(
                "its blocks in the manifest make no sense".to_owned(),
            )),
        }
    }

    async fn more(&mut self) -> Result<Option<Bytes>> {
        let bytes = self.stream.try_next().await?;
        self.seen += bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
        Ok(bytes)
    }

    /// Nothing may follow.
    async fn end(mut self) -> Result<(), Trouble> {
        if self.block.is_empty() && self.more().await?.is_none_or(|bytes| bytes.is_empty()) {
            return Ok(());
        }
        Err(Trouble::Damaged(format!(
            "it is longer than {} bytes",
            self.file.size
        )))
    }
}

/// The bytes that were written as these objects; with the identity that they are encrypted for.
pub fn read(
    bucket: &Bucket,
    folder: &str,
    identity: Option<&Identity>,
    files: &[File],
) -> BoxStream<'static, Result<Bytes>> {
    let (bucket, folder, identity) = (bucket.clone(), folder.to_owned(), identity.cloned());
    stream::iter(files.to_vec())
        .map(move |file| unpacked(&bucket, &folder, identity.as_ref(), &file))
        .flatten()
        .boxed()
}

/// The whole of a small stream.
pub async fn read_whole(
    bucket: &Bucket,
    folder: &str,
    identity: Option<&Identity>,
    files: &[File],
) -> Result<Vec<u8>> {
    read(bucket, folder, identity, files)
        .try_fold(Vec::new(), |mut whole, bytes| async move {
            if whole.len() + bytes.len() > LONGEST_WHOLE {
                let path = files.first().map_or("", |file| file.path.as_str());
                let what = format!("{folder}/{path} has more than {LONGEST_WHOLE} bytes");
                return Err(Error::new(Kind::Verify, what)
                    .hint("no envsyncd writes so much there: find out who made the snapshot"));
            }
            whole.extend_from_slice(&bytes);
            Ok(whole)
        })
        .await
}

/// Refuses to write what [`read_whole`] would not read.
pub fn check_whole(bytes: &[u8], name: &str) -> Result<()> {
    if bytes.len() <= LONGEST_WHOLE {
        return Ok(());
    }
    let what = format!(
        "{name} of the snapshot would have {} bytes, and {LONGEST_WHOLE} is the most",
        bytes.len()
    );
    Err(Error::new(Kind::Full, what).hint("exclude what nobody needs"))
}

fn unpacked(
    bucket: &Bucket,
    folder: &str,
    identity: Option<&Identity>,
    file: &File,
) -> BoxStream<'static, Result<Bytes>> {
    let path = file.place(folder);
    let sealed = blocks(bucket, folder, file);
    let packed = match identity {
        Some(identity) => identity.open(sealed, &path),
        None => sealed,
    };
    decompressed(packed, path)
}

/// What was compressed, in pieces; `path` is for errors.
fn decompressed(
    packed: BoxStream<'static, Result<Bytes>>,
    path: String,
) -> BoxStream<'static, Result<Bytes>> {
    let damaged = |path: &str, error: io::Error| {
        Error::new(Kind::Verify, format!("{path} cannot be decompressed")).because(error)
    };
    let decoder = Decoder::new().and_then(|mut decoder| {
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG))?;
        Ok(decoder)
    });
    let decoder = match decoder {
        Ok(decoder) => decoder,
        Err(error) => {
            let error = damaged(&path, error);
            return stream::once(async move { Err(error) }).boxed();
        }
    };
    let unpacking = Unpacking {
        packed,
        decoder,
        block: Bytes::new(),
        full: false,
        whole: true,
    };
    stream::try_unfold((unpacking, path), move |(mut unpacking, path)| async move {
        let bytes = unpacking.next(|error| damaged(&path, error)).await?;
        Ok(bytes.map(|bytes| (bytes, (unpacking, path))))
    })
    .boxed()
}

/// Decompresses an object, however much there is in a block, a piece at a time.
struct Unpacking {
    packed: BoxStream<'static, Result<Bytes>>,
    decoder: Decoder<'static>,
    /// What is left of what came last.
    block: Bytes,
    /// The decoder may have more without being given more.
    full: bool,
    /// The frame has ended.
    whole: bool,
}

impl Unpacking {
    async fn next(&mut self, damaged: impl Fn(io::Error) -> Error) -> Result<Option<Bytes>> {
        loop {
            if self.block.is_empty() && !self.full {
                match self.packed.try_next().await? {
                    Some(block) => self.block = block,
                    None if self.whole => return Ok(None),
                    None => {
                        let cut = io::ErrorKind::UnexpectedEof.into();
                        return Err(damaged(cut));
                    }
                }
            }
            let mut piece = vec![0; PIECE];
            let (taken, made) = {
                let mut input = InBuffer::around(&self.block);
                let mut output = OutBuffer::around(&mut piece[..]);
                let hint = self
                    .decoder
                    .run(&mut input, &mut output)
                    .map_err(&damaged)?;
                self.whole = hint == 0;
                (input.pos(), output.pos())
            };
            let _ = self.block.split_to(taken);
            // Nothing is held back of a frame that has ended; asked once more, the decoder would begin another one.
            self.full = made == PIECE && !self.whole;
            if made > 0 {
                piece.truncate(made);
                return Ok(Some(piece.into()));
            }
        }
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
