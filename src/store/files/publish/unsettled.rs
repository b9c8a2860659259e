//! Which trees a run exchanges, written down in the folder beside live before it does, until it has settled. From the exchange on
//! what was live has the name of what the run has built: without this, a run that is killed in a hook would leave it to be swept.

use std::ffi::CStr;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::changed;
use super::folder::{Folder, PREVIOUS, write_whole};
use super::place::Place;
use super::swap;
use crate::error::{Error, Kind, Result, io};
use crate::limits::read_all;
use crate::store::files::connection::directory::Directory;
use crate::store::files::connection::remove::remove;
use crate::store::files::connection::told::At;

/// Its name.
const NAME: &CStr = c"unsettled";
const NEXT: &CStr = c"unsettled.next";
/// None is longer.
const LONGEST: u64 = 4096;

/// An exchange that a run is about to do, or has done and not settled. Trees are known by their inodes alone: both are on the
/// folder's file system, and the number of its device may be another one after a reboot.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Unsettled {
    version: u32,
    /// The run, as its trees are called by it.
    run: String,
    /// What it has built.
    new: u64,
    /// What was live.
    old: u64,
    /// Whether that is kept as previous.
    keeps: bool,
}

impl Unsettled {
    fn of(text: &[u8]) -> Option<Self> {
        let found = serde_json::from_slice::<Self>(text).ok()?;
        (!found.run.is_empty() && !found.run.contains(['/', '\0'])).then_some(found)
    }

    fn write(&self, folder: &Folder) -> Result<()> {
        let text = serde_json::to_vec(self).map_err(|error| {
            Error::new(Kind::Internal, "an exchange has no text").because(error)
        })?;
        let failed = "cannot write down what is exchanged";
        write_whole(&folder.directory, (NAME, NEXT), &text, failed)
    }

    /// The one of a folder. As it is put there as a whole, one that cannot be read was not cut short: it is damaged, and an error.
    /// To pass it over would be to remove what was live.
    fn read(folder: &Folder) -> Result<Option<Self>> {
        let shown = shown(folder);
        let file = match folder.directory.read_file(NAME) {
            Err(Errno::NOENT) => return Ok(None),
            file => file.at("cannot read", shown.as_bytes())?,
        };
        let text = read_all(std::fs::File::from(file), LONGEST);
        let text = text.map_err(io(format!("cannot read {shown}")))?;
        let found = Self::of(&text).ok_or_else(|| nobody_knows(folder, "is damaged"))?;
        if found.version != 1 {
            let what = format!("{shown} is of a newer envsyncd");
            return Err(Error::new(Kind::Config, what));
        }
        Ok(Some(found))
    }

    /// What the run would have done after its hooks, for the tree of this name, which was live. Whenever this is cut short, it can
    /// be done again.
    fn settle(&self, folder: &Folder, name: &CStr) -> Result<()> {
        let dropped = Folder::dropped(&self.run)?;
        if self.keeps {
            swap::keep(folder, name, &dropped)?;
        } else {
            remove(&folder.directory, PREVIOUS)?;
        }
        changed::forget(folder)?;
        forget(folder)?;
        tracing::warn!(
            folder = folder.told,
            dead = self.run,
            kept = self.keeps,
            "a run was cut short after it had published: what was live before is dealt with as it would have done"
        );
        remove(&folder.directory, &dropped)?;
        remove(&folder.directory, name)
    }
}

/// Exchanges what a run has built for live, which has this inode, if it is there; what becomes of that is written down before.
pub(in crate::store::files) fn exchange(
    place: &Place,
    folder: &Folder,
    (run, new): (&str, &Directory),
    old: Option<u64>,
    keeps: bool,
) -> Result<()> {
    let name = Folder::incoming(run)?;
    swap::refuse_mounts(place, &name)?;
    let note = |old| {
        let new = new.own_stat().at("cannot look at", name.to_bytes())?;
        let unsettled = Unsettled {
            version: 1,
            run: run.to_owned(),
            new: new.id.1,
            old,
            keeps,
        };
        unsettled.write(folder)
    };
    let noted = old.map_or(Ok(()), note);
    let exchanged = noted.and_then(|()| swap::exchange(place, folder, &name, old.is_some()));
    if exchanged.is_err() {
        // Where it stays, the next run sees that nothing was exchanged.
        let _ = forget(folder);
    }
    exchanged
}

/// The run's trees are where they belong.
pub(in crate::store::files) fn forget(folder: &Folder) -> Result<()> {
    remove(&folder.directory, NAME)?;
    remove(&folder.directory, NEXT)
}

/// Settles what a dead run has exchanged, before anything in the folder is swept or exchanged. Under the lock.
pub(in crate::store::files) fn finish(place: &Place, folder: &Folder) -> Result<()> {
    let Some(unsettled) = Unsettled::read(folder)? else {
        return forget(folder);
    };
    let name = Folder::incoming(&unsettled.run)?;
    let found = folder.directory.find(&name);
    let found = found.at("cannot look at", name.to_bytes())?;
    let other = found.map(|found| found.id.1);
    // Without one, it was settled or taken back, but for the last steps; the new one was not exchanged, or is back.
    let Some(other) = other.filter(|inode| *inode != unsettled.new) else {
        return forget(folder);
    };
    // Live may be somebody else's by now: what was live is known by itself.
    let is_live = || {
        let live = place.live()?;
        Ok::<_, Error>(live.is_some_and(|(_, live)| live.id.1 == unsettled.new))
    };
    if other != unsettled.old && !is_live()? {
        return Err(nobody_knows(folder, "is of other trees"));
    }
    unsettled.settle(folder, &name)
}

/// Makes previous live again, and what is live previous. Under the lock.
pub(in crate::store::files) fn roll_back(place: &Place, folder: &Folder) -> Result<()> {
    finish(place, folder)?;
    swap::roll_back(place, folder)
}

fn shown(folder: &Folder) -> String {
    format!("{}/{}", folder.told, NAME.to_string_lossy())
}

/// What was live cannot be told from what a run has built.
fn nobody_knows(folder: &Folder, why: &str) -> Error {
    let shown = shown(folder);
    let what =
        format!("nobody knows which tree a run has replaced that was cut short: {shown} {why}");
    Error::new(Kind::Verify, what)
        .hint("live is whole. Look at `incoming-...` beside that file: if it is what was live before, move it away, or to `previous` there for a rollback; then remove the file")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    /// A tree that is live, one that was before, and one that the run `1` has built.
    struct Scene {
        directory: tempfile::TempDir,
        place: Place,
        folder: Folder,
    }

    impl Scene {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            fs::create_dir(directory.path().join("live")).unwrap();
            let place = Place::at(&directory.path().join("live"), false).unwrap();
            let folder = Folder::make(&place).unwrap();
            let scene = Self {
                directory,
                place,
                folder,
            };
            for (name, content) in [("previous", "older"), ("incoming-1", "new")] {
                fs::create_dir(scene.beside(name)).unwrap();
                fs::write(scene.beside(name).join("it"), content).unwrap();
            }
            fs::write(scene.live().join("it"), "old").unwrap();
            scene
        }

        fn live(&self) -> PathBuf {
            self.directory.path().join("live")
        }

        fn beside(&self, name: &str) -> PathBuf {
            self.directory.path().join("live.envsyncd").join(name)
        }

        fn inode(&self, name: &CStr) -> u64 {
            self.folder.directory.stat(name).unwrap().id.1
        }

        fn note(&self, keeps: bool) {
            let unsettled = Unsettled {
                version: 1,
                run: "1".to_owned(),
                new: self.inode(c"incoming-1"),
                old: self.place.live().unwrap().unwrap().1.id.1,
                keeps,
            };
            unsettled.write(&self.folder).unwrap();
        }

        fn exchange(&self) {
            swap::exchange(&self.place, &self.folder, c"incoming-1", true).unwrap();
        }

        /// What is live, in previous and in incoming.
        fn trees(&self) -> [String; 3] {
            [
                self.live(),
                self.beside("previous"),
                self.beside("incoming-1"),
            ]
            .map(|tree| fs::read_to_string(tree.join("it")).unwrap_or_default())
        }

        #[track_caller]
        fn finishes_with(&self, trees: [&str; 3]) {
            finish(&self.place, &self.folder).unwrap();
            assert_eq!(self.trees(), trees);
            for name in ["unsettled", "unsettled.next", "dropped-1"] {
                assert!(!self.beside(name).exists(), "{name}");
            }
        }
    }

    #[test]
    fn what_was_live_is_known_whenever_a_run_is_killed() {
        let kept = ["new", "old", ""];
        // Half-way written down.
        let scene = Scene::new();
        fs::write(scene.beside("unsettled.next"), "{").unwrap();
        scene.finishes_with(["old", "older", "new"]);
        // Before the exchange,
        scene.note(true);
        scene.finishes_with(["old", "older", "new"]);
        // after it,
        scene.note(true);
        scene.exchange();
        scene.finishes_with(kept);
        // once more,
        scene.finishes_with(kept);
        // and back.
        swap::roll_back(&scene.place, &scene.folder).unwrap();
        assert_eq!(scene.trees(), ["old", "new", ""]);
        // While it is settled, and after that.
        let scene = Scene::new();
        scene.note(true);
        scene.exchange();
        fs::rename(scene.beside("previous"), scene.beside("dropped-1")).unwrap();
        scene.finishes_with(kept);
        let scene = Scene::new();
        scene.note(true);
        scene.exchange();
        swap::keep(&scene.folder, c"incoming-1", c"dropped-1").unwrap();
        fs::remove_dir_all(scene.beside("dropped-1")).unwrap();
        scene.finishes_with(kept);
        // It was taken back.
        let scene = Scene::new();
        scene.note(true);
        scene.exchange();
        scene.exchange();
        scene.finishes_with(["old", "older", "new"]);
        scene.note(true);
        fs::remove_dir_all(scene.beside("incoming-1")).unwrap();
        scene.finishes_with(["old", "older", ""]);
    }

    #[test]
    fn what_was_live_is_dropped_where_the_run_would_have() {
        let scene = Scene::new();
        scene.note(false);
        scene.finishes_with(["old", "older", "new"]);
        scene.note(false);
        scene.exchange();
        scene.finishes_with(["new", "", ""]);
    }

    #[test]
    fn what_was_live_is_kept_though_somebody_has_replaced_live_since() {
        let scene = Scene::new();
        scene.note(true);
        scene.exchange();
        fs::rename(scene.live(), scene.live().with_extension("away")).unwrap();
        fs::create_dir(scene.live()).unwrap();
        fs::write(scene.live().join("it"), "mine").unwrap();
        scene.finishes_with(["mine", "old", ""]);
    }

    #[test]
    fn nothing_is_removed_while_nobody_knows_what_was_live() {
        let scene = Scene::new();
        scene.note(true);
        let whole = fs::read(scene.beside("unsettled")).unwrap();
        for end in 0..whole.len() {
            assert_eq!(Unsettled::of(&whole[..end]), None, "{end}");
        }
        let of =
            |run: &str| format!(r#"{{"version":1,"run":"{run}","new":2,"old":1,"keeps":true}}"#);
        for text in [of("1"), of("../1"), of(""), String::new()] {
            fs::write(scene.beside("unsettled"), &text).unwrap();
            let error = finish(&scene.place, &scene.folder).unwrap_err().to_string();
            assert!(error.contains("live.envsyncd/unsettled"), "{error}");
            assert_eq!(scene.trees(), ["old", "older", "new"], "{text}");
        }
    }
}
