//! One site alias: what Drush 8 and Drush 9 to 13 call the same things.

use super::super::assignments::Flaw;
use super::super::written::encoded;
use super::node::{Node, Value};
use crate::config::is_here;

/// A site in one environment.
#[derive(Debug)]
pub(in crate::cli::import) struct Alias {
    pub(super) site: String,
    /// As Drush calls it.
    pub(super) environment: String,
    pub(super) place: Place,
    /// The directory of its files, absolute.
    pub(super) files: Option<String>,
    /// Its host name, as visitors know it.
    pub(super) uri: Option<String>,
    pub(super) database: Option<Database>,
    /// Tables without rows.
    pub(super) structure_only: Vec<String>,
    /// Tables that are left out.
    pub(super) skipped: Vec<String>,
}

/// Where it is.
#[derive(Debug)]
pub(super) enum Place {
    /// Where Drush runs.
    Here,
    Host {
        name: String,
        user: Option<String>,
        port: Option<u16>,
    },
    Unknown,
}

/// A database that is written in the alias itself.
#[derive(Debug)]
pub(super) struct Database {
    /// Without its password.
    pub(super) url: String,
    pub(super) has_password: bool,
    /// Whether its server is only reached where the site is.
    pub(super) is_there: bool,
}

/// What is looked at, or says nothing about where data is.
const KNOWN: [&str; 19] = [
    "#comment",
    "databases",
    "db-url",
    "description",
    "host",
    "os",
    "parent",
    "path-aliases",
    "paths",
    "php",
    "remote-host",
    "remote-os",
    "remote-user",
    "root",
    "ssh",
    "ssh-options",
    "uri",
    "user",
    "drush-script",
];

/// Options of commands, of which lists of tables are taken.
const COMMANDS: [&str; 4] = [
    "command",
    "command-specific",
    "source-command-specific",
    "target-command-specific",
];

/// How Drush reaches what it does not reach by ssh.
const OTHERWISE: [&str; 5] = ["docker", "docker-compose", "kubectl", "skpr", "vagrant"];

/// Where a Drupal site has its files unless it says otherwise.
const USUAL_FILES: &str = "sites/default/files";

/// Reads one alias. What cannot be known is said.
pub(super) fn read(site: &str, environment: &str, node: &Node, said: &mut Vec<Flaw>) -> Alias {
    let mut reader = Reader {
        node,
        name: format!("@{}.{}", site.escape_debug(), environment.escape_debug()),
        said,
    };
    let place = reader.place();
    let files = reader.files(&place);
    let uri = reader.uri();
    let database = reader.database();
    reader.pass_others();
    let mut structure_only = Vec::new();
    let mut skipped = Vec::new();
    tables(node, "structure-tables-list", &mut structure_only);
    tables(node, "skip-tables-list", &mut skipped);
    Alias {
        site: site.to_owned(),
        environment: environment.to_owned(),
        files: files.filter(|_| !matches!(place, Place::Unknown)),
        place,
        uri,
        database,
        structure_only,
        skipped,
    }
}

struct Reader<'n> {
    node: &'n Node,
    /// For what is said.
    name: String,
    said: &'n mut Vec<Flaw>,
}

impl<'n> Reader<'n> {
    fn say(&mut self, line: usize, what: impl Into<String>) {
        let what = format!("{}: {}", self.name, what.into());
        self.said.push(Flaw { line, what });
    }

    /// What stands under the first of these names that is there, with the name. An empty text is none.
    fn found(&self, names: &[&[&'static str]]) -> Option<(&'static str, &'n Node)> {
        names.iter().find_map(|path| {
            let node = path
                .iter()
                .try_fold(self.node, |node, name| node.get(name))?;
            let is_empty = match &node.value {
                Value::Nothing => true,
                Value::Text(text) => text.trim().is_empty(),
                _ => false,
            };
            (!is_empty).then_some((*path.last()?, node))
        })
    }

    /// The same as text: `Err` where it is there and not known.
    fn text(&mut self, names: &[&[&'static str]]) -> Result<Option<(usize, &'n str)>, ()> {
        let Some((name, node)) = self.found(names) else {
            return Ok(None);
        };
        let why = match &node.value {
            Value::Text(text) if text.contains("${") => "it has a variable in it",
            Value::Text(text) if text.contains(char::is_control) => "it is no line of text",
            Value::Text(text) => return Ok(Some((node.line, text.trim()))),
            Value::Unknown(why) => why,
            _ => "it is no text",
        };
        self.say(node.line, format!("`{name}` is not known: {why}"));
        Err(())
    }

    fn place(&mut self) -> Place {
        for name in OTHERWISE {
            if let Some(node) = self.node.get(name) {
                let what = format!(
                    "Drush reaches it by `{name}`, and envsyncd does not: where its files are is not known"
                );
                self.say(node.line, what);
                return Place::Unknown;
            }
        }
        let (host, user) = (
            self.text(&[&["host"], &["remote-host"]]),
            self.text(&[&["user"], &["remote-user"]]),
        );
        let port = self.port();
        let (Ok(host), Ok(user), Ok(mut port)) = (host, user, port) else {
            return Place::Unknown;
        };
        let Some((line, host)) = host else {
            return Place::Here;
        };
        if is_here(host) {
            return Place::Here;
        }
        let mut name = host;
        // Drush hands it to ssh as it is.
        let mut before = None;
        if let Some((user, rest)) = name.rsplit_once('@') {
            (before, name) = (Some(user), rest);
        }
        if let Some((rest, digits)) = name.rsplit_once(':')
            && !rest.contains(':')
            && let Ok(number) = digits.parse()
        {
            (port, name) = (Some(number), rest);
        }
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if name.is_empty() || name.starts_with('-') || !name.chars().all(fine) {
            self.say(line, "its host is no host name or IPv4 address");
            return Place::Unknown;
        }
        Place::Host {
            name: name.to_ascii_lowercase(),
            user: user.map(|(_, user)| user).or(before).map(str::to_owned),
            port,
        }
    }

    /// The port in the options for ssh. What else they say is for ssh's own configuration.
    fn port(&mut self) -> Result<Option<u16>, ()> {
        let Some((line, options)) = self.text(&[&["ssh", "options"], &["ssh-options"]])? else {
            return Ok(None);
        };
        let mut words = options.split_whitespace();
        let (mut port, mut others) = (None, Vec::new());
        while let Some(word) = words.next() {
            // A letter alone has its value behind it.
            let (name, value) = match word {
                "-p" | "-o" | "-i" | "-J" | "-F" | "-l" => (word, words.next().unwrap_or("")),
                _ if word.starts_with("-p") || word.starts_with("-o") => word.split_at(2),
                _ => (word, ""),
            };
            let option = match name {
                "-p" => Some(value),
                "-o" => of_port(value),
                _ => None,
            };
            let Some(option) = option else {
                others.push(format!("{name} {value}").trim_end().to_owned());
                continue;
            };
            let Ok(number) = option.trim_matches(['"', '\'']).parse() else {
                self.say(line, "the port in its options for ssh is no number");
                return Err(());
            };
            port = port.or(Some(number));
        }
        if !others.is_empty() {
            let others = others.join(" ");
            self.say(line, format!("its options for ssh say more than a port: `{}` belongs into ~/.ssh/config of the user that envsyncd runs as; a key can be named here as well, by `identity`", others.escape_debug()));
        }
        Ok(port)
    }

    /// The directory of files.
    fn files(&mut self, place: &Place) -> Option<String> {
        let files = self.text(&[&["paths", "files"], &["path-aliases", "%files"]]);
        let root = self.text(&[&["root"]]);
        let (Ok(files), Ok(root)) = (files, root) else {
            return None;
        };
        let path = match (files, root) {
            (Some((_, files)), _) if files.starts_with('/') => files.to_owned(),
            (_, None) => {
                self.say(
                    self.node.line,
                    "it has no `root`, so where its files are is not known",
                );
                return None;
            }
            (_, Some((line, root))) if !root.starts_with('/') => {
                self.say(
                    line,
                    "its `root` is no absolute path, so where its files are is not known",
                );
                return None;
            }
            (files, Some((line, root))) => {
                if files.is_none() {
                    self.say(line, format!("it says nothing of files: that they are in {USUAL_FILES} of its root is assumed"));
                }
                let files = files.map_or(USUAL_FILES, |(_, files)| files);
                format!("{root}/{files}")
            }
        };
        let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
        let parts: Vec<&str> = parts.collect();
        if parts.last().is_none_or(|last| *last == "..") {
            self.say(self.node.line, "the path of its files ends in no name");
            return None;
        }
        // A URL of another host has none. Of this one, the system itself knows where it leads.
        if matches!(place, Place::Host { .. }) && parts.contains(&"..") {
            let folded = format!("/{}", folded(&parts).join("/"));
            self.say(self.node.line, format!("the path of its files has a `..` in it, and is taken for {}: look whether a directory before the `..` is a link on that host", folded.escape_debug()));
            return Some(folded);
        }
        Some(format!("/{}", parts.join("/")))
    }

    fn uri(&mut self) -> Option<String> {
        let (line, uri) = self.text(&[&["uri"]]).ok()??;
        let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let authority = authority.rsplit('@').next().unwrap_or_default();
        let host = authority.split(':').next().unwrap_or_default();
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
        let is_name = host.contains('.') && host.chars().all(fine) && !host.ends_with('.');
        if is_name {
            return Some(host.to_ascii_lowercase());
        }
        if host != "default" {
            self.say(line, "its `uri` has no host name that could be rewritten");
        }
        None
    }

    fn database(&mut self) -> Option<Database> {
        if let Some((line, url)) = self.text(&[&["db-url"]]).ok()? {
            let read = of_url(url);
            if read.is_none() {
                self.say(line, "its `db-url` is not understood");
            }
            return read;
        }
        let (_, node) = self.found(&[&["databases", "default", "default"]])?;
        let read = of_settings(node);
        if read.is_none() {
            self.say(node.line, "its `databases` are not understood");
        }
        read
    }

    /// Says what has no counterpart.
    fn pass_others(&mut self) {
        for (name, node) in self.node.members() {
            let known = KNOWN.contains(&name.as_str()) || OTHERWISE.contains(&name.as_str());
            if COMMANDS.contains(&name.as_str()) {
                let what = format!("of `{name}`, lists of tables alone are taken");
                self.say(node.line, what);
            } else if !known && !name.starts_with("ac-") {
                // Acquia's say what the other options say.
                let what = format!("`{}` is left out", name.escape_debug());
                self.say(node.line, what);
            }
        }
    }
}

/// Parts of an absolute path without `..`, each of which takes the part before it away.
fn folded<'p>(parts: &[&'p str]) -> Vec<&'p str> {
    let mut kept = Vec::new();
    for part in parts {
        if *part == ".." {
            kept.pop();
        } else {
            kept.push(*part);
        }
    }
    kept
}

/// `Port=N`.
fn of_port(option: &str) -> Option<&str> {
    let (name, value) = option.split_once('=')?;
    name.eq_ignore_ascii_case("port").then_some(value)
}

/// Lists of tables anywhere in an alias: Drush 8 and 9 have them in different places.
fn tables(node: &Node, name: &str, found: &mut Vec<String>) {
    for (key, member) in node.members() {
        match member.text() {
            Some(text) if key == name => {
                let tables = text.split(',').map(str::trim);
                let fine = |table: &&str| {
                    !table.is_empty() && !table.contains(char::is_control) && !table.contains("${")
                };
                found.extend(tables.filter(fine).map(str::to_owned));
            }
            _ => tables(member, name, found),
        }
    }
}

/// Drupal's drivers, as envsyncd's schemes.
fn scheme(driver: &str) -> Option<&'static str> {
    match driver.rsplit('\\').next().unwrap_or_default() {
        "mysql" | "mysqli" => Some("mysql"),
        "pgsql" | "postgres" | "postgresql" => Some("postgresql"),
        _ => None,
    }
}

fn of_url(text: &str) -> Option<Database> {
    let url = url::Url::parse(text).ok()?;
    let name = url.path().strip_prefix('/')?;
    let host = url.host_str().filter(|host| !host.is_empty())?;
    if name.is_empty() || name.contains('/') || url.username().is_empty() {
        return None;
    }
    let port = url
        .port()
        .map_or_else(String::new, |port| format!(":{port}"));
    Some(Database {
        url: format!(
            "{}://{}@{host}{port}/{name}",
            scheme(url.scheme())?,
            url.username()
        ),
        has_password: url.password().is_some(),
        is_there: is_here(host),
    })
}

/// As settings.php has it.
fn of_settings(node: &Node) -> Option<Database> {
    let text = |name| {
        node.get(name)
            .and_then(Node::text)
            .filter(|text| !text.is_empty())
    };
    let host = text("host").unwrap_or("localhost");
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if !host.chars().all(fine) {
        return None;
    }
    let port = match text("port") {
        Some(port) => format!(":{}", port.parse::<u16>().ok()?),
        None => String::new(),
    };
    Some(Database {
        url: format!(
            "{}://{}@{host}{port}/{}",
            scheme(text("driver")?)?,
            encoded(text("username")?),
            encoded(text("database")?)
        ),
        has_password: node.get("password").is_some(),
        is_there: is_here(host) || node.get("unix_socket").is_some(),
    })
}
