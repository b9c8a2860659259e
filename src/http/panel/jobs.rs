//! Jobs: lists of them, a job's page, and what can be done to it.

use axum::response::Response;

use super::answer::go_to;
use super::environments::begin;
use super::facts::{self, Entry, Facts};
use super::overview::{is_called, part};
use super::view::{
    self, Coverage, Edited, JobListing, Jobs, Place, Recurring, Schedule, TaskDefinition,
};
use super::visitor::{Asked, Posted, Visitor, paused};
use super::words::encoded;
use crate::config::job::{Job, KeepPrevious, Task};
use crate::control::job_files;
use crate::error::{Error, Kind, Result};
use crate::http::api::jobs::{detail, next_times, roll_back};
use crate::http::api::pauses;
use crate::http::api::start::{Wanted, start};
use crate::http::app::Look;
use crate::http::reply::{Named, Problem};
use crate::state::{Page, Paused, Run, Verb};

/// So many runs are on a job's page.
pub(super) const RUNS: usize = 20;

/// So many next times are told.
const TIMES: usize = 3;

/// `/jobs`
pub(super) async fn list(visitor: Visitor, Asked(fields): Asked) -> Response {
    let made = visitor
        .show(Place::Jobs, move |look, identity, frame| {
            let facts = Facts::read(look)?;
            let text = fields.text("q").to_owned();
            let all = facts.entries(look, identity);
            let all: Vec<Entry<'_>> = all.filter(|entry| is_called(entry, &text)).collect();
            let (shown, pages) = part(&all, &fields, "/jobs");
            Ok(Jobs {
                all: shown
                    .iter()
                    .map(|entry| listing(look, &facts, entry))
                    .collect(),
                text,
                pages,
                frame,
            })
        })
        .await;
    visitor.answer(made)
}

/// `/recurring`
pub(super) async fn recurring(visitor: Visitor, Asked(fields): Asked) -> Response {
    let made = visitor
        .show(Place::Recurring, move |look, identity, frame| {
            let facts = Facts::read(look)?;
            let all = facts.entries(look, identity);
            let all: Vec<Entry<'_>> = all
                .filter(|entry| entry.job().is_some_and(|job| job.schedule.is_some()))
                .collect();
            let (shown, pages) = part(&all, &fields, "/recurring");
            Ok(Recurring {
                all: shown
                    .iter()
                    .map(|entry| listing(look, &facts, entry))
                    .collect(),
                pages,
                frame,
            })
        })
        .await;
    visitor.answer(made)
}

fn listing(look: &Look, facts: &Facts, entry: &Entry<'_>) -> JobListing {
    let job = entry.job();
    let mut kinds: Vec<String> = Vec::new();
    for task in job.iter().flat_map(|job| &job.tasks) {
        let kind = task.kind.to_string();
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    JobListing {
        name: entry.name.to_owned(),
        description: job.map_or_else(String::new, |job| job.description.clone()),
        mark: entry.mark,
        way: entry.way(look),
        kinds,
        schedule: job.and_then(|job| schedule(look, job)),
        paused: facts::own_pause(&facts.pauses, entry.name).map(paused),
        is_under_way: entry.is_under_way(),
    }
}

fn edited(look: &Look, file: &std::path::Path, name: &str) -> Edited {
    let settings = look.settings();
    if job_files::directory(settings).is_err() || settings.site_job_named(name).is_some() {
        Edited::Nowhere
    } else if settings.is_managed(file) {
        Edited::Here
    } else {
        Edited::ByHand
    }
}

fn schedule(look: &Look, job: &Job) -> Option<Schedule> {
    Some(Schedule {
        text: job.schedule.as_ref()?.to_string(),
        zone: facts::zone(look, job),
        next: next_times(look, job, TIMES),
    })
}

/// `/jobs/{job}`
pub(super) async fn page(visitor: Visitor, Named(name): Named<String>) -> Response {
    let made = show(&visitor, name).await;
    visitor.answer(made)
}

async fn show(visitor: &Visitor, name: String) -> Result<Response, Problem> {
    // Says whether it is there, and theirs to see.
    detail(&visitor.app, &visitor.identity, name.clone()).await?;
    visitor
        .show(Place::Jobs, move |look, _, frame| {
            let view = look.view.jobs.get(&name).cloned();
            let Some(view) = view.or_else(|| facts::of_site(look, &name)) else {
                return Err(Error::new(
                    Kind::Unknown,
                    format!("there is no job `{name}`"),
                ));
            };
            let facts = Facts::of(look, &name)?;
            let entry = facts.entry(&name, &view);
            let runs = look.state.page(&Page {
                jobs: Some(std::slice::from_ref(&name)),
                to: None,
                state: None,
                before: None,
                limit: RUNS,
            })?;
            let lengths = look.state.last_lengths(&[&name], facts::STRIP)?;
            let way = entry.way(look);
            Ok(view::Job {
                description: entry
                    .job()
                    .map_or_else(String::new, |job| job.description.clone()),
                mark: entry.mark,
                file: view.file.display().to_string(),
                edited: edited(look, &view.file, &name),
                problem: Some(view.problem.clone()).filter(|problem| !problem.is_empty()),
                schedule: entry.job().and_then(|job| schedule(look, job)),
                paused: facts::own_pause(&facts.pauses, &name).map(paused),
                held: facts
                    .holds
                    .iter()
                    .find(|hold| hold.environment == way.to)
                    .map(facts::held),
                way,
                tasks: entry
                    .job()
                    .map_or_else(Vec::new, |job| job.tasks.iter().map(definition).collect()),
                last_success: entry.last_success(),
                strip: facts::strip(lengths.first().map_or(&[][..], Vec::as_slice)),
                runs: runs
                    .iter()
                    .map(|run| facts::run_line(look, run, facts.now))
                    .collect(),
                is_under_way: entry.is_under_way(),
                has_previous: entry.job().is_some_and(keeps_previous)
                    && look
                        .state
                        .last_published(&name)?
                        .is_some_and(|run| can_be_taken_back(&run)),
                name,
                frame,
            })
        })
        .await
}

/// Whether all that a job replaces is kept.
pub(super) fn keeps_previous(job: &Job) -> bool {
    let keeps = |task: &Task| task.previous == KeepPrevious::Keep && !task.pushes();
    job.tasks.iter().all(keeps)
}

/// Whether what a run published can be taken back: it was no rollback itself.
pub(super) fn can_be_taken_back(run: &Run) -> bool {
    run.verb == Verb::Run && run.only.is_empty()
}

/// A task as its file has it. Passwords are not in URLs any more.
fn definition(task: &Task) -> TaskDefinition {
    let side = |endpoint: &crate::config::job::Endpoint| match &endpoint.name {
        Some(name) => format!("{name} ({})", endpoint.url),
        None => endpoint.url.to_string(),
    };
    let scripts = task.scripts.iter().map(|path| path.display().to_string());
    let rows = task
        .rows
        .iter()
        .flat_map(|rule| rule.tables.iter().cloned());
    let options = [
        ("not copied", task.exclude.clone()),
        ("structure alone", task.schema_only.clone()),
        ("kept", task.keep.clone()),
        ("only some rows", rows.collect()),
        ("scripts", scripts.collect()),
    ];
    let filled = options
        .into_iter()
        .filter(|(_, all): &(_, Vec<String>)| !all.is_empty());
    let masked = task.masks.iter().map(|rule| rule.columns.len()).sum();
    let passed = task.passes.iter().map(|pass| pass.columns.len()).sum();
    TaskDefinition {
        name: task.name.clone(),
        kind: task.kind.to_string(),
        source: side(&task.source),
        target: side(&task.target),
        options: filled
            .map(|(name, all)| (name.to_owned(), all.join(", ")))
            .collect(),
        coverage: task.masks().then_some(Coverage { masked, passed }),
    }
}

/// Where a run is shown.
pub(super) fn run_link(run: &Run) -> String {
    format!("/runs/{}", encoded(&run.id))
}

pub(super) async fn run(Named(job): Named<String>, Posted { visitor, .. }: Posted) -> Response {
    let wanted = Wanted {
        job,
        only: Vec::new(),
        verb: Verb::Run,
    };
    let done = start(&visitor.app, &visitor.identity, wanted, None).await;
    visitor.answer(done.map(|run| go_to(&run_link(&run))))
}

pub(super) async fn rollback(
    Named(job): Named<String>,
    Posted { visitor, fields }: Posted,
) -> Response {
    let confirm = fields.text("confirm");
    let done = roll_back(&visitor.app, &visitor.identity, job, confirm, None).await;
    visitor.answer(done.map(|run| go_to(&run_link(&run))))
}

pub(super) async fn pause(
    Named(job): Named<String>,
    Posted { visitor, fields }: Posted,
) -> Response {
    let done = begin(&visitor, Paused::Job(job.clone()), &fields).await;
    visitor.answer(done.map(|()| go_to(&format!("/jobs/{}?done=paused", encoded(&job)))))
}

pub(super) async fn resume(Named(job): Named<String>, Posted { visitor, .. }: Posted) -> Response {
    let done = pauses::resume(&visitor.app, &visitor.identity, Paused::Job(job.clone())).await;
    visitor.answer(done.map(|()| go_to(&format!("/jobs/{}?done=resumed", encoded(&job)))))
}
