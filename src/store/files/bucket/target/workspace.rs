//! What a run works with from its lock until it ends.

use std::sync::Arc;

use tokio::sync::RwLock;

use super::changes::Changes;
use super::folder::{Folder, LONGER};
use super::journal::{Stand, note};
use super::previous::Keeper;
use crate::config::job::{KeepPrevious, Mode, Task};
use crate::error::{Error, Kind, Result};
use crate::s3::S3;
use crate::store::Context;
use crate::store::files::bucket::fetch::at_once;
use crate::store::files::bucket::likeness::ByTag;
use crate::store::files::bucket::list::{Wanted, list};
use crate::store::files::bucket::object::is_marked;
use crate::store::files::bucket::source::open;
use crate::store::files::connection::blocking::blocking;
use crate::store::files::connection::stat::{FileKind, Stat};
use crate::store::files::connection::told::told;
use crate::store::files::incoming::plan::Planner;
use crate::store::files::publish::exchange::Way;
use crate::store::files::publish::journal::State;
use crate::store::files::rows::decision::{Rules, in_the_way};
use crate::store::files::rows::follow::Follow;
use crate::store::files::rows::listing::Listing;
use crate::store::files::rows::pair::{Descent, Pair, SOURCE, TARGET, Visitor};
use crate::store::files::rows::precision::Kept;
use crate::store::files::rows::tree::Tree;
use crate::store::files::rows::walk::{Root, walk};
use crate::store::files::rows::warnings::Warnings;
use crate::store::files::rows::work::{Action, Work};
use crate::store::files::schema::options::{Link, Options};
use crate::sync::Mutex;

/// So many names are told.
const NAMED: usize = 3;
/// Bytes of a key, with the prefix.
const LONGEST_KEY: usize = 1024;

/// A run's places and options.
pub(super) struct Workspace {
    pub(super) s3: Arc<S3>,
    pub(super) context: Context,
    pub(super) options: Options,
    pub(super) mode: Mode,
    /// What is to be done; `None`: nothing is.
    pub(super) work: Mutex<Option<Work>>,
    /// What is told of single files when all are in.
    pub(super) warnings: Arc<Warnings>,
    /// So many bytes a second.
    pub(super) throttle: Option<u64>,
    /// Looks after what is kept of what is replaced.
    pub(super) keeper: Keeper,
    /// Held by whatever is on its way, where that has to be taken back if it fails.
    pub(super) busy: Arc<RwLock<()>>,
    phase: Mutex<Phase>,
    /// What will be changed, where it is kept.
    planned: Mutex<Option<Changes>>,
}

/// How far a run has come with live, where what it replaces is kept.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    #[default]
    Untouched,
    /// What it has begun has to be taken back if it fails.
    Begun,
    /// It is done with it.
    Over,
}

impl Workspace {
    pub(super) async fn of(task: &Task, context: &Context) -> Result<Self> {
        let s3 = open(&task.target, context).await?;
        let folder = Folder {
            s3: Arc::clone(&s3),
            at_once: at_once(context),
        };
        Ok(Self {
            s3,
            keeper: Keeper::of(
                folder,
                context.claim.short(),
                task.previous == KeepPrevious::Keep,
            ),
            throttle: task.throttle,
            busy: Arc::default(),
            phase: Mutex::default(),
            planned: Mutex::default(),
            context: context.clone(),
            options: task.options.get::<Options>()?.clone(),
            mode: task.mode,
            work: Mutex::new(None),
            warnings: Arc::default(),
        })
    }

    /// What is in the target now.
    pub(super) async fn list(&self, tree: &Tree) -> Result<Listing> {
        let wanted = Wanted {
            filter: Arc::clone(&tree.filter),
            is_strict: self.mode == Mode::Replace,
            marker: None,
        };
        let found = list(&self.s3, &wanted, &self.context.cancel).await?;
        Ok(found.listing)
    }

    /// Finds out what changes, and refuses what is too much.
    pub(super) async fn plan(&self, tree: &Tree) -> Result<()> {
        let listing = self.list(tree).await?;
        let restored = self.keeper.restored().await?;
        let is_one_clock = tree
            .bucket()
            .is_some_and(|source| source.server() == self.s3.server());
        let stop = &self.context.cancel;
        let rules = Rules {
            filter: Arc::clone(&tree.filter),
            overlay: self.mode == Mode::Overlay,
            by_content: self.options.by_content,
            differing: None,
            // An object keeps them in any case.
            keeps_owners: true,
            kept: Kept::default(),
            stop: stop.clone(),
            likeness: Some(Arc::new(ByTag {
                by_content: self.options.by_content,
                is_one_clock,
                restored: Mutex::new(Follow::of(restored.as_ref())?),
                stop: stop.clone(),
            })),
        };
        // Files may have to be read to know whether they have changed.
        let roots = [Some(tree.root(true)), Some(Root::Listing(listing.clone()))];
        let warnings = Arc::clone(&self.warnings);
        let keeps = self.keeper.keeps;
        let longer = if keeps { LONGER } else { 0 };
        let most = LONGEST_KEY.saturating_sub(self.s3.path().len() + longer);
        let place = self.s3.place().to_owned();
        let source = tree.bucket().map(|_| tree.listing.clone());
        let (changes, work, planned) = blocking(&self.context.cancel, move |stop| {
            let mut planner = Keys(Planner::new(&rules, Link::Hard, &warnings));
            walk(roots, (), &mut planner, stop)?;
            let (changes, work) = planner.0.finish()?;
            let has_work = look_through(&work, most, keeps)?;
            let planned =
                (keeps && has_work).then(|| note(&work, source.as_ref(), &listing, &place));
            Ok((changes, has_work.then_some(work), planned.transpose()?))
        })
        .await?;
        changes.check(self.options.max_delete)?;
        tracing::info!(
            copied = changes.copied,
            deleted = changes.deleted,
            live = changes.live,
            "compared with live"
        );
        *self.work.lock() = work;
        *self.planned.lock() = planned;
        Ok(())
    }

    /// Keeps what will be replaced, before anything is. Where nothing is kept, that is nothing.
    pub(super) async fn begin(&self) -> Result<()> {
        let Some(planned) = self.planned.lock().clone() else {
            return Ok(());
        };
        let began = self.s3.now().await?.timestamp();
        self.keeper.mark().await?;
        *self.phase.lock() = Phase::Begun;
        self.keeper.own().begin(&planned, began).await
    }

    /// Writes down what was written.
    pub(super) async fn seal(&self, written: Option<Listing>) -> Result<()> {
        let planned = self.planned.lock().clone();
        match (planned, written) {
            (Some(planned), Some(written)) => self.keeper.own().seal(&planned, &written).await,
            _ => Ok(()),
        }
    }

    /// Live is what the run has made of it.
    pub(super) async fn finish(&self) -> Result<()> {
        if *self.phase.lock() != Phase::Begun {
            return Ok(());
        }
        let journal = self.keeper.own();
        if let Some(stand) = journal.stand().await? {
            let state = State::Is(Way::Forth);
            journal.set(Stand { state, ..stand }).await?;
        }
        *self.phase.lock() = Phase::Over;
        Ok(())
    }

    /// Takes back what was begun and not finished, if it is kept.
    pub(super) async fn discard(&self) -> Result<()> {
        if *self.phase.lock() != Phase::Begun {
            return Ok(());
        }
        self.take_back().await
    }

    /// Takes back what the run has made of live.
    pub(super) async fn take_back(&self) -> Result<()> {
        // What is on its way has landed by then.
        let _landed = self.busy.write().await;
        self.keeper.undo(&self.keeper.run).await?;
        *self.phase.lock() = Phase::Over;
        Ok(())
    }

    pub(super) fn work(&self) -> Option<Work> {
        self.work.lock().clone()
    }
}

/// Whether there is anything to do; what cannot be a key is refused.
fn look_through(work: &Work, most: usize, keeps: bool) -> Result<bool> {
    let (mut has_work, mut odd, mut all) = (false, Vec::new(), 0_usize);
    let mut tasks = work.tasks()?;
    while let Some((entry, action)) = tasks.task()? {
        has_work |= match action {
            Action::Copy | Action::Delete => true,
            Action::Enter { is_doomed, .. } => is_doomed && is_marked(&entry.stat),
            Action::TakeOver { .. } => false,
        };
        if action == Action::Copy || (keeps && action == Action::Delete) {
            let why = match std::str::from_utf8(&entry.path) {
                Err(_) => Some("it is not UTF-8"),
                Ok(path) if path.len() > most => Some("it is too long"),
                Ok(_) => None,
            };
            if let Some(why) = why {
                all += 1;
                if odd.len() < NAMED {
                    odd.push(format!("{} ({why})", told(&entry.path)));
                }
            }
        }
        tasks.advance()?;
    }
    if odd.is_empty() {
        return Ok(has_work);
    }
    let more = match all - odd.len() {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    let what = format!("names that no object can have: {}{more}", odd.join(", "));
    Err(Error::new(Kind::Verify, what).hint("rename them, or leave them out with `exclude`"))
}

/// A planner for keys, of which one may not be the directory of another.
struct Keys<'a>(Planner<'a>);

impl Visitor for Keys<'_> {
    type Level = ();

    fn entry(&mut self, level: &mut (), pair: &Pair<'_>) -> Result<Option<Descent<()>>> {
        let descent = self.0.entry(level, pair)?;
        let live = pair.kind(TARGET);
        let is_file = live.is_some_and(|kind| kind != FileKind::Directory);
        if is_file
            && descent
                .as_ref()
                .is_some_and(|descent| descent.sides[SOURCE])
        {
            return Err(in_the_way("an object", "a directory", pair.path));
        }
        Ok(descent)
    }

    fn passes_by(&self, path: &[u8]) -> bool {
        self.0.passes_by(path)
    }

    fn opened(&mut self, level: &mut (), side: usize, found: &Stat, path: &[u8]) -> Result<()> {
        self.0.opened(level, side, found, path)
    }

    fn vanished(&mut self, path: &[u8]) {
        self.0.vanished(path);
    }

    fn leave(&mut self, level: (), path: &[u8]) -> Result<()> {
        self.0.leave(level, path)
    }
}
