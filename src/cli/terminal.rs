//! What people see: text, tables, times and sizes.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use chrono::{DateTime, Local, Utc};
use comfy_table::{ContentArrangement, Table, presets};

use crate::error::{self, Result};

/// Writes to standard output. False: whoever read it has gone, and nothing more need be written.
pub(super) fn print(text: &str) -> Result<bool> {
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
    let _ = writeln!(io::stderr(), "envsyncd: {text}");
}

/// Writes a value as indented JSON.
pub(super) fn print_json(value: &impl serde::Serialize) -> Result<bool> {
    let mut text = serde_json::to_string_pretty(value).map_err(|error| {
        error::Error::new(error::Kind::Internal, "cannot write this as JSON").because(error)
    })?;
    text.push('\n');
    print(&text)
}

/// A table with a headline. On a terminal it is as wide as that at the most; elsewhere no line is broken.
pub(super) fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(head.to_vec());
    for row in rows {
        table.add_row(row);
    }
    let width = io::stdout()
        .is_terminal()
        .then(terminal_size::terminal_size)
        .flatten();
    if let Some((width, _)) = width {
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(width.0);
    }
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim());
        text.push('\n');
    }
    text
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

/// `987.7 MB`, in powers of 1000.
pub(super) fn bytes(count: u64) -> String {
    let mut size = count as f64;
    for unit in ["B", "kB", "MB", "GB", "TB"] {
        if size < 999.95 {
            return if unit == "B" {
                format!("{count} B")
            } else {
                format!("{size:.1} {unit}")
            };
        }
        size /= 1000.0;
    }
    format!("{size:.1} PB")
}

/// `1,234,567`.
pub(super) fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_lengths_read_as_people_write_them() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1000), "1.0 kB");
        assert_eq!(bytes(999_999), "1.0 MB");
        assert_eq!(bytes(987_654_321), "987.7 MB");
        assert_eq!(bytes(u64::MAX), "18446.7 PB");
        assert_eq!(number(7), "7");
        assert_eq!(number(123), "123");
        assert_eq!(number(1_234_567), "1,234,567");
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
    fn a_table_has_aligned_columns_and_no_trailing_blanks() {
        let text = table(
            &["JOB", "STATE"],
            [
                vec!["a".to_owned(), "failed".to_owned()],
                vec!["longer".to_owned(), String::new()],
            ],
        );
        assert_eq!(text, "JOB     STATE\na       failed\nlonger\n");
    }
}
