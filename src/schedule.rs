//! When a job is due. Pure.
//!
//! A schedule is read in the wall clock's time of a zone. When the clocks change, a schedule that names its hours is due
//! exactly once for each of its times: at the first of two 01:30s, and as the clock jumps over a 02:30 that is not
//! there. A schedule whose hours begin with `*` goes by elapsed time: no hour is left out, none is doubled up. (So do
//! Vixie cron's descendants, see "Daylight Saving Time" in Debian's cron(8).)

use std::fmt;

use chrono::{
    DateTime, Datelike as _, Duration, LocalResult, NaiveDateTime, Offset, TimeZone, Timelike, Utc,
};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

mod timetable;

pub use timetable::Timetable;

/// Between two changes of a zone's clock lies more than this, and no change is as long.
const STEP: Duration = Duration::days(2);

/// Nothing is due in other years.
const FAR: std::ops::Range<i32> = 1..9999;

/// 2026-01-01T00:00:00Z.
const NEW_YEAR_2026: i64 = 1_767_225_600;

/// A validated schedule, as written.
#[derive(Debug, Clone)]
pub struct Schedule {
    text: String,
    cron: Cron,
    /// Whether the hours begin with `*`.
    elapsed: bool,
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Schedule {}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Schedule {
    /// Five fields, six with seconds in front, or `hourly`, `daily`, `weekly`. One that is never due is refused.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let expression = match text {
            "hourly" => "0 * * * *",
            "daily" => "0 0 * * *",
            "weekly" => "0 0 * * 1",
            other => other,
        };
        let fields: Vec<&str> = expression.split_whitespace().collect();
        let hours = match fields.len() {
            5 => fields[1],
            6 => fields[2],
            1 => return Err(not_a_word(text)),
            n => return Err(format!("a schedule has 5 or 6 fields, this one has {n}")),
        };
        for (field, value) in FIELDS.iter().skip(6 - fields.len()).zip(&fields) {
            field
                .check(value)
                .map_err(|why| format!("`{text}` is not a schedule: {why}"))?;
        }
        let cron = CronParser::builder()
            .seconds(Seconds::Optional)
            .year(Year::Disallowed)
            .build()
            .parse(expression)
            .map_err(|error| {
                let why = error.to_string();
                let why = why.rsplit("rror: ").next().unwrap_or(&why);
                let why = why.trim_end_matches('.').to_lowercase();
                format!("`{text}` is not a schedule: {why}")
            })?;
        let schedule = Self {
            text: text.to_owned(),
            elapsed: hours.starts_with('*'),
            cron,
        };
        match schedule.next_after(DateTime::UNIX_EPOCH, Tz::UTC) {
            Some(_) => Ok(schedule),
            None => Err(format!("`{text}` is never due: no such day exists")),
        }
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first time after this one that the schedule is due, to the second.
    pub fn next_after(&self, after: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        // What was stored may be any time, and a clock of a zone ends before the calendar does.
        if !FAR.contains(&after.year()) {
            return None;
        }
        let after = after.with_nanosecond(0)?;
        if self.elapsed {
            self.next_elapsed(after + Duration::seconds(1), zone)
        } else {
            self.next_on_the_clock(after, zone)
        }
    }

    /// The shortest time between two of its times on a clock that never changes, as far as its first fifty of 2026 tell. The
    /// year is as good as any other, and what is said of a file must not depend on when it is said.
    pub fn shortest_gap(&self) -> Option<std::time::Duration> {
        let begin = DateTime::from_timestamp(NEW_YEAR_2026, 0)?;
        let end = begin + Duration::days(365);
        let first = self.next_after(begin, Tz::UTC);
        let times = std::iter::successors(first, |at| self.next_after(*at, Tz::UTC));
        let times: Vec<_> = times.take(50).take_while(|at| *at < end).collect();
        let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
        gaps.min()?.to_std().ok()
    }

    /// The next match on a clock that never changes, this one included.
    fn next_match(&self, clock: NaiveDateTime) -> Option<NaiveDateTime> {
        // As if it were UTC, so that croner has no change of clocks to treat in its own way.
        let found = self.cron.find_next_occurrence(&clock.and_utc(), true);
        found.ok().map(|time| time.naive_utc())
    }

    fn next_on_the_clock(&self, after: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        // The clock's next second, even where there is none: what a jump leaves out is due as it jumps.
        let mut clock = after.with_timezone(&zone).naive_local() + Duration::seconds(1);
        loop {
            let due = self.next_match(clock)?;
            let at = match zone.from_local_datetime(&due) {
                LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => at.to_utc(),
                LocalResult::None => jump(due, zone)?,
            };
            // Earlier: the first of two equal times, seen from the second.
            if at > after {
                return Some(at);
            }
            clock = due + Duration::seconds(1);
        }
    }

    fn next_elapsed(&self, mut from: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        let offset = |at: DateTime<Utc>| zone.offset_from_utc_datetime(&at.naive_utc()).fix();
        loop {
            let now = offset(from);
            let due = self.next_match((from + now).naive_utc())?;
            let at = due.and_utc() - now;
            let horizon = at.min(from + STEP);
            if offset(horizon) != now {
                // The clocks change on the way: search on from there, on the new clock.
                from = first_change(from, horizon, |at| offset(at) != now);
            } else if at <= horizon {
                return Some(at);
            } else {
                // Nothing is due for a while, whatever the clocks do: a change is shorter than a step.
                from = horizon.max(at - STEP);
            }
        }
    }
}

fn not_a_word(text: &str) -> String {
    let word = text.strip_prefix('@').unwrap_or(text);
    let advice = match word {
        "hourly" | "daily" | "weekly" => format!(": write `{word}`"),
        "midnight" => ": write `daily`".to_owned(),
        "monthly" => ": write `0 0 1 * *`".to_owned(),
        "yearly" | "annually" => ": write `0 0 1 1 *`".to_owned(),
        "reboot" => {
            ": nothing is started by a boot; `catch_up = true` makes up for what was missed"
                .to_owned()
        }
        _ => String::new(),
    };
    format!("`{text}` is not a schedule{advice}")
}

/// A field of a schedule.
struct Field {
    name: &'static str,
    from: u32,
    to: u32,
    /// Whether it takes names, and words of its own: those are croner's business.
    has_words: bool,
}

const fn field(name: &'static str, from: u32, to: u32, has_words: bool) -> Field {
    Field {
        name,
        from,
        to,
        has_words,
    }
}

const FIELDS: [Field; 6] = [
    field("second", 0, 59, false),
    field("minute", 0, 59, false),
    field("hour", 0, 23, false),
    field("day of the month", 1, 31, true),
    field("month", 1, 12, true),
    field("day of the week", 0, 7, true),
];

impl Field {
    /// What is wrong with its numbers, with its name and its range.
    fn check(&self, value: &str) -> Result<(), String> {
        let Self { name, from, to, .. } = self;
        let wrong = |part: &str| {
            Err(format!(
                "`{part}` in its {name} (`{value}`) is not within {from} to {to}"
            ))
        };
        for part in value.split(',') {
            let (range, step) = part
                .split_once('/')
                .map_or((part, None), |(a, b)| (a, Some(b)));
            let ends = range.split('-').filter(|end| *end != "*" && *end != "?");
            for end in ends {
                match end.parse::<u32>() {
                    Ok(number) if (*from..=*to).contains(&number) => {}
                    Err(_) if self.has_words && !end.is_empty() => {}
                    _ => return wrong(end),
                }
            }
            if let Some(step) = step
                && !step
                    .parse::<u32>()
                    .is_ok_and(|step| (1..=to + 1).contains(&step))
            {
                return Err(format!(
                    "its {name} has the step `{step}`, which is not within 1 to {}",
                    to + 1
                ));
            }
        }
        Ok(())
    }
}

/// The instant at which the clock jumps over a time that does not exist.
fn jump(missing: NaiveDateTime, zone: Tz) -> Option<DateTime<Utc>> {
    let offset = |at: DateTime<Utc>| zone.offset_from_utc_datetime(&at.naive_utc()).fix();
    let before = missing.and_utc().checked_sub_signed(STEP)?;
    let after = missing.and_utc().checked_add_signed(STEP)?;
    let old = offset(before);
    Some(first_change(before, after, |at| offset(at) != old))
}

/// The first second in `(before, after]` for which `changed` holds; it holds for `after` and not for `before`.
fn first_change(
    before: DateTime<Utc>,
    after: DateTime<Utc>,
    changed: impl Fn(DateTime<Utc>) -> bool,
) -> DateTime<Utc> {
    let (mut no, mut yes) = (before.timestamp(), after.timestamp());
    while yes - no > 1 {
        let middle = no + (yes - no) / 2;
        if DateTime::from_timestamp(middle, 0).is_some_and(&changed) {
            yes = middle;
        } else {
            no = middle;
        }
    }
    DateTime::from_timestamp(yes, 0).unwrap_or(after)
}

#[cfg(test)]
mod tests;
