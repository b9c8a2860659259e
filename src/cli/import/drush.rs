//! Drush's site aliases: which sites there are, in which environments, on which hosts. What is found is text for envsyncd.toml.

mod alias;
mod node;
mod php;
// Their aliases have URLs of these stores.
#[cfg(all(test, feature = "files", feature = "mysql", feature = "postgresql"))]
mod tests;
mod turned;
mod yaml;

use std::collections::BTreeSet;

use super::assignments::Flaw;
use crate::config::job::JobName;
use alias::Alias;
use node::{Node, Value};

pub(super) use turned::{Around, turn};

/// So many bytes a file may have.
const LARGEST: usize = 256 * 1024;

/// What a file of aliases is, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// `NAME.site.yml`: one site, its environments below it.
    Site(String),
    /// `NAME.aliases.drushrc.php`: the same of Drush 8.
    Group(String),
    /// `aliases.drushrc.php`: any sites.
    Any,
    /// `NAME.alias.drushrc.php`: one alias.
    One(String),
}

/// Aliases, and what there is to say of them.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) aliases: Vec<Alias>,
    pub(super) said: Vec<Flaw>,
}

/// The kind of a file of this name.
pub(super) fn kind(name: &str) -> Option<Kind> {
    if name == "aliases.drushrc.php" {
        return Some(Kind::Any);
    }
    let of = |ending| name.strip_suffix(ending).filter(|name| !name.is_empty());
    of(".site.yml")
        .map(|name| Kind::Site(name.to_owned()))
        .or_else(|| of(".aliases.drushrc.php").map(|name| Kind::Group(name.to_owned())))
        .or_else(|| of(".alias.drushrc.php").map(|name| Kind::One(name.to_owned())))
}

/// Calls the only site of these otherwise.
pub(super) fn rename(aliases: &mut [Alias], site: &str) -> Result<(), String> {
    let names: BTreeSet<&str> = aliases.iter().map(|one| one.site.as_str()).collect();
    if names.len() > 1 {
        let names: Vec<&str> = names.into_iter().collect();
        return Err(format!(
            "--site is for one site, and these are several: {}",
            names.join(", ")
        ));
    }
    if JobName::of_site(site, "a", "b").is_none() {
        return Err("a site's name has letters, digits, `.`, `_`, `-`, 64 at the most".to_owned());
    }
    for alias in aliases {
        site.clone_into(&mut alias.site);
    }
    Ok(())
}

/// Reads a file's text. An alias without the name of a site is of the site `unnamed`.
pub(super) fn read(text: &str, kind: &Kind, unnamed: &str) -> Result<Read, Flaw> {
    if text.len() > LARGEST {
        return Err(flaw(1, "the file is too long for one of site aliases"));
    }
    match kind {
        Kind::Site(site) => of_yaml(&yaml::parse(text)?, site),
        Kind::Group(site) => of_php(php::parse(text, "aliases")?, site, |name| {
            (site.clone(), name.to_owned())
        }),
        Kind::Any => of_php(php::parse(text, "aliases")?, unnamed, |name| {
            split(name, unnamed)
        }),
        Kind::One(name) => {
            let mut read = php::parse(text, "options")?;
            let alias = std::mem::replace(&mut read.node, Node::new(1, Value::Nothing));
            read.node.set(std::slice::from_ref(name), alias);
            of_php(read, unnamed, |name| split(name, unnamed))
        }
    }
}

/// `SITE.ENVIRONMENT`.
fn split(name: &str, unnamed: &str) -> (String, String) {
    let (site, environment) = name.rsplit_once('.').unwrap_or((unnamed, name));
    (site.to_owned(), environment.to_owned())
}

fn of_yaml(root: &Node, site: &str) -> Result<Read, Flaw> {
    if !matches!(root.value, Value::Members(_)) {
        return Err(flaw(root.line, "it has no environments"));
    }
    let mut read = Read {
        aliases: Vec::new(),
        said: Vec::new(),
    };
    // What Drush puts below all of them.
    let nothing = Node::new(1, Value::Members(Vec::new()));
    let common = root.get("common").unwrap_or(&nothing);
    for (name, node) in root.members() {
        if name == "common" {
            continue;
        }
        if name.contains(['*', '$']) {
            read.said.push(flaw(
                node.line,
                "the environments that a pattern stands for are not known, and left out",
            ));
        } else if matches!(node.value, Value::Members(_)) {
            let node = node.over(common);
            let found = alias::read(site, name, &node, &mut read.said);
            read.aliases.push(found);
        } else if matches!(name.as_str(), "host" | "root" | "uri") {
            return Err(flaw(
                node.line,
                "it describes one environment without a name: put all of it below one, as `prod:`",
            ));
        } else {
            let what = format!("`{}` is no environment, and left out", name.escape_debug());
            read.said.push(flaw(node.line, what));
        }
    }
    Ok(read)
}

fn of_php(
    file: php::Read,
    group: &str,
    names: impl Fn(&str) -> (String, String),
) -> Result<Read, Flaw> {
    let mut read = Read {
        aliases: Vec::new(),
        said: file.unknown,
    };
    if !matches!(file.node.value, Value::Members(_)) {
        return Err(flaw(file.node.line, "the aliases are computed"));
    }
    for (name, node) in file.node.members() {
        let shown = name.escape_debug();
        if node.get("site-list").is_some() {
            let what = format!("`{shown}` is a list of sites, and left out");
            read.said.push(flaw(node.line, what));
        } else if matches!(node.value, Value::Members(_)) {
            let mut seen = BTreeSet::from([name.as_str()]);
            let whole = with_parents(node, &file.node, group, &mut seen, &mut read.said);
            let (site, environment) = names(name);
            let found = alias::read(&site, &environment, &whole, &mut read.said);
            read.aliases.push(found);
        } else {
            let what = format!("`{shown}` is not known: it is computed");
            read.said.push(flaw(node.line, what));
        }
    }
    Ok(read)
}

/// An alias with what it has from its parents.
fn with_parents<'n>(
    node: &'n Node,
    all: &'n Node,
    group: &str,
    seen: &mut BTreeSet<&'n str>,
    said: &mut Vec<Flaw>,
) -> Node {
    let Some(parents) = node.get("parent") else {
        return node.clone();
    };
    let mut whole = node.clone();
    // Of several, the last one counts.
    for parent in parents.text().unwrap_or("?").rsplit(',') {
        let parent = parent.trim().trim_start_matches('@');
        let in_group = parent.strip_prefix(group);
        let bare = in_group.and_then(|rest| rest.strip_prefix('.'));
        let mut names = [Some(parent), bare].into_iter().flatten();
        let found = names.find_map(|name| all.members().iter().find(|(known, _)| known == name));
        match found {
            Some((name, parent)) if seen.len() < 16 && seen.insert(name) => {
                whole = whole.over(&with_parents(parent, all, group, seen, said));
            }
            Some(_) => said.push(flaw(parents.line, "its parents go in a circle")),
            None => said.push(flaw(
                parents.line,
                "its parent is not in this file: what it has from there is not known",
            )),
        }
    }
    whole
}

fn flaw(line: usize, what: impl Into<String>) -> Flaw {
    Flaw {
        line,
        what: what.into(),
    }
}
