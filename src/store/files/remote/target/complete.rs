//! What has changed lies beside live: it is verified, and then each file is put into its place.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;

use super::apply::Lines;
use super::journal::SYNC;
use super::verify;
use super::workspace::{Plan, Staged, Workspace};
use crate::config::job::{KeepPrevious, Verify};
use crate::error::{Error, Kind, Result};
use crate::store::files::connection::blocking::blocking;
use crate::store::files::connection::stat::Stat;
use crate::store::files::incoming::check::Check;
use crate::store::files::packed::entry::OURS;
use crate::store::files::publish::exchange::Way;
use crate::store::files::publish::journal::State;
use crate::store::files::remote::names::{Lists, Names};
use crate::store::files::remote::stream::feed;
use crate::store::files::remote::tree::listed;
use crate::store::files::rows::kept::{any_is_doomed, kept_now};
use crate::store::files::rows::listing::{Entry, Listing};
use crate::store::files::rows::pair::{Pair, SOURCE, TARGET};
use crate::store::files::rows::tree::{Tree, look};
use crate::store::files::rows::walk::{Root, walk};
use crate::store::files::rows::warnings::Warnings;
use crate::store::files::rows::work::Action;
use crate::store::{Catalogue, Checksum, CompareWhole, Complete, Part, Published, Survey, own};
use crate::sync::Mutex;

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
    staged: Option<Staged>,
}

impl FarComplete {
    pub(super) fn new(workspace: &Arc<Workspace>, plan: Plan, staged: Option<Staged>) -> Self {
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

/// Directories of the source.
fn directories(_: &Entry, action: Action) -> bool {
    matches!(action, Action::Enter { sides, .. } if sides[SOURCE])
}

/// Those of them that do not have all yet after they were brought: live had them before, or its owner was to be allowed to rename.
fn unfinished(entry: &Entry, action: Action) -> bool {
    let is_new = matches!(action, Action::Enter { sides, .. } if !sides[TARGET]);
    directories(entry, action) && !(is_new && is_given(&entry.stat))
}

/// Whether a directory that was brought has its permissions: its owner may do all with it.
fn is_given(stat: &Stat) -> bool {
    stat.mode & OURS == OURS
}

impl Changed {
    /// The directories that the source does not have, and of which something stays: what was put into one after the run had looked
    /// at live is nobody's to take away.
    async fn kept(&self) -> Result<HashSet<Vec<u8>>> {
        let (workspace, work) = (&self.workspace, &self.plan.work);
        if !any_is_doomed(work)? {
            return Ok(HashSet::new());
        }
        let (live, filter) = (&workspace.place.live, &workspace.filter);
        let now = listed(&workspace.connection, live, filter, None).await?;
        kept_now(work, &now)
    }

    /// Puts all in place.
    async fn apply(&self, staged: &Staged, kept: &HashSet<Vec<u8>>) -> Result<()> {
        if self.plan.live.is_none() {
            return self.rename(Way::Forth, staged).await;
        }
        let workspace = &self.workspace;
        let run = workspace.context.claim.short();
        let what = (&self.plan.work, self.plan.live.as_ref(), &staged.listing);
        let mut lines = Lines::of(&workspace.place, run, what, kept);
        let what = format!("changing {}", workspace.place.shown);
        let script = ("exec sh -s", &[][..]);
        feed(&workspace.connection, &what, script, || lines.next()).await
    }

    /// Takes all back.
    async fn undo(&self) -> Result<()> {
        let workspace = &self.workspace;
        if let (None, Some(staged)) = (&self.plan.live, &self.staged) {
            self.rename(Way::Back, staged).await?;
        } else {
            workspace.undo(workspace.context.claim.short()).await?;
        }
        workspace.remove_own().await
    }

    /// Where nothing was live, all of it becomes it in one step: the very directory that was listed.
    async fn rename(&self, way: Way, staged: &Staged) -> Result<()> {
        const SCRIPT: &str = r#"is() { [ "$(stat -c %i -- "$1" 2>/dev/null)" = "$2" ]; }
[ "$3" = forth ] || is "$1" "$4" || exit 0
if [ -e "$2" ] || [ -L "$2" ]; then
  [ "$3" = back ] && exit 0
  echo "$2: something has been put there since the run began" >&2; exit 7
fi
mv -- "$1" "$2" || exit 7
is "$2" "$4" || { echo "$2: it is not what was brought" >&2; exit 7; }"#;
        let place = &self.workspace.place;
        let incoming = place.incoming(self.workspace.context.claim.short());
        let (from, to, word) = match way {
            Way::Forth => (&incoming, &place.live, &b"forth"[..]),
            Way::Back => (&place.live, &incoming, &b"back"[..]),
        };
        let what = format!("putting {} in place", place.shown);
        let connection = &self.workspace.connection;
        let inode = staged.inode.to_string();
        let arguments = [from, to, word, inode.as_bytes()];
        connection.run(&what, SCRIPT, &arguments).await.map(drop)
    }

    /// Gives directories what the source's have. They are there already.
    async fn finish_directories(&self, staged: &Staged) -> Result<()> {
        let workspace = &self.workspace;
        let pair = workspace.pair(
            &self.plan.source,
            &workspace.place.live,
            workspace.keeps_owners(),
        );
        let told = |_, _| {};
        // And nothing but directories: what is none by now is not to come in the place of one.
        let options = ["--dirs", "--existing", "--include=*/", "--exclude=*"];
        let is_right = |stat: &Stat| self.plan.live.is_none() && is_given(stat);
        if !staged.has_directories || !self.plan.work.root.as_ref().is_some_and(is_right) {
            let mut root = Names::new(false);
            root.add(b"", 0);
            // With the tree's own directory, rsync takes all that is right in it, unless that is left out.
            let alone = ["--dirs", "--existing", "--exclude=*"];
            pair.copy(&root, &alone, &workspace.warnings, &told).await?;
        }
        let meant = if staged.has_directories {
            unfinished
        } else {
            directories
        };
        let mut lists = Lists::of(&self.plan.work, meant)?;
        while let Some(names) = lists.next()? {
            pair.copy(&names, &options, &workspace.warnings, &told)
                .await?;
        }
        Ok(())
    }

    async fn publish(&self, staged: &Staged) -> Result<()> {
        let workspace = &self.workspace;
        let mut kept = HashSet::new();
        if self.plan.live.is_some() {
            kept = self.kept().await?;
            let (journal, listing) = (workspace.journal(), &staged.listing);
            journal.begin(&self.plan, listing, &kept).await?;
        }
        let changed = self.change(staged, &kept).await;
        // Whatever comes now, what lies beside live is not this run's alone any more.
        workspace.set_published();
        match changed {
            Ok(()) => Ok(()),
            Err(error) => Err(self.take_back(error).await),
        }
    }

    async fn change(&self, staged: &Staged, kept: &HashSet<Vec<u8>>) -> Result<()> {
        let workspace = &self.workspace;
        self.apply(staged, kept).await?;
        match self.finish_directories(staged).await {
            // Those of others get nothing from us.
            Err(error) if error.kind() == Kind::Permission => {
                tracing::warn!(%error, "directories do not have all that the source's have");
            }
            finished => finished?,
        }
        let what = "writing what was renamed to the disk";
        let live = &workspace.place.live;
        workspace.connection.run(what, SYNC, &[live]).await?;
        if self.plan.live.is_some() {
            let done = State::Is(Way::Forth);
            workspace.journal().set(done, None).await?;
        }
        Ok(())
    }

    /// After a failure: what has been done is undone, or said.
    async fn take_back(&self, error: Error) -> Error {
        let shown = &self.workspace.place.shown;
        match self.undo().await {
            Ok(()) => error,
            Err(second) => {
                tracing::error!(error = %second, "what was done to live cannot be undone");
                error.within(format!(
                    "{shown} has some of the new files and not all, each of them whole; the next run takes them back before it begins"
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
    /// Publishes what there is.
    async fn publish_all(&self) -> Result<()> {
        if let Some(staged) = &self.staged {
            return self.publish(staged).await;
        }
        self.workspace.set_published();
        Ok(())
    }
}

#[async_trait]
impl CompareWhole for FarComplete {
    async fn compare_whole(&self, survey: &Survey, verify: Verify) -> Result<()> {
        let changed = &self.changed;
        let since = own::<Tree>(&*survey.definitions)?.since;
        let workspace = &changed.workspace;
        if let Some(Staged { listing, .. }) = &changed.staged {
            verify::sizes(workspace, &changed.plan, listing, since).await?;
            if changed.plan.live.is_none() {
                // It becomes live as it is, directories included. What is to be told of files was told.
                check(workspace, survey, listing, Arc::default()).await?;
            }
        }
        if verify == Verify::Checksum {
            verify::contents(workspace, &changed.plan, since).await?;
        }
        workspace.warnings.tell();
        *self.survey.lock() = Some(survey.clone());
        Ok(())
    }
}

/// Refuses a tree there that does not have all that the source has.
async fn check(
    workspace: &Workspace,
    survey: &Survey,
    there: &Listing,
    warnings: Arc<Warnings>,
) -> Result<()> {
    let (definitions, there) = (Arc::clone(&survey.definitions), there.clone());
    blocking(&workspace.context.cancel, move |stop| {
        let tree = own::<Tree>(&*definitions)?;
        let again = |pair: &Pair<'_>| match tree.directory() {
            Some(directory) => look(directory, pair.path),
            None => pair.stat(SOURCE),
        };
        let mut check = Check {
            planned: None,
            goes_by_plan: false,
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
        let roots = [Some(tree.root(false)), Some(Root::Listing(there))];
        walk(roots, (), &mut check, stop)?;
        check.outcome(None)
    })
    .await
}

/// What this run has changed.
struct FarPublished {
    changed: Arc<Changed>,
    survey: Option<Survey>,
}

#[async_trait]
impl Published for FarPublished {
    /// Live is listed once more, and has all that the source has. Where it was renamed as a whole, that is known.
    async fn confirm(&self) -> Result<()> {
        let (Some(survey), Some(_)) = (&self.survey, &self.changed.staged) else {
            return Ok(());
        };
        if self.changed.plan.live.is_none() {
            return Ok(());
        }
        let workspace = &self.changed.workspace;
        let filter = &own::<Tree>(&*survey.definitions)?.filter;
        let live = listed(&workspace.connection, &workspace.place.live, filter, None).await?;
        let warnings = Arc::clone(&workspace.warnings);
        let checked = check(workspace, survey, &live, warnings).await;
        workspace.warnings.tell();
        checked
    }

    async fn revert(&self) -> Result<()> {
        if self.changed.staged.is_none() {
            return Ok(());
        }
        self.changed.undo().await
    }

    async fn settle(&self) -> Result<()> {
        let workspace = &self.changed.workspace;
        let keeps = workspace.previous == KeepPrevious::Keep;
        workspace.settle(keeps).await
    }
}
