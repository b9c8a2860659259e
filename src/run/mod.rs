//! One run, in one straight line:
//!
//! policy -> locks -> survey (of all tasks) -> prepare incoming -> copy parts -> finish -> verify -> scripts -> derive -> (all tasks built) ->
//! maintenance on -> publish -> after_publish -> maintenance off -> record
//!
//! Where the store can copy the source's files by itself, that comes before the survey and instead of rows ([`adopt`]).
//! A task that is published in place is only prepared before maintenance, and emptied and loaded in it ([`in_place`]).
//! Low priority comes even before: it belongs to the whole process (see `guard::priority`). All of a job's tasks are
//! built and verified before the first is published; if publishing a later one fails, the earlier ones are undone.

mod adopt;
mod bugs;
mod copy;
pub mod hooks;
pub mod housekeeping;
pub mod in_place;
pub mod last_good;
mod locks;
mod pace;
pub mod plan;
pub mod progress;
pub mod record;
pub mod recover;
pub mod rollback;
mod scripts;
pub mod start;
mod verify;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use self::bugs::safely;
use self::hooks::Maintenance;
use self::pace::Pace;
use self::progress::{Board, TaskBoard};
use crate::archive;
use crate::config::job::{Job, PointInTime, Publish, Settings, Task};
use crate::config::{Risk, Variables, risk};
use crate::error::{Error, Kind, Result};
use crate::guard::memory::Watch;
use crate::guard::process::{Process, host_name, panics};
use crate::guard::signals::Signals;
use crate::policy::{self, Identity};
use crate::report::log::Counts;
use crate::state::{Beat, NewRun, RunState, State, Trigger, Verb};
use crate::store::{self, Claim, Context, Selection, Survey};

/// Everything that one run needs, put together by who starts it.
pub struct Order {
    /// What to do.
    pub job: Job,
    /// The host's settings.
    pub settings: Settings,
    /// The environment for hooks and secrets.
    pub variables: Arc<Variables>,
    /// The run's id, a UUID of version 7.
    pub id: String,
    /// What started it.
    pub trigger: Trigger,
    /// Who asked for it.
    pub by: String,
    /// Where it is recorded.
    pub state: State,
    /// What the log has counted.
    pub counts: Counts,
    /// How far it is.
    pub board: Arc<Board>,
    /// Ends it.
    pub cancel: CancellationToken,
    /// Why it was ended.
    pub signals: Signals,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// Whether the job's own time limit ended it.
    pub timed_out: AtomicBool,
    /// Ends it when it takes too much memory.
    pub memory: Watch,
}

impl Order {
    /// The board for a job's tasks.
    pub fn board_for(job: &Job) -> Arc<Board> {
        Arc::new(Board::new(
            job.tasks
                .iter()
                .map(|task| (task.name.clone(), task.kind.to_string())),
        ))
    }

    /// Records that it has begun, and goes on recording.
    fn begin(self: &Arc<Self>, verb: Verb) -> Result<record::Recorder> {
        // Before anybody can look for it.
        let lease = record::lease(self);
        self.record_begin(verb, None)?;
        record::Recorder::start(self.clone(), verb, lease)
    }

    /// `since`: it is under way, and the history has lost it.
    fn record_begin(&self, verb: Verb, since: Option<DateTime<Utc>>) -> Result<()> {
        let tasks: Vec<(String, String)> = self
            .job
            .tasks
            .iter()
            .map(|task| (task.name.clone(), task.kind.to_string()))
            .collect();
        let run = NewRun {
            id: &self.id,
            job: self.job.name.as_str(),
            file: &self.job.file,
            verb,
            from: self.job.from.as_str(),
            to: self.job.to.as_str(),
            trigger: self.trigger,
            by: &self.by,
            host: &host_name(),
            process: &Process::own(),
            timeout: self.job.timeout,
            tasks: &tasks,
            only: &self.job.part(),
        };
        self.state.begin_at(&run, since.unwrap_or_else(Utc::now))
    }

    fn claim(&self) -> Claim {
        Claim {
            job: self.job.name.to_string(),
            run: self.id.clone(),
            host: host_name(),
        }
    }

    /// Notes a step, in the history and on the board.
    fn step(&self, step: &'static str) {
        self.board.set_step(step);
        tracing::debug!(step, "next step");
        if let Err(error) = self.state.set_step(&self.id, step) {
            tracing::warn!(%error, "the step could not be recorded");
        }
    }

    /// Notes a step that changes live. What cannot be recorded is not done: whoever found the run dead afterwards would say
    /// that live is as it was.
    async fn commit(&self, step: &'static str) -> Result<()> {
        self.board.set_step(step);
        tracing::debug!(step, "next step");
        let until = Instant::now() + record::AGAIN;
        loop {
            let Err(error) = self.state.commit_step(&self.id, step) else {
                return Ok(());
            };
            // A history that was replaced gets the run again, and with the next sign of life at that.
            let lost = matches!(self.state.beat(&self.id), Ok(Beat::Unknown));
            if !lost || Instant::now() > until {
                return Err(error.within(format!("before `{step}`, with live as it was")));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// What an error that came while the run was being ended really was.
    fn cause(&self, error: Error) -> Error {
        if let Some(bug) = panics::stray() {
            return self.during(bug);
        }
        if !self.cancel.is_cancelled() {
            return error;
        }
        if let Some(error) = self.memory.error() {
            return error;
        }
        if self.timed_out.load(Ordering::SeqCst) {
            let limit = self
                .job
                .timeout
                .map(|limit| humantime::format_duration(limit).to_string());
            return Error::new(
                Kind::Timeout,
                format!("the job's timeout of {} is over", limit.unwrap_or_default()),
            )
            .hint("see the log for what took so long, or give the job a longer `timeout`");
        }
        match self.signals.received() {
            Some(number) => {
                if let Ok(Some(run)) = self.state.run(&self.id)
                    && let Some(by) = run.cancelled_by
                {
                    return Error::new(Kind::Cancelled(number), format!("cancelled by {by}"));
                }
                let name = nix::sys::signal::Signal::try_from(number)
                    .map_or("a signal", nix::sys::signal::Signal::as_str);
                Error::new(Kind::Cancelled(number), format!("cancelled by {name}"))
            }
            None => error,
        }
    }

    async fn cancelled(&self) -> Error {
        self.cancel.cancelled().await;
        self.cause(Error::new(Kind::Internal, "cancelled"))
    }

    fn context(&self, task: &Task) -> Result<Context> {
        let variables = self.variables.clone();
        Ok(Context {
            claim: self.claim(),
            cancel: self.cancel.clone(),
            selection: Arc::new(Selection::of(task)?),
            workers: store::workers(task),
            lookup: Arc::new(move |name| variables.get(name)),
        })
    }
}

/// One task with both of its sides open.
struct Site {
    task: Task,
    context: Context,
    source: Box<dyn store::Source>,
    target: Box<dyn store::Target>,
    board: Arc<TaskBoard>,
    pace: Arc<Pace>,
    survey: OnceCell<Survey>,
}

impl Site {
    fn in_place(&self) -> bool {
        self.task.publish == Publish::InPlace
    }

    fn survey(&self) -> Result<&Survey> {
        self.survey
            .get()
            .ok_or_else(|| Error::new(Kind::Internal, "a task was not surveyed"))
    }
}

/// Runs a job to its end and records what came of it. The error is the run's own.
pub async fn execute(order: Order) -> Result<()> {
    let order = Arc::new(order);
    let recorder = order.begin(Verb::Run)?;
    let only = order.job.part().join(", ");
    if only.is_empty() {
        tracing::info!(from = %order.job.from, to = %order.job.to, "run started");
    } else {
        tracing::info!(from = %order.job.from, to = %order.job.to, only, "run of a part of the job started");
    }
    warn_of_risks(&order.job);
    let outcome = bugs::none(safely(&order, watched(&order)).await);
    let recorded = recorder.end(&outcome);
    record::tell(&order, &recorded).await;
    recorded.and(outcome)
}

/// Says what the servers' URLs risk: in every run's record, whoever reads the files' own warnings.
fn warn_of_risks(job: &Job) {
    for task in &job.tasks {
        for (side, endpoint) in [("source", &task.source), ("target", &task.target)] {
            if let Some(Risk { what, help }) = risk(&endpoint.url) {
                tracing::warn!(task = task.name, side, what, help, "the URL gives up TLS");
            }
        }
    }
}

/// The line, under the job's time limit.
async fn watched(order: &Arc<Order>) -> Result<()> {
    let limit = order.job.timeout.map(|limit| {
        let order = order.clone();
        tokio::spawn(async move {
            tokio::time::sleep(limit).await;
            order.timed_out.store(true, Ordering::SeqCst);
            order.cancel.cancel();
        })
    });
    let bug = bugs::ends(order);
    let outcome = line(order).await;
    if let Some(limit) = limit {
        limit.abort();
    }
    bug.abort();
    outcome
}

async fn line(order: &Arc<Order>) -> Result<()> {
    policy::permit(&order.job.environments, &order.job.from, &order.job.to)?;
    capabilities(&order.job)?;
    in_place::refuse_a_part_of_what_is_broken(order)?;
    hooks::look(order)?;
    let mut held = locks::Held::default();
    let mut sites: Vec<Arc<Site>> = Vec::new();
    let built = tokio::select! {
        built = safely(order, build_all(order, &mut held, &mut sites)) => built.map_err(|error| order.cause(error)),
        error = order.cancelled() => Err(error),
    };
    end(order, &sites, built).await
}

/// Publishes what is built, or drops it; what was opened is closed.
async fn end(order: &Arc<Order>, sites: &[Arc<Site>], built: Result<()>) -> Result<()> {
    let outcome = match built {
        Ok(()) => publish_all(order, sites).await,
        Err(error) => Err(error),
    };
    if outcome.is_err() {
        for site in sites {
            discard(site).await;
        }
    }
    for site in sites {
        for closed in [
            panics::caught_in(site.source.close()).await,
            panics::caught_in(site.target.close()).await,
        ] {
            if let Err(bug) = closed {
                tracing::error!(task = site.task.name, %bug, "a session may be left open");
            }
        }
    }
    outcome
}

/// Drops a task's incoming; a failure here is told, and the next run tries again.
async fn discard(site: &Site) {
    let limit = std::time::Duration::from_secs(60);
    let discarding = panics::caught_in(site.target.discard());
    let problem = match tokio::time::timeout(limit, discarding).await {
        Ok(Ok(Ok(()))) => return,
        Ok(Ok(Err(error)) | Err(error)) => error.to_string(),
        Err(_) => "the server did not answer".to_owned(),
    };
    tracing::warn!(
        task = site.task.name,
        problem,
        "incoming could not be removed; the next run does it"
    );
}

/// What a store cannot do is refused by `validate`; and here, for who does not call it.
fn capabilities(job: &Job) -> Result<()> {
    for task in &job.tasks {
        if let Some(unable) = store::unable(task).into_iter().next() {
            return Err(Error::new(
                Kind::Config,
                format!("task `{}`, key `{}`: {}", task.name, unable.key, unable.why),
            )
            .hint("envsyncd validate -f shows the place"));
        }
    }
    Ok(())
}

/// Opens, locks, builds and verifies every task. What was opened is in `sites` even if it fails.
async fn build_all(
    order: &Arc<Order>,
    held: &mut locks::Held,
    sites: &mut Vec<Arc<Site>>,
) -> Result<()> {
    locks::before(order)?;
    open_all(order, sites).await?;
    order.step("locks");
    locks::take(order, held, sites).await?;
    // Those first that are built beside live.
    let (last, first): (Vec<_>, Vec<_>) = sites.iter().partition(|site| site.in_place());
    let together = order.job.point_in_time == PointInTime::Job && first.len() > 1;
    if together {
        survey_together(order, &first).await?;
    }
    for (place, site) in first.iter().enumerate() {
        let waiting = if together { &first[place + 1..] } else { &[] };
        let built = tokio::select! {
            built = safely(order, build(order, site)).instrument(span(&site.task)) => built,
            // Unless that is how its own work ended, in words that say more.
            error = either_lost(site) => Err(error),
            (other, error) = any_source_lost(waiting) => return failing(&other.board, Err(error)),
        };
        failing(&site.board, built)?;
    }
    // A target that is emptied has its source surveyed as late as can be.
    for site in last {
        let built = tokio::select! {
            built = safely(order, build(order, site)).instrument(span(&site.task)) => built,
            error = either_lost(site) => Err(error),
        };
        failing(&site.board, built)?;
    }
    Ok(())
}

/// Opens both sides of every task. What was opened is in `sites` even if it fails.
async fn open_all(order: &Order, sites: &mut Vec<Arc<Site>>) -> Result<()> {
    for (task, board) in order.job.tasks.iter().zip(&order.board.tasks) {
        let opened = open(order, task, board.clone())
            .instrument(span(task))
            .await;
        let site = failing(board, opened)?;
        sites.push(Arc::new(site));
    }
    // What one task reads, no other one writes. (An archive is read and written at once without harm.)
    for reader in sites.iter().filter(|site| !site.task.pulls()) {
        let source = reader.source.identity().await?;
        for writer in sites.iter().filter(|site| !Arc::ptr_eq(site, reader)) {
            let found = unwritten(&source, writer).await.map_err(|error| {
                error.within(format!("what it reads, task {} writes", writer.task.name))
            });
            failing(&reader.board, found)?;
        }
    }
    Ok(())
}

/// Refuses a source that this task's run writes, replaces or drops.
async fn unwritten(source: &Identity, writer: &Site) -> Result<()> {
    policy::distinct(source, &writer.target.identity().await?)?;
    for displaced in writer.target.displaced().await? {
        policy::spared(source, &displaced)?;
    }
    Ok(())
}

/// Surveys tasks at once, so that their points in time lie as near to each other as can be. What has to be made before
/// it can be surveyed is made before any is.
async fn survey_together(order: &Order, sites: &[&Arc<Site>]) -> Result<()> {
    for site in sites {
        site.board.start();
        let ready = tokio::select! {
            ready = ready(order, site).instrument(span(&site.task)) => ready,
            error = either_lost(site) => Err(error),
        };
        failing(&site.board, ready)?;
        site.board.wait();
    }
    order.step("survey");
    let all = sites.iter().map(|site| async move {
        site.board.start();
        let surveyed = tokio::select! {
            surveyed = survey(site).instrument(span(&site.task)) => surveyed,
            error = either_lost(site) => Err(error),
        };
        site.board.wait();
        failing(&site.board, surveyed)
    });
    futures_util::future::try_join_all(all).await?;
    let apart = crate::state::apart(sites.iter().filter_map(|site| site.board.surveyed_at()));
    tracing::info!(
        tasks = sites.len(),
        milliseconds = apart.unwrap_or_default().as_millis() as u64,
        "all tasks are surveyed, so far apart"
    );
    Ok(())
}

/// Ends when the source of a task that waits for its turn is gone, with the task.
async fn any_source_lost<'a>(sites: &[&'a Arc<Site>]) -> (&'a Arc<Site>, Error) {
    if sites.is_empty() {
        return std::future::pending().await;
    }
    let lost = sites
        .iter()
        .map(|site| Box::pin(async move { (*site, site.source.lost().await) }));
    futures_util::future::select_all(lost).await.0
}

async fn either_lost(site: &Site) -> Error {
    let error = tokio::select! {
        error = site.source.lost() => error,
        error = site.target.lost() => error,
    };
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    error
}

fn span(task: &Task) -> tracing::Span {
    crate::report::log::task_span(&task.name)
}

/// Puts a task's failure on its board.
fn failing<T>(board: &TaskBoard, outcome: Result<T>) -> Result<T> {
    if let Err(error) = &outcome {
        board.end(record::state_of(error.kind()), &error.to_string());
    }
    outcome.map_err(|error| error.within(format!("task {}", board.name)))
}

async fn open(order: &Order, task: &Task, board: Arc<TaskBoard>) -> Result<Site> {
    let context = order.context(task)?;
    let target = archive::open_target(task, &order.job.from, &context).await?;
    let source = archive::open_source(task, &context).await?;
    if let Some(origin) = source.origin().await? {
        let job = &order.job;
        policy::of_origin(&job.environments, &origin, &job.from, &job.to)?;
    }
    let pace = Arc::new(Pace::open(task, &context).await?);
    let site = Site {
        task: task.clone(),
        context,
        source,
        target,
        board,
        pace,
        survey: OnceCell::new(),
    };
    unwritten(&site.source.identity().await?, &site).await?;
    site.target.refuse_strangers().await?;
    Ok(site)
}

/// What comes before a task's survey.
async fn ready(order: &Order, site: &Arc<Site>) -> Result<()> {
    for leftover in site.target.sweep().await? {
        tracing::warn!(leftover, "removed what a dead run had left");
    }
    site.pace.check().await?;
    if site.source.prospect().await?.is_some() {
        order.step("restore");
    }
    site.source.begin().await
}

/// Fixes a task's point in time, and refuses what could not be published.
async fn survey(site: &Arc<Site>) -> Result<()> {
    let server = site.target.server().await?;
    let survey = site.source.survey(&server).await?;
    site.board.surveyed(survey.taken_at);
    plan::warn_unmatched(&site.context.selection, &survey);
    tracing::info!(
        parts = survey.parts.len(),
        bytes = survey.parts.iter().map(|part| part.bytes).sum::<u64>(),
        "surveyed"
    );
    site.target.check(&survey).await?;
    site.source.hold().await?;
    site.survey
        .set(survey)
        .map_err(|_| Error::new(Kind::Internal, "a task was surveyed twice"))
}

/// Builds one task's incoming, up to where it could be published; in place, up to where live has to be emptied.
async fn build(order: &Order, site: &Arc<Site>) -> Result<()> {
    site.board.start();
    let mut adopted = false;
    if site.survey.get().is_none() {
        ready(order, site).await?;
        order.step("survey");
        // A server copies files in its own time: a copy that has to be of one moment with others is made of rows.
        adopted = adopt::files(site).await?;
        survey(site).await?;
    }
    let survey = site.survey()?;
    if site.in_place() {
        scripts::look(site).await?;
    }
    order.step("prepare");
    site.target.prepare(survey).await?;
    if site.in_place() {
        tracing::info!("everything is prepared; the rows come once live is emptied");
        return Ok(());
    }
    if adopted {
        order.step("verify");
        if adopt::is_accepted(site, survey).await? {
            return complete(order, site).await;
        }
        order.step("prepare");
        site.target.prepare(survey).await?;
    }
    fill(order, site, survey).await
}

/// Fills an incoming that was prepared.
async fn fill(order: &Order, site: &Arc<Site>, survey: &Survey) -> Result<()> {
    let step = |name| order.step(in_place::step(&site.task, name));
    step("copy");
    copy::copy(site, survey).await?;
    tracing::info!(
        rows = site.board.rows(),
        bytes = site.board.bytes(),
        "copied"
    );
    step("finish");
    site.target.finish().await?;
    step("verify");
    verify::verify(site, survey).await?;
    complete(order, site).await
}

/// What comes once incoming is what the source is.
async fn complete(order: &Order, site: &Arc<Site>) -> Result<()> {
    site.source.close().await;
    order.step(in_place::step(&site.task, "scripts"));
    if !site.task.scripts.is_empty() {
        scripts::run(site).await?;
        order.step(in_place::step(&site.task, "derive"));
        site.target.derive().await?;
    }
    site.board.built();
    tracing::info!("incoming is complete");
    Ok(())
}

/// Publishes all tasks, in the job's order, with the hooks around it.
async fn publish_all(order: &Arc<Order>, sites: &[Arc<Site>]) -> Result<()> {
    let mut maintenance = Maintenance::new(order);
    match panics::caught_in(publish_each(order, sites, &mut maintenance)).await {
        Ok(published) => published,
        Err(bug) => Err(maintenance.off_after(order.during(bug)).await),
    }
}

async fn publish_each(
    order: &Arc<Order>,
    sites: &[Arc<Site>],
    maintenance: &mut Maintenance<'_>,
) -> Result<()> {
    for site in sites {
        if site.target.broken().await? {
            maintenance.stay_on();
        }
    }
    order.step("maintenance");
    if let Err(error) = safely(order, maintenance.on()).await {
        return Err(maintenance.off_after(order.cause(error)).await);
    }
    in_place::load_all(order, sites, maintenance).await?;
    let beside = sites.iter().any(|site| !site.in_place());
    if beside && let Err(error) = order.commit("publish").await {
        let loaded = sites.iter().any(|site| site.in_place());
        if loaded {
            maintenance.whole();
        }
        let error = maintenance.off_after(error).await;
        return Err(if loaded {
            error
                .within("the new data of the tasks that are published in place IS live, but")
                .with_kind(Kind::AfterPublish)
        } else {
            error
        });
    }
    let loaded = sites.iter().filter(|site| site.in_place()).count();
    let beside: Vec<&Arc<Site>> = sites.iter().filter(|site| !site.in_place()).collect();
    for (place, site) in beside.iter().enumerate() {
        let published = if order.cancel.is_cancelled() {
            Err(order.cancelled().await)
        } else {
            safely(order, publish(order, site))
                .instrument(span(&site.task))
                .await
        };
        if let Err(error) = failing(&site.board, published) {
            let mut undone = Ok(());
            for earlier in beside[..place].iter().rev() {
                undone = undone.and(
                    safely(order, earlier.target.revert())
                        .instrument(span(&earlier.task))
                        .await,
                );
            }
            if loaded > 0 {
                // What was published in place is whole.
                maintenance.whole();
            }
            let error = maintenance.off_after(error).await;
            return Err(match undone {
                Ok(()) if loaded > 0 => error
                    .within("the new data of the tasks that are published in place IS live, but")
                    .with_kind(Kind::AfterPublish),
                Ok(()) => error,
                Err(other) => Error::new(
                    Kind::AfterPublish,
                    format!(
                        "{error}; and an earlier task could not be undone, its new data is live: {other}"
                    ),
                ),
            });
        }
        tracing::info!(task = site.task.name, "published");
    }
    order.step("hooks");
    maintenance.whole();
    let after = safely(order, maintenance.after_publish()).await;
    let off = maintenance.off().await;
    for site in sites {
        let settled = safely(order, site.target.settle());
        if let Err(error) = settled.instrument(span(&site.task)).await {
            tracing::warn!(%error, "what was live before could not be cleared up; the next run does it");
        }
        site.board.end(RunState::Succeeded, "");
    }
    after.and(off).map_err(|error| {
        error
            .within("the new data IS live, but")
            .with_kind(Kind::AfterPublish)
            .hint("run the hook by hand; the copy itself is complete")
    })
}

/// Publishes a task and looks at what was published; what is not as it should be is undone.
async fn publish(order: &Order, site: &Site) -> Result<()> {
    site.target.publish().await?;
    let Err(error) = safely(order, site.target.confirm()).await else {
        return Ok(());
    };
    match safely(order, site.target.revert()).await {
        Ok(()) => Err(error),
        Err(other) => Err(Error::new(
            Kind::AfterPublish,
            format!("{error}; and it could not be undone, the new data is live: {other}"),
        )),
    }
}

/// The settings' lock directory, made if it is missing.
fn lock_dir(order: &Order) -> &Path {
    &order.settings.lock_dir
}
