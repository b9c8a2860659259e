//! Fuzz targets: URLs of trees, globs over paths, and the mark in the folder beside live. See `docs/fuzzing.md`.

use std::path::Path;

use proptest::prelude::*;

use super::publish::folder::read_mark;
use super::schema::globs::Globs;
use super::schema::options;
use super::url;
use crate::fuzz::{bytes, config, texts};

const SEEDS: &[&str] = &["tests/corpus/tree"];

proptest! {
    #![proptest_config(config())]

    /// What is read is absolute, and read again as the same.
    #[test]
    fn tree_url(text in texts(SEEDS)) {
        let rest = text.strip_prefix("dir:").unwrap_or(&text);
        if let Ok((again, tree)) = url::read(rest, Path::new("/etc/jobs")) {
            let directory = tree.directory().unwrap();
            prop_assert!(directory.is_absolute() && directory.file_name().is_some());
            let rest = again.strip_prefix("dir:").unwrap_or_default();
            let read = url::read(rest, Path::new("/elsewhere"));
            prop_assert_eq!(read.unwrap(), (again, tree));
        }
    }

    /// A glob is refused, or held against any path.
    #[test]
    fn path_glob(
        glob in texts(SEEDS),
        path in bytes(SEEDS),
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
    fn task_options(text in texts(SEEDS), number: i64) {
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
    fn folder_mark(text in bytes(SEEDS)) {
        let _ = read_mark(&text);
    }
}
