//! Numbers that stay near what they were: `number_noise`, `bucket`.

use std::io::Write as _;

use serde::Deserialize;

use super::contract::{About, Mask, Options, Refused, Site};
use crate::error::Result;
use crate::mask::column::{Column, Fit, Type, Uniqueness};
use crate::mask::key::Prf;
use crate::mask::row::Given;
use crate::mask::value::{Masked, Value, put_number};

pub(in crate::mask) const NOISE: About = About {
    name: "number_noise",
    what: "A number that differs by some percent, with as many decimals.",
    options: &[("percent", "1 to 100, 10 by default", "by how much at most")],
    examples: &[
        ("\"number_noise\"", "52000.00"),
        ("{ kind = \"number_noise\", percent = 50 }", "1234"),
    ],
    note: "Small whole numbers differ by one at least; zero stays zero, and so do NaN and infinity. What is no number becomes 0.",
};

pub(in crate::mask) const BUCKET: About = About {
    name: "bucket",
    what: "The beginning of the bucket that a number or a date is in.",
    options: &[(
        "size",
        "a whole number above 0, or day, month, year",
        "how wide a bucket is; of numbers the first, of dates one of the words",
    )],
    examples: &[
        ("{ kind = \"bucket\", size = 1000 }", "52499.95"),
        (
            "{ kind = \"bucket\", size = \"year\" }",
            "1985-07-14 08:30:00",
        ),
    ],
    note: "A negative number goes to the bucket's end that is further from zero. What is neither becomes 0, or 1970-01-01.",
};

/// A decimal number: its digits as a whole number, and how many of them are behind the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Decimal {
    digits: i128,
    scale: u32,
}

/// The most digits that are counted with: products with percents stay in 128 bits.
const MOST_DIGITS: usize = 34;

impl Decimal {
    fn read(text: &[u8]) -> Option<Self> {
        let (is_negative, rest) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] | rest => (false, rest),
        };
        let (mut digits, mut count, mut scale, mut has_point) = (0_i128, 0, 0, false);
        for byte in rest {
            match byte {
                b'0'..=b'9' => {
                    digits = digits * 10 + i128::from(byte - b'0');
                    count += 1;
                    scale += u32::from(has_point);
                }
                b'.' if !has_point => has_point = true,
                _ => return None,
            }
            if count > MOST_DIGITS {
                return None;
            }
        }
        let digits = if is_negative { -digits } else { digits };
        (count > 0).then_some(Self { digits, scale })
    }

    fn write(self, out: &mut Vec<u8>) {
        if let (Ok(whole), 0) = (u64::try_from(self.digits.unsigned_abs()), self.scale) {
            if self.digits < 0 {
                out.push(b'-');
            }
            return put_number(whole, out);
        }
        let unit = 10_i128.pow(self.scale);
        let (whole, rest) = (
            self.digits.unsigned_abs() / unit.unsigned_abs(),
            self.digits.unsigned_abs() % unit.unsigned_abs(),
        );
        let sign = if self.digits < 0 { "-" } else { "" };
        let written = match self.scale as usize {
            0 => write!(out, "{sign}{whole}"),
            scale => write!(out, "{sign}{whole}.{rest:0scale$}"),
        };
        written.expect("memory takes everything");
    }
}

/// What a column's numbers can be.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    least: i128,
    greatest: i128,
}

impl Bounds {
    fn of(column: &Column) -> Self {
        match column.kind {
            Type::Integer { bits, is_signed } => {
                let greatest = Type::greatest(bits, is_signed);
                let least = if is_signed { -greatest - 1 } else { 0 };
                Self { least, greatest }
            }
            Type::Decimal {
                precision: Some(precision),
                ..
            } if precision < 38 => {
                let greatest = 10_i128.pow(u32::from(precision)) - 1;
                Self {
                    least: -greatest,
                    greatest,
                }
            }
            _ => Self {
                least: i128::MIN,
                greatest: i128::MAX,
            },
        }
    }
}

fn fit(column: &Column, has_dates: bool) -> Fit {
    match &column.kind {
        Type::Integer { .. } | Type::Decimal { .. } | Type::Real if !has_dates => Fit::Fits,
        Type::Date | Type::Timestamp if has_dates => Fit::Fits,
        Type::Text { .. } => Fit::Fits,
        other => Fit::not(
            format!(
                "makes {}, and the column holds {other}",
                if has_dates { "dates" } else { "numbers" }
            ),
            "null and fixed fit",
        ),
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::mask) struct NumberNoise {
    #[serde(default = "percent")]
    percent: u32,
}

fn percent() -> u32 {
    10
}

impl Options for NumberNoise {
    fn check(&self) -> Result<(), String> {
        match self.percent {
            1..=100 => Ok(()),
            other => Err(format!("`percent` is {other}, and 1 to 100 are allowed")),
        }
    }

    fn fit(&self, column: &Column) -> Fit {
        fit(column, false)
    }

    fn uniqueness(&self, _column: &Column) -> Uniqueness {
        Uniqueness::Lossy
    }

    fn compile(&self, site: &Site<'_>) -> Result<Box<dyn Mask>> {
        Ok(Box::new(NoiseMask {
            prf: site.key.prf(NOISE.name, ""),
            percent: self.percent,
            bounds: Bounds::of(site.column),
        }))
    }
}

struct NoiseMask {
    prf: Prf,
    percent: u32,
    bounds: Bounds,
}

impl NoiseMask {
    /// From -1 to 1 in steps of a millionth, never zero.
    fn millionths(&self, met: &[u8]) -> i128 {
        let drawn = self.prf.of(met).below(0, 2_000_000) as i128;
        if drawn < 1_000_000 {
            drawn - 1_000_000
        } else {
            drawn - 999_999
        }
    }

    fn noisy(&self, met: &[u8], number: i128) -> i128 {
        let share = self.millionths(met);
        let mut change = part_of(number, share * i128::from(self.percent));
        if change == 0 {
            change = share.signum() * number.signum();
        }
        let made = number.saturating_add(change);
        if (self.bounds.least..=self.bounds.greatest).contains(&made) {
            made
        } else {
            number
                .saturating_sub(change)
                .clamp(self.bounds.least, self.bounds.greatest)
        }
    }
}

/// So many hundred-millionths of a number.
fn part_of(number: i128, parts: i128) -> i128 {
    const ALL: i64 = 100_000_000;
    // Nearly all products have 64 bits, which are divided in a tenth of the time.
    if let (Ok(number), Ok(parts)) = (i64::try_from(number), i64::try_from(parts))
        && let Some(product) = number.checked_mul(parts)
    {
        return i128::from(product / ALL);
    }
    // Of a number of thirty-four digits a hundred millionths would be too many for 128 bits.
    match number.checked_mul(parts) {
        Some(product) => product / i128::from(ALL),
        None => number / i128::from(ALL) * parts,
    }
}

impl Mask for NoiseMask {
    fn mask(
        &self,
        value: Value<'_>,
        _given: &Given<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Masked, Refused> {
        let met = value.canonical();
        match value {
            Value::Integer(number) => return Ok(Masked::Integer(self.noisy(&met, number))),
            Value::Real(number) => return Ok(Masked::Real(self.noisy_real(&met, number))),
            _ => {}
        }
        if let Some(number) = Decimal::read(&met) {
            let digits = self.noisy(&met, number.digits);
            Decimal { digits, ..number }.write(out);
        } else {
            match std::str::from_utf8(&met)
                .ok()
                .and_then(|text| text.trim().parse::<f64>().ok())
            {
                Some(number) if !number.is_finite() => out.extend_from_slice(&met),
                Some(number) => write!(out, "{:e}", self.noisy_real(&met, number))
                    .expect("memory takes everything"),
                None => out.push(b'0'),
            }
        }
        Ok(Masked::Text)
    }
}

impl NoiseMask {
    fn noisy_real(&self, met: &[u8], number: f64) -> f64 {
        let share = self.millionths(met) as f64 / 1e6 * f64::from(self.percent) / 100.0;
        let made = number * (1.0 + share);
        if made.is_finite() || !number.is_finite() {
            made
        } else {
            number * (1.0 - share.abs())
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::mask) struct Bucket {
    size: Size,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(
    untagged,
    expecting = "a whole number above 0, or day, month or year, is allowed"
)]
enum Size {
    Number(u32),
    Span(Span),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Span {
    Day,
    Month,
    Year,
}

impl Options for Bucket {
    fn check(&self) -> Result<(), String> {
        match self.size {
            Size::Number(0) => Err(
                "`size` is 0; a whole number above that, or day, month or year, is allowed"
                    .to_owned(),
            ),
            _ => Ok(()),
        }
    }

    fn fit(&self, column: &Column) -> Fit {
        fit(column, matches!(self.size, Size::Span(_)))
    }

    fn uniqueness(&self, _column: &Column) -> Uniqueness {
        Uniqueness::Lossy
    }

    fn compile(&self, site: &Site<'_>) -> Result<Box<dyn Mask>> {
        Ok(match self.size {
            Size::Number(size) => Box::new(BucketMask(i128::from(size), Bounds::of(site.column))),
            Size::Span(span) => Box::new(SpanMask(span)),
        })
    }
}

struct BucketMask(i128, Bounds);

impl BucketMask {
    fn floor(&self, number: i128, unit: i128) -> i128 {
        let size = self.0.saturating_mul(unit);
        let made = number.div_euclid(size).saturating_mul(size);
        made.clamp(self.1.least, self.1.greatest)
    }
}

impl Mask for BucketMask {
    fn mask(
        &self,
        value: Value<'_>,
        _given: &Given<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Masked, Refused> {
        match value {
            Value::Integer(number) => return Ok(Masked::Integer(self.floor(number, 1))),
            Value::Real(number) if number.is_finite() => {
                let size = self.0 as f64;
                return Ok(Masked::Real((number / size).floor() * size));
            }
            _ => {}
        }
        let met = value.canonical();
        match Decimal::read(&met) {
            Some(number) => {
                let digits = self.floor(number.digits, 10_i128.pow(number.scale));
                Decimal { digits, ..number }.write(out);
            }
            None => out.push(b'0'),
        }
        Ok(Masked::Text)
    }
}

struct SpanMask(Span);

impl Mask for SpanMask {
    fn mask(
        &self,
        value: Value<'_>,
        _given: &Given<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Masked, Refused> {
        let met = value.canonical();
        let digits = |bytes: &[u8]| bytes.iter().all(u8::is_ascii_digit);
        let is_date = met.len() >= 10
            && digits(&met[..4])
            && met[4] == b'-'
            && digits(&met[5..7])
            && met[7] == b'-'
            && digits(&met[8..10])
            && met.get(10).is_none_or(|byte| b" T".contains(byte));
        if !is_date {
            out.extend_from_slice(b"1970-01-01");
            return Ok(Masked::Text);
        }
        let kept = match self.0 {
            Span::Day => 10,
            Span::Month => 7,
            Span::Year => 4,
        };
        out.extend_from_slice(&met[..kept]);
        // MySQL's zero dates stay what they are.
        let first = if met.starts_with(b"0000-00-00") {
            "-00-00"
        } else {
            "-01-01"
        };
        out.extend_from_slice(&first.as_bytes()[kept - 4..]);
        if met.len() > 10 {
            out.extend_from_slice(&met[10..=10]);
            out.extend_from_slice(b"00:00:00");
            // The zone, if it has one.
            let time = &met[11..];
            let zone = time.iter().position(|byte| b"+-Z".contains(byte));
            let zone = zone.map_or(&[][..], |at| &time[at..]);
            if zone.len() <= 9 && zone.iter().all(|byte| b"+-Z:0123456789".contains(byte)) {
                out.extend_from_slice(zone);
            }
        }
        Ok(Masked::Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_read_and_written_as_they_are() {
        for text in [
            "0",
            "-1",
            "12.50",
            "-0.05",
            "1234567890123456789012345678.901234",
        ] {
            let mut out = Vec::new();
            Decimal::read(text.as_bytes()).unwrap().write(&mut out);
            assert_eq!(out, text.as_bytes());
        }
        for text in [
            "",
            "-",
            ".",
            "1e5",
            "NaN",
            "1.2.3",
            "12345678901234567890123456789012345",
        ] {
            assert_eq!(Decimal::read(text.as_bytes()), None, "{text}");
        }
    }
}
