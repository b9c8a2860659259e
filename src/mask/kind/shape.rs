//! Texts that keep their length: `stars`, `text`.

use std::sync::LazyLock;

use fake::locales::{Data, EN};
use serde::Deserialize;

use super::contract::{About, Mask, Options, Refused, Site};
use crate::error::Result;
use crate::mask::column::{Column, Fit, Uniqueness};
use crate::mask::key::{Prf, Stream};
use crate::mask::row::Given;
use crate::mask::value::{Masked, Value, length};

pub(in crate::mask) const STARS: About = About {
    name: "stars",
    what: "As many stars as there are characters.",
    options: &[(
        "with",
        "a character of ASCII, * by default",
        "what stands for a character",
    )],
    examples: &[("\"stars\"", "s3cret")],
    note: "",
};

pub(in crate::mask) const TEXT: About = About {
    name: "text",
    what: "Lorem ipsum of the same length and shape: a word for a word, a capital for a capital, other digits; signs, blanks and \
           lines stay.",
    options: &[],
    examples: &[(
        "\"text\"",
        "Dear Ms Lovelace,\nthank you for your letter of 10 December.",
    )],
    note: "",
};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::mask) struct Stars {
    #[serde(default = "star")]
    with: char,
}

fn star() -> char {
    '*'
}

impl Options for Stars {
    fn check(&self) -> Result<(), String> {
        if self.with.is_ascii_graphic() {
            Ok(())
        } else {
            Err("`with` is no visible character of ASCII".to_owned())
        }
    }

    fn fit(&self, column: &Column) -> Fit {
        Fit::of_text(column, None)
    }

    fn uniqueness(&self, _column: &Column) -> Uniqueness {
        Uniqueness::Lossy
    }

    fn compile(&self, _site: &Site<'_>) -> Result<Box<dyn Mask>> {
        Ok(Box::new(StarsMask(self.with as u8)))
    }
}

struct StarsMask(u8);

impl Mask for StarsMask {
    fn mask(
        &self,
        value: Value<'_>,
        _given: &Given<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Masked, Refused> {
        out.resize(length(&value.canonical()), self.0);
        Ok(Masked::Text)
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::mask) struct Text {}

impl Options for Text {
    fn fit(&self, column: &Column) -> Fit {
        Fit::of_text(column, None)
    }

    fn uniqueness(&self, _column: &Column) -> Uniqueness {
        Uniqueness::Lossy
    }

    fn compile(&self, site: &Site<'_>) -> Result<Box<dyn Mask>> {
        Ok(Box::new(TextMask(site.key.prf(TEXT.name, ""))))
    }
}

/// The longest words of the list; longer ones are put together.
const LONGEST: usize = 14;

/// Words of one to fourteen letters.
static WORDS: LazyLock<[Vec<&'static [u8]>; LONGEST + 1]> = LazyLock::new(|| {
    let mut words: [Vec<&[u8]>; LONGEST + 1] = std::array::from_fn(|_| Vec::new());
    for word in EN::LOREM_WORD.iter().filter(|word| word.is_ascii()) {
        if let Some(list) = words.get_mut(word.len()) {
            list.push(word.as_bytes());
        }
    }
    // The list has one word of a letter, and may have none of some length.
    words[1].extend([&b"e"[..], b"i", b"o"]);
    for length in 2..=LONGEST {
        if words[length].is_empty() {
            let shorter = words[length - 1].clone();
            words[length] = shorter
                .iter()
                .map(|word| [word, &b"s"[..]].concat().leak() as &[u8])
                .collect();
        }
    }
    words
});

struct TextMask(Prf);

impl Mask for TextMask {
    fn mask(
        &self,
        value: Value<'_>,
        _given: &Given<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Masked, Refused> {
        let met = value.canonical();
        let mut stream = self.0.of(&met).stream();
        write(&met, &mut stream, out);
        if out == &*met
            && let Some(last) = out.iter_mut().rfind(|byte| byte.is_ascii_alphanumeric())
        {
            // A word of the list, such as people write them.
            *last = match *last {
                b'0' | b'o' | b'O' => *last + 1,
                b'1'..=b'9' => b'0',
                b'a'..=b'z' => b'o',
                _ => b'O',
            };
        }
        Ok(Masked::Text)
    }
}

/// What a byte is in a text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Letter,
    Digit,
    Other,
    /// The rest of a character of several bytes.
    Rest,
}

fn class(byte: u8) -> Class {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | 0xc0.. => Class::Letter,
        b'0'..=b'9' => Class::Digit,
        0x80..0xc0 => Class::Rest,
        _ => Class::Other,
    }
}

fn write(met: &[u8], stream: &mut Stream, out: &mut Vec<u8>) {
    out.reserve(met.len());
    let mut at = 0;
    while let Some(first) = met.get(at) {
        let class_of = class(*first);
        let end = met[at..].iter().position(|byte| {
            let other = class(*byte);
            other != class_of && !(class_of == Class::Letter && other == Class::Rest)
        });
        let run = &met[at..end.map_or(met.len(), |end| at + end)];
        at += run.len();
        match class_of {
            Class::Digit => out.extend(run.iter().map(|_| stream.digit())),
            Class::Other => out.extend_from_slice(run),
            // Bytes that are no UTF-8.
            Class::Rest => out.extend(run.iter().map(|_| b'x')),
            Class::Letter => word(run, stream, out),
        }
    }
}

/// A word of as many letters, with capitals where the other has them.
fn word(met: &[u8], stream: &mut Stream, out: &mut Vec<u8>) {
    let from = out.len();
    let is_plain = met.is_ascii();
    let letters = if is_plain {
        met.len()
    } else {
        met.iter()
            .filter(|byte| class(**byte) == Class::Letter)
            .count()
    };
    let mut left = letters;
    while left > 0 {
        let list = &WORDS[left.min(LONGEST)];
        let chosen = list[stream.below(list.len())];
        out.extend_from_slice(chosen);
        left -= chosen.len();
    }
    let made = &mut out[from..];
    let sources = met
        .iter()
        .filter(|byte| is_plain || class(**byte) == Class::Letter);
    for (letter, source) in made.iter_mut().zip(sources) {
        if source.is_ascii_uppercase() {
            letter.make_ascii_uppercase();
        }
    }
}
