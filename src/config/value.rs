//! Typed readers of single values.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::diagnostics::did_you_mean;
use super::document::{has_secret, quote};
use super::reader::{Table, Value};

/// No duration is longer.
const LONGEST: Duration = Duration::from_secs(100 * 31_557_600);

impl Table<'_> {
    /// A key with one of a few words; `default` if it is missing, `None` if it is wrong.
    pub(super) fn choice<T: Copy>(
        &self,
        key: &'static str,
        all: &[(&str, T)],
        default: T,
    ) -> Option<T> {
        match self.get(key) {
            Some(value) => value.choice(all, &[]),
            None => Some(default),
        }
    }
}

impl<'a> Value<'a> {
    pub(super) fn boolean(&self) -> Option<bool> {
        let value = self.content.as_bool();
        if value.is_none() {
            self.wrong_type("true or false", None);
        }
        value
    }

    /// An integer in a range.
    pub(super) fn integer(&self, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        let allowed = if *range.end() == i64::MAX {
            format!("{} or more", range.start())
        } else {
            format!("{} to {}", range.start(), range.end())
        };
        let Some(integer) = self.content.as_integer() else {
            self.wrong_type("an integer", Some(format!("allowed: {allowed}")));
            return None;
        };
        let value = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let value = value.filter(|value| range.contains(value));
        if value.is_none() {
            self.report(
                self.wrong(format!("`{integer}` is out of range"))
                    .allowed(allowed),
            );
        }
        value
    }

    /// A duration above zero, as humantime reads it.
    pub(super) fn duration(&self) -> Option<Duration> {
        let example = "a number with a unit: \"90s\", \"5m\", \"6h\", \"1h 30m\", \"2days\"";
        let Some(text) = self.content.as_str() else {
            let help = self
                .content
                .as_integer()
                .map(|n| format!("write it with a unit: \"{n}s\""));
            self.wrong_type("a duration as a string", help);
            return None;
        };
        match humantime::parse_duration(text.trim()) {
            // Times that lie so far away are none to a clock.
            Ok(duration) if duration > LONGEST => {
                self.report(
                    self.wrong("a duration of more than a hundred years")
                        .allowed(example),
                );
                None
            }
            Ok(duration) if !duration.is_zero() => Some(duration),
            Ok(_) => {
                self.report(self.wrong("a duration of nothing").allowed(example));
                None
            }
            Err(error) => {
                let why = if has_secret(text) {
                    String::new()
                } else {
                    format!(": {error}")
                };
                self.report(
                    self.wrong(format!("{} is not a duration{why}", quote(text)))
                        .allowed(example),
                );
                None
            }
        }
    }

    /// A rate above zero, in bytes a second.
    pub(super) fn rate(&self) -> Option<u64> {
        let allowed = "a number with a unit: \"500kB/s\", \"50MB/s\", \"1.5GB/s\", \"64MiB/s\"";
        let Some(text) = self.content.as_str() else {
            let help = self
                .content
                .as_integer()
                .map(|n| format!("write it with a unit: \"{n}MB/s\""));
            self.wrong_type("a rate as a string", help);
            return None;
        };
        let rate = bytes_a_second(text);
        if rate.is_none() {
            self.report(
                self.wrong(format!("{} is not a rate", quote(text)))
                    .allowed(allowed),
            );
        }
        rate
    }

    /// A size in bytes, of at least so many MiB.
    pub(super) fn size(&self, least: u64) -> Option<u64> {
        let allowed = format!(
            "a number with a unit, \"{} MiB\" or more: \"1GiB\", \"1.5GB\", \"512MiB\"",
            least >> 20
        );
        let Some(text) = self.content.as_str() else {
            let help = self
                .content
                .as_integer()
                .map(|n| format!("write it with a unit: \"{n}MiB\""));
            self.wrong_type("a size as a string", help);
            return None;
        };
        let Some(size) = bytes(text) else {
            self.report(
                self.wrong(format!("{} is not a size", quote(text)))
                    .allowed(allowed),
            );
            return None;
        };
        if size < least {
            self.report(
                self.wrong(format!("{} is too little", quote(text)))
                    .allowed(allowed),
            );
            return None;
        }
        Some(size)
    }

    /// A time zone's name.
    pub(super) fn time_zone(&self) -> Option<chrono_tz::Tz> {
        let text = self.text()?;
        let zone = text.parse().ok();
        if zone.is_none() {
            self.report(
                self.wrong(format!("{} is not a time zone", quote(text)))
                    .allowed("names of the IANA database: UTC, Europe/London, ...")
                    .maybe_help(did_you_mean(
                        text,
                        chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()),
                    )),
            );
        }
        zone
    }

    /// One of a few words; `later` are words whose feature comes later.
    pub(super) fn choice<T: Copy>(&self, all: &[(&str, T)], later: &[&str]) -> Option<T> {
        let text = self.string()?;
        if let Some((_, value)) = all.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let words: Vec<&str> = all.iter().map(|(word, _)| *word).collect();
        let diagnostic = if later.contains(&text) {
            self.wrong(format!("{} is not supported yet", quote(text)))
        } else {
            self.wrong(format!("{} is not possible here", quote(text)))
                .maybe_help(did_you_mean(text, words.iter().copied()))
        };
        self.report(diagnostic.allowed(words.join(" | ")));
        None
    }

    /// A path; a relative one starts in the file's directory.
    pub(super) fn path(&self) -> Option<PathBuf> {
        let text = self.text()?;
        Some(self.findings.document.directory().join(Path::new(text)))
    }

    /// A list of strings, none of them empty, with the place of each. `None` if one of them is wrong.
    pub(super) fn texts(&self) -> Option<Vec<(Value<'a>, &'a str)>> {
        let members: Vec<Option<_>> = self
            .list()?
            .into_iter()
            .map(|member| member.text().map(|text| (member, text)))
            .collect();
        members.into_iter().collect()
    }

    /// A list of globs. What is none is said, and in the list all the same.
    pub(super) fn globs(&self) -> Option<Vec<String>> {
        let mut globs = Vec::new();
        for (member, text) in self.texts()? {
            member.check_glob(text);
            globs.push(text.to_owned());
        }
        Some(globs)
    }

    /// Reports what is no glob.
    pub(super) fn check_glob(&self, text: &str) {
        if let Err(error) = glob::Pattern::new(text) {
            self.report(
                self.wrong(format!("{} is not a glob: {}", quote(text), error.msg))
                    .allowed("[schema.]table, with `*`, `?` and `[abc]`"),
            );
        }
    }

    /// A command: a program and its arguments.
    pub(super) fn argv(&self) -> Option<Vec<String>> {
        if let Some(text) = self.content.as_str() {
            let words: Vec<String> = text
                .split_whitespace()
                .map(|word| format!("{word:?}"))
                .collect();
            let help = if has_secret(text) {
                "write it as a list: a program and its arguments; there is no shell".to_owned()
            } else {
                format!(
                    "there is no shell: write it as a list: [{}]",
                    words.join(", ")
                )
            };
            self.wrong_type("a list: a program and its arguments", Some(help));
            return None;
        }
        let members = self.list()?;
        let argv: Vec<Option<&str>> = members
            .iter()
            .enumerate()
            // An argument may be empty, a program may not.
            .map(|(n, member)| {
                if n == 0 {
                    member.text()
                } else {
                    member.string()
                }
            })
            .collect();
        if argv.is_empty() {
            self.report(
                self.wrong("an empty list names no program")
                    .allowed("[\"/path/to/program\", \"argument\", ...]"),
            );
            return None;
        }
        argv.into_iter()
            .map(|word| word.map(str::to_owned))
            .collect()
    }
}

/// `50MB/s`: a [size](bytes) a second.
pub(super) fn bytes_a_second(text: &str) -> Option<u64> {
    bytes(text.trim().strip_suffix("/s")?)
}

/// `50MB`: a decimal number and B, kB, MB or GB (powers of 1000), KiB, MiB or GiB (of 1024). At least 1 B.
pub fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let at = text.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
    let (number, unit) = text.split_at(at);
    let unit: u64 = match unit.trim() {
        "B" => 1,
        "kB" => 1000,
        "MB" => 1000 * 1000,
        "GB" => 1000 * 1000 * 1000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    let size = number.parse::<f64>().ok()? * unit as f64;
    (1.0..1e15).contains(&size).then_some(size as u64)
}

#[cfg(test)]
mod tests {
    use super::bytes_a_second;

    #[test]
    fn rates_have_a_number_and_a_unit_a_second() {
        for (text, rate) in [
            ("1B/s", 1),
            ("500kB/s", 500_000),
            ("50MB/s", 50_000_000),
            ("1.5GB/s", 1_500_000_000),
            ("64 MiB/s", 67_108_864),
            (" 1KiB/s ", 1024),
            ("2GiB/s", 2_147_483_648),
        ] {
            assert_eq!(bytes_a_second(text), Some(rate), "{text}");
        }
        for text in [
            "",
            "50",
            "50MB",
            "MB/s",
            "0MB/s",
            "-1MB/s",
            "50mb/s",
            "50Mbit/s",
            "1e3MB/s",
            "1.2.3MB/s",
            "0.1B/s",
            "/s",
            "99999999GB/s",
        ] {
            assert_eq!(bytes_a_second(text), None, "{text}");
        }
    }
}
