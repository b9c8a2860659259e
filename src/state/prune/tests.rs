use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::state::example::new_run;
use crate::state::{LogLine, NewRun, Outcome, Run, RunState, Trigger};

const HOUR: i64 = 3_600_000_000;
const NOW: i64 = 100_000 * HOUR;

fn at(micros: i64) -> DateTime<Utc> {
    crate::state::loaded(micros)
}

fn retention(max_age_hours: i64, max_runs: u32, log_max_age_hours: i64) -> Retention {
    let hours = |n: i64| Duration::from_secs(n as u64 * 3600);
    Retention {
        max_age: hours(max_age_hours),
        max_runs,
        log_max_age: hours(log_max_age_hours),
    }
}

/// A run as a row, however it came to be; with two lines of log.
#[derive(Debug, Clone)]
struct Row {
    job: &'static str,
    verb: &'static str,
    state: &'static str,
    /// Hours before now; of one that has not ended, of its begin.
    age: i64,
}

impl Row {
    fn has_ended(&self) -> bool {
        !matches!(self.state, "running" | "pending")
    }

    fn is_success(&self) -> bool {
        self.verb == "run" && self.state == "succeeded"
    }
}

fn put(state: &State, rows: &[Row]) {
    let mut connection = state.connection();
    let t = connection.transaction().unwrap();
    for (number, row) in rows.iter().enumerate() {
        let ended = NOW - row.age * HOUR;
        t.execute(
            "INSERT INTO runs (id, job, file, verb, from_environment, to_environment, trigger, by, host, state,
                 started_at, finished_at)
             VALUES (?1, ?2, x'', ?3, 'production', 'staging', 'schedule', '', 'here', ?4, ?5, ?6)",
            params![
                number.to_string(),
                row.job,
                row.verb,
                row.state,
                ended - HOUR / 2,
                row.has_ended().then_some(ended)
            ],
        )
        .unwrap();
        let seq = t.last_insert_rowid();
        t.execute_batch(&format!(
            "INSERT INTO tasks (run, position, name, kind, state) VALUES ({seq}, 0, 'a', 'sqlite', '{}');
             INSERT INTO logs VALUES ({seq}, 1, 0, 'info', '', 'one'), ({seq}, 2, 0, 'info', '', 'two');",
            row.state
        ))
        .unwrap();
    }
    t.commit().unwrap();
}

/// The numbers of the rows that are still there, and of those that have a log.
fn left(state: &State) -> (Vec<usize>, Vec<usize>) {
    let connection = state.connection();
    let numbers = |query: &str| -> Vec<usize> {
        connection
            .prepare(query)
            .unwrap()
            .query_map([], |row| row.get::<_, String>(0))
            .unwrap()
            .map(|id| id.unwrap().parse().unwrap())
            .collect()
    };
    (
        numbers("SELECT id FROM runs ORDER BY seq"),
        numbers(
            "SELECT id FROM runs WHERE EXISTS (SELECT 1 FROM logs WHERE run = runs.seq) ORDER BY seq",
        ),
    )
}

fn count(state: &State, query: &str) -> i64 {
    state
        .connection()
        .query_row(query, [], |row| row.get(0))
        .unwrap()
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = (
        prop::sample::select(vec!["a", "b", "c"]),
        prop::sample::select(vec!["run", "run", "run", "rollback"]),
        prop::sample::select(vec![
            "succeeded",
            "succeeded",
            "failed",
            "refused",
            "busy",
            "cancelled",
            "skipped",
            "skipped",
            "running",
            "pending",
        ]),
        // Not in order: clocks are set back.
        0..40i64,
    )
        .prop_map(|(job, verb, state, age)| Row {
            job,
            verb,
            state,
            age,
        });
    prop::collection::vec(row, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_must_stay_stays_and_all_the_rest_goes(
        rows in rows(), max_age in 1..50i64, max_runs in 1..12u32, log_max_age in 1..50i64,
    ) {
        let state = State::in_memory().unwrap();
        put(&state, &rows);
        let totals = count(&state, "SELECT coalesce(sum(runs), 0) FROM totals");
        let pruned = state.prune(&retention(max_age, max_runs, log_max_age), at(NOW)).unwrap();
        let (runs, logs) = left(&state);
        for (number, row) in rows.iter().enumerate() {
            let newer = |like: &dyn Fn(&Row) -> bool| {
                rows[number + 1..].iter().filter(|other| other.job == row.job && like(other)).count()
            };
            let is_skipped = row.state == "skipped";
            let is_last = !is_skipped && newer(&|other| other.state != "skipped") == 0;
            let is_last_ended = !is_skipped && newer(&|other| other.has_ended() && other.state != "skipped") == 0;
            let is_last_success = row.is_success() && newer(&Row::is_success) == 0;
            let among = newer(&|other| (other.state == "skipped") == is_skipped);
            let is_old = row.age > max_age || among >= max_runs as usize;
            let stays = !row.has_ended() || is_last || is_last_ended || is_last_success || !is_old;
            prop_assert_eq!(runs.contains(&number), stays, "row {} of {:?}", number, rows);
            let keeps_log = stays && (!row.has_ended() || row.age <= max_age.min(log_max_age));
            prop_assert_eq!(logs.contains(&number), keeps_log, "log of row {} of {:?}", number, rows);
        }
        prop_assert_eq!(pruned.runs as usize, rows.len() - runs.len());
        prop_assert_eq!(pruned.log_lines as usize, 2 * (rows.len() - logs.len()));
        prop_assert_eq!(count(&state, "SELECT count(*) FROM tasks") as usize, runs.len());
        prop_assert_eq!(count(&state, "SELECT coalesce(sum(runs), 0) FROM totals"), totals);
        // Once more finds nothing.
        let again = state.prune(&retention(max_age, max_runs, log_max_age), at(NOW)).unwrap();
        prop_assert_eq!(again, Pruned::default());
    }
}

#[test]
fn what_status_says_of_a_job_is_the_same_after_pruning() {
    let state = State::in_memory().unwrap();
    let row = |job, verb, state, age| Row {
        job,
        verb,
        state,
        age,
    };
    put(
        &state,
        &[
            row("a", "run", "succeeded", 900),
            row("a", "run", "succeeded", 800),
            row("a", "run", "failed", 700),
            row("a", "rollback", "succeeded", 600),
        ],
    );
    let facts = |state: &State| {
        (
            state.last_run("a").unwrap().map(|run| run.id),
            state.last_success_at("a").unwrap(),
        )
    };
    let before = facts(&state);
    let pruned = state.prune(&retention(1, 1, 1), at(NOW)).unwrap();
    assert_eq!(pruned.runs, 2, "the older success and the failure");
    assert_eq!(facts(&state), before);
}

#[test]
fn a_log_of_many_lines_goes_in_more_than_one_step() {
    let state = State::in_memory().unwrap();
    put(
        &state,
        &[
            Row {
                job: "a",
                verb: "run",
                state: "failed",
                age: 10,
            },
            Row {
                job: "a",
                verb: "run",
                state: "failed",
                age: 0,
            },
        ],
    );
    state
        .connection()
        .execute_batch(&format!(
            "INSERT INTO logs WITH RECURSIVE n (i) AS (SELECT 3 UNION ALL SELECT i + 1 FROM n WHERE i < {})
                SELECT 1, i, 0, 'info', '', '' FROM n",
            2 * LINES
        ))
        .unwrap();
    let mut left = state.too_old(&retention(5, 9, 5), at(NOW)).unwrap();
    let mut pruned = Pruned::default();
    let mut steps = Vec::new();
    while !left.is_empty() {
        state.prune_some(&mut left, &mut pruned).unwrap();
        steps.push((pruned.runs, pruned.log_lines as usize));
    }
    assert_eq!(steps, [(0, LINES), (0, 2 * LINES), (1, 2 * LINES)]);
}

#[test]
fn the_file_does_not_grow_where_as_much_goes_as_comes() {
    let dir = TempDir::new().unwrap();
    let state = State::open(dir.path()).unwrap();
    let day = |state: &State, day: i64| {
        let mut connection = state.connection();
        let t = connection.transaction().unwrap();
        for number in 0..300 {
            t.execute(
                "INSERT INTO runs (id, job, file, verb, from_environment, to_environment, trigger, by, host, state,
                     started_at, finished_at)
                 VALUES (?1, 'a', x'', 'run', 'production', 'staging', 'schedule', '', 'here', 'failed', ?2, ?2)",
                params![format!("{day}-{number}"), NOW + day * 24 * HOUR],
            )
            .unwrap();
            t.execute(
                "INSERT INTO logs VALUES (?1, 1, 0, 'info', '', ?2)",
                params![t.last_insert_rowid(), "x".repeat(2000)],
            )
            .unwrap();
        }
        t.commit().unwrap();
    };
    let mut pages = Vec::new();
    for number in 0..12 {
        day(&state, number);
        let now = at(NOW + number * 24 * HOUR);
        state.prune(&retention(36, 1_000_000, 36), now).unwrap();
        pages.push(count(&state, "PRAGMA page_count"));
    }
    assert_eq!(count(&state, "SELECT count(*) FROM runs"), 600);
    // Three days are in it at most: two, and one that is not pruned yet.
    let (full, last) = (pages[3], pages[11]);
    assert!(last <= full + full / 10, "{pages:?}");
}

fn begin(state: &State, id: &str) {
    state
        .begin(&NewRun {
            job: "busy",
            trigger: Trigger::Schedule,
            tasks: &[("database".into(), "sqlite".into())],
            ..new_run(id)
        })
        .unwrap();
}

#[test]
fn a_run_that_is_going_on_writes_all_that_it_has_to_while_thousands_are_pruned() {
    let dir = TempDir::new().unwrap();
    let state = State::open(dir.path()).unwrap();
    let old = Row {
        job: "old",
        verb: "run",
        state: "failed",
        age: 50,
    };
    put(&state, &vec![old; 3000]);
    begin(&state, "going-on");
    let (begun, done) = (AtomicBool::new(false), AtomicBool::new(false));
    let (pruned, lines) = std::thread::scope(|scope| {
        // Another process is another connection.
        let writer = scope.spawn(|| {
            let state = State::open(dir.path()).unwrap();
            let mut lines = 0;
            loop {
                let is_last = done.load(Ordering::SeqCst);
                let line = LogLine {
                    at: Utc::now(),
                    level: "info".into(),
                    task: String::new(),
                    message: "still here".into(),
                };
                state.add_logs("going-on", &[line]).unwrap();
                lines += 1;
                begun.store(true, Ordering::SeqCst);
                if is_last {
                    return lines;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        while !begun.load(Ordering::SeqCst) && !writer.is_finished() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let pruned = state.prune(&retention(10, 1000, 10), at(NOW)).unwrap();
        done.store(true, Ordering::SeqCst);
        (pruned, writer.join().unwrap())
    });
    assert_eq!((pruned.runs, pruned.log_lines), (2999, 6000));
    assert_eq!(state.last_log("going-on").unwrap(), lines);
    assert!(lines > 5, "{lines} lines were written meanwhile");
    let outcome = Outcome {
        state: RunState::Succeeded,
        message: String::new(),
        errors: 0,
        warnings: 0,
        exit_code: 0,
    };
    assert!(state.finish("going-on", &outcome).unwrap());
    let run: Run = state.run("going-on").unwrap().unwrap();
    assert_eq!(run.tasks.len(), 1);
    assert_eq!(
        count(
            &state,
            "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check != 'ok'"
        ),
        0
    );
}
