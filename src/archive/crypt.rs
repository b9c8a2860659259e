//! What only its recipients can read: age (<https://age-encryption.org/v1>). Who writes has recipients alone, and cannot
//! read back what it wrote.

use std::io::{self, Write};
use std::str::FromStr;
use std::sync::{Arc, Mutex};

use age::stream::StreamWriter;
use age::{Decryptor, Encryptor, x25519};
use bytes::Bytes;
use futures_util::io::AsyncReadExt;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use secrecy::{ExposeSecret, SecretString};

use crate::error::{Error, Kind, Result};

/// As the manifest names it.
pub const NAME: &str = "age";

/// So much is decrypted at once; age's own pieces are of this size.
const PIECE: usize = 64 * 1024;

/// Who can read what is written.
#[derive(Clone)]
pub struct Recipients(Arc<Vec<x25519::Recipient>>);

/// Who reads.
#[derive(Clone)]
pub struct Identity(Arc<x25519::Identity>);

impl Recipients {
    /// Reads `age1...`; none at all is nobody to encrypt for.
    pub fn parse(texts: &[String]) -> Result<Option<Self>> {
        let parsed: Result<Vec<x25519::Recipient>> = texts
            .iter()
            .map(|text| {
                x25519::Recipient::from_str(text).map_err(|why| {
                    Error::new(
                        Kind::Config,
                        format!("`{text}` is not an age recipient: {why}"),
                    )
                    .hint("a recipient is what age-keygen -y prints: age1...")
                })
            })
            .collect();
        let parsed = parsed?;
        Ok((!parsed.is_empty()).then(|| Self(Arc::new(parsed))))
    }

    /// A writer that encrypts.
    pub fn seal(&self) -> Result<Sealed> {
        let failed = |why: String| Error::new(Kind::Internal, format!("encryption failed: {why}"));
        let out = Shared::default();
        let recipients = self.0.iter().map(|one| one as &dyn age::Recipient);
        let stream = Encryptor::with_recipients(recipients)
            .map_err(|error| failed(error.to_string()))?
            .wrap_output(out.clone())
            .map_err(|error| failed(error.to_string()))?;
        Ok(Sealed { stream, out })
    }
}

impl Identity {
    /// Reads `AGE-SECRET-KEY-1...`, with comments around it as `age-keygen` writes them. An error does not say what was there.
    pub fn parse(text: &SecretString) -> Result<Self> {
        let line = text
            .expose_secret()
            .lines()
            .map(str::trim)
            .find(|line| !line.is_empty() && !line.starts_with('#'));
        line.and_then(|line| x25519::Identity::from_str(line).ok())
            .map(|identity| Self(Arc::new(identity)))
            .ok_or_else(|| {
                Error::new(
                    Kind::Config,
                    "the archive's `identity` is not an age identity",
                )
                .hint("it is what age-keygen prints: AGE-SECRET-KEY-1...")
            })
    }

    /// What was encrypted for us. `path` is for errors.
    pub fn open(
        &self,
        sealed: BoxStream<'static, Result<Bytes>>,
        path: &str,
    ) -> BoxStream<'static, Result<Bytes>> {
        let (identity, path) = (self.0.clone(), path.to_owned());
        stream::once(async move {
            let from = sealed.map_err(io::Error::other).into_async_read();
            let decryptor = Decryptor::new_async_buffered(from)
                .await
                .map_err(|why| refused(&path, why))?;
            let reader = decryptor
                .decrypt_async(std::iter::once(&*identity as &dyn age::Identity))
                .map_err(|why| refused(&path, why))?;
            let pieces = stream::try_unfold((reader, path), |(mut reader, path)| async move {
                let mut piece = vec![0; PIECE];
                let length = reader
                    .read(&mut piece)
                    .await
                    .map_err(|error| through(&path, error))?;
                piece.truncate(length);
                let piece = Bytes::from(piece);
                Ok((length > 0).then_some((piece, (reader, path))))
            });
            Ok::<_, Error>(pieces)
        })
        .try_flatten()
        .boxed()
    }
}

fn refused(path: &str, why: age::DecryptError) -> Error {
    match why {
        age::DecryptError::Io(error) => through(path, error),
        age::DecryptError::NoMatchingKeys => Error::new(
            Kind::Permission,
            format!("{path} is not encrypted for the archive's `identity`"),
        )
        .hint("give the identity of one of the recipients that the push had"),
        other => Error::new(Kind::Verify, format!("{path} cannot be decrypted: {other}")),
    }
}

/// What went through age's own reader comes out as it went in.
fn through(path: &str, error: io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(ours) => ours,
        Err(error) => {
            Error::new(Kind::Verify, format!("{path} cannot be decrypted")).because(error)
        }
    }
}

/// A writer whose encrypted bytes are taken away as they come.
pub struct Sealed {
    stream: StreamWriter<Shared>,
    out: Shared,
}

impl Sealed {
    /// What has come since.
    pub fn take(&mut self) -> Vec<u8> {
        self.out.take()
    }

    /// Ends it: the last bytes.
    pub fn finish(self) -> io::Result<Vec<u8>> {
        self.stream.finish()?;
        Ok(self.out.take())
    }
}

impl Write for Sealed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Where age writes to, which does not let go of it before the end.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().expect("no one panics with this lock"))
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut out = self.0.lock().expect("no one panics with this lock");
        out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
