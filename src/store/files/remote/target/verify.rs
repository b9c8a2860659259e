//! Holds what was brought, and what has not changed, against the source.

use std::sync::Arc;

use super::workspace::{Plan, Workspace};
use crate::error::{Error, Kind, Result};
use crate::store::files::connection::blocking::{blocking, stopped};
use crate::store::files::connection::stat::{FileKind, Moment};
use crate::store::files::connection::told::told;
use crate::store::files::remote::names::{Lists, Meant, copied};
use crate::store::files::rows::follow::Follow;
use crate::store::files::rows::listing::{Entry, Listing};
use crate::store::files::rows::tree::look;
use crate::store::files::rows::warnings::{Warning, Warnings};
use crate::store::files::rows::work::Action;

/// An error names so many differences,
const NAMED: usize = 3;
/// and the log so many.
const LOGGED: u64 = 100;

/// The differences that were found.
#[derive(Default)]
struct Differences(Vec<String>, u64);

impl Differences {
    fn add(&mut self, path: &[u8], what: &str) {
        let difference = format!("{} {what}", told(path));
        self.1 += 1;
        if self.1 <= LOGGED {
            tracing::error!(difference, "not the same on both sides");
        }
        if self.0.len() < NAMED {
            self.0.push(difference);
        }
    }

    fn outcome(self) -> Result<()> {
        let Self(first, all) = self;
        if all == 0 {
            return Ok(());
        }
        let more = match all - first.len() as u64 {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        let what = format!(
            "the copy is not equal to the source: {}{more}",
            first.join("; ")
        );
        Err(Error::new(Kind::Verify, what)
            .hint("the run's log names the first hundred differences"))
    }
}

/// Whether what was brought is there, and has the size of the source's. What was changed since the run began may differ.
pub(super) async fn sizes(
    workspace: &Workspace,
    plan: &Plan,
    staged: &Listing,
    since: Moment,
) -> Result<()> {
    let (plan, staged) = (plan.clone(), staged.clone());
    let warnings = Arc::clone(&workspace.warnings);
    blocking(&workspace.context.cancel, move |stop| {
        let mut differences = Differences::default();
        let mut staged = Follow::of(Some(&staged))?;
        let mut tasks = plan.work.tasks()?;
        while let Some((entry, action)) = tasks.task()? {
            stopped(stop)?;
            if action == Action::Copy
                && let Some(what) = difference(entry, staged.find(&entry.path)?)
            {
                judge(
                    &plan,
                    &entry.path,
                    &what,
                    since,
                    &warnings,
                    &mut differences,
                )?;
            }
            tasks.advance()?;
        }
        differences.outcome()
    })
    .await
}

fn difference(source: &Entry, copy: Option<&Entry>) -> Option<String> {
    let Some(copy) = copy else {
        return Some("is missing".to_owned());
    };
    let (one, other) = (&source.stat, &copy.stat);
    if one.kind != other.kind {
        return Some("is another kind of file".to_owned());
    }
    match one.kind {
        FileKind::Regular if one.size != other.size => {
            Some(format!("has {} bytes instead of {}", other.size, one.size))
        }
        FileKind::Link if source.link != copy.link => Some("leads elsewhere".to_owned()),
        _ => None,
    }
}

/// A file that has vanished or was changed since the run began is a warning.
fn judge(
    plan: &Plan,
    path: &[u8],
    what: &str,
    since: Moment,
    warnings: &Warnings,
    differences: &mut Differences,
) -> Result<()> {
    match look(&plan.source, path)? {
        None => warnings.add(Warning::Vanished, path),
        Some(found) if found.changed >= since => warnings.add(Warning::Changed, path),
        Some(_) => differences.add(path, what),
    }
    Ok(())
}

/// Whether every file has the source's content: those that were brought, and those of live that have not changed.
pub(super) async fn contents(workspace: &Workspace, plan: &Plan, since: Moment) -> Result<()> {
    let place = &workspace.place;
    let incoming = place.incoming(workspace.context.claim.short());
    let unchanged: Meant = |entry, action| {
        action == (Action::TakeOver { is_same: true }) && entry.stat.kind == FileKind::Regular
    };
    let mut differences = Differences::default();
    let mut trees: Vec<(&[u8], Meant)> = Vec::new();
    if plan.has_work {
        trees.push((&incoming, copied));
    }
    if plan.live.is_some() {
        trees.push((&place.live, unchanged));
    }
    for (there, meant) in trees {
        let pair = workspace.pair(&plan.source, there, false);
        let mut lists = Lists::of(&plan.work, meant)?;
        while let Some(names) = lists.next()? {
            for path in pair.differing(&names, &workspace.warnings).await? {
                let what = "has another content";
                let warnings = &workspace.warnings;
                judge(plan, &path, what, since, warnings, &mut differences)?;
            }
        }
    }
    differences.outcome()
}
