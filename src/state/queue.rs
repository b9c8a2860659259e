//! The queue: runs that wait for their turn, those that were skipped, and requests to end one.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use chrono::Utc;
use rusqlite::{Transaction, params};

use super::{
    Durable, KnownJob, Run, RunState, State, Trigger, Verb, daemon, history, stored, strict,
};
use crate::error::{Error, Kind, Result};
use crate::guard::process::host_name;

/// A run that is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Queued<'a> {
    /// A UUID, version 7.
    pub id: &'a str,
    /// The job's name.
    pub job: &'a str,
    /// The job's file.
    pub file: &'a Path,
    /// Whether it copies or rolls back.
    pub verb: Verb,
    /// The environment that data comes from.
    pub from: &'a str,
    /// The environment that data goes to.
    pub to: &'a str,
    /// Whether the schedule, a person or a program asks for it.
    pub trigger: Trigger,
    /// Who asks for it; may be empty.
    pub by: &'a str,
    /// The names of the tasks that it is to run; empty: all.
    pub only: &'a [String],
}

/// What became of a due time.
#[derive(Debug, Clone, Copy)]
pub enum Entry<'a> {
    /// A run waits for its turn.
    Wait(Queued<'a>),
    /// No run was started, for this reason.
    Skip(Queued<'a>, &'a str),
}

impl State {
    /// Puts a run in the queue. `Kind::Busy` if the job has a run that waits or runs; or, where there may be only one
    /// such run at a time, if another one is there that a person or a program asked for.
    pub fn ask(&self, run: &Queued<'_>, one_manual_run: bool) -> Result<()> {
        self.write("cannot ask for a run", Durable::Power, |t| {
            let unfinished = history::select(t, "WHERE finished_at IS NULL ORDER BY seq", [])?;
            let living = || unfinished.iter().filter(|run| !run.is_dead());
            if let Some(other) = living().find(|other| other.job == run.job) {
                let what = format!("job `{}` has run {} already", run.job, other.id);
                return Ok(Err(is_in_the_way(other, what)));
            }
            let is_manual = |trigger| matches!(trigger, Trigger::Manual | Trigger::Api);
            if one_manual_run
                && is_manual(run.trigger)
                && let Some(other) = living().find(|other| is_manual(other.trigger))
            {
                let what = format!(
                    "one run at a time is started by hand, and that is run {} of job `{}`",
                    other.id, other.job
                );
                return Ok(Err(is_in_the_way(other, what)));
            }
            insert(t, run, &host_name())?;
            Ok(Ok(()))
        })
    }

    /// Records what became of due times, and that they are dealt with: all of it or nothing.
    pub fn settle_due(&self, entries: &[Entry<'_>], jobs: &[KnownJob]) -> Result<()> {
        let host = host_name();
        self.write("cannot record what is due", Durable::Power, |t| {
            for entry in entries {
                match entry {
                    Entry::Wait(run) => insert(t, run, &host)?,
                    Entry::Skip(run, why) => {
                        insert(t, run, &host)?;
                        t.prepare_cached(
                            "UPDATE runs SET state = ?2, message = ?3, warnings = 1, finished_at = started_at WHERE id = ?1",
                        )?
                        .execute(params![run.id, RunState::Skipped, why])?;
                    }
                }
            }
            for job in jobs {
                daemon::set(t, job)?;
            }
            Ok(Ok(()))
        })
    }

    /// Asks for a run's end. One that waits is `cancelled` at once; for one that runs this is a note that it, and the
    /// daemon, read. False if it has ended.
    pub fn ask_cancel(&self, run: &str, by: &str) -> Result<bool> {
        self.write("cannot ask for a run's end", Durable::Power, |t| {
            let state: Option<RunState> = {
                let mut statement = t.prepare_cached(
                    "SELECT seq, state FROM runs WHERE id = ?1 AND finished_at IS NULL",
                )?;
                strict::first(statement.query([run])?, "run", |row| row.get("state"))?
            };
            if state == Some(RunState::Pending) {
                t.execute(
                    "UPDATE runs SET state = ?2, message = ?3, exit_code = 143, finished_at = max(?4, started_at)
                     WHERE id = ?1",
                    params![
                        run,
                        RunState::Cancelled,
                        format!("cancelled by {by} before it began"),
                        stored(Utc::now()),
                    ],
                )?;
            }
            if state.is_some() {
                t.execute(
                    "UPDATE runs SET cancelled_by = coalesce(cancelled_by, ?2) WHERE id = ?1",
                    [run, by],
                )?;
            }
            Ok(Ok(state.is_some()))
        })
    }
}

fn is_in_the_way(other: &Run, what: String) -> Error {
    let hint = format!("wait for its end, or `envsyncd cancel {}`", other.id);
    Error::new(Kind::Busy, format!("{what}, which is {}", other.state)).hint(hint)
}

fn insert(t: &Transaction<'_>, run: &Queued<'_>, host: &str) -> rusqlite::Result<()> {
    t.prepare_cached(
        "INSERT INTO runs (id, job, file, verb, from_environment, to_environment, trigger, by, host, state, started_at,
                           only_tasks)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?
    .execute(params![
        run.id,
        run.job,
        run.file.as_os_str().as_bytes(),
        run.verb,
        run.from,
        run.to,
        run.trigger,
        run.by,
        host,
        RunState::Pending,
        stored(Utc::now()),
        history::names(run.only),
    ])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Duration};

    use super::*;
    use crate::guard::process::Process;
    use crate::state::NewRun;
    use crate::state::example::new_run;

    fn queued<'a>(id: &'a str, job: &'a str) -> Queued<'a> {
        Queued {
            id,
            job,
            file: Path::new("/etc/envsyncd/config.d/app.toml"),
            verb: Verb::Run,
            from: "production",
            to: "staging",
            trigger: Trigger::Schedule,
            by: "",
            only: &[],
        }
    }

    fn begin(state: &State, id: &str, job: &str) -> Result<()> {
        state.begin(&NewRun {
            job,
            by: "alice",
            tasks: &[("db".to_owned(), "sqlite".to_owned())],
            ..new_run(id)
        })
    }

    fn known(job: &str, handled_until: DateTime<Utc>) -> KnownJob {
        KnownJob {
            job: job.to_owned(),
            timetable: "daily UTC +0s".to_owned(),
            handled_until,
            next_run_at: None,
            problem: String::new(),
        }
    }

    fn run(state: &State, id: &str) -> Run {
        state.run(id).unwrap().unwrap()
    }

    #[test]
    fn a_run_that_waits_is_begun_once_and_keeps_what_started_it() {
        let state = State::in_memory().unwrap();
        state.ask(&queued("0199-1", "app"), false).unwrap();
        assert_eq!(run(&state, "0199-1").state, RunState::Pending);
        assert!(!run(&state, "0199-1").is_dead(), "it waits");
        begin(&state, "0199-1", "app").unwrap();
        let begun = run(&state, "0199-1");
        assert_eq!(begun.state, RunState::Running);
        assert_eq!((begun.trigger, begun.by.as_str()), (Trigger::Schedule, ""));
        assert_eq!(begun.tasks.len(), 1);
        let again = begin(&state, "0199-1", "app").unwrap_err();
        assert_eq!(again.kind(), Kind::Busy);
        assert_eq!(run(&state, "0199-1").tasks.len(), 1);
    }

    #[test]
    fn a_job_waits_once() {
        let state = State::in_memory().unwrap();
        state.ask(&queued("0199-1", "app"), false).unwrap();
        let error = state.ask(&queued("0199-2", "app"), false).unwrap_err();
        assert_eq!(error.kind(), Kind::Busy);
        assert!(
            error.to_string().contains("already, which is pending"),
            "{error}"
        );
        state.ask(&queued("0199-3", "web"), false).unwrap();
        begin(&state, "0199-1", "app").unwrap();
        let error = state.ask(&queued("0199-2", "app"), false).unwrap_err();
        assert!(error.to_string().contains("which is running"), "{error}");
    }

    #[test]
    fn where_one_run_by_hand_may_be_there_another_one_and_its_job_are_named() {
        let state = State::in_memory().unwrap();
        let asked = |id, job, trigger| Queued {
            trigger,
            ..queued(id, job)
        };
        state.ask(&queued("0199-1", "app"), true).unwrap();
        state
            .ask(&asked("0199-2", "web", Trigger::Api), true)
            .unwrap();
        let third = asked("0199-3", "shop", Trigger::Manual);
        let error = state.ask(&third, true).unwrap_err();
        assert_eq!(error.kind(), Kind::Busy);
        let said = error.to_string();
        assert!(
            said.contains("run 0199-2 of job `web`, which is pending"),
            "{said}"
        );
        begin(&state, "0199-2", "web").unwrap();
        assert!(state.ask(&third, true).is_err(), "it runs");
        // What is due comes in its turn.
        state.ask(&queued("0199-4", "mail"), true).unwrap();
        state.ask(&third, false).unwrap();
    }

    #[test]
    fn a_rollback_that_waits_is_one_when_it_begins() {
        let state = State::in_memory().unwrap();
        let rollback = Queued {
            verb: Verb::Rollback,
            ..queued("0199-1", "app")
        };
        state.ask(&rollback, false).unwrap();
        assert_eq!(run(&state, "0199-1").verb, Verb::Rollback);
    }

    #[test]
    fn a_run_that_was_cancelled_while_it_waited_never_begins() {
        let state = State::in_memory().unwrap();
        state.ask(&queued("0199-1", "app"), false).unwrap();
        assert!(state.ask_cancel("0199-1", "bob").unwrap());
        let cancelled = run(&state, "0199-1");
        assert_eq!(cancelled.state, RunState::Cancelled);
        assert_eq!(cancelled.message, "cancelled by bob before it began");
        assert_eq!(cancelled.exit_code, Some(143));
        assert!(begin(&state, "0199-1", "app").is_err());
        assert!(!state.ask_cancel("0199-1", "bob").unwrap(), "it has ended");
    }

    #[test]
    fn a_run_under_way_is_only_asked_to_end_and_the_first_who_asked_is_kept() {
        let state = State::in_memory().unwrap();
        begin(&state, "0199-1", "app").unwrap();
        assert!(state.ask_cancel("0199-1", "bob").unwrap());
        assert!(state.ask_cancel("0199-1", "carol").unwrap());
        let asked = run(&state, "0199-1");
        assert_eq!(asked.state, RunState::Running);
        assert_eq!(asked.cancelled_by.as_deref(), Some("bob"));
        assert!(!state.ask_cancel("0199-2", "bob").unwrap(), "there is none");
    }

    #[test]
    fn a_due_time_is_dealt_with_together_with_its_run_or_not_at_all() {
        let state = State::in_memory().unwrap();
        let (old, new) = (Utc::now() - Duration::days(1), Utc::now());
        state.set_jobs(&[known("app", old)]).unwrap();
        state
            .settle_due(
                &[Entry::Wait(queued("0199-1", "app"))],
                &[known("app", new)],
            )
            .unwrap();
        // The same id again: nothing of it may stay.
        let later = new + Duration::days(1);
        let twice = [
            Entry::Wait(queued("0199-2", "web")),
            Entry::Wait(queued("0199-1", "app")),
        ];
        state
            .settle_due(&twice, &[known("app", later)])
            .unwrap_err();
        assert!(state.run("0199-2").unwrap().is_none());
        let kept = state.known_job("app").unwrap().unwrap().handled_until;
        assert_eq!(kept.timestamp_micros(), new.timestamp_micros());
    }

    #[test]
    fn a_skipped_run_is_in_the_history_and_is_nobodys_last() {
        let state = State::in_memory().unwrap();
        begin(&state, "0199-1", "app").unwrap();
        let skip = Entry::Skip(queued("0199-2", "app"), "the job still ran");
        state.settle_due(&[skip], &[]).unwrap();
        let skipped = run(&state, "0199-2");
        assert_eq!((skipped.state, skipped.warnings), (RunState::Skipped, 1));
        assert_eq!(skipped.message, "the job still ran");
        assert!(skipped.finished_at.is_some());
        assert_eq!(state.last_run("app").unwrap().unwrap().id, "0199-1");
        assert_eq!(state.runs(Some("app"), 5).unwrap().len(), 2);
        assert_eq!(state.consecutive_failures("app").unwrap(), 0);
    }

    #[test]
    fn a_run_that_waits_does_not_keep_a_deployment_from_its_hold() {
        let state = State::in_memory().unwrap();
        state.ask(&queued("0199-1", "app"), false).unwrap();
        let hold = crate::state::Hold {
            environment: "staging".to_owned(),
            reason: "release 42".to_owned(),
            by: "deploy".to_owned(),
            host: host_name(),
            since: Utc::now(),
            process: None,
        };
        state.hold(&hold).unwrap();
    }

    #[test]
    fn a_daemon_that_stopped_or_is_silent_elsewhere_is_not_alive() {
        let state = State::in_memory().unwrap();
        assert!(state.daemon().unwrap().is_none());
        let mut daemon = crate::state::Daemon {
            version: "1".to_owned(),
            host: host_name(),
            process: Some(Process::own()),
            since: Utc::now(),
            seen_at: Utc::now(),
            problem: String::new(),
            leased: false,
        };
        let alive = |daemon: &crate::state::Daemon| {
            state.set_daemon(daemon).unwrap();
            state.daemon().unwrap().unwrap().is_alive()
        };
        assert!(alive(&daemon));
        daemon.host = "renamed".to_owned();
        assert!(alive(&daemon), "a name says nothing");
        // In another container: it is there as long as it says so.
        daemon.process = Some(Process {
            namespace: 1,
            ..Process::own()
        });
        assert!(alive(&daemon));
        daemon.seen_at = Utc::now() - Duration::minutes(3);
        assert!(!alive(&daemon));
        daemon.process = None;
        daemon.seen_at = Utc::now();
        assert!(!alive(&daemon));
    }
}
