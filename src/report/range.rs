//! Thresholds as monitoring plugins have them, with units of time. Pure.
//!
//! "Threshold and Ranges", Monitoring Plugins Development Guidelines: `10` alerts outside 0..10, `10:` below 10, `~:10`
//! above 10, `10:20` outside of the two, `@10:20` inside.

use std::fmt;
use std::str::FromStr;

/// When to alert, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    start: f64,
    end: f64,
    inside: bool,
}

impl Range {
    /// Alerts above this many seconds.
    pub const fn up_to(seconds: f64) -> Self {
        Self {
            start: 0.0,
            end: seconds,
            inside: false,
        }
    }

    /// Whether this value is one to alert for.
    pub fn alerts(&self, seconds: f64) -> bool {
        let within = (self.start..=self.end).contains(&seconds);
        within == self.inside
    }
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (inside, bounds) = text
            .strip_prefix('@')
            .map_or((false, text), |rest| (true, rest));
        let (start, end) = match bounds.split_once(':') {
            None => (0.0, number(bounds)?),
            Some((start, end)) => {
                let start = match start {
                    "~" => f64::NEG_INFINITY,
                    other => number(other)?,
                };
                let end = if end.is_empty() {
                    f64::INFINITY
                } else {
                    number(end)?
                };
                (start, end)
            }
        };
        if start > end {
            return Err(format!("`{text}`: the start is greater than the end"));
        }
        Ok(Self { start, end, inside })
    }
}

/// Seconds, or a number with a unit: `28h`.
fn number(text: &str) -> Result<f64, String> {
    if let Ok(seconds) = text.parse::<f64>()
        && seconds.is_finite()
        && !text.is_empty()
    {
        return Ok(seconds);
    }
    humantime::parse_duration(text)
        .map(|duration| duration.as_secs_f64())
        .map_err(|_| format!("`{text}` is no number of seconds and no age such as 28h, 90m or 2d"))
}

impl fmt::Display for Range {
    /// As perfdata wants it: seconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.inside {
            f.write_str("@")?;
        }
        if self.start == f64::NEG_INFINITY {
            f.write_str("~:")?;
        } else if self.start != 0.0 || self.end == f64::INFINITY {
            write!(f, "{}:", self.start)?;
        }
        if self.end.is_finite() {
            write!(f, "{}", self.end)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_alert_as_the_guidelines_say() {
        for (range, silent, alert) in [
            ("10", 5.0, 11.0),
            ("10", 10.0, -1.0),
            ("10:", 10.0, 9.0),
            ("~:10", -5.0, 11.0),
            ("10:20", 15.0, 21.0),
            ("@10:20", 9.0, 10.0),
            ("28h", 100_800.0, 100_801.0),
            ("1h:2d", 3600.0, 3599.0),
        ] {
            let parsed: Range = range.parse().unwrap();
            assert!(!parsed.alerts(silent), "{range} {silent}");
            assert!(parsed.alerts(alert), "{range} {alert}");
            assert_eq!(parsed.to_string().parse::<Range>().unwrap(), parsed);
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in ["", "x", "20:10", "@", "10:20:30", "NaN", "inf"] {
            assert!(text.parse::<Range>().is_err(), "{text}");
        }
    }
}
