//! Numbers of banks: `iban`, `card`.

use serde::Deserialize;

use super::ciphered::{Begun, Ciphered};
use super::contract::{About, Mask, Options, Refused, Site};
use super::digit_cipher::{DigitCipher, read, write};
use super::digits::{ONE_WAY, STRICT, strict_or_one_way};
use crate::error::Result;
use crate::mask::column::{Column, Fit, Uniqueness};
use crate::mask::ff1::{Ff1, Halves, MOST_DIGITS};
use crate::mask::key::Prf;
use crate::mask::value::{Masked, Value};

pub(in crate::mask) const IBAN: About = About {
    name: "iban",
    what: "Another IBAN of the same country, length and notation whose check digits are right.",
    options: &[STRICT, ONE_WAY],
    examples: &[
        ("\"iban\"", "DE89 3704 0044 0532 0130 00"),
        ("\"iban\"", "GB82WEST12345698765432"),
    ],
    note: "Digits by FF1. Checks that some countries have inside the number are not kept. What is no IBAN gets other digits and \
           letters.",
};

pub(in crate::mask) const CARD: About = About {
    name: "card",
    what: "Another card number of the same length and notation whose last digit is right (Luhn).",
    options: &[
        (
            "keep_first",
            "a number, 0 by default",
            "so many digits at the beginning stay, as those of the issuer",
        ),
        STRICT,
        ONE_WAY,
    ],
    examples: &[
        ("\"card\"", "4111 1111 1111 1111"),
        ("{ kind = \"card\", keep_first = 6 }", "4111-1111-1111-1111"),
    ],
    note: "By FF1. What has fewer than eight digits gets other digits and letters.",
};

/// Digits and letters of numbers are up to this many; what has more is no number of a bank.
const MOST: usize = 38;

/// The check digits of an IBAN that has zeros in their place (ISO 7064, MOD 97-10), if it has nothing but digits and capitals.
fn check_digits(country: [u8; 2], rest: &[u8]) -> u8 {
    let mut sum: u32 = 0;
    for byte in rest.iter().chain(&country).chain(b"00") {
        sum = match byte {
            b'0'..=b'9' => sum * 10 + u32::from(byte - b'0'),
            letter => sum * 100 + u32::from(letter.to_ascii_uppercase() - b'A') + 10,
        } % 97;
    }
    98 - sum as u8
}

/// The last digit of a card number, by those before it.
fn luhn(digits: &[u8]) -> u8 {
    let mut sum = 0;
    for (at, digit) in digits.iter().rev().enumerate() {
        let digit = digit - b'0';
        sum += match at % 2 {
            0 if digit > 4 => digit * 2 - 9,
            0 => digit * 2,
            _ => digit,
        };
        sum %= 10;
    }
    b'0' + (10 - sum) % 10
}

/// Letters and digits of a text, the rest of which stays where it is.
struct Numerals {
    place: [u8; MOST],
    count: usize,
}

impl Numerals {
    fn of(text: &[u8]) -> Option<Self> {
        let mut found = Self {
            place: [0; MOST],
            count: 0,
        };
        for byte in text {
            if byte.is_ascii_alphanumeric() {
                *found.place.get_mut(found.count)? = *byte;
                found.count += 1;
            } else if !byte.is_ascii() {
                return None;
            }
        }
        Some(found)
    }

    fn all(&mut self) -> &mut [u8] {
        &mut self.place[..self.count]
    }

    /// Writes them where they stood.
    fn put(&mut self, text: &[u8], out: &mut Vec<u8>) {
        let mut at = 0;
        for byte in text {
            if byte.is_ascii_alphanumeric() {
                out.push(self.place[at]);
                at += 1;
            } else {
                out.push(*byte);
            }
        }
    }
}

/// Other digits and other letters for those of a number.
struct Scrambler {
    cipher: DigitCipher,
    letters: Prf,
}

impl Scrambler {
    fn new(site: &Site<'_>, kind: &str, is_one_way: bool, tweaks: &[&[u8]]) -> Self {
        Self {
            cipher: DigitCipher::new(site.key, kind, is_one_way, tweaks),
            letters: site.key.prf(kind, "letters"),
        }
    }

    /// Puts new digits in their places. Letters are turned by what those say, so that who has the key can turn them back.
    fn turn(&self, numerals: &mut [u8], digits: &[u8]) {
        let has_letters = digits.len() < numerals.len();
        let mut stream = has_letters.then(|| self.letters.of(digits).stream());
        let mut digits = digits.iter();
        for byte in numerals {
            let first = match byte {
                b'0'..=b'9' => {
                    *byte = digits.next().copied().unwrap_or(b'0');
                    continue;
                }
                b'a'..=b'z' => b'a',
                _ => b'A',
            };
            let turn = stream.as_mut().map_or(0, |stream| stream.below(26)) as u8;
            *byte = first + (*byte - first + turn) % 26;
        }
    }

    /// A text of which nothing is known: other letters and digits, drawn by the whole of it.
    fn blind(&self, met: &[u8], out: &mut Vec<u8>) {
        let mut stream = self.letters.of(met).stream();
        for byte in met {
            out.push(match byte {
                b'0'..=b'9' => stream.digit(),
                b'a'..=b'z' => b'a' + stream.below(26) as u8,
                b'A'..=b'Z' | 0xc0.. => b'A' + stream.below(26) as u8,
                0x80..0xc0 => continue,
                other => *other,
            });
        }
    }
}

macro_rules! common {
    ($about:ident) => {
        fn check(&self) -> Result<(), String> {
            strict_or_one_way(self.strict, self.one_way)
        }

        fn fit(&self, column: &Column) -> Fit {
            Fit::of_text(column, None)
        }

        fn uniqueness(&self, _column: &Column) -> Uniqueness {
            match self.strict {
                true => Uniqueness::Injective,
                false => Uniqueness::Lossy,
            }
        }

        fn is_reversible(&self) -> bool {
            !self.one_way
        }
    };
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::mask) struct Iban {
    #[serde(default)]
    strict: bool,
    #[serde(default)]
    one_way: bool,
}

impl Options for Iban {
    common!(IBAN);

    fn compile(&self, site: &Site<'_>) -> Result<Box<dyn Mask>> {
        Ok(Box::new(IbanMask {
            scrambler: Scrambler::new(site, IBAN.name, self.one_way, &[&[]]),
            is_strict: self.strict,
        }))
    }
}

struct IbanMask {
    scrambler: Scrambler,
    is_strict: bool,
}

/// Whether it is an IBAN, check digits included.
fn is_iban(numerals: &[u8]) -> bool {
    // ISO 13616: up to 34; Norway's have fifteen.
    (15..=34).contains(&numerals.len())
        && numerals[..2].iter().all(u8::is_ascii_alphabetic)
        && numerals[2..4].iter().all(u8::is_ascii_digit)
        && check_digits([numerals[0], numerals[1]], &numerals[4..])
            == (numerals[2] - b'0') * 10 + numerals[3] - b'0'
}

impl IbanMask {
    /// Writes one with its new digits, and its check digits.
    fn put(&self, mut found: Numerals, digits: &[u8], met: &[u8], out: &mut Vec<u8>) -> Masked {
        let numerals = found.all();
        self.scrambler.turn(&mut numerals[4..], digits);
        let check = check_digits([numerals[0], numerals[1]], &numerals[4..]);
        (numerals[2], numerals[3]) = (b'0' + check / 10, b'0' + check % 10);
        found.put(met, out);
        Masked::Text
    }
}

impl Ciphered for IbanMask {
    /// Letters and digits, and how many digits are masked.
    type Work = (Numerals, usize);

    fn ff1(&self) -> Option<&Ff1> {
        self.scrambler.cipher.ff1()
    }

    fn begin(&self, value: Value<'_>, out: &mut Vec<u8>) -> Result<Begun<'_, Self::Work>, Refused> {
        let met = value.canonical();
        let Some(found) = Numerals::of(&met).filter(|found| is_iban(&found.place[..found.count]))
        else {
            if self.is_strict {
                return Err(Refused("is no IBAN"));
            }
            self.scrambler.blind(&met, out);
            return Ok(Begun::Done(Masked::Text));
        };
        let (mut place, mut count) = ([0; MOST], 0);
        let digits = found.place[4..found.count].iter();
        for digit in digits.filter(|byte| byte.is_ascii_digit()) {
            place[count] = *digit;
            count += 1;
        }
        let digits = &mut place[..count];
        if let Some(form) = self.scrambler.cipher.form(0, count) {
            return Ok(Begun::Number(form, read(digits), (found, count)));
        }
        if self.is_strict {
            return Err(Refused("is an IBAN of fewer than six digits"));
        }
        self.scrambler.cipher.blind(digits);
        Ok(Begun::Done(self.put(found, digits, &met, out)))
    }

    fn end(
        &self,
        (found, count): Self::Work,
        value: Value<'_>,
        made: Halves,
        out: &mut Vec<u8>,
    ) -> Masked {
        let mut place = [0; MOST_DIGITS];
        let digits = &mut place[..count];
        write(made, digits);
        self.put(found, digits, &value.canonical(), out)
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::mask) struct Card {
    #[serde(default)]
    keep_first: usize,
    #[serde(default)]
    strict: bool,
    #[serde(default)]
    one_way: bool,
}

impl Options for Card {
    common!(CARD);

    fn compile(&self, site: &Site<'_>) -> Result<Box<dyn Mask>> {
        let tweaks: [&[u8]; 2] = [&[0], &[self.keep_first as u8]];
        Ok(Box::new(CardMask {
            scrambler: Scrambler::new(site, CARD.name, self.one_way, &tweaks),
            keep_first: self.keep_first,
            is_strict: self.strict,
        }))
    }
}

struct CardMask {
    scrambler: Scrambler,
    keep_first: usize,
    is_strict: bool,
}

/// The fewest digits of a card (ISO/IEC 7812).
const FEWEST: usize = 8;

impl CardMask {
    /// Writes one with its new digits, and the last.
    fn put(mut found: Numerals, met: &[u8], out: &mut Vec<u8>) -> Masked {
        let digits = found.all();
        let last = digits.len() - 1;
        digits[last] = luhn(&digits[..last]);
        found.put(met, out);
        Masked::Text
    }
}

impl Ciphered for CardMask {
    /// All digits, and the first that is masked.
    type Work = (Numerals, usize);

    fn ff1(&self) -> Option<&Ff1> {
        self.scrambler.cipher.ff1()
    }

    fn begin(&self, value: Value<'_>, out: &mut Vec<u8>) -> Result<Begun<'_, Self::Work>, Refused> {
        let met = value.canonical();
        let is_card = |found: &Numerals| {
            found.count >= FEWEST && found.place[..found.count].iter().all(u8::is_ascii_digit)
        };
        let Some(mut found) = Numerals::of(&met).filter(is_card) else {
            if self.is_strict {
                return Err(Refused("is no number of a card"));
            }
            self.scrambler.blind(&met, out);
            return Ok(Begun::Done(Masked::Text));
        };
        let digits = found.all();
        let last = digits.len() - 1;
        // Of a number that would stay as a whole, nothing stays.
        let first = if self.keep_first < last {
            self.keep_first
        } else {
            0
        };
        if self.is_strict && luhn(&digits[..last]) != digits[last] {
            return Err(Refused("is no number of a card: its last digit is wrong"));
        }
        let tweak = usize::from(first > 0);
        if let Some(form) = self.scrambler.cipher.form(tweak, last - first) {
            let number = read(&digits[first..last]);
            return Ok(Begun::Number(form, number, (found, first)));
        }
        if self.is_strict {
            return Err(Refused(
                "is a number of a card of which fewer than six digits are masked",
            ));
        }
        self.scrambler.cipher.blind(&mut digits[first..last]);
        Ok(Begun::Done(Self::put(found, &met, out)))
    }

    fn end(
        &self,
        (mut found, first): Self::Work,
        value: Value<'_>,
        made: Halves,
        out: &mut Vec<u8>,
    ) -> Masked {
        let last = found.count - 1;
        write(made, &mut found.place[first..last]);
        Self::put(found, &value.canonical(), out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_digits_are_those_of_known_numbers() {
        for iban in [
            "GB82WEST12345698765432",
            "DE89370400440532013000",
            "NO9386011117947",
        ] {
            assert!(is_iban(iban.as_bytes()), "{iban}");
            assert!(!is_iban(iban.replace('9', "8").as_bytes()), "{iban}");
        }
        for card in ["4111111111111111", "5500005555555559", "371449635398431"] {
            let (front, last) = card.as_bytes().split_at(card.len() - 1);
            assert_eq!(luhn(front), last[0], "{card}");
        }
    }
}
