//! `digits` in columns of whole numbers.

use super::ciphered::{Begun, Ciphered, one};
use super::contract::Refused;
use crate::mask::ff1::{Ff1, Form, Halves, Radix};
use crate::mask::key::{Key, Prf};
use crate::mask::value::{Masked, Value};

/// The first number of the largest class but one.
const MIDDLE: u64 = 1 << 32;

/// Classes of numbers, any of which a type of 32 bits or more holds whole or not at all: what tells each of them in the tweak, how
/// many bits are encrypted, and what is added to those.
const CLASSES: [(u8, u32, u64); 4] = [
    (31, 31, 0),
    (32, 31, 1 << 31),
    (63, 63, 0),
    (64, 63, 1 << 63),
];

/// Which of them has numbers that it must not become: those below [`MIDDLE`].
const WITH_OTHERS: usize = 2;

/// A number's sign and class, by their places in the tables.
#[derive(Clone, Copy)]
pub(super) struct Class {
    sign: usize,
    place: usize,
}

/// A permutation of the whole numbers in which none leaves its class.
pub(super) struct WholeMask<C> {
    ff1: Ff1,
    forms: [[Form; 4]; 2],
    one_way: Option<Prf>,
    /// For what is no number that has a class.
    others: C,
}

impl<C> WholeMask<C> {
    pub(super) fn new(key: &Key, kind: &str, is_one_way: bool, others: C) -> Self {
        let ff1 = Ff1::new(&key.derive(kind, "numbers"), Radix::Two);
        let form = |sign| CLASSES.map(|(name, bits, _)| ff1.form(&[sign, name], bits));
        Self {
            forms: [form(0), form(1)],
            ff1,
            one_way: is_one_way.then(|| key.prf(kind, "numbers, one way")),
            others,
        }
    }

    /// By a function that has no way back.
    fn hashed(prf: &Prf, class: Class, number: u64) -> u64 {
        let (name, bits, _) = CLASSES[class.place];
        let mut input = [0; 10];
        input[..2].copy_from_slice(&[class.sign as u8, name]);
        let mut made = number;
        loop {
            input[2..].copy_from_slice(&made.to_be_bytes());
            made = prf.of(&input).number(0) >> (64 - bits);
            if class.is_left_by(made) {
                continue;
            }
            return made;
        }
    }
}

impl Class {
    /// Of a number, and what of it is encrypted.
    fn of(number: i128) -> Option<(Self, u64)> {
        // Minus one is to the negative numbers what zero is to the others.
        let (sign, number) = if number < 0 {
            (1, -1 - number)
        } else {
            (0, number)
        };
        let number = u64::try_from(number).ok()?;
        let place = match number {
            ..0x8000_0000 => 0,
            0x8000_0000..MIDDLE => 1,
            MIDDLE..0x8000_0000_0000_0000 => 2,
            _ => 3,
        };
        Some((Self { sign, place }, number - CLASSES[place].2))
    }

    /// Whether a number is of another class, which few are: it is encrypted again until it is not.
    fn is_left_by(self, number: u64) -> bool {
        self.place == WITH_OTHERS && number < MIDDLE
    }

    /// The way back.
    fn number(self, made: u64) -> i128 {
        let number = i128::from(made + CLASSES[self.place].2);
        if self.sign == 1 { -1 - number } else { number }
    }

    /// Bits of the second half.
    fn second(self) -> u32 {
        let bits = CLASSES[self.place].1;
        bits - bits / 2
    }
}

impl<C: Ciphered> Ciphered for WholeMask<C> {
    type Work = Class;

    fn ff1(&self) -> Option<&Ff1> {
        self.one_way.is_none().then_some(&self.ff1)
    }

    fn begin(&self, value: Value<'_>, out: &mut Vec<u8>) -> Result<Begun<'_, Class>, Refused> {
        let Some((class, number)) = value.integer().and_then(Class::of) else {
            return one(&self.others, value, out).map(Begun::Done);
        };
        if let Some(prf) = &self.one_way {
            let made = Self::hashed(prf, class, number);
            return Ok(Begun::Done(Masked::Integer(class.number(made))));
        }
        let number = Halves {
            a: number >> class.second(),
            b: number & ((1 << class.second()) - 1),
        };
        Ok(Begun::Number(
            &self.forms[class.sign][class.place],
            number,
            class,
        ))
    }

    fn end(&self, class: Class, _value: Value<'_>, made: Halves, _out: &mut Vec<u8>) -> Masked {
        let whole = |made: Halves| made.a << class.second() | made.b;
        let mut made = made;
        while class.is_left_by(whole(made)) {
            made = self.ff1.encrypt(&self.forms[class.sign][class.place], made);
        }
        Masked::Integer(class.number(whole(made)))
    }
}
