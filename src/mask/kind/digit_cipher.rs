//! Rows of digits that become others: what `digits`, `phone` and numbers of banks are made with.

use crate::mask::ff1::{FEWEST_DIGITS, Ff1, Form, Halves, MOST_DIGITS, Radix};
use crate::mask::key::{Key, Prf};

/// Another row of digits for one of the same length, by FF1 if it is long enough.
pub(super) struct DigitCipher {
    ff1: Option<Ff1>,
    /// Of each tweak, one for each number of digits that FF1 takes.
    forms: Vec<Vec<Form>>,
    prf: Prf,
}

impl DigitCipher {
    /// Tweaks tell uses of one key apart.
    pub(super) fn new(key: &Key, kind: &str, is_one_way: bool, tweaks: &[&[u8]]) -> Self {
        let ff1 = Ff1::new(&key.derive(kind, "ff1"), Radix::Ten);
        let of = |tweak: &&[u8]| {
            let lengths = FEWEST_DIGITS..=MOST_DIGITS;
            lengths
                .map(|digits| ff1.form(tweak, digits as u32))
                .collect()
        };
        Self {
            forms: tweaks.iter().map(of).collect(),
            ff1: (!is_one_way).then_some(ff1),
            prf: key.prf(kind, if is_one_way { "one way" } else { "" }),
        }
    }

    /// What encrypts, if there is a way back.
    pub(super) fn ff1(&self) -> Option<&Ff1> {
        self.ff1.as_ref()
    }

    /// Whether so many digits become others of which no two are the same.
    pub(super) fn is_injective_for(&self, digits: usize) -> bool {
        self.ff1.is_some() && (FEWEST_DIGITS..=MOST_DIGITS).contains(&digits)
    }

    /// How FF1 takes so many digits under one of the tweaks, if it does.
    pub(super) fn form(&self, tweak: usize, digits: usize) -> Option<&Form> {
        self.is_injective_for(digits)
            .then(|| &self.forms[tweak][digits - FEWEST_DIGITS])
    }

    /// Digits that FF1 does not take become others, in place. Two may become one.
    pub(super) fn blind(&self, digits: &mut [u8]) {
        let mut stream = self.prf.of(digits).stream();
        for digit in digits {
            *digit = stream.digit();
        }
    }

    /// Digits become others, in place.
    pub(super) fn apply(&self, tweak: usize, digits: &mut [u8]) {
        match (&self.ff1, self.form(tweak, digits.len())) {
            (Some(ff1), Some(form)) => write(ff1.encrypt(form, read(digits)), digits),
            _ => self.blind(digits),
        }
    }
}

/// The number that ASCII digits are.
pub(super) fn read(digits: &[u8]) -> Halves {
    let number = |digits: &[u8]| {
        let add = |sum, digit: &u8| sum * 10 + u64::from(digit - b'0');
        digits.iter().fold(0, add)
    };
    let (a, b) = digits.split_at(digits.len() / 2);
    Halves {
        a: number(a),
        b: number(b),
    }
}

/// The digits that a number is.
pub(super) fn write(number: Halves, digits: &mut [u8]) {
    let put = |mut number: u64, digits: &mut [u8]| {
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
    };
    let (a, b) = digits.split_at_mut(digits.len() / 2);
    put(number.a, a);
    put(number.b, b);
}
