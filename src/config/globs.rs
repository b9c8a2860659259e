//! Globs over paths, as .gitignore has them. Pure.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use globset::{GlobBuilder, GlobMatcher};

use crate::error::{Error, Kind, Result};

/// One glob.
struct Glob {
    matcher: GlobMatcher,
    /// It takes back what an earlier one said.
    takes_back: bool,
    /// It is for directories alone.
    of_directories: bool,
    /// It is held against the last name of a path, and else against the whole path.
    of_names: bool,
}

/// Globs over paths that are relative to a tree. The last that matches decides.
pub struct Globs(Vec<Glob>);

impl Globs {
    /// These; what is none is an error that names it.
    pub fn new<'a>(globs: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        Self::compiled(globs, false)
    }

    /// The same; small and capital letters of ASCII are alike.
    pub fn of_any_case<'a>(globs: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        Self::compiled(globs, true)
    }

    fn compiled<'a>(globs: impl IntoIterator<Item = &'a str>, any_case: bool) -> Result<Self> {
        let globs = globs.into_iter().map(|text| compile(text, any_case));
        globs.collect::<Result<_>>().map(Self)
    }

    /// Whether a file is meant, or a directory that it is in.
    pub fn are_for_any(&self, path: &[u8]) -> bool {
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let mut above = ends.map(|(end, _)| &path[..end]);
        self.are_for(path, false) || above.any(|above| self.are_for(above, true))
    }

    /// Whether a path is meant.
    pub fn are_for(&self, path: &[u8], is_directory: bool) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
        let [path, name] = [path, name].map(|bytes| Path::new(OsStr::from_bytes(bytes)));
        let is_for = |glob: &&Glob| {
            let held = if glob.of_names { name } else { path };
            (is_directory || !glob.of_directories) && glob.matcher.is_match(held)
        };
        (self.0.iter().rev().find(is_for)).is_some_and(|glob| !glob.takes_back)
    }
}

fn compile(text: &str, any_case: bool) -> Result<Glob> {
    let (takes_back, rest) = match text.strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (of_directories, rest) = match rest.strip_suffix('/') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let of_names = !rest.contains('/');
    let pattern = rest.strip_prefix('/').unwrap_or(rest);
    let wrong = |why: String| Error::new(Kind::Config, format!("`{text}` is not a glob: {why}"));
    if pattern.is_empty() {
        return Err(wrong("it has no name in it".to_owned()));
    }
    let glob = GlobBuilder::new(pattern)
        .literal_separator(true)
        .case_insensitive(any_case)
        .backslash_escape(true)
        .empty_alternates(false)
        .build()
        .map_err(|error| wrong(error.kind().to_string()))?;
    Ok(Glob {
        matcher: glob.compile_matcher(),
        takes_back,
        of_directories,
        of_names,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn are_for(globs: &[&str], path: &str) -> bool {
        let is_directory = path.ends_with('/');
        let path = path.trim_end_matches('/');
        let globs = Globs::new(globs.iter().copied()).unwrap();
        globs.are_for(path.as_bytes(), is_directory)
    }

    #[test]
    fn globs_mean_what_they_mean_in_a_gitignore() {
        for (glob, path, expected) in [
            ("css", "css/", true),
            ("css", "a/css", true),
            ("css", "css2", false),
            ("/css", "css/", true),
            ("/css", "a/css", false),
            ("css/", "css/", true),
            ("css/", "css", false),
            ("a/b", "a/b", true),
            ("a/b", "x/a/b", false),
            ("**/b", "x/a/b", true),
            ("a/**", "a/x/y", true),
            ("a/**", "a/", false),
            ("a/*", "a/x", true),
            ("a/*", "a/x/y", false),
            ("*.JPG", "a/b.jpg", false),
            ("*.jpg", ".jpg", true),
            ("*", ".hidden", true),
            ("a?c", "a/c", false),
            ("[ab].txt", "x/b.txt", true),
            ("\\!x", "!x", true),
            ("*.{jpg,png}", "a.png", true),
        ] {
            assert_eq!(are_for(&[glob], path), expected, "{glob} {path}");
        }
    }

    #[test]
    fn letters_of_any_case_are_alike_where_that_is_asked_for() {
        let globs = Globs::of_any_case(["*.php", "private/"]).unwrap();
        assert!(globs.are_for(b"a/B.PhP", false) && globs.are_for(b"PRIVATE", true));
        assert!(!globs.are_for(b"a/b.ph", false));
    }

    #[test]
    fn a_later_glob_takes_back_what_an_earlier_one_said() {
        assert!(!are_for(&["*.log", "!keep.log"], "a/keep.log"));
        assert!(are_for(&["!keep.log", "*.log"], "a/keep.log"));
        assert!(are_for(&["*.log", "!keep.log", "/keep.log"], "keep.log"));
    }

    #[test]
    fn a_name_that_is_no_text_is_matched_by_its_bytes() {
        let globs = Globs::new(["a*"]).unwrap();
        assert!(globs.are_for(b"a\xff\n", false));
        assert!(!globs.are_for(b"\xffa", false));
    }

    #[test]
    fn what_is_no_glob_is_refused() {
        for text in ["", "/", "!", "!/", "[a", "{a", "a{b", "//"] {
            assert!(Globs::new([text]).is_err() || text == "//", "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_name_without_signs_matches_itself_alone(
            name in "[a-z]{1,8}", other in "[a-z]{1,8}", above in "([a-z]{1,4}/){0,3}"
        ) {
            let globs = Globs::new([name.as_str()]).unwrap();
            let within = format!("{above}{name}");
            prop_assert!(globs.are_for(within.as_bytes(), false));
            let is_same = name == other;
            let within = format!("{above}{other}");
            prop_assert_eq!(globs.are_for(within.as_bytes(), false), is_same);
        }
    }
}
