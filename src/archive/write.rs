//! Writes streams of bytes as they lie in an archive: compressed, in objects of bounded size, each hashed block by block.

use std::io::{self, Write};

use bytes::{Bytes, BytesMut};
use zstd::stream::write::Encoder;

use super::bucket::{Bucket, Upload};
use super::crypt::{Recipients, Sealed};
use super::files::{BLOCK, hash};
use super::manifest::File;
use crate::error::{Error, Kind, Result};

/// A stream goes on in another object when one has so many blocks. S3's largest upload has 10,000 pieces
/// (Amazon S3 User Guide, "Amazon S3 multipart upload limits"), and a failed piece should not cost a day.
const BLOCKS: usize = 256;

/// So many blocks of what may turn out to be there already wait in memory before anything is written.
const HELD: usize = 2;

/// What is compressed at once.
const PIECE: usize = 256 * 1024;

/// About as small as level 3 and half the work, by measurement on rows.
const LEVEL: i32 = 1;

/// Writes one stream.
pub(super) struct Writer {
    bucket: Bucket,
    folder: String,
    /// An object's path in the folder, or in the archive, by its number.
    path: Box<dyn Fn(usize) -> String + Send + Sync>,
    recipients: Option<Recipients>,
    open: Option<Object>,
    files: Vec<File>,
    plain: u64,
    /// Whether its objects lie in the job's pool.
    is_pooled: bool,
    /// Blocks that are held back at the most.
    held: usize,
}

/// An object that is being written.
struct Object {
    encoder: Encoder<'static, Sink>,
    tail: Tail,
}

/// The object that is being written, with its block that is not full yet.
struct Tail {
    bucket: Bucket,
    place: String,
    /// `None`: nothing is written yet.
    upload: Option<Upload>,
    /// Blocks that wait for that.
    held: Vec<Bytes>,
    most_held: usize,
    block: BytesMut,
    file: File,
}

/// Where compressed bytes go.
enum Sink {
    Open(Vec<u8>),
    Sealed(Box<Sealed>),
}

impl Sink {
    fn take(&mut self) -> Vec<u8> {
        match self {
            Self::Open(bytes) => std::mem::take(bytes),
            Self::Sealed(sealed) => sealed.take(),
        }
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Open(bytes) => Ok(bytes),
            Self::Sealed(sealed) => sealed.finish(),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Open(out) => out.write(bytes),
            Self::Sealed(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Writer {
    /// A stream whose objects are called so, for these recipients if there are any. Nothing is written yet.
    pub(super) fn new(
        bucket: &Bucket,
        folder: &str,
        recipients: Option<&Recipients>,
        path: impl Fn(usize) -> String + Send + Sync + 'static,
    ) -> Self {
        Self {
            bucket: bucket.clone(),
            folder: folder.to_owned(),
            path: Box::new(path),
            recipients: recipients.cloned(),
            open: None,
            files: Vec::new(),
            plain: 0,
            is_pooled: false,
            held: 0,
        }
    }

    /// The same in the job's pool; the paths are those in the archive. If it `may_be_there` already, nothing of a stream that
    /// is short enough is written before its end.
    pub(super) fn into_pool(self, may_be_there: bool) -> Self {
        Self {
            is_pooled: true,
            held: if may_be_there { HELD } else { 0 },
            ..self
        }
    }

    /// Takes bytes in.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.plain += bytes.len() as u64;
        for piece in bytes.chunks(PIECE) {
            let object = self.object().await?;
            object.encoder.write_all(piece).map_err(broken_encoder)?;
            let compressed = object.encoder.get_mut().take();
            object.tail.add(&compressed, false).await?;
            if object.tail.file.blocks.len() >= BLOCKS {
                self.close().await?;
            }
        }
        Ok(())
    }

    /// Ends the stream: its objects, and how many bytes were taken in. One without bytes is one object, too.
    pub(super) async fn finish(mut self) -> Result<(Vec<File>, u64)> {
        if self.files.is_empty() {
            self.object().await?;
        }
        self.close().await?;
        Ok((self.files, self.plain))
    }

    /// Ends a stream that is there already: what was written of it goes again.
    pub(super) async fn abandon(mut self) -> Result<u64> {
        drop(self.open.take());
        let written = self.files.iter().map(|file| file.place(&self.folder));
        if !self.files.is_empty() {
            self.bucket.delete(written.collect()).await?;
        }
        Ok(self.plain)
    }

    async fn object(&mut self) -> Result<&mut Object> {
        if self.open.is_none() {
            let path = (self.path)(self.files.len());
            let sink = match &self.recipients {
                Some(recipients) => Sink::Sealed(Box::new(recipients.seal()?)),
                None => Sink::Open(Vec::new()),
            };
            let mut encoder = Encoder::new(sink, LEVEL).map_err(broken_encoder)?;
            encoder.include_checksum(true).map_err(broken_encoder)?;
            let file = File {
                path,
                pool: self.is_pooled,
                size: 0,
                block: BLOCK as u64,
                blocks: Vec::new(),
            };
            let mut tail = Tail {
                bucket: self.bucket.clone(),
                place: file.place(&self.folder),
                upload: None,
                held: Vec::new(),
                most_held: self.held,
                block: BytesMut::new(),
                file,
            };
            if self.held == 0 {
                tail.upload().await?;
            }
            self.open = Some(Object { encoder, tail });
        }
        Ok(self.open.as_mut().expect("it was just opened"))
    }

    async fn close(&mut self) -> Result<()> {
        let Some(object) = self.open.take() else {
            return Ok(());
        };
        let sink = object.encoder.finish().map_err(broken_encoder)?;
        let last = sink.finish().map_err(broken_encoder)?;
        let mut tail = object.tail;
        tail.add(&last, true).await?;
        tail.upload().await?;
        let upload = tail.upload.take().expect("it was just opened");
        let (file, written) = (tail.file, upload.finish().await?);
        if written != file.size {
            return Err(Error::new(
                Kind::Verify,
                format!(
                    "{}: {} bytes were sent and {written} are there",
                    file.path, file.size
                ),
            ));
        }
        self.files.push(file);
        Ok(())
    }
}

impl Tail {
    /// Sends these bytes on; in whole blocks, unless it is the end.
    async fn add(&mut self, bytes: &[u8], end: bool) -> Result<()> {
        self.block.extend_from_slice(bytes);
        while self.block.len() >= BLOCK || (end && !self.block.is_empty()) {
            let length = self.block.len().min(BLOCK);
            let block = self.block.split_to(length).freeze();
            self.file.size += length as u64;
            self.file.blocks.push(hash(&block));
            match &mut self.upload {
                Some(upload) => upload.write(block).await?,
                None => self.held.push(block),
            }
            if self.held.len() > self.most_held {
                self.upload().await?;
            }
        }
        Ok(())
    }

    /// Begins to write, if that was not done yet: first what was held back.
    async fn upload(&mut self) -> Result<()> {
        if self.upload.is_some() {
            return Ok(());
        }
        let mut upload = self.bucket.upload(&self.place).await?;
        for block in self.held.drain(..) {
            upload.write(block).await?;
        }
        self.upload = Some(upload);
        Ok(())
    }
}

fn broken_encoder(error: io::Error) -> Error {
    Error::new(Kind::Internal, "compression failed").because(error)
}
