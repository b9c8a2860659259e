//! How far a run is: counted where rows move, read by the terminal, the state store and the status file.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use chrono::{DateTime, Utc};

use crate::state::{Masked, RunState};
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
}

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

    /// Its turn is over for now: the clock stands still until the next `start`.
    pub(super) fn wait(&self) {
        let mut inner = self.inner();
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
        self.inner().active.push(Active {
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
            Some(part) => inner.done += part.bytes,
            None => inner.steps_done += 1,
        }
    }

    pub(super) fn built(&self) {
        self.inner().finished = true;
    }

    pub(super) fn end(&self, state: RunState, message: &str) {
        let mut inner = self.inner();
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
    }
}
