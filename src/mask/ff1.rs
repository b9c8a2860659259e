//! FF1 (NIST SP 800-38G): what makes another number of the same length out of a number, and back with the key.
//!
//! The crate `fpe` does the same for numbers of any length and needs about five times the time. Ours is for numbers whose
//! halves fit into 64 bits, which are all that masks meet; a test holds it to NIST's own vectors and to `fpe`.

use aes::cipher::{BlockEncrypt as _, KeyInit as _};
use aes::{Aes128, Block};

/// How many decimal digits there are at least: among fewer than a million numbers none can be hidden (SP 800-38G, revision 1).
pub(super) const FEWEST_DIGITS: usize = 6;

/// And at most: halves have up to nineteen.
pub(super) const MOST_DIGITS: usize = 38;

/// How many numbers are encrypted at a time: as many blocks as processors have in their instructions for AES at once, twice.
pub(super) const LANES: usize = 16;

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

/// A number in two halves: of `n` numerals the first has `n / 2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Halves {
    pub(super) a: u64,
    pub(super) b: u64,
}

/// What is the same for all numbers of one length under one tweak.
#[derive(Clone)]
pub(super) struct Form {
    /// The chain after P and the tweak's whole blocks, and the last block without round and number: what they are mixed to.
    start: u128,
    /// Where the round is in the last block, behind which the number is.
    round: u32,
    limits: [Limit; 2],
    /// Bits of an encrypted block that are not used.
    unused: u32,
}

/// The numbers that a half can be.
#[derive(Clone, Copy)]
struct Limit {
    /// How many.
    count: u64,
    /// 2^64 divided by that; 0 in base two.
    inverse: u64,
}

/// A number, and its length and tweak.
pub(super) struct Lane<'a> {
    pub(super) form: &'a Form,
    pub(super) number: Halves,
}

impl Ff1 {
    pub(super) fn new(key: &[u8; 32], radix: Radix) -> Self {
        let aes = Aes128::new_from_slice(&key[..16]).expect("sixteen bytes");
        Self { aes, radix }
    }

    /// Of a number of its form's length.
    pub(super) fn encrypt(&self, form: &Form, number: Halves) -> Halves {
        let mut number = number;
        for round in 0..10 {
            let mut block = form.block(round, number.b);
            self.aes.encrypt_block(&mut block);
            number = form.next(round, number, &block);
        }
        number
    }

    /// Of many numbers, which takes a processor a fraction of the time.
    pub(super) fn encrypt_all(&self, lanes: &mut [Lane<'_>]) {
        let mut blocks = [Block::default(); LANES];
        for lanes in lanes.chunks_mut(LANES) {
            // A block more takes no time, and a few blocks one by one do.
            let blocks = &mut blocks[..lanes.len().next_multiple_of(LANES / 2)];
            for round in 0..10 {
                for (block, lane) in blocks.iter_mut().zip(&*lanes) {
                    *block = lane.form.block(round, lane.number.b);
                }
                self.aes.encrypt_blocks(blocks);
                for (block, lane) in blocks.iter().zip(&mut *lanes) {
                    lane.number = lane.form.next(round, lane.number, block);
                }
            }
        }
    }

    /// The way back, which the key opens.
    #[cfg(test)]
    pub(super) fn decrypt(&self, form: &Form, number: Halves) -> Halves {
        let Halves { mut a, mut b } = number;
        for round in (0..10).rev() {
            let mut block = form.block(round, a);
            self.aes.encrypt_block(&mut block);
            let limit = form.limits[usize::from(round % 2)];
            let y = limit.remainder(u128::from_be_bytes(block.into()) >> form.unused);
            let back = u128::from(b) + u128::from(limit.count) - u128::from(y);
            (b, a) = (a, (back % u128::from(limit.count)) as u64);
        }
        Halves { a, b }
    }

    /// For numbers of `n` numerals.
    #[allow(clippy::many_single_char_names)] // the standard's
    pub(super) fn form(&self, tweak: &[u8], n: u32) -> Form {
        let u = n / 2;
        let v = n - u;
        let (radix, bits) = match self.radix {
            Radix::Two => (2_u32, v),
            // log2(10), a little too large: right for all lengths up to nineteen.
            Radix::Ten => (10, (v * 3322).div_ceil(1000)),
        };
        let b = (bits as usize).div_ceil(8);
        let mut chain = [1, 2, 1, 0, 0, 0, 10, u as u8, 0, 0, 0, 0, 0, 0, 0, 0];
        chain[3..6].copy_from_slice(&radix.to_be_bytes()[1..]);
        chain[8..12].copy_from_slice(&n.to_be_bytes());
        chain[12..16].copy_from_slice(&(tweak.len() as u32).to_be_bytes());
        self.aes.encrypt_block((&mut chain).into());
        // The tweak, zeros, the round and the number fill whole blocks: the last has the round and the number.
        let zeros = (16 - (tweak.len() + b + 1) % 16) % 16;
        let total = tweak.len() + zeros + b + 1;
        let mix = |chain: &mut [u8; 16], from: usize| {
            let byte = |at: usize| tweak.get(from + at).copied().unwrap_or(0);
            (0..16).for_each(|at| chain[at] ^= byte(at));
        };
        for from in (0..total - 16).step_by(16) {
            mix(&mut chain, from);
            self.aes.encrypt_block((&mut chain).into());
        }
        mix(&mut chain, total - 16);
        // d of the standard is at most twelve for halves of 64 bits: one block is enough.
        let d = 4 * b.div_ceil(4) + 4;
        Form {
            start: u128::from_be_bytes(chain),
            round: 8 * b as u32,
            limits: [u, v].map(|numerals| Limit::new(self.radix, numerals)),
            unused: 8 * (16 - d) as u32,
        }
    }
}

impl Form {
    /// What a round encrypts.
    fn block(&self, round: u8, half: u64) -> Block {
        let block = self.start ^ (u128::from(round) << self.round) ^ u128::from(half);
        block.to_be_bytes().into()
    }

    /// The number after a round, by what has been encrypted.
    fn next(&self, round: u8, Halves { a, b }: Halves, block: &Block) -> Halves {
        let limit = self.limits[usize::from(round % 2)];
        let y = limit.remainder(u128::from_be_bytes((*block).into()) >> self.unused);
        // Both are below the limit, which has up to 64 bits.
        let (sum, is_over) = a.overflowing_add(y);
        let sum = if is_over || sum >= limit.count {
            sum.wrapping_sub(limit.count)
        } else {
            sum
        };
        Halves { a: b, b: sum }
    }
}

impl Limit {
    fn new(radix: Radix, numerals: u32) -> Self {
        match radix {
            Radix::Two => Self {
                count: 1 << numerals,
                inverse: 0,
            },
            Radix::Ten => {
                let count = 10_u64.pow(numerals);
                let inverse = ((1_u128 << 64) / u128::from(count)) as u64;
                Self { count, inverse }
            }
        }
    }

    /// The remainder of a number of up to 96 bits.
    fn remainder(self, number: u128) -> u64 {
        if self.inverse == 0 {
            return number as u64 & (self.count - 1);
        }
        match u64::try_from(number) {
            Ok(number) => self.short_remainder(number),
            Err(_) => (number % u128::from(self.count)) as u64,
        }
    }

    /// By a multiplication: the quotient is one too small at most (Barrett).
    fn short_remainder(self, number: u64) -> u64 {
        let quotient = ((u128::from(number) * u128::from(self.inverse)) >> 64) as u64;
        let rest = number - quotient * self.count;
        if rest >= self.count {
            rest - self.count
        } else {
            rest
        }
    }
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
        }
    }

    #[test]
    fn nist_s_vectors_hold() {
        let tweak = [0x39, 0x38, 0x37, 0x36, 0x35, 0x34, 0x33, 0x32, 0x31, 0x30];
        for (tweak, plain, cipher) in [
            (&[][..], "0123456789", "2433477484"),
            (&tweak[..], "0123456789", "6124200773"),
        ] {
            let ff1 = ours(Radix::Ten);
            let form = ff1.form(tweak, plain.len() as u32);
            let made = ff1.encrypt(&form, halves(plain));
            assert_eq!(made, halves(cipher));
            assert_eq!(ff1.decrypt(&form, made), halves(plain));
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
            let ff1 = ours(Radix::Ten);
            let form = ff1.form(&tweak, digits.len() as u32);
            let mine = ff1.encrypt(&form, x);
            prop_assert_eq!(mine, halves(&made));
            prop_assert_eq!(ff1.decrypt(&form, mine), x);
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
                Halves { a: value(a), b: value(b) }
            };
            let ff1 = ours(Radix::Two);
            let form = ff1.form(&[], 8 * bytes.len() as u32);
            prop_assert_eq!(ff1.encrypt(&form, number(&bytes)), number(&made));
        }

        #[test]
        fn many_numbers_at_a_time_become_what_each_becomes(all in prop::collection::vec("[0-9]{6,38}", 0..50), tweak: u8) {
            let ff1 = ours(Radix::Ten);
            let forms: Vec<Form> = all.iter().map(|digits| ff1.form(&[tweak], digits.len() as u32)).collect();
            let one_by_one: Vec<Halves> = all.iter().zip(&forms).map(|(digits, form)| ff1.encrypt(form, halves(digits))).collect();
            let mut lanes: Vec<Lane<'_>> = all.iter().zip(&forms).map(|(digits, form)| Lane { form, number: halves(digits) }).collect();
            ff1.encrypt_all(&mut lanes);
            let together: Vec<Halves> = lanes.iter().map(|lane| lane.number).collect();
            prop_assert_eq!(together, one_by_one);
        }

        #[test]
        fn remainders_are_those_of_a_division(number: u64, numerals in 1_u32..=19) {
            let limit = Limit::new(Radix::Ten, numerals);
            prop_assert_eq!(limit.short_remainder(number), number % limit.count);
            prop_assert_eq!(limit.short_remainder(u64::MAX - number % 3), (u64::MAX - number % 3) % limit.count);
        }
    }
}
