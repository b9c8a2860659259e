//! How far a run is: counted where rows move, read by the terminal, the state store and the status file.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use chrono::{DateTime, Utc};

use super::tally::Tally;
use crate::state::{CopiedTables, Masked, RunState, StepTime};
use crate::store::{Meter, Part};
use crate::sync::Mutex;

/// All tasks of one run.
#[derive(Debug)]
pub struct Progress {
    /// In the job's order.
    pub tasks: Vec<Arc<TaskProgress>>,
    step: Mutex<&'static str>,
}

/// One task.
#[derive(Debug)]
pub struct TaskProgress {
    /// Its name.
    pub name: String,
    /// Its store.
    pub kind: String,
    rows: AtomicU64,
    bytes: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: RunState,
    message: String,
    started: Option<Instant>,
    seconds: Option<f64>,
    /// The seconds that it took before it had to wait for the job's other tasks.
    before: f64,
    surveyed_at: Option<DateTime<Utc>>,
    masked: Option<Masked>,
    /// Estimated bytes of all parts, and of those that are in.
    total: u64,
    done: u64,
    steps: usize,
    steps_done: usize,
    finished: bool,
    /// The parts that are being copied.
    active: Vec<Active>,
    /// The steps that it came to.
    stages: Vec<Stage>,
    /// What was copied of its tables.
    tally: Tally,
}

/// A step of a task.
#[derive(Debug)]
struct Stage {
    name: &'static str,
    started: DateTime<Utc>,
    begun: Instant,
    /// Once it is over.
    seconds: Option<f64>,
}

/// More steps than a task has; further ones are not noted.
const STEPS: usize = 64;

/// A piece of work that a worker is at.
#[derive(Debug, Clone)]
pub struct Active {
    /// The part's or step's name.
    pub label: String,
    /// Bytes so far.
    pub bytes: u64,
    /// Bytes expected, as stored on the source; 0 for a step.
    pub expected: u64,
    /// The part's number: a table's slices have one label.
    part: Option<usize>,
}

/// The share of a task's time that copying usually takes; the rest is building indexes and constraints.
const COPY_SHARE: f64 = 0.65;

/// What is left for what comes after the indexes.
const FINISH_SHARE: f64 = 0.05;

impl Progress {
    /// Of these tasks, by name and kind, none of which has begun.
    pub fn new(tasks: impl IntoIterator<Item = (String, String)>) -> Self {
        Self {
            tasks: tasks
                .into_iter()
                .map(|(name, kind)| {
                    Arc::new(TaskProgress {
                        name,
                        kind,
                        rows: AtomicU64::new(0),
                        bytes: AtomicU64::new(0),
                        inner: Mutex::new(Inner {
                            state: RunState::Pending,
                            message: String::new(),
                            started: None,
                            seconds: None,
                            before: 0.0,
                            surveyed_at: None,
                            masked: None,
                            total: 0,
                            done: 0,
                            steps: 0,
                            steps_done: 0,
                            finished: false,
                            active: Vec::new(),
                            stages: Vec::new(),
                            tally: Tally::default(),
                        }),
                    })
                })
                .collect(),
            step: Mutex::new("policy"),
        }
    }

    /// The step that the run is at.
    pub fn step(&self) -> &'static str {
        *self.step.lock()
    }

    pub(super) fn set_step(&self, step: &'static str) {
        *self.step.lock() = step;
    }
}

impl Inner {
    fn seconds(&self) -> f64 {
        self.seconds.unwrap_or_else(|| {
            let now = self.started.map_or(0.0, |at| at.elapsed().as_secs_f64());
            self.before + now
        })
    }

    /// What it was at is over.
    fn leave_step(&mut self) {
        if let Some(step) = self.stages.last_mut() {
            let seconds = step.begun.elapsed().as_secs_f64();
            step.seconds.get_or_insert(seconds);
        }
    }
}

impl TaskProgress {
    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    pub(super) fn start(&self) {
        let mut inner = self.inner();
        inner.state = RunState::Running;
        inner.started = Some(Instant::now());
    }

    /// It comes to a step; what it was at before is over.
    pub(super) fn come_to(&self, step: &'static str) {
        let mut inner = self.inner();
        inner.leave_step();
        if inner.stages.len() < STEPS {
            inner.stages.push(Stage {
                name: step,
                started: Utc::now(),
                begun: Instant::now(),
                seconds: None,
            });
        }
    }

    /// The steps that it came to, in their order.
    pub fn steps(&self) -> Vec<StepTime> {
        let inner = self.inner();
        let steps = inner.stages.iter().map(|step| StepTime {
            name: step.name.to_owned(),
            started: step.started,
            seconds: step
                .seconds
                .unwrap_or_else(|| step.begun.elapsed().as_secs_f64()),
        });
        steps.collect()
    }

    /// What was copied of its tables, if that is other than it was after so many changes; and how many there are now.
    pub(super) fn tables_after(&self, changes: u64) -> Option<(u64, CopiedTables)> {
        let inner = self.inner();
        let now = inner.tally.changes();
        (now != changes).then(|| (now, inner.tally.told()))
    }

    /// Its turn is over for now: the clock stands still until the next `start`.
    pub(super) fn wait(&self) {
        let mut inner = self.inner();
        inner.leave_step();
        inner.before = inner.seconds();
        inner.started = None;
    }

    /// Notes what was masked.
    pub(super) fn set_masked(&self, masked: Option<Masked>) {
        self.inner().masked = masked;
    }

    /// What was masked in its rows, once they are copied.
    pub fn masked(&self) -> Option<Masked> {
        self.inner().masked.clone()
    }

    pub(super) fn surveyed(&self, at: DateTime<Utc>) {
        self.inner().surveyed_at = Some(at);
    }

    /// When its point in time was.
    pub fn surveyed_at(&self) -> Option<DateTime<Utc>> {
        self.inner().surveyed_at
    }

    pub(super) fn expect(&self, bytes: u64) {
        self.inner().total = bytes;
    }

    pub(super) fn expect_steps(&self, steps: usize) {
        self.inner().steps += steps;
    }

    pub(super) fn enter(&self, label: String, expected: u64) {
        self.inner().active.push(Active {
            label,
            bytes: 0,
            expected,
            part: None,
        });
    }

    pub(super) fn enter_part(&self, part: &Part) {
        let mut inner = self.inner();
        inner.tally.begin(part);
        inner.active.push(Active {
            label: part.label(),
            bytes: 0,
            expected: part.bytes,
            part: Some(part.id),
        });
    }

    pub(super) fn leave(&self, label: &str, part: Option<&Part>) {
        let mut inner = self.inner();
        inner.active.retain(|active| {
            let other = active.part.is_some() && active.part != part.map(|part| part.id);
            active.label != label || other
        });
        match part {
            Some(part) => {
                inner.done += part.bytes;
                inner.tally.end(part);
            }
            None => inner.steps_done += 1,
        }
    }

    pub(super) fn built(&self) {
        let mut inner = self.inner();
        inner.leave_step();
        inner.finished = true;
    }

    /// What it was at is over, and nothing follows yet.
    pub(super) fn rest(&self) {
        self.inner().leave_step();
    }

    pub(super) fn end(&self, state: RunState, message: &str) {
        let mut inner = self.inner();
        inner.leave_step();
        inner.seconds = Some(inner.seconds());
        inner.state = state;
        message.clone_into(&mut inner.message);
        inner.active.clear();
    }

    /// Rows in the target so far.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Bytes sent to the target so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Its state.
    pub fn state(&self) -> RunState {
        self.inner().state
    }

    /// What failed.
    pub fn message(&self) -> String {
        self.inner().message.clone()
    }

    /// How long it has been at it.
    pub fn seconds(&self) -> f64 {
        self.inner().seconds()
    }

    /// The parts that are being copied, biggest first; a table's slices are one.
    pub fn active(&self) -> Vec<Active> {
        let mut active: Vec<Active> = Vec::new();
        for one in &self.inner().active {
            if let Some(known) = active.iter_mut().find(|known| known.label == one.label) {
                known.bytes += one.bytes;
                known.expected += one.expected;
            } else {
                active.push(one.clone());
            }
        }
        active.sort_by_key(|active| std::cmp::Reverse(active.expected));
        active
    }

    /// 0 to 100. An estimate while it runs: bytes on the wire are not bytes on disk.
    pub fn percent(&self) -> f64 {
        let inner = self.inner();
        if inner.state == RunState::Succeeded {
            return 100.0;
        }
        let moving: f64 = inner
            .active
            .iter()
            .filter(|active| active.expected > 0)
            .map(|active| active.expected.min(active.bytes) as f64)
            .sum();
        let share = |done: f64, all: f64| {
            if all > 0.0 {
                (done / all).min(1.0)
            } else {
                0.0
            }
        };
        let mut percent = COPY_SHARE * share(inner.done as f64 + moving, inner.total as f64)
            + (1.0 - COPY_SHARE - FINISH_SHARE)
                * share(inner.steps_done as f64, inner.steps as f64);
        if inner.finished {
            percent = 0.99;
        }
        (percent * 1000.0).round() / 10.0
    }
}

impl Meter for TaskProgress {
    fn add(&self, part: &Part, rows: u64, bytes: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let mut inner = self.inner();
        if let Some(active) = inner
            .active
            .iter_mut()
            .find(|active| active.part == Some(part.id))
        {
            active.bytes += bytes;
        }
        inner.tally.add(part, rows, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task() -> Arc<TaskProgress> {
        let all = Progress::new([("database".to_owned(), "sqlite".to_owned())]);
        all.tasks[0].clone()
    }

    fn names(task: &TaskProgress) -> Vec<String> {
        task.steps().into_iter().map(|step| step.name).collect()
    }

    #[test]
    fn a_step_ends_where_the_next_begins_and_while_a_task_waits_it_is_in_none() {
        let task = task();
        task.start();
        task.come_to("survey");
        task.wait();
        let surveyed = task.steps()[0].seconds;
        std::thread::sleep(std::time::Duration::from_millis(20));
        task.start();
        task.come_to("copy");
        let steps = task.steps();
        assert_eq!(steps[0].seconds.to_bits(), surveyed.to_bits());
        assert!(steps[1].started > steps[0].started);
        std::thread::sleep(std::time::Duration::from_millis(20));
        // It goes on until something ends it.
        let so_far = task.steps()[1].seconds;
        assert!(so_far >= 0.02);
        task.end(RunState::Failed, "the disk is full");
        let ended = task.steps()[1].seconds;
        std::thread::sleep(std::time::Duration::from_millis(5));
        assert!(ended >= so_far);
        assert_eq!(task.steps()[1].seconds.to_bits(), ended.to_bits());
        assert_eq!(names(&task), ["survey", "copy"]);
    }

    #[test]
    fn a_task_that_comes_to_steps_without_end_notes_the_first() {
        let task = task();
        for _ in 0..10 * STEPS {
            task.come_to("prepare");
        }
        assert_eq!(names(&task).len(), STEPS);
    }

    #[test]
    fn what_was_copied_of_tables_is_told_once_until_it_changes() {
        let task = task();
        assert!(task.tables_after(0).is_none());
        let part = Part::whole(0, "t", crate::store::Encoding::new("test"), 9);
        task.enter_part(&part);
        task.add(&part, 3, 100);
        let (changes, tables) = task.tables_after(0).unwrap();
        assert_eq!((tables.tables[0].rows, tables.tables[0].bytes), (3, 100));
        assert!(task.tables_after(changes).is_none());
        task.leave("t", Some(&part));
        assert!(task.tables_after(changes).is_some());
    }
}
