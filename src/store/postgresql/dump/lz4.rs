//! lz4's frames, as `pg_dump --compress=lz4` writes them around rows: blocks that may refer to the last 64 KiB before them
//! (`lz4_Frame_format.md` and `lz4_Block_format.md` in lz4's source). Pure.

use bytes::BytesMut;

/// What every frame begins with.
const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];

/// So far back may be referred to.
const REACH: usize = 64 * 1024;

/// The largest block that a frame may have.
const LARGEST: usize = 4 * 1024 * 1024;

const WRONG: &str = "its lz4 cannot be read";

/// Takes it off.
#[derive(Default)]
pub(super) struct Lz4 {
    /// What came and is not looked at yet: less than a block.
    rest: Vec<u8>,
    /// The last that came out.
    window: Vec<u8>,
    state: State,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    Block(Flags),
    Over,
}

/// What a frame's head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Flags {
    blocks_have_sums: bool,
    content_has_sum: bool,
}

impl Lz4 {
    pub(super) fn is_whole(&self) -> bool {
        self.rest.is_empty() && matches!(self.state, State::Head | State::Over)
    }

    pub(super) fn feed(&mut self, packed: &[u8], out: &mut BytesMut) -> Result<(), &'static str> {
        self.rest.extend_from_slice(packed);
        let rest = std::mem::take(&mut self.rest);
        let mut at = 0;
        while at < rest.len() {
            let Some(taken) = self.step(&rest[at..], out)? else {
                break;
            };
            at += taken;
        }
        self.rest = rest[at..].to_vec();
        Ok(())
    }

    /// Takes a head, a block or an end; how long it is. `None`: it is not there yet.
    fn step(&mut self, bytes: &[u8], out: &mut BytesMut) -> Result<Option<usize>, &'static str> {
        match self.state {
            State::Over => Err("bytes follow compressed rows"),
            State::Head => {
                let Some(head) = bytes.get(..7) else {
                    return Ok(None);
                };
                let flags = head[4];
                if head[..4] != MAGIC || flags >> 6 != 1 || flags & 1 == 1 {
                    return Err(WRONG);
                }
                let length = if flags & 0b1000 == 0 { 7 } else { 15 };
                if bytes.len() < length {
                    return Ok(None);
                }
                self.state = State::Block(Flags {
                    blocks_have_sums: flags & 0b1_0000 != 0,
                    content_has_sum: flags & 0b100 != 0,
                });
                Ok(Some(length))
            }
            State::Block(flags) => self.block(flags, bytes, out),
        }
    }

    fn block(
        &mut self,
        flags: Flags,
        bytes: &[u8],
        out: &mut BytesMut,
    ) -> Result<Option<usize>, &'static str> {
        let sum = |has: bool| if has { 4 } else { 0 };
        let Some(size) = bytes.first_chunk::<4>() else {
            return Ok(None);
        };
        let size = u32::from_le_bytes(*size);
        let (is_plain, length) = (size >> 31 == 1, (size & 0x7fff_ffff) as usize);
        if length > LARGEST {
            return Err(WRONG);
        }
        if size == 0 {
            let whole = 4 + sum(flags.content_has_sum);
            if bytes.len() < whole {
                return Ok(None);
            }
            self.state = State::Over;
            return Ok(Some(whole));
        }
        let whole = 4 + length + sum(flags.blocks_have_sums);
        if bytes.len() < whole {
            return Ok(None);
        }
        let block = &bytes[4..4 + length];
        let from = self.window.len();
        if is_plain {
            self.window.extend_from_slice(block);
        } else {
            unpack(block, &mut self.window, from + LARGEST)?;
        }
        out.extend_from_slice(&self.window[from..]);
        let old = self.window.len().saturating_sub(REACH);
        self.window.drain(..old);
        Ok(Some(whole))
    }
}

/// Puts a block's bytes at the end of those that it refers to, which have at most `most` then.
fn unpack(block: &[u8], window: &mut Vec<u8>, most: usize) -> Result<(), &'static str> {
    let mut at = 0;
    let mut take = |count: usize| {
        let taken = block.get(at..at + count).ok_or(WRONG)?;
        at += count;
        Ok::<_, &'static str>((taken, at == block.len()))
    };
    loop {
        let token = usize::from(take(1)?.0[0]);
        let literals = long(token >> 4, || Ok(take(1)?.0[0]))?;
        let (plain, is_last) = take(literals)?;
        if window.len() + literals > most {
            return Err(WRONG);
        }
        window.extend_from_slice(plain);
        if is_last {
            return Ok(());
        }
        let back = take(2)?.0;
        let back = usize::from(u16::from_le_bytes([back[0], back[1]]));
        let length = 4 + long(token & 15, || Ok(take(1)?.0[0]))?;
        let Some(from) = window.len().checked_sub(back).filter(|_| back > 0) else {
            return Err(WRONG);
        };
        if window.len() + length > most {
            return Err(WRONG);
        }
        // It may refer to what it makes itself.
        for place in from..from + length {
            window.push(window[place]);
        }
    }
}

/// A length that goes on in the next bytes where it is 15.
fn long(
    start: usize,
    mut next: impl FnMut() -> Result<u8, &'static str>,
) -> Result<usize, &'static str> {
    let mut length = start;
    if start == 15 {
        loop {
            let more = next()?;
            length += usize::from(more);
            if more != u8::MAX {
                break;
            }
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `lz4 -9 -B4 -BD --no-frame-crc` makes of 4000 lines.
    const REAL: &str = "04224d184040c097010000ff143020706c616e746564206c696e6573206f6620776f7264732c20302074696d65730a312200\
        06133122001f32220006133222001f3366000e1f3466000e1f3566000e1f3666000e1f3066000e1f3166000e1f3266000e1f\
        3366000e1f3466000e1f3566000e1f3666000e1f3066000e1f3166000e1f3266000e1f3366000e1f3466000e1f3566000e1f\
        3666000e0fca02ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\
        ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\
        ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\
        ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\
        ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\
        ffffffffffffffffffffff1c506573206f660a0100000fca02ffffffffffffffffffffffffffffffffffffffffffffffffff\
        ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\
        ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\
        ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\
        ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\
        ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe85065730a35201d0000000fca02ffffffffff\
        ffffffffffffffffffffffffffff3b50696d65730a00000000";

    /// A frame with one block of literals, one that refers back, and one that is not packed.
    fn frame() -> (Vec<u8>, Vec<u8>) {
        let mut frame = MAGIC.to_vec();
        frame.extend([0x40, 0x40, 0xc0]);
        let mut block = |size: u32, bytes: &[u8]| {
            frame.extend(size.to_le_bytes());
            frame.extend(bytes);
        };
        block(6, b"\x50hello");
        // Nine from five back, then two more letters.
        block(6, b"\x05\x05\x00\x20!\n");
        block(3 | 1 << 31, b"raw");
        block(0, b"");
        (frame, b"hellohellohell!\nraw".to_vec())
    }

    fn read(frame: &[u8], cut: usize) -> Result<Vec<u8>, &'static str> {
        let mut lz4 = Lz4::default();
        let mut out = BytesMut::new();
        for piece in frame.chunks(cut) {
            lz4.feed(piece, &mut out)?;
        }
        if lz4.is_whole() {
            Ok(out.to_vec())
        } else {
            Err("cut")
        }
    }

    #[test]
    fn a_frame_is_read_however_it_is_cut_and_a_part_of_it_is_none() {
        let (frame, plain) = frame();
        for cut in [1, 2, 5, 1000] {
            assert_eq!(read(&frame, cut).unwrap(), plain);
        }
        for end in 1..frame.len() {
            assert!(read(&frame[..end], 3).is_err(), "{end}");
        }
        assert!(read(&[&frame[..], b"x"].concat(), 1000).is_err());
    }

    #[test]
    fn blocks_of_the_real_tool_refer_to_those_before_them() {
        let hex = REAL.as_bytes().chunks(2);
        let digits = hex.map(|pair| std::str::from_utf8(pair).expect("ASCII"));
        let frame: Vec<u8> = digits
            .map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal"))
            .collect();
        let lines =
            (0..4000).map(|i| format!("{} planted lines of words, {} times\n", i % 7, i % 3));
        let plain: String = lines.collect();
        for cut in [7, 1000, usize::MAX] {
            assert!(read(&frame, cut).unwrap() == plain.as_bytes());
        }
    }

    #[test]
    fn what_reaches_too_far_or_is_too_long_is_refused() {
        let head = [&MAGIC[..], &[0x40, 0x40, 0xc0]].concat();
        for block in [
            &b"\x05\x05\x00\x20!\n"[..],
            b"\x10a\x00\x00\x00",
            b"\xf0\xff\xff",
        ] {
            let size = (block.len() as u32).to_le_bytes();
            let bad = [&head[..], &size, block, &[0; 4]].concat();
            assert!(read(&bad, 1000).is_err());
        }
        let long = [&head[..], &(LARGEST as u32 + 1).to_le_bytes()].concat();
        assert!(read(&long, 1000).is_err());
    }
}
