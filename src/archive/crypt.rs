//! What only its recipients can read: age (<https://age-encryption.org/v1>). Who writes has recipients alone, and cannot
//! read back what it wrote.

use std::io::{self, Write};
use std::str::FromStr;
use std::sync::Arc;

use age::stream::StreamWriter;
use age::{Decryptor, Encryptor, x25519};
use bytes::{Bytes, BytesMut};
use futures_util::io::AsyncReadExt;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use secrecy::{ExposeSecret, SecretString};

use crate::error::{Error, Kind, Result};
use crate::sync::Mutex;

/// As the manifest names it.
pub const NAME: &str = "age";

/// So much is decrypted at once; age's own pieces are of this size.
const PIECE: usize = 64 * 1024;

/// Bytes of a file's header: one of 600 recipients. age's own reader has no limit, and takes a header apart again for each
/// line that it has.
const LONGEST_HEADER: usize = 64 * 1024;

/// The last line of a header begins so (<https://age-encryption.org/v1>, "Header MAC").
const HEADER_ENDS: &[u8] = b"\n--- ";

/// The recipients that files are encrypted for.
#[derive(Clone)]
pub struct Recipients(Arc<Vec<x25519::Recipient>>);

/// The identity that files are decrypted with.
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

    /// A digest of who they are, in whatever order they were named.
    pub fn digest(&self) -> [u8; 32] {
        let mut all: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        all.sort_unstable();
        all.dedup();
        blake3::hash(all.join("\n").as_bytes()).into()
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
            let sealed = headed(sealed, &path).await?;
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

/// The same bytes, whose header has an end.
async fn headed(
    mut sealed: BoxStream<'static, Result<Bytes>>,
    path: &str,
) -> Result<BoxStream<'static, Result<Bytes>>> {
    let mut first = BytesMut::new();
    while first.len() < LONGEST_HEADER {
        let Some(bytes) = sealed.try_next().await? else {
            break;
        };
        first.extend_from_slice(&bytes);
    }
    let start = &first[..first.len().min(LONGEST_HEADER)];
    if !start.windows(HEADER_ENDS.len()).any(|at| at == HEADER_ENDS) {
        let what = format!(
            "{path} cannot be decrypted: its header has no end within {LONGEST_HEADER} bytes"
        );
        return Err(Error::new(Kind::Verify, what));
    }
    Ok(stream::iter([Ok(first.freeze())]).chain(sealed).boxed())
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
        std::mem::take(&mut *self.0.lock())
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut out = self.0.lock();
        out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;

    async fn opened(sealed: Vec<u8>, cut: usize) -> Result<Vec<u8>> {
        let identity = x25519::Identity::generate();
        let pieces: Vec<Result<Bytes>> = sealed
            .chunks(cut)
            .map(|piece| Ok(Bytes::copy_from_slice(piece)))
            .collect();
        let opened = Identity(Arc::new(identity)).open(stream::iter(pieces).boxed(), "rows/x");
        let pieces: Vec<Bytes> = opened.try_collect().await?;
        Ok(pieces.concat())
    }

    #[tokio::test]
    async fn a_header_without_end_is_refused_before_it_is_read() {
        let mut endless = b"age-encryption.org/v1\n".to_vec();
        while endless.len() < 4 * LONGEST_HEADER {
            endless.extend_from_slice(b"-> X25519 TEiF0ypqr+bpvcqXNyCVJpL7OuwPdVwPL7KQEbFDOCc\n");
        }
        for (sealed, cut) in [
            (endless.clone(), 1000),
            (endless, 1 << 20),
            (vec![b'x'; 4 * LONGEST_HEADER], 1 << 20),
            (Vec::new(), 1),
        ] {
            let error = opened(sealed, cut).await.unwrap_err();
            assert_eq!(error.kind(), Kind::Verify, "{error}");
            assert!(error.to_string().contains("has no end"), "{error}");
        }
    }

    #[tokio::test]
    async fn what_was_sealed_for_us_is_opened_however_it_is_cut() {
        let identity = x25519::Identity::generate();
        let recipients = Recipients(Arc::new(vec![identity.to_public(); 400]));
        let plain: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut sealed = recipients.seal().unwrap();
        sealed.write_all(&plain).unwrap();
        let sealed = sealed.finish().unwrap();
        for cut in [977, 1 << 16, 1 << 22] {
            let pieces: Vec<Result<Bytes>> = sealed
                .chunks(cut)
                .map(|piece| Ok(Bytes::copy_from_slice(piece)))
                .collect();
            let opened = Identity(Arc::new(identity.clone()));
            let opened = opened.open(stream::iter(pieces).boxed(), "rows/x");
            let pieces: Vec<Bytes> = opened.try_collect().await.unwrap();
            assert!(pieces.concat() == plain, "{cut}");
        }
    }
}
