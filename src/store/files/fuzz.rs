//! Fuzz targets: URLs of trees, globs over paths, and the mark in the folder beside live. See `docs/fuzzing.md`.

use std::path::Path;

use proptest::prelude::*;

use super::publish::folder::read_mark;
use super::schema::globs::Globs;
use super::schema::options;
use super::url;
use crate::fuzz::{bytes, config, texts};

const URLS: [&str; 2] = ["dir:///srv/main/files", "dir:a/../b%20c/./d%ff?e#f"];
const GLOBS: [&str; 3] = ["/a/**/b[!c]?*.{jpg,png}", "!\\!x/", "css"];

proptest! {
    #![proptest_config(config())]

    /// What is read is absolute, and read again as the same.
    #[test]
    fn tree_url(text in prop_oneof![texts(&[]), prop::sample::select(URLS.to_vec()).prop_flat_map(near)]) {
        let rest = text.strip_prefix("dir:").unwrap_or(&text);
        if let Ok((again, tree)) = url::read(rest, Path::new("/etc/jobs")) {
            prop_assert!(tree.directory.is_absolute() && tree.directory.file_name().is_some());
            let rest = again.strip_prefix("dir:").unwrap_or_default();
            let read = url::read(rest, Path::new("/elsewhere"));
            prop_assert_eq!(read.unwrap(), (again, tree));
        }
    }

    /// A glob is refused, or held against any path.
    #[test]
    fn path_glob(
        glob in prop_oneof![texts(&[]), prop::sample::select(GLOBS.to_vec()).prop_flat_map(near)],
        path in bytes(&[]),
        is_directory: bool,
    ) {
        if let Ok(globs) = Globs::new([glob.as_str()]) {
            let meant = globs.are_for(&path, is_directory);
            let both = Globs::new([glob.as_str(), &format!("!{glob}")]);
            prop_assert!(!meant || both.is_err() || !both.unwrap().are_for(&path, is_directory));
        }
    }

    /// Options of any type and value are read or refused.
    #[test]
    fn task_options(text in texts(&[]), number: i64) {
        for key in options::OWN_KEYS {
            for value in [toml::Value::String(text.clone()), toml::Value::Integer(number)] {
                let given = toml::Table::from_iter([(key.name.to_owned(), value)]);
                if let Err(flaws) = options::read(&given) {
                    prop_assert_eq!(flaws[0].0, key.name);
                }
            }
        }
    }

    /// A mark is one of ours, or none.
    #[test]
    fn folder_mark(text in bytes(&[])) {
        let _ = read_mark(&text);
    }
}

/// A text with one letter changed.
fn near(text: &'static str) -> impl Strategy<Value = String> {
    (0..text.len(), any::<char>()).prop_map(move |(at, letter)| {
        let mut letters: Vec<char> = text.chars().collect();
        letters[at] = letter;
        letters.into_iter().collect()
    })
}
