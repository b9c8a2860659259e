//! Which of the directories that go have something in them that stays.

use std::collections::HashSet;

use super::listing::Listing;
use super::work::{Action, Work};
use crate::error::{Error, Result};

/// The paths of directories that the source does not have, and in which something stays. `has_more`: whether there is something
/// in one of them beside so many names of the list.
pub(in crate::store::files) fn kept(
    work: &Work,
    mut has_more: impl FnMut(&[u8], u64) -> Result<bool>,
) -> Result<HashSet<Vec<u8>>> {
    let mut kept = HashSet::new();
    // Those that the list is in, and how many names of each have been there.
    let mut doomed: Vec<(Vec<u8>, u64)> = Vec::new();
    let mut leave = |doomed: &mut Vec<(Vec<u8>, u64)>, kept: &mut HashSet<Vec<u8>>| {
        if let Some((path, names)) = doomed.pop()
            && has_more(&path, names)?
        {
            kept.insert(path);
            kept.extend(doomed.drain(..).map(|(path, _)| path));
        }
        Ok::<_, Error>(())
    };
    let mut tasks = work.tasks()?;
    while let Some((entry, action)) = tasks.task()? {
        let path = &entry.path;
        let is_in = |above: &[u8]| {
            let rest = path.strip_prefix(above);
            rest.is_some_and(|rest| rest.first() == Some(&b'/'))
        };
        while doomed.last().is_some_and(|(above, _)| !is_in(above)) {
            leave(&mut doomed, &mut kept)?;
        }
        if let Some((_, names)) = doomed.last_mut() {
            *names += 1;
        }
        match action {
            Action::Enter {
                is_doomed: true, ..
            } => doomed.push((path.clone(), 0)),
            Action::Delete => {}
            // Those above have been put in with the last that stays.
            _ => kept.extend(doomed.drain(..).map(|(path, _)| path)),
        }
        tasks.advance()?;
    }
    while !doomed.is_empty() {
        leave(&mut doomed, &mut kept)?;
    }
    Ok(kept)
}

/// The same, by a list of what is in the tree now. A name in it of which the work knows nothing has come since, and stays.
pub(in crate::store::files) fn kept_now(work: &Work, now: &Listing) -> Result<HashSet<Vec<u8>>> {
    let mut came = HashSet::new();
    let mut planned = work.planned()?;
    let mut names = now.cursor()?;
    while let Some((entry, _)) = names.entry() {
        if planned.find(&entry.path)?.is_none() {
            came.insert(entry.place()?.0.to_vec());
        }
        names.advance()?;
    }
    kept(work, |path, _| Ok(came.contains(path)))
}

/// Whether there is a directory that goes.
pub(in crate::store::files) fn any_is_doomed(work: &Work) -> Result<bool> {
    let mut tasks = work.tasks()?;
    while let Some((_, action)) = tasks.task()? {
        if let Action::Enter {
            is_doomed: true, ..
        } = action
        {
            return Ok(true);
        }
        tasks.advance()?;
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::files::connection::stat::{FileKind, Stat};
    use crate::store::files::rows::listing::Writer;
    use crate::store::files::rows::work::Notes;

    #[test]
    fn a_directory_stays_if_something_was_put_into_it_since() {
        let doomed = Action::Enter {
            sides: [false, true],
            is_doomed: true,
        };
        let both = Action::Enter {
            sides: [true, true],
            is_doomed: false,
        };
        let stat = Stat::unknown(FileKind::Regular);
        let work = |names: &[(&str, Action)]| {
            let mut notes = Notes::new();
            for (path, action) in names {
                notes.add(path.as_bytes(), &stat, None, *action).unwrap();
            }
            notes.finish(None).unwrap()
        };
        let going = work(&[
            ("a", doomed),
            ("a/b", doomed),
            ("a/b/x", Action::Delete),
            ("a/c", doomed),
            ("a/c/x", Action::Delete),
            ("d", doomed),
            ("d/x", Action::Delete),
            ("e", both),
        ]);
        let stay = |now: &[&str]| {
            let mut names = Writer::new();
            for path in now {
                names.push(path.as_bytes(), &stat, None, 0).unwrap();
            }
            let found = kept_now(&going, &names.finish().unwrap()).unwrap();
            let mut found: Vec<_> = found
                .into_iter()
                .map(|path| String::from_utf8(path).unwrap())
                .collect();
            found.sort();
            found
        };
        let none: [&str; 0] = [];
        let same = ["", "a", "a/b", "a/b/x", "a/c", "a/c/x", "d", "d/x", "e"];
        assert_eq!(stay(&same), none);
        assert_eq!(stay(&["", "a", "a/c", "e", "e/new", "new"]), none);
        let more = ["", "a", "a/b", "a/b/new", "a/b/x", "a/c", "d", "d/x", "e"];
        assert_eq!(stay(&more), ["a", "a/b"]);
        // One for another, so that their number is the same.
        assert_eq!(stay(&["", "a", "d", "d/new", "d/new/x", "e"]), ["d"]);
        assert!(any_is_doomed(&going).unwrap());
        assert!(!any_is_doomed(&work(&[("e", both), ("e/x", Action::Delete)])).unwrap());
    }

    #[test]
    fn a_directory_stays_if_anything_in_it_does() {
        let enter = Action::Enter {
            sides: [false, true],
            is_doomed: true,
        };
        let stays = Action::TakeOver { is_same: false };
        let mut notes = Notes::new();
        for (path, action) in [
            ("a", enter),
            ("a/b", enter),
            ("a/b/c", enter),
            ("a/b/c/x", Action::Delete),
            ("a/b/d", enter),
            ("a/b/d/y", stays),
            ("a/e", enter),
            ("a/e/z", Action::Delete),
            ("f", enter),
            ("f/g", enter),
            ("f/g/x", Action::Delete),
            ("f/x", Action::Delete),
        ] {
            let stat = Stat::unknown(FileKind::Regular);
            notes.add(path.as_bytes(), &stat, None, action).unwrap();
        }
        let work = notes.finish(None).unwrap();
        let names = |has_more: fn(&[u8], u64) -> bool| {
            let found = kept(&work, |path, names| Ok(has_more(path, names))).unwrap();
            let mut names: Vec<_> = found
                .into_iter()
                .map(|p| String::from_utf8(p).unwrap())
                .collect();
            names.sort();
            names
        };
        assert_eq!(names(|_, _| false), ["a", "a/b", "a/b/d"]);
        let more = names(|path, names| path == b"f/g" && names == 1);
        assert_eq!(more, ["a", "a/b", "a/b/d", "f", "f/g"]);
        assert!(!names(|path, names| path == b"f" && names != 2).contains(&"f".to_owned()));
    }
}
