//! `[sites]`: the host names of a site in each environment.

use std::collections::BTreeMap;

use super::diagnostics::did_you_mean;
use super::document::quote;
use super::reader::Table;
use crate::policy::{Environment, Environments};

/// Sites by their names.
pub type Sites = BTreeMap<String, Site>;

/// One site.
#[derive(Debug, Clone, Default)]
pub struct Site {
    /// Its host names where the data comes from; for each the one that stands for it in other environments.
    pub hosts: BTreeMap<String, BTreeMap<Environment, String>>,
}

impl Site {
    /// What stands for its host names in an environment.
    pub(super) fn hosts_in(&self, environment: &Environment) -> BTreeMap<String, String> {
        let hosts = self.hosts.iter();
        hosts
            .filter_map(|(host, others)| Some((host.clone(), others.get(environment)?.clone())))
            .collect()
    }
}

/// Reads `[sites]`. What is wrong is said, and left out.
pub(super) fn read(table: &Table<'_>, environments: &Environments) -> Sites {
    let mut sites = Sites::new();
    for (name, _, value) in table.entries() {
        let Some(inner) = value.table() else { continue };
        let mut site = Site::default();
        let hosts = inner.get("hosts").and_then(|value| value.table());
        for (host, _, value) in hosts.iter().flat_map(Table::entries) {
            let Some(others) = value.table() else {
                continue;
            };
            let mut in_others = BTreeMap::new();
            for (name, _, value) in others.entries() {
                let environment = Environment::new(name);
                if environments.get(&environment).is_none() {
                    let names: Vec<&str> = environments.names().map(Environment::as_str).collect();
                    let wrong = value.wrong(format!("environment {} is not defined", quote(name)));
                    let near = did_you_mean(name, names.iter().copied());
                    value.report(wrong.allowed(names.join(" | ")).maybe_help(near));
                } else if let Some(text) = value.text() {
                    in_others.insert(environment, text.to_owned());
                }
            }
            site.hosts.insert(host.to_owned(), in_others);
        }
        inner.finish();
        sites.insert(name.to_owned(), site);
    }
    sites
}
