//! A tree that is written.

mod complete;
mod incoming;
mod published;
mod workspace;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use self::incoming::TreeIncoming;
use self::workspace::{Open, Workspace};
use crate::config::job::{Mode, Task};
use crate::error::{Error, Kind, Result};
use crate::policy::Identity;
use crate::store::files::connection::blocking::blocking;
use crate::store::files::connection::directory::Directory;
use crate::store::files::connection::told::At as _;
use crate::store::files::publish::folder::Folder;
use crate::store::files::publish::lock::Lock;
use crate::store::files::publish::place::{Place, identity};
use crate::store::files::publish::swap;
use crate::store::files::publish::unsettled;
use crate::store::files::rows::tree::{At, Tree};
use crate::store::files::rows::work::Work;
use crate::store::files::source::server;
use crate::store::room::Room;
use crate::store::{Context, Incoming, Survey, Taker, Target, own};
use crate::sync::Mutex;

/// A tree that is written.
pub(super) struct TreeTarget {
    workspace: Arc<Workspace>,
    lock: Mutex<Option<Lock>>,
}

impl TreeTarget {
    /// A task's. Nothing is made yet.
    pub(super) fn open(task: &Task, context: &Context) -> Result<Self> {
        Ok(Self {
            workspace: Arc::new(Workspace::of(task, context)?),
            lock: Mutex::new(None),
        })
    }

    fn place(&self) -> &Place {
        &self.workspace.place
    }

    /// Refuses a tree that lies in the other, or around it.
    fn refuse_nested(&self, tree: &Tree) -> Result<()> {
        let source = match &tree.at {
            At::Here(directory) => Place::chain(directory)?,
            At::Elsewhere(fetch) => fetch.chain().to_vec(),
        };
        let above = Place::chain(&self.place().parent)?;
        let live = self.place().live()?.map(|(_, found)| found.id);
        let is_inside = source.first().is_some_and(|source| above.contains(source));
        let is_around = live.is_some_and(|live| source.contains(&live));
        if is_inside || is_around {
            let (one, other) = (&tree.told, self.place().path.display());
            let what = format!("source and target lie in one another: {one} and {other}");
            return Err(Error::new(Kind::Policy, what)
                .hint("check both URLs: a run would copy what it has copied"));
        }
        Ok(())
    }
}

#[async_trait]
impl Target for TreeTarget {
    async fn identity(&self) -> Result<Identity> {
        self.place().identity()
    }

    async fn displaced(&self) -> Result<Vec<Identity>> {
        let Some(folder) = Folder::find(self.place())? else {
            return Ok(Vec::new());
        };
        let own = folder
            .directory
            .own_stat()
            .at("cannot look at the folder beside live", b"")?;
        let trees = folder.trees()?.into_iter();
        Ok(trees
            .map(|(name, found)| identity(own.id, &name, Some(found)))
            .collect())
    }

    async fn refuse_strangers(&self) -> Result<()> {
        Folder::find(self.place()).map(drop)
    }

    async fn taker(&self) -> Result<Taker> {
        Ok(Taker::Server(server()))
    }

    async fn room(&self) -> Option<Room> {
        let place = self.place();
        let beside = place.path.parent()?;
        Room::of(if place.file_by_file {
            &place.path
        } else {
            beside
        })
    }

    async fn lock(&self) -> Result<()> {
        let folder = Folder::make(self.place())?;
        let live = self.place().path.display().to_string();
        *self.lock.lock() = Some(Lock::take(&folder, &live, &self.workspace.context.claim)?);
        self.workspace.set_folder(folder);
        Ok(())
    }

    async fn sweep(&self) -> Result<Vec<String>> {
        let folder = self.workspace.folder()?;
        let (place, in_place) = (self.place().clone(), self.workspace.in_place()?);
        blocking(&self.workspace.context.cancel, move |_| {
            match in_place {
                Some(in_place) => in_place.recover()?,
                None => unsettled::finish(&place, &folder)?,
            }
            folder.sweep()
        })
        .await
    }

    async fn check(&self, survey: &Survey) -> Result<()> {
        let tree = own::<Tree>(&*survey.definitions)?;
        let live = self.place().live()?;
        self.place().check(live.as_ref().map(|(_, found)| found))?;
        self.refuse_nested(tree)?;
        if self.workspace.mode == Mode::Replace && tree.files == 0 {
            let what = format!("the source {} has no file that is copied", tree.told);
            return Err(Error::new(Kind::Policy, what).hint(
                "with mode = \"replace\" live would be emptied: see whether the source is mounted",
            ));
        }
        self.workspace.plan(tree, live).await
    }

    async fn look_at_script(&self, file: &Path, _text: &str) -> Result<()> {
        let what = format!("{} cannot run: files have no scripts", file.display());
        Err(Error::new(Kind::Config, what).hint("leave `scripts` out"))
    }

    async fn prepare(&self, _survey: &Survey) -> Result<Arc<dyn Incoming>> {
        let is_needed = self.workspace.planned()?.work.is_some();
        let made = is_needed.then(|| self.workspace.make_incoming());
        Ok(Arc::new(TreeIncoming::new(
            &self.workspace,
            made.transpose()?,
        )))
    }

    async fn discard(&self) -> Result<()> {
        self.workspace.discard().await
    }

    async fn rollback(&self) -> Result<()> {
        if Folder::find(self.place())?.is_none() {
            return Err(swap::no_previous(self.place()));
        }
        let folder = self.workspace.folder()?;
        let (place, in_place) = (self.place().clone(), self.workspace.in_place()?);
        // Not cut short: the fewer moments, the better.
        blocking(&CancellationToken::new(), move |_| match in_place {
            Some(in_place) => in_place.roll_back(&place),
            None => unsettled::roll_back(&place, &folder),
        })
        .await
    }

    async fn close(&self) {
        drop(self.lock.lock().take());
    }
}

impl Workspace {
    /// The open folder of a run that has the lock.
    fn set_folder(&self, folder: Folder) {
        *self.folder.lock() = Some(Arc::new(folder));
    }

    /// Live, and what is to be done to it.
    pub(super) fn to_build(&self) -> Result<(Option<Arc<Directory>>, Work)> {
        let open = self.planned()?;
        let nothing = || Error::new(Kind::Internal, "there is nothing to build");
        let live = open.live.map(|(directory, _)| directory);
        Ok((live, open.work.ok_or_else(nothing)?))
    }

    /// What `check` found out.
    pub(super) fn planned(&self) -> Result<Open> {
        let missing = || Error::new(Kind::Internal, "nobody has looked at what changes");
        self.open.lock().clone().ok_or_else(missing)
    }
}
