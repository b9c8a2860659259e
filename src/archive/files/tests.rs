use super::*;

fn file(content: &[u8], block: usize) -> File {
    File {
        path: "rows/x".to_owned(),
        pool: false,
        size: content.len() as u64,
        block: block as u64,
        blocks: content.chunks(block).map(hash).collect(),
    }
}

/// What comes of it when it is read in such pieces; or what is wrong with it.
fn read(file: &File, content: &[u8], piece: usize) -> Result<Vec<u8>, String> {
    let pieces: Vec<Result<Bytes>> = content
        .chunks(piece)
        .map(|piece| Ok(Bytes::copy_from_slice(piece)))
        .collect();
    let blocks = held(file, stream::iter(pieces).boxed()).try_collect::<Vec<_>>();
    match futures_util::FutureExt::now_or_never(blocks).expect("nothing to wait for") {
        Ok(blocks) => Ok(blocks.concat()),
        Err(Trouble::Damaged(what)) => Err(what),
        Err(Trouble::Unread(error)) => panic!("{error}"),
    }
}

#[test]
fn what_was_written_is_found_whole_however_it_comes() {
    let content: Vec<u8> = (0..=255).collect();
    for block in [1, 7, 16, 255, 256, 257] {
        let file = file(&content, block);
        for piece in [1, 3, 16, 100, 1000] {
            assert_eq!(
                read(&file, &content, piece).as_ref(),
                Ok(&content),
                "{block} {piece}"
            );
        }
    }
    assert_eq!(read(&file(b"", 4), b"", 4), Ok(Vec::new()));
}

#[test]
fn a_changed_byte_a_cut_and_an_addition_are_found_and_placed() {
    let content: Vec<u8> = (0..100).collect();
    let file = file(&content, 16);
    let mut changed = content.clone();
    changed[33] ^= 1;
    assert_eq!(
        read(&file, &changed, 5).unwrap_err(),
        "block 3 of 7 is not what was written (bytes 32 to 48)"
    );
    assert_eq!(
        read(&file, &content[..96], 5).unwrap_err(),
        "it ends after 96 of 100 bytes"
    );
    assert!(read(&file, &content[..95], 5).is_err());
    let mut longer = content;
    longer.push(0);
    assert_eq!(
        read(&file, &longer, 5).unwrap_err(),
        "it is longer than 100 bytes"
    );
    longer.resize(200, 0);
    assert!(read(&file, &longer, 5).is_err());
}

#[test]
fn blocks_that_cannot_be_are_refused() {
    let good = file(&[7; 100], 16);
    let mut short = good.clone();
    short.blocks.pop();
    let mut long = good.clone();
    long.blocks.push(hash(b""));
    let mut none = good.clone();
    none.block = 0;
    let mut huge = good;
    huge.block = u64::MAX;
    huge.size = u64::MAX;
    for file in [short, long, none, huge] {
        let what = read(&file, &[7; 100], 100).unwrap_err();
        assert!(what.contains("make no sense"), "{what}");
    }
}

/// What comes of it when it is decompressed from blocks of so many bytes.
fn plain(packed: &[u8], block: usize) -> Result<Vec<u8>, String> {
    let blocks: Vec<Result<Bytes>> = packed
        .chunks(block)
        .map(|block| Ok(Bytes::copy_from_slice(block)))
        .collect();
    let pieces = decompressed(stream::iter(blocks).boxed(), "rows/x".to_owned());
    let pieces = futures_util::FutureExt::now_or_never(pieces.try_collect::<Vec<_>>());
    let pieces = pieces.expect("nothing to wait for");
    pieces
        .map(|pieces| pieces.concat())
        .map_err(|error| error.to_string())
}

#[test]
fn what_fills_the_last_piece_to_its_end_is_whole() {
    let mut state = 1_u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    })
    .take(3 * PIECE)
    .collect();
    for content in [noise, vec![0; 3 * PIECE]] {
        for length in (0..=3).flat_map(|pieces| {
            let whole = pieces * PIECE;
            [whole.saturating_sub(1), whole, (whole + 1).min(3 * PIECE)]
        }) {
            let content = &content[..length];
            let packed = zstd::encode_all(content, 1).expect("a frame");
            for block in [1 << 30, 4096, packed.len() - 1, 1 + packed.len() / 2] {
                let made = plain(&packed, block).expect("a whole frame");
                assert!(made == content, "{length} {block}");
            }
            // Two frames are one content, and a part of one is none.
            let twice = plain(&[&packed[..], &packed].concat(), 1 << 30).expect("two frames");
            assert!(twice == [content, content].concat(), "{length}");
            let cut = plain(&packed[..packed.len() - 1], 1 << 30);
            assert!(cut.is_err(), "{length}");
        }
    }
}
