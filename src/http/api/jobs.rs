//! Jobs: what they do, when they run, how they are, and a run now.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::runs::{self, RunPage};
use super::start::{Wanted, accepted, key, start};
use crate::config::http::Scope;
use crate::config::job::{Job, Task};
use crate::control::documents::{self, time};
use crate::daemon::JobView;
use crate::error::{Error, Kind, Result};
use crate::http::app::{App, Look};
use crate::http::auth::Identity;
use crate::http::reply::{Asked, Named, Problem, Sent, json, tagged};
use crate::process::host_name;
use crate::state::{self, JobOverview, KnownJob, Pause, Verb};

/// All jobs.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Jobs {
    /// Sorted by name.
    pub(in crate::http) items: Vec<Summary>,
}

/// A job in short.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Summary {
    /// Its name.
    pub(in crate::http) name: String,
    /// For people.
    pub(in crate::http) description: String,
    /// The site that it belongs to.
    pub(in crate::http) site: Option<String>,
    /// The environment that data comes from.
    pub(in crate::http) from: String,
    /// The environment that data goes to; `archive`: it pushes into one.
    pub(in crate::http) to: String,
    /// The last run's state, or `never`.
    pub(in crate::http) state: String,
    /// When it runs by itself, as its file says; `null`: it does not.
    pub(in crate::http) schedule: Option<String>,
    /// The schedule's time zone.
    pub(in crate::http) timezone: String,
    /// When the daemon will start it next.
    pub(in crate::http) next_run_at: Option<String>,
    /// When it last brought new data.
    pub(in crate::http) last_success_at: Option<String>,
    /// Failed or refused runs since then.
    pub(in crate::http) consecutive_failures: u32,
    /// Its pause, or one that it is under.
    pub(in crate::http) paused: Option<documents::Pause>,
    /// What is wrong with its file while the last good version stays in force; empty: nothing.
    pub(in crate::http) problem: String,
    /// Its newest run that was not skipped.
    pub(in crate::http) last_run: Option<documents::Run>,
    /// How many columns are masked by name, over all tasks.
    pub(in crate::http) masked_columns: usize,
    /// Whether its target's environment requires masks.
    pub(in crate::http) masks_required: bool,
}

/// A job whole.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Detail {
    /// In short.
    #[serde(flatten)]
    pub(in crate::http) summary: Summary,
    /// Its file.
    pub(in crate::http) file: String,
    /// Whether the file is one that the API and the panel write, where `edit_jobs` lets them.
    pub(in crate::http) managed: bool,
    /// How long a run may take.
    pub(in crate::http) timeout_seconds: Option<u64>,
    /// Its next times, in UTC.
    pub(in crate::http) next_times: Vec<String>,
    /// Its tasks, without passwords.
    pub(in crate::http) tasks: Vec<TaskOf>,
}

/// A task of a job.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct TaskOf {
    /// Its name.
    pub(in crate::http) name: String,
    /// The store's kind.
    pub(in crate::http) kind: String,
    /// Where from, without a password.
    pub(in crate::http) source: String,
    /// Where to, without a password.
    pub(in crate::http) target: String,
    /// Tables that are not copied.
    pub(in crate::http) exclude: Vec<String>,
    /// Tables that are copied without rows.
    pub(in crate::http) schema_only: Vec<String>,
    /// Tables whose rows the target keeps.
    pub(in crate::http) keep: Vec<String>,
    /// What is masked: `TABLE.COLUMN: KIND`.
    pub(in crate::http) masks: Vec<String>,
    /// Tables of which only some rows are copied.
    pub(in crate::http) rows: Vec<String>,
    /// Scripts that change the copy before it is seen.
    pub(in crate::http) scripts: Vec<String>,
}

/// What all summaries are made of.
struct Known {
    overview: BTreeMap<String, JobOverview>,
    schedules: BTreeMap<String, KnownJob>,
    pauses: Vec<Pause>,
    now: DateTime<Utc>,
    alive: bool,
}

impl Known {
    /// Of all jobs.
    fn read(look: &Look) -> Result<Self> {
        let known = look.state.known_jobs()?;
        Self::with(look, look.state.overview()?, known)
    }

    /// Of one.
    fn of(look: &Look, name: &str) -> Result<Self> {
        let overview = look.state.job_overview(name)?;
        let known = look.state.known_job(name)?;
        Self::with(look, overview, known)
    }

    fn with(
        look: &Look,
        overview: impl IntoIterator<Item = JobOverview>,
        known: impl IntoIterator<Item = KnownJob>,
    ) -> Result<Self> {
        let (overview, known) = (overview.into_iter(), known.into_iter());
        Ok(Self {
            overview: overview.map(|job| (job.job.clone(), job)).collect(),
            schedules: known.map(|job| (job.job.clone(), job)).collect(),
            pauses: look.state.pauses()?,
            now: Utc::now(),
            alive: look.state.has_daemon()?,
        })
    }
}

/// All jobs that have a file.
pub(in crate::http) fn summaries(look: &Look) -> Result<Vec<Summary>> {
    let known = Known::read(look)?;
    let all = look.view.jobs.iter();
    Ok(all
        .map(|(name, view)| summary(look, name, view, &known))
        .collect())
}

fn summary(look: &Look, name: &str, view: &JobView, known: &Known) -> Summary {
    let job = view.job.as_deref();
    let history = known.overview.get(name);
    let to = job.map_or("", |job| job.to.as_str());
    let paused = Pause::holding(&known.pauses, name, Some(to));
    let next = known
        .schedules
        .get(name)
        .and_then(|known| known.next_run_at);
    let last_run = history.and_then(|history| history.last_run.as_ref());
    let zone = job
        .and_then(|job| job.timezone)
        .unwrap_or(look.settings().timezone);
    let masks = job
        .into_iter()
        .flat_map(|job| &job.tasks)
        .flat_map(|task| &task.masks);
    let rules = job.and_then(|job| job.environments.get(&job.to));
    Summary {
        name: name.to_owned(),
        description: job.map_or_else(String::new, |job| job.description.clone()),
        site: job.and_then(|job| job.site.clone()),
        from: job.map_or_else(String::new, |job| job.from.to_string()),
        to: to.to_owned(),
        state: last_run
            .map_or("never", |run| run.state.as_str())
            .to_owned(),
        schedule: job
            .and_then(|job| job.schedule.as_ref())
            .map(ToString::to_string),
        timezone: zone.name().to_owned(),
        next_run_at: next.filter(|_| paused.is_none() && known.alive).map(time),
        last_success_at: history
            .and_then(|history| history.last_success_at)
            .map(time),
        consecutive_failures: history.map_or(0, |history| history.consecutive_failures),
        paused: paused.map(documents::Pause::new),
        problem: view.problem.clone(),
        last_run: last_run.map(|run| documents::Run::new(run, known.now)),
        masked_columns: masks.map(|rule| rule.columns.len()).sum(),
        masks_required: rules
            .is_some_and(|rules| rules.require_masks != crate::policy::RequireMasks::No),
    }
}

#[utoipa::path(get, path = "/api/v1/jobs", tag = "jobs", responses(
    (status = 200, description = "All jobs", body = Jobs)))]
/// All jobs that have a file, and how they are. What is in it is a fifth of a second old at the most.
pub(super) async fn list(
    State(app): State<App>,
    identity: Identity,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    identity.may(Scope::Read)?;
    if !identity.is_limited() {
        let bytes = app
            .ask_often("jobs", |look| {
                let items = summaries(look)?;
                serde_json::to_vec(&Jobs { items }).map_err(|error| {
                    Error::new(Kind::Internal, "the list cannot be written").because(error)
                })
            })
            .await?;
        return Ok(tagged(&headers, bytes.as_slice().to_vec()));
    }
    let mut items = app.ask(summaries).await?;
    items.retain(|job| identity.covers(&job.to, job.site.as_deref()));
    json(&headers, &Jobs { items })
}

#[utoipa::path(get, path = "/api/v1/jobs/{job}", tag = "jobs",
    params(("job" = String, Path, description = "The job's name")),
    responses((status = 200, description = "The job", body = Detail)))]
/// A job: what it does, without secrets, and its next times.
pub(super) async fn show(
    State(app): State<App>,
    identity: Identity,
    Named(name): Named<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    json(&headers, &detail(&app, &identity, name).await?)
}

/// A job whole, if it is within somebody's limits.
pub(in crate::http) async fn detail(
    app: &App,
    identity: &Identity,
    name: String,
) -> Result<Detail, Problem> {
    identity.may(Scope::Read)?;
    let detail = app.ask(move |look| detail_of(look, &name)).await?;
    identity.within(&detail.summary.to, detail.summary.site.as_deref())?;
    Ok(detail)
}

fn detail_of(look: &Look, name: &str) -> Result<Detail> {
    let of_site = look.settings().site_job_named(name).transpose()?;
    let view = match (look.view.jobs.get(name), of_site) {
        (Some(view), _) => view.clone(),
        (None, Some(job)) => JobView {
            file: job.file.clone(),
            problem: String::new(),
            read: None,
            job: Some(job.into()),
        },
        (None, None) => {
            runs::known(look, name)?;
            // It is in the history alone.
            return Err(
                Error::new(Kind::Unknown, format!("job `{name}` has no file any more"))
                    .hint("its runs are still there"),
            );
        }
    };
    let summary = summary(look, name, &view, &Known::of(look, name)?);
    let job = view.job.as_deref();
    let times = job.map_or_else(Vec::new, |job| next_times(look, job, 5));
    Ok(Detail {
        summary,
        file: view.file.display().to_string(),
        managed: look.settings().is_managed(&view.file),
        timeout_seconds: job
            .and_then(|job| job.timeout)
            .map(|timeout| timeout.as_secs()),
        next_times: times.into_iter().map(time).collect(),
        tasks: job.map_or_else(Vec::new, |job| job.tasks.iter().map(task).collect()),
    })
}

/// The next times of a job's schedule, paused or not.
pub(in crate::http) fn next_times(look: &Look, job: &Job, count: usize) -> Vec<DateTime<Utc>> {
    let Some(timetable) = job.timetable(look.settings(), &host_name()) else {
        return Vec::new();
    };
    timetable.times_after(Utc::now()).take(count).collect()
}

fn task(task: &Task) -> TaskOf {
    let masks = task.masks.iter().flat_map(|rule| {
        let tables = rule.tables.join(", ");
        let column = move |(column, kind): &(String, crate::mask::Kind)| {
            format!("{tables}.{column}: {}", kind.name())
        };
        rule.columns.iter().map(column).collect::<Vec<_>>()
    });
    let rows = task.rows.iter().map(|rule| rule.tables.join(", "));
    let name = |endpoint: &crate::config::job::Endpoint| match &endpoint.name {
        Some(name) => format!("{name} ({})", endpoint.url),
        None => endpoint.url.to_string(),
    };
    TaskOf {
        name: task.name.clone(),
        kind: task.kind.to_string(),
        source: name(&task.source),
        target: name(&task.target),
        exclude: task.exclude.clone(),
        schema_only: task.schema_only.clone(),
        keep: task.keep.clone(),
        masks: masks.collect(),
        rows: rows.collect(),
        scripts: task
            .scripts
            .iter()
            .map(|path| path.display().to_string())
            .collect(),
    }
}

#[utoipa::path(get, path = "/api/v1/jobs/{job}/runs", tag = "jobs",
    params(("job" = String, Path, description = "The job's name"), runs::Part),
    responses((status = 200, description = "A page of its runs", body = RunPage)))]
/// A job's runs, newest first.
pub(super) async fn runs(
    State(app): State<App>,
    identity: Identity,
    Named(name): Named<String>,
    Asked(part): Asked<runs::Part>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let job = name.clone();
    app.ask(move |look| runs::known(look, &job)).await?;
    let part = runs::Part {
        job: Some(name),
        ..part
    };
    runs::answer(&app, &identity, part, &headers).await
}

/// What of a job to run.
#[derive(Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct RunRequest {
    /// Only these tasks; empty: all.
    #[serde(default)]
    only: Vec<String>,
}

/// A run that waits for its turn.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Started {
    /// The run's id.
    id: String,
    /// The job's name.
    job: String,
    /// `pending`; with an `Idempotency-Key` that was used before, what has become of that run.
    status: String,
    /// Where to look how it goes on.
    url: String,
}

impl Started {
    fn of(run: &state::Run) -> Self {
        Self {
            id: run.id.clone(),
            job: run.job.clone(),
            status: run.state.to_string(),
            url: format!("/api/v1/runs/{}", run.id),
        }
    }
}

#[utoipa::path(post, path = "/api/v1/jobs/{job}/runs", tag = "jobs",
    params(("job" = String, Path, description = "The job's name"),
           ("Idempotency-Key" = Option<String>, Header, description = "The same key again starts nothing new")),
    request_body = RunRequest,
    responses((status = 202, description = "The run waits for its turn", body = Started,
        headers(("Location" = String, description = "The run")))))]
/// Has the daemon run a job now. Takes the scope `run`.
pub(super) async fn run(
    State(app): State<App>,
    identity: Identity,
    Named(job): Named<String>,
    headers: HeaderMap,
    Sent(request): Sent<RunRequest>,
) -> Result<Response, Problem> {
    let key = key(&headers, &(&job, &request))?;
    let wanted = Wanted {
        job,
        only: request.only,
        verb: Verb::Run,
    };
    let run = start(&app, &identity, wanted, key).await?;
    let started = Started::of(&run);
    Ok(accepted(&started.url, &started))
}

/// What takes care that nobody rolls back by mistake.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct RollbackRequest {
    /// The environment whose data goes back to what it was, by its name.
    confirm: String,
}

#[utoipa::path(post, path = "/api/v1/jobs/{job}/rollback", tag = "jobs",
    params(("job" = String, Path, description = "The job's name"),
           ("Idempotency-Key" = Option<String>, Header, description = "The same key again starts nothing new")),
    request_body = RollbackRequest,
    responses((status = 202, description = "The rollback waits for its turn", body = Started,
        headers(("Location" = String, description = "The run")))))]
/// Publishes again what was live before the job's last run. Takes the scope `run`, and the target environment's name.
pub(super) async fn rollback(
    State(app): State<App>,
    identity: Identity,
    Named(job): Named<String>,
    headers: HeaderMap,
    Sent(request): Sent<RollbackRequest>,
) -> Result<Response, Problem> {
    let key = key(&headers, &(&job, &request))?;
    let run = roll_back(&app, &identity, job, &request.confirm, key).await?;
    let started = Started::of(&run);
    Ok(accepted(&started.url, &started))
}

/// Rolls a job back whose target was named.
pub(in crate::http) async fn roll_back(
    app: &App,
    identity: &Identity,
    job: String,
    confirm: &str,
    key: Option<(String, String)>,
) -> Result<state::Run, Problem> {
    identity.may(Scope::Run)?;
    let name = job.clone();
    let to = app
        .ask(move |look| super::start::job(look, &name).map(|job| job.to))
        .await?;
    if to.as_str() != confirm.trim() {
        return Err(Problem::bad(format!(
            "this changes `{to}`, and {} was confirmed",
            crate::config::quote(confirm)
        ))
        .hint("send the target environment's name as `confirm`"));
    }
    let wanted = Wanted {
        job,
        only: Vec::new(),
        verb: Verb::Rollback,
    };
    start(app, identity, wanted, key).await
}
