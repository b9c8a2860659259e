//! What becomes of what runs replace in a tree on another machine, and of what runs and rollbacks leave that are cut short.

use super::journal::Journal;
use super::workspace::Workspace;
use crate::error::{Error, Kind, Result};
use crate::store::files::connection::told::told;
use crate::store::files::publish::exchange::Way;
use crate::store::files::publish::journal::State;

/// Removes a tree. Who is not root lets themselves into its directories first, from the outermost on; its files stay as they are,
/// as they may have another name in live. What is mounted in it from another file system is not entered, if its rm can do that.
const AWAY: &str = r#"away() {
  [ "$(id -u)" = 0 ] || find "$1" -xdev -type d ! -perm -700 -exec chmod u+rwx -- {} \; 2>/dev/null
  case "$(rm --version 2>/dev/null)" in
    *GNU*) rm -rf --one-file-system -- "$1";;
    *) rm -rf -- "$1";;
  esac
}
"#;

/// Removes trees. Its first argument is the folder: what a run that was ended still does there comes to its end first.
const REMOVE: &str = r#"{ command exec 8<"$1" && flock -w 60 8; } 2>/dev/null; shift
for tree; do
  [ -e "$tree" ] || continue
  away "$tree" || exit 1
done"#;

/// Keeps what a run has replaced, in the place of what an earlier one has.
/// What nobody needs any more goes, and nobody waits for a rollback that was cut short.
const KEEP: &str = r#"cd -- "$1" || exit 9; umask 077
if [ -d "./replaced-$2" ]; then
  if [ -e previous ]; then mv -- previous "./dropped-$2" || exit 1; fi
  mv -- "./replaced-$2" previous || exit 1
fi
if grep -q '^became ' previous/state 2>/dev/null; then
  sed '1s/^became //' previous/state > previous/state.next && mv -f -- previous/state.next previous/state || exit 1
fi
for tree in "./dropped-$2" "./incoming-$2"; do
  [ -e "$tree" ] || continue
  away "$tree" || exit 1
done"#;

/// Says what was cut short; where nothing was, it removes what dead runs have left, and says what.
const LOOK: &str = r#"cd -- "$1" || exit 9
found=no
for tree in ./replaced-*; do [ -d "$tree" ] && { found=yes; printf 'replaced %s\n' "${tree#./replaced-}"; }; done
state=; { IFS= read -r state <previous/state; } 2>/dev/null
case $state in to\ *) found=yes; printf 'previous\n';; esac
[ $found = no ] || exit 0
for tree in ./incoming-* ./dropped-*; do
  [ -d "$tree" ] || continue
  away "$tree" && printf 'removed %s\n' "$tree"
done; exit 0"#;

fn with_away(script: &str) -> String {
    [AWAY, script].concat()
}

impl Workspace {
    /// The run's own.
    pub(super) fn journal(&self) -> Journal<'_> {
        self.journal_of(self.context.claim.short())
    }

    fn journal_of(&self, run: &str) -> Journal<'_> {
        Journal::at(self, self.place.replaced(run))
    }

    fn previous(&self) -> Journal<'_> {
        Journal::at(self, self.place.inner("previous"))
    }

    /// Removes what this run has beside live.
    pub(super) async fn remove_own(&self) -> Result<()> {
        let run = self.context.claim.short();
        let trees = [self.place.incoming(run), self.place.replaced(run)];
        self.remove(&trees).await
    }

    async fn remove(&self, trees: &[Vec<u8>]) -> Result<()> {
        let folder = self.place.folder();
        let trees: Vec<&[u8]> = ([&folder].into_iter().chain(trees))
            .map(Vec::as_slice)
            .collect();
        let what = "clearing up beside live";
        self.connection
            .run(what, &with_away(REMOVE), &trees)
            .await
            .map(drop)
    }

    /// Takes back what a run has put into live.
    pub(super) async fn undo(&self, run: &str) -> Result<()> {
        let journal = self.journal_of(run);
        let replaced = self.place.replaced(run);
        let Some((_, began)) = journal.stand().await? else {
            return self.remove(&[replaced]).await;
        };
        let left = journal.undo(&self.place.incoming(run), began).await?;
        if left == 0 {
            return self.remove(&[replaced]).await;
        }
        let kept = self.place.inner(&format!("left-{run}"));
        let what = "keeping what could not go back";
        let script = "mv -- \"$1\" \"$2\"";
        self.connection
            .run(what, script, &[&replaced, &kept])
            .await?;
        let place = told(&kept);
        tracing::warn!(
            files = left,
            place,
            "files were written since a run had replaced them, and stay; what they had before it is kept here until you remove it"
        );
        Ok(())
    }

    /// Keeps what a run has replaced as previous, and removes what it has built.
    async fn keep(&self, run: &str) -> Result<()> {
        let arguments = [&*self.place.folder(), run.as_bytes()];
        let what = "keeping what was replaced";
        self.connection
            .run(what, &with_away(KEEP), &arguments)
            .await
            .map(drop)
    }

    /// After a run that has succeeded: what it has replaced is kept or removed, and nobody waits for a rollback any more.
    pub(super) async fn settle(&self, keeps: bool) -> Result<()> {
        let run = self.context.claim.short();
        if keeps {
            return self.keep(run).await;
        }
        let own = [self.place.incoming(run), self.place.replaced(run)];
        let [incoming, replaced] = own;
        let previous = self.place.inner("previous");
        self.remove(&[previous, incoming, replaced]).await
    }

    /// Removes what dead runs left; what they, or a rollback, had begun to change in live is ended or taken back first. Returns what
    /// was removed.
    pub(super) async fn sweep(&self) -> Result<Vec<String>> {
        let mut has_more = true;
        loop {
            let what = "clearing up what dead runs left";
            let folder = self.place.folder();
            let said = self
                .connection
                .run(what, &with_away(LOOK), &[&folder])
                .await?;
            let said = String::from_utf8_lossy(&said).into_owned();
            let all = |word: &'static str| {
                let lines = said.lines();
                lines.filter_map(move |line| line.strip_prefix(word)?.strip_prefix(' '))
            };
            let has_begun = said.lines().any(|line| line == "previous");
            if has_begun {
                self.complete_rollback().await?;
            }
            for run in all("replaced") {
                self.end(run).await?;
            }
            if !has_more || (!has_begun && all("replaced").next().is_none()) {
                return Ok(all("removed").map(str::to_owned).collect());
            }
            // Once more, for what is removed when nothing is to be ended.
            has_more = false;
        }
    }

    /// Goes on with a rollback that was cut short.
    async fn complete_rollback(&self) -> Result<()> {
        let previous = self.previous();
        if let Some((State::On(way), began)) = previous.stand().await? {
            previous.roll(way, began).await?;
            previous.set(State::Became(way), Some(began)).await?;
            let live = &self.place.shown;
            tracing::warn!(live, "a rollback that was cut short is complete");
        }
        Ok(())
    }

    /// Ends what a dead run has begun.
    async fn end(&self, run: &str) -> Result<()> {
        match self.journal_of(run).stand().await? {
            Some((State::Is(Way::Forth), _)) => self.keep(run).await,
            Some((State::On(_), _)) => {
                self.undo(run).await?;
                let live = &self.place.shown;
                tracing::warn!(
                    live,
                    dead = run,
                    "what a run that was cut short had put in place is taken back"
                );
                Ok(())
            }
            _ => self.remove(&[self.place.replaced(run)]).await,
        }
    }

    /// Makes live what it was before the last run that changed it, or what that has made of it.
    pub(super) async fn roll_back(&self) -> Result<()> {
        self.sweep().await?;
        let journal = self.previous();
        let Some((state, began)) = journal.stand().await? else {
            let what = format!("there is no previous copy of {}", self.place.shown);
            return Err(Error::new(Kind::Statement, what)
                .hint("it is kept by runs with `previous = \"keep\"`, until the next run"));
        };
        if let State::Became(way) = state {
            return journal.set(State::Is(way), Some(began)).await;
        }
        let Err(error) = journal.roll(state.rolls(), began).await else {
            return Ok(());
        };
        let State::Is(way) = state else {
            return Err(error);
        };
        match journal.roll(way, began).await {
            Ok(()) => Err(error),
            Err(second) => {
                tracing::error!(error = %second, "a rollback that failed cannot be undone");
                let what = "live has files of before and after, each of them whole: another rollback goes on with it";
                Err(error.within(what).with_kind(Kind::AfterPublish))
            }
        }
    }
}
