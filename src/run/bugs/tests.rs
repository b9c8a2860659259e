use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use chrono::Utc;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::archive;
use crate::config::job::StoreKind;
use crate::config::{self, Variables};
use crate::guard::memory::Watch;
use crate::guard::signals::Signals;
use crate::policy::Identity;
use crate::report::log::Counts;
use crate::report::status_file;
use crate::run::build::{Built, build};
use crate::run::masks::compiled::Masks;
use crate::run::task_run::TaskRun;
use crate::run::{end, pace::Pace, record};
use crate::state::{RunState, State, Trigger, Verb};
use crate::store::{
    Catalogue, Checksum, Chunks, Complete, Incoming, Part, Published, Server, Source, Survey,
    Taker, Target,
};

/// A side of a copy that notes what it is asked for, and panics where it is told to.
#[derive(Clone)]
struct Side {
    name: String,
    panics_in: &'static str,
    calls: Arc<Mutex<Vec<String>>>,
}

impl Side {
    #[expect(clippy::unnecessary_wraps, reason = "as the traits' methods answer")]
    fn asked<T>(&self, call: &str, answer: T) -> Result<T> {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.push(format!("{} {call}", self.name));
        drop(calls);
        assert_ne!(call, self.panics_in, "a panic of the test's own");
        Ok(answer)
    }

    fn identity(&self) -> Identity {
        Identity {
            thing: None,
            place: self.name.clone(),
        }
    }
}

#[async_trait]
impl Source for Side {
    async fn identity(&self) -> Result<Identity> {
        Ok(Side::identity(self))
    }
    async fn survey(&self, _: &Taker) -> Result<Survey> {
        unreachable!("it is surveyed already")
    }
    async fn read(&self, _: &Part) -> Result<Chunks> {
        unreachable!("there is nothing to read")
    }
    async fn catalogue(&self) -> Result<Catalogue> {
        self.asked("catalogue of the source", Catalogue::default())
    }
    async fn checksum(&self, _: &Part) -> Result<Checksum> {
        unreachable!("there is nothing to read")
    }
    async fn close(&self) {
        let _ = self.asked("close source", ());
    }
}

#[async_trait]
impl Target for Side {
    async fn identity(&self) -> Result<Identity> {
        Ok(Side::identity(self))
    }
    async fn displaced(&self) -> Result<Vec<Identity>> {
        Ok(Vec::new())
    }
    async fn taker(&self) -> Result<Taker> {
        Ok(taker(crate::store::sqlite::KIND))
    }
    async fn lock(&self) -> Result<()> {
        self.asked("lock", ())
    }
    async fn sweep(&self) -> Result<Vec<String>> {
        self.asked("sweep", Vec::new())
    }
    async fn check(&self, _: &Survey) -> Result<()> {
        self.asked("check", ())
    }
    async fn look_at_script(&self, _: &Path, _: &str) -> Result<()> {
        self.asked("look at script", ())
    }
    async fn prepare(&self, _: &Survey) -> Result<Arc<dyn Incoming>> {
        self.asked("prepare", Arc::new(self.clone()) as Arc<dyn Incoming>)
    }
    async fn discard(&self) -> Result<()> {
        self.asked("discard", ())
    }
    async fn rollback(&self) -> Result<()> {
        self.asked("rollback", ())
    }
    async fn close(&self) {
        let _ = self.asked("close", ());
    }
}

#[async_trait]
impl Incoming for Side {
    async fn write(&self, _: &Part, _: Chunks) -> Result<u64> {
        self.asked("write", 0)
    }
    async fn complete(self: Arc<Self>) -> Result<Box<dyn Complete>> {
        self.asked(
            "complete",
            Box::new(Side::clone(&self)) as Box<dyn Complete>,
        )
    }
}

#[async_trait]
impl Complete for Side {
    async fn catalogue(&self) -> Result<Catalogue> {
        self.asked("catalogue", Catalogue::default())
    }
    async fn checksum(&self, _: &Part) -> Result<Checksum> {
        unreachable!("there are no parts")
    }
    async fn run_script(&self, _: &Path, _: &str) -> Result<()> {
        self.asked("script", ())
    }
    async fn derive(&self) -> Result<()> {
        self.asked("derive", ())
    }
    async fn publish(self: Box<Self>) -> Result<Box<dyn Published>> {
        self.asked(
            "publish",
            Box::new(Side::clone(&self)) as Box<dyn Published>,
        )
    }
}

#[async_trait]
impl Published for Side {
    async fn confirm(&self) -> Result<()> {
        self.asked("confirm", ())
    }
    async fn revert(&self) -> Result<()> {
        self.asked("revert", ())
    }
    async fn settle(&self) -> Result<()> {
        self.asked("settle", ())
    }
}

fn taker(kind: StoreKind) -> Taker {
    Taker::Server(Server {
        kind,
        version: "3".to_owned(),
        major: 3,
    })
}

struct Scene {
    directory: tempfile::TempDir,
    context: Arc<RunContext>,
    calls: Arc<Mutex<Vec<String>>>,
}

impl Scene {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let here = directory.path().display();
        let write = |name: &str, text: String| std::fs::write(path(name), text).unwrap();
        write(
            "envsyncd.toml",
            format!(
                "state_dir = \"{here}/state\"\nlock_dir = \"{here}/lock\"\njob_dir = \"{here}\"\n\
                 [environments.production]\n[environments.staging]\nparent = \"production\"\n"
            ),
        );
        let task = |name: &str| {
            format!(
                "[[task]]\nname = \"{name}\"\nkind = \"sqlite\"\nsource = \"sqlite://{here}/{name}-source\"\n\
                 target = \"sqlite://{here}/{name}\"\n"
            )
        };
        write(
            "app.toml",
            format!(
                "from = \"production\"\nto = \"staging\"\n{}{}[hooks]\n\
                 maintenance_on = [\"/usr/bin/touch\", \"{here}/on\"]\n\
                 maintenance_off = [\"/bin/rm\", \"{here}/on\"]\n",
                task("one"),
                task("two")
            ),
        );
        for name in ["one-source", "two-source"] {
            let source = rusqlite::Connection::open(path(name)).unwrap();
            source.pragma_update(None, "user_version", 1).unwrap();
        }
        let settings = config::load_settings(
            Some(&path("envsyncd.toml")),
            std::iter::empty(),
            crate::store::registry::formats(),
        );
        let (settings, _) = settings.unwrap();
        let (job, _) = config::load_job(&path("app.toml"), &settings).unwrap();
        let context = RunContext {
            progress: RunContext::progress_for(&job),
            variables: Arc::new(Variables::default()),
            id: uuid::Uuid::now_v7().to_string(),
            trigger: Trigger::Manual,
            by: String::new(),
            state: State::open(&settings.state_dir).unwrap(),
            counts: Counts::default(),
            memory: Watch::start(settings.priority.memory_max, CancellationToken::new()).unwrap(),
            cancel: CancellationToken::new(),
            signals: Signals::none(),
            started_at: Utc::now(),
            timed_out: AtomicBool::new(false),
            job,
            settings,
        };
        Self {
            directory,
            context: Arc::new(context),
            calls: Arc::default(),
        }
    }

    /// The job's tasks, the second of which panics when it is asked for this.
    async fn runs(&self, panics_in: &'static str) -> Vec<Arc<TaskRun>> {
        let mut runs = Vec::new();
        for (task, progress) in self
            .context
            .job
            .tasks
            .iter()
            .zip(&self.context.progress.tasks)
        {
            let side = Side {
                name: task.name.clone(),
                panics_in: if task.name == "two" { panics_in } else { "" },
                calls: self.calls.clone(),
            };
            let own = self.context.store_context(task).unwrap();
            let source = archive::open_source(task, &own).await.unwrap();
            let survey = source.survey(&taker(task.kind)).await.unwrap();
            source.close().await;
            runs.push(Arc::new(TaskRun {
                pace: Arc::new(Pace::open(task, &own).await.unwrap()),
                task: task.clone(),
                context: own,
                source: Box::new(side.clone()),
                target: Box::new(side),
                progress: progress.clone(),
                survey: OnceCell::new_with(Some(survey)),
                sent: Arc::default(),
                masks: Masks::default(),
            }));
        }
        runs
    }

    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }
}

#[tokio::test]
async fn a_run_that_panics_at_any_moment_ends_as_an_error_does() {
    for (moment, live) in [
        ("prepare", ""),
        ("complete", ""),
        ("catalogue", ""),
        ("publish", "the target is whole"),
        ("confirm", "the target is whole"),
        ("settle", "succeeded"),
    ] {
        let scene = Scene::new();
        let context = &scene.context;
        let recorder = record::begin(context, Verb::Run).unwrap();
        let runs = scene.runs(moment).await;
        let mut built = Ok(Built::default());
        for run in &runs {
            let done = safely(context, build(context, run)).await;
            built = built.and_then(|mut built| {
                let complete = done.map_err(|error| error.within(&run.task.name))?;
                built.beside.push((run.clone(), complete));
                Ok(built)
            });
        }
        let outcome = safely(context, end(context, &runs, built)).await;
        let _ = recorder.end(&outcome);
        let calls = scene.calls();
        let called = |call: &str| calls.iter().any(|one| one == call);
        for name in ["one", "two"] {
            assert!(called(&format!("{name} close")), "{moment}: {calls:?}");
            assert!(
                called(&format!("{name} close source")),
                "{moment}: {calls:?}"
            );
        }
        assert!(
            !scene.directory.path().join("on").exists(),
            "{moment}: maintenance is on"
        );
        let run = context.state.run(&context.id).unwrap().unwrap();
        let status = status_file::read(&context.settings.status_dir, "app").unwrap();
        if live == "succeeded" {
            // What is cleared up after a publish is no reason to call it a failure.
            assert_eq!(run.state, RunState::Succeeded, "{}", run.message);
            continue;
        }
        let error = outcome.unwrap_err();
        assert_eq!(
            (error.kind(), error.kind().exit_code()),
            (Kind::Internal, 1)
        );
        assert_eq!((run.state, run.exit_code), (RunState::Failed, Some(1)));
        assert_eq!(status.message, run.message);
        for part in [
            "during ",
            "this is a bug of envsyncd: it panicked at ",
            live,
        ] {
            assert!(run.message.contains(part), "{moment}: {}", run.message);
        }
        assert!(
            !run.message.contains("a panic of the test"),
            "{}",
            run.message
        );
        for name in ["one", "two"] {
            assert!(called(&format!("{name} discard")), "{moment}: {calls:?}");
        }
        let reverted = matches!(moment, "publish" | "confirm");
        assert_eq!(called("one revert"), reverted, "{moment}: {calls:?}");
    }
}

#[tokio::test]
async fn clearing_up_that_panics_keeps_nothing_else_from_being_cleared_up() {
    for moment in ["discard", "close", "close source"] {
        let scene = Scene::new();
        let runs = scene.runs(moment).await;
        let failed = Error::new(Kind::Verify, "the copy is not what the source is");
        let outcome = end(
            &scene.context,
            &[runs[1].clone(), runs[0].clone()],
            Err(failed),
        )
        .await;
        assert_eq!(outcome.unwrap_err().kind(), Kind::Verify);
        let calls = scene.calls();
        for call in ["one discard", "one close", "one close source", "two close"] {
            assert!(calls.iter().any(|one| one == call), "{moment}: {calls:?}");
        }
    }
}
