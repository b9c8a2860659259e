//! What is done to live, as lines for a shell there. Each name is changed by one rename in its directory, which is entered first, and
//! is left alone if a link leads to it.

use std::collections::HashSet;

use super::place::Place;
use super::script::{Line, PIECE, beginning, call, here};
use crate::error::Result;
use crate::store::files::connection::stat::FileKind;
use crate::store::files::remote::quote::quote;
use crate::store::files::rows::follow::Follow;
use crate::store::files::rows::listing::Listing;
use crate::store::files::rows::pair::{SOURCE, TARGET};
use crate::store::files::rows::work::{Action, Tasks, Work};

/// What the lines are made of. `$N` has what was brought, `$O` takes what is replaced.
const WORDS: &str = r#"
old() { [ -d "$O$1" ] || mkdir -p -- "$O$1" || die "$1: cannot keep what is replaced"; }
put() { at "$1"; d=$1; shift; mv -f -- "$@" ./ </dev/null || die "$d: a file cannot be put in place"; }
swap() {
  at "$1"; old "$1"; d=$1; shift
  for n; do shift; there "$n" && set -- "$@" "$n"; done
  [ $# = 0 ] || ln -P -- "$@" "$O$d/" 2>/dev/null && return
  for n; do
    there "$O$d/$n" || ln -P -- "$n" "$O$d/" 2>/dev/null || cp -pPR -- "$n" "$O$d/" || die "$d: cannot keep what is replaced"
  done
}
drop() {
  at "$1"; old "$1"; d=$1; shift
  for n; do shift; there "$n" && set -- "$@" "$n"; done
  [ $# = 0 ] || mv -f -- "$@" "$O$d/" </dev/null || die "$d: a file cannot be deleted"
}
"#;

/// A word of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    /// Live's is kept beside it: a second name of it.
    Swap,
    /// What was brought takes its place.
    Put,
    /// Live's goes.
    Drop,
}

impl Word {
    fn text(self) -> &'static str {
        match self {
            Self::Swap => "swap",
            Self::Put => "put",
            Self::Drop => "drop",
        }
    }
}

/// Makes the lines, piece by piece.
pub(super) struct Lines<'a> {
    work: &'a Work,
    live: Option<&'a Listing>,
    staged: &'a Listing,
    /// Directories that the source does not have, and of which something stays.
    kept: &'a HashSet<Vec<u8>>,
    /// The rounds that are left.
    rounds: Vec<Round>,
    going: Option<Going>,
    text: Vec<u8>,
    /// The line that is being made: words, a directory, and names.
    line: Option<Line<Word>>,
}

/// What is done in one round through the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    /// What is brought.
    Puts,
    /// What goes.
    Drops,
}

/// A round that is under way.
struct Going {
    round: Round,
    tasks: Tasks,
    live: Follow,
    staged: Follow,
    /// A directory that went as a whole, with a slash behind it.
    whole: Option<Vec<u8>>,
}

impl<'a> Lines<'a> {
    pub(super) fn of(
        place: &Place,
        run: &str,
        (work, live, staged): (&'a Work, Option<&'a Listing>, &'a Listing),
        kept: &'a HashSet<Vec<u8>>,
    ) -> Self {
        let variables = [
            ("F", place.folder()),
            ("R", place.live.clone()),
            ("N", place.incoming(run)),
            ("O", [&place.replaced(run)[..], b"/old"].concat()),
        ];
        let variables = variables.each_ref().map(|(name, path)| (*name, &path[..]));
        Self {
            kept,
            // The last comes first.
            rounds: vec![Round::Drops, Round::Puts],
            going: None,
            line: None,
            work,
            live,
            staged,
            text: beginning(&variables, WORDS),
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
                    tasks: self.work.tasks()?,
                    live: Follow::of(self.live)?,
                    staged: Follow::of(Some(self.staged))?,
                    whole: None,
                });
            }
            let Some(mut going) = self.going.take() else {
                break;
            };
            if self.step(&mut going)? {
                self.going = Some(going);
            } else {
                self.end_line();
            }
        }
        let text = std::mem::take(&mut self.text);
        Ok((!text.is_empty()).then_some(text))
    }

    /// Does one name; `false`: there is none.
    fn step(&mut self, going: &mut Going) -> Result<bool> {
        let Some((entry, action)) = going.tasks.task()? else {
            return Ok(false);
        };
        let path = &entry.path;
        let is_done = going
            .whole
            .as_ref()
            .is_some_and(|whole| path.starts_with(whole));
        if !is_done {
            let in_live = going.live.find(path)?.map(|found| found.stat.kind);
            // What is of another kind by now is not what the plan has.
            let staged = going.staged.find(path)?.map(|found| found.stat.kind);
            let is_file = matches!(staged, Some(FileKind::Regular | FileKind::Link));
            let is_directory = staged == Some(FileKind::Directory);
            let is_whole = match (going.round, action) {
                (Round::Puts, Action::Copy) if is_file => {
                    self.put(path, in_live.is_some());
                    false
                }
                (Round::Puts, Action::Enter { sides, .. })
                    if is_directory && sides[SOURCE] && !sides[TARGET] =>
                {
                    // What is in the way goes first.
                    if in_live.is_some_and(|kind| kind != FileKind::Directory) {
                        self.drop(path);
                    }
                    self.put(path, false);
                    true
                }
                (Round::Drops, Action::Delete) => {
                    self.drop(path);
                    false
                }
                (
                    Round::Drops,
                    Action::Enter {
                        is_doomed: true, ..
                    },
                ) if !self.kept.contains(path) => {
                    self.drop(path);
                    true
                }
                _ => false,
            };
            if is_whole {
                going.whole = Some([path, &b"/"[..]].concat());
            }
        }
        going.tasks.advance()?;
        Ok(true)
    }

    fn put(&mut self, path: &[u8], replaces: bool) {
        let word = if replaces { Word::Swap } else { Word::Put };
        self.add(word, path);
    }

    fn drop(&mut self, path: &[u8]) {
        self.add(Word::Drop, path);
    }

    fn add(&mut self, word: Word, path: &[u8]) {
        if let Some(line) = Line::add(self.line.as_mut(), word, path) {
            self.end_line();
            self.line = Some(line);
        }
    }

    fn end_line(&mut self) {
        let Some(Line { word, above, names }) = self.line.take() else {
            return;
        };
        match word {
            Word::Swap => {
                self.write(Word::Swap, &above, &names);
                self.write(Word::Put, &above, &names);
            }
            word => self.write(word, &above, &names),
        }
    }

    fn write(&mut self, word: Word, above: &[u8], names: &[Vec<u8>]) {
        let names = names.iter().map(|name| {
            if word == Word::Put {
                let path = quote(&[above, b"/", name].concat());
                [&b"\"$N\""[..], &path].concat()
            } else {
                quote(&here(name))
            }
        });
        let arguments = std::iter::once(quote(above)).chain(names);
        call(&mut self.text, word.text(), arguments);
    }
}
