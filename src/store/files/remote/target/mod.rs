//! A tree on another machine that is written. It cannot be exchanged as a whole from here: what has changed is brought into a folder
//! beside live, is verified there, and then each file is renamed into its place; deletions come last.

mod apply;
mod complete;
mod incoming;
mod journal;
mod lock;
mod note;
mod place;
mod previous;
mod probe;
mod roll;
mod script;
mod verify;
mod workspace;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::task::JoinSet;

use self::incoming::FarIncoming;
use self::lock::Lock;
use self::place::Place;
use self::workspace::{Plan, Workspace};
use super::facts::Facts;
use super::rsync;
use super::tree::{differing, listed};
use super::url::SshUrl;
use crate::config::job::{Mode, Task};
use crate::error::{Error, Kind, Result};
use crate::policy::Identity;
use crate::store::files::connection::blocking::blocking;
use crate::store::files::connection::directory::Directory;
use crate::store::files::incoming::plan::Planner;
use crate::store::files::publish::place::Place as OwnPlace;
use crate::store::files::rows::candidates::Candidates;
use crate::store::files::rows::decision::Rules;
use crate::store::files::rows::follow::Follow;
use crate::store::files::rows::listing::Listing;
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
    /// What is in live, on its way from there.
    listing: Mutex<Option<Coming>>,
}

/// A list that is being made; `None`: there is no live. It ends with whoever waits for it.
type Coming = JoinSet<Result<Option<Listing>>>;

impl FarTarget {
    /// A task's. Nothing is made yet. `server` is what trees are copied by.
    pub(in crate::store::files) async fn open(
        url: &SshUrl,
        task: &Task,
        context: &Context,
        server: Server,
    ) -> Result<Self> {
        let connecting = Facts::connect(url, &task.target, "target", context);
        let (connected, own) = tokio::join!(connecting, rsync::own());
        let (connection, facts) = connected?;
        let can = rsync::common(&own?, facts.check_programs(&connection.machine())?);
        let place = Place::of(url, &facts)?;
        let workspace = Workspace::of(task, context, connection, (place, can), &facts)?;
        Ok(Self {
            workspace: Arc::new(workspace),
            facts,
            server,
            lock: Mutex::new(None),
            listing: Mutex::new(None),
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

    /// Asks the file system there. A `plan` has no folder, and takes all to be kept.
    async fn find_out_what_is_kept(&self) -> Result<()> {
        if self.lock.lock().is_none() {
            return Ok(());
        }
        let workspace = &self.workspace;
        let what = "finding out what is kept of files";
        let is_root = self.facts.user == Some(0);
        let (script, [time, somebody, who]) = probe::script(is_root);
        let folder = workspace.place.folder();
        let said = workspace
            .connection
            .run(what, script, &[&folder, &time, &somebody, &who])
            .await?;
        workspace.set_kept(probe::read(&said, is_root));
        Ok(())
    }

    /// Begins to list live.
    fn begin_listing(&self) {
        let workspace = Arc::clone(&self.workspace);
        let mut coming = JoinSet::new();
        coming.spawn(async move {
            let Some(device) = workspace.place.device else {
                return Ok(None);
            };
            let Workspace {
                connection,
                place,
                filter,
                ..
            } = &*workspace;
            let live = listed(connection, &place.live, filter, Some(device)).await;
            live.map(Some)
        });
        *self.listing.lock() = Some(coming);
    }

    /// What is in live.
    async fn live(&self) -> Result<Option<Listing>> {
        if self.listing.lock().is_none() {
            self.begin_listing();
        }
        let coming = self.listing.lock().take();
        let listed = match coming {
            Some(mut coming) => coming.join_next().await,
            None => None,
        };
        let broken = || Error::new(Kind::Internal, "a task broke");
        let listed = listed.ok_or_else(broken)?;
        listed.map_err(|error| broken().because(error))?
    }

    /// Finds out which files have another content.
    async fn compare_contents(
        &self,
        rules: Rules,
        tree: &Tree,
        (source, live): (&Arc<Directory>, &Listing),
    ) -> Result<Rules> {
        let workspace = &self.workspace;
        let roots = [tree.root(false), Root::Listing(live.clone())].map(Some);
        let (mut rules, list) = blocking(&workspace.context.cancel, move |stop| {
            let mut candidates = Candidates::new(&rules);
            walk(roots, (), &mut candidates, stop)?;
            let list = candidates.finish()?;
            Ok((rules, list))
        })
        .await?;
        let pair = workspace.pair(source, &workspace.place.live, false);
        let differing = differing(&pair, &list, &workspace.warnings).await?;
        rules.differing = Some(Mutex::new(Follow::of(Some(&differing))?));
        Ok(rules)
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
        let live = self.live().await?;
        let mut rules = Rules {
            likeness: None,
            filter: Arc::clone(&tree.filter),
            overlay: workspace.mode == Mode::Overlay,
            by_content: false,
            differing: None,
            keeps_owners: workspace.keeps_owners(),
            kept: workspace.kept(),
            stop: workspace.context.cancel.clone(),
        };
        if let (true, Some(live)) = (workspace.options.by_content, &live) {
            rules = self.compare_contents(rules, tree, (source, live)).await?;
        }
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

    /// Whoever asks looks at the source next: meanwhile live is listed.
    async fn taker(&self) -> Result<Taker> {
        self.find_out_what_is_kept().await?;
        self.begin_listing();
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
        let removed = self.workspace.sweep().await?;
        let url = self.url();
        let told = removed.iter().map(|tree| format!("{url}: {tree}"));
        Ok(told.collect())
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
        self.workspace.roll_back().await
    }

    async fn lost(&self) -> Error {
        self.workspace.connection.lost().await
    }

    async fn close(&self) {
        let lock = self.lock.lock().take();
        if let Some(lock) = lock {
            lock.free(&self.workspace.connection).await;
        }
        self.workspace.connection.close();
    }
}
