//! What one run has replaced in a tree on another machine, in the folder beside it, and how far that has come: enough to undo it, or
//! to roll it back and forth, whenever that was cut short.

use std::collections::HashSet;
use std::io::Read;

use super::note::note;
use super::roll::{Between, Rolls, Since};
use super::workspace::{Plan, Workspace};
use crate::error::{Error, Kind, Result, io};
use crate::store::files::publish::exchange::Way;
use crate::store::files::publish::journal::State;
use crate::store::files::publish::list::Changes;
use crate::store::files::remote::stream::{feed, printed};
use crate::store::files::remote::tree::listed;
use crate::store::files::rows::listing::Listing;

/// Writes down how far it has come, and since when.
const SET: &str = r#"cd -- "$1" || exit 9; umask 077
b=$3; [ -n "$b" ] || b=$(sed -n 2p state 2>/dev/null); [ -n "$b" ] || b=$(date +%s)
printf '%s\n%s\n' "$2" "$b" > state.next || exit 9
sync -f state.next 2>/dev/null || sync
mv -f -- state.next state"#;

/// Takes the list of what will be changed, and writes down that it will be, unless it was cut off.
const BEGIN: &str = r#"umask 077; mkdir -- "$1" "$1/old" && cd -- "$1" || exit 9
cat > list || exit 9
[ $(tail -c 1 list | wc -l) = 1 ] || exit 9
case $(tail -n 1 list) in "end "*) ;; *) exit 9;; esac
printf '%s\n%s\n' "$2" "$(date +%s)" > state.next || exit 9
sync -f list 2>/dev/null || sync
mv -f -- state.next state"#;

/// Bytes of a list that are sent at a time.
const PIECE: usize = 64 * 1024;

/// Makes the directories that it needs.
const MAKE: &str = r#"umask 077; for d; do [ -d "$d" ] || mkdir -- "$d" || exit 9; done"#;

/// What one run has replaced.
pub(super) struct Journal<'a> {
    workspace: &'a Workspace,
    /// Its path there.
    directory: Vec<u8>,
}

/// How far it has come, and when the run began to change live, by the clock there.
type Stand = (State, i64);

impl<'a> Journal<'a> {
    /// The one that has this path.
    pub(super) fn at(workspace: &'a Workspace, directory: Vec<u8>) -> Self {
        Self {
            workspace,
            directory,
        }
    }

    fn inner(&self, name: &str) -> Vec<u8> {
        [&self.directory, &b"/"[..], name.as_bytes()].concat()
    }

    /// Writes down what the run will change, before it does. `kept`: the directories that the source does not have, and of which
    /// something stays.
    pub(super) async fn begin(
        &self,
        plan: &Plan,
        staged: &Listing,
        kept: &HashSet<Vec<u8>>,
    ) -> Result<()> {
        let (text, _) = note(plan, staged, kept)?;
        let mut reader = text.reader(0);
        let next = move || {
            let mut piece = vec![0; PIECE];
            let read = reader.read(&mut piece);
            let read = read.map_err(io("cannot read the list of what will be changed"))?;
            piece.truncate(read);
            Ok((read > 0).then_some(piece))
        };
        let what = "writing down what will be changed";
        let script = (BEGIN, &[&*self.directory, State::On(Way::Forth).word()][..]);
        feed(&self.workspace.connection, what, script, next).await
    }

    /// How far it has come; `None`: nothing was changed yet, or it is not there.
    pub(super) async fn stand(&self) -> Result<Option<Stand>> {
        let script = r#"[ -e "$1/list" ] || exit 0; cat -- "$1/state" 2>/dev/null; exit 0"#;
        let what = "asking how far a run has come";
        let connection = &self.workspace.connection;
        let said = connection.run(what, script, &[&self.directory]).await?;
        if said.is_empty() {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&said);
        let mut lines = text.lines();
        let state = lines.next().and_then(|word| State::of(word.as_bytes()));
        let began = lines.next().and_then(|began| began.parse().ok());
        let strange = || {
            let what = format!(
                "nobody knows how far a run or a rollback of {} has come: its state is damaged",
                self.workspace.place.shown
            );
            Error::new(Kind::Verify, what)
                .hint("what was replaced lies in `old` in a directory in the folder beside it: put it back by hand if need be, and remove that directory")
        };
        state.zip(began).map(Some).ok_or_else(strange)
    }

    /// Writes down how far it has come.
    pub(super) async fn set(&self, state: State, began: Option<i64>) -> Result<()> {
        let began = began.map(|began| began.to_string()).unwrap_or_default();
        let arguments = [&*self.directory, state.word(), began.as_bytes()];
        let what = "writing down how far a run has come";
        let connection = &self.workspace.connection;
        connection.run(what, SET, &arguments).await.map(drop)
    }

    /// What the run has changed; all of it is read before anything is done.
    async fn changes(&self) -> Result<Changes> {
        let list = self.inner("list");
        let what = "reading what was changed";
        let connection = &self.workspace.connection;
        let text = printed(connection, what, "cat -- \"$1\"", &[&list]).await?;
        let changes = Changes::of(text);
        changes.check()?;
        Ok(changes)
    }

    /// Exchanges live's files; returns how many were left alone.
    async fn exchange(
        &self,
        way: Way,
        take: Option<&[u8]>,
        (since, began): (Option<&Since>, i64),
    ) -> Result<u64> {
        let changes = self.changes().await?;
        self.set(State::On(way), Some(began)).await?;
        let Workspace {
            connection, place, ..
        } = self.workspace;
        let (old, new) = (self.inner("old"), self.inner("new"));
        let (give, take) = match way {
            Way::Back => (&*old, take.unwrap_or(&new)),
            Way::Forth => (&*new, take.unwrap_or(&old)),
        };
        let what = format!("changing {}", place.shown);
        connection.run(&what, MAKE, &[give, take]).await?;
        let between = Between {
            folder: &place.folder(),
            live: &place.live,
            give,
            take,
        };
        let mut rolls = Rolls::of(&changes, &between, way, since);
        feed(connection, &what, ("exec sh -s", &[]), || rolls.next()).await?;
        connection
            .run("writing what was renamed to the disk", SYNC, &[&place.live])
            .await?;
        Ok(rolls.left)
    }

    /// Makes live what it was before the run, or what the run has made of it; all that makes way is kept.
    pub(super) async fn roll(&self, way: Way, began: i64) -> Result<()> {
        self.exchange(way, None, (None, began)).await?;
        self.set(State::Is(way), Some(began)).await
    }

    /// Takes back what the run has put into live, however far that had come. What somebody has written since stays; then what was
    /// there before is kept. Returns how much.
    pub(super) async fn undo(&self, incoming: &[u8], began: i64) -> Result<u64> {
        let Workspace {
            connection,
            place,
            filter,
            ..
        } = self.workspace;
        let since = Since {
            live: listed(connection, &place.live, filter, None).await?,
            old: listed(connection, &self.inner("old"), filter, None).await?,
            began,
        };
        let left = self
            .exchange(Way::Back, Some(incoming), (Some(&since), began))
            .await?;
        self.set(State::Is(Way::Back), Some(began)).await?;
        Ok(left)
    }
}

/// What was brought is on the disk before anything is renamed, and the renames are before the run succeeds.
pub(super) const SYNC: &str = r#"sync -f "$1" 2>/dev/null || sync"#;

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::store::files::publish::list::{Change, Lines};

    #[test]
    fn a_list_that_was_cut_off_is_no_beginning() {
        let place = tempfile::tempdir().unwrap();
        let (mut lines, mut text) = (Lines::default(), Vec::new());
        Lines::begin(&mut text);
        lines.add(b"end 1", &Change::Deleted, &mut text).unwrap();
        lines.end(&mut text);
        for length in 0..=text.len() {
            let directory = place.path().join(length.to_string());
            let mut shell = Command::new("sh")
                .args(["-c", BEGIN, "envsyncd"])
                .arg(&directory)
                .arg("on")
                .stdin(Stdio::piped())
                .spawn()
                .unwrap();
            let mut stdin = shell.stdin.take().unwrap();
            stdin.write_all(&text[..length]).unwrap();
            drop(stdin);
            let has_begun = shell.wait().unwrap().success();
            assert_eq!(has_begun, length == text.len(), "{length} bytes");
            assert_eq!(directory.join("state").exists(), has_begun);
        }
    }
}
