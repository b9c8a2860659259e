//! Imports point one way. The order stands in `src/lib.rs`.

mod circles;
mod imports;
mod rooms;

use std::fs;
use std::path::Path;

use imports::{code_only, collect, module_of, paths};

/// A module may name those of its own row and of the rows below; the leaves, only `process`, `limits`, `sync` and `error`.
const ORDER: [&str; 14] = [
    "cli", "http", "proxy", "daemon", "control", "run", "report", "state", "guard", "archive",
    "store", "s3", "config", "mask",
];

const LEAVES: [&str; 9] = [
    "policy", "schedule", "secret", "trust", "process", "limits", "tls", "sync", "error",
];

/// What tests alone see, in every module: it makes their inputs.
const OF_TESTS: &str = "fuzz";

/// The folders under `store/` that hold one store each: they never name each other.
const STORES: [&str; 6] = [
    "postgresql",
    "mysql",
    "sqlite",
    "mongodb",
    "opensearch",
    "files",
];

#[test]
fn every_import_points_downwards() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    assert!(files.len() > 10, "{files:?}");
    let mut wrong = Vec::new();
    for file in files {
        let module = module_of(file.strip_prefix(&root).unwrap());
        let text = fs::read_to_string(&file).unwrap();
        for (line, why) in violations(&module, &text) {
            wrong.push(format!("{}:{line}: {why}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_forbidden_import_is_found() {
    let found = |module: &str, text: &str| -> usize {
        let module: Vec<String> = module.split("::").map(str::to_owned).collect();
        violations(&module, text).len()
    };
    // Upwards.
    assert_eq!(found("state::runs", "use crate::cli::Options;"), 1);
    assert_eq!(found("config", "fn f() { crate::store::choose() }"), 1);
    assert_eq!(found("guard", "use crate::{error::Result, run::walk};"), 1);
    assert_eq!(
        found(
            "guard",
            "use crate::{\n    error::{Error, Result},\n    report,\n    state,\n};"
        ),
        2
    );
    assert_eq!(found("error", "use crate::policy::Environment;"), 1);
    assert_eq!(found("policy", "use crate::secret::Secret;"), 1);
    assert_eq!(found("process", "use crate::trust::Rights;"), 1);
    assert_eq!(found("store", "use super::cli::Options;"), 1);
    assert_eq!(found("store::sqlite", "use super::super::run;"), 1);
    assert_eq!(found("store", "pub(in crate::run) fn f() {}"), 1);
    // Sideways between stores.
    assert_eq!(
        found("store::sqlite", "use crate::store::postgresql::x;"),
        1
    );
    assert_eq!(found("store::sqlite", "use super::postgresql::x;"), 1);
    assert_eq!(
        found("store::sqlite::read", "use super::super::mysql::x;"),
        1
    );
    assert_eq!(found("store::sqlite", "use super::{Source, mysql};"), 1);
    assert_eq!(
        found("store::sqlite", "use crate::{store::{mysql, Part}};"),
        1
    );
    // A module that the order does not have.
    assert_eq!(found("run", "use crate::utils::x;"), 1);
    assert_eq!(found("utils", "use crate::error::Result;"), 1);
}

#[test]
fn an_allowed_import_is_left_alone() {
    let found = |module: &str, text: &str| {
        let module: Vec<String> = module.split("::").map(str::to_owned).collect();
        violations(&module, text)
    };
    let fine = [
        (
            "cli::status",
            "use crate::{error::Result, state::{Run, State}};",
        ),
        ("cli::status", "use super::{Options, history, json};"),
        ("state::history", "use super::{run, State};"),
        ("policy", "use crate::error::{Error, Kind};"),
        ("store", "use crate::store::postgresql::open;"),
        (
            "store::sqlite",
            "use crate::store::{Part, catalogue, selection};",
        ),
        (
            "store::sqlite::read",
            "use super::super::{Part, sqlite::Definitions};",
        ),
        ("store::sqlite", "use super::Source;"),
        ("guard", "pub(crate) fn f() {} // crate::run is above"),
        (
            "guard",
            "/// See [`crate::run`].\nfn f() { g(\"crate::run\") }",
        ),
        (
            "guard",
            "/* crate::run */ mod tests { use super::super::x; }",
        ),
        ("run", "macro_rules! m { () => { $crate::error::f() } }"),
    ];
    for (module, text) in fine {
        assert_eq!(found(module, text), [], "{module}: {text}");
    }
}

/// Programs are started in one place, which sees to it that they find nothing in their environment by chance.
#[test]
fn programs_are_started_in_one_place() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    let mut starts = Vec::new();
    for file in files {
        let name = file.strip_prefix(&root).unwrap().display().to_string();
        if name.ends_with("tests.rs") || name.contains("/tests/") {
            continue;
        }
        let text = code_only(&fs::read_to_string(&file).unwrap());
        // Tests stand at the end of a file.
        let code = text.split("mod tests {").next().unwrap_or_default();
        starts.extend(
            [
                "Command::new",
                "process::Command::",
                "libc::exec",
                "libc::fork",
                "unistd::exec",
                "unistd::fork",
            ]
            .into_iter()
            .filter(|how| code.contains(how))
            .map(|how| format!("{name}: {how}")),
        );
    }
    assert_eq!(
        starts,
        [
            "process/program.rs: Command::new",
            "process/program.rs: process::Command::"
        ]
    );
}

/// The lines of a module that name what it may not see, each with the reason.
fn violations(module: &[String], text: &str) -> Vec<(usize, String)> {
    let Some(own) = module
        .first()
        .filter(|own| !["lib", "main", OF_TESTS].contains(&own.as_str()))
    else {
        return Vec::new();
    };
    let text = code_only(text);
    let mut found = Vec::new();
    if rank(own).is_none() {
        found.push((1, format!("`{own}` has no place in the order")));
    }
    for found_path in paths(module, &text) {
        let path = found_path.names;
        // What `super` reaches is looked at where it is one of the modules that have rules; `self` stays.
        let is_seen = match found_path.anchor.as_str() {
            "crate" => true,
            "super" => is_module(&path),
            _ => false,
        };
        if !is_seen {
            continue;
        }
        let line = 1 + text[..found_path.at].matches('\n').count();
        if path.first().is_some_and(|other| other == OF_TESTS) {
            continue;
        }
        let Some(other) = path.first().filter(|other| *other != own) else {
            // Inside one module: only stores are walled off from each other.
            if let (Some(a), Some(b)) = (module.get(1), path.get(1))
                && own == "store"
                && a != b
                && [a, b].iter().all(|store| STORES.contains(&store.as_str()))
            {
                found.push((line, format!("`store::{a}` sees its sibling `{b}`")));
            }
            continue;
        };
        let fine = match (rank(own), rank(other)) {
            (_, None) => false,
            (Some(ours), Some(theirs)) if ours == ORDER.len() => {
                let beneath = match own.as_str() {
                    "error" | "sync" => &[][..],
                    "process" | "limits" => &["sync", "error"][..],
                    _ => &["process", "limits", "sync", "error"][..],
                };
                theirs == ours && beneath.contains(&other.as_str())
            }
            (Some(ours), Some(theirs)) => ours < theirs,
            (None, _) => true,
        };
        if !fine {
            found.push((
                line,
                format!("`{own}` sees `{other}`, which is not below it"),
            ));
        }
    }
    found
}

/// A module's row in the order, from the top.
fn rank(module: &str) -> Option<usize> {
    ORDER
        .iter()
        .position(|name| *name == module)
        .or_else(|| LEAVES.contains(&module).then_some(ORDER.len()))
}

/// Whether a path that was reached by `super` is one of the modules that have rules.
fn is_module(path: &[String]) -> bool {
    match path {
        [] => false,
        [first, second, ..] if first == "store" => STORES.contains(&second.as_str()),
        [first, ..] => rank(first).is_some(),
    }
}

/// Each threat of the page on security names tests, and these are there.
#[test]
fn every_threat_has_its_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&root.join("src"), &mut files);
    collect(&root.join("tests"), &mut files);
    let mut known = std::collections::HashSet::new();
    for file in files {
        known.extend(
            file.file_stem()
                .map(|name| name.to_string_lossy().into_owned()),
        );
        known.extend(
            file.parent()
                .and_then(Path::file_name)
                .map(|name| name.to_string_lossy().into_owned()),
        );
        let text = fs::read_to_string(&file).unwrap();
        let names = text.split("fn ").skip(1).map(|rest| {
            let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_'));
            rest[..end.unwrap_or(rest.len())].to_owned()
        });
        known.extend(names);
    }
    let page = fs::read_to_string(root.join("docs/security.md")).unwrap();
    let threats = page.split("\n| threat |").skip(1).flat_map(|table| {
        table
            .lines()
            .skip(2)
            .take_while(|line| line.starts_with('|'))
    });
    let (mut count, mut wrong) = (0, Vec::new());
    for threat in threats {
        count += 1;
        let tests = threat
            .trim_end_matches([' ', '|'])
            .rsplit(" | ")
            .next()
            .unwrap_or_default();
        let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        let is_test = |name: &&str| {
            let word = name.rsplit("::").find(|word| *word != "tests");
            word.is_some_and(|word| known.contains(word))
        };
        if named.is_empty() || !named.iter().all(is_test) {
            wrong.push(threat);
        }
    }
    assert!(count > 50, "{count}");
    assert!(wrong.is_empty(), "no such tests:\n{}", wrong.join("\n"));
}
