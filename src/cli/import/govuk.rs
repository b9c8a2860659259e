//! What alphagov's `govuk_env_sync.sh` reads from a `.cfg` file, as a job.
//!
//! What each variable does was read in the script itself (alphagov/govuk-puppet, modules/govuk_env_sync).

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::assignments::{Assignment, Flaw, Value};
use super::written::{encoded, quoted};
use crate::policy::{Environment, Environments};

/// As whom the script works on its servers.
pub(super) const USER: &str = "aws_db_admin";

/// All variables of the script that a file may set.
const VARIABLES: [&str; 15] = [
    "action",
    "database",
    "database_hostname",
    "dbms",
    "delete",
    "destination_bucket",
    "excluded_tables",
    "path",
    "pre_dump_transformation_sql_file",
    "source_bucket",
    "storagebackend",
    "temppath",
    "timestamp",
    "transformation_sql_file",
    "url",
];

/// Settings of a job that a `.cfg` file does not have.
pub(super) struct Around<'a> {
    /// The file, for a comment.
    pub(super) file: String,
    pub(super) environments: &'a Environments,
    /// This host's own environment.
    pub(super) host: Option<&'a Environment>,
    /// Asked for on the command line.
    pub(super) from: Option<&'a Environment>,
    /// Asked for on the command line.
    pub(super) to: Option<&'a Environment>,
    /// As whom servers are reached.
    pub(super) user: &'a str,
    /// What lies in the buckets.
    pub(super) format: Format,
    /// Where the script has its variables from, unless the settings' `env_dir` says the same.
    pub(super) env_dir: Option<String>,
    /// The region that stands there.
    pub(super) region: Option<&'a str>,
}

/// The format of the dumps that a job reads or writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// The script's own dumps: the other side may go on with it.
    Govuk,
    /// Snapshots: both sides are envsyncd's.
    Envsyncd,
}

/// A job.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Turned {
    /// The file's text.
    pub(super) text: String,
    /// What is to be looked after by hand.
    pub(super) remarks: Vec<String>,
}

/// Makes a job of a file's assignments, or says everything that has no counterpart.
pub(super) fn turn(assignments: &[Assignment], around: &Around<'_>) -> Result<Turned, Vec<Flaw>> {
    let mut file = File::new(assignments);
    file.refuse_unknown();
    let turned = match file.required("action", &["push", "pull", "s3_sync"]) {
        Some("push") => file.push(around),
        Some("pull") => file.pull(around),
        Some(_) => {
            file.refuse(
                "action",
                "a bucket is copied into a bucket (s3_sync): envsyncd copies databases, and no files yet",
            );
            None
        }
        None => None,
    };
    match turned {
        Some(turned) if file.flaws.is_empty() => Ok(turned),
        _ => Err(file.flaws),
    }
}

/// A file's variables; the last assignment of each counts, as for the script.
struct File<'f> {
    variables: BTreeMap<&'f str, &'f Assignment>,
    flaws: Vec<Flaw>,
    remarks: Vec<String>,
}

impl<'f> File<'f> {
    fn new(assignments: &'f [Assignment]) -> Self {
        let variables = assignments.iter().map(|one| (one.name.as_str(), one));
        Self {
            variables: variables.collect(),
            flaws: Vec::new(),
            remarks: Vec::new(),
        }
    }

    /// At a variable, or at the whole file (line 0) if that is not there.
    fn refuse(&mut self, name: &str, what: impl Into<String>) {
        let line = self.variables.get(name).map_or(0, |one| one.line);
        self.flaws.push(Flaw {
            line,
            what: what.into(),
        });
    }

    fn remark(&mut self, what: impl Into<String>) {
        self.remarks.push(what.into());
    }

    /// Refuses unknown variables: a shell that sources the file could do anything with them.
    fn refuse_unknown(&mut self) {
        let unknown: Vec<&str> = self
            .variables
            .keys()
            .copied()
            .filter(|name| !VARIABLES.contains(name))
            .collect();
        for name in unknown {
            self.refuse(
                name,
                format!("govuk_env_sync.sh has no variable `{name}` that a file sets: take the line out if it does nothing"),
            );
        }
    }

    /// A variable with something in it; an array is its first member, as for a shell.
    fn text(&self, name: &str) -> Option<&'f str> {
        let text = match &self.variables.get(name)?.value {
            Value::Text(text) => text.as_str(),
            Value::List(members) => members.first()?,
        };
        (!text.is_empty()).then_some(text)
    }

    /// A variable that the script insists on. With `among`, one of these words.
    fn required(&mut self, name: &str, among: &[&str]) -> Option<&'f str> {
        let Some(text) = self.text(name) else {
            self.refuse(name, format!("`{name}` is missing or empty"));
            return None;
        };
        if !among.is_empty() && !among.contains(&text) {
            self.refuse(
                name,
                format!("`{name}` is not one of: {}", among.join(", ")),
            );
            return None;
        }
        Some(text)
    }

    /// The store's kind and URL, with its password, as a TOML table; and the archive's URL.
    fn ends(&mut self, is_push: bool, around: &Around<'_>) -> Option<Ends<'f>> {
        const DBMS: [&str; 6] = [
            "documentdb",
            "elasticsearch",
            "files",
            "mongo",
            "mysql",
            "postgresql",
        ];
        let dbms = self.required("dbms", &DBMS);
        match dbms {
            Some("mongo" | "documentdb") => {
                self.refuse("dbms", "MongoDB is not supported yet");
            }
            Some("elasticsearch") => self.refuse("dbms", "Elasticsearch is not supported yet"),
            Some("files") => self.refuse("dbms", "directories of files are not supported yet"),
            _ => {}
        }
        let backend = self.required("storagebackend", &[]);
        if let Some(backend) = backend
            && backend != "s3"
            && (backend != "elasticsearch" || dbms != Some("elasticsearch"))
        {
            self.refuse(
                "storagebackend",
                "only the storage backend s3 has a counterpart",
            );
        }
        let database = self.required("database", &[]);
        let bucket = self.required("url", &[]);
        let path = self.required("path", &[]);
        let (dbms, database, bucket, path) = (dbms?, database?, bucket?, path?);
        if !matches!(dbms, "mysql" | "postgresql") {
            return None;
        }
        let host = self.required("database_hostname", &[])?;
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        if !host.chars().all(fine) {
            self.refuse("database_hostname", "`database_hostname` is not a host");
            return None;
        }
        let credential = host.replace(':', "-");
        let url = format!(
            "{dbms}://{}@{host}/{}",
            encoded(around.user),
            encoded(database)
        );
        let store = format!(
            "{{ url = {}, password = {{ credential = {} }} }}",
            quoted(&url),
            quoted(&credential)
        );
        // The script tells databases apart by the names of files, snapshots are told apart by prefixes.
        let parts = path.split('/').filter(|part| !part.is_empty());
        let of_its_own = (around.format == Format::Envsyncd).then_some(database);
        let prefix: Vec<&str> = parts.chain(of_its_own).collect();
        let place = quoted(&format!("s3://{bucket}/{}", prefix.join("/")));
        self.remark(format!(
            "the password of {} on {host} is expected as the credential {credential}: put it into /etc/envsyncd/credentials/{credential}, or write another place for it",
            around.user
        ));
        Some(Ends {
            kind: dbms,
            database,
            bucket,
            store,
            archive: archive(&place, is_push, around),
        })
    }

    fn push(&mut self, around: &Around<'_>) -> Option<Turned> {
        if self.text("pre_dump_transformation_sql_file").is_some() {
            self.refuse(
                "pre_dump_transformation_sql_file",
                "a script is run on the source before it is dumped: envsyncd never changes a source. Let the job that pulls run it (`scripts`), or pull into a database of its own and push that, and take the line out",
            );
        }
        let ends = self.ends(true, around);
        let from = around.from.or(around.host);
        if from.is_none() {
            self.refuse(
                "",
                "no file says of which environment this database is: say --from ENVIRONMENT, or set host_environment in envsyncd.toml",
            );
        }
        let (ends, from) = (ends?, from?);
        self.say_of_nothing("push", &["transformation_sql_file"]);
        let mut text = head(around);
        text.push_str(&format!("from = {}\n", quoted(from.as_str())));
        if let Some(to) = around.to {
            text.push_str(&format!("to = {}\n", quoted(to.as_str())));
        }
        text.push_str(&format!(
            "\n[[task]]\nkind = {}\nsource = {}\ntarget = {}\n",
            quoted(ends.kind),
            ends.store,
            ends.archive
        ));
        if let Some(excluded) = self.excluded(&ends) {
            text.push_str(&format!("exclude = [{}]\n", excluded.join(", ")));
        }
        self.remark("the script uploads with --sse AES256: the job asks for it, too (sse = \"AES256\"); take it out if the bucket encrypts with a key of yours");
        self.remark(match around.format {
            Format::Govuk => "it writes TIME-DATABASE.gz and latest-DATABASE.txt, which the script and the db-backup chart read; when all who read them pull with envsyncd, take format = \"envsyncd\" on both sides",
            Format::Envsyncd => "snapshots are not dumps: who still reads TIME-DATABASE.gz from the bucket needs the script until it pulls with envsyncd, too",
        });
        Some(self.done(text, around))
    }

    fn pull(&mut self, around: &Around<'_>) -> Option<Turned> {
        let ends = self.ends(false, around);
        let to = around.to.or(around.host);
        if to.is_none() {
            self.refuse(
                "",
                "no file says of which environment this database is: say --to ENVIRONMENT, or set host_environment in envsyncd.toml",
            );
        }
        let (ends, to) = (ends?, to?);
        let from = match around.from {
            Some(from) => from.clone(),
            None => self.origin(&ends, around.environments, to)?,
        };
        self.say_of_nothing(
            "pull",
            &["pre_dump_transformation_sql_file", "excluded_tables"],
        );
        let mut text = head(around);
        text.push_str(&format!(
            "from = {}\nto = {}\n\n[[task]]\nkind = {}\nsource = {}\ntarget = {}\n",
            quoted(from.as_str()),
            quoted(to.as_str()),
            quoted(ends.kind),
            ends.archive,
            ends.store
        ));
        if let Some(script) = self.text("transformation_sql_file") {
            text.push_str(&format!("scripts = [{}]\n", quoted(script)));
        }
        if ends.database == "signon_production" {
            self.remark("the script itself turns host names in oauth_applications into staging's (postprocess_signon_production): write that as SQL, and name its file in `scripts`");
        }
        self.remark(match around.format {
            Format::Govuk => "it reads the TIME-DATABASE.gz that the script, the db-backup chart or a push of envsyncd leaves; a dump does not say whose data it is: `from` is believed",
            Format::Envsyncd => "what is pulled has to be pushed by envsyncd with format = \"envsyncd\": the script's TIME-DATABASE.gz are not read",
        });
        Some(self.done(text, around))
    }

    /// Whose data a bucket holds: the only environment above `to` that its name has as a word.
    fn origin(
        &mut self,
        ends: &Ends<'_>,
        environments: &Environments,
        to: &Environment,
    ) -> Option<Environment> {
        let words: Vec<&str> = ends.bucket.split(['-', '.', '_']).collect();
        let mut named = environments
            .names()
            .filter(|name| words.contains(&name.as_str()) && environments.is_ancestor(name, to));
        let name = named.next();
        let Some(name) = name.filter(|_| named.next().is_none()) else {
            self.refuse(
                "url",
                format!("the bucket's name does not say of which environment above `{to}` its data is: say --from ENVIRONMENT"),
            );
            return None;
        };
        self.remark(format!(
            "from = \"{name}\" is taken from the bucket's name, {}",
            ends.bucket
        ));
        Some(name.clone())
    }

    fn excluded(&mut self, ends: &Ends<'_>) -> Option<Vec<String>> {
        let tables: Vec<String> = match &self.variables.get("excluded_tables")?.value {
            Value::Text(text) => text.split(',').map(str::to_owned).collect(),
            Value::List(members) => {
                self.remark("`excluded_tables` is an array, of which the script takes the first member only: all of them are excluded now");
                members
                    .iter()
                    .flat_map(|m| m.split(','))
                    .map(str::to_owned)
                    .collect()
            }
        };
        let tables: Vec<String> = tables
            .iter()
            .map(|table| table.trim())
            .filter(|table| !table.is_empty())
            .map(|table| quoted(&glob::Pattern::escape(table)))
            .collect();
        if tables.is_empty() {
            return None;
        }
        if ends.kind != "mysql" {
            self.remark("`excluded_tables` is left out: the script does nothing with it for PostgreSQL; exclude = [...] would");
            return None;
        }
        Some(tables)
    }

    /// Says which variables do nothing in this direction, in the script either.
    fn say_of_nothing(&mut self, action: &str, names: &[&str]) {
        let of_neither = ["timestamp", "source_bucket", "destination_bucket", "delete"];
        for name in names.iter().chain(&of_neither) {
            if self.text(name).is_some() {
                self.remark(format!(
                    "`{name}` is left out: the script does nothing with it in a {action}"
                ));
            }
        }
    }

    fn done(&mut self, text: String, around: &Around<'_>) -> Turned {
        if let Some(directory) = &around.env_dir {
            let region = match around.region {
                Some(region) => format!("; region = \"{region}\" is taken from there"),
                None => String::new(),
            };
            self.remark(format!(
                "the script has its variables (AWS_REGION, on some hosts AWS_ACCESS_KEY_ID and the like) from {directory}, by envdir: set env_dir = \"{directory}\" in envsyncd.toml, or move them{region}"
            ));
        }
        self.remark("when it ran stands in the crontab: add schedule = \"MINUTE HOUR * * *\"");
        Turned {
            text,
            remarks: std::mem::take(&mut self.remarks),
        }
    }
}

/// A bucket: its URL, or an inline table.
fn archive(place: &str, is_push: bool, around: &Around<'_>) -> String {
    let mut keys = vec![format!("url = {place}")];
    if around.format == Format::Govuk {
        keys.push("format = \"govuk\"".to_owned());
    }
    keys.extend(
        around
            .region
            .map(|region| format!("region = {}", quoted(region))),
    );
    if is_push {
        keys.push("sse = \"AES256\"".to_owned());
    }
    match keys.as_slice() {
        [_] => place.to_owned(),
        _ => format!("{{ {} }}", keys.join(", ")),
    }
}

struct Ends<'f> {
    kind: &'f str,
    database: &'f str,
    bucket: &'f str,
    /// TOML.
    store: String,
    /// TOML.
    archive: String,
}

fn head(around: &Around<'_>) -> String {
    format!(
        "# Made of {} by `envsyncd import govuk`.\n",
        around.file.escape_debug()
    )
}
