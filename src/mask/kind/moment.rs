//! `date_shift`.

use serde::Deserialize;

use super::contract::{About, Mask, Need, Options, Refused, Site};
use crate::error::Result;
use crate::mask::column::{Column, Fit, Type, Uniqueness};
use crate::mask::key::Prf;
use crate::mask::row::Given;
use crate::mask::value::{Masked, Value};

pub(in crate::mask) const ABOUT: About = About {
    name: "date_shift",
    what: "A date so many days earlier or later; the time of day stays.",
    options: &[
        ("days", "1 to 3650, 30 by default", "how far at most"),
        (
            "by",
            "a column",
            "rows with the same value in it are shifted by the same days, so that spans of time stay; without it dates are \
             shifted each by itself",
        ),
    ],
    examples: &[
        ("\"date_shift\"", "1815-12-10"),
        (
            "{ kind = \"date_shift\", days = 365 }",
            "2024-02-29 12:34:56.789+01",
        ),
    ],
    note: "`infinity` and the zero dates of MySQL stay: they are nobody's. A date before the year 1 and a text that is no date become \
           1970-01-01. Between 1971 and 2037 dates stay between 1970 and 2038, where a TIMESTAMP of MySQL ends.",
};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::mask) struct DateShift {
    #[serde(default = "days")]
    days: u32,
    by: Option<String>,
}

fn days() -> u32 {
    30
}

impl Options for DateShift {
    fn check(&self) -> Result<(), String> {
        match self.days {
            1..=3650 => Ok(()),
            other => Err(format!("`days` is {other}, and 1 to 3650 are allowed")),
        }
    }

    fn fit(&self, column: &Column) -> Fit {
        match &column.kind {
            Type::Date | Type::Timestamp => Fit::Fits,
            Type::Text { longest, .. } if longest.is_none_or(|longest| longest >= 10) => Fit::Fits,
            other => Fit::not(
                format!("makes dates, and the column holds {other}"),
                "null and fixed fit",
            ),
        }
    }

    fn uniqueness(&self, _column: &Column) -> Uniqueness {
        Uniqueness::Lossy
    }

    fn needs(&self) -> Vec<Need> {
        self.by.iter().cloned().map(Need::Raw).collect()
    }

    fn compile(&self, site: &Site<'_>) -> Result<Box<dyn Mask>> {
        Ok(Box::new(DateShiftMask {
            // Days are no part of it: two columns of one person are shifted in proportion, and never apart.
            prf: site
                .key
                .prf(ABOUT.name, if self.by.is_some() { "by" } else { "" }),
            days: i64::from(self.days),
            by: self.by.as_deref().map(site.place),
        }))
    }
}

struct DateShiftMask {
    prf: Prf,
    days: i64,
    by: Option<usize>,
}

/// Year, month and day.
type Date = (i64, i64, i64);

/// Days since 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn to_days((year, month, day): Date) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn from_days(days: i64) -> Date {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let of_era_year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * of_era_year + of_era_year / 4 - of_era_year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = era * 400 + of_era_year + i64::from(month <= 2);
    (year, month, of_year - (153 * shifted + 2) / 5 + 1)
}

/// A date at the beginning of a text, and what follows it.
fn read(text: &[u8]) -> Option<(Date, &[u8])> {
    let number = |text: &[u8]| {
        text.iter()
            .fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'))
    };
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(4..=6).contains(&digits) || text.len() < digits + 6 {
        return None;
    }
    let (year, rest) = text.split_at(digits);
    let (day, rest) = rest.split_at(6);
    let is_date =
        day[0] == b'-' && day[3] == b'-' && [1, 2, 4, 5].iter().all(|at| day[*at].is_ascii_digit());
    if !is_date {
        return None;
    }
    // Nothing, or a time after a blank or a T, and no BC.
    let is_time = rest.is_empty() || rest[0] == b' ' || rest[0] == b'T';
    let is_plain = rest
        .iter()
        .all(|byte| byte.is_ascii_digit() || b" T:.+-Z".contains(byte));
    let date = (number(year), number(&day[1..3]), number(&day[4..6]));
    let (year, month, day) = date;
    let is_known = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && year > 0
        && from_days(to_days(date)) == date;
    (is_time && is_plain && is_known).then_some((date, rest))
}

/// Not anybody's.
fn is_special(text: &[u8]) -> bool {
    [&b"infinity"[..], b"-infinity"].contains(&text)
        || (text.starts_with(b"0000-00-00") && text.iter().all(|byte| b"0-:. T".contains(byte)))
}

fn put(number: i64, digits: usize, out: &mut Vec<u8>) {
    let from = out.len();
    out.resize(from + digits, b'0');
    let mut number = number;
    for digit in out[from..].iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

impl Mask for DateShiftMask {
    fn mask(
        &self,
        value: Value<'_>,
        given: &Given<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Masked, Refused> {
        let met = value.canonical();
        if is_special(&met) {
            out.extend_from_slice(&met);
            return Ok(Masked::Text);
        }
        let Some((date, rest)) = read(&met) else {
            out.extend_from_slice(b"1970-01-01");
            return Ok(Masked::Text);
        };
        let seed = match self.by {
            Some(place) => self.prf.of(&given.raw(place).canonical()),
            None => self.prf.of(&met),
        };
        // One of the days before and after, never none.
        let drawn = seed.below(0, 2 * self.days as usize) as i64;
        let shift = if drawn < self.days {
            drawn - self.days
        } else {
            drawn - self.days + 1
        };
        let days = to_days(date);
        let mut made = from_days(days + shift);
        let years = 1971..=2037;
        let is_out = if years.contains(&date.0) {
            !years.contains(&made.0)
        } else {
            made.0 < 1 || (date.0 <= 9999 && made.0 > 9999)
        };
        if is_out {
            made = from_days(days - shift);
        }
        put(
            made.0,
            if made.0 > 99_999 {
                6
            } else if made.0 > 9999 {
                5
            } else {
                4
            },
            out,
        );
        out.push(b'-');
        put(made.1, 2, out);
        out.push(b'-');
        put(made.2, 2, out);
        out.extend_from_slice(rest);
        Ok(Masked::Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        assert_eq!(to_days((1970, 1, 1)), 0);
        assert_eq!(to_days((2000, 3, 1)), 11_017);
        for days in (-800_000..3_000_000).step_by(37) {
            assert_eq!(to_days(from_days(days)), days);
        }
        assert_eq!(from_days(to_days((2024, 2, 29)) + 1), (2024, 3, 1));
    }

    #[test]
    fn only_dates_are_read_as_dates() {
        assert!(read(b"2024-02-29").is_some());
        assert!(read(b"2023-02-29").is_none());
        assert!(read(b"2024-02-29 10:00:00+02").is_some());
        assert!(read(b"2024-02-29 is a day").is_none());
        assert!(read(b"0044-03-15 BC").is_none());
        assert!(read(b"10000-01-01").is_some());
        assert!(is_special(b"0000-00-00 00:00:00"));
        assert!(!is_special(b"0000-00-01"));
    }
}
