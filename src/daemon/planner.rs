//! What is due. Pure: the clock's time, and how the daemon was away, come in as arguments.
//!
//! A job's due times come up in their order, each of them once: [`Planned::look`] takes all that have come since the last
//! look and says in one word what is to be done about them. What it has dealt with is [`Planned::handled_until`], one
//! instant, and all of a job's plan that has to survive the daemon.

use chrono::{DateTime, Duration, Utc};

use crate::schedule::Timetable;
use crate::state::Trigger;

#[cfg(test)]
mod tests;

/// How late a due time may come up while the daemon is there: the machine slept for a while, or the clock was set forward.
/// (Vixie cron, too, calls changes of up to 3 hours small, and runs what they jumped over; see Debian's cron(8).)
pub const LATE: Duration = Duration::hours(3);

/// How late a due time may come up after the daemon was down: a restart must not lose the night's run.
pub const RESTART: Duration = Duration::minutes(5);

/// A clock that is set back by more than this had been wrong before.
pub const WRONG: Duration = Duration::hours(24);

/// No more due times than this are counted, so that a thousand jobs of every second are planned at once after a year; a count
/// of as many stands for "or more".
pub const MANY: u32 = 100;

/// How the daemon was away before a look at the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absence {
    /// It was there; the clock may have jumped, or the machine may have slept.
    None,
    /// It was not running: the first look after its start.
    Down,
}

/// What is to be done about due times that have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// One run, for all of them.
    Run {
        /// The latest of them.
        due: DateTime<Utc>,
        /// `Schedule` or `CatchUp`.
        trigger: Trigger,
        /// How many they are: 1 to [`MANY`].
        covers: u32,
    },
    /// They are too old to be run: a skipped run to record, with a warning.
    Missed {
        /// The earliest of them.
        first: DateTime<Utc>,
        /// The latest of them.
        last: DateTime<Utc>,
        /// How many they are: 1 to [`MANY`].
        count: u32,
    },
    /// Nothing is due, but the plan had been ahead of the clock by more than a day, and begins anew: times that came up
    /// while the clock was wrong come up again.
    Rewound {
        /// How far the plan had been.
        from: DateTime<Utc>,
    },
}

/// A job's due times, and how many of them have been dealt with.
#[derive(Debug, Clone)]
pub struct Planned {
    timetable: Timetable,
    catch_up: bool,
    handled_until: DateTime<Utc>,
    next: Option<DateTime<Utc>>,
}

impl Planned {
    /// Goes on where `handled_until` of the same timetable was; without it the job is new, and nothing before `now` is due.
    pub fn new(
        timetable: Timetable,
        catch_up: bool,
        handled_until: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Self {
        let handled_until = handled_until.unwrap_or(now);
        Self {
            next: timetable.next_after(handled_until),
            timetable,
            catch_up,
            handled_until,
        }
    }

    /// The first due time that has not come up; `None` if there is none. It costs nothing.
    pub fn next(&self) -> Option<DateTime<Utc>> {
        self.next
    }

    /// No due time up to this one comes up again. To be kept with the timetable's text: it means nothing for another.
    pub fn handled_until(&self) -> DateTime<Utc> {
        self.handled_until
    }

    /// The timetable that it plans by.
    pub fn timetable(&self) -> &Timetable {
        &self.timetable
    }

    /// Takes the due times that have come by `now`. Costs nothing while there are none.
    pub fn look(&mut self, now: DateTime<Utc>, absence: Absence) -> Option<Due> {
        if self.handled_until - now > WRONG {
            let from = self.handled_until;
            self.handle(now, self.timetable.next_after(now));
            return Some(Due::Rewound { from });
        }
        let first = self.next.filter(|next| *next <= now)?;
        let (last, count, next) = self.come(first, now);
        self.handle(last, next);

        let late = now - last;
        let tolerated = match absence {
            Absence::None => LATE,
            Absence::Down => RESTART,
        };
        let run = |trigger| Due::Run {
            due: last,
            trigger,
            covers: count,
        };
        Some(if late <= tolerated {
            run(Trigger::Schedule)
        } else if self.catch_up {
            run(Trigger::CatchUp)
        } else {
            Due::Missed { first, last, count }
        })
    }

    /// Takes over what the job's file says now. What the old timetable had due by `now` comes up first; of a new one,
    /// nothing before `now` is due.
    pub fn change(
        &mut self,
        timetable: Timetable,
        catch_up: bool,
        now: DateTime<Utc>,
    ) -> Option<Due> {
        let due = self.look(now, Absence::None);
        self.catch_up = catch_up;
        if self.timetable != timetable {
            self.timetable = timetable;
            // The clock may have been set back: what came up before that does not come up again.
            let from = self.handled_until.max(now);
            self.handle(from, self.timetable.next_after(from));
        }
        due
    }

    fn handle(&mut self, until: DateTime<Utc>, next: Option<DateTime<Utc>>) {
        self.handled_until = until;
        self.next = next;
    }

    /// Of the due times from `first` to `now`: the last, how many, and the one after them.
    fn come(
        &self,
        first: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> (DateTime<Utc>, u32, Option<DateTime<Utc>>) {
        let mut last = first;
        for count in 1..MANY {
            match self.timetable.next_after(last) {
                Some(next) if next <= now => last = next,
                next => return (last, count, next),
            }
        }
        let last = self.last_by(last, now);
        (last, MANY, self.timetable.next_after(last))
    }

    /// The last due time up to `now`, given an earlier one, without a walk through all between.
    fn last_by(&self, one: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
        let by_now =
            |after: DateTime<Utc>| self.timetable.next_after(after).filter(|at| *at <= now);
        // It is `last` or after it, and before or at `end`.
        let (mut last, mut end) = (one, now);
        while end - last >= Duration::seconds(1) {
            let middle = last + (end - last) / 2;
            match by_now(middle) {
                Some(due) => last = due,
                None => end = middle,
            }
        }
        last
    }
}
