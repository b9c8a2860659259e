//! What has changed, on its way into the folder beside live.

use std::sync::Arc;

use async_trait::async_trait;
use rustix::io::Errno;
use tokio_util::sync::CancellationToken;

use super::complete::FarComplete;
use super::journal::SYNC;
use super::workspace::{Plan, Staged, Workspace};
use crate::error::{Error, Kind, Result};
use crate::store::files::connection::blocking::blocking;
use crate::store::files::connection::inside::Inside;
use crate::store::files::connection::stat::FileKind;
use crate::store::files::incoming::metadata::has_attributes;
use crate::store::files::remote::names::{Lists, Names};
use crate::store::files::remote::send::Sending;
use crate::store::files::remote::tree::listed_with_inode;
use crate::store::files::rows::listing::Entry;
use crate::store::files::rows::pair::{SOURCE, TARGET};
use crate::store::files::rows::tree::Tree;
use crate::store::files::rows::work::Action;
use crate::store::{Chunks, Complete, Incoming, Meter, Part, Source, Survey, Transfer, own};
use crate::sync::Mutex;

/// A tree there that is being changed.
pub(super) struct FarIncoming {
    workspace: Arc<Workspace>,
    /// What has arrived.
    staged: Mutex<Option<Staged>>,
}

/// Files, links, and directories that live does not have.
fn brought(_: &Entry, action: Action) -> bool {
    match action {
        Action::Copy => true,
        Action::Enter { sides, .. } => sides[SOURCE] && !sides[TARGET],
        _ => false,
    }
}

/// Files that are not stored as a whole.
fn sparse(entry: &Entry, action: Action) -> bool {
    action == Action::Copy && entry.stat.kind == FileKind::Regular && entry.stat.is_sparse()
}

/// All that is brought but those.
fn streamed(entry: &Entry, action: Action) -> bool {
    brought(entry, action) && !sparse(entry, action)
}

/// Says `plain` of a directory whose files have no ACLs from their beginning, if that can be seen: GNU ls puts a `+` behind the
/// permissions of what has one.
const PLAIN: &str = r#"case "$(LC_ALL=C ls --version 2>/dev/null)" in *GNU*) ;; *) exit 0;; esac
said=$(LC_ALL=C ls -ld -- "$1") || exit 0
case "$said" in d?????????+*) ;; d*) printf plain;; esac"#;

/// Whether a file of a list, or a directory, has extended attributes: ACLs are some.
async fn have_attributes(
    names: &Arc<Names>,
    plan: &Plan,
    cancel: &CancellationToken,
) -> Result<bool> {
    let (names, source) = (Arc::clone(names), Arc::clone(&plan.source));
    blocking(cancel, move |_| {
        let mut inside = Inside::new(source);
        Ok(names.iter().any(|path| match inside.at(path) {
            Ok((above, name)) => has_attributes(above, &name),
            Err(error) => error != Errno::NOENT,
        }))
    })
    .await
}

impl FarIncoming {
    pub(super) fn new(workspace: &Arc<Workspace>) -> Self {
        Self {
            workspace: Arc::clone(workspace),
            staged: Mutex::new(None),
        }
    }

    /// Brings all that has changed.
    async fn bring(&self, plan: &Plan, survey: &Survey, meter: &dyn Meter) -> Result<()> {
        let workspace = &self.workspace;
        let tree = own::<Tree>(&*survey.definitions)?;
        let mut parts: Vec<&Part> = survey.parts.iter().collect();
        parts.sort_by_key(|part| part.id);
        let told = |path: &[u8], files, bytes| {
            if let Some(part) = parts.get(tree.part_of(path)) {
                meter.add(part, files, bytes);
            }
        };
        let incoming = workspace.place.incoming(workspace.context.claim.short());
        let connection = &workspace.connection;
        let what = "looking at the folder";
        let is_plain = connection.run(what, PLAIN, &[&incoming]).await? == b"plain";
        // What has an ACL from its beginning would keep it: tar takes none away.
        let by_tar = is_plain && workspace.goes_by_tar();
        let mut lists = Lists::of(&plan.work, brought)?;
        if by_tar {
            self.send(plan, &incoming, &told).await?;
            lists = Lists::of(&plan.work, sparse)?;
        }
        let by_rsync = self.copy(plan, lists, (&incoming, is_plain), &told).await?;
        // On the disk before anything is renamed, and listed at the same time.
        let what = "writing what was brought to the disk";
        let arguments = [&*incoming];
        let ((listing, inode), _) = tokio::try_join!(
            listed_with_inode(connection, &incoming, &tree.filter, None),
            connection.run(what, SYNC, &arguments)
        )?;
        *self.staged.lock() = Some(Staged {
            listing,
            inode,
            has_directories: by_tar && by_rsync == 0,
        });
        Ok(())
    }

    /// Sends what is stored as a whole, as one stream.
    async fn send(
        &self,
        plan: &Plan,
        incoming: &[u8],
        told: &(dyn Fn(&[u8], u64, u64) + Send + Sync),
    ) -> Result<()> {
        let workspace = &self.workspace;
        let sending = Sending {
            connection: &workspace.connection,
            folder: &workspace.place.folder(),
            there: incoming,
            source: &plan.source,
            keeps_owners: workspace.keeps_owners(),
            warnings: &workspace.warnings,
            cancel: &workspace.context.cancel,
        };
        // Where nothing is live, incoming becomes it.
        let root = plan.work.root.filter(|_| plan.live.is_none());
        sending.send(&plan.work, streamed, root, told).await
    }

    /// Sends lists of files by rsync; returns how many lists there were.
    async fn copy(
        &self,
        plan: &Plan,
        mut lists: Lists,
        (incoming, is_plain): (&[u8], bool),
        told: &(dyn Fn(&[u8], u64, u64) + Send + Sync),
    ) -> Result<usize> {
        let workspace = &self.workspace;
        let mut pair = workspace.pair(&plan.source, incoming, workspace.keeps_owners());
        // What is in a directory has to be renamed out of it.
        let options = ["--dirs", "--whole-file", "--chmod=Du+rwx"];
        let mut count = 0;
        while let Some(names) = lists.next()? {
            count += 1;
            let names = Arc::new(names);
            // Looked up here they cost little, and by rsync, half of its time.
            let cancel = &workspace.context.cancel;
            pair.can = if is_plain && !have_attributes(&names, plan, cancel).await? {
                workspace.can.without_attributes()
            } else {
                workspace.can.clone()
            };
            let first = names.iter().next().unwrap_or_default();
            let told = |files, bytes| told(first, files, bytes);
            pair.copy(&names, &options, &workspace.warnings, &told)
                .await?;
        }
        Ok(count)
    }
}

#[async_trait]
impl Incoming for FarIncoming {
    async fn write(&self, _part: &Part, _chunks: Chunks) -> Result<u64> {
        Err(Error::new(Kind::Internal, "a tree of files has no rows"))
    }

    async fn complete(self: Arc<Self>) -> Result<Box<dyn Complete>> {
        let plan = self.workspace.planned()?;
        let staged = self.staged.lock().clone();
        if plan.has_work && staged.is_none() {
            return Err(Error::new(Kind::Internal, "nothing was brought"));
        }
        Ok(Box::new(FarComplete::new(&self.workspace, plan, staged)))
    }

    fn transfer(&self) -> Option<&dyn Transfer> {
        Some(self)
    }
}

#[async_trait]
impl Transfer for FarIncoming {
    fn keeps_pace(&self) -> bool {
        true
    }

    async fn transfer(
        &self,
        _source: &dyn Source,
        survey: &Survey,
        meter: &dyn Meter,
    ) -> Result<bool> {
        if !self.workspace.keeps_owners() {
            tracing::warn!("{}", self.workspace.why_no_owners());
        }
        let plan = self.workspace.planned()?;
        if plan.has_work {
            self.bring(&plan, survey, meter).await?;
        } else {
            tracing::info!("nothing has changed: live stays as it is");
        }
        Ok(true)
    }
}
