//! A tree on another machine that is written. It cannot be exchanged as a whole from here: what has changed is brought into a folder
//! beside live, is verified there, and then each file is renamed into its place; deletions come last.

mod apply;
mod complete;
mod incoming;
mod lock;
mod place;
mod verify;
mod workspace;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use self::incoming::FarIncoming;
use self::lock::Lock;
use self::place::Place;
use self::workspace::{Plan, Workspace};
use super::connection::Connection;
use super::facts::Facts;
use super::rsync::common;
use super::tree::listed;
use super::url::SshUrl;
use crate::config::job::{Mode, Task};
use crate::error::{Error, Kind, Result};
use crate::policy::Identity;
use crate::store::files::connection::blocking::blocking;
use crate::store::files::connection::directory::Directory;
use crate::store::files::incoming::plan::Planner;
use crate::store::files::publish::place::Place as OwnPlace;
use crate::store::files::rows::decision::Rules;
use crate::store::files::rows::tree::{At, Tree};
use crate::store::files::rows::walk::{Root, walk};
use crate::store::files::schema::options::Link;
use crate::store::room::Room;
use crate::store::{Context, Incoming, Server, Survey, Taker, Target, own};
use crate::sync::Mutex;

/// A tree on another machine that is written.
pub(in crate::store::files) struct FarTarget {
    workspace: Arc<Workspace>,
    facts: Facts,
    server: Server,
    lock: Mutex<Option<Lock>>,
}

impl FarTarget {
    /// A task's. Nothing is made yet. `server` is what trees are copied by.
    pub(in crate::store::files) async fn open(
        url: &SshUrl,
        task: &Task,
        context: &Context,
        server: Server,
    ) -> Result<Self> {
        let connection = Connection::open(url, &task.target, "target", context).await?;
        let facts = Facts::ask(&connection).await?;
        let there = facts.check_programs(&connection.machine())?;
        let can = common(there).await?;
        let place = Place::of(url, &facts)?;
        let keeps_owners = facts.user == Some(0);
        let workspace = Workspace::of(task, context, connection, (place, can), keeps_owners)?;
        Ok(Self {
            workspace: Arc::new(workspace),
            facts,
            server,
            lock: Mutex::new(None),
        })
    }

    fn url(&self) -> &SshUrl {
        &self.workspace.connection.url
    }

    /// Refuses a tree that lies in the other, or around it.
    fn refuse_nested(&self, tree: &Tree, source: &Directory) -> Result<()> {
        if !self.facts.is_nested_with(&OwnPlace::chain(source)?) {
            return Ok(());
        }
        let what = format!(
            "source and target lie in one another: {} and {}",
            tree.told,
            self.url()
        );
        Err(Error::new(Kind::Policy, what)
            .hint("check both URLs: a run would copy what it has copied"))
    }

    /// Finds out what changes, and refuses what is too much.
    async fn plan(&self, survey: &Survey) -> Result<Plan> {
        let workspace = &self.workspace;
        let tree = own::<Tree>(&*survey.definitions)?;
        let At::Here(source) = &tree.at else {
            return Err(Error::new(
                Kind::Internal,
                "no tree goes from machine to machine",
            ));
        };
        self.refuse_nested(tree, source)?;
        let live = match workspace.place.device {
            Some(device) => {
                let path = &workspace.place.live;
                Some(listed(&workspace.connection, path, &tree.filter, Some(device)).await?)
            }
            None => None,
        };
        let rules = Rules {
            likeness: None,
            filter: Arc::clone(&tree.filter),
            overlay: workspace.mode == Mode::Overlay,
            by_content: false,
            keeps_owners: workspace.keeps_owners,
            stop: workspace.context.cancel.clone(),
        };
        let roots = [Some(tree.root(false)), live.clone().map(Root::Listing)];
        let warnings = Arc::clone(&workspace.warnings);
        let (changes, work) = blocking(&workspace.context.cancel, move |stop| {
            let mut planner = Planner::new(&rules, Link::Hard, &warnings);
            walk(roots, (), &mut planner, stop)?;
            planner.finish()
        })
        .await?;
        changes.check(workspace.options.max_delete)?;
        workspace.place.check_room(changes.bytes)?;
        tracing::info!(
            copied = changes.copied,
            deleted = changes.deleted,
            live = changes.live,
            "compared with live"
        );
        Ok(Plan {
            source: Arc::clone(source),
            has_work: live.is_none() || !changes.are_none(),
            live,
            work,
        })
    }
}

#[async_trait]
impl Target for FarTarget {
    async fn identity(&self) -> Result<Identity> {
        Ok(self.facts.identity(self.url()))
    }

    async fn displaced(&self) -> Result<Vec<Identity>> {
        Ok(self.facts.beside(self.url()))
    }

    async fn refuse_strangers(&self) -> Result<()> {
        self.workspace.place.check_folder(&self.facts)
    }

    async fn taker(&self) -> Result<Taker> {
        Ok(Taker::Server(self.server.clone()))
    }

    async fn room(&self) -> Option<Room> {
        Some(Room {
            place: self.url().to_string().into(),
            free: self.facts.room?,
            is_compressed: false,
        })
    }

    async fn lock(&self) -> Result<()> {
        self.refuse_strangers().await?;
        let workspace = &self.workspace;
        let (connection, place) = (&workspace.connection, &workspace.place);
        let lock = Lock::take(connection, place, &workspace.context.claim).await?;
        *self.lock.lock() = Some(lock);
        Ok(())
    }

    async fn sweep(&self) -> Result<Vec<String>> {
        const SCRIPT: &str = r#"cd -- "$1" || exit 9
for tree in ./incoming-* ./dropped-* ./replaced-*; do
  [ -d "$tree" ] || continue
  chmod -R u+rwx -- "$tree" 2>/dev/null
  rm -rf -- "$tree" && printf '%s\n' "$tree"
done"#;
        let folder = self.workspace.place.folder();
        let connection = &self.workspace.connection;
        let what = "clearing up what dead runs left";
        let said = connection.run(what, SCRIPT, &[&folder]).await?;
        let lines = String::from_utf8_lossy(&said).into_owned();
        Ok(lines
            .lines()
            .map(|line| format!("{}: {line}", self.url()))
            .collect())
    }

    async fn check(&self, survey: &Survey) -> Result<()> {
        let tree = own::<Tree>(&*survey.definitions)?;
        self.workspace.place.check()?;
        if self.workspace.mode == Mode::Replace && tree.files == 0 {
            let what = format!("the source {} has no file that is copied", tree.told);
            return Err(Error::new(Kind::Policy, what).hint(
                "with mode = \"replace\" live would be emptied: see whether the source is mounted",
            ));
        }
        let plan = self.plan(survey).await?;
        self.workspace.set_plan(plan);
        Ok(())
    }

    async fn look_at_script(&self, file: &Path, _text: &str) -> Result<()> {
        let what = format!("{} cannot run: files have no scripts", file.display());
        Err(Error::new(Kind::Config, what).hint("leave `scripts` out"))
    }

    async fn prepare(&self, _survey: &Survey) -> Result<Arc<dyn Incoming>> {
        let workspace = &self.workspace;
        if workspace.planned()?.has_work {
            let incoming = workspace.place.incoming(workspace.context.claim.short());
            let script = "umask 077; mkdir -- \"$1\"";
            let what = "making incoming beside live";
            workspace.connection.run(what, script, &[&incoming]).await?;
        }
        Ok(Arc::new(FarIncoming::new(workspace)))
    }

    async fn discard(&self) -> Result<()> {
        let workspace = &self.workspace;
        if workspace.is_published() || self.lock.lock().is_none() {
            return Ok(());
        }
        workspace.remove_own().await
    }

    async fn rollback(&self) -> Result<()> {
        let what = format!("there is no previous copy of {}", self.url());
        Err(Error::new(Kind::Statement, what)
            .hint("files on another machine are changed in place, and the old ones are not kept"))
    }

    async fn lost(&self) -> Error {
        self.workspace.connection.lost().await
    }

    async fn close(&self) {
        let lock = self.lock.lock().take();
        if let Some(lock) = lock {
            lock.free().await;
        }
        self.workspace.connection.close();
    }
}
