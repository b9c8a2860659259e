//! No two files import each other, however long the way round is.
//!
//! A `pub use` hands on what another file has: who takes it from there imports that other file, and the file with the
//! `pub use` imports it only if it needs it itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use super::imports::{Path, code_only, collect, into_children, module_of, next_word, paths};

/// Folders that are not held to it yet.
const NOT_YET: [&str; 0] = [];

/// Modules that tests alone see.
const OF_TESTS: [&str; 2] = ["tests", "fuzz"];

type Module = Vec<String>;

#[test]
fn no_files_import_each_other_in_a_circle() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files: Vec<PathBuf> = Vec::new();
    collect(&root, &mut files);
    let files: Vec<(Module, String)> = files
        .iter()
        .map(|file| {
            let module = module_of(file.strip_prefix(&root).unwrap());
            (module, fs::read_to_string(file).unwrap())
        })
        .filter(|(module, _)| !NOT_YET.contains(&module[0].as_str()))
        .collect();
    let found = circles(&files);
    assert!(found.is_empty(), "\n{}", found.join("\n\n"));
}

#[test]
fn circles_are_found() {
    let found = |files: &[(&str, &str)]| {
        let files: Vec<(Module, String)> = files
            .iter()
            .map(|(module, text)| (split(module), (*text).to_owned()))
            .collect();
        circles(&files).len()
    };
    // Two files, whatever way they name each other.
    assert_eq!(
        found(&[("a", "use crate::b::B;"), ("b", "fn f() { crate::a::g() }")]),
        1
    );
    assert_eq!(
        found(&[
            ("m::a", "use super::b::B;"),
            ("m::b", "use super::{a::A, c};")
        ]),
        1
    );
    // Three.
    assert_eq!(
        found(&[
            ("m::a", "use super::b::B;"),
            ("m::b", "use super::c;"),
            ("m::c", "use crate::m::a::{self, A};"),
        ]),
        1
    );
    // A parent that calls its children, which take its types.
    let parent = "mod a;\npub struct T;\nfn f() { a::run() }";
    assert_eq!(found(&[("m", parent), ("m::a", "use super::T;")]), 1);
    let parent = "pub mod a;\nuse self::a::A;\nstruct T(A);";
    assert_eq!(found(&[("m", parent), ("m::a", "use crate::m::T;")]), 1);
    // It hands a type on, and needs it itself.
    let parent = "mod a;\nmod t;\npub use t::T;\nfn f(t: T) { a::run(t) }";
    let child = ("m::t", "use super::a::A;");
    assert_eq!(
        found(&[("m", parent), ("m::a", "use super::{T, f};"), child]),
        1
    );
}

#[test]
fn what_is_no_circle_is_left_alone() {
    let files = [
        (
            "m",
            "mod a;\nmod b;\nmod t;\npub use a::{A, C};\npub(crate) use t::T;",
        ),
        (
            "m::a",
            "use super::{T, b};\n/// See [`crate::m::c`].\npub(in crate::m) fn f() {}",
        ),
        (
            "m::b",
            "use super::T;\n#[cfg(test)]\nmod tests { use super::super::a; }",
        ),
        ("m::t", "pub struct T; // crate::m::a"),
        ("m::a::tests", "use super::*; use crate::m::c;"),
        ("m::c", "use crate::m::{A, C};\nfn f() { self::g() }"),
    ];
    let files: Vec<(Module, String)> = files
        .iter()
        .map(|(module, text)| (split(module), (*text).to_owned()))
        .collect();
    assert_eq!(circles(&files), Vec::<String>::new());
}

fn split(module: &str) -> Module {
    module.split("::").map(str::to_owned).collect()
}

/// Each set of files that reach each other, with the imports that make it.
fn circles(files: &[(Module, String)]) -> Vec<String> {
    let graph = Graph::of(files);
    let reached: BTreeMap<&Module, BTreeSet<&Module>> = graph
        .imports
        .keys()
        .map(|module| (module, graph.reach(module)))
        .collect();
    let mut seen: BTreeSet<&Module> = BTreeSet::new();
    let mut circles = Vec::new();
    for (module, reach) in &reached {
        if seen.contains(*module) || !reach.contains(*module) {
            continue;
        }
        let circle: Vec<&Module> = reach
            .iter()
            .copied()
            .filter(|other| reached[other].contains(*module))
            .collect();
        seen.extend(&circle);
        let lines: Vec<String> = circle
            .iter()
            .flat_map(|one| {
                let others = graph.imports[*one].iter();
                let within = others.filter(|(other, _)| circle.contains(other));
                within.map(|(other, line)| {
                    format!("{}:{line} imports {}", one.join("::"), other.join("::"))
                })
            })
            .collect();
        circles.push(lines.join("\n"));
    }
    circles
}

/// Who imports whom, with a line where that is.
struct Graph {
    imports: BTreeMap<Module, BTreeMap<Module, usize>>,
}

impl Graph {
    fn of(files: &[(Module, String)]) -> Self {
        let seen = files.iter().filter(|(module, _)| {
            !["lib", "main"].contains(&module[0].as_str())
                && !module.iter().any(|name| OF_TESTS.contains(&name.as_str()))
        });
        let texts: BTreeMap<&Module, String> = seen
            .map(|(module, text)| (module, without_tests(&code_only(text))))
            .collect();
        let mut handed_on: BTreeMap<(Module, String), Module> = BTreeMap::new();
        let mut named: Vec<(&Module, Module, usize)> = Vec::new();
        for (module, text) in &texts {
            let mut found = paths(module, text);
            found.extend(into_children(module, text));
            for path in found {
                let Some(name) = path.names.last().cloned() else {
                    continue;
                };
                if is_visibility(text, &path) {
                    continue;
                }
                if is_handed_on(text, &path) {
                    handed_on.insert(((*module).clone(), name.clone()), path.names.clone());
                    let rest = text[..path.at].to_owned() + &text[path.end..];
                    if next_word(&rest, &name, 0).is_none() {
                        continue;
                    }
                }
                let line = 1 + text[..path.at].matches('\n').count();
                named.push((*module, path.names, line));
            }
        }
        let mut imports: BTreeMap<Module, BTreeMap<Module, usize>> = texts
            .keys()
            .map(|module| ((*module).clone(), BTreeMap::new()))
            .collect();
        for (module, path, line) in named {
            let Some(other) = file_of(&path, &texts, &handed_on) else {
                continue;
            };
            if other != *module
                && let Some(of_module) = imports.get_mut(module)
            {
                of_module.entry(other).or_insert(line);
            }
        }
        Self { imports }
    }

    /// All that a module imports, and what those import.
    fn reach(&self, module: &Module) -> BTreeSet<&Module> {
        let mut reached = BTreeSet::new();
        let mut next: Vec<&Module> = self.imports[module].keys().collect();
        while let Some(other) = next.pop() {
            if reached.insert(other) {
                next.extend(self.imports[other].keys());
            }
        }
        reached
    }
}

/// The file that has what a path names.
fn file_of(
    path: &[String],
    texts: &BTreeMap<&Module, String>,
    handed_on: &BTreeMap<(Module, String), Module>,
) -> Option<Module> {
    let mut path = path.to_vec();
    // As often as things are handed on: it ends where a name is handed on to itself, too.
    for _ in 0..8 {
        let length = (1..=path.len())
            .rev()
            .find(|length| texts.contains_key(&path[..*length].to_vec()))?;
        let file = path[..length].to_vec();
        let Some(from) = path
            .get(length)
            .and_then(|name| handed_on.get(&(file.clone(), name.clone())))
        else {
            return Some(file);
        };
        path = from.iter().chain(&path[length + 1..]).cloned().collect();
    }
    None
}

/// `pub(in crate::archive)` says who may see a thing, and imports nothing.
fn is_visibility(text: &str, path: &Path) -> bool {
    text[..path.at].trim_end().ends_with("(in")
}

/// Whether it is that of a `pub use`.
fn is_handed_on(text: &str, path: &Path) -> bool {
    let before = text[..path.at].trim_end();
    let Some(before) = before.strip_suffix("use") else {
        return false;
    };
    let statement = before.rsplit([';', '}', ']']).next().unwrap_or_default();
    statement.trim_start().starts_with("pub")
}

/// Tests in a file stand at its end.
fn without_tests(text: &str) -> String {
    let ends = ["mod tests {", "pub(super) mod tests {"]
        .iter()
        .filter_map(|module| text.find(&format!("#[cfg(test)]\n{module}")));
    text[..ends.min().unwrap_or(text.len())].to_owned()
}
