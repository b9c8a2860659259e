//! Site aliases as text for envsyncd.toml.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::super::written::{encoded, key, quoted};
use super::alias::{Alias, Place};
use crate::config::job::JobName;
use crate::config::sites::OWN_KEYS;
use crate::config::{Stores, read_url};
use crate::policy::{Environment, Environments};

/// What is known beside the aliases.
pub(in crate::cli::import) struct Around<'a> {
    /// The files, for a comment.
    pub(in crate::cli::import) files: Vec<String>,
    /// Those of envsyncd.toml.
    pub(in crate::cli::import) environments: &'a Environments,
    /// The sites of envsyncd.toml.
    pub(in crate::cli::import) sites: BTreeSet<&'a str>,
    /// The environment that this host is of, if envsyncd.toml says so.
    pub(in crate::cli::import) host: Option<&'a Environment>,
    /// Those that read what is written.
    pub(in crate::cli::import) stores: Stores,
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

/// A value; or, where it is not known or cannot be used, one that stands there as a comment.
type Line = Result<String, String>;

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
            if OWN_KEYS.contains(&environment.as_str()) {
                self.remark(format!(
                    "{shown} is left out: `{environment}` is a key of a site itself. Call the environment otherwise in Drush's file"
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

    /// The root by its own name, which `production` may be an alias of.
    fn production(&self) -> Option<&'a str> {
        let known = self.around.environments.named(PRODUCTION);
        let is_new = self.environments.contains_key(PRODUCTION);
        (known.map(Environment::as_str)).or_else(|| is_new.then_some(PRODUCTION))
    }

    fn head(&mut self) {
        let files: Vec<String> = (self.around.files.iter())
            .map(|file| file.escape_debug().to_string())
            .collect();
        self.text = format!(
            "# Made of {} by `envsyncd import drush`, for envsyncd.toml.\n",
            files.join(", ")
        );
        if self.around.host.is_none() {
            self.text.push_str("\n# At the top of envsyncd.toml: the environment that this host is of. `envsyncd pull` writes into no other.\n# host_environment = \"ENVIRONMENT\"\n");
            self.remark("which environment this host is of is not known: set host_environment at the top of envsyncd.toml");
        }
    }

    fn write_environments(&mut self) {
        let production = self.production();
        let mut unknown = Vec::new();
        for (name, called) in &self.environments {
            self.text
                .push_str(&format!("\n[environments.{}]\n", key(name)));
            match (name.as_str(), production) {
                (PRODUCTION, _) => {}
                (STAGING, Some(above)) => {
                    self.text.push_str(&format!("parent = {}\n", quoted(above)));
                }
                (_, above) => {
                    self.text.push_str(&format!(
                        "# parent = {}              # not known. Without a parent, nothing is ever copied into it\n",
                        quoted(above.unwrap_or("ENVIRONMENT"))
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
        let mut files = self.files(name, environments);
        for (environment, alias) in environments {
            let credential = format!("{name}-{environment}");
            let files = (files.remove(environment.as_str())).unwrap_or_else(|| Err(no_files()));
            let database = self.database(alias, &credential);
            trees += usize::from(files.is_ok());
            databases += usize::from(database.is_ok());
            let header = format!("[sites.{}.{}]", key(name), key(environment));
            let off = if files.is_err() && database.is_err() {
                "# "
            } else {
                ""
            };
            self.text.push_str(&format!("\n{off}{header}\n"));
            for (kind, line) in [("files", files), ("database", database)] {
                match line {
                    Ok(line) => self.text.push_str(&format!("{kind} = {line}\n")),
                    Err(line) => self.text.push_str(&format!("# {kind} = {line}\n")),
                }
            }
        }
        self.hosts(name, environments);
        self.options(name, environments, databases, trees);
        if databases < environments.len() {
            self.remark(format!("where databases of {name} are is not known: Drush reads it from settings.php on each host. `drush sql:connect` shows it there: fill in the lines `# database`"));
        }
    }

    /// A site's files in each environment.
    fn files<'e>(&mut self, name: &str, environments: &'e OfSite<'_>) -> BTreeMap<&'e str, Line> {
        let mut lines: BTreeMap<&str, Line> = BTreeMap::new();
        let (mut here, mut elsewhere) = (Vec::new(), Vec::new());
        for (environment, alias) in environments {
            let environment = environment.as_str();
            let line = self.tree(alias);
            if line.is_ok() {
                match alias.place {
                    Place::Here => here.push(environment),
                    Place::Host { .. } => elsewhere.push(environment),
                    Place::Unknown => {}
                }
            }
            lines.insert(environment, line);
        }
        if !here.is_empty() {
            self.remark(format!(
                "{name} has no host in {}: its files there are taken to be on the host that envsyncd runs on",
                here.join(", ")
            ));
        }
        if elsewhere.len() > 1 {
            self.remark(format!(
                "{name}: its files in {} are on other hosts, and one side of a copy has to be on the host that envsyncd runs on: there, write dir:///DIRECTORY for that host's own",
                elsewhere.join(", ")
            ));
            self.leave_own_files_out(name, &mut lines, &elsewhere);
        }
        lines
    }

    /// Makes a comment of this host's own files where they are on another host: what is pulled comes from another host, too.
    fn leave_own_files_out(
        &mut self,
        name: &str,
        lines: &mut BTreeMap<&str, Line>,
        elsewhere: &[&str],
    ) {
        let Some(host) = self.around.host else {
            return;
        };
        let own = self.environment(host.as_str());
        if self.production() == Some(own.as_str()) || !elsewhere.contains(&own.as_str()) {
            return;
        }
        if let Some(line) = lines.get_mut(own.as_str())
            && let Ok(url) = line
        {
            *line = Err(url.clone());
            self.remark(format!(
                "{name}: its files in {own}, which this host is of, stand there as a comment: write dir:///DIRECTORY if they are on this host"
            ));
        }
    }

    /// Where an alias has its files.
    fn tree(&mut self, alias: &Alias) -> Line {
        let Some(url) = alias.files.as_deref().and_then(|path| tree(alias, path)) else {
            return Err(no_files());
        };
        if self.is_understood("files", alias, &url) {
            Ok(quoted(&url))
        } else {
            Err(quoted(&url))
        }
    }

    /// Whether envsyncd.toml can have a URL. If not, the reason is said.
    fn is_understood(&mut self, kind: &str, alias: &Alias, url: &str) -> bool {
        let Err(flaw) = read_url(url, Path::new("/"), self.around.stores) else {
            return true;
        };
        let allowed = flaw.allowed.map(Cow::into_owned);
        let allowed = allowed.map(|allowed| format!("allowed: {allowed}"));
        let more = flaw.help.or(allowed).map(|more| format!(" ({more})"));
        self.remark(format!(
            "@{}.{}: its `{kind}` stands there as a comment: {}{}",
            alias.site,
            alias.environment,
            flaw.message,
            more.unwrap_or_default()
        ));
        false
    }

    /// A database, or a line to fill in.
    fn database(&mut self, alias: &Alias, credential: &str) -> Line {
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
        if !self.is_understood("database", alias, &database.url) {
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
        let production = self.production().unwrap_or(PRODUCTION);
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

/// What is to be filled in where files are not known.
fn no_files() -> String {
    quoted("ssh://USER@HOST/DIRECTORY")
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
            // Unescaped, it would be somebody's home.
            let path = if path.starts_with("/~") {
                path.replacen('~', "%7E", 1)
            } else {
                path
            };
            Some(format!(
                "ssh://{}{name}{}{path}",
                user.unwrap_or_default(),
                port.unwrap_or_default()
            ))
        }
        Place::Unknown => None,
    }
}
