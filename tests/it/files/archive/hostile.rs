//! Snapshots that somebody has changed who may write to the archive.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use super::super::trees::lines;
use super::Shelf;

/// Puts other content into a stored stream, and has the manifest say so.
fn replace(shelf: &Shelf, name: &str, content: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    let path = shelf.stored(name);
    let plain = zstd::decode_all(&*fs::read(&path).expect("a file")).expect("a stream");
    let plain = content(plain);
    let packed = zstd::encode_all(&*plain, 1).expect("a stream");
    fs::write(&path, &packed).expect("a file");
    let manifest = shelf.snapshots().pop().expect("one").join("manifest.json");
    let text = fs::read(&manifest).expect("a manifest");
    let mut value: Value = serde_json::from_slice(&text).expect("JSON");
    let parts = value["parts"].as_array_mut().expect("parts");
    for part in parts.iter_mut() {
        let file = part["files"][0]["path"]
            .as_str()
            .expect("a path")
            .to_owned();
        if path.ends_with(&file) {
            part["bytes"] = json!(plain.len());
            let hash = blake3::hash(&packed).to_hex().to_string();
            part["files"] = json!([
                {"path": file, "pool": true, "size": packed.len(), "block": 4 << 20, "blocks": [hash]}
            ]);
        }
    }
    fs::write(manifest, value.to_string()).expect("a manifest");
}

/// A header of the old form, for a file of a few bytes.
fn entry(path: &str, kind: u8, link: &str, content: &[u8]) -> Vec<u8> {
    let mut head = vec![0; 512];
    let mut put = |at: usize, bytes: &[u8]| head[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, path.as_bytes());
    put(100, b"0000644\x000000000\x000000000\0");
    put(124, format!("{:011o}", content.len()).as_bytes());
    put(136, b"00000000001");
    put(148, b"        ");
    put(156, &[kind]);
    put(157, link.as_bytes());
    put(257, b"ustar\x0000");
    let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
    head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    head.extend(content);
    head.resize(head.len().next_multiple_of(512), 0);
    head
}

fn stream(entries: &[Vec<u8>]) -> Vec<u8> {
    [entries.concat(), vec![0; 1024]].concat()
}

fn scene() -> Shelf {
    let shelf = Shelf::new();
    shelf.trees.write(&[
        "source/a/b=1",
        "source/c=22",
        "live/own=mine",
        "outside/kept=1",
    ]);
    shelf.push("", "").expect(0);
    shelf
}

#[track_caller]
fn nothing_has_happened(shelf: &Shelf) {
    assert_eq!(shelf.trees.in_live(), ["own=mine"]);
    assert_eq!(shelf.trees.beside(), Vec::<String>::new());
    assert_eq!(lines(&shelf.trees.bed.path("outside")), ["kept=1"]);
}

#[test]
fn a_path_that_leads_out_of_the_tree_fails_the_pull() {
    for path in ["../outside/x", "/tmp/x", "a/../../outside/x", "a//b", "."] {
        let shelf = scene();
        let entries = [
            entry(path, b'0', "", b"evil"),
            entry("z", b'0', "", b"evil"),
        ];
        replace(&shelf, "-files", |_| stream(&entries));
        shelf.pull("", "").expect(1).says(&["the snapshot"]);
        nothing_has_happened(&shelf);
    }
}

#[test]
fn devices_and_hard_links_fail_the_pull() {
    for kind in *b"13467gL" {
        let shelf = scene();
        let entries = [
            entry("a/b", kind, "/etc/passwd", b""),
            entry("c", b'0', "", b"22"),
        ];
        replace(&shelf, "-files", |_| stream(&entries));
        shelf.pull("", "").expect(1).says(&["neither a file"]);
        nothing_has_happened(&shelf);
    }
}

#[test]
fn what_is_not_in_the_list_is_not_written_and_nothing_goes_through_a_link() {
    let shelf = scene();
    let outside = shelf.trees.bed.path("outside").display().to_string();
    // In the list `a` is a directory; here it is a link, and then a file below it.
    let entries = [
        entry("a", b'2', &outside, b""),
        entry("a/b", b'0', "", b"1"),
        entry("c", b'0', "", b"22"),
        entry("d", b'0', "", b"more"),
    ];
    replace(&shelf, "-files", |_| stream(&entries));
    // The manifest says how many there are.
    shelf.pull("", "").expect(1).says(&["rows"]);
    nothing_has_happened(&shelf);
    let entries = [entry("a", b'2', &outside, b""), entry("c", b'0', "", b"22")];
    replace(&shelf, "-files", |_| stream(&entries));
    shelf.pull("", "").expect(0).says(&["vanished", "a/b"]);
    assert_eq!(shelf.trees.in_live(), ["a/", "c=22", "own=mine"]);
    assert_eq!(lines(&shelf.trees.bed.path("outside")), ["kept=1"]);
}

#[test]
fn a_list_that_is_no_tree_fails_the_pull() {
    for (from, to) in [
        (" a/b\n", " a/../b\n"),
        (" c\n", " /c\n"),
        (" a\n", " .\n"),
        (" c\n", " a\n"),
        ("end 4", "end 5"),
        ("envsyncd files 1", "envsyncd files 2"),
    ] {
        let shelf = scene();
        replace(&shelf, "-list", |list| {
            let list = String::from_utf8(list).expect("text");
            assert!(list.contains(from), "{list}");
            list.replacen(from, to, 1).into_bytes()
        });
        shelf.pull("", "").expect(1).says(&["the snapshot"]);
        nothing_has_happened(&shelf);
    }
}

#[test]
fn a_snapshot_that_is_cut_or_damaged_fails_the_pull() {
    for name in ["-files", "-list", "-directories"] {
        let shelf = scene();
        let path = shelf.stored(name);
        let content = fs::read(&path).expect("a file");
        fs::write(&path, &content[..content.len() - 1]).expect("a file");
        shelf.pull("", "").expect(1);
        nothing_has_happened(&shelf);
        let mut damaged = content.clone();
        damaged[content.len() / 2] ^= 1;
        fs::write(&path, damaged).expect("a file");
        shelf.pull("", "").expect(1).says(&["damaged"]);
        nothing_has_happened(&shelf);
        // Cut, and the manifest agrees.
        fs::write(&path, &content).expect("a file");
        replace(&shelf, name, |_| Vec::new());
        shelf.pull("", "").expect(1);
        nothing_has_happened(&shelf);
    }
}

#[test]
fn a_link_that_takes_a_directory_s_place_in_incoming_is_not_followed() {
    let shelf = scene();
    fs::create_dir_all(shelf.trees.live("")).expect("a directory");
    symlink(shelf.trees.bed.path("outside"), shelf.trees.live("a")).expect("a link");
    shelf.pull("", "").expect(1).says(&["a link"]);
    assert_eq!(lines(&shelf.trees.bed.path("outside")), ["kept=1"]);
}
