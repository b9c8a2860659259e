//! Fuzz targets: rows of a `state.db` that somebody else has written. See `docs/fuzzing.md`.

use chrono::Utc;
use proptest::prelude::*;
use rusqlite::types::Value;

use super::example::new_run;
use super::{Hold, KnownJob, LogLine, NewRun, Pause, State};
use crate::config::reporting::Retention;
use crate::fuzz::{config, texts};
use crate::guard::process::Process;

/// Every column that is read.
const COLUMNS: &[(&str, &str)] = &[
    ("runs", "id"),
    ("runs", "job"),
    ("runs", "file"),
    ("runs", "verb"),
    ("runs", "from_environment"),
    ("runs", "to_environment"),
    ("runs", "trigger"),
    ("runs", "by"),
    ("runs", "host"),
    ("runs", "pid"),
    ("runs", "process_started"),
    ("runs", "boot"),
    ("runs", "timeout_ms"),
    ("runs", "state"),
    ("runs", "step"),
    ("runs", "started_at"),
    ("runs", "finished_at"),
    ("runs", "message"),
    ("runs", "errors"),
    ("runs", "warnings"),
    ("runs", "exit_code"),
    ("runs", "cancelled_by"),
    ("runs", "machine"),
    ("runs", "pid_namespace"),
    ("runs", "beat_at"),
    ("runs", "only_tasks"),
    ("tasks", "name"),
    ("tasks", "kind"),
    ("tasks", "state"),
    ("tasks", "progress_percent"),
    ("tasks", "rows"),
    ("tasks", "bytes"),
    ("tasks", "duration_seconds"),
    ("tasks", "message"),
    ("tasks", "surveyed_at"),
    ("logs", "seq"),
    ("logs", "at"),
    ("logs", "level"),
    ("logs", "task"),
    ("logs", "message"),
    ("holds", "environment"),
    ("holds", "reason"),
    ("holds", "by"),
    ("holds", "host"),
    ("holds", "since"),
    ("holds", "pid"),
    ("holds", "boot"),
    ("jobs", "job"),
    ("jobs", "timetable"),
    ("jobs", "handled_until"),
    ("jobs", "next_run_at"),
    ("jobs", "problem"),
    ("pauses", "job"),
    ("pauses", "reason"),
    ("pauses", "since"),
    ("pauses", "until"),
    ("totals", "job"),
    ("totals", "verb"),
    ("totals", "state"),
    ("totals", "runs"),
    ("totals", "micros"),
    ("totals", "rows"),
    ("totals", "bytes"),
    ("daemon", "version"),
    ("daemon", "since"),
    ("daemon", "seen_at"),
    ("daemon", "pid"),
    ("daemon", "problem"),
];

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        prop::sample::select(vec![
            i64::MIN,
            i64::MAX,
            -1,
            0,
            1,
            1 << 32,
            8_210_298_326_400_000_000,
            -8_334_632_851_200_000_000
        ])
        .prop_map(Value::Integer),
        any::<i64>().prop_map(Value::Integer),
        any::<f64>().prop_map(Value::Real),
        prop::sample::select(vec![f64::INFINITY, -1.0, 1e300]).prop_map(Value::Real),
        texts(&["tests/corpus/state_field"]).prop_map(Value::Text),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(Value::Blob),
    ]
}

/// Puts one row of each kind into a store, and nothing else.
fn fill(state: &State) {
    let emptied = state.with(|store| {
        for table in [
            "logs", "tasks", "runs", "holds", "jobs", "pauses", "daemon", "totals",
        ] {
            store
                .execute_batch(&format!("DELETE FROM {table}"))
                .unwrap();
        }
        Ok(())
    });
    emptied.unwrap();
    let process = Process::own();
    for (id, job) in [
        ("0199d3a4-7c21-7000-8000-0123456789ab", "app"),
        ("0199d3a4-7c21-7000-8000-0123456789ac", "other"),
    ] {
        let run = NewRun {
            job,
            by: "ada",
            host: "db1",
            process: &process,
            timeout: Some(std::time::Duration::from_secs(60)),
            tasks: &[
                ("database".into(), "postgresql".into()),
                ("files".into(), "sqlite".into()),
            ],
            ..new_run(id)
        };
        state.begin(&run).unwrap();
        let line = LogLine {
            at: Utc::now(),
            level: "info".into(),
            task: "database".into(),
            message: "copied".into(),
        };
        state.add_logs(id, &[line]).unwrap();
    }
    let others = state.with(|store| {
        let sql = "INSERT INTO holds (environment, reason, by, host, since) VALUES ('staging', 'r', 'ada', 'db1', 5);
            INSERT INTO jobs (job, timetable, handled_until, next_run_at, problem) VALUES ('app', 'x', 1, 2, '');
            INSERT INTO pauses (job, reason, by, since, until) VALUES ('app', 'r', 'ada', 1, 2);
            INSERT INTO daemon (one, version, host, since, seen_at, problem) VALUES (1, '0.1.0', 'db1', 1, 2, '');
            INSERT INTO totals (job, verb, state, runs, micros, rows, bytes) VALUES ('app', 'run', 'succeeded', 1, 2, 3, 4);";
        store.execute_batch(sql).unwrap();
        Ok(())
    });
    others.unwrap();
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn row(changes in prop::collection::vec((0..COLUMNS.len(), value()), 1..4)) {
        thread_local!(static STORE: State = State::in_memory().unwrap());
        STORE.with(|state| {
            fill(state);
            for (column, value) in &changes {
                let (table, column) = COLUMNS[*column];
                // A column that refuses it stays as it is.
                let _ = state.with(|store| {
                    let _ = store.execute(&format!("UPDATE {table} SET {column} = ?1"), [value]);
                    Ok(())
                });
            }
            let now = Utc::now();
            if let Ok(runs) = state.runs(None, 50) {
                for run in &runs {
                    let _ = (run.rows(), run.bytes(), run.progress_percent(), run.duration(now), run.surveys_apart());
                    let _ = (run.is_dead(), run.is_here(), state.logs(&run.id, 0, 10), state.last_log(&run.id));
                    let _ = (state.run(&run.id), state.is_broken(&run.job), state.last_ended(&run.job));
                }
            }
            let _ = (state.overview(), state.totals(), state.pauses(), state.holds(), state.known_jobs(), state.daemon());
            let _ = state.hold_on("staging");
            let _ = state.pause_of("app").map(|pause: Option<Pause>| pause.map(|pause| (pause.sentence(), pause.holds_at(now))));
            let _ = state.known_job("app").map(|job: Option<KnownJob>| job.is_some());
            let _: Result<Vec<Hold>, _> = state.holds();
            let _ = state.prune(&Retention::default(), now);
        });
    }
}
