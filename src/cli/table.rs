//! Tables and times for people.

use chrono::{DateTime, Local, Utc};
use comfy_table::{ContentArrangement, Table, presets};
use std::time::Duration;

/// A table with these columns, as wide as the terminal at the most.
pub(super) fn new(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header.to_vec());
    table
}

/// `2026-01-02 03:04 (3h ago)`, in local time.
pub(super) fn when(time: Option<DateTime<Utc>>, now: DateTime<Utc>) -> String {
    let Some(time) = time else {
        return "-".to_owned();
    };
    let local = time.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S");
    let (distance, past) = match (now - time).to_std() {
        Ok(distance) => (distance, true),
        Err(_) => ((time - now).to_std().unwrap_or_default(), false),
    };
    let rough = roughly(distance);
    if past {
        format!("{local} ({rough} ago)")
    } else {
        format!("{local} (in {rough})")
    }
}

/// `3h`, `12m`, `5s`, `2d`.
pub(super) fn roughly(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7199 => format!("{}m", seconds / 60),
        7200..=172_799 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// `1h 2m 3s`, without smaller pieces.
pub(super) fn duration(duration: Duration) -> String {
    if duration < Duration::from_secs(10) {
        return format!("{:.1}s", duration.as_secs_f64());
    }
    humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string()
}

/// A message in a table's cell: what is longer stands in `show`.
pub(super) fn message(text: &str) -> String {
    const MOST: usize = 90;
    if text.chars().count() <= MOST {
        return text.to_owned();
    }
    text.chars().take(MOST - 3).chain("...".chars()).collect()
}
