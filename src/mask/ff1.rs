//! FF1 (NIST SP 800-38G): what makes another number of the same length out of a number, and back with the key.
//!
//! The crate `fpe` does the same for numbers of any length and needs about five times the time. Ours is for numbers whose
//! halves fit into 64 bits, which are all that masks meet; a test holds it to NIST's own vectors and to `fpe`.

use aes::Aes128;
use aes::cipher::{BlockEncrypt as _, KeyInit as _};

/// How many decimal digits there are at least: among fewer than a million numbers none can be hidden (SP 800-38G, revision 1).
pub(super) const FEWEST_DIGITS: usize = 6;

/// And at most: halves have up to nineteen.
pub(super) const MOST_DIGITS: usize = 38;

/// Numbers are numerals in this base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Radix {
    Two,
    Ten,
}

/// FF1 with AES-128 under one key, for one base.
#[derive(Clone)]
pub(super) struct Ff1 {
    aes: Aes128,
    radix: Radix,
}

/// A number of `n` numerals in two halves: the first has `n / 2` of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Halves {
    pub(super) a: u64,
    pub(super) b: u64,
    pub(super) n: u32,
}

/// What one round needs and does not change from one to the next.
struct Rounds<'a> {
    ff1: &'a Ff1,
    /// The chain after P and the tweak's whole blocks.
    chain: [u8; 16],
    /// The last block without the number.
    last: [u8; 16],
    /// How many bytes the number has in it.
    b: usize,
    /// Limits of the halves.
    limits: [u64; 2],
    /// Bytes of R that are used.
    d: usize,
}

impl Ff1 {
    pub(super) fn new(key: &[u8; 32], radix: Radix) -> Self {
        let aes = Aes128::new_from_slice(&key[..16]).expect("sixteen bytes");
        Self { aes, radix }
    }

    #[allow(clippy::many_single_char_names)] // the standard's
    pub(super) fn encrypt(&self, tweak: &[u8], x: Halves) -> Halves {
        let rounds = self.rounds(tweak, x.n);
        let (mut a, mut b) = (x.a, x.b);
        for i in 0..10 {
            let limit = rounds.limits[usize::from(i % 2)];
            let y = rounds.of(i, b, limit);
            // Both are below the limit, which has up to 64 bits.
            let (sum, is_over) = a.overflowing_add(y);
            let c = if is_over || sum >= limit {
                sum.wrapping_sub(limit)
            } else {
                sum
            };
            (a, b) = (b, c);
        }
        Halves { a, b, n: x.n }
    }

    /// The way back, which the key opens.
    #[cfg(test)]
    #[allow(clippy::many_single_char_names)]
    pub(super) fn decrypt(&self, tweak: &[u8], x: Halves) -> Halves {
        let rounds = self.rounds(tweak, x.n);
        let (mut a, mut b) = (x.a, x.b);
        for i in (0..10).rev() {
            let limit = rounds.limits[usize::from(i % 2)];
            let y = rounds.of(i, a, limit);
            let c = (u128::from(b) + u128::from(limit) - u128::from(y)) % u128::from(limit);
            (b, a) = (a, c as u64);
        }
        Halves { a, b, n: x.n }
    }

    fn rounds(&self, tweak: &[u8], n: u32) -> Rounds<'_> {
        let u = n / 2;
        let v = n - u;
        let (radix, bits) = match self.radix {
            Radix::Two => (2_u32, v),
            // log2(10), a little too large: right for all lengths up to nineteen.
            Radix::Ten => (10, (v * 3322).div_ceil(1000)),
        };
        let limits = [u, v].map(|digits| match self.radix {
            Radix::Two => 1 << digits,
            Radix::Ten => 10_u64.pow(digits),
        });
        let b = (bits as usize).div_ceil(8);
        let mut chain = [1, 2, 1, 0, 0, 0, 10, u as u8, 0, 0, 0, 0, 0, 0, 0, 0];
        chain[3..6].copy_from_slice(&radix.to_be_bytes()[1..]);
        chain[8..12].copy_from_slice(&n.to_be_bytes());
        chain[12..16].copy_from_slice(&(tweak.len() as u32).to_be_bytes());
        self.block(&mut chain);
        // The tweak, zeros, the round and the number fill whole blocks: the last has the round and the number.
        let zeros = (16 - (tweak.len() + b + 1) % 16) % 16;
        let total = tweak.len() + zeros + b + 1;
        let byte = |at: usize| tweak.get(at).copied().unwrap_or(0);
        for at in (0..total - 16).step_by(16) {
            (0..16).for_each(|i| chain[i] ^= byte(at + i));
            self.block(&mut chain);
        }
        let mut last = [0; 16];
        (0..16).for_each(|i| last[i] = byte(total - 16 + i));
        Rounds {
            ff1: self,
            chain,
            last,
            b,
            limits,
            d: 4 * b.div_ceil(4) + 4,
        }
    }

    fn block(&self, block: &mut [u8; 16]) {
        self.aes.encrypt_block(block.into());
    }
}

impl Rounds<'_> {
    /// What a round adds.
    fn of(&self, round: u8, number: u64, limit: u64) -> u64 {
        let mut block = self.last;
        block[15 - self.b] = round;
        block[16 - self.b..].copy_from_slice(&number.to_be_bytes()[8 - self.b..]);
        let mut r = u128::from_be_bytes(block) ^ u128::from_be_bytes(self.chain);
        let mut bytes = r.to_be_bytes();
        self.ff1.block(&mut bytes);
        // d is at most twelve for halves of 64 bits: one block is enough.
        r = u128::from_be_bytes(bytes) >> (8 * (16 - self.d));
        match self.ff1.radix {
            Radix::Two => r as u64 & (limit - 1),
            Radix::Ten => remainder(r, limit),
        }
    }
}

/// The remainder of a number of up to 96 bits, in two steps that processors have instructions for.
fn remainder(number: u128, limit: u64) -> u64 {
    if let Ok(number) = u64::try_from(number) {
        return number % limit;
    }
    if let (Ok(high), true) = (u64::try_from(number >> 32), limit < 1 << 32) {
        let low = number as u32;
        return (((high % limit) << 32) | u64::from(low)) % limit;
    }
    (number % u128::from(limit)) as u64
}

#[cfg(test)]
mod tests {
    use fpe::ff1::{BinaryNumeralString, FF1, FlexibleNumeralString};
    use proptest::prelude::*;

    use super::*;

    /// From NIST's "FF1 samples": AES-128, base 10.
    const KEY: [u8; 16] = [
        0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6, 0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f,
        0x3c,
    ];

    fn ours(radix: Radix) -> Ff1 {
        let mut key = [0; 32];
        key[..16].copy_from_slice(&KEY);
        Ff1::new(&key, radix)
    }

    fn halves(digits: &str) -> Halves {
        let (a, b) = digits.split_at(digits.len() / 2);
        Halves {
            a: a.parse().unwrap(),
            b: b.parse().unwrap(),
            n: digits.len() as u32,
        }
    }

    #[test]
    fn nist_s_vectors_hold() {
        let tweak = [0x39, 0x38, 0x37, 0x36, 0x35, 0x34, 0x33, 0x32, 0x31, 0x30];
        for (tweak, plain, cipher) in [
            (&[][..], "0123456789", "2433477484"),
            (&tweak[..], "0123456789", "6124200773"),
        ] {
            let made = ours(Radix::Ten).encrypt(tweak, halves(plain));
            assert_eq!(made, halves(cipher));
            assert_eq!(ours(Radix::Ten).decrypt(tweak, made), halves(plain));
        }
    }

    proptest! {
        #[test]
        fn decimal_digits_are_as_fpe_makes_them(digits in "[0-9]{6,38}", tweak in prop::collection::vec(any::<u8>(), 0..40)) {
            let theirs = FF1::<Aes128>::new(&KEY, 10).unwrap();
            let plain: Vec<u16> = digits.bytes().map(|digit| u16::from(digit - b'0')).collect();
            let made = theirs.encrypt(&tweak, &FlexibleNumeralString::from(plain)).unwrap();
            let made: String = Vec::from(made).iter().map(ToString::to_string).collect();
            let x = halves(&digits);
            let mine = ours(Radix::Ten).encrypt(&tweak, x);
            prop_assert_eq!(mine, halves(&made));
            prop_assert_eq!(ours(Radix::Ten).decrypt(&tweak, mine), x);
        }

        #[test]
        fn bits_are_as_fpe_makes_them(bytes in prop::collection::vec(any::<u8>(), 3..15)) {
            let theirs = FF1::<Aes128>::new(&KEY, 2).unwrap();
            let made = theirs.encrypt(&[], &BinaryNumeralString::from_bytes_le(&bytes)).unwrap().to_bytes_le();
            // Numerals are the bits of each byte, the lowest first.
            let number = |bytes: &[u8]| {
                let bits: Vec<u64> = bytes.iter().flat_map(|byte| (0..8).map(move |bit| u64::from(byte >> bit & 1))).collect();
                let value = |bits: &[u64]| bits.iter().fold(0, |sum, bit| sum << 1 | bit);
                let (a, b) = bits.split_at(bits.len() / 2);
                Halves { a: value(a), b: value(b), n: bits.len() as u32 }
            };
            prop_assert_eq!(ours(Radix::Two).encrypt(&[], number(&bytes)), number(&made));
        }
    }
}
