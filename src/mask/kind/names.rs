//! Plausible words in several languages, from the crate `fake`.

use fake::locales::{DE_DE, Data, EN, FR_FR, IT_IT, NL_NL, PT_BR};
use serde::Deserialize;

use crate::mask::key::Seed;
use crate::mask::value::Masked;

/// Whose words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Language {
    #[default]
    En,
    De,
    Fr,
    It,
    Nl,
    Pt,
}

/// The options' line in the documentation of kinds that have words.
pub(super) const LANGUAGE: (&str, &str, &str) = (
    "language",
    "en (default), de, fr, it, nl, pt",
    "whose words are used",
);

type Words = &'static [&'static str];

/// The words of a language.
pub(super) struct Lists {
    pub(super) first: Words,
    pub(super) last: Words,
    pub(super) street: Street,
    /// What stands before and behind a name in a town's.
    pub(super) town: (&'static str, Words),
    pub(super) company: Words,
}

/// How streets are called.
#[derive(Clone, Copy)]
pub(super) enum Street {
    /// `12 Miller Road`
    After(Words),
    /// `Millerstraße 12`
    Joined(Words),
    /// `12 rue Miller`
    Before(Words),
}

impl Language {
    /// As part of what a kind's key is derived from.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::De => "de",
            Self::Fr => "fr",
            Self::It => "it",
            Self::Nl => "nl",
            Self::Pt => "pt",
        }
    }

    pub(super) fn lists(self) -> Lists {
        match self {
            Self::En => lists::<EN>(
                Street::After(EN::ADDRESS_STREET_SUFFIX),
                ("", EN::ADDRESS_CITY_SUFFIX),
            ),
            Self::De => lists::<DE_DE>(
                Street::Joined(DE_DE::ADDRESS_STREET_SUFFIX),
                ("", DE_DE::ADDRESS_CITY_SUFFIX),
            ),
            Self::Fr => lists::<FR_FR>(
                Street::Before(FR_FR::ADDRESS_STREET_SUFFIX),
                ("", &["ville", "court", "mont", "bourg"]),
            ),
            Self::It => lists::<IT_IT>(
                Street::Before(IT_IT::ADDRESS_STREET_SUFFIX),
                ("Villa ", &[""]),
            ),
            Self::Nl => lists::<NL_NL>(
                Street::Joined(NL_NL::ADDRESS_STREET_SUFFIX),
                ("", NL_NL::ADDRESS_CITY_SUFFIX),
            ),
            Self::Pt => lists::<PT_BR>(
                Street::Before(PT_BR::ADDRESS_STREET_SUFFIX),
                ("Vila ", &[""]),
            ),
        }
    }
}

fn lists<L: Data>(street: Street, town: (&'static str, Words)) -> Lists {
    Lists {
        first: L::NAME_FIRST_NAME,
        last: L::NAME_LAST_NAME,
        street,
        town,
        company: L::COMPANY_SUFFIX,
    }
}

/// One of some words, by one of a seed's four numbers.
pub(super) fn pick(words: Words, seed: &Seed, at: usize) -> &'static str {
    words[seed.below(at, words.len())]
}

/// Writes a text that is not the one it stands for: a list of a few hundred words would have that one now and then.
pub(super) fn other_than(
    met: &[u8],
    seed: Seed,
    out: &mut Vec<u8>,
    write: impl Fn(&Seed, &mut Vec<u8>),
) -> Masked {
    let mut seed = seed;
    for _ in 0..8 {
        out.clear();
        write(&seed, out);
        if out != met {
            break;
        }
        // Whatever the lists are, some other number has another word.
        seed.0
            .iter_mut()
            .for_each(|byte| *byte = byte.wrapping_mul(167).wrapping_add(13));
    }
    Masked::Text
}

/// Letters and digits that nobody takes for one another, five bits each.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Writes so many of them, twenty-four at most.
pub(super) fn letters(seed: &Seed, count: usize, out: &mut Vec<u8>) {
    // Twelve of each of the two numbers, the second first: sixty bits.
    for at in 0..count.min(24) {
        let number = seed.number(1 - at / 12) >> (5 * (at % 12));
        out.push(LETTERS[(number & 31) as usize]);
    }
}
