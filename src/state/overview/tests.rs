use proptest::prelude::*;

use super::*;
use crate::config::reporting::Retention;
use crate::state::example::new_run;
use crate::state::{NewRun, Outcome, TaskProgress, Trigger};

/// A run of a job that ended so, or has not ended.
fn run(state: &State, id: &str, job: &str, verb: Verb, end: Option<RunState>) {
    state
        .begin(&NewRun {
            job,
            verb,
            trigger: Trigger::Schedule,
            tasks: &[
                ("database".into(), "sqlite".into()),
                ("files".into(), "sqlite".into()),
            ],
            ..new_run(id)
        })
        .unwrap();
    for task in ["database", "files"] {
        let progress = TaskProgress {
            state: RunState::Running,
            progress_percent: 50.0,
            rows: 7,
            bytes: 100,
            duration_seconds: 1.0,
            surveyed_at: None,
            message: String::new(),
            masked: None,
            steps: Vec::new(),
        };
        state.set_task(id, task, &progress).unwrap();
    }
    if let Some(how) = end {
        finish(state, id, how);
    }
}

fn finish(state: &State, id: &str, how: RunState) -> bool {
    let outcome = Outcome {
        state: how,
        message: String::new(),
        errors: 0,
        warnings: 0,
        exit_code: 0,
    };
    state.finish(id, &outcome).unwrap()
}

fn ends() -> impl Strategy<Value = Vec<(&'static str, Verb, Option<RunState>)>> {
    let end = prop::sample::select(vec![
        Some(RunState::Succeeded),
        Some(RunState::Failed),
        Some(RunState::Refused),
        Some(RunState::Busy),
        Some(RunState::Cancelled),
        None,
    ]);
    let verb = prop::sample::select(vec![Verb::Run, Verb::Run, Verb::Rollback]);
    let job = prop::sample::select(vec!["a", "b", "b-longer", "c"]);
    prop::collection::vec((job, verb, end), 0..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn all_jobs_at_once_are_what_each_is_alone(ends in ends()) {
        let state = State::in_memory().unwrap();
        for (number, (job, verb, end)) in ends.iter().enumerate() {
            run(&state, &number.to_string(), job, *verb, *end);
        }
        let alone: Vec<JobOverview> = state.jobs().unwrap().into_iter().map(|job| JobOverview {
            last_run: state.last_run(&job).unwrap(),
            last_success_at: state.last_success_at(&job).unwrap(),
            consecutive_failures: state.consecutive_failures(&job).unwrap(),
            job,
        }).collect();
        prop_assert_eq!(state.overview().unwrap(), alone);
        for job in ["a", "b", "b-longer", "c"] {
            let last = ends.iter().rposition(|(other, verb, end)| *other == job && *verb == Verb::Run && end.is_some());
            let found = state.last_ended(job).unwrap().map(|run| run.id);
            prop_assert_eq!(found, last.map(|number| number.to_string()));
        }
    }
}

#[test]
fn the_last_lengths_are_of_runs_that_copied_and_ended_the_newest_first() {
    let state = State::in_memory().unwrap();
    let runs = [
        ("a", Verb::Run, Some(RunState::Succeeded)),
        ("a", Verb::Run, Some(RunState::Failed)),
        ("a", Verb::Rollback, Some(RunState::Succeeded)),
        ("a", Verb::Run, Some(RunState::Skipped)),
        ("b", Verb::Run, Some(RunState::Cancelled)),
        ("a", Verb::Run, Some(RunState::Busy)),
        ("a", Verb::Run, None),
    ];
    for (number, (job, verb, end)) in runs.into_iter().enumerate() {
        let id = format!("0199d3a4-7c21-7000-8000-00000000000{number}");
        run(&state, &id, job, verb, end);
    }
    let found = state.last_lengths(&["b", "a", "none"], 2).unwrap();
    let states: Vec<Vec<RunState>> = found
        .iter()
        .map(|runs| runs.iter().map(|(state, _)| *state).collect())
        .collect();
    assert_eq!(
        states,
        [
            vec![RunState::Cancelled],
            vec![RunState::Busy, RunState::Failed],
            vec![]
        ]
    );
}

#[test]
fn a_skipped_run_is_counted_and_is_never_the_last_one() {
    let state = State::in_memory().unwrap();
    run(&state, "1", "app", Verb::Run, Some(RunState::Succeeded));
    for id in ["2", "3"] {
        state
            .connection()
            .execute(
                "INSERT INTO runs (id, job, file, verb, from_environment, to_environment, trigger, by, host, state,
                     started_at, finished_at)
                 VALUES (?1, 'app', x'', 'run', 'production', 'staging', 'schedule', '', 'here', 'skipped', 5, 5)",
                [id],
            )
            .unwrap();
    }
    let all = state.overview().unwrap();
    assert_eq!(all[0].last_run.as_ref().unwrap().id, "1");
    assert_eq!(state.last_ended("app").unwrap().unwrap().id, "1");
    let skipped: i64 = state
        .connection()
        .query_row(
            "SELECT runs FROM totals WHERE job = 'app' AND state = 'skipped'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(skipped, 2);
}

#[test]
fn totals_count_each_run_once_and_survive_its_going() {
    let state = State::in_memory().unwrap();
    for (id, how) in [
        ("1", RunState::Succeeded),
        ("2", RunState::Succeeded),
        ("3", RunState::Failed),
    ] {
        run(&state, id, "app", Verb::Run, Some(how));
        // Of two who find a dead run, one records it.
        assert!(!finish(&state, id, RunState::Failed));
    }
    run(
        &state,
        "4",
        "app",
        Verb::Rollback,
        Some(RunState::Succeeded),
    );
    run(&state, "5", "app", Verb::Run, None);
    let before = state.totals().unwrap();
    let counts: Vec<_> = before
        .iter()
        .map(|total| (total.verb, total.state, total.runs, total.rows, total.bytes))
        .collect();
    assert_eq!(
        counts,
        [
            (Verb::Rollback, RunState::Succeeded, 1, 14, 200),
            (Verb::Run, RunState::Failed, 1, 14, 200),
            (Verb::Run, RunState::Succeeded, 2, 28, 400),
        ]
    );
    let retention = Retention {
        max_age: Duration::from_secs(1),
        max_runs: 1,
        log_max_age: Duration::from_secs(1),
    };
    let later = Utc::now() + chrono::TimeDelta::days(1);
    assert_eq!(state.prune(&retention, later).unwrap().runs, 2);
    assert_eq!(state.totals().unwrap(), before);
}

#[test]
fn every_question_about_all_jobs_is_answered_from_an_index() {
    let state = State::in_memory().unwrap();
    let connection = state.connection();
    for query in [
        "SELECT max(seq) FROM runs WHERE job = 'a' AND state != 'skipped'",
        "SELECT max(seq) FROM runs WHERE job = 'a' AND verb = 'run' AND state = 'succeeded'",
        "SELECT count(*) FROM runs WHERE job = 'a' AND verb = 'run' AND state IN ('failed', 'refused') AND seq > 7",
        "SELECT * FROM runs WHERE job = 'a' AND verb = 'run' AND state != 'skipped' AND finished_at IS NOT NULL
         ORDER BY seq DESC LIMIT 1",
    ] {
        let plan: Vec<String> = connection
            .prepare(&format!("EXPLAIN QUERY PLAN {query}"))
            .unwrap()
            .query_map([], |row| row.get(3))
            .unwrap()
            .collect::<rusqlite::Result<_>>()
            .unwrap();
        assert!(
            plan.iter()
                .all(|step| step.starts_with("SEARCH") && step.contains("INDEX")),
            "{query}: {plan:?}"
        );
    }
}
