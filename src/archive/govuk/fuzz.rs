//! Fuzz targets: files of other tools' archives as they lie there. See `docs/fuzzing.md`.

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use proptest::prelude::*;

use super::gzip::{self, LONGEST_PIECE};
use crate::error::{Kind, Result};
use crate::fuzz::{bytes, config, lengths, pieces};

/// A file of a few bytes may hold megabytes: no more of it is looked at.
const ENOUGH: usize = 512 << 10;

/// What comes of a stream.
enum Outcome {
    Whole(Vec<u8>),
    Refused,
    /// It goes on.
    Long,
}

fn stream_of(bytes: &[u8], lengths: &[usize]) -> BoxStream<'static, Result<Bytes>> {
    let all: Vec<Result<Bytes>> = pieces(bytes, lengths)
        .into_iter()
        .map(|piece| Ok(Bytes::copy_from_slice(piece)))
        .collect();
    stream::iter(all).boxed()
}

fn outcome(file: BoxStream<'static, Result<Bytes>>) -> Result<Outcome, TestCaseError> {
    let unzipped = gzip::unzipped(file, "x.gz").now_or_never();
    let mut unzipped = unzipped.expect("nothing to wait for").unwrap();
    let mut made = Vec::new();
    while made.len() <= ENOUGH {
        match unzipped
            .try_next()
            .now_or_never()
            .expect("nothing to wait for")
        {
            Ok(Some(piece)) => {
                prop_assert!(piece.len() <= LONGEST_PIECE);
                made.extend_from_slice(&piece);
            }
            Ok(None) => return Ok(Outcome::Whole(made)),
            Err(error) => {
                let text = error.to_string();
                prop_assert!(error.kind() == Kind::Verify && text.starts_with("x.gz "));
                prop_assert!(!text.contains('\n'), "{}", text);
                return Ok(Outcome::Refused);
            }
        }
    }
    Ok(Outcome::Long)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn zipped_file(file in bytes(&["tests/corpus/gzip"]), lengths in lengths()) {
        let in_pieces = outcome(stream_of(&file, &lengths))?;
        match (in_pieces, outcome(stream_of(&file, &[usize::MAX]))?) {
            (Outcome::Whole(in_pieces), Outcome::Whole(at_once)) => {
                prop_assert_eq!(&in_pieces, &at_once);
                prop_assert!(file.starts_with(b"\x1f\x8b") || at_once == *file);
            }
            (Outcome::Whole(_), Outcome::Refused) | (Outcome::Refused, Outcome::Whole(_)) => {
                prop_assert!(false, "it depends on how it comes");
            }
            _ => {}
        }
        // What is written is read as what it was.
        let written = gzip::zipped(stream_of(&file, &lengths));
        prop_assert!(matches!(outcome(written)?, Outcome::Whole(plain) if plain == *file));
    }
}
