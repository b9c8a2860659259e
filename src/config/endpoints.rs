//! Endpoints as files write them: `[endpoints.NAME]`, and a task's `source` and `target`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::archive::{Archive, keys};
use super::diagnostics::did_you_mean;
use super::document::quote;
use super::job::{Endpoint, StoreKind};
use super::reader::Table;
use super::url::{self, Found};
use super::value::Value;
use crate::policy::{Environment, Environments};
use crate::secret::Secret;

/// Named endpoints, with their environments. An archive has none: whose data it holds stands in each snapshot's manifest.
pub(super) type Named = BTreeMap<String, (Option<Environment>, Endpoint)>;

/// Which side of a task an endpoint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Its source, of the job's `from`.
    From,
    /// Its target, of the job's `to`.
    To,
}

impl Way {
    /// The task's key.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::From => "source",
            Self::To => "target",
        }
    }

    /// The job's key.
    fn end(self) -> &'static str {
        match self {
            Self::From => "from",
            Self::To => "to",
        }
    }
}

/// Reads `[endpoints]`. `directory` is where relative files start, `taken` are the names that another file has.
pub(super) fn read_named(
    table: &Table<'_>,
    directory: &Path,
    environments: &Environments,
    taken: &Named,
) -> Named {
    let mut named = Named::new();
    for (name, _, value) in table.entries() {
        let fine = name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
        if name.is_empty() || !fine {
            value.report(
                value
                    .wrong(format!("{} cannot be an endpoint's name", quote(name)))
                    .allowed("letters, digits, `.`, `_`, `-`"),
            );
            continue;
        }
        if taken.contains_key(name) {
            value.report(
                value
                    .wrong(format!("endpoint `{name}` is in envsyncd.toml already"))
                    .help("a job cannot change the host's endpoints: use another name"),
            );
            continue;
        }
        let Some(inner) = value.table() else { continue };
        let environment = if means_archive(&inner) {
            refuse_environment(&inner);
            Some(None)
        } else {
            inner
                .required("environment", "whose data it holds")
                .and_then(|value| read_environment(&value, environments))
                .map(Some)
        };
        let endpoint = read_fields(&inner, Some(name), None, directory);
        inner.finish();
        if let (Some(environment), Some((endpoint, _))) = (environment, endpoint) {
            named.insert(name.to_owned(), (environment, endpoint));
        }
    }
    named
}

/// Whether a table's URL, right or wrong, is meant to be an archive's.
fn means_archive(table: &Table<'_>) -> bool {
    let url = table.keys.get("url").and_then(|url| url.get_ref().as_str());
    url.is_some_and(url::looks_like_archive)
}

/// Refuses an archive's `environment`.
fn refuse_environment(table: &Table<'_>) {
    if table.has("environment")
        && let Some(value) = table.get("environment")
    {
        value.report(
            value
                .wrong("an archive has no environment: each snapshot's manifest says what it is of")
                .help("leave `environment` out"),
        );
    }
}

/// The name of an environment that exists.
pub(super) fn read_environment(
    value: &Value<'_>,
    environments: &Environments,
) -> Option<Environment> {
    let text = value.text()?;
    let environment = Environment::new(text);
    if environments.get(&environment).is_some() {
        return Some(environment);
    }
    if environment.is_archive() {
        value.report(
            value.wrong("`archive` is no environment").help(
                "a job whose tasks are all pushes, from an endpoint to an archive, has no `to`",
            ),
        );
        return None;
    }
    let names: Vec<&str> = environments.names().map(Environment::as_str).collect();
    let diagnostic = value.wrong(format!("environment {} is not defined", quote(text)));
    value.report(if names.is_empty() {
        diagnostic.help("define it as [environments.NAME], in envsyncd.toml or in the job's file")
    } else {
        diagnostic
            .allowed(names.join(" | "))
            .maybe_help(did_you_mean(text, names.iter().copied()))
    });
    None
}

/// `url` of a table, and what belongs beside it. `way` is its side; `None`: it has a name and may serve on both.
fn read_fields(
    table: &Table<'_>,
    name: Option<&str>,
    way: Option<Way>,
    directory: &Path,
) -> Option<(Endpoint, Found)> {
    let url = table.required("url", "which server, file or archive it is");
    let password = if means_archive(table) {
        None
    } else {
        table.get("password").map(|value| {
            let secret = read_secret(&value, directory);
            (value, secret)
        })
    };
    let read = url.and_then(|url| {
        let location = url::read(&url, url.text()?, directory)?;
        Some((url, location))
    });
    let Some((url, location)) = read else {
        // What stands beside it may be right or wrong, depending on it.
        keys::pass_over(table);
        return None;
    };
    let mut endpoint = Endpoint {
        name: name.map(str::to_owned),
        url: location.url,
        password: None,
        archive: None,
    };
    let Found::Store(kind) = location.found else {
        let archive = keys::read(table, location.found, way, directory)?;
        endpoint.archive = Some(Box::new(archive));
        return Some((endpoint, location.found));
    };
    keys::refuse_all(table, location.found);
    if let Some(inline) = location.password {
        if let Some((value, _)) = &password {
            value.report(
                value
                    .wrong("the URL has a password already")
                    .help("take it out of the URL"),
            );
            return None;
        }
        warn_of_inline(&url);
        endpoint.password = Some(Secret::Inline(inline));
    }
    if let Some((value, secret)) = password {
        if kind == StoreKind::Sqlite {
            value.report(value.wrong("a SQLite file has no password"));
            return None;
        }
        endpoint.password = Some(secret?);
    }
    Some((endpoint, location.found))
}

fn warn_of_inline(value: &Value<'_>) {
    value.report(value.wrong("the URL has a password in it").warning().help(
        "move it out: url = \"...\", password = { env = \"NAME\" } (or file, credential, command)",
    ));
}

/// `{ env = .. }`, `{ file = .. }`, `{ credential = .. }` or `{ command = [..] }`.
pub(super) fn read_secret(value: &Value<'_>, directory: &Path) -> Option<Secret> {
    const FORMS: &str = "{ env = \"NAME\" } | { file = \"PATH\" } | { credential = \"NAME\" } | { command = [\"PROGRAM\", ...] }";
    let what = if value.path.ends_with("password") {
        "a password"
    } else {
        "a secret"
    };
    let Some(table) = value.table_or_nothing() else {
        value.report(
            value
                .wrong(format!(
                    "{what} is not written here, only where it comes from"
                ))
                .allowed(FORMS),
        );
        return None;
    };
    let forms = [
        table.get("env").map(|value| {
            let name = value.text()?;
            if name.contains('=') {
                value.report(value.wrong("a variable's name has no `=`"));
                return None;
            }
            Some(Secret::Env(name.to_owned()))
        }),
        table
            .get("file")
            .map(|value| Some(Secret::File(directory.join(value.text()?)))),
        table.get("credential").map(|value| {
            let name = value.text()?;
            // A credential is a file in $CREDENTIALS_DIRECTORY, never elsewhere (systemd.exec(5)).
            if name.contains('/') || name == "." || name == ".." {
                value.report(value.wrong("a credential's name is a plain file name"));
                return None;
            }
            Some(Secret::Credential(name.to_owned()))
        }),
        table
            .get("command")
            .map(|value| Some(Secret::Command(value.argv()?))),
    ];
    let given: Vec<Option<Secret>> = forms.into_iter().flatten().collect();
    let unknown_only = given.is_empty() && !table.entries().is_empty();
    if given.len() > 1 || (given.is_empty() && !unknown_only) {
        value.report(
            value
                .wrong(format!("{what} comes from exactly one place"))
                .allowed(FORMS),
        );
        table.finish();
        return None;
    }
    table.finish();
    given.into_iter().next().flatten()
}

/// One side of a job, as its tasks see it.
pub(super) struct Side<'s> {
    /// Which one.
    pub(super) way: Way,
    /// The environment, if it is known.
    pub(super) environment: Option<&'s Environment>,
    /// All named endpoints.
    pub(super) named: &'s Named,
    /// Where relative files start.
    pub(super) directory: PathBuf,
}

impl Side<'_> {
    /// Reads `source` or `target`: an endpoint's name, a URL, or a table.
    pub(super) fn read(&self, value: &Value<'_>, kind: Option<StoreKind>) -> Option<Endpoint> {
        let (endpoint, found) = if value.is_string() {
            let text = value.text()?;
            if url::looks_like_url(text) {
                let location = url::read(value, text, &self.directory)?;
                if location.password.is_some() {
                    warn_of_inline(value);
                }
                let archive = location.found.is_archive().then(Box::<Archive>::default);
                let endpoint = Endpoint {
                    name: None,
                    url: location.url,
                    password: location.password.map(Secret::Inline),
                    archive,
                };
                (endpoint, location.found)
            } else {
                let (environment, endpoint) = self.find(value, text)?;
                if let Some(environment) = environment {
                    self.expect(value, environment, &format!("endpoint `{text}`"))?;
                }
                let mut endpoint = endpoint.clone();
                endpoint.archive = endpoint.archive.map(|archive| {
                    Box::new(match self.way {
                        Way::From => archive.as_source(),
                        Way::To => archive.as_target(),
                    })
                });
                let found = url::found(&endpoint.url);
                (endpoint, found)
            }
        } else if let Some(table) = value.table_or_nothing() {
            if means_archive(&table) {
                refuse_environment(&table);
            }
            let endpoint = read_fields(&table, None, Some(self.way), &self.directory);
            table
                .elsewhere(&[(
                    "environment",
                    "in [endpoints.NAME]; here it is the job's `from` or `to`",
                )])
                .finish();
            endpoint?
        } else {
            value.report(
                value
                    .wrong(format!(
                        "`{}` is neither a string nor a table",
                        self.way.key()
                    ))
                    .allowed("an endpoint's name | a URL | { url = \"...\", password = ... }"),
            );
            return None;
        };
        if endpoint.name.is_none() {
            // A URL may be the spelling of an endpoint whose environment is known.
            let place = url::place(&endpoint.url);
            for (name, (environment, known)) in self.named {
                if let Some(environment) = environment
                    && url::place(&known.url) == place
                {
                    self.expect(
                        value,
                        environment,
                        &format!("this URL is endpoint `{name}`, which"),
                    )?;
                }
            }
        }
        if let (Some(kind), Found::Store(found)) = (kind, found)
            && kind != found
        {
            value.report(
                value
                    .wrong(format!(
                        "this is a {found} URL, but the task's kind is {kind}"
                    ))
                    .help("source and target are stores of the task's kind"),
            );
            return None;
        }
        Some(endpoint)
    }

    /// Whether a source or target, right or wrong, is meant to be an archive; says nothing of what is wrong with it.
    pub(super) fn means_archive(&self, value: &Value<'_>) -> bool {
        match value.content.as_str() {
            Some(text) if url::looks_like_url(text) => url::looks_like_archive(text),
            Some(name) => self
                .named
                .get(name)
                .is_some_and(|(_, endpoint)| endpoint.archive.is_some()),
            None => value.table_or_nothing().is_some_and(|t| means_archive(&t)),
        }
    }

    fn find(&self, value: &Value<'_>, text: &str) -> Option<(Option<&Environment>, &Endpoint)> {
        if let Some((environment, endpoint)) = self.named.get(text) {
            return Some((environment.as_ref(), endpoint));
        }
        let names: Vec<&str> = self.named.keys().map(String::as_str).collect();
        let mut diagnostic = value
            .wrong(format!("{} is neither an endpoint's name nor a URL", quote(text)))
            .help("define it as [endpoints.NAME], or write a URL: postgresql://USER@HOST/DATABASE, mysql://USER@HOST/DATABASE, sqlite:FILE.db, s3://BUCKET/PREFIX, file:///DIRECTORY");
        if !names.is_empty() {
            diagnostic = diagnostic.allowed(format!("a URL, or one of: {}", names.join(", ")));
        }
        value.report(diagnostic.maybe_help(did_you_mean(text, names.iter().copied())));
        None
    }

    /// A source is of `from`, a target of `to`.
    fn expect(&self, value: &Value<'_>, environment: &Environment, what: &str) -> Option<()> {
        match self.environment {
            Some(wanted) if wanted != environment => {
                value.report(
                    value
                        .wrong(format!(
                            "{what} is of `{environment}`, but the job's `{}` is `{wanted}`",
                            self.way.end()
                        ))
                        .help(format!(
                            "a {} is of the job's `{}`",
                            self.way.key(),
                            self.way.end()
                        )),
                );
                None
            }
            _ => Some(()),
        }
    }
}

/// An endpoint's place in one spelling, to see whether two of them are one.
pub(super) fn place(endpoint: &Endpoint) -> String {
    let server = endpoint
        .archive
        .as_ref()
        .and_then(|a| a.endpoint.as_deref());
    match server {
        // Buckets of two servers may have one name.
        Some(server) => format!("{server} {}", endpoint.url),
        None => url::place(&endpoint.url),
    }
}
