//! Logs and progress of runs, to all who watch. However many there are, the state store is asked once.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use chrono::{SecondsFormat, Utc};
use futures_util::stream::{self, Stream};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::app::{App, Look};
use super::auth::Identity;
use super::feeds::{Feed, Seen};
use super::phase::Phase;
use super::revocation::Watch;
use crate::error::Result;
use crate::state::{LogLine, Run, RunState, TaskRow};

/// How often the state store is asked.
const EVERY: Duration = Duration::from_millis(400);

/// Lines that are read at a time, and that are kept for those who come a moment late.
const LINES: usize = 500;

/// A line of a log as JSON.
pub(super) fn line(seq: i64, line: &LogLine) -> Value {
    json!({
        "seq": seq,
        "at": line.at.to_rfc3339_opts(SecondsFormat::Millis, true),
        "level": line.level,
        "task": line.task,
        "message": line.message,
    })
}

/// How far a run is, as JSON.
pub(super) fn progress(run: &Run) -> Value {
    let now = Utc::now();
    json!({
        "run": run.id,
        "state": run.state.as_str(),
        "step": run.step,
        "percent": run.progress_percent(),
        "rows": run.rows(),
        "bytes": run.bytes(),
        "elapsed_seconds": run.duration(now).as_secs_f64(),
        "errors": run.errors,
        "warnings": run.warnings,
        "message": run.message,
        "tasks": run.tasks.iter().map(|task| json!({
            "name": task.name,
            "kind": task.kind,
            "state": task.progress.state.as_str(),
            "percent": task.progress.progress_percent,
            "rows": task.progress.rows,
            "bytes": task.progress.bytes,
            "duration_seconds": task.progress.duration_seconds,
            "message": task.progress.message,
            "phase": phase(task),
            "steps": task.progress.steps.iter().map(|step| json!({
                "name": step.name,
                "seconds": (step.seconds * 1000.0).round() / 1000.0,
            })).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
    })
}

/// How far a task is, in words.
fn phase(task: &TaskRow) -> Option<String> {
    let has_succeeded = task.progress.state == RunState::Succeeded;
    let percent = task.progress.progress_percent.clamp(0.0, 100.0) as u8;
    let all = Phase::all(&task.kind, has_succeeded, percent);
    all.last().map(ToString::to_string)
}

/// A run, and lines of its log with their numbers.
type Found = (Run, Vec<(i64, LogLine)>);

/// What one look at a run finds: its progress, and its lines after one.
fn look_at(look: &Look, run: &str, after: i64) -> Result<Option<Found>> {
    let Some(found) = look.state.run(run)? else {
        return Ok(None);
    };
    let lines = look.state.logs(run, after, LINES)?;
    Ok(Some((found, lines)))
}

/// Looks at a run for as long as somebody watches and it goes on.
async fn follow(app: App, run: String, feed: Weak<Feed>) {
    loop {
        let Some(watched) = feed.upgrade() else {
            return;
        };
        let mut seen = watched.seen.borrow().clone();
        let (name, after) = (run.clone(), seen.last);
        let found = app.ask(move |look| look_at(look, &name, after)).await;
        let whole = match found {
            Ok(Some((run, lines))) => {
                let whole = lines.len() < LINES;
                let mut kept = watched.lines.lock();
                for (seq, text) in &lines {
                    kept.push_back((*seq, line(*seq, text).to_string().into()));
                    seen.last = *seq;
                }
                while kept.len() > 2 * LINES {
                    kept.pop_front();
                }
                drop(kept);
                seen.progress = progress(&run).to_string().into();
                // Its last lines are written before its end is.
                seen.ended = whole && run.state.is_final();
                whole
            }
            Ok(None) => {
                seen.ended = true;
                true
            }
            // A full disk, say: it is tried again.
            Err(_) => true,
        };
        let ended = seen.ended;
        watched.seen.send_replace(seen);
        if ended {
            return;
        }
        drop(watched);
        if whole {
            tokio::time::sleep(EVERY).await;
        }
    }
}

/// A watcher's own place.
struct Watcher {
    app: App,
    may: Watch,
    run: String,
    feed: Arc<Feed>,
    seen: watch::Receiver<Seen>,
    /// The last line that was sent.
    last: i64,
    progress: Arc<str>,
    ready: VecDeque<Event>,
    over: bool,
}

/// A run's log after a line, and its progress, until its end.
pub(super) fn watch_run(app: &App, identity: &Identity, run: &Run, after: i64) -> Response {
    let (feed, is_new) = app.hub().feed(&run.id, after);
    if is_new {
        tokio::spawn(follow(app.clone(), run.id.clone(), Arc::downgrade(&feed)));
    }
    let watcher = Watcher {
        may: Watch::of(app, identity),
        app: app.clone(),
        run: run.id.clone(),
        seen: feed.seen.subscribe(),
        feed,
        last: after,
        progress: "".into(),
        ready: VecDeque::new(),
        over: false,
    };
    Sse::new(events(watcher))
        .keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
        .into_response()
}

fn events(watcher: Watcher) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(watcher, |mut watcher| async move {
        loop {
            if let Some(event) = watcher.ready.pop_front() {
                return Some((Ok(event), watcher));
            }
            if watcher.over {
                return None;
            }
            watcher.next().await;
        }
    })
}

impl Watcher {
    /// Waits for something new, and makes events of it.
    async fn next(&mut self) {
        if self.may.is_over() {
            self.over = true;
            return;
        }
        let mut seen = self.seen.borrow_and_update().clone();
        if seen.last <= self.last && seen.progress == self.progress && !seen.ended {
            let changed = tokio::select! {
                changed = self.seen.changed() => changed.is_ok(),
                () = self.may.over() => false,
            };
            if !changed {
                self.over = true;
                return;
            }
            seen = self.seen.borrow_and_update().clone();
        }
        if seen.last > self.last {
            self.lines(seen.last).await;
        }
        if seen.progress != self.progress {
            self.progress = seen.progress.clone();
            let event = Event::default().event("run").data(&*seen.progress);
            self.ready.push_back(event);
        }
        if seen.ended && self.last >= seen.last {
            self.ready
                .push_back(Event::default().event("end").data("{}"));
            self.over = true;
        }
    }

    /// The lines up to this one: from those that are kept, or from the state store for who is far behind.
    async fn lines(&mut self, until: i64) {
        let kept: Option<Vec<(i64, Arc<str>)>> = {
            let lines = self.feed.lines.lock();
            let first = lines.front().map_or(i64::MAX, |(seq, _)| *seq);
            let new = |(seq, _): &&(i64, Arc<str>)| *seq > self.last;
            (first <= self.last + 1).then(|| lines.iter().filter(new).cloned().collect())
        };
        let new = if let Some(kept) = kept {
            kept
        } else {
            let (run, after) = (self.run.clone(), self.last);
            let read = self
                .app
                .ask(move |look| look.state.logs(&run, after, LINES))
                .await;
            let Ok(read) = read else {
                // A full disk, say: it is tried again.
                tokio::time::sleep(EVERY).await;
                return;
            };
            read.into_iter()
                .map(|(seq, text)| (seq, line(seq, &text).to_string().into()))
                .collect()
        };
        if new.is_empty() {
            // They are gone: the run was taken out of the history.
            self.last = until;
        }
        for (seq, text) in new {
            let event = Event::default()
                .event("log")
                .id(seq.to_string())
                .data(&*text);
            self.ready.push_back(event);
            self.last = seq;
        }
    }
}
