//! What is pulled, and what stays after a push.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};
use toml::de::DeValue;

use crate::config::archive::{Archive, Name, Retention, Wanted};
use crate::config::document::quote;
use crate::config::job_name::JobName;
use crate::config::reader::{Table, Value, optional};
use crate::config::secrets::read_key;

/// More snapshots than anybody has.
const MOST_KEPT: i64 = 100_000;

/// Reads which snapshot is pulled, and with what.
pub(super) fn read_source(
    table: &Table<'_>,
    directory: &Path,
    archive: &mut Archive,
) -> Option<()> {
    let named = match table.get("snapshot") {
        None => Some(None),
        Some(value) if super::format::means_govuk(table) => read_file(&value),
        Some(value) => read_snapshot(&value),
    };
    let at = table.get("at").map(|value| {
        let time = read_time(&value)?;
        if matches!(named, Some(Some(_))) {
            value.report(
                value
                    .wrong("there are both a snapshot's name and a time")
                    .help("leave `at` or `snapshot` out"),
            );
            return None;
        }
        Some(time)
    });
    let job = table.get("job").map(|value| {
        let text = value.text()?;
        if let Err(why) = JobName::parse(text) {
            value.report(value.wrong(why));
            return None;
        }
        if let Some(Some((name, of))) = &named
            && of != text
        {
            value.report(
                value
                    .wrong(format!(
                        "`snapshot` is of the job `{of}`, and `job` is another"
                    ))
                    .help(format!("leave `job` out: there is one snapshot {name}")),
            );
            return None;
        }
        Some(text.to_owned())
    });
    let identity = read_key(table, "identity", directory);
    archive.snapshot = match (named?, optional(at)?) {
        (Some((name, _)), _) => Wanted::Named(name),
        (None, Some(time)) => Wanted::At(time),
        (None, None) => Wanted::Newest,
    };
    archive.job = optional(job)?;
    archive.identity = optional(identity)?;
    Some(())
}

/// `newest`: nothing; or a name, and the job in it.
#[allow(clippy::option_option)]
fn read_snapshot(value: &Value<'_>) -> Option<Option<(String, String)>> {
    let text = value.text()?;
    if text == "newest" {
        return Some(None);
    }
    if let Some(name) = Name::parse(text) {
        return Some(Some((text.to_owned(), name.job)));
    }
    let help = match text {
        "latest" | "last" => "the newest one is called `newest`",
        _ => {
            "`envsyncd snapshots list` prints them; a time is written as at = 2026-01-02T03:04:05Z"
        }
    };
    value.report(
        value
            .wrong(format!("{} is not a snapshot's name", quote(text)))
            .allowed("newest | a name like 20260102T030405Z-JOB-0123456789ab")
            .help(help),
    );
    None
}

/// `newest`: nothing; or a file's name.
#[allow(clippy::option_option)]
fn read_file(value: &Value<'_>) -> Option<Option<(String, String)>> {
    let text = value.text()?;
    if text == "newest" {
        return Some(None);
    }
    let fine = !text.is_empty() && !text.contains('/') && !text.chars().any(char::is_control);
    if !fine || matches!(text, "latest" | "last") {
        value.report(
            value
                .wrong(format!("{} is not a dump's name", quote(text)))
                .allowed("newest | a file's name like 2026-01-02T030405Z-DATABASE.gz"),
        );
        return None;
    }
    Some(Some((text.to_owned(), String::new())))
}

/// RFC 3339, as TOML's own date-time with an offset or as a string.
fn read_time(value: &Value<'_>) -> Option<DateTime<Utc>> {
    const FORM: &str = "2026-01-02T03:04:05Z";
    let text = match value.content {
        DeValue::Datetime(time) => time.to_string(),
        _ => value.text()?.to_owned(),
    };
    let time = DateTime::parse_from_rfc3339(text.trim()).ok();
    if time.is_none() {
        value.report(
            value
                .wrong(format!("{} is not a time with an offset", quote(&text)))
                .allowed(FORM),
        );
    }
    time.map(|time| time.to_utc())
}

/// Reads which snapshots stay, and who can read them.
pub(super) fn read_target(table: &Table<'_>, archive: &mut Archive) -> Option<()> {
    let kept = |key| {
        table.get(key).map(|value| {
            let number = value.integer(1..=MOST_KEPT)?;
            u32::try_from(number).ok()
        })
    };
    let last = kept("keep_last");
    let daily = kept("keep_daily");
    let weekly = kept("keep_weekly");
    let age: Option<Option<Duration>> = table.get("max_age").map(|value| value.duration());
    let recipients = (table.get("recipients")).map(|value| read_recipients(&value));
    archive.retention = Retention {
        keep_last: optional(last)?,
        keep_daily: optional(daily)?,
        keep_weekly: optional(weekly)?,
        max_age: optional(age)?,
    };
    archive.recipients = optional(recipients)?.unwrap_or_default();
    Some(())
}

/// Public keys of age: Bech32 (BIP 173) with 32 bytes, `age1` in front.
fn read_recipients(value: &Value<'_>) -> Option<Vec<String>> {
    const BECH32: &str = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    let members = value.texts()?;
    if members.is_empty() {
        value.report(value.wrong("nobody could read what is written for no recipient"));
        return None;
    }
    let mut fine = true;
    for (member, text) in &members {
        if text.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") {
            member.report(
                member
                    .wrong("this is an identity, which is secret, and not a recipient")
                    .help("`age-keygen -y FILE` prints the recipient; and make a new identity if others have read this file"),
            );
            fine = false;
        } else if !text
            .strip_prefix("age1")
            .is_some_and(|rest| rest.len() == 58 && rest.chars().all(|c| BECH32.contains(c)))
        {
            member.report(
                member
                    .wrong(format!("{} is not an age recipient", quote(text)))
                    .allowed("age1 and 58 letters and digits, as age-keygen prints them"),
            );
            fine = false;
        }
    }
    fine.then(|| {
        members
            .into_iter()
            .map(|(_, text)| text.to_owned())
            .collect()
    })
}
