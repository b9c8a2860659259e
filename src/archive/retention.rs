//! Which snapshots of a series survive. Pure: no clock, no archive.

use std::collections::BTreeSet;
use std::fmt;

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Utc};

use crate::config::archive::Retention;

/// A snapshot, as far as retention looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its name; of two that are of the same moment the greater one is the newer.
    pub name: String,
    /// The moment that it is of.
    pub taken_at: DateTime<Utc>,
    /// Whether a pull would take it: what cannot be read, or is not authentic, is not.
    pub good: bool,
}

/// What becomes of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It stays; never without a reason.
    Stays(Vec<Reason>),
    /// It goes.
    Goes(Cause),
}

/// Why a snapshot stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Nothing says that anything goes.
    Unlimited,
    /// It is not good: somebody has to look at it.
    NotGood,
    /// It is of a time that has not come: a clock is wrong, here or there.
    Future,
    /// It is the newest good one.
    Newest,
    /// It is among the last: its place from the newest on, from 1.
    Last(u32),
    /// It is the newest of this day.
    Daily(NaiveDate),
    /// It is the newest of this week: year and number by ISO 8601.
    Weekly(i32, u32),
    /// It is not older than `max_age`, and nothing else is asked for.
    Young,
    /// No rule keeps it, but somebody reads it: it goes next time. This is not for [`judge`] to know.
    Read,
}

/// Why a snapshot goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It is older than `max_age`.
    TooOld,
    /// No rule wants it.
    Unwanted,
}

impl Verdict {
    /// Whether it goes.
    pub fn goes(&self) -> bool {
        matches!(self, Self::Goes(_))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Goes(Cause::TooOld) => f.write_str("older than max_age"),
            Self::Goes(Cause::Unwanted) => f.write_str("no rule keeps it"),
            Self::Stays(reasons) => {
                for (number, reason) in reasons.iter().enumerate() {
                    if number > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{reason}")?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlimited => f.write_str("nothing says what goes"),
            Self::NotGood => f.write_str("not good, and not touched"),
            Self::Future => f.write_str("of the future"),
            Self::Newest => f.write_str("the newest good one"),
            Self::Last(place) => write!(f, "keep_last: number {place}"),
            Self::Daily(day) => write!(f, "keep_daily: {day}"),
            Self::Weekly(year, week) => write!(f, "keep_weekly: {year}-W{week:02}"),
            Self::Young => f.write_str("younger than max_age"),
            Self::Read => f.write_str("somebody is reading it"),
        }
    }
}

/// Says what becomes of each snapshot of one series (one job, origin and kind of store), in the order that they are given
/// in. A snapshot stays if any of the rules `keep_*` wants it, and goes once it is older than `max_age` whatever they want;
/// if `max_age` is all there is, the younger ones stay. What is not good, or of the future, stays and is not counted; so
/// does, and is, the newest good one.
pub fn judge(candidates: &[Candidate], retention: &Retention, now: DateTime<Utc>) -> Vec<Verdict> {
    let mut verdicts: Vec<Option<Verdict>> = candidates
        .iter()
        .map(|candidate| {
            let reason = if !candidate.good {
                Reason::NotGood
            } else if candidate.taken_at > now {
                Reason::Future
            } else if !retention.is_any() {
                Reason::Unlimited
            } else {
                return None;
            };
            Some(Verdict::Stays(vec![reason]))
        })
        .collect();
    let mut counted: Vec<usize> = (0..candidates.len())
        .filter(|place| verdicts[*place].is_none())
        .collect();
    counted.sort_by_key(|place| {
        let candidate = &candidates[*place];
        std::cmp::Reverse((candidate.taken_at, candidate.name.clone()))
    });
    let mut rules = Rules::new(retention);
    let oldest = retention
        .max_age
        .and_then(|age| TimeDelta::from_std(age).ok())
        .and_then(|age| now.checked_sub_signed(age));
    for (number, place) in counted.into_iter().enumerate() {
        let taken_at = candidates[place].taken_at;
        let mut reasons = rules.want(number, taken_at);
        let mut cause = Cause::Unwanted;
        if oldest.is_some_and(|oldest| taken_at < oldest) {
            reasons.clear();
            cause = Cause::TooOld;
        } else if rules.only_age {
            reasons.push(Reason::Young);
        }
        if number == 0 {
            reasons.insert(0, Reason::Newest);
        }
        verdicts[place] = Some(if reasons.is_empty() {
            Verdict::Goes(cause)
        } else {
            Verdict::Stays(reasons)
        });
    }
    // All have one by now; if one had not, it would stay.
    verdicts
        .into_iter()
        .map(|verdict| verdict.unwrap_or(Verdict::Stays(vec![Reason::Unlimited])))
        .collect()
}

/// The rules `keep_*` while they are walked through from the newest snapshot on.
struct Rules {
    last: u32,
    daily: u32,
    weekly: u32,
    only_age: bool,
    days: BTreeSet<NaiveDate>,
    weeks: BTreeSet<(i32, u32)>,
}

impl Rules {
    fn new(retention: &Retention) -> Self {
        let asked = [
            retention.keep_last,
            retention.keep_daily,
            retention.keep_weekly,
        ];
        Self {
            last: retention.keep_last.unwrap_or(0),
            daily: retention.keep_daily.unwrap_or(0),
            weekly: retention.keep_weekly.unwrap_or(0),
            only_age: asked.iter().all(Option::is_none),
            days: BTreeSet::new(),
            weeks: BTreeSet::new(),
        }
    }

    /// Which of them want the next older snapshot, the `number`th from 0.
    fn want(&mut self, number: usize, taken_at: DateTime<Utc>) -> Vec<Reason> {
        let mut reasons = Vec::new();
        let place = u32::try_from(number).unwrap_or(u32::MAX).saturating_add(1);
        if place <= self.last {
            reasons.push(Reason::Last(place));
        }
        let day = taken_at.date_naive();
        let week = (day.iso_week().year(), day.iso_week().week());
        if self.days.len() < self.daily as usize && self.days.insert(day) {
            reasons.push(Reason::Daily(day));
        }
        if self.weeks.len() < self.weekly as usize && self.weeks.insert(week) {
            reasons.push(Reason::Weekly(week.0, week.1));
        }
        reasons
    }
}

#[cfg(test)]
mod tests;
