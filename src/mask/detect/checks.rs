//! Check digits: whether a number is one of those that a register gives out. `None` of a check: a number does not even look like
//! one, and says nothing for or against.

/// The digits of a text of digits alone, as numbers.
fn digits(text: &[u8]) -> Vec<u32> {
    text.iter().map(|byte| u32::from(byte - b'0')).collect()
}

/// A sum of digits, each with a weight.
fn weighted(text: &[u8], weights: &[u32]) -> u32 {
    let digits = digits(text);
    digits
        .iter()
        .zip(weights)
        .map(|(digit, weight)| digit * weight)
        .sum()
}

/// Whether digits hold Luhn's rule (ISO/IEC 7812-1).
pub(super) fn luhn(text: &[u8]) -> bool {
    let sum: u32 = digits(text)
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match place % 2 {
            0 => *digit,
            _ if *digit > 4 => digit * 2 - 9,
            _ => digit * 2,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// The rest of a number of digits and capitals modulo 97, letters as 10 to 35 (ISO 7064).
fn rest_97(text: impl Iterator<Item = u8>) -> u32 {
    text.fold(0, |rest, byte| match byte {
        b'0'..=b'9' => (rest * 10 + u32::from(byte - b'0')) % 97,
        _ => (rest * 100 + u32::from(byte.wrapping_sub(b'A')) + 10) % 97,
    })
}

/// How long IBANs of a country are (the IBAN registry of SWIFT).
const IBANS: &[(&[u8; 2], usize)] = &[
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NL", 18),
    (b"NO", 15),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"SA", 24),
    (b"SC", 31),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"VG", 24),
    (b"XK", 20),
];

/// Of digits and capitals without blanks: `None`, it does not look like an IBAN; else whether it is one.
pub(super) fn iban(text: &[u8]) -> Option<bool> {
    let country: &[u8; 2] = text.first_chunk()?;
    let (_, length) = IBANS.iter().find(|(known, _)| *known == country)?;
    let has_form = text.len() == *length
        && text[2..4].iter().all(u8::is_ascii_digit)
        && text[4..]
            .iter()
            .all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
    has_form.then(|| rest_97(text[4..].iter().chain(&text[..4]).copied()) == 1)
}

/// Of digits with an issuer's first ones and that issuer's length: whether the check digit is a card's. `None`: they are no
/// issuer's.
pub(super) fn card(text: &[u8]) -> Option<bool> {
    let first = |count: usize| {
        let front = text.get(..count).unwrap_or_default();
        front
            .iter()
            .fold(0_u32, |number, byte| number * 10 + u32::from(byte - b'0'))
    };
    let length = text.len();
    let is_issued = match first(1) {
        // Visa.
        4 => matches!(length, 13 | 16 | 19),
        // Mastercard, Maestro.
        5 => {
            matches!(first(2), 51..=55) && length == 16
                || matches!(first(2), 50 | 56..=58) && (13..=19).contains(&length)
        }
        2 => (2221..=2720).contains(&first(4)) && length == 16,
        // American Express, Diners Club, JCB.
        3 => {
            matches!(first(2), 34 | 37) && length == 15
                || (matches!(first(3), 300..=305) || matches!(first(2), 36 | 38)) && length == 14
                || (3528..=3589).contains(&first(4)) && (16..=19).contains(&length)
        }
        // Discover, UnionPay.
        6 => {
            (first(4) == 6011
                || first(2) == 65
                || (644..=649).contains(&first(3))
                || first(2) == 62)
                && (16..=19).contains(&length)
        }
        _ => false,
    };
    is_issued.then(|| luhn(text))
}

/// Whether a month and a day are such.
fn is_day(month: u32, day: u32) -> bool {
    (1..=12).contains(&month) && (1..=31).contains(&day)
}

fn number(text: &[u8]) -> u64 {
    text.iter()
        .fold(0, |number, byte| number * 10 + u64::from(byte - b'0'))
}

/// Poland's PESEL: eleven digits, the day of birth in them.
pub(super) fn pesel(text: &[u8]) -> Option<bool> {
    let month = number(&text[2..4]) as u32 % 20;
    let sum = weighted(&text[..10], &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3]);
    let is_like = is_day(month, number(&text[4..6]) as u32);
    is_like.then(|| (10 - sum % 10) % 10 == u32::from(text[10] - b'0'))
}

/// Germany's tax identifier: eleven digits, one of the first ten twice or three times (ISO 7064, MOD 11,10).
pub(super) fn german_tax(text: &[u8]) -> Option<bool> {
    let mut counts = [0; 10];
    for byte in &text[..10] {
        counts[usize::from(byte - b'0')] += 1;
    }
    let repeated = counts.iter().filter(|count| **count > 1).count();
    let is_spread = repeated == 1 && counts.iter().all(|count| *count <= 3);
    let mut product = 10;
    for byte in &text[..10] {
        let sum = match (u32::from(byte - b'0') + product) % 10 {
            0 => 10,
            sum => sum,
        };
        product = sum * 2 % 11;
    }
    let check = (11 - product) % 10;
    (text[0] != b'0' && is_spread).then(|| check == u32::from(text[10] - b'0'))
}

/// Brazil's CPF: eleven digits, two of them for checking.
pub(super) fn cpf(text: &[u8]) -> Option<bool> {
    let check = |count: usize| {
        let weights: Vec<u32> = (2..=count as u32 + 1).rev().collect();
        match weighted(&text[..count], &weights) * 10 % 11 {
            10 => 0,
            rest => rest,
        }
    };
    let is_like = text.iter().any(|byte| *byte != text[0]);
    is_like
        .then(|| check(9) == u32::from(text[9] - b'0') && check(10) == u32::from(text[10] - b'0'))
}

/// Belgium's national register number: eleven digits, the day of birth in them.
pub(super) fn belgian(text: &[u8]) -> Option<bool> {
    let check = number(&text[9..]);
    let is_right = |front: u64| 97 - front % 97 == check;
    let front = number(&text[..9]);
    let is_like = is_day(number(&text[2..4]) as u32, number(&text[4..6]) as u32);
    is_like.then(|| is_right(front) || is_right(2_000_000_000 + front))
}

/// The Netherlands' BSN: nine digits.
pub(super) fn bsn(text: &[u8]) -> Option<bool> {
    let sum = weighted(&text[..8], &[9, 8, 7, 6, 5, 4, 3, 2]);
    let last = u32::from(text[8] - b'0');
    (number(text) > 0).then(|| (sum + 11 * 10 - last).is_multiple_of(11))
}

/// Portugal's NIF: nine digits.
pub(super) fn nif(text: &[u8]) -> Option<bool> {
    let sum = weighted(&text[..8], &[9, 8, 7, 6, 5, 4, 3, 2]);
    let check = match sum % 11 {
        0 | 1 => 0,
        rest => 11 - rest,
    };
    let is_like = matches!(text[0], b'1'..=b'3' | b'5' | b'6' | b'8' | b'9');
    is_like.then(|| check == u32::from(text[8] - b'0'))
}

/// England's NHS number: ten digits.
pub(super) fn nhs(text: &[u8]) -> Option<bool> {
    let sum = weighted(&text[..9], &[10, 9, 8, 7, 6, 5, 4, 3, 2]);
    let check = match 11 - sum % 11 {
        11 => 0,
        check => check,
    };
    // There is none whose check would be ten.
    (check < 10).then(|| check == u32::from(text[9] - b'0'))
}

/// Sweden's personal number without its century: ten digits, the day of birth in them.
pub(super) fn swedish(text: &[u8]) -> Option<bool> {
    let is_like = is_day(number(&text[2..4]) as u32, number(&text[4..6]) as u32);
    is_like.then(|| luhn(text))
}

/// France's NIR with its key: fifteen digits, sex, year and month of birth in front.
pub(super) fn nir(text: &[u8]) -> Option<bool> {
    let month = number(&text[3..5]);
    let is_month = (1..=12).contains(&month) || (20..=42).contains(&month) || month >= 50;
    let is_like = matches!(text[0], b'1' | b'2' | b'7' | b'8') && is_month;
    is_like.then(|| 97 - number(&text[..13]) % 97 == number(&text[13..]))
}

/// Switzerland's AHV number: thirteen digits that begin with 756 (EAN-13).
pub(super) fn ahv(text: &[u8]) -> Option<bool> {
    let sum = weighted(&text[..12], &[1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3]);
    let is_like = text.starts_with(b"756");
    is_like.then(|| (10 - sum % 10) % 10 == u32::from(text[12] - b'0'))
}

/// Spain's DNI or NIE: digits and a letter that follows from them. `None`: it does not look like one.
pub(super) fn dni(text: &[u8]) -> Option<bool> {
    const LETTERS: &[u8; 23] = b"TRWAGMYFPDXBNJZSQVHLCKE";
    let (last, front) = text.split_last()?;
    let (first, rest) = front.split_first()?;
    let front: Vec<u8> = match first {
        b'X'..=b'Z' => std::iter::once(first - b'X' + b'0')
            .chain(rest.iter().copied())
            .collect(),
        _ => front.to_vec(),
    };
    if front.len() != 8 || !front.iter().all(u8::is_ascii_digit) || !last.is_ascii_uppercase() {
        return None;
    }
    Some(LETTERS[(number(&front) % 23) as usize] == *last)
}

/// Italy's codice fiscale: sixteen letters and digits. `None`: it does not look like one.
pub(super) fn codice_fiscale(text: &[u8]) -> Option<bool> {
    const ODD: &[u32; 26] = &[
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24,
        23,
    ];
    const FORM: &[u8; 16] = b"AAAAAA00A00A000A";
    if text.len() != 16 {
        return None;
    }
    // Where two have the same one, digits become letters.
    let fits = |(byte, form): (&u8, &u8)| match form {
        b'A' => byte.is_ascii_uppercase(),
        _ => byte.is_ascii_digit() || b"LMNPQRSTUV".contains(byte),
    };
    if !text.iter().zip(FORM).all(fits) {
        return None;
    }
    let value = |byte: u8| match byte {
        b'0'..=b'9' => u32::from(byte - b'0'),
        _ => u32::from(byte - b'A'),
    };
    let sum: u32 = text[..15]
        .iter()
        .enumerate()
        .map(|(place, byte)| match place % 2 {
            0 => ODD[value(*byte) as usize],
            _ => value(*byte),
        })
        .sum();
    Some(sum % 26 == value(text[15]))
}

/// The United Kingdom's National Insurance number. `None`: it does not look like one.
pub(super) fn nino(text: &[u8]) -> Option<bool> {
    let [a, b, digits @ .., last] = text else {
        return None;
    };
    let has_form = digits.len() == 6
        && digits.iter().all(u8::is_ascii_digit)
        && [a, b, last].iter().all(|byte| byte.is_ascii_uppercase());
    // HMRC's manual NIM39110.
    has_form.then(|| {
        let front = [*a, *b];
        !b"DFIQUV".contains(a)
            && !b"DFIQUVO".contains(b)
            && ![b"BG", b"GB", b"NK", b"KN", b"TN", b"NT", b"ZZ"].contains(&&front)
            && (b'A'..=b'D').contains(last)
    })
}

/// The United States' Social Security number with its hyphens. `None`: it does not look like one.
pub(super) fn ssn(text: &[u8]) -> Option<bool> {
    let has_form = text.len() == 11
        && text.iter().enumerate().all(|(place, byte)| match place {
            3 | 6 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    has_form.then(|| {
        let area = number(&text[..3]);
        area != 0
            && area != 666
            && area < 900
            && number(&text[4..6]) != 0
            && number(&text[7..]) != 0
    })
}
