//! Rows of a dump out of their compression, a mouthful at a time. Pure.

use bytes::BytesMut;
use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use super::head::Head;
use super::lz4::Lz4;

/// The largest window of zstd's frames, as a power of two: `pg_dump --compress=zstd:19` needs 8 MiB.
const WINDOW: u32 = 23;

/// So much is taken at once: it may hold a thousand times as much.
pub(super) const MOUTHFUL: usize = 8 * 1024;

/// How a dump's rows are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Lz4,
    Zstd,
}

impl Compression {
    /// As a head says it: since 1.15 a method, before that a level of gzip's. `None`: it is not known.
    pub(super) fn of(head: &Head) -> Option<Self> {
        match (head.minor, head.compression) {
            (15.., 0) | (..15, 0) => Some(Self::None),
            (15.., 1) | (..15, _) => Some(Self::Gzip),
            (15.., 2) => Some(Self::Lz4),
            (15.., 3) => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// Takes the compression off a table's rows, or off a large object.
pub(super) enum Unpack {
    None,
    Gzip {
        inflate: Decompress,
        is_over: bool,
    },
    Lz4(Lz4),
    Zstd {
        decoder: Decoder<'static>,
        is_over: bool,
    },
}

impl Unpack {
    pub(super) fn new(compression: Compression) -> Result<Self, &'static str> {
        Ok(match compression {
            Compression::None => Self::None,
            Compression::Gzip => Self::Gzip {
                inflate: Decompress::new(true),
                is_over: false,
            },
            Compression::Lz4 => Self::Lz4(Lz4::default()),
            Compression::Zstd => {
                let failed = |_| "zstd could not be set up";
                let mut decoder = Decoder::new().map_err(failed)?;
                let window = DParameter::WindowLogMax(WINDOW);
                decoder.set_parameter(window).map_err(failed)?;
                Self::Zstd {
                    decoder,
                    // Nothing at all is whole, too.
                    is_over: true,
                }
            }
        })
    }

    /// Puts what is in these bytes at the end of `out`. `Err`: why they cannot be read.
    pub(super) fn feed(&mut self, packed: &[u8], out: &mut BytesMut) -> Result<(), &'static str> {
        match self {
            Self::None => {
                out.extend_from_slice(packed);
                Ok(())
            }
            Self::Gzip { inflate, is_over } => inflated(inflate, is_over, packed, out),
            Self::Lz4(lz4) => lz4.feed(packed, out),
            Self::Zstd { decoder, is_over } => {
                let mut input = InBuffer::around(packed);
                let mut room = [0; 64 * 1024];
                loop {
                    let mut output = OutBuffer::around(&mut room[..]);
                    let hint = decoder
                        .run(&mut input, &mut output)
                        .map_err(|_| "its zstd cannot be read")?;
                    let (made, is_full) = (output.pos(), output.pos() == output.capacity());
                    *is_over = hint == 0;
                    out.extend_from_slice(&room[..made]);
                    if input.pos() == packed.len() && !is_full {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// All has come: whether it was whole.
    pub(super) fn end(&self) -> Result<(), &'static str> {
        let is_whole = match self {
            Self::None => true,
            Self::Gzip { inflate, is_over } => *is_over || inflate.total_in() == 0,
            Self::Lz4(lz4) => lz4.is_whole(),
            Self::Zstd { is_over, .. } => *is_over,
        };
        if is_whole {
            Ok(())
        } else {
            Err("compressed rows break off")
        }
    }
}

fn inflated(
    inflate: &mut Decompress,
    is_over: &mut bool,
    mut packed: &[u8],
    out: &mut BytesMut,
) -> Result<(), &'static str> {
    const WRONG: &str = "its gzip cannot be read";
    let mut room = [0; 64 * 1024];
    while !packed.is_empty() {
        if *is_over {
            return Err("bytes follow compressed rows");
        }
        loop {
            let (taken, made) = (inflate.total_in(), inflate.total_out());
            let status = inflate
                .decompress(packed, &mut room, FlushDecompress::None)
                .map_err(|_| WRONG)?;
            let taken = (inflate.total_in() - taken) as usize;
            let made = (inflate.total_out() - made) as usize;
            packed = &packed[taken..];
            out.extend_from_slice(&room[..made]);
            *is_over = status == Status::StreamEnd;
            if *is_over || (packed.is_empty() && made < room.len()) {
                break;
            }
            if taken == 0 && made == 0 {
                return Err(WRONG);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression as Level;
    use flate2::write::ZlibEncoder;

    use super::*;

    fn unpacked(
        compression: Compression,
        packed: &[u8],
        cut: usize,
    ) -> Result<Vec<u8>, &'static str> {
        let mut unpack = Unpack::new(compression)?;
        let mut out = BytesMut::new();
        for piece in packed.chunks(cut) {
            unpack.feed(piece, &mut out)?;
        }
        unpack.end()?;
        Ok(out.to_vec())
    }

    #[test]
    fn what_was_packed_comes_out_however_it_is_cut_and_a_part_of_it_is_an_error() {
        let mut plain: Vec<u8> = (0..60_000_u32)
            .flat_map(|n| (n / 3).to_le_bytes())
            .collect();
        plain.extend(vec![b'x'; 500_000]);
        let mut zlib = ZlibEncoder::new(Vec::new(), Level::new(1));
        zlib.write_all(&plain).unwrap();
        let zlib = zlib.finish().unwrap();
        let zstd = zstd::bulk::compress(&plain, 3).unwrap();
        for (compression, packed) in [
            (Compression::None, &plain),
            (Compression::Gzip, &zlib),
            (Compression::Zstd, &zstd),
        ] {
            for cut in [1, 7, 4096, MOUTHFUL, usize::MAX] {
                assert!(
                    unpacked(compression, packed, cut).unwrap() == plain,
                    "{compression:?}"
                );
            }
            if compression == Compression::None {
                continue;
            }
            for end in [1, 100, packed.len() / 2, packed.len() - 1] {
                assert!(
                    unpacked(compression, &packed[..end], 99).is_err(),
                    "{compression:?} {end}"
                );
            }
            let mut changed = packed.clone();
            changed[packed.len() / 2] ^= 0x55;
            let read = unpacked(compression, &changed, 4096);
            // zstd's frames need no sum of their content.
            assert!(read.is_err() || compression == Compression::Zstd && read.unwrap() != plain);
        }
        let twice = [&zlib[..], b"x"].concat();
        assert!(unpacked(Compression::Gzip, &twice, 4096).is_err());
    }
}
