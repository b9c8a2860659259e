//! What has changed lies beside live: it is verified, and then each file is put into its place.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::io::AsyncWriteExt;

use super::apply::{Lines, Way};
use super::verify;
use super::workspace::{Plan, Workspace};
use crate::config::job::Verify;
use crate::error::{Error, Kind, Result, io};
use crate::process::stderr;
use crate::store::files::connection::blocking::blocking;
use crate::store::files::incoming::check::Check;
use crate::store::files::remote::connection::start;
use crate::store::files::remote::failure;
use crate::store::files::remote::names::Lists;
use crate::store::files::remote::rsync::Names;
use crate::store::files::remote::tree::listed;
use crate::store::files::rows::listing::Listing;
use crate::store::files::rows::tree::{Tree, look};
use crate::store::files::rows::walk::{self, Root, SOURCE, walk};
use crate::store::files::rows::work::Action;
use crate::store::{Catalogue, Checksum, CompareWhole, Complete, Part, Published, Survey, own};
use crate::sync::Mutex;

/// What was brought is on the disk before anything is renamed, and the renames are before the run succeeds.
const SYNC: &str = r#"sync -f "$1" 2>/dev/null || sync"#;

/// What has changed, beside live.
pub(super) struct FarComplete {
    changed: Arc<Changed>,
    /// What was surveyed, once it has been compared.
    survey: Mutex<Option<Survey>>,
}

/// What was brought, and what of live it replaces.
struct Changed {
    workspace: Arc<Workspace>,
    plan: Plan,
    staged: Option<Listing>,
}

impl FarComplete {
    pub(super) fn new(workspace: &Arc<Workspace>, plan: Plan, staged: Option<Listing>) -> Self {
        Self {
            changed: Arc::new(Changed {
                workspace: Arc::clone(workspace),
                plan,
                staged,
            }),
            survey: Mutex::new(None),
        }
    }
}

impl Changed {
    /// Puts all in place, or takes all back.
    async fn apply(&self, way: Way) -> Result<()> {
        let Some(staged) = &self.staged else {
            return Ok(());
        };
        if self.plan.live.is_none() {
            return self.rename(way).await;
        }
        let workspace = &self.workspace;
        let run = workspace.context.claim.short();
        let what = (&self.plan.work, self.plan.live.as_ref(), staged);
        let mut lines = Lines::of(&workspace.place, run, what, way)?;
        let mut command = workspace.connection.command("exec sh -s", &[]);
        let (mut child, mut stdin, stdout, said) = start(&mut command, "ssh")?;
        drop(stdout);
        let writing = async {
            while let Some(piece) = lines.next()? {
                // That the shell has ended is told by what it said.
                if stdin.write_all(&piece).await.is_err() {
                    break;
                }
            }
            let _ = stdin.shutdown().await;
            drop(stdin);
            Ok::<_, Error>(())
        };
        let (written, said) = tokio::join!(writing, stderr::beginning(said));
        let status = child.wait().await.map_err(io("cannot wait for ssh"))?;
        written?;
        if status.success() {
            return Ok(());
        }
        let what = format!("changing {}", workspace.place.shown);
        let machine = workspace.connection.machine();
        Err(failure::of_files(&what, &said)
            .unwrap_or_else(|| failure::of_command(&machine, &what, status, &said)))
    }

    /// Where nothing was live, all of it becomes it in one step.
    async fn rename(&self, way: Way) -> Result<()> {
        const SCRIPT: &str = r#"if [ -e "$2" ] || [ -L "$2" ]; then
  [ "$3" = back ] && exit 0
  echo "$2: something has been put there since the run began" >&2; exit 7
fi
[ "$3" = back ] && ! [ -e "$1" ] && exit 0
mv -- "$1" "$2""#;
        let place = &self.workspace.place;
        let incoming = place.incoming(self.workspace.context.claim.short());
        let (from, to, word) = match way {
            Way::Forth => (&incoming, &place.live, &b"forth"[..]),
            Way::Back => (&place.live, &incoming, &b"back"[..]),
        };
        let what = format!("putting {} in place", place.shown);
        let connection = &self.workspace.connection;
        connection
            .run(&what, SCRIPT, &[from, to, word])
            .await
            .map(drop)
    }

    /// Gives directories what the source's have. They are there already.
    async fn finish_directories(&self) -> Result<()> {
        let workspace = &self.workspace;
        let pair = workspace.pair(&self.plan, &workspace.place.live, workspace.keeps_owners);
        let told = |_, _| {};
        let options = ["--dirs", "--existing"];
        let mut root = Names::new(false);
        root.add(b"", 0);
        // With the tree's own directory, rsync takes all that is right in it, unless that is left out.
        let alone = ["--dirs", "--existing", "--exclude=*"];
        pair.copy(&root, &alone, &workspace.warnings, &told).await?;
        let directories =
            |_: &_, action| matches!(action, Action::Enter { sides, .. } if sides[SOURCE]);
        let mut lists = Lists::of(&self.plan.work, directories)?;
        while let Some(names) = lists.next()? {
            pair.copy(&names, &options, &workspace.warnings, &told)
                .await?;
        }
        Ok(())
    }

    async fn publish(&self) -> Result<()> {
        let workspace = &self.workspace;
        let place = &workspace.place;
        let incoming = place.incoming(workspace.context.claim.short());
        let what = "writing what was brought to the disk";
        workspace.connection.run(what, SYNC, &[&incoming]).await?;
        if let Err(error) = self.apply(Way::Forth).await {
            return Err(self.take_back(error).await);
        }
        workspace.set_published();
        match self.finish_directories().await {
            // Those of others get nothing from us.
            Err(error) if error.kind() == Kind::Permission => {
                tracing::warn!(%error, "directories do not have all that the source's have");
            }
            finished => finished?,
        }
        let what = "writing what was renamed to the disk";
        workspace
            .connection
            .run(what, SYNC, &[&place.live])
            .await
            .map(drop)
    }

    /// After a failure: what has been done is undone, or said.
    async fn take_back(&self, error: Error) -> Error {
        let shown = &self.workspace.place.shown;
        match self.apply(Way::Back).await {
            Ok(()) => error,
            Err(second) => {
                tracing::error!(error = %second, "what was done to live cannot be undone");
                error.within(format!(
                    "{shown} has some of the new files and not all, each of them whole; run the job again"
                ))
            }
        }
    }
}

#[async_trait]
impl Complete for FarComplete {
    async fn catalogue(&self) -> Result<Catalogue> {
        Ok(Catalogue::default())
    }

    async fn checksum(&self, _part: &Part) -> Result<Checksum> {
        Err(Error::new(Kind::Internal, "a tree of files has no rows"))
    }

    fn comparison(&self) -> Option<&dyn CompareWhole> {
        Some(self)
    }

    async fn publish(self: Box<Self>) -> Result<Box<dyn Published>> {
        self.changed.publish_all().await?;
        Ok(Box::new(FarPublished {
            changed: Arc::clone(&self.changed),
            survey: self.survey.lock().take(),
        }))
    }
}

impl Changed {
    /// Publishes what there is; what fails after live was changed is taken back.
    async fn publish_all(&self) -> Result<()> {
        if self.staged.is_none() {
            self.workspace.set_published();
            return Ok(());
        }
        let published = self.publish().await;
        let is_live = self.workspace.is_published();
        match published {
            Err(error) if is_live => Err(self.take_back(error).await),
            published => published,
        }
    }
}

#[async_trait]
impl CompareWhole for FarComplete {
    async fn compare_whole(&self, survey: &Survey, verify: Verify) -> Result<()> {
        let changed = &self.changed;
        let since = own::<Tree>(&*survey.definitions)?.since;
        let workspace = &changed.workspace;
        if let Some(staged) = &changed.staged {
            verify::sizes(workspace, &changed.plan, staged, since).await?;
        }
        if verify == Verify::Checksum {
            verify::contents(workspace, &changed.plan, since).await?;
        }
        workspace.warnings.tell();
        *self.survey.lock() = Some(survey.clone());
        Ok(())
    }
}

/// What this run has changed.
struct FarPublished {
    changed: Arc<Changed>,
    survey: Option<Survey>,
}

#[async_trait]
impl Published for FarPublished {
    /// Live is listed once more, and has all that the source has.
    async fn confirm(&self) -> Result<()> {
        let (Some(survey), Some(_)) = (&self.survey, &self.changed.staged) else {
            return Ok(());
        };
        let workspace = &self.changed.workspace;
        let definitions = Arc::clone(&survey.definitions);
        let filter = &own::<Tree>(&*definitions)?.filter;
        let live = listed(&workspace.connection, &workspace.place.live, filter, None).await?;
        let definitions = Arc::clone(&survey.definitions);
        let warnings = Arc::clone(&workspace.warnings);
        blocking(&workspace.context.cancel, move |stop| {
            let tree = own::<Tree>(&*definitions)?;
            let again = |pair: &walk::Pair<'_>| match tree.directory() {
                Some(directory) => look(directory, pair.path),
                None => pair.stat(SOURCE),
            };
            let mut check = Check {
                has_directories: true,
                filter: &tree.filter,
                by_content: false,
                since: tree.since,
                again: &again,
                warnings: &warnings,
                stop,
                files: 0,
                differences: (Vec::new(), 0),
            };
            let roots = [Some(tree.root(false)), Some(Root::Listing(live))];
            walk(roots, (), &mut check, stop)?;
            warnings.tell();
            check.outcome(None)
        })
        .await
    }

    async fn revert(&self) -> Result<()> {
        self.changed.apply(Way::Back).await?;
        self.changed.workspace.remove_own().await
    }

    async fn settle(&self) -> Result<()> {
        self.changed.workspace.remove_own().await
    }
}
