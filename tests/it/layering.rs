//! Imports point one way. The order stands in `src/lib.rs`.

use std::fs;
use std::path::{Path, PathBuf};

/// A module may name those of its own row and of the rows below; the leaves, only `process`, `sync` and `error`.
const ORDER: [&str; 11] = [
    "cli", "daemon", "http", "run", "report", "state", "guard", "archive", "store", "mask",
    "config",
];

const LEAVES: [&str; 8] = [
    "policy", "schedule", "secret", "trust", "process", "limits", "sync", "error",
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

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// `store/sqlite/mod.rs` is `store::sqlite`.
fn module_of(file: &Path) -> Vec<String> {
    let mut module: Vec<String> = file
        .with_extension("")
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    if module.last().is_some_and(|last| last == "mod") {
        module.pop();
    }
    module
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
    for (at, path) in paths(module, &text) {
        let line = 1 + text[..at].matches('\n').count();
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
                    "process" => &["sync", "error"][..],
                    _ => &["process", "sync", "error"][..],
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

/// All paths that begin with `crate::` or with enough `super::` to leave the module's folder, from the crate's root.
fn paths(module: &[String], text: &str) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some((at, first)) = next_anchor(text, from) {
        from = at + first.len();
        let mut rest = &text[from..];
        let mut root: Vec<String> = Vec::new();
        if first == "super" {
            root = module.to_vec();
            root.pop();
            while let Some(after) = after_colons(rest).and_then(|rest| rest.strip_prefix("super")) {
                root.pop();
                rest = after;
            }
            from = text.len() - rest.len();
            // Modules in a file go up to the file first (`mod tests`): where that leads is not told apart from here, and a
            // `super::super` that lands on no module of ours is one of them.
        }
        if let Some(rest) = after_colons(rest) {
            let mut leaves = Vec::new();
            expand(rest, &root, &mut leaves);
            found.extend(
                leaves
                    .into_iter()
                    .filter(|path| first == "crate" || is_module(path))
                    .map(|path| (at, path)),
            );
        }
    }
    found
}

/// Whether a path that was reached by `super` is one of the modules that have rules.
fn is_module(path: &[String]) -> bool {
    match path {
        [] => false,
        [first, second, ..] if first == "store" => STORES.contains(&second.as_str()),
        [first, ..] => rank(first).is_some(),
    }
}

/// The next `crate` or `super` that begins a path.
fn next_anchor(text: &str, from: usize) -> Option<(usize, &'static str)> {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let mut at = from;
    loop {
        let (next, anchor) = ["crate", "super"]
            .into_iter()
            .filter_map(|anchor| text[at..].find(anchor).map(|found| (at + found, anchor)))
            .min()?;
        let before = text[..next].chars().next_back();
        let after = text[next + anchor.len()..].chars().next();
        let whole =
            !before.is_some_and(|c| word(c) || c == '$' || c == ':') && !after.is_some_and(word);
        if whole {
            return Some((next, anchor));
        }
        at = next + anchor.len();
    }
}

fn after_colons(text: &str) -> Option<&str> {
    text.trim_start().strip_prefix("::").map(str::trim_start)
}

/// Follows a path and the braces in it to its ends; what is left of the text after it is returned.
fn expand<'a>(text: &'a str, root: &[String], found: &mut Vec<Vec<String>>) -> &'a str {
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
            match rest.chars().next() {
                Some('}') => return &rest[1..],
                None => return rest,
                Some(_) => {
                    let before = rest.len();
                    rest = expand(rest, root, found);
                    if rest.len() == before {
                        return rest;
                    }
                }
            }
        }
    }
    let end = text
        .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '#' || c == '*'))
        .unwrap_or(text.len());
    let mut path = root.to_vec();
    if end > 0 {
        path.push(text[..end].trim_start_matches("r#").to_owned());
    }
    let rest = &text[end..];
    if let Some(inner) = after_colons(rest) {
        return expand(inner, &path, found);
    }
    found.push(path);
    // `as name`
    match rest.trim_start().strip_prefix("as ") {
        Some(alias) => {
            alias.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_' || c == ' ')
        }
        None => rest,
    }
}

/// Comments and the insides of literals as blanks; lines stay lines.
fn code_only(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let blank = |out: &mut String, piece: &str| {
        out.extend(piece.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
    };
    while let Some(c) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(raw) = raw_string(rest) {
            raw
        } else if c == '"' {
            string(rest)
        } else if c == '\'' {
            character(rest)
        } else {
            0
        };
        if length > 0 {
            blank(&mut out, &rest[..length]);
            rest = &rest[length..];
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

fn raw_string(text: &str) -> Option<usize> {
    let after = text.strip_prefix('r')?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let begin = 2 + hashes;
    Some(
        text[begin..]
            .find(&end)
            .map_or(text.len(), |at| begin + at + end.len()),
    )
}

fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// A character literal's length; 0 for a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => text[2..]
            .char_indices()
            .skip(1)
            .find(|(_, c)| *c == '\'')
            .map_or(0, |(at, _)| at + 3),
        Some(_) => match chars.next() {
            Some((at, '\'')) => at + 1,
            _ => 0,
        },
        None => 0,
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
        let is_test = |name: &&str| known.contains(name.rsplit("::").next().unwrap_or_default());
        if named.is_empty() || !named.iter().all(is_test) {
            wrong.push(threat);
        }
    }
    assert!(count > 50, "{count}");
    assert!(wrong.is_empty(), "no such tests:\n{}", wrong.join("\n"));
}
