//! Fuzz targets: what lies in an archive. See `docs/fuzzing.md`.

use proptest::prelude::*;
use secrecy::SecretString;

use super::govuk;
use super::layout;
use super::mac::Key;
use super::manifest::Manifest;
use super::manual_restore::quoted;
use super::shapes;
use super::snapshots::WriterNote;
use crate::fuzz::{bytes, config, texts};

/// What a POSIX shell makes of one word in single quotes and escapes (2.2 of its standard).
fn unquoted(word: &str) -> Option<String> {
    let (mut made, mut rest) = (String::new(), word);
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('\'') {
            let (text, after) = inside.split_once('\'')?;
            made.push_str(text);
            rest = after;
        } else {
            let mut escaped = rest.strip_prefix('\\')?.chars();
            made.push(escaped.next()?);
            rest = escaped.as_str();
        }
    }
    Some(made)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn manifest(json in bytes(&["tests/corpus/manifest"])) {
        let Ok(manifest) = Manifest::parse(&json) else {
            return Ok(());
        };
        let written = manifest.to_json().unwrap();
        prop_assert_eq!(&Manifest::parse(&written).unwrap(), &manifest);
        for file in manifest.files() {
            prop_assert!(file.path.split('/').all(|part| !part.is_empty() && part != ".."));
            prop_assert!(file.blocks.len() as u64 == file.size.div_ceil(file.block));
        }
        // What is summed up of it has room in a number.
        let _ = (manifest.rows(), manifest.size(), manifest.origin());
        let parts = manifest.parts.iter().map(|stored| stored.part.clone()).collect();
        if let Ok(driver) = crate::store::registry::driver(manifest.kind) {
            prop_assert!(driver.join_slices(parts, 64).len() <= manifest.parts.len());
        }
    }

    #[test]
    fn shapes_of_tables(json in bytes(&["tests/corpus/shapes"])) {
        if let Ok(found) = shapes::parse(&json) {
            let written = shapes::to_json(found.values().cloned().collect()).unwrap();
            prop_assert_eq!(shapes::parse(&written).unwrap(), found);
        }
    }

    #[test]
    fn writer_note(json in bytes(&["tests/corpus/writer_note"])) {
        if let Some(note) = WriterNote::parse(&json) {
            let _ = note.look();
            let written = note.to_json().unwrap();
            prop_assert_eq!(WriterNote::parse(&written), Some(note));
        }
    }

    #[test]
    fn path(path in texts(&["tests/corpus/path"])) {
        if let Some(name) = layout::marked(&path) {
            prop_assert!(path.contains(&name.to_string()));
        }
        if layout::is_own(&path) {
            prop_assert!(!path.starts_with('/') && path.matches('/').count() <= 1);
        }
        if let Some(name) = govuk::name::Name::parse(&path) {
            prop_assert_eq!(name.to_string(), &path[..]);
            prop_assert!(govuk::name::can_stand(&name.database));
        }
        let _ = govuk::name::pointed(&path);
        let made = layout::rows(7, &path, 0, "copy.zst");
        prop_assert!(layout::is_own(&made) && made.is_ascii());
    }

    #[test]
    fn shell_word(text in texts(&["tests/corpus/script", "tests/corpus/shell_word"])) {
        prop_assert_eq!(unquoted(&quoted(&text)), Some(text));
    }

    #[test]
    fn authentication(text in bytes(&["tests/corpus/authentication"])) {
        let key = Key::new(&SecretString::from("0123456789abcdef")).unwrap();
        let right = key.mac(b"{}");
        let is_right = key.check(b"{}", Some(&text)).is_ok();
        prop_assert_eq!(is_right, text.trim_ascii().eq_ignore_ascii_case(right.trim().as_bytes()));
    }
}

#[test]
fn the_time_of_a_writer_may_be_any() {
    for at in [
        "+262142-12-31T23:59:59Z",
        "-262143-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
    ] {
        let host = crate::process::host_name();
        let pid = std::process::id();
        let json = format!(
            r#"{{"host": "{host}", "job": "a", "run": "b", "started_at": "{at}", "pid": {pid}}}"#
        );
        let note = WriterNote::parse(json.as_bytes()).unwrap();
        let _ = note.look();
    }
}

#[test]
fn a_manifest_of_more_than_anything_is_damaged() {
    let json =
        String::from_utf8(crate::fuzz::seeds("tests/corpus/manifest/postgresql.json")[0].clone())
            .unwrap();
    assert!(Manifest::parse(json.as_bytes()).is_ok());
    for key in ["rows", "bytes"] {
        let huge = json.replacen(
            &format!("\"{key}\": 3"),
            &format!("\"{key}\": {}", u64::MAX / 2),
            1,
        );
        assert_ne!(huge, json);
        assert!(Manifest::parse(huge.as_bytes()).is_err(), "{key}");
    }
}
