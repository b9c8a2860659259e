//! Reads stored files and holds each block against the manifest, in the memory of what a server sends at once.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::archive::bucket::Bucket;
use crate::archive::layout::Name;
use crate::archive::manifest::File;
use crate::error::{Error, Kind, Result};

/// How many files are read at once.
const AT_ONCE: usize = 4;

/// Who wants to know how far it is.
pub trait Watch: Send + Sync {
    /// So many bytes are to come.
    fn expect(&self, bytes: u64);
    /// So many bytes more, as stored.
    fn add(&self, bytes: u64);
}

impl Watch for () {
    fn expect(&self, _bytes: u64) {}
    fn add(&self, _bytes: u64) {}
}

/// What is wrong with a file that could be read, as the second half of a sentence: `block 3 is not ...`.
pub(super) type Fault = String;

/// Holds a file's bytes against its blocks while they come.
struct Blocks<'f> {
    file: &'f File,
    hasher: blake3::Hasher,
    /// Bytes in the hasher.
    filled: u64,
    /// The block that they are of.
    number: usize,
}

impl<'f> Blocks<'f> {
    fn new(file: &'f File) -> Self {
        Self {
            file,
            hasher: blake3::Hasher::new(),
            filled: 0,
            number: 0,
        }
    }

    fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Fault> {
        while !bytes.is_empty() {
            let room = self.file.block - self.filled;
            let (now, later) =
                bytes.split_at(bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX)));
            self.hasher.update(now);
            self.filled += now.len() as u64;
            bytes = later;
            if self.filled == self.file.block {
                self.close()?;
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Fault> {
        if self.filled > 0 {
            self.close()?;
        }
        if self.number < self.file.blocks.len() {
            return Err(format!(
                "it ends after {} of {} blocks",
                self.number,
                self.file.blocks.len()
            ));
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), Fault> {
        let Some(expected) = self.file.blocks.get(self.number) else {
            return Err(format!("it is longer than {} bytes", self.file.size));
        };
        let hash = self.hasher.finalize();
        if hash.to_hex().as_str() != expected {
            let from = self.file.block.saturating_mul(self.number as u64);
            return Err(format!(
                "block {} of {} is not what was written (bytes {from} to {})",
                self.number + 1,
                self.file.blocks.len(),
                from + self.filled
            ));
        }
        self.hasher.reset();
        self.filled = 0;
        self.number += 1;
        Ok(())
    }
}

/// Reads a file to its end and hands its bytes on, unless `to` is `None`. The outer error: it cannot be read; the inner
/// one: it is not what was written. What was handed on is good only if all of it was. `stop` ends it between two pieces.
pub(super) async fn checked(
    from: &Bucket,
    name: &Name,
    file: &File,
    mut to: Option<&mut crate::archive::bucket::Upload>,
    watch: &dyn Watch,
    stop: &CancellationToken,
) -> Result<Result<(), Fault>> {
    let mut blocks = Blocks::new(file);
    let mut stream = match from.read(&format!("{name}/{}", file.path), 0).await {
        Ok(stream) => stream,
        Err(error) if error.kind() == Kind::Absent => return Ok(Err("it is not there".to_owned())),
        Err(error) => return Err(error),
    };
    loop {
        let next = tokio::select! {
            biased;
            () = stop.cancelled() => return Err(cancelled()),
            next = stream.next() => next,
        };
        let bytes: Bytes = match next {
            None => return Ok(blocks.end()),
            Some(Ok(bytes)) => bytes,
            Some(Err(error)) if error.kind() == Kind::Absent => {
                return Ok(Err("it is not there any more".to_owned()));
            }
            Some(Err(error)) => return Err(error),
        };
        if let Err(fault) = blocks.feed(&bytes) {
            return Ok(Err(fault));
        }
        watch.add(bytes.len() as u64);
        if let Some(to) = to.as_deref_mut() {
            to.write(bytes).await?;
        }
    }
}

fn cancelled() -> Error {
    // Which signal it was is known further out.
    Error::new(Kind::Cancelled(15), "cancelled")
}

/// Does something with every file, several at once, and collects what comes of each, in no order. The first error stops
/// all, and so does `cancel`; when this returns nobody is at work any more.
pub(super) async fn each<F, T>(
    files: impl IntoIterator<Item = File>,
    cancel: &CancellationToken,
    work: impl Fn(Arc<File>, CancellationToken) -> F,
) -> Result<Vec<(Arc<File>, T)>>
where
    F: Future<Output = Result<T>> + Send + 'static,
    T: Send + 'static,
{
    let stop = cancel.child_token();
    let (mut running, mut done, mut failed) = (JoinSet::new(), Vec::new(), None);
    let mut files = files.into_iter();
    loop {
        while running.len() < AT_ONCE
            && !stop.is_cancelled()
            && let Some(file) = files.next()
        {
            let file = Arc::new(file);
            let work = work(Arc::clone(&file), stop.clone());
            running.spawn(async move { work.await.map(|result| (file, result)) });
        }
        let result = match running.join_next().await {
            None => break,
            Some(Ok(result)) => result,
            Some(Err(error)) => {
                Err(Error::new(Kind::Internal, "a file's reader has died").because(error))
            }
        };
        match result {
            Ok(result) => done.push(result),
            Err(error) => {
                // What a disk or a server is at cannot be called back: it is waited for.
                stop.cancel();
                failed.get_or_insert(error);
            }
        }
    }
    match failed {
        Some(error) => Err(error),
        None if cancel.is_cancelled() => Err(cancelled()),
        None => Ok(done),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &[u8], block: u64) -> File {
        File {
            path: "rows/x".to_owned(),
            size: content.len() as u64,
            block,
            blocks: content
                .chunks(block as usize)
                .map(|block| blake3::hash(block).to_hex().to_string())
                .collect(),
        }
    }

    fn check(file: &File, content: &[u8], piece: usize) -> Result<(), Fault> {
        let mut blocks = Blocks::new(file);
        for piece in content.chunks(piece) {
            blocks.feed(piece)?;
        }
        blocks.end()
    }

    #[test]
    fn what_was_written_is_found_whole_however_it_comes() {
        let content: Vec<u8> = (0..=255).collect();
        for block in [1, 7, 16, 255, 256, 257] {
            let file = file(&content, block);
            for piece in [1, 3, 16, 100, 1000] {
                assert_eq!(check(&file, &content, piece), Ok(()), "{block} {piece}");
            }
        }
        assert_eq!(check(&file(b"", 4), b"", 4), Ok(()));
    }

    #[test]
    fn a_changed_byte_a_cut_and_an_addition_are_found_and_placed() {
        let content: Vec<u8> = (0..100).collect();
        let file = file(&content, 16);
        let mut changed = content.clone();
        changed[33] ^= 1;
        let fault = check(&file, &changed, 5).unwrap_err();
        assert!(
            fault.contains("block 3 of 7") && fault.contains("32 to 48"),
            "{fault}"
        );
        let fault = check(&file, &content[..96], 5).unwrap_err();
        assert!(fault.contains("after 6 of 7 blocks"), "{fault}");
        assert!(check(&file, &content[..95], 5).is_err());
        let mut longer = content;
        longer.push(0);
        assert!(check(&file, &longer, 5).is_err());
        longer.resize(200, 0);
        assert!(check(&file, &longer, 5).is_err());
    }
}
