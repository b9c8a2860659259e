//! Values by their form. Of each form is known how often a value that only looks like it passes its check by chance: what is
//! found is held against that, and never against how many values do not look like it.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::checks;
use super::class::{Class, Confidence};

/// Values that are longer are no single number, address or name.
const LONGEST: usize = 320;

/// A form of values.
pub(super) struct Form {
    pub(super) class: Class,
    /// What its values are, as the end of a sentence.
    pub(super) what: &'static str,
    /// How often a value passes that looks like it and is something else.
    chance: f64,
    /// Whether columns of numbers can have it.
    pub(super) is_of_digits: bool,
    /// `None`: it does not look like it; else whether it passes.
    check: fn(&str) -> Option<bool>,
}

/// How many values look like a form, and how many of them pass its check.
#[derive(Debug, Clone, Copy)]
pub(super) struct Evidence {
    pub(super) candidates: usize,
    pub(super) valid: usize,
    chance: f64,
}

impl Evidence {
    /// Of whole values.
    pub(super) fn of(form: &Form, texts: &[&str]) -> Self {
        Self::count(
            form.chance,
            texts.iter().filter_map(|text| form.passes(text)),
        )
    }

    /// Of values that look like something: whether each passes.
    pub(super) fn count(chance: f64, passes: impl Iterator<Item = bool>) -> Self {
        let (mut candidates, mut valid) = (0, 0);
        for passed in passes {
            candidates += 1;
            valid += usize::from(passed);
        }
        Self {
            candidates,
            valid,
            chance,
        }
    }

    /// How sure it is. `None`: no more pass than do by chance.
    pub(super) fn confidence(&self) -> Option<Confidence> {
        let doubt = self.doubt();
        match doubt {
            _ if self.valid == 0 => None,
            _ if doubt < 0.005 => Some(Confidence::Certain),
            _ if doubt < 0.03 => Some(Confidence::Likely),
            _ if doubt < 0.3 => Some(Confidence::Possible),
            _ => None,
        }
    }

    /// An upper bound of the chance that so many pass without being what they look like (Chernoff's, of a binomial).
    fn doubt(&self) -> f64 {
        let (count, share) = (
            self.candidates as f64,
            self.valid as f64 / self.candidates.max(1) as f64,
        );
        if share <= self.chance {
            return 1.0;
        }
        let part = |share: f64, chance: f64| {
            if share > 0.0 {
                share * (share / chance).ln()
            } else {
                0.0
            }
        };
        let distance = part(share, self.chance) + part(1.0 - share, 1.0 - self.chance);
        (-count * distance).exp()
    }
}

impl Form {
    pub(super) fn passes(&self, text: &str) -> Option<bool> {
        let text = text.trim();
        if text.is_empty() || text.len() > LONGEST && self.class != Class::Secret {
            return None;
        }
        (self.check)(text)
    }
}

macro_rules! forms {
    ($($class:ident, $what:literal, $chance:literal, $digits:literal, $check:expr;)*) => {
        /// All forms.
        pub(super) const ALL: &[Form] = &[$(Form {
            class: Class::$class,
            what: $what,
            chance: $chance,
            is_of_digits: $digits,
            check: $check,
        },)*];
    };
}

forms! {
    Email, "are e-mail addresses", 0.0001, false, |text| text.contains('@').then(|| is_email(text));
    Secret, "are keys, tokens or hashes of passwords by their first letters", 0.0001, false, secret;
    Iban, "are IBANs whose check digits are right", 0.002, false, |text| checks::iban(&compact(text)?);
    Card, "are numbers of cards by issuer, length and check digit", 0.1, true, |text| {
        digits(text, b" -").filter(|digits| (13..=19).contains(&digits.len())).and_then(|digits| checks::card(&digits))
    };
    Ip, "are IPv4 addresses", 0.2, false, ipv4;
    Ip, "are IPv6 addresses", 0.001, false, |text| {
        (text.matches(':').count() >= 2 && text.len() > 6).then(|| text.parse::<Ipv6Addr>().is_ok())
    };
    Mac, "are hardware addresses", 0.001, false, mac;
    Phone, "are telephone numbers as people write them", 0.05, false, phone;
    Postcode, "are British postcodes", 0.02, false, british_postcode;
    Postcode, "are Dutch postcodes", 0.02, false, dutch_postcode;
    Street, "are streets with house numbers", 0.02, false, street;
    NationalNumber, "are National Insurance numbers", 0.02, false, |text| checks::nino(&compact(text)?);
    NationalNumber, "are Social Security numbers", 0.05, false, |text| checks::ssn(text.as_bytes());
    NationalNumber, "are Spanish identity numbers whose letter is right", 0.045, false, |text| checks::dni(&compact(text)?);
    NationalNumber, "are Italian tax codes whose letter is right", 0.002, false, |text| checks::codice_fiscale(&compact(text)?);
    NationalNumber, "are French social security numbers whose key is right", 0.0105, true, |text| of_digits(text, 15, checks::nir);
    NationalNumber, "are Swiss AHV numbers", 0.1, true, |text| of_digits(text, 13, checks::ahv);
    NationalNumber, "are PESEL numbers", 0.1, true, |text| of_digits(text, 11, checks::pesel);
    NationalNumber, "are German tax identifiers", 0.1, true, |text| of_digits(text, 11, checks::german_tax);
    NationalNumber, "are Belgian national numbers", 0.021, true, |text| of_digits(text, 11, checks::belgian);
    NationalNumber, "are CPF numbers", 0.012, true, |text| of_digits(text, 11, checks::cpf);
    NationalNumber, "are Swedish personal numbers", 0.1, true, |text| of_digits(text, 10, checks::swedish);
    NationalNumber, "are NHS numbers", 0.1, true, |text| of_digits(text, 10, checks::nhs);
    NationalNumber, "are BSN numbers", 0.1, true, |text| of_digits(text, 9, checks::bsn);
    NationalNumber, "are Portuguese tax numbers", 0.1, true, |text| of_digits(text, 9, checks::nif);
}

/// Letters as capitals and digits, without blanks, points and hyphens; `None`: there is something else in it.
fn compact(text: &str) -> Option<Vec<u8>> {
    let kept = text
        .bytes()
        .filter(|byte| !matches!(byte, b' ' | b'-' | b'.'));
    let kept: Vec<u8> = kept.map(|byte| byte.to_ascii_uppercase()).collect();
    (kept.len() <= 40 && kept.iter().all(u8::is_ascii_alphanumeric)).then_some(kept)
}

/// Digits without what may stand between them; `None`: there is something else in it.
fn digits(text: &str, between: &[u8]) -> Option<Vec<u8>> {
    let kept: Vec<u8> = text
        .bytes()
        .filter(|byte| !between.contains(byte))
        .collect();
    (kept.len() <= 40 && kept.iter().all(u8::is_ascii_digit)).then_some(kept)
}

/// Of a number of so many digits.
fn of_digits(text: &str, count: usize, check: fn(&[u8]) -> Option<bool>) -> Option<bool> {
    digits(text, b" -./")
        .filter(|digits| digits.len() == count)
        .and_then(|digits| check(&digits))
}

/// An address as servers take it: a name, an @, and a host with a point (RFC 5321, without what nobody uses).
pub(super) fn is_email(text: &str) -> bool {
    let text = text.strip_prefix("mailto:").unwrap_or(text);
    // `Ada <ada@example.com>`
    let text = match text.strip_suffix('>') {
        Some(front) => front.rsplit('<').next().unwrap_or_default(),
        None => text,
    };
    let Some((name, host)) = text.rsplit_once('@') else {
        return false;
    };
    let is_of_name = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    let is_label =
        |label: &str| !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || c == '-');
    let top = host.rsplit('.').next().unwrap_or_default();
    !name.is_empty()
        && name.len() <= 64
        && name.chars().all(is_of_name)
        && host.contains('.')
        && host.split('.').all(is_label)
        && top.chars().count() >= 2
        && !top.chars().all(|c| c.is_ascii_digit())
}

/// Beginnings of what is secret. `None`: it begins like none.
pub(super) fn secret(text: &str) -> Option<bool> {
    const PREFIXES: &[(&str, usize)] = &[
        ("-----BEGIN", 20),
        ("AKIA", 20),
        ("ASIA", 20),
        ("AIza", 39),
        ("sk_live_", 20),
        ("sk_test_", 20),
        ("rk_live_", 20),
        ("whsec_", 20),
        ("ghp_", 30),
        ("gho_", 30),
        ("ghs_", 30),
        ("github_pat_", 30),
        ("glpat-", 20),
        ("xoxb-", 20),
        ("xoxp-", 20),
        ("npm_", 30),
        ("SG.", 50),
        ("ya29.", 30),
        ("AGE-SECRET-KEY-", 40),
        ("$2a$", 59),
        ("$2b$", 59),
        ("$2y$", 59),
        ("$argon2", 30),
        ("$pbkdf2", 30),
        ("pbkdf2_sha", 30),
        ("$scrypt$", 30),
        ("$5$", 40),
        ("$6$", 60),
        ("$1$", 26),
        ("$P$", 30),
        ("$S$", 40),
        ("{SSHA}", 20),
        ("SCRAM-SHA-256$", 60),
    ];
    if is_jwt(text) {
        return Some(true);
    }
    let (_, length) = PREFIXES
        .iter()
        .find(|(prefix, _)| text.starts_with(prefix))?;
    Some(text.len() >= *length && (text.starts_with("-----") || !text.contains(' ')))
}

/// Three parts in base64, of which the first begins as an object of JSON does (RFC 7519).
fn is_jwt(text: &str) -> bool {
    let is_base64 = |part: &str| {
        part.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let parts: Vec<&str> = text.split('.').collect();
    parts.len() == 3
        && parts[0].len() > 10
        && parts[0].starts_with("eyJ")
        && parts.iter().all(|part| is_base64(part))
}

/// Addresses with a part above what versions have are surer than those without; all alike are none.
fn ipv4(text: &str) -> Option<bool> {
    let host = text.split_once('/').map_or(text, |(host, _)| host);
    let parts = host.split('.').count();
    let is_like = parts == 4
        && host
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
    is_like.then(|| {
        let parsed: Option<Ipv4Addr> = host.parse().ok();
        parsed.is_some_and(|address| {
            let octets = address.octets();
            octets[0] != 0 && octets.iter().any(|octet| *octet >= 32)
        })
    })
}

fn mac(text: &str) -> Option<bool> {
    let separator = [':', '-'].into_iter().find(|c| text.contains(*c))?;
    let parts: Vec<&str> = text.split(separator).collect();
    let is_like = matches!(parts.len(), 6 | 8);
    is_like.then(|| {
        let is_pair =
            |part: &&str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        parts.iter().all(is_pair)
    })
}

/// A number with a plus or a zero in front, and with blanks, hyphens, slashes or brackets as people write them.
pub(super) fn phone(text: &str) -> Option<bool> {
    let is_of_number = |byte: u8| byte.is_ascii_digit() || b" +-/().".contains(&byte);
    if !text.bytes().all(is_of_number) || text.len() > 24 {
        return None;
    }
    let count = text.bytes().filter(u8::is_ascii_digit).count();
    let has_plus = text.starts_with('+') || text.starts_with("(+") || text.starts_with("00");
    let has_marks = text.bytes().any(|byte| b" -/()".contains(&byte));
    let is_like = has_plus || has_marks && (text.starts_with('0') || text.starts_with('('));
    // 2026-01-02 and 01/02/2026 are days; a point alone makes a number.
    let is_day = is_day(text);
    is_like.then(|| (7..=15).contains(&count) && !is_day && text.matches('+').count() <= 1)
}

/// `SW1A 1AA` (BS 7666).
fn british_postcode(text: &str) -> Option<bool> {
    let (outward, inward) = text.split_once(' ')?;
    let (outward, inward) = (outward.as_bytes(), inward.as_bytes());
    if inward.len() != 3 || !(2..=4).contains(&outward.len()) {
        return None;
    }
    let is_in = |bytes: &[u8], form: &[u8]| {
        bytes.len() == form.len()
            && bytes.iter().zip(form).all(|(byte, form)| match form {
                b'A' => byte.is_ascii_alphabetic(),
                _ => byte.is_ascii_digit(),
            })
    };
    let forms: [&[u8]; 6] = [b"A0", b"A00", b"A0A", b"AA0", b"AA00", b"AA0A"];
    Some(is_in(inward, b"0AA") && forms.iter().any(|form| is_in(outward, form)))
}

/// `1012 AB`.
fn dutch_postcode(text: &str) -> Option<bool> {
    let [digits @ .., b' ', a, b] = text.as_bytes() else {
        return None;
    };
    (digits.len() == 4).then(|| {
        digits[0] != b'0'
            && digits.iter().all(u8::is_ascii_digit)
            && a.is_ascii_uppercase()
            && b.is_ascii_uppercase()
    })
}

/// A house number and a word that streets are called by.
fn street(text: &str) -> Option<bool> {
    if !text.bytes().any(|byte| byte.is_ascii_digit()) || !text.contains(' ') || text.len() > 120 {
        return None;
    }
    let lower = text.to_lowercase();
    let mut words = lower
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty());
    let is_called = words.any(|word| {
        super::words::has(super::words::STREETS, word)
            || super::words::STREET_ENDINGS
                .split_ascii_whitespace()
                .any(|end| word.len() > end.len() && word.ends_with(end))
    });
    is_called.then_some(true)
}

/// Whether digits are a day: 2026-01-02, 02.01.2026, 1/2/2026.
fn is_day(text: &str) -> bool {
    let parts: Vec<&str> = text.split(['-', '.', '/']).collect();
    parts.len() == 3 && {
        let numbers: Vec<Option<u32>> = parts.iter().map(|part| part.parse().ok()).collect();
        let is_year = |part: &str, number: Option<u32>| {
            part.len() == 4 && number.is_some_and(|year| (1800..2200).contains(&year))
        };
        numbers.iter().all(Option::is_some)
            && (is_year(parts[0], numbers[0]) || is_year(parts[2], numbers[2]))
    }
}
