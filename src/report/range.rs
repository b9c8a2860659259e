//! Ranges of the Monitoring Plugins guidelines, over durations
//! (<https://www.monitoring-plugins.org/doc/guidelines.html#THRESHOLDFORMAT>).

use std::fmt;
use std::str::FromStr;

/// When to raise an alarm: `10` (below 0 or above 10), `10:` (below 10), `~:10` (above 10), `10:20` (outside),
/// `@10:20` (inside, ends included). Numbers are seconds, or have a unit: `90m`, `28h`, `2d`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    start: f64,
    end: f64,
    inside: bool,
}

impl Range {
    /// `hours` as `-w 28h` means it.
    pub fn hours(hours: u32) -> Self {
        Self {
            start: 0.0,
            end: f64::from(hours) * 3600.0,
            inside: false,
        }
    }

    /// Whether this value raises the alarm.
    pub fn alerts(&self, value: f64) -> bool {
        let within = self.start <= value && value <= self.end;
        within == self.inside
    }
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            Err(format!(
                "`{text}` is not a range: {why}; allowed: 28h, 10:, ~:2d, 90m:28h, @1h:2h, with units s, m, h, d, w"
            ))
        };
        let trimmed = text.trim();
        let (inside, rest) = match trimmed.strip_prefix('@') {
            Some(rest) => (true, rest),
            None => (false, trimmed),
        };
        let (start, end) = match rest.split_once(':') {
            None => (Ok(0.0), number(rest)),
            Some((start, end)) => (
                match start {
                    "~" => Ok(f64::NEG_INFINITY),
                    "" => Ok(0.0),
                    start => number(start),
                },
                match end {
                    "" => Ok(f64::INFINITY),
                    end => number(end),
                },
            ),
        };
        match (start, end) {
            (Ok(start), Ok(end)) if start <= end => Ok(Self { start, end, inside }),
            (Ok(_), Ok(_)) => wrong("it ends before it starts"),
            (Err(why), _) | (_, Err(why)) => wrong(&why),
        }
    }
}

fn number(text: &str) -> Result<f64, String> {
    let split = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let factor = match unit {
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        "w" => 7.0 * 86400.0,
        unit => return Err(format!("`{unit}` is not a unit")),
    };
    match digits.parse::<f64>() {
        Ok(value) if (value * factor).is_finite() => Ok(value * factor),
        _ => Err(format!("`{text}` is not a number")),
    }
}

/// In seconds, as performance data carries it.
impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.inside {
            f.write_str("@")?;
        }
        if self.start == f64::NEG_INFINITY {
            f.write_str("~:")?;
        } else if self.start != 0.0 || self.end == f64::INFINITY {
            write!(f, "{}:", self.start)?;
        }
        if self.end != f64::INFINITY {
            write!(f, "{}", self.end)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guidelines_own_table_holds() {
        for (range, alerts, quiet) in [
            ("10", vec![-1.0, 10.5], vec![0.0, 5.0, 10.0]),
            ("10:", vec![-1.0, 9.9], vec![10.0, 1e9]),
            ("~:10", vec![10.1], vec![-1e9, 0.0, 10.0]),
            ("10:20", vec![9.0, 21.0], vec![10.0, 20.0]),
            ("@10:20", vec![10.0, 15.0, 20.0], vec![9.0, 21.0]),
            ("@10", vec![0.0, 10.0], vec![-1.0, 11.0]),
            (":10", vec![-1.0, 11.0], vec![0.0]),
        ] {
            let parsed: Range = range.parse().unwrap();
            for value in alerts {
                assert!(parsed.alerts(value), "{range} is quiet at {value}");
            }
            for value in quiet {
                assert!(!parsed.alerts(value), "{range} alerts at {value}");
            }
        }
    }

    #[test]
    fn units_become_seconds() {
        for (text, seconds) in [
            ("28h", "100800"),
            ("90m", "5400"),
            ("2d", "172800"),
            ("1w", "604800"),
            ("10s:1.5h", "10:5400"),
            ("~:1m", "~:60"),
            ("@1h:2h", "@3600:7200"),
            ("10:", "10:"),
            ("0:", "0:"),
        ] {
            assert_eq!(
                text.parse::<Range>().unwrap().to_string(),
                seconds,
                "{text}"
            );
        }
        assert_eq!(Range::hours(28), "28h".parse().unwrap());
    }

    #[test]
    fn nonsense_is_no_range() {
        for text in [
            "", "x", "10y", "20:10", "1:2:3", "@", "~", "nan", "inf", "--1", "1 h", "@~",
        ] {
            assert!(text.parse::<Range>().is_err(), "{text}");
        }
    }
}
