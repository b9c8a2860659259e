//! Digits for digits: `digits` and `phone`.

use serde::Deserialize;

use super::ciphered::{Begun, Ciphered};
use super::contract::{About, Mask, Options, Refused, Site};
use super::digit_cipher::{DigitCipher, read, write};
use super::whole::WholeMask;
use crate::error::Result;
use crate::mask::column::{Column, Fit, Type, Uniqueness};
use crate::mask::ff1::{FEWEST_DIGITS, Ff1, Halves, MOST_DIGITS};
use crate::mask::key::{Key, Prf};
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
        let tweaks: [&[u8]; 2] = [&[0], &[self.keep_first as u8]];
        let texts = DigitsMask {
            rows: Rows::new(site.key, DIGITS.name, self.one_way, self.strict, &tweaks),
            keep: (self.keep_first, self.keep_last),
        };
        Ok(match site.column.kind {
            Type::Integer { .. } | Type::Decimal { .. } => {
                Box::new(WholeMask::new(site.key, DIGITS.name, self.one_way, texts))
            }
            _ => Box::new(texts),
        })
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

pub(super) struct DigitsMask {
    rows: Rows,
    keep: (usize, usize),
}

impl Ciphered for DigitsMask {
    type Work = Masking;

    fn ff1(&self) -> Option<&Ff1> {
        self.rows.cipher.ff1()
    }

    fn begin(&self, value: Value<'_>, out: &mut Vec<u8>) -> Result<Begun<'_, Masking>, Refused> {
        self.rows.begin(&value.canonical(), out, |digits| {
            let (first, last) = self.keep;
            // Of a number that would stay as a whole, nothing stays.
            let is_kept = first.saturating_add(last) < digits.len();
            let (first, last) = if is_kept { (first, last) } else { (0, 0) };
            Masking {
                from: first,
                until: digits.len() - last,
                tweak: usize::from(first > 0),
                has_no_zero: false,
            }
        })
    }

    fn end(&self, work: Masking, _value: Value<'_>, made: Halves, out: &mut Vec<u8>) -> Masked {
        self.rows.end(&work, made, out)
    }
}

/// Which digits of a text are masked, and how.
pub(super) struct Masking {
    from: usize,
    until: usize,
    /// The place of the cipher's tweak.
    tweak: usize,
    /// Whether the first of them is no zero and is to be none.
    has_no_zero: bool,
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
    pub(super) fn new(
        key: &Key,
        kind: &str,
        is_one_way: bool,
        is_strict: bool,
        tweaks: &[&[u8]],
    ) -> Self {
        Self {
            cipher: DigitCipher::new(key, kind, is_one_way, tweaks),
            letters: key.prf(kind, "letters"),
            is_strict,
        }
    }

    /// Puts the text into `out`, with other letters, and with other digits unless they are a number for FF1. `range` says which of
    /// the digits are masked.
    fn begin(
        &self,
        met: &[u8],
        out: &mut Vec<u8>,
        range: impl FnOnce(&[u8]) -> Masking,
    ) -> Result<Begun<'_, Masking>, Refused> {
        let (mut place, mut count, mut is_plain) = ([0; MANY], 0, true);
        for byte in met {
            if byte.is_ascii_digit() {
                if let Some(digit) = place.get_mut(count) {
                    *digit = *byte;
                }
                count += 1;
            } else {
                is_plain &= byte.is_ascii() && !byte.is_ascii_alphabetic();
            }
        }
        let mut many;
        let digits = if count <= MANY {
            &mut place[..count]
        } else {
            many = met.to_vec();
            many.retain(u8::is_ascii_digit);
            &mut many[..]
        };
        let work = range(digits);
        let masked = work.from..work.until;
        let form = self.cipher.form(work.tweak, masked.len());
        if self.is_strict && !(is_plain && form.is_some()) {
            return Err(Refused("has letters, or not six to 38 digits to mask"));
        }
        if is_plain {
            out.extend_from_slice(met);
        } else {
            self.put_letters(met, out);
        }
        if let Some(form) = form {
            return Ok(Begun::Number(form, read(&digits[masked]), work));
        }
        self.cipher.blind(&mut digits[masked]);
        put_digits(digits, 0, out);
        Ok(Begun::Done(Masked::Text))
    }

    /// Puts the encrypted number into a text that has been begun.
    fn end(&self, work: &Masking, made: Halves, out: &mut [u8]) -> Masked {
        let mut place = [0; MOST_DIGITS];
        let digits = &mut place[..work.until - work.from];
        write(made, digits);
        // A permutation that is repeated until it is back among those without a zero is one of them alone.
        while work.has_no_zero && digits[0] == b'0' {
            self.cipher.apply(work.tweak, digits);
        }
        put_digits(digits, work.from, out);
        Masked::Text
    }

    /// A number inside a text, in which nothing is a letter.
    pub(super) fn in_text(&self, number: &[u8], out: &mut Vec<u8>) {
        let from = out.len();
        out.extend_from_slice(number);
        let mut digits: Vec<u8> = number.iter().copied().filter(u8::is_ascii_digit).collect();
        self.cipher.apply(0, &mut digits);
        put_digits(&digits, 0, &mut out[from..]);
    }

    /// Writes the text with its digits, and other letters.
    fn put_letters(&self, met: &[u8], out: &mut Vec<u8>) {
        let mut stream = self.letters.of(met).stream();
        let mut draw = || stream.below(26) as u8;
        for byte in met {
            out.push(match byte {
                b'A'..=b'Z' => b'A' + draw(),
                // Of a character of several bytes the first is one, too.
                b'a'..=b'z' | 0xc0.. => b'a' + draw(),
                0x80..0xc0 => continue,
                other => *other,
            });
        }
    }
}

/// Puts digits in the places of those of a text, from one of them on.
fn put_digits(digits: &[u8], from: usize, text: &mut [u8]) {
    let places = text.iter_mut().filter(|byte| byte.is_ascii_digit());
    for (place, digit) in places.skip(from).zip(digits) {
        *place = *digit;
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
        let tweaks: [&[u8]; 3] = [&[0], &[1], &[2]];
        let rows = Rows::new(site.key, PHONE.name, self.one_way, self.strict, &tweaks);
        Ok(Box::new(PhoneMask(rows)))
    }
}

struct PhoneMask(Rows);

impl Ciphered for PhoneMask {
    type Work = Masking;

    fn ff1(&self) -> Option<&Ff1> {
        self.0.cipher.ff1()
    }

    fn begin(&self, value: Value<'_>, out: &mut Vec<u8>) -> Result<Begun<'_, Masking>, Refused> {
        let met = value.canonical();
        let is_international = met.first() == Some(&b'+');
        self.0.begin(&met, out, |digits| {
            let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
            // Rather all of a short number than too little of it.
            let (from, has_no_zero) = match digits.len() {
                length if length < 2 + FEWEST_DIGITS => (0, false),
                _ if is_international => (2, false),
                _ => (zeros.min(2), zeros < 2),
            };
            Masking {
                from,
                until: digits.len(),
                tweak: from,
                has_no_zero,
            }
        })
    }

    fn end(&self, work: Masking, _value: Value<'_>, made: Halves, out: &mut Vec<u8>) -> Masked {
        self.0.end(&work, made, out)
    }
}
