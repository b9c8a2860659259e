//! Digits for digits: `digits` and `phone`, and what numbers of banks are made with.

use serde::Deserialize;

use super::contract::{About, Mask, Options, Refused, Site};
use crate::error::Result;
use crate::mask::column::{Column, Fit, Type, Uniqueness};
use crate::mask::ff1::{FEWEST_DIGITS, Ff1, Halves, MOST_DIGITS, Radix};
use crate::mask::key::{Key, Prf, Stream};
use crate::mask::row::Given;
use crate::mask::value::{Masked, Value};

/// The options' lines that several kinds share.
pub(super) const STRICT: (&str, &str, &str) = (
    "strict",
    "true, false (default)",
    "a value that is not of this kind fails the run, instead of being masked as well as it can be; then no two become one",
);
pub(super) const ONE_WAY: (&str, &str, &str) = (
    "one_way",
    "true, false (default)",
    "by a function that has no way back, not even with the key; then two values may become one",
);

pub(in crate::mask) const DIGITS: About = About {
    name: "digits",
    what: "Another digit for each digit, another letter for each letter; the rest stays. In columns of whole numbers another \
           number.",
    options: &[
        (
            "keep_first",
            "a number, 0 by default",
            "so many digits at the beginning stay",
        ),
        (
            "keep_last",
            "a number, 0 by default",
            "so many digits at the end stay; of a text that has no more digits than stay, none does",
        ),
        STRICT,
        ONE_WAY,
    ],
    examples: &[
        ("\"digits\"", "4711-0815-99"),
        ("{ kind = \"digits\", keep_last = 2 }", "4711-0815-99"),
    ],
    note: "By FF1, a cipher: six to 38 digits, those that stay not counted, become as many, and no two values become one, as \
           long as they have nothing but digits and signs; `strict` says that they have. In columns of whole numbers, keys and \
           their references among them, numbers below 2^31 become others below 2^31, the larger ones others of their size; no \
           two become one.",
};

pub(in crate::mask) const PHONE: About = About {
    name: "phone",
    what: "Another number in the same notation. After a + the next two digits stay, otherwise leading zeros do.",
    options: &[STRICT, ONE_WAY],
    examples: &[
        ("\"phone\"", "+44 20 7946 0958"),
        ("\"phone\"", "(030) 901820"),
    ],
    note: "By FF1, as `digits`. It may be a number that somebody has.",
};

/// Another row of digits for one of the same length, by FF1 if it is long enough.
pub(super) struct DigitCipher {
    ff1: Option<Ff1>,
    prf: Prf,
}

impl DigitCipher {
    pub(super) fn new(key: &Key, kind: &str, is_one_way: bool) -> Self {
        let ff1 = || Ff1::new(&key.derive(kind, "ff1"), Radix::Ten);
        Self {
            ff1: (!is_one_way).then(ff1),
            prf: key.prf(kind, if is_one_way { "one way" } else { "" }),
        }
    }

    /// Whether so many digits become others of which no two are the same.
    pub(super) fn is_injective_for(&self, digits: usize) -> bool {
        self.ff1.is_some() && (FEWEST_DIGITS..=MOST_DIGITS).contains(&digits)
    }

    /// Digits are ASCII, and are changed in place. The tweak tells uses of one key apart.
    pub(super) fn apply(&self, tweak: &[u8], digits: &mut [u8]) {
        match &self.ff1 {
            Some(ff1) if self.is_injective_for(digits.len()) => {
                let (a, b) = digits.split_at_mut(digits.len() / 2);
                let n = (a.len() + b.len()) as u32;
                let made = ff1.encrypt(
                    tweak,
                    Halves {
                        a: read(a),
                        b: read(b),
                        n,
                    },
                );
                write(made.a, a);
                write(made.b, b);
            }
            _ => {
                let mut stream = self.prf.of(digits).stream();
                for digit in digits {
                    *digit = stream.digit();
                }
            }
        }
    }
}

fn read(digits: &[u8]) -> u64 {
    digits
        .iter()
        .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'))
}

fn write(mut number: u64, digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// A permutation of the whole numbers, in classes that any type of 32 bits or more holds whole or not at all.
struct Numbers {
    below_31: Ff1,
    one_way: Option<Prf>,
}

impl Numbers {
    fn new(key: &Key, is_one_way: bool) -> Self {
        Self {
            below_31: Ff1::new(&key.derive(DIGITS.name, "numbers"), Radix::Two),
            one_way: is_one_way.then(|| key.prf(DIGITS.name, "numbers, one way")),
        }
    }

    fn of(&self, number: i128) -> Option<i128> {
        // Minus one is to the negative numbers what zero is to the others.
        if number < 0 {
            return u64::try_from(-1 - number)
                .ok()
                .map(|number| -1 - i128::from(self.class(1, number)));
        }
        u64::try_from(number)
            .ok()
            .map(|number| i128::from(self.class(0, number)))
    }

    fn class(&self, sign: u8, number: u64) -> u64 {
        const MIDDLE: u64 = 1 << 32;
        match number {
            ..0x8000_0000 => self.permute(&[sign, 31], number, 31),
            0x8000_0000..MIDDLE => {
                self.permute(&[sign, 32], number - 0x8000_0000, 31) + 0x8000_0000
            }
            // Until it is of this class again, which the first try nearly always is.
            MIDDLE..0x8000_0000_0000_0000 => {
                let mut made = number;
                loop {
                    made = self.permute(&[sign, 63], made, 63);
                    if made >= MIDDLE {
                        return made;
                    }
                }
            }
            _ => self.permute(&[sign, 64], number - (1 << 63), 63) + (1 << 63),
        }
    }

    fn permute(&self, tweak: &[u8], number: u64, bits: u32) -> u64 {
        if let Some(prf) = &self.one_way {
            let mut input = [0; 10];
            input[..2].copy_from_slice(tweak);
            input[2..].copy_from_slice(&number.to_be_bytes());
            return prf.of(&input).number(0) >> (64 - bits);
        }
        let v = bits - bits / 2;
        let x = Halves {
            a: number >> v,
            b: number & ((1 << v) - 1),
            n: bits,
        };
        let made = self.below_31.encrypt(tweak, x);
        made.a << v | made.b
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::mask) struct Digits {
    #[serde(default)]
    keep_first: usize,
    #[serde(default)]
    keep_last: usize,
    #[serde(default)]
    strict: bool,
    #[serde(default)]
    one_way: bool,
}

impl Options for Digits {
    fn fit(&self, column: &Column) -> Fit {
        match &column.kind {
            Type::Integer { .. } | Type::Decimal { .. } if self.keep_first + self.keep_last > 0 => {
                Fit::not(
                    "keeps digits of texts, and the column holds numbers",
                    "digits without `keep_first` and `keep_last`, or number_noise, would do",
                )
            }
            Type::Integer { bits, .. } if *bits < 32 => Fit::not(
                format!("needs numbers of 32 bits to hide one among, and the column's have {bits}"),
                "null, fixed, number_noise and bucket fit",
            ),
            Type::Integer { .. } => Fit::Fits,
            Type::Decimal {
                precision,
                scale: 0,
            } if precision.is_none_or(|digits| digits > 19) => Fit::Fits,
            Type::Decimal { .. } => Fit::not(
                "needs whole numbers of twenty digits or more",
                "null, fixed, number_noise and bucket fit",
            ),
            _ => Fit::of_text(column, None),
        }
    }

    fn uniqueness(&self, column: &Column) -> Uniqueness {
        match (&column.kind, self.one_way) {
            (Type::Integer { .. } | Type::Decimal { .. }, true) => {
                Uniqueness::Distinct { bits: 31 }
            }
            (Type::Integer { .. } | Type::Decimal { .. }, false) => Uniqueness::Injective,
            (_, false) if self.strict => Uniqueness::Injective,
            _ => Uniqueness::Lossy,
        }
    }

    fn is_reversible(&self) -> bool {
        !self.one_way
    }

    fn check(&self) -> Result<(), String> {
        strict_or_one_way(self.strict, self.one_way)
    }

    fn compile(&self, site: &Site<'_>) -> Result<Box<dyn Mask>> {
        let is_number = matches!(
            site.column.kind,
            Type::Integer { .. } | Type::Decimal { .. }
        );
        Ok(Box::new(DigitsMask {
            numbers: is_number.then(|| Numbers::new(site.key, self.one_way)),
            rows: Rows::new(site.key, DIGITS.name, self.one_way, self.strict),
            keep: (self.keep_first, self.keep_last),
        }))
    }
}

/// What `strict` promises, `one_way` takes back.
pub(super) fn strict_or_one_way(strict: bool, one_way: bool) -> Result<(), String> {
    if strict && one_way {
        Err("`strict` and `one_way` exclude each other: what has no way back lets two values become one".into())
    } else {
        Ok(())
    }
}

struct DigitsMask {
    numbers: Option<Numbers>,
    rows: Rows,
    keep: (usize, usize),
}

impl Mask for DigitsMask {
    fn mask(
        &self,
        value: Value<'_>,
        _given: &Given<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Masked, Refused> {
        if let Some(numbers) = &self.numbers
            && let Some(made) = value.integer().and_then(|number| numbers.of(number))
        {
            return Ok(Masked::Integer(made));
        }
        let met = value.canonical();
        self.rows.apply(&met, out, |digits| {
            let (first, last) = self.keep;
            // Of a number that would stay as a whole, nothing stays.
            if first.saturating_add(last) < digits.len() {
                (first, digits.len() - last, false)
            } else {
                (0, digits.len(), false)
            }
        })
    }
}

/// Digits in texts.
pub(super) struct Rows {
    cipher: DigitCipher,
    letters: Prf,
    is_strict: bool,
}

/// More digits than these are masked one by one.
const MANY: usize = 64;

impl Rows {
    pub(super) fn new(key: &Key, kind: &str, is_one_way: bool, is_strict: bool) -> Self {
        Self {
            cipher: DigitCipher::new(key, kind, is_one_way),
            letters: key.prf(kind, "letters"),
            is_strict,
        }
    }

    /// `range` says which of the digits are masked: from, until, and whether the first of them is no zero and is to be none.
    fn apply(
        &self,
        met: &[u8],
        out: &mut Vec<u8>,
        range: impl FnOnce(&[u8]) -> (usize, usize, bool),
    ) -> Result<Masked, Refused> {
        let mut place = [0; MANY];
        let mut many;
        let count = met.iter().filter(|byte| byte.is_ascii_digit()).count();
        let digits = if count <= MANY {
            &mut place[..count]
        } else {
            many = vec![0; count];
            &mut many[..]
        };
        let of_digits = met.iter().filter(|byte| byte.is_ascii_digit());
        digits
            .iter_mut()
            .zip(of_digits)
            .for_each(|(place, digit)| *place = *digit);
        let (from, until, has_no_zero) = range(digits);
        let is_plain = met
            .iter()
            .all(|byte| byte.is_ascii() && !byte.is_ascii_alphabetic());
        if self.is_strict && !(is_plain && self.cipher.is_injective_for(until - from)) {
            return Err(Refused("has letters, or not six to 38 digits to mask"));
        }
        loop {
            self.cipher.apply(&[from as u8], &mut digits[from..until]);
            // A permutation that is repeated until it is back among those without a zero is one of them alone.
            let is_injective = self.cipher.is_injective_for(until - from);
            if !has_no_zero || !is_injective || digits[from] != b'0' {
                break;
            }
        }
        self.put(met, digits, is_plain, out);
        Ok(Masked::Text)
    }

    /// A number inside a text, in which nothing is a letter.
    pub(super) fn in_text(&self, number: &[u8], out: &mut Vec<u8>) {
        let from = out.len();
        out.extend_from_slice(number);
        let mut digits: Vec<u8> = number.iter().copied().filter(u8::is_ascii_digit).collect();
        self.cipher.apply(&[0], &mut digits);
        let mut digits = digits.into_iter();
        for byte in out[from..].iter_mut().filter(|byte| byte.is_ascii_digit()) {
            *byte = digits.next().unwrap_or(b'0');
        }
    }

    /// Writes the text with its new digits, and other letters.
    fn put(&self, met: &[u8], digits: &[u8], is_plain: bool, out: &mut Vec<u8>) {
        let mut digits = digits.iter();
        let mut stream: Option<Stream> = (!is_plain).then(|| self.letters.of(met).stream());
        let mut draw = |count| stream.as_mut().map_or(0, |stream| stream.below(count)) as u8;
        for byte in met {
            out.push(match byte {
                b'0'..=b'9' => digits.next().copied().unwrap_or(b'0'),
                b'A'..=b'Z' => b'A' + draw(26),
                // Of a character of several bytes the first is one, too.
                b'a'..=b'z' | 0xc0.. => b'a' + draw(26),
                0x80..0xc0 => continue,
                other => *other,
            });
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::mask) struct Phone {
    #[serde(default)]
    strict: bool,
    #[serde(default)]
    one_way: bool,
}

impl Options for Phone {
    fn check(&self) -> Result<(), String> {
        strict_or_one_way(self.strict, self.one_way)
    }

    fn fit(&self, column: &Column) -> Fit {
        Fit::of_text(column, None)
    }

    fn uniqueness(&self, _column: &Column) -> Uniqueness {
        if self.strict {
            Uniqueness::Injective
        } else {
            Uniqueness::Lossy
        }
    }

    fn is_reversible(&self) -> bool {
        !self.one_way
    }

    fn compile(&self, site: &Site<'_>) -> Result<Box<dyn Mask>> {
        let rows = Rows::new(site.key, PHONE.name, self.one_way, self.strict);
        Ok(Box::new(PhoneMask(rows)))
    }
}

pub(super) struct PhoneMask(pub(super) Rows);

impl Mask for PhoneMask {
    fn mask(
        &self,
        value: Value<'_>,
        _given: &Given<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Masked, Refused> {
        let met = value.canonical();
        let is_international = met.first() == Some(&b'+');
        self.0.apply(&met, out, |digits| {
            let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
            // Rather all of a short number than too little of it.
            match digits.len() {
                length if length < 2 + FEWEST_DIGITS => (0, length, false),
                length if is_international => (2, length, false),
                length => (zeros.min(2), length, zeros < 2),
            }
        })
    }
}
