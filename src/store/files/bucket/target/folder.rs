//! The folder `.envsyncd` below the target's prefix: what is in it is ours, and no part of the tree.
//!
//! | object | what it is |
//! | --- | --- |
//! | `mark.json` | says that it is envsyncd's |
//! | `previous` | the run whose replaced objects are previous |
//! | `RUN/list`, `RUN/state` | what a run changes, and how far that has come |
//! | `RUN/old/PATH`, `RUN/new/PATH` | what was there before it, and after a rollback what it had made |
//! | `left-RUN/PATH` | what was there before it, where somebody has written since |

use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::changes::Changes;
use crate::error::{Error, Kind, Result, io};
use crate::s3::S3;
use crate::s3::get::{Get, Next};
use crate::s3::pages::Listing;
use crate::s3::put::{About, Copied, Parts};
use crate::store::files::bucket::about::of_object;
use crate::store::files::bucket::copies::ByServer;
use crate::store::files::rows::spool::Spool;

/// Its name.
const FOLDER: &str = ".envsyncd";
const MARK: &str = "mark.json";
const PREVIOUS: &str = "previous";
const LIST: &str = "list";
const STATE: &str = "state";
/// What was there before the run.
pub(super) const OLD: &str = "old";
/// What the run had made, after a rollback.
pub(super) const NEW: &str = "new";
/// How names begin of what could not go back.
const LEFT: &str = "left-";
/// Digits of a run's name.
const DIGITS: usize = 12;
/// A small object has no more bytes.
const SMALL: usize = 4096;
/// Bytes of a list that are sent at a time.
const PIECE: usize = 8 << 20;

/// What the mark says.
#[derive(Serialize, Deserialize)]
struct Mark {
    version: u32,
    program: String,
}

/// What lies in the folder.
#[derive(Debug, Default, Clone)]
pub(super) struct Inside {
    /// Whether it is ours.
    pub(super) is_marked: bool,
    /// Runs that have left something there.
    pub(super) runs: Vec<String>,
    /// The one whose replaced objects are previous.
    pub(super) previous: Option<String>,
    is_empty: bool,
}

/// The folder.
#[derive(Clone)]
pub(super) struct Folder {
    pub(super) s3: Arc<S3>,
    /// Objects that are on their way at once.
    pub(super) at_once: usize,
}

/// So many bytes longer are the keys of what is kept.
pub(super) const LONGER: usize = FOLDER.len() + LEFT.len() + DIGITS + OLD.len() + 3;

/// The path of a copy of a live object.
pub(super) fn kept(run: &str, which: &str, path: &str) -> String {
    format!("{FOLDER}/{run}/{which}/{path}")
}

/// The path of a copy of what could not go back.
pub(super) fn left(run: &str, path: &str) -> String {
    format!("{FOLDER}/{LEFT}{run}/{path}")
}

fn own(run: &str, name: &str) -> String {
    format!("{FOLDER}/{run}/{name}")
}

fn is_run(name: &str) -> bool {
    name.len() == DIGITS && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl Folder {
    /// For people.
    pub(super) fn told(&self, run: &str) -> String {
        let (bucket, prefix) = (self.s3.bucket(), self.s3.path());
        format!("s3://{bucket}/{prefix}{FOLDER}/{run}")
    }

    /// The same of what could not go back.
    pub(super) fn told_left(&self, run: &str) -> String {
        self.told(&format!("{LEFT}{run}"))
    }

    /// Looks what lies there.
    pub(super) async fn look(&self) -> Result<Inside> {
        let names = self.s3.names_in(FOLDER).await?;
        let mut inside = Inside {
            is_empty: names.is_empty(),
            ..Inside::default()
        };
        if names.iter().any(|name| name == MARK) {
            let text = self.small(&format!("{FOLDER}/{MARK}")).await?;
            let mark = serde_json::from_slice::<Mark>(&text.unwrap_or_default()).ok();
            let mark = mark.filter(|mark| mark.program == "envsyncd");
            if mark.as_ref().is_some_and(|mark| mark.version > 1) {
                let what = format!("{} is of a newer envsyncd", self.told(""));
                return Err(Error::new(Kind::Policy, what).hint("update this one"));
            }
            inside.is_marked = mark.is_some();
        }
        if !inside.is_marked {
            return Ok(inside);
        }
        let folders = names.iter().filter_map(|name| name.strip_suffix('/'));
        inside.runs = folders
            .filter(|name| is_run(name))
            .map(str::to_owned)
            .collect();
        if names.iter().any(|name| name == PREVIOUS) {
            let text = self.small(&format!("{FOLDER}/{PREVIOUS}")).await?;
            let run = String::from_utf8(text.unwrap_or_default().to_vec()).unwrap_or_default();
            inside.previous = Some(run.trim().to_owned()).filter(|run| is_run(run));
        }
        Ok(inside)
    }

    /// Refuses a folder of somebody else's.
    pub(super) fn refuse_foreign(&self, inside: &Inside) -> Result<()> {
        if inside.is_marked || inside.is_empty {
            return Ok(());
        }
        let what = format!("{} does not bear the mark of envsyncd", self.told(""));
        Err(Error::new(Kind::Policy, what)
            .hint("what is kept would go there: see whose it is, and move it away"))
    }

    /// Says that it is ours.
    pub(super) async fn mark(&self) -> Result<()> {
        let mark = Mark {
            version: 1,
            program: "envsyncd".to_owned(),
        };
        let text = serde_json::to_vec(&mark);
        let text = text.map_err(|error| Error::new(Kind::Internal, "no mark").because(error))?;
        self.write(&format!("{FOLDER}/{MARK}"), text.into()).await
    }

    async fn small(&self, path: &str) -> Result<Option<Bytes>> {
        self.s3.get(path, SMALL).await
    }

    async fn write(&self, path: &str, content: Bytes) -> Result<()> {
        let nothing = About::default();
        self.s3.put_object(path, &nothing, content).await.map(drop)
    }

    /// How far a run has come, as it was written down.
    pub(super) async fn state(&self, run: &str) -> Result<Option<Bytes>> {
        self.small(&own(run, STATE)).await
    }

    /// Writes that down.
    pub(super) async fn set_state(&self, run: &str, text: String) -> Result<()> {
        self.write(&own(run, STATE), text.into()).await
    }

    /// Makes a run's replaced objects previous.
    pub(super) async fn set_previous(&self, run: &str) -> Result<()> {
        let path = format!("{FOLDER}/{PREVIOUS}");
        self.write(&path, format!("{run}\n").into()).await
    }

    /// There is no previous any more.
    pub(super) async fn forget_previous(&self) -> Result<()> {
        let path = format!("{FOLDER}/{PREVIOUS}");
        self.s3.delete_objects(&[path]).await
    }

    /// Writes down what a run changes, in place of what was written before: all of it, or nothing.
    pub(super) async fn set_list(&self, run: &str, changes: &Changes) -> Result<()> {
        let path = own(run, LIST);
        let mut text = changes.text();
        let mut next = || -> Result<Vec<u8>> {
            let mut piece = Vec::new();
            let read = (&mut text).take(PIECE as u64).read_to_end(&mut piece);
            read.map_err(io("cannot read the list of what is changed"))?;
            Ok(piece)
        };
        let first = next()?;
        if first.len() < PIECE {
            return self.write(&path, first.into()).await;
        }
        let mut parts = Parts::begin(&self.s3, &path, &About::default()).await?;
        let mut piece = first;
        while !piece.is_empty() {
            parts.send(piece.into()).await?;
            piece = next()?;
        }
        parts.finish().await.map(drop)
    }

    /// Whether a run has written down what it changes.
    pub(super) async fn has_list(&self, run: &str) -> Result<bool> {
        Ok(self.s3.look(&own(run, LIST)).await?.is_some())
    }

    /// What a run changes, all of it read; `None`: it has changed nothing.
    pub(super) async fn list(&self, run: &str) -> Result<Option<Changes>> {
        let path = own(run, LIST);
        'again: for _ in 0..3 {
            let Some(mut get) = Get::open(&self.s3, &path).await? else {
                return Ok(None);
            };
            let mut spool = Spool::new();
            loop {
                match get.next().await? {
                    Next::Bytes(bytes) => {
                        let kept = spool.write(&bytes);
                        kept.map_err(io("cannot keep the list of what was changed in /var/tmp"))?;
                    }
                    Next::Replaced => continue 'again,
                    Next::End => break,
                }
            }
            let text = spool.finish();
            let text = text.map_err(io("cannot keep the list of what was changed in /var/tmp"))?;
            let changes = Changes::of(text);
            changes.check()?;
            return Ok(Some(changes));
        }
        let what = format!(
            "{path} in {} is written anew again and again",
            self.s3.place()
        );
        Err(Error::new(Kind::Verify, what))
    }

    /// What runs have there is nothing any more.
    pub(super) async fn void(&self, runs: &[&String]) -> Result<()> {
        let lists: Vec<String> = runs.iter().map(|run| own(run, LIST)).collect();
        self.s3.delete_objects(&lists).await
    }

    /// Removes all that a run has there: its list first, without which the rest is nothing.
    pub(super) async fn remove(&self, run: &str) -> Result<()> {
        self.s3.delete_objects(&[own(run, LIST)]).await?;
        self.remove_below(&format!("{FOLDER}/{run}/")).await
    }

    /// Removes copies that a run has there.
    pub(super) async fn remove_copies(&self, run: &str) -> Result<()> {
        for which in [OLD, NEW] {
            self.remove_below(&kept(run, which, "")).await?;
        }
        Ok(())
    }

    async fn remove_below(&self, begins: &str) -> Result<()> {
        let mut pages = Listing::below(&self.s3, begins);
        while let Some(page) = pages.next().await? {
            let mut paths: Vec<String> = page.into_iter().map(|object| object.path).collect();
            // What is in a directory goes before the object that stands for it.
            paths.reverse();
            if !paths.is_empty() {
                self.s3.delete_objects(&paths).await?;
            }
        }
        Ok(())
    }

    /// Has the server copy an object of this length; with a tag, only the one that has it.
    pub(super) async fn copy(
        &self,
        (from, to): (&str, &str),
        size: u64,
        tag: Option<&str>,
    ) -> Result<Copied> {
        if from.ends_with('/') {
            return self.make_directory(from, to).await;
        }
        let copying = ByServer {
            from: (&self.s3, from),
            to: (&self.s3, to),
            size,
            tag,
        };
        match copying.copy(&|_| {}).await? {
            Copied::Refused(why) => {
                let what = format!("{from} cannot be copied to {to} in {}", self.s3.place());
                Err(Error::new(Kind::Permission, what).because(why).hint(
                    "with previous = \"keep\" the server copies what is replaced to `.envsyncd/` below the prefix, and back: allow s3:GetObject and s3:PutObject there, too",
                ))
            }
            copied => Ok(copied),
        }
    }

    /// The same of an object that stands for a directory: it has no content, and not every server copies it.
    async fn make_directory(&self, from: &str, to: &str) -> Result<Copied> {
        let Some(found) = self.s3.look(from).await? else {
            return Ok(Copied::Gone);
        };
        let about = of_object(&found.headers);
        let tag = self.s3.put_object(to, &about, Bytes::new()).await?;
        Ok(Copied::Done(tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_key_of_what_is_kept_is_known() {
        let run = "0123456789ab";
        for path in [kept(run, OLD, ""), kept(run, NEW, ""), left(run, "")] {
            assert!(path.len() <= LONGER, "{path}");
        }
        assert!(is_run(run) && !is_run("left-0123456") && !is_run("0123456789a"));
    }
}
