//! gzip around a dump, taken off and put on while it streams.

use std::io::Write;

use bytes::{Bytes, BytesMut};
use flate2::Compression;
use flate2::write::{GzEncoder, MultiGzDecoder};
use futures_util::TryStreamExt;
use futures_util::stream::{self, BoxStream, StreamExt};

use crate::error::{Error, Kind, Result};

/// Bytes on their way.
type Bytestream = BoxStream<'static, Result<Bytes>>;

/// What every gzip file begins with (RFC 1952).
const MAGIC: [u8; 2] = [0x1f, 0x8b];
/// So much is worked on at once: others want to be served meanwhile.
const PIECE: usize = 256 * 1024;

/// A file's bytes without gzip around them, if there is any. A gzip that breaks off or whose sums are wrong is an error.
pub(super) async fn unzipped(mut file: Bytestream, name: &str) -> Result<Bytestream> {
    let mut first = BytesMut::new();
    while first.len() < MAGIC.len() {
        let Some(bytes) = file.try_next().await? else {
            break;
        };
        first.extend_from_slice(&bytes);
    }
    let zipped = first.starts_with(&MAGIC);
    let whole = stream::iter([Ok(first.freeze())]).chain(file).boxed();
    if !zipped {
        return Ok(whole);
    }
    let reading = Unzipping {
        pieces: pieces(whole),
        rest: Bytes::new(),
        decoder: Some(MultiGzDecoder::new(Vec::new())),
        name: name.to_owned(),
    };
    Ok(stream::try_unfold(reading, Unzipping::next).boxed())
}

/// The same bytes in pieces that do not take long.
fn pieces(bytes: Bytestream) -> Bytestream {
    bytes
        .map_ok(|bytes| {
            let starts = (0..bytes.len()).step_by(PIECE);
            let cut: Vec<Result<Bytes>> = starts
                .map(|start| Ok(bytes.slice(start..bytes.len().min(start + PIECE))))
                .collect();
            stream::iter(cut)
        })
        .try_flatten()
        .boxed()
}

/// So much of a gzip is taken off at once: it may hold a thousand times as much (RFC 1951's best is 1032 to 1).
const MOUTHFUL: usize = 8 * 1024;

/// So much of a gzip comes at once, whatever it holds.
#[cfg(test)]
pub(super) const LONGEST_PIECE: usize = PIECE + 1100 * MOUTHFUL;

struct Unzipping {
    pieces: Bytestream,
    /// What came and is not looked at yet.
    rest: Bytes,
    /// `None` at the end.
    decoder: Option<MultiGzDecoder<Vec<u8>>>,
    name: String,
}

impl Unzipping {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>> {
        let damaged = |error: std::io::Error, name: &str| {
            let what = format!("{name} is damaged or not whole: its gzip cannot be read");
            Error::new(Kind::Verify, what).because(error).hint(
                "take another one with `snapshot` or `at`, and look at how this one was written",
            )
        };
        loop {
            let Some(decoder) = &mut self.decoder else {
                return Ok(None);
            };
            if self.rest.is_empty()
                && let Some(piece) = self.pieces.try_next().await?
            {
                self.rest = piece;
            }
            let plain = if self.rest.is_empty() {
                let mut decoder = self.decoder.take().expect("it was there just now");
                decoder
                    .try_finish()
                    .map_err(|error| damaged(error, &self.name))?;
                std::mem::take(decoder.get_mut())
            } else {
                while !self.rest.is_empty() && decoder.get_ref().len() < PIECE {
                    let mouthful = self.rest.split_to(self.rest.len().min(MOUTHFUL));
                    let written = decoder.write_all(&mouthful);
                    written.map_err(|error| damaged(error, &self.name))?;
                }
                let flushed = decoder.flush();
                flushed.map_err(|error| damaged(error, &self.name))?;
                std::mem::take(decoder.get_mut())
            };
            if !plain.is_empty() {
                return Ok(Some((plain.into(), self)));
            }
        }
    }
}

/// Bytes with gzip around them, as quick as it can be: the chart does the same.
pub(super) fn zipped(plain: Bytestream) -> Bytestream {
    let encoder = GzEncoder::new(Vec::new(), Compression::new(1));
    let start = (pieces(plain), Some(encoder));
    stream::try_unfold(start, |(mut pieces, mut encoder)| async move {
        let failed =
            |error: std::io::Error| Error::new(Kind::Internal, "gzip failed").because(error);
        loop {
            let Some(open) = &mut encoder else {
                return Ok(None);
            };
            let bytes = if let Some(piece) = pieces.try_next().await? {
                open.write_all(&piece).map_err(failed)?;
                std::mem::take(open.get_mut())
            } else {
                let open = encoder.take().expect("it was there just now");
                open.finish().map_err(failed)?
            };
            if !bytes.is_empty() {
                return Ok(Some((Bytes::from(bytes), (pieces, encoder))));
            }
        }
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(bytes: &[u8], at: usize) -> Bytestream {
        let pieces: Vec<Result<Bytes>> = bytes
            .chunks(at.max(1))
            .map(|piece| Ok(Bytes::copy_from_slice(piece)))
            .collect();
        stream::iter(pieces).boxed()
    }

    async fn whole(stream: Bytestream) -> Result<Vec<u8>> {
        let pieces: Vec<Bytes> = stream.try_collect().await?;
        Ok(pieces.concat())
    }

    #[tokio::test]
    async fn what_was_zipped_comes_out_as_it_was_however_it_is_cut() {
        let plain: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut twice = whole(zipped(cut(&plain, 70_000))).await.unwrap();
        let again = twice.clone();
        for at in [1, 7, 4096, 10_000_000] {
            let out = unzipped(cut(&twice, at), "x").await.unwrap();
            assert_eq!(whole(out).await.unwrap(), plain);
        }
        // gzip files one after the other are one.
        twice.extend(again);
        let out = unzipped(cut(&twice, 1000), "x").await.unwrap();
        assert_eq!(
            whole(out).await.unwrap(),
            [plain.clone(), plain.clone()].concat()
        );
        let out = unzipped(cut(&plain, 1000), "x").await.unwrap();
        assert_eq!(whole(out).await.unwrap(), plain);
        let out = unzipped(cut(b"", 1), "x").await.unwrap();
        assert_eq!(whole(out).await.unwrap(), b"");
    }

    #[tokio::test]
    async fn a_gzip_that_holds_a_thousand_times_as_much_comes_in_small_pieces() {
        let zeros = stream::iter((0..256).map(|_| Ok(Bytes::from(vec![0; PIECE])))).boxed();
        let bomb = whole(zipped(zeros)).await.unwrap();
        assert!(bomb.len() < PIECE * 2, "{}", bomb.len());
        let mut out = unzipped(cut(&bomb, bomb.len()), "x").await.unwrap();
        let (mut all, mut longest) = (0, 0);
        while let Some(piece) = out.try_next().await.unwrap() {
            longest = longest.max(piece.len());
            all += piece.len();
        }
        assert_eq!(all, 256 * PIECE);
        assert!(longest < LONGEST_PIECE, "{longest}");
    }

    #[tokio::test]
    async fn a_gzip_that_breaks_off_or_was_changed_is_refused() {
        let plain: Vec<u8> = (0..30_000_u32).flat_map(u32::to_le_bytes).collect();
        let good = whole(zipped(cut(&plain, 1000))).await.unwrap();
        for end in [3, 100, good.len() - 9, good.len() - 8, good.len() - 1] {
            let out = unzipped(cut(&good[..end], 1000), "x").await.unwrap();
            let error = whole(out).await.unwrap_err();
            assert_eq!(error.kind(), Kind::Verify, "{end}");
        }
        let mut changed = good.clone();
        let middle = changed.len() - 6;
        changed[middle] ^= 1;
        let out = unzipped(cut(&changed, 1000), "x").await.unwrap();
        assert!(whole(out).await.is_err());
    }
}
