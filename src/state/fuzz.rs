//! Fuzz targets: rows of a `state.db` that somebody else has written. See `docs/fuzzing.md`.

use chrono::Utc;
use proptest::prelude::*;
use rusqlite::types::Value;

use super::example::new_run;
use super::{Hold, KnownJob, LogLine, NewRun, Pause, State};
use crate::config::reporting::Retention;
use crate::fuzz::{config, texts};
use crate::guard::process::Process;

/// Every column of every table.
fn columns() -> Vec<(String, String)> {
    let state = State::in_memory().unwrap();
    let found = state.with(|store| {
        let sql = "SELECT t.name, c.name FROM sqlite_schema t, pragma_table_info(t.name) c
            WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";
        let mut statement = store.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        Ok(rows.unwrap().collect::<Result<Vec<_>, _>>().unwrap())
    });
    let found = found.unwrap();
    assert!(found.len() > 80, "{found:?}");
    found
}

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
            "logs",
            "task_tables",
            "tasks",
            "runs",
            "holds",
            "jobs",
            "pauses",
            "daemon",
            "totals",
            "wide_pauses",
            "tokens",
            "audit",
            "answers",
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
        let steps = r#"[{"name":"copy","started":1,"seconds":0.5}]"#;
        let tables = r#"{"tables":[{"name":"t","rows":1,"bytes":2,"seconds":null}],"more":0,"more_rows":0,"more_bytes":0}"#;
        let told = state.with(|store| {
            store
                .execute("UPDATE tasks SET steps = ?1", [steps])
                .unwrap();
            store
                .execute(
                    "INSERT INTO task_tables SELECT seq, 'database', ?2 FROM runs WHERE id = ?1",
                    [id, tables],
                )
                .unwrap();
            Ok(())
        });
        told.unwrap();
    }
    let others = state.with(|store| {
        let sql = "INSERT INTO holds (environment, reason, by, host, since) VALUES ('staging', 'r', 'ada', 'db1', 5);
            INSERT INTO jobs (job, timetable, handled_until, next_run_at, problem) VALUES ('app', 'x', 1, 2, '');
            INSERT INTO pauses (job, reason, by, since, until) VALUES ('app', 'r', 'ada', 1, 2);
            INSERT INTO wide_pauses (environment, reason, by, since, until) VALUES ('staging', 'r', 'ada', 1, 9000000000000000);
            INSERT INTO tokens (hash, kind, name, scope, environments, site, by, created_at, expires_at)
                VALUES (zeroblob(32), 'token', 'ci', 'run', '[\"staging\"]', 'main', 'ada', 1, 9000000000000000);
            INSERT INTO audit (at, who, via, address, action, object, outcome) VALUES (1, 'ada', 'cli', '', 'hold', 'staging', 'ok');
            INSERT INTO answers (who, key, fingerprint, answer, at) VALUES ('ci', 'k', 'f', 'a', 9000000000000000);
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
    fn row(changes in prop::collection::vec((prop::sample::select(columns()), value()), 1..4)) {
        thread_local!(static STORE: State = State::in_memory().unwrap());
        STORE.with(|state| {
            fill(state);
            for ((table, column), value) in &changes {
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
                    let _ = (state.tables(&run.id), state.find_logs(&run.id, "c", 0, 10), state.count_logs(&run.id, "c"));
                    let _ = (state.run(&run.id), state.is_broken(&run.job), state.last_ended(&run.job));
                }
            }
            let _ = (state.overview(), state.totals(), state.pauses(), state.holds(), state.known_jobs(), state.daemon());
            let _ = state.hold_on("staging");
            for job in ["app", "other"] {
                let _ = (state.last_run(job), state.last_published(job), state.last_success_at(job), state.consecutive_failures(job));
                let _ = state.known_job(job).map(|known| known.is_some_and(|known| known.next_run_at.is_some_and(|at| at <= now)));
            }
            let _ = (state.jobs(), state.environments(), state.unfinished(), state.dead_runs(), state.has_daemon());
            let _ = state.holds().map(|all| all.iter().map(Hold::sentence).collect::<Vec<_>>());
            let _ = state.daemon().map(|daemon| daemon.is_some_and(|daemon| daemon.is_alive()));
            // What a run and the daemon write, whatever is there.
            let id = "0199d3a4-7c21-7000-8000-0123456789ab";
            let _ = (state.beat(id), state.set_step(id, "copy"), state.ask_cancel(id, "ada"), state.release("staging"));
            let _ = (state.tokens(), state.token(&[0; 32]), state.token_used(&[0; 32], now), state.open_session(&[0; 32], super::TokenKind::Token, &[1; 32], chrono::Duration::hours(1)));
            let _ = (state.audits(None, 9), state.answer("ci", "k"), state.keep_answer("ci", "k", "f", "a"));
            let _ = state.pause_of("app", Some("staging")).map(|pause: Option<Pause>| pause.map(|pause| (pause.sentence(), pause.holds_at(now))));
            let _ = state.known_job("app").map(|job: Option<KnownJob>| job.is_some());
            let _: Result<Vec<Hold>, _> = state.holds();
            let _ = state.prune(&Retention::default(), now);
        });
    }
}
