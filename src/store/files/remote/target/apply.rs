//! What is done to live, as lines for a shell there. Each name is changed by one rename in its directory, which is entered first, and
//! is left alone if a link leads to it.

use std::collections::HashSet;

use super::place::Place;
use crate::error::Result;
use crate::store::files::connection::stat::FileKind;
use crate::store::files::remote::follow::Follow;
use crate::store::files::remote::quote::quote;
use crate::store::files::rows::listing::Listing;
use crate::store::files::rows::walk::{SOURCE, TARGET};
use crate::store::files::rows::work::{Action, Tasks, Work};

/// So many names are in a line.
const TOGETHER: usize = 200;
/// So many bytes of lines are sent at a time.
const PIECE: usize = 64 * 1024;

/// What the lines are made of. `$1` of each is the directory's path in the tree, which is empty or begins with a slash; the others
/// are names in it.
const WORDS: &str = r#"
set -u; LC_ALL=C; export LC_ALL; umask 077
die() { printf '%s\n' "$*" >&2; exit 7; }
at() {
  cd -P -- "$R$1" 2>/dev/null || die "$1: cannot be entered any more"
  [ "$PWD" = "$R$1" ] || die "$1: there is a link in the way now"
}
old() { [ -d "$O$1" ] || mkdir -p -- "$O$1" || die "$1: cannot keep what is replaced"; }
there() { [ -e "$1" ] || [ -L "$1" ]; }
put() { at "$1"; d=$1; shift; mv -f -- "$@" ./ </dev/null || die "$d: a file cannot be put in place"; }
swap() {
  at "$1"; old "$1"; d=$1; shift
  for n; do there "$n" || continue
    ln -P -- "$n" "$O$d/" 2>/dev/null || cp -pPR -- "$n" "$O$d/" || die "$d: cannot keep what is replaced"
  done
}
drop() {
  at "$1"; old "$1"; d=$1; shift
  for n; do there "$n" || continue
    mv -f -- "$n" "$O$d/" </dev/null || die "$d: a file cannot be deleted"
  done
}
unput() {
  at "$1"; d=$1; shift
  for n; do there "$N$d/$n" || { there "$n" && mv -f -- "$n" "$N$d/" </dev/null; }; done
}
back() {
  [ -d "$O$1" ] || return 0
  at "$1"; d=$1; shift
  for n; do there "$O$d/$n" && mv -f -- "$O$d/$n" ./ </dev/null; done
}
"#;

/// What the lines do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Live becomes what it is to be.
    Forth,
    /// It becomes what it was, however much of that has been done.
    Back,
}

/// A word of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    /// Live's is kept beside it: a second name of it.
    Swap,
    /// What was brought takes its place.
    Put,
    /// Live's goes.
    Drop,
    /// What was brought is taken back.
    Unput,
    /// Live's comes back.
    Back,
}

impl Word {
    fn text(self) -> &'static str {
        match self {
            Self::Swap => "swap",
            Self::Put => "put",
            Self::Drop => "drop",
            Self::Unput => "unput",
            Self::Back => "back",
        }
    }
}

/// Makes the lines, piece by piece.
pub(super) struct Lines<'a> {
    work: &'a Work,
    live: Option<&'a Listing>,
    staged: &'a Listing,
    way: Way,
    /// Directories that the source does not have, and of which something stays.
    kept: HashSet<Vec<u8>>,
    /// The rounds that are left.
    rounds: Vec<Round>,
    going: Option<Going>,
    text: Vec<u8>,
    /// The line that is being made: words, a directory, and names.
    line: Option<(Word, Vec<u8>, Vec<Vec<u8>>)>,
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
        way: Way,
    ) -> Result<Self> {
        let mut text = Vec::new();
        for (name, path) in [
            ("R", &place.live),
            ("N", &place.incoming(run)),
            ("O", &place.replaced(run)),
        ] {
            text.extend(format!("{name}=").as_bytes());
            text.extend(quote(path));
            text.push(b'\n');
        }
        text.extend(WORDS.as_bytes());
        Ok(Self {
            kept: kept(work)?,
            // The last comes first.
            rounds: vec![Round::Drops, Round::Puts],
            going: None,
            line: None,
            work,
            live,
            staged,
            way,
            text,
        })
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
            let is_staged = going.staged.find(path)?.is_some();
            let is_whole = match (going.round, action) {
                (Round::Puts, Action::Copy) if is_staged => {
                    self.put(path, in_live.is_some());
                    false
                }
                (Round::Puts, Action::Enter { sides, .. })
                    if is_staged && sides[SOURCE] && !sides[TARGET] =>
                {
                    // What is in the way goes first, and comes back last.
                    let is_in_the_way = in_live.is_some_and(|kind| kind != FileKind::Directory);
                    if is_in_the_way && self.way == Way::Forth {
                        self.drop(path);
                    }
                    self.put(path, false);
                    if is_in_the_way && self.way == Way::Back {
                        self.drop(path);
                    }
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
        match self.way {
            Way::Forth if replaces => self.add(Word::Swap, path),
            Way::Forth => self.add(Word::Put, path),
            Way::Back if replaces => self.add(Word::Back, path),
            Way::Back => self.add(Word::Unput, path),
        }
    }

    fn drop(&mut self, path: &[u8]) {
        match self.way {
            Way::Forth => self.add(Word::Drop, path),
            Way::Back => self.add(Word::Back, path),
        }
    }

    fn add(&mut self, word: Word, path: &[u8]) {
        let end = path.iter().rposition(|byte| *byte == b'/');
        let (above, name) = match end {
            Some(end) => ([&b"/"[..], &path[..end]].concat(), &path[end + 1..]),
            None => (Vec::new(), path),
        };
        let is_same = |line: &(Word, Vec<u8>, Vec<Vec<u8>>)| {
            line.0 == word && line.1 == above && line.2.len() < TOGETHER
        };
        if !self.line.as_ref().is_some_and(is_same) {
            self.end_line();
            self.line = Some((word, above, Vec::new()));
        }
        if let Some((_, _, names)) = &mut self.line {
            names.push(name.to_vec());
        }
    }

    fn end_line(&mut self) {
        let Some((word, above, names)) = self.line.take() else {
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
        self.text.extend(word.text().as_bytes());
        self.text.push(b' ');
        self.text.extend(quote(above));
        for name in names {
            self.text.push(b' ');
            if word == Word::Put {
                self.text.extend(b"\"$N\"");
                self.text.extend(quote(&[above, b"/", name].concat()));
            } else {
                self.text.extend(quote(&[b"./", name.as_slice()].concat()));
            }
        }
        self.text.push(b'\n');
    }
}

/// The directories that the source does not have, and in which something stays.
fn kept(work: &Work) -> Result<HashSet<Vec<u8>>> {
    let mut kept = HashSet::new();
    // Those that the list is in.
    let mut doomed: Vec<Vec<u8>> = Vec::new();
    let mut tasks = work.tasks()?;
    while let Some((entry, action)) = tasks.task()? {
        let path = &entry.path;
        let is_in = |above: &Vec<u8>| {
            path.strip_prefix(above.as_slice())
                .is_some_and(|rest| rest.first() == Some(&b'/'))
        };
        while doomed.last().is_some_and(|above| !is_in(above)) {
            doomed.pop();
        }
        match action {
            Action::Enter {
                is_doomed: true, ..
            } => doomed.push(path.clone()),
            Action::Delete => {}
            // Those above have been put in with the last that stays.
            _ => kept.extend(doomed.drain(..)),
        }
        tasks.advance()?;
    }
    Ok(kept)
}
