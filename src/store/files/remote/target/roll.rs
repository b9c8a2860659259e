//! A list of changes as lines for a shell on the other machine: what was replaced comes back, and what the run has put in place makes
//! way, or the other way round. Each name is exchanged by itself, and whatever was cut short can be gone on with.

use super::script::{Line, PIECE, beginning, call, here, split};
use crate::error::Result;
use crate::store::files::connection::stat::{FileKind, Moment};
use crate::store::files::connection::told::told;
use crate::store::files::packed::header::moment as decimal;
use crate::store::files::publish::exchange::Way;
use crate::store::files::publish::list::{Change, Changes, Reading, Traits};
use crate::store::files::publish::paths::is_in;
use crate::store::files::remote::quote::quote;
use crate::store::files::rows::follow::Follow;
use crate::store::files::rows::listing::Listing;

/// So many names that are left alone are told.
const NAMED: u64 = 20;

/// What the lines are made of. `$G` has what is put in place, `$T` takes what makes way. Where somebody has put something else in the
/// place of a directory, that makes way, too, and is kept, under another name if there is none left.
const WORDS: &str = r#"
U=$(id -u)
dir() { [ -d "$1" ] && ! [ -L "$1" ]; }
same() {
  if [ -L "$1" ] || [ -L "$2" ]; then [ "$(stat -c %d:%i -- "$1")" = "$(stat -c %d:%i -- "$2")" ]
  else [ "$1" -ef "$2" ]; fi
}
into() { cd -P -- "$R$1" 2>/dev/null && [ "$PWD" = "$R$1" ]; }
need() {
  at "$1"; dir "$2" && return
  if there "$2"; then
    dir "$T$1" || mkdir -p -- "$T$1" || die "$1: cannot keep what makes way"
    t=$T$1/$2; while there "$t"; do t=$t~; done
    mv -- "$2" "$t" || die "$1: cannot keep what makes way"
  fi
  mkdir -- "$2" || die "$1: a directory cannot be made again"
}
roll() {
  at "$1"; d=$1; shift
  for n; do
    shift; g=$G$d/$n; t=$T$d/$n
    there "$g" || continue
    if there "$n"; then
      if same "$n" "$g"; then rm -f -- "$g"; continue; fi
      dir "$T$d" || mkdir -p -- "$T$d" || die "$d: cannot keep what makes way"
      if there "$t"; then same "$n" "$t" || continue
      elif dir "$n" || dir "$g"; then mv -- "$n" "$t" || die "$d: cannot keep what makes way"
      else ln -P -- "$n" "$t" 2>/dev/null || cp -pPR -- "$n" "$t" || die "$d: cannot keep what makes way"; fi
    fi
    set -- "$@" "$g"
  done
  [ $# = 0 ] || mv -f -- "$@" ./ </dev/null || die "$d: a file cannot be put in place"
}
gone() {
  into "$1" || return 0
  d=$1; shift
  for n; do
    shift
    there "$T$d/$n" && continue
    there "$n" && set -- "$@" "$n"
  done
  [ $# = 0 ] && return 0
  dir "$T$d" || mkdir -p -- "$T$d" || die "$d: cannot keep what makes way"
  mv -f -- "$@" "$T$d/" </dev/null || die "$d: a file cannot be taken away"
}
dress() {
  into "$1" || return 0
  [ "$U" = 0 ] || [ -O . ] || return 0
  [ "$U" = 0 ] && { chown -- "$3" . || die "$1: cannot set the owner"; }
  chmod -- "$2" . && touch -m -d "@$4" . || die "$1: cannot set permissions and time"
}
"#;

/// What a line does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    /// What there is takes its place, and live's is kept.
    Roll,
    /// Live's goes, and is kept.
    Gone,
}

/// What tells files that somebody has written since from those of the run: what is in live now, what the run has kept of it, and
/// since when, by the clock there.
pub(super) struct Since {
    pub(super) live: Listing,
    pub(super) old: Listing,
    pub(super) began: i64,
}

/// Where names come from, and where they go.
pub(super) struct Between<'a> {
    pub(super) folder: &'a [u8],
    pub(super) live: &'a [u8],
    pub(super) give: &'a [u8],
    pub(super) take: &'a [u8],
}

/// Makes the lines, piece by piece.
pub(super) struct Rolls<'a> {
    changes: &'a Changes,
    way: Way,
    since: Option<&'a Since>,
    /// Names that are somebody else's, and were left alone.
    pub(super) left: u64,
    rounds: Vec<Round>,
    going: Option<Going>,
    text: Vec<u8>,
    line: Option<Line<Word>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    /// What comes.
    Puts,
    /// What goes.
    Goes,
    /// Directories get what they had.
    Dresses,
}

/// A round that is under way.
struct Going {
    round: Round,
    reading: Reading,
    live: Follow,
    old: Follow,
    /// The directories that it is in: paths, what they had and get, and whether something in them was changed.
    open: Vec<Open>,
}

struct Open {
    path: Vec<u8>,
    old: Traits,
    new: Option<Traits>,
    is_changed: bool,
    /// Somebody has put something else in its place, which stays.
    is_blocked: bool,
}

impl<'a> Rolls<'a> {
    /// `since`: what somebody has written since stays; else it makes way, too, and is kept.
    pub(super) fn of(
        changes: &'a Changes,
        between: &Between<'_>,
        way: Way,
        since: Option<&'a Since>,
    ) -> Self {
        let variables = [
            ("F", between.folder),
            ("R", between.live),
            ("G", between.give),
            ("T", between.take),
        ];
        Self {
            changes,
            way,
            since,
            left: 0,
            // The last comes first.
            rounds: vec![Round::Dresses, Round::Goes, Round::Puts],
            going: None,
            text: beginning(&variables, WORDS),
            line: None,
        }
    }

    /// The next piece; `None`: that was all.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>> {
        while self.text.len() < PIECE {
            if self.going.is_none() {
                let Some(round) = self.rounds.pop() else {
                    break;
                };
                self.going = Some(Going {
                    round,
                    reading: self.changes.read()?,
                    live: Follow::of(self.since.map(|since| &since.live))?,
                    old: Follow::of(self.since.map(|since| &since.old))?,
                    open: Vec::new(),
                });
            }
            let Some(mut going) = self.going.take() else {
                break;
            };
            if let Some((path, change)) = going.reading.next()? {
                self.leave(&mut going, Some(&path));
                self.step(&mut going, path, &change)?;
                self.going = Some(going);
            } else {
                self.end_line();
                self.leave(&mut going, None);
            }
        }
        let text = std::mem::take(&mut self.text);
        Ok((!text.is_empty()).then_some(text))
    }

    /// Directories that are behind us.
    fn leave(&mut self, going: &mut Going, path: Option<&[u8]>) {
        while let Some(last) = going.open.last()
            && path.is_none_or(|path| !is_in(path, &last.path))
        {
            let Some(last) = going.open.pop() else {
                return;
            };
            let traits = match self.way {
                Way::Back => Some(last.old),
                Way::Forth => last.new,
            };
            let differs = last.new.is_some_and(|new| new != last.old);
            if going.round == Round::Dresses
                && (last.is_changed || differs)
                && let Some(traits) = traits
            {
                self.dress(&last.path, &traits);
            }
        }
    }

    fn step(&mut self, going: &mut Going, path: Vec<u8>, change: &Change) -> Result<()> {
        if let Change::Kept(old, new) = change {
            let there = going.live.find(&path)?.map(|found| found.stat.kind);
            going.open.push(Open {
                is_blocked: there.is_some_and(|kind| kind != FileKind::Directory),
                path,
                old: *old,
                new: *new,
                is_changed: false,
            });
            return Ok(());
        }
        match going.round {
            Round::Dresses => {
                if let Some(above) = going.open.last_mut() {
                    above.is_changed = true;
                }
            }
            Round::Puts => {
                if !self.is_due(going, &path, change)? {
                    return Ok(());
                }
                for above in going.open.iter_mut().filter(|above| !above.is_changed) {
                    above.is_changed = true;
                    self.need(&above.path);
                }
                self.add(Word::Roll, &path);
            }
            Round::Goes => {
                let goes = match change {
                    Change::Added(_) => self.way == Way::Back,
                    Change::Deleted => self.way == Way::Forth,
                    _ => false,
                };
                if goes && self.may_go(going, &path, change)? {
                    self.add(Word::Gone, &path);
                }
            }
        }
        Ok(())
    }

    /// Whether there may be something to put in place that replaces nothing of somebody else's.
    fn is_due(&mut self, going: &mut Going, path: &[u8], change: &Change) -> Result<bool> {
        if self.since.is_none() {
            return Ok(true);
        }
        let Some(old) = going.old.find(path)?.map(|found| found.stat) else {
            return Ok(false);
        };
        if going.open.iter().any(|above| above.is_blocked) {
            return Ok(self.leave_alone(path));
        }
        let Some(there) = going.live.find(path)?.map(|found| found.stat) else {
            return Ok(true);
        };
        let is_old = (there.kind, there.size, there.modified) == (old.kind, old.size, old.modified);
        let is_ours = match change {
            Change::Replaced(seen) => seen.is_like(&there) || there.kind == FileKind::Directory,
            _ => false,
        };
        Ok(is_old || is_ours || self.leave_alone(path))
    }

    /// Whether what goes is nothing of somebody else's.
    fn may_go(&mut self, going: &mut Going, path: &[u8], change: &Change) -> Result<bool> {
        let Some(since) = self.since else {
            return Ok(true);
        };
        let Some(there) = going.live.find(path)?.map(|found| found.stat) else {
            return Ok(false);
        };
        let is_ours = match (change, there.kind) {
            (Change::Added(_), FileKind::Directory) => {
                let is_newer = |changed: Moment| changed.0 > since.began;
                !going.live.any_below(path, |inner| {
                    inner.kind != FileKind::Directory && is_newer(inner.changed)
                })?
            }
            (Change::Added(seen), _) => seen.is_like(&there),
            _ => false,
        };
        Ok(is_ours || self.leave_alone(path))
    }

    /// `false`: that is what becomes of it.
    fn leave_alone(&mut self, path: &[u8]) -> bool {
        self.left += 1;
        if self.left <= NAMED {
            tracing::warn!(
                file = told(path),
                "somebody has written it since, and it stays as it is"
            );
        }
        false
    }

    fn add(&mut self, word: Word, path: &[u8]) {
        if let Some(line) = Line::add(self.line.as_mut(), word, path) {
            self.end_line();
            self.line = Some(line);
        }
    }

    fn end_line(&mut self) {
        if let Some(line) = self.line.take() {
            let word = match line.word {
                Word::Roll => "roll",
                Word::Gone => "gone",
            };
            let names: Vec<Vec<u8>> = line.names.iter().map(|name| here(name)).collect();
            let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
            self.write(word, &[&[&line.above[..]], &names[..]].concat());
        }
    }

    fn need(&mut self, path: &[u8]) {
        if !path.is_empty() {
            self.end_line();
            let (above, name) = split(path);
            self.write("need", &[&above, &here(name)]);
        }
    }

    fn dress(&mut self, path: &[u8], traits: &Traits) {
        let above = if path.is_empty() {
            Vec::new()
        } else {
            [b"/", path].concat()
        };
        // With fewer digits, chmod keeps what a directory has of setuid and setgid.
        let mode = format!("{:05o}", traits.mode);
        let owner = format!("{}:{}", traits.owner.0, traits.owner.1);
        let (seconds, nanoseconds) = traits.modified;
        let time = decimal(seconds, nanoseconds);
        self.write(
            "dress",
            &[&above, mode.as_bytes(), owner.as_bytes(), time.as_bytes()],
        );
    }

    fn write(&mut self, word: &str, arguments: &[&[u8]]) {
        let arguments = arguments.iter().map(|argument| quote(argument));
        call(&mut self.text, word, arguments);
    }
}
