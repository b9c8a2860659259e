//! Site aliases as text for envsyncd.toml.

use std::collections::{BTreeMap, BTreeSet};

use super::super::written::{encoded, key, quoted};
use super::alias::{Alias, Place};
use crate::config::job::JobName;
use crate::policy::{Environment, Environments};

/// What is known beside the aliases.
pub(in crate::cli::import) struct Around<'a> {
    /// The files, for a comment.
    pub(in crate::cli::import) files: Vec<String>,
    /// Those of envsyncd.toml.
    pub(in crate::cli::import) environments: &'a Environments,
    /// The sites of envsyncd.toml.
    pub(in crate::cli::import) sites: BTreeSet<&'a str>,
    /// Whether envsyncd.toml says which environment this host is of.
    pub(in crate::cli::import) has_host: bool,
}

/// Text for envsyncd.toml.
#[derive(Debug)]
pub(in crate::cli::import) struct Turned {
    pub(in crate::cli::import) text: String,
    /// What is to be looked after by hand.
    pub(in crate::cli::import) remarks: Vec<String>,
}

/// The root, from which the data comes.
const PRODUCTION: &str = "production";
const STAGING: &str = "staging";

/// What Drupal makes anew by itself.
const CACHES: [&str; 6] = [
    "cache",
    "cache_*",
    "watchdog",
    "sessions",
    "flood",
    "semaphore",
];

/// Makes sites of aliases.
pub(in crate::cli::import) fn turn(aliases: &[Alias], around: &Around<'_>) -> Turned {
    let mut writer = Writer {
        around,
        text: String::new(),
        remarks: Vec::new(),
        environments: BTreeMap::new(),
    };
    let sites = writer.sites(aliases);
    writer.head();
    writer.write_environments();
    for (name, environments) in &sites {
        writer.site(name, environments);
    }
    Turned {
        text: writer.text,
        remarks: writer.remarks,
    }
}

/// A site's aliases by our environments.
type OfSite<'a> = BTreeMap<String, &'a Alias>;

struct Writer<'a> {
    around: &'a Around<'a>,
    text: String,
    remarks: Vec<String>,
    /// Those that envsyncd.toml does not have, with what Drush calls them.
    environments: BTreeMap<String, BTreeSet<&'a str>>,
}

/// What an environment is called here: names that leave no doubt become one.
fn canonical(name: &str) -> &str {
    match name.to_ascii_lowercase().as_str() {
        "live" | "prod" | PRODUCTION => PRODUCTION,
        "stage" | STAGING | "stg" => STAGING,
        _ => name,
    }
}

impl<'a> Writer<'a> {
    fn remark(&mut self, what: impl Into<String>) {
        self.remarks.push(what.into());
    }

    /// Puts aliases in order, by sites.
    fn sites(&mut self, aliases: &'a [Alias]) -> BTreeMap<&'a str, OfSite<'a>> {
        let mut sites: BTreeMap<&str, OfSite<'_>> = BTreeMap::new();
        for alias in aliases {
            let (site, name) = (alias.site.as_str(), alias.environment.as_str());
            let shown = format!("@{}.{}", site.escape_debug(), name.escape_debug());
            let environment = self.environment(name);
            let fit = JobName::of_site(site, name, &environment).is_some();
            if !fit || Environment::new(name).is_archive() {
                self.remark(format!(
                    "{shown} is left out: names are letters, digits, `.`, `_`, `-`, 64 at the most"
                ));
                continue;
            }
            if self.around.sites.contains(site) {
                self.remark(format!("{shown} is left out: envsyncd.toml has a site `{site}`. Call this one otherwise with --site NAME"));
                continue;
            }
            let there = sites.entry(site).or_default();
            if let Some(other) = there.get(&environment) {
                let what = format!(
                    "{shown} is left out: @{site}.{} is {environment} already",
                    other.environment
                );
                self.remark(what);
                continue;
            }
            there.insert(environment.clone(), alias);
            if self.around.environments.named(&environment).is_none() {
                let names = self.environments.entry(environment).or_default();
                names.insert(name);
            } else if self.around.environments.named(name).is_none() {
                self.remark(format!("{name} is taken for {environment}, which is in envsyncd.toml: add {} to its aliases there, if you want to call it so", quoted(name)));
            }
        }
        sites
    }

    fn environment(&self, name: &str) -> String {
        let known = self.around.environments;
        let found = known.named(name).or_else(|| known.named(canonical(name)));
        found
            .map_or(canonical(name), Environment::as_str)
            .to_owned()
    }

    fn head(&mut self) {
        let files: Vec<String> = (self.around.files.iter())
            .map(|file| file.escape_debug().to_string())
            .collect();
        self.text = format!(
            "# Made of {} by `envsyncd import drush`, for envsyncd.toml.\n",
            files.join(", ")
        );
        if !self.around.has_host {
            self.text.push_str("\n# At the top of envsyncd.toml: the environment that this host is of. `envsyncd pull` writes into no other.\n# host_environment = \"ENVIRONMENT\"\n");
            self.remark("which environment this host is of is not known: set host_environment at the top of envsyncd.toml");
        }
    }

    fn write_environments(&mut self) {
        let is_there = |name: &str| {
            self.environments.contains_key(name) || self.around.environments.named(name).is_some()
        };
        let has_production = is_there(PRODUCTION);
        let above = if has_production {
            PRODUCTION
        } else {
            "ENVIRONMENT"
        };
        let mut unknown = Vec::new();
        for (name, called) in &self.environments {
            self.text
                .push_str(&format!("\n[environments.{}]\n", key(name)));
            match name.as_str() {
                PRODUCTION => {}
                STAGING if has_production => self.text.push_str("parent = \"production\"\n"),
                _ => {
                    self.text.push_str(&format!(
                        "# parent = {}              # not known. Without a parent, nothing is ever copied into it\n",
                        quoted(above)
                    ));
                    unknown.push(name.clone());
                }
            }
            let others: Vec<String> = (called.iter().filter(|one| *one != name))
                .map(|one| quoted(one))
                .collect();
            if !others.is_empty() {
                self.text
                    .push_str(&format!("aliases = [{}]\n", others.join(", ")));
            }
        }
        if !unknown.is_empty() {
            self.remark(format!(
                "from which environment data may come into {} is not known: set `parent` of each",
                unknown.join(", ")
            ));
        }
    }

    fn site(&mut self, name: &str, environments: &OfSite<'_>) {
        let (mut databases, mut trees) = (0, 0);
        let here: Vec<&str> = (environments.iter())
            .filter(|(_, alias)| matches!(alias.place, Place::Here) && alias.files.is_some())
            .map(|(environment, _)| environment.as_str())
            .collect();
        if !here.is_empty() {
            self.remark(format!(
                "{name} has no host in {}: its files there are taken to be on the host that envsyncd runs on",
                here.join(", ")
            ));
        }
        let elsewhere: Vec<&str> = (environments.iter())
            .filter(|(_, alias)| matches!(alias.place, Place::Host { .. }) && alias.files.is_some())
            .map(|(environment, _)| environment.as_str())
            .collect();
        if elsewhere.len() > 1 {
            self.remark(format!(
                "{name}: its files in {} are on other hosts, and one side of a copy has to be on the host that envsyncd runs on: there, write dir:///DIRECTORY for that host's own",
                elsewhere.join(", ")
            ));
        }
        for (environment, alias) in environments {
            let credential = format!("{name}-{environment}");
            let files = alias.files.as_deref().and_then(|path| tree(alias, path));
            let database = self.database(alias, &credential);
            trees += usize::from(files.is_some());
            databases += usize::from(database.is_ok());
            let header = format!("[sites.{}.{}]", key(name), key(environment));
            let off = if files.is_none() && database.is_err() {
                "# "
            } else {
                ""
            };
            self.text.push_str(&format!("\n{off}{header}\n"));
            match files {
                Some(files) => self.text.push_str(&format!("files = {}\n", quoted(&files))),
                None => self
                    .text
                    .push_str("# files = \"ssh://USER@HOST/DIRECTORY\"\n"),
            }
            match database {
                Ok(line) => self.text.push_str(&format!("database = {line}\n")),
                Err(line) => self.text.push_str(&format!("# database = {line}\n")),
            }
        }
        self.hosts(name, environments);
        self.options(name, environments, databases, trees);
        if databases < environments.len() {
            self.remark(format!("where databases of {name} are is not known: Drush reads it from settings.php on each host. `drush sql:connect` shows it there: fill in the lines `# database`"));
        }
    }

    /// A database, or a line to fill in.
    fn database(&mut self, alias: &Alias, credential: &str) -> Result<String, String> {
        let password = format!("password = {{ credential = {} }}", quoted(credential));
        let Some(database) = &alias.database else {
            return Err(format!(
                "{{ url = \"mysql://USER@HOST/DATABASE\", {password} }}"
            ));
        };
        let url = quoted(&database.url);
        let line = if database.has_password {
            format!("{{ url = {url}, {password} }}")
        } else {
            url
        };
        let shown = format!("@{}.{}", alias.site, alias.environment);
        if database.is_there && !matches!(alias.place, Place::Here) {
            self.remark(format!(
                "{shown}: its database is on localhost of that host: write a name that it is reached by from here"
            ));
            return Err(line);
        }
        if database.has_password {
            self.remark(format!(
                "{shown}: the password of its database is not copied: put it into /etc/envsyncd/credentials/{credential}, or write another place for it"
            ));
        }
        Ok(line)
    }

    /// What stands for production's host name elsewhere.
    fn hosts(&mut self, name: &str, environments: &OfSite<'_>) {
        let uri = |environment: &str| environments.get(environment)?.uri.as_deref();
        let production = self.around.environments.named(PRODUCTION);
        let production = production.map_or(PRODUCTION, Environment::as_str);
        let Some(host) = uri(production) else {
            return;
        };
        let others: Vec<String> = (environments.iter())
            .filter_map(|(environment, alias)| Some((environment, alias.uri.as_deref()?)))
            .filter(|(environment, other)| *environment != production && *other != host)
            .map(|(environment, other)| format!("{} = {}", key(environment), quoted(other)))
            .collect();
        if !others.is_empty() {
            self.text.push_str(&format!(
                "\n[sites.{}.hosts]                  # what masks of the kind `replace` with hosts = {} put\n{} = {{ {} }}\n",
                key(name),
                quoted(name),
                key(host),
                others.join(", ")
            ));
        }
    }

    fn options(&mut self, name: &str, environments: &OfSite<'_>, databases: usize, trees: usize) {
        let mut written = |kind: &str, is_on: bool, keys: &[String]| {
            let off = if is_on { "" } else { "# " };
            let name = key(name);
            self.text
                .push_str(&format!("\n{off}[sites.{name}.tasks.{kind}]\n"));
            for line in keys {
                self.text.push_str(&format!("{off}{line}\n"));
            }
        };
        let union = |of: fn(&Alias) -> &Vec<String>| -> BTreeSet<&str> {
            let all = environments.values().flat_map(|alias| of(alias));
            all.map(String::as_str).collect()
        };
        let list = |tables: BTreeSet<&str>| {
            let tables: Vec<String> = tables.into_iter().map(quoted).collect();
            tables.join(", ")
        };
        let mut structure = union(|alias| &alias.structure_only);
        if structure.is_empty() {
            structure.extend(CACHES);
        }
        let mut keys = vec![format!("schema_only = [{}]", list(structure))];
        let skipped = union(|alias| &alias.skipped);
        if !skipped.is_empty() {
            keys.push(format!("exclude = [{}]", list(skipped)));
        }
        written("database", databases > 1, &keys);
        written("files", trees > 1, &["preset = \"drupal\"".to_owned()]);
    }
}

/// The URL of a site's files.
fn tree(alias: &Alias, path: &str) -> Option<String> {
    let path: Vec<String> = path.split('/').map(encoded).collect();
    let path = path.join("/");
    match &alias.place {
        Place::Here => Some(format!("dir://{path}")),
        Place::Host { name, user, port } => {
            let user = user.as_ref().map(|user| format!("{}@", encoded(user)));
            let port = port.map(|port| format!(":{port}"));
            Some(format!(
                "ssh://{}{name}{}{path}",
                user.unwrap_or_default(),
                port.unwrap_or_default()
            ))
        }
        Place::Unknown => None,
    }
}
