//! What people see: text, times and sizes. All that others wrote (tables' names, servers' words, reasons) passes through
//! here, and no terminal obeys it.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use chrono::{DateTime, Local, Utc};

pub(super) use super::table::table;
use super::table::{Table, Tone, width};
pub(super) use super::text::{one_line, printable};
use crate::error::{self, Result};
use crate::report::log;
pub(super) use crate::report::units::{bytes, count, number};

/// Writes to standard output. False: whoever read it has gone, and nothing more need be written.
pub(super) fn print(text: &str) -> Result<bool> {
    write(&printable(text))
}

fn write(text: &str) -> Result<bool> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(gone) if gone.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(other) => Err(error::io("cannot write to standard output")(other)),
    }
}

/// Writes a note to standard error.
pub(super) fn note(text: &str) {
    // If nobody reads it, nobody misses it.
    let _ = writeln!(io::stderr(), "envsyncd: {}", printable(text));
}

/// Writes a value as indented JSON.
pub(super) fn print_json(value: &impl serde::Serialize) -> Result<bool> {
    write(&(json(serde_json::to_string_pretty(value))? + "\n"))
}

/// A value as JSON in one line.
pub(super) fn json_line(value: &impl serde::Serialize) -> Result<String> {
    json(serde_json::to_string(value))
}

/// JSON leaves the control characters behind ASCII as they are; escaped they are the same text.
fn json(written: serde_json::Result<String>) -> Result<String> {
    let text = written.map_err(|error| {
        error::Error::new(error::Kind::Internal, "cannot write this as JSON").because(error)
    })?;
    let steers = |c: char| c != '\n' && log::steers(c);
    if !text.contains(steers) {
        return Ok(text);
    }
    Ok(text
        .chars()
        .map(|c| {
            if steers(c) {
                format!("\\u{:04x}", u32::from(c))
            } else {
                c.to_string()
            }
        })
        .collect())
}

/// Text with colours of ours in it, and nothing else that steers a terminal.
pub(super) struct Screen {
    text: String,
    colours: bool,
}

impl Screen {
    pub(super) fn new() -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            text: String::new(),
            // See https://no-color.org.
            colours: io::stdout().is_terminal() && !dumb && !set("NO_COLOR"),
        }
    }

    /// Adds a line, or several.
    pub(super) fn line(&mut self, text: &str) {
        self.toned(text, Tone::Plain);
    }

    pub(super) fn table(&mut self, table: &Table) {
        for (line, tone) in table.lines(width()) {
            self.toned(&line, tone);
        }
    }

    pub(super) fn toned(&mut self, text: &str, tone: Tone) {
        let text = printable(text);
        match tone {
            Tone::Bad if self.colours => {
                self.text.push_str("\x1b[31m");
                self.text.push_str(&text);
                self.text.push_str("\x1b[0m");
            }
            _ => self.text.push_str(&text),
        }
        self.text.push('\n');
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Its lines, with their colours.
    pub(super) fn lines(&self) -> impl Iterator<Item = &str> {
        self.text.lines()
    }

    /// Writes it to standard output, as [`print`] does.
    pub(super) fn show(&self) -> Result<bool> {
        write(&self.text)
    }

    /// Writes what a terminal is to obey.
    pub(super) fn draw(sequence: &str) -> Result<bool> {
        write(sequence)
    }
}

/// `2026-01-01 00:18:00 (3h ago)`, in the local time zone.
pub(super) fn when(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    format!(
        "{} ({})",
        at.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S"),
        relative(at, now)
    )
}

/// `3h ago`, `in 5m`, `just now`.
pub(super) fn relative(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = (now - at).num_seconds();
    if seconds.abs() < 2 {
        return "just now".to_owned();
    }
    let size = seconds.unsigned_abs();
    let text = match size {
        0..=119 => format!("{size}s"),
        120..=7199 => format!("{}m", size / 60),
        7200..=172_799 => format!("{}h", size / 3600),
        _ => format!("{}d", size / 86_400),
    };
    if seconds > 0 {
        format!("{text} ago")
    } else {
        format!("in {text}")
    }
}

/// `13m 7s`, `0.4s`.
pub(super) fn length(duration: Duration) -> String {
    if duration < Duration::from_secs(10) {
        return format!("{:.1}s", duration.as_secs_f64());
    }
    humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_read_as_people_write_them() {
        assert_eq!(length(Duration::from_millis(420)), "0.4s");
        assert_eq!(length(Duration::from_millis(787_200)), "13m 7s");
    }

    #[test]
    fn the_past_is_ago_and_the_future_is_in() {
        let now = DateTime::from_timestamp(1_000_000, 0).unwrap();
        let at = |seconds: i64| relative(now + chrono::Duration::seconds(seconds), now);
        assert_eq!(at(0), "just now");
        assert_eq!(at(-90), "90s ago");
        assert_eq!(at(-3 * 3600), "3h ago");
        assert_eq!(at(-3 * 86_400), "3d ago");
        assert_eq!(at(300), "in 5m");
    }

    #[test]
    fn nothing_that_steers_a_terminal_is_printed() {
        let text = "a\u{1b}]0;title\u{7}\tb\u{9b}2J\u{202e}c\r\nd\u{7f}";
        assert_eq!(
            printable(text),
            "a\\u{1b}]0;title\\u{7}\tb\\u{9b}2J\\u{202e}c\\r\nd\\u{7f}"
        );
        assert_eq!(one_line("a\nb\tc"), "a\\nb\\tc");
        assert_eq!(printable("Größe 数 \u{1f600}"), "Größe 数 \u{1f600}");
        let json = json_line(&text).unwrap();
        assert!(
            json.is_ascii() && !json.contains(char::is_control),
            "{json}"
        );
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }

    #[test]
    fn one_of_a_thing_is_not_several() {
        assert_eq!(count(1, "row"), "1 row");
        assert_eq!(count(0, "row"), "0 rows");
        assert_eq!(count(1_234, "row"), "1,234 rows");
    }
}
