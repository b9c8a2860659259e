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

/// So much comes out at a time.
const ROOM: usize = 64 * 1024;

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
            (_, 0) => Some(Self::None),
            (15.., 1) | (..15, _) => Some(Self::Gzip),
            (15.., 2) => Some(Self::Lz4),
            (15.., 3) => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// Takes the compression off a table's rows, or off a large object.
pub(super) struct Unpack {
    way: Way,
    /// Where it comes out.
    room: Box<[u8]>,
}

enum Way {
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
        let way = match compression {
            Compression::None => Way::None,
            Compression::Gzip => Way::Gzip {
                inflate: Decompress::new(true),
                is_over: false,
            },
            Compression::Lz4 => Way::Lz4(Lz4::default()),
            Compression::Zstd => {
                let failed = |_| "zstd could not be set up";
                let mut decoder = Decoder::new().map_err(failed)?;
                let window = DParameter::WindowLogMax(WINDOW);
                decoder.set_parameter(window).map_err(failed)?;
                Way::Zstd {
                    decoder,
                    // Nothing at all is whole, too.
                    is_over: true,
                }
            }
        };
        let is_plain = matches!(way, Way::None | Way::Lz4(_));
        let room = vec![0; if is_plain { 0 } else { ROOM }].into_boxed_slice();
        Ok(Self { way, room })
    }

    /// Puts what is in these bytes at the end of `out`. `Err`: why they cannot be read.
    pub(super) fn feed(&mut self, packed: &[u8], out: &mut BytesMut) -> Result<(), &'static str> {
        let room = &mut self.room;
        match &mut self.way {
            Way::None => {
                out.extend_from_slice(packed);
                Ok(())
            }
            Way::Gzip { inflate, is_over } => inflated(inflate, is_over, packed, room, out),
            Way::Lz4(lz4) => lz4.feed(packed, out),
            Way::Zstd { decoder, is_over } => {
                let mut input = InBuffer::around(packed);
                loop {
                    let mut output = OutBuffer::around(&mut **room);
                    let hint = decoder
                        .run(&mut input, &mut output)
                        .map_err(|_| "its zstd cannot be read")?;
                    let (made, is_full) = (output.pos(), output.pos() == output.capacity());
                    *is_over = hint == 0;
                    out.extend_from_slice(&room[..made]);
                    // Of a frame that has ended nothing is held back; asked once more, the decoder would begin another one.
                    if input.pos() == packed.len() && (!is_full || *is_over) {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// All has come: whether it was whole.
    pub(super) fn end(&self) -> Result<(), &'static str> {
        let is_whole = match &self.way {
            Way::None => true,
            Way::Gzip { inflate, is_over } => *is_over || inflate.total_in() == 0,
            Way::Lz4(lz4) => lz4.is_whole(),
            Way::Zstd { is_over, .. } => *is_over,
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
    room: &mut [u8],
    out: &mut BytesMut,
) -> Result<(), &'static str> {
    const WRONG: &str = "its gzip cannot be read";
    while !packed.is_empty() {
        if *is_over {
            return Err("bytes follow compressed rows");
        }
        loop {
            let (taken, made) = (inflate.total_in(), inflate.total_out());
            let status = inflate
                .decompress(packed, room, FlushDecompress::None)
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

    #[test]
    fn a_room_that_is_filled_to_its_end_is_no_end_of_the_rows() {
        let plain: Vec<u8> = (0..2 * ROOM as u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        for length in [ROOM, 2 * ROOM] {
            let plain = &plain[..length];
            let zstd = zstd::bulk::compress(plain, 3).unwrap();
            let whole = unpacked(Compression::Zstd, &zstd, usize::MAX);
            assert!(whole.unwrap() == plain, "{length}");
            assert!(unpacked(Compression::Zstd, &zstd[..zstd.len() - 1], usize::MAX).is_err());
            // Bytes as they are: what came so far may fill the room and end there.
            let mut zlib = ZlibEncoder::new(Vec::new(), Level::none());
            zlib.write_all(plain).unwrap();
            let zlib = zlib.finish().unwrap();
            for cut in ROOM..(ROOM + 64).min(zlib.len()) {
                assert!(unpacked(Compression::Gzip, &zlib, cut).unwrap() == plain);
                assert!(unpacked(Compression::Gzip, &zlib[..cut], cut).is_err());
            }
        }
    }
}
