//! Files that must not be changed (`chattr +i`, `chattr +a`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::trees::Trees;

/// Something that nobody may change, for as long as it is wanted.
struct Fixed(PathBuf, &'static str);

impl Fixed {
    fn new(path: &Path, how: &'static str) -> Self {
        chattr("+", how, path);
        Self(path.to_owned(), how)
    }
}

impl Drop for Fixed {
    fn drop(&mut self) {
        chattr("-", self.1, &self.0);
    }
}

fn chattr(sign: &str, how: &str, path: &Path) {
    let mut chattr = Command::new("chattr");
    let done = chattr.arg(format!("{sign}{how}")).arg(path).status();
    assert!(done.expect("chattr").success(), "chattr (as root)");
}

#[test]
fn what_must_not_be_changed_in_live_refuses_the_run_and_live_stays() {
    for (path, how, options) in [
        // It is in live alone, the same on both sides, another one, and what goes.
        ("d/own", "i", ""),
        ("d/own", "i", "link = \"copy\""),
        ("d/same", "i", ""),
        ("d/both", "i", ""),
        ("d/both", "a", ""),
        ("d/own", "i", "mode = \"replace\""),
        ("d", "i", ""),
        ("d", "i", "mode = \"replace\""),
        ("e", "i", "mode = \"replace\""),
    ] {
        let trees = Trees::new();
        trees.write(&["source/d/same=same"]);
        trees.once(&trees.job()).expect(0);
        trees.write(&["source/d/both=new", "source/new=new"]);
        trees.write(&["live/d/both=old", "live/d/own=own", "live/e/own=own"]);
        let before = trees.in_live();
        let fixed = Fixed::new(&trees.live(path), how);
        let refused = trees.once(&trees.with(options)).expect(1);
        refused.says(&[&format!("{path} must not be changed in live"), "chattr -i"]);
        assert_eq!(trees.in_live(), before, "{path} {options}");
        assert_eq!(trees.beside(), Vec::<String>::new(), "{path} {options}");
        drop(fixed);
        let lets = trees.with(&format!("{options}\nmax_delete = \"100%\""));
        trees.once(&lets).expect(0);
        assert_eq!(fs::read_to_string(trees.live("new")).expect("it"), "new");
    }
}

#[test]
fn a_file_that_must_not_be_changed_does_not_make_way_for_a_directory() {
    for publish in ["swap", "in_place"] {
        let trees = Trees::new();
        trees.write(&["source/x/inside=new", "live/x=old"]);
        let job = trees.with(&format!("publish = \"{publish}\""));
        let fixed = Fixed::new(&trees.live("x"), "i");
        let refused = trees.once(&job).expect(1);
        refused.says(&["x must not be changed in live"]);
        assert!(trees.live("x").is_file(), "{publish}");
        drop(fixed);
        trees.once(&job).expect(0);
        assert_eq!(
            fs::read_to_string(trees.live("x/inside")).expect("it"),
            "new"
        );
    }
}

#[test]
fn a_live_that_must_not_be_renamed_stays() {
    let trees = Trees::new();
    trees.write(&["source/a=new", "live/a=old"]);
    let fixed = Fixed::new(&trees.live(""), "i");
    let refused = trees.once(&trees.job()).expect(1);
    refused.says(&["cannot put the new tree in place", "not permitted"]);
    drop(fixed);
    assert_eq!(trees.in_live(), ["a=old"]);
    assert_eq!(trees.beside(), Vec::<String>::new());
}

#[test]
fn file_by_file_only_what_would_change_is_in_the_way() {
    let trees = Trees::new();
    trees.write(&["source/a=new", "source/z=new", "live/a=old", "live/own=own"]);
    let job = trees.with("publish = \"in_place\"");
    let in_live = || {
        let mut lines = trees.in_live();
        lines.retain(|line| !line.starts_with(".envsyncd"));
        lines
    };
    {
        let _fixed = Fixed::new(&trees.live("a"), "i");
        let refused = trees.once(&job).expect(1);
        refused.says(&["a must not be changed in live"]);
        assert_eq!(in_live(), ["a=old", "own=own"]);
    }
    let _fixed = Fixed::new(&trees.live("own"), "i");
    trees.once(&job).expect(0);
    assert_eq!(in_live(), ["a=new", "own=own", "z=new"]);
    trees.once(&job).expect(0).says(&["nothing has changed"]);
}

#[test]
fn a_copy_of_what_must_not_be_changed_may_be() {
    let trees = Trees::new();
    trees.write(&["source/d/a=1"]);
    let _file = Fixed::new(&trees.source("d/a"), "i");
    let _directory = Fixed::new(&trees.source("d"), "i");
    trees.once(&trees.with("verify = \"checksum\"")).expect(0);
    trees
        .once(&trees.job())
        .expect(0)
        .says(&["nothing has changed"]);
    fs::write(trees.live("d/a"), "changed").expect("it is a file like any other");
    trees.once(&trees.with("previous = \"drop\"")).expect(0);
    assert_eq!(trees.in_live(), ["d/", "d/a=1"]);
}
