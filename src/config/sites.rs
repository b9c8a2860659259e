//! `[sites]`: what one application has in each environment.

use std::collections::{BTreeMap, BTreeSet};

use super::diagnostics::did_you_mean;
use super::document::quote;
use super::job_name::JobName;
use super::reader::{Table, Value};
use crate::policy::{Environment, Environments};

/// A site's rows.
pub const DATABASE: &str = "database";

/// A site's tree of files.
pub const FILES: &str = "files";

/// What a site can have so far, in the order in which it is copied.
pub const CONTENTS: [&str; 2] = [DATABASE, FILES];

/// A site's own keys: all others are environments.
pub const OWN_KEYS: [&str; 3] = ["hooks", "hosts", "tasks"];

/// Sites by their names.
pub type Sites = BTreeMap<String, Site>;

/// One site.
#[derive(Debug, Clone, Default)]
pub struct Site {
    /// Its host names where the data comes from; for each the one that stands for it in other environments.
    pub hosts: BTreeMap<String, BTreeMap<Environment, String>>,
    /// The environments that it has each kind of data in.
    pub contents: BTreeMap<&'static str, Vec<Environment>>,
}

impl Site {
    /// The environments that it has this kind of data in.
    pub fn environments_with(&self, kind: &str) -> &[Environment] {
        self.contents.get(kind).map_or(&[], Vec::as_slice)
    }

    /// The environments that it has anything in.
    pub fn environments(&self) -> BTreeSet<&Environment> {
        self.contents.values().flatten().collect()
    }

    /// What stands for its host names in an environment.
    pub(super) fn hosts_in(&self, environment: &Environment) -> BTreeMap<String, String> {
        let hosts = self.hosts.iter();
        hosts
            .filter_map(|(host, others)| Some((host.clone(), others.get(environment)?.clone())))
            .collect()
    }
}

/// Reads the host names of `[sites]`. What is wrong is said, and left out.
pub(super) fn read_hosts(table: &Table<'_>, environments: &Environments) -> Sites {
    let mut sites = Sites::new();
    for (name, _, value) in table.entries() {
        let Some(inner) = value.table() else { continue };
        if JobName::of_site(name, "a", "b").is_none() {
            value.report(
                value
                    .wrong(format!("{} cannot be a site's name", quote(name)))
                    .allowed(
                        "a letter or digit, then letters, digits, `.`, `_`, `-`; 64 at the most",
                    ),
            );
            continue;
        }
        let mut site = Site::default();
        let hosts = inner.get("hosts").and_then(|value| value.table());
        for (host, _, value) in hosts.iter().flat_map(Table::entries) {
            let Some(others) = value.table() else {
                continue;
            };
            let mut in_others = BTreeMap::new();
            for (name, _, value) in others.entries() {
                if let Some(environment) = environment(name, &value, environments)
                    && let Some(text) = value.text()
                {
                    in_others.insert(environment, text.to_owned());
                }
            }
            site.hosts.insert(host.to_owned(), in_others);
        }
        sites.insert(name.to_owned(), site);
    }
    sites
}

/// The environment of this name, or why there is none, said at a value.
pub(super) fn environment(
    name: &str,
    at: &Value<'_>,
    environments: &Environments,
) -> Option<Environment> {
    if let Some(environment) = environments.named(name) {
        return Some(environment.clone());
    }
    let names: Vec<&str> = environments.names().map(Environment::as_str).collect();
    let wrong = at.wrong(format!("environment {} is not defined", quote(name)));
    let near = did_you_mean(name, names.iter().copied());
    at.report(wrong.allowed(names.join(" | ")).maybe_help(near));
    None
}
