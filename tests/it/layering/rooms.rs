//! Inside a store imports point one way, from room to room.

use std::fs;
use std::path::Path;

use super::imports::{code_only, collect, module_of, paths};

/// The rooms of a store, and the files above them: each names its own row and those before it. What else a store has (dumps,
/// scripts) has no place in the order, and is held to have no circles.
const ROOMS: [&[&str]; 7] = [
    &["connection"],
    &["schema"],
    &["rows"],
    &["incoming"],
    &["publish"],
    &["source", "target"],
    &["driver"],
];

#[test]
fn imports_inside_a_store_point_from_room_to_room_one_way() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root.join("store"), &mut files);
    let mut wrong = Vec::new();
    for file in files {
        let module = module_of(file.strip_prefix(&root).unwrap());
        let Some(store) = module.get(1) else { continue };
        // A store whose folder has the rooms is held to their order.
        let folder = root.join("store").join(store);
        if !ROOMS[..5].iter().all(|room| folder.join(room[0]).is_dir()) {
            continue;
        }
        for (line, why) in upwards(&module, &fs::read_to_string(&file).unwrap()) {
            wrong.push(format!("{}:{line}: {why}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn an_import_of_a_room_above_is_found() {
    let found = |module: &str, text: &str| {
        let module: Vec<String> = module.split("::").map(str::to_owned).collect();
        upwards(&module, text).len()
    };
    let batch = "store::sqlite::rows::batch";
    assert_eq!(
        found(batch, "use crate::store::sqlite::incoming::build;"),
        1
    );
    assert_eq!(
        found(batch, "use super::super::{schema, publish::swap};"),
        1
    );
    assert_eq!(
        found("store::sqlite::target", "use super::driver::Driver;"),
        1
    );
    assert_eq!(
        found("store::sqlite::connection", "use super::schema::Table;"),
        1
    );
    for (module, text) in [
        (
            batch,
            "use super::codec; use crate::store::sqlite::{connection, schema::Table};",
        ),
        (
            batch,
            "use crate::store::Part; use crate::store::sqlite::module::open;",
        ),
        (
            "store::sqlite::source",
            "use super::{rows, target::Target};",
        ),
        (
            "store::sqlite::driver",
            "use super::{source, target, publish};",
        ),
        ("store::sqlite::dump", "use super::publish::swap;"),
        ("store::sqlite::tests::rows", "use super::super::publish;"),
    ] {
        assert_eq!(found(module, text), 0, "{module}: {text}");
    }
}

/// The lines of a file that name a room above its own, each with the reason.
fn upwards(module: &[String], text: &str) -> Vec<(usize, String)> {
    let Some((own, room)) = module.get(2).and_then(|room| Some((rank(room)?, room))) else {
        return Vec::new();
    };
    let text = code_only(text);
    let mut found = Vec::new();
    for path in paths(module, &text) {
        let is_here = path.names.len() > 2 && path.names[..2] == module[..2];
        let Some(other) = path.names.get(2).filter(|_| is_here) else {
            continue;
        };
        if rank(other).is_some_and(|other| other > own) {
            let line = 1 + text[..path.at].matches('\n').count();
            found.push((line, format!("`{room}` sees `{other}`, which is above it")));
        }
    }
    found
}

fn rank(room: &str) -> Option<usize> {
    ROOMS.iter().position(|row| row.contains(&room))
}
