//! Fuzz targets: the files of a snapshot as they lie there. See `docs/fuzzing.md`.

use futures_util::FutureExt as _;
use proptest::prelude::*;

use super::*;
use crate::fuzz::{bytes, config, lengths, pieces};

const FRAMES: &[&str] = &["tests/corpus/zstd"];

/// A file of a few bytes may hold gigabytes: no more of it is looked at.
const ENOUGH: usize = 1 << 20;

/// What comes of a stream.
enum Outcome {
    Whole(Vec<u8>),
    Refused,
    /// It goes on.
    Long,
}

fn outcome(packed: &[u8], lengths: &[usize]) -> Result<Outcome, TestCaseError> {
    let packed: Vec<Result<Bytes>> = pieces(packed, lengths)
        .into_iter()
        .map(|piece| Ok(Bytes::copy_from_slice(piece)))
        .collect();
    let mut plain = decompressed(stream::iter(packed).boxed(), "rows/x".to_owned());
    let mut made = Vec::new();
    while made.len() <= ENOUGH {
        match plain
            .try_next()
            .now_or_never()
            .expect("nothing to wait for")
        {
            Ok(Some(piece)) => {
                prop_assert!(!piece.is_empty() && piece.len() <= PIECE);
                made.extend_from_slice(&piece);
            }
            Ok(None) => return Ok(Outcome::Whole(made)),
            Err(error) => {
                let text = error.to_string();
                prop_assert!(error.kind() == Kind::Verify && text.starts_with("rows/x "));
                prop_assert!(!text.contains('\n'), "{}", text);
                return Ok(Outcome::Refused);
            }
        }
    }
    Ok(Outcome::Long)
}

/// What a server or a disk has in place of a file.
fn changed(content: &[u8], change: u8, at: u16, byte: u8) -> Vec<u8> {
    let mut changed = content.to_vec();
    let at = usize::from(at) % (content.len() + 1);
    match change {
        0 => {}
        1 => changed.truncate(at),
        2 => changed.insert(at, byte),
        _ => {
            if let Some(one) = changed.get_mut(at) {
                *one ^= byte;
            }
        }
    }
    changed
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn frame(packed in bytes(FRAMES), lengths in lengths()) {
        // A frame without a byte that says it has some is refused by zstd if it comes at once, and taken if it does not.
        if let (Outcome::Whole(in_pieces), Outcome::Whole(at_once)) = (outcome(&packed, &lengths)?, outcome(&packed, &[usize::MAX])?) {
            prop_assert_eq!(in_pieces, at_once);
        }
        // What is written is read as what it was.
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.include_checksum(true).unwrap();
        std::io::Write::write_all(&mut encoder, &packed).unwrap();
        let written = encoder.finish().unwrap();
        prop_assert!(matches!(outcome(&written, &lengths)?, Outcome::Whole(plain) if plain == *packed));
    }

    /// Whatever is there, no byte is handed on that was not written.
    #[test]
    fn blocks_of_a_file(content in bytes(FRAMES), block in 1_usize..5000, change in 0_u8..5, at: u16, byte: u8, lengths in lengths()) {
        let mut file = File {
            path: "rows/x".to_owned(),
            pool: false,
            size: content.len() as u64,
            block: block as u64,
            blocks: content.chunks(block).map(hash).collect(),
        };
        let there = changed(&content, change, at, byte);
        let read = |file: &File| {
            let pieces: Vec<Result<Bytes>> = pieces(&there, &lengths)
                .into_iter()
                .map(|piece| Ok(Bytes::copy_from_slice(piece)))
                .collect();
            let mut read = held(file, stream::iter(pieces).boxed());
            let mut made = Vec::new();
            loop {
                match read.try_next().now_or_never().expect("nothing to wait for") {
                    Ok(Some(block)) => made.extend_from_slice(&block),
                    Ok(None) => return (made, None),
                    Err(trouble) => return (made, Some(trouble)),
                }
            }
        };
        let (made, trouble) = read(&file);
        prop_assert!(content.starts_with(&made));
        prop_assert_eq!(trouble.is_none(), there == *content);
        if let Some(Trouble::Damaged(what)) = trouble {
            prop_assert!(!what.is_empty() && !what.contains('\n'));
        }
        // A manifest that lies about lengths.
        match change {
            0 => file.size = file.size.wrapping_sub(u64::from(at)).wrapping_sub(1),
            1 => file.block = file.block.wrapping_sub(u64::from(at) + 1),
            2 => file.block = 0,
            3 => file.blocks.push(hash(b"")),
            _ => drop(file.blocks.pop()),
        }
        let (made, _) = read(&file);
        prop_assert!(content.starts_with(&made));
    }
}
