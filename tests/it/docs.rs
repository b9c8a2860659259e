//! The documentation: its links lead somewhere, its index has every page, and it names every key.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files below a directory of ours, by their paths from the top; what is built or hidden is not ours.
fn files_below(directory: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(directory)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            let text = path.to_str().unwrap().to_owned();
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else {
                found.push(text);
            }
        }
    }
    found.sort();
    found
}

/// All pages that people read, with their texts.
fn pages() -> BTreeMap<String, String> {
    let mut pages = BTreeMap::new();
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if has_ending(&name, "md") {
            pages.insert(name, String::new());
        }
    }
    for folder in ["docs", "packaging", "benches"] {
        let found = files_below(folder);
        pages.extend(
            found
                .into_iter()
                .filter(|name| has_ending(name, "md"))
                .map(|name| (name, String::new())),
        );
    }
    for (name, text) in &mut pages {
        *text = fs::read_to_string(root().join(name)).unwrap();
    }
    pages
}

fn has_ending(name: &str, ending: &str) -> bool {
    Path::new(name)
        .extension()
        .is_some_and(|found| found == ending)
}

/// A page without its blocks of code.
fn prose(text: &str) -> String {
    let mut code = false;
    let mut kept = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            code = !code;
        } else if !code {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// Where the links of a page lead.
fn links(text: &str) -> Vec<String> {
    let prose = prose(text);
    // Outside of `code`.
    let words: String = prose.split('`').step_by(2).collect();
    let targets = words.split("](").skip(1);
    targets
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.to_owned())
        .collect()
}

/// The anchors of a page's headings, as GitHub and mdbook make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for line in prose(text).lines() {
        let heading = line.trim_start_matches('#');
        if heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let anchor: String = heading
            .trim()
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect();
        // A heading that is there already gets a number.
        let mut numbered = (0..).map(|n| match n {
            0 => anchor.clone(),
            n => format!("{anchor}-{n}"),
        });
        let free = numbered.find(|name| !anchors.contains(name));
        anchors.extend(free);
    }
    anchors
}

/// A link's path from the top, if the page stands at `page`.
fn resolve(page: &str, path: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in Path::new(path).components() {
        match part {
            Component::ParentDir => assert!(parts.pop().is_some(), "{page}: {path}"),
            Component::Normal(name) => parts.push(name.to_str().unwrap()),
            _ => {}
        }
    }
    parts.join("/")
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_are_there() {
    let pages = pages();
    let headings: BTreeMap<&String, BTreeSet<String>> = pages
        .iter()
        .map(|(page, text)| (page, anchors(text)))
        .collect();
    let (mut count, mut wrong) = (0, Vec::new());
    for (page, text) in &pages {
        for link in links(text) {
            if link.starts_with("http") {
                continue;
            }
            count += 1;
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = match path {
                "" => page.clone(),
                path => resolve(page, path),
            };
            let known = match headings.get(&target) {
                Some(headings) => anchor.is_empty() || headings.contains(anchor),
                None => anchor.is_empty() && root().join(&target).exists(),
            };
            // The book has nothing but what is in its folder; who develops envsyncd has the code at hand.
            let inside = !page.starts_with("docs/")
                || page.starts_with("docs/developing/")
                || target.starts_with("docs/");
            if !known || !inside {
                wrong.push(format!("{page}: {link}"));
            }
        }
    }
    assert!(count > 150, "{count}");
    assert!(wrong.is_empty(), "broken links:\n{}", wrong.join("\n"));
}

#[test]
fn the_index_and_the_book_have_every_page() {
    let pages = pages();
    let in_docs = pages.keys().filter(|page| page.starts_with("docs/"));
    let listed = |page: &str| -> BTreeSet<String> {
        let found = links(&pages[page]);
        let found = found.iter().filter_map(|link| link.split('#').next());
        found.map(|path| resolve(page, path)).collect()
    };
    let book = listed("docs/SUMMARY.md");
    let mut index = listed("docs/README.md");
    index.extend(listed("docs/developing/README.md"));
    for page in in_docs {
        if page != "docs/SUMMARY.md" {
            assert!(book.contains(page), "{page} is not in docs/SUMMARY.md");
        }
        if page != "docs/SUMMARY.md" && page != "docs/README.md" {
            assert!(index.contains(page), "{page} is in no index");
        }
    }
}

#[test]
fn pages_that_other_files_name_are_there() {
    let mut files = vec!["Cargo.toml".to_owned(), "book.toml".to_owned()];
    for folder in [
        "config.d",
        "packaging",
        "script",
        "src",
        "systemd",
        "tests/it",
    ] {
        files.extend(files_below(folder));
    }
    let (mut count, mut wrong) = (0, Vec::new());
    for file in files {
        let Ok(text) = fs::read_to_string(root().join(&file)) else {
            continue;
        };
        let is_of_a_path = |c: char| c.is_ascii_alphanumeric() || "/_.-".contains(c);
        for word in text.split(|c: char| !is_of_a_path(c)) {
            let word = word.trim_end_matches('.').trim_start_matches("../");
            if word.starts_with("docs/") && has_ending(word, "md") {
                count += 1;
                if !root().join(word).is_file() {
                    wrong.push(format!("{file}: {word}"));
                }
            }
        }
    }
    assert!(count > 10, "{count}");
    assert!(wrong.is_empty(), "no such pages:\n{}", wrong.join("\n"));
}

/// The keys that `validate` allows, one set for each unknown key in the job.
fn allowed(job: &str) -> Vec<BTreeSet<String>> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("job.toml");
    fs::write(&file, job).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_envsyncd"))
        .args(["validate", "-f"])
        .arg(&file)
        .env("ENVSYNCD_STATE_DIR", folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let sets = said.split("unknown key").skip(1);
    sets.map(|after| {
        let (_, list) = after.split_once("= allowed: ").expect(&said);
        let list = list.lines().next().unwrap();
        list.split(", ").map(str::to_owned).collect()
    })
    .collect()
}

#[test]
fn the_reference_has_every_key_of_a_job() {
    let job = "nonsense = 1\nfrom = \"a\"\nto = \"b\"\n[environments.a]\n[environments.b]\nparent = \"a\"\n\
               [[task]]\nnonsense = 1\nkind = \"postgresql\"\n\
               source = { url = \"s3://bucket/prefix\", nonsense = 1 }\n\
               target = { url = \"s3://bucket/other\", nonsense = 1 }\n\
               [hooks]\nnonsense = 1\n";
    let sets = allowed(job);
    assert!(sets.len() >= 3, "{sets:?}");
    let pages = pages();
    let reference = format!(
        "{}{}",
        pages["docs/reference/job-file.md"], pages["docs/reference/urls.md"]
    );
    let words: BTreeSet<&str> = reference
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .collect();
    let keys: BTreeSet<String> = sets.into_iter().flatten().collect();
    assert!(keys.len() > 30, "{keys:?}");
    let missing: Vec<&String> = keys
        .iter()
        .filter(|key| !words.contains(key.as_str()))
        .collect();
    assert!(missing.is_empty(), "not in the reference: {missing:?}");
}

#[test]
fn the_reference_has_every_command() {
    let output = Command::new(env!("CARGO_BIN_EXE_envsyncd"))
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let (_, groups) = help.split_once("\nRun:\n").expect(&help);
    let (groups, _) = groups.split_once("\nOptions:\n").expect(&help);
    let verbs: Vec<&str> = groups
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .collect();
    assert!(verbs.len() > 15, "{verbs:?}");
    let page = fs::read_to_string(root().join("docs/reference/commands.md")).unwrap();
    for verb in verbs {
        let named =
            page.contains(&format!("`envsyncd {verb}")) || page.contains(&format!("`{verb}`"));
        assert!(named, "{verb} is not on the page of commands");
    }
}

/// The literal parts of a message: what varies is `...`, or a word in capitals.
fn literal_parts(message: &str) -> Vec<String> {
    let mut parts = Vec::new();
    for piece in message.replace("...", ";").split([';', '`', '(', ')', ',']) {
        let mut words: Vec<&str> = Vec::new();
        for word in piece.split_whitespace().chain(["END"]) {
            let varies = word.chars().all(|c| c.is_ascii_uppercase());
            if varies {
                parts.push(words.join(" "));
                words.clear();
            } else {
                words.push(word);
            }
        }
    }
    parts.retain(|part| part.len() > 9);
    parts
}

#[test]
fn the_page_of_errors_has_no_message_that_is_said_nowhere() {
    let mut said = String::new();
    for file in files_below("src") {
        if has_ending(&file, "rs") {
            said.push_str(&fs::read_to_string(root().join(&file)).unwrap());
        }
    }
    // Literals that go on in another line.
    let mut lines = said.split("\\\n");
    let mut joined = lines.next().unwrap_or_default().to_owned();
    lines.for_each(|rest| joined.push_str(rest.trim_start()));
    let page = fs::read_to_string(root().join("docs/troubleshooting.md")).unwrap();
    let (mut count, mut wrong) = (0, Vec::new());
    for table in page.split("\n| message | ").skip(1) {
        let rows = table.lines().skip(2);
        for row in rows.take_while(|row| row.starts_with('|')) {
            let message = row.trim_start_matches("| ").split(" | ").next().unwrap();
            for part in literal_parts(message) {
                count += 1;
                if !joined.contains(&part) {
                    wrong.push(format!("{message}: {part}"));
                }
            }
        }
    }
    assert!(count > 100, "{count}");
    assert!(wrong.is_empty(), "said nowhere:\n{}", wrong.join("\n"));
}

/// What the jobs on our pages take for granted.
const SETTINGS: &str = "state_dir = \"state\"\n[environments.production]\n[environments.staging]\nparent = \"production\"\n\
    [masking]\nkey = { credential = \"mask-key\" }\n[sites.main.hosts]\n\"www.example.org\" = { staging = \"www.staging.example.org\" }\n[endpoints.accounts-production]\nenvironment = \"production\"\nurl = \"postgresql://reader@localhost/accounts\"\n\
    [endpoints.accounts-staging]\nenvironment = \"staging\"\nurl = \"postgresql://accounts@localhost/accounts_staging\"\n";

#[test]
fn every_job_on_a_page_is_valid() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("envsyncd.toml"), SETTINGS).unwrap();
    fs::create_dir(at("bin")).unwrap();
    fs::write(at("bin/drush"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(at("bin/drush"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(at("sql")).unwrap();
    let mut count = 0;
    for (page, text) in pages() {
        for block in text.split("```toml\n").skip(1) {
            let job = block.split("```").next().unwrap();
            if !job.contains("[[task]]") {
                continue;
            }
            count += 1;
            for script in job.split('"').filter(|word| word.starts_with("sql/")) {
                fs::write(at(script), "SELECT 1;\n").unwrap();
            }
            fs::write(at("job.toml"), job).unwrap();
            let path = std::env::var("PATH").unwrap_or_default();
            let output = Command::new(env!("CARGO_BIN_EXE_envsyncd"))
                .arg("--config")
                .arg(at("envsyncd.toml"))
                .args(["validate", "-f"])
                .arg(at("job.toml"))
                .env("PATH", format!("{}:{path}", at("bin").display()))
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(0), "{page}:\n{job}\n{said}");
        }
    }
    assert!(count > 5, "{count}");
}

/// What the sites on our pages take for granted, unless they say it.
const ENVIRONMENTS: &str = "[environments.production]\naliases = [\"prod\"]\n[environments.staging]\nparent = \"production\"\n\
    [environments.integration]\nparent = \"staging\"\n";
const DATABASES: &str =
    "production.database = \"sqlite:a.db\"\nstaging.database = \"sqlite:b.db\"\n";

#[test]
fn every_site_on_a_page_is_valid() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("envsyncd.toml");
    fs::create_dir(folder.path().join("jobs")).unwrap();
    let mut count = 0;
    for (page, text) in pages() {
        for block in text.split("```toml\n").skip(1) {
            let block = block.split("```").next().unwrap();
            let Some((_, rest)) = block.split_once("[sites.") else {
                continue;
            };
            count += 1;
            let mut settings = "job_dir = \"jobs\"\n".to_owned() + block;
            if !block.contains("[environments.") {
                settings.push_str(ENVIRONMENTS);
            }
            if !block.contains("[masking]") {
                settings.push_str("[masking]\nkey = { credential = \"mask-key\" }\n");
            }
            for environment in ["production", "staging"] {
                let name = format!("main-db-{environment}");
                if block.contains(&name) {
                    settings.push_str(&format!("[endpoints.{name}]\nenvironment = \"{environment}\"\nurl = \"mysql://reader@localhost/{environment}\"\n"));
                }
            }
            let site = rest.split(['.', ']']).next().unwrap();
            if !block.contains(&format!("[sites.{site}]")) {
                settings.push_str(&format!("[sites.{site}]\n{DATABASES}"));
            }
            fs::write(&file, &settings).unwrap();
            let output = Command::new(env!("CARGO_BIN_EXE_envsyncd"))
                .arg("--config")
                .arg(&file)
                .arg("validate")
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(0), "{page}:\n{settings}\n{said}");
        }
    }
    assert!(count > 5, "{count}");
}
