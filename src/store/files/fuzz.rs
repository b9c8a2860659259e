//! Fuzz targets: URLs of trees, globs over paths, and the mark in the folder beside live. See `docs/fuzzing.md`.

use std::path::Path;

use proptest::prelude::*;

use super::connection::stat::FileKind;
use super::packed::header::{fill, write, write_end};
use super::packed::index::Reader;
use super::packed::parse::{Event, Parser, check_path};
use super::packed::pax::Dialect;
use super::publish::folder::read_mark;
use super::publish::list::{Change, Changes};
use super::rows::spool::Spool;
use super::schema::options;
use super::url;
use crate::config::globs::Globs;
use crate::fuzz::{bytes, config, pieces, texts};

const SEEDS: &[&str] = &["tests/corpus/tree"];
const TARS: &[&str] = &["tests/corpus/tar"];
const CHANGES: &[&str] = &["tests/corpus/list_of_changes"];
const LISTS: &[&str] = &["tests/corpus/list_of_files"];

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

    /// A list of changes is refused, or names what lies in a tree.
    #[test]
    fn list_of_changes(text in bytes(CHANGES)) {
        let mut spool = Spool::new();
        spool.write(&text).unwrap();
        let changes = Changes::of(spool.finish().unwrap());
        let Ok(mut reading) = changes.read() else {
            return Ok(());
        };
        while let Ok(Some((path, change))) = reading.next() {
            let is_root = path.is_empty() && matches!(change, Change::Kept(..));
            prop_assert!(is_root || check_path(&path).is_ok());
        }
    }

    /// What is read of a tar stream lies in a tree, and is read again as the same.
    #[test]
    fn tar_stream(
        stream in bytes(TARS),
        lengths in prop::collection::vec(1..2000_usize, 1..4),
        is_gnu: bool,
    ) {
        let dialect = if is_gnu { Dialect::Gnu } else { Dialect::Own };
        let (mut parser, mut again) = (Parser::new(dialect), Vec::new());
        let mut content = 0;
        let mut show = |event: Event<'_>| {
            match event {
                Event::Entry(head) if head.stat.kind == FileKind::Special => assert!(is_gnu),
                Event::Entry(head) => {
                    let is_root = head.path.is_empty() && head.stat.kind == FileKind::Directory;
                    assert!(is_root || check_path(&head.path).is_ok());
                    write(head, &mut again)?;
                    content = 0;
                }
                Event::Content(bytes) => {
                    content += bytes.len() as u64;
                    again.extend(bytes);
                }
                Event::End => fill(&mut again, content),
            }
            Ok(())
        };
        let mut read = Ok(());
        for piece in pieces(&stream, &lengths) {
            read = parser.feed(piece, &mut show);
            if let Err(error) = &read {
                prop_assert!(!error.to_string().contains('\n'));
                break;
            }
        }
        if read.and_then(|()| parser.end()).is_ok() {
            write_end(&mut again);
            let mut parser = Parser::new(Dialect::Own);
            parser.feed(&again, &mut |_| Ok(())).unwrap();
            parser.end().unwrap();
        }
    }

    /// A list is that of a tree, or is refused.
    #[test]
    fn list_of_a_snapshot(list in bytes(LISTS), lengths in prop::collection::vec(1..100_usize, 1..4)) {
        let mut reader = Reader::new();
        for piece in pieces(&list, &lengths) {
            if let Err(error) = reader.feed(piece) {
                prop_assert!(!error.to_string().contains('\n'));
                return Ok(());
            }
        }
        if let Ok(listing) = reader.finish() {
            let mut cursor = listing.cursor().unwrap();
            while let Some((entry, _)) = cursor.entry() {
                prop_assert!(entry.path.is_empty() || check_path(&entry.path).is_ok());
                cursor.advance().unwrap();
            }
        }
    }
}
