//! Endpoints as files write them: in `[endpoints.NAME]`, and as tables of a task's `source` and `target`.

use std::collections::BTreeMap;
use std::path::Path;

use secrecy::SecretString;

use super::archive::keys;
use super::diagnostics::did_you_mean;
use super::document::quote;
use super::job::Endpoint;
use super::reader::{Table, Value, optional};
use super::secrets::{read_key, read_secret};
use super::stores::{StoreFormat, Stores};
use super::url::{self, is_meant_for_archive};
use super::way::Way;
use crate::policy::{Environment, Environments};
use crate::secret::Secret;

/// Named endpoints, with their environments. An archive has none: whose data it holds stands in each snapshot's manifest.
pub(super) type Named = BTreeMap<String, (Option<Environment>, Endpoint)>;

/// Reads `[endpoints]`. `directory` is where relative files start, `taken` are the names that another file has.
pub(super) fn read_named(
    table: &Table<'_>,
    directory: &Path,
    environments: &Environments,
    taken: &Named,
    stores: Stores,
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
        let endpoint = read_fields(&inner, Some(name), None, directory, stores);
        inner.finish();
        if let (Some(environment), Some(endpoint)) = (environment, endpoint) {
            named.insert(name.to_owned(), (environment, endpoint));
        }
    }
    named
}

/// Whether a table's URL, right or wrong, is meant to be an archive's.
pub(super) fn means_archive(table: &Table<'_>) -> bool {
    let url = table.keys.get("url").and_then(|url| url.get_ref().as_str());
    url.is_some_and(is_meant_for_archive)
}

/// Refuses an archive's `environment`.
pub(super) fn refuse_environment(table: &Table<'_>) {
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
    if let Some(environment) = environments.named(text) {
        return Some(environment.clone());
    }
    if Environment::new(text).is_archive() {
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
pub(super) fn read_fields(
    table: &Table<'_>,
    name: Option<&str>,
    way: Option<Way>,
    directory: &Path,
    stores: Stores,
) -> Option<Endpoint> {
    let at = table.required("url", "which server, file or archive it is");
    let password = if means_archive(table) {
        None
    } else {
        table.get("password").map(|value| {
            let secret = read_secret(&value, directory);
            (value, secret)
        })
    };
    let read = at.and_then(|at| {
        let read = url::read(&at, at.text()?, directory, stores)?;
        Some((at, read))
    });
    let Some((at, (url, inline))) = read else {
        // What stands beside it may be right or wrong, depending on it.
        keys::pass_over(table);
        return None;
    };
    let archive = match url.archive() {
        Some(archive) => Some(Box::new(keys::read(table, archive, way, directory)?)),
        None => None,
    };
    let mut endpoint = Endpoint {
        name: name.map(str::to_owned),
        url,
        password: None,
        secrets: BTreeMap::new(),
        archive,
    };
    if let Some(kind) = endpoint.url.kind() {
        let store = stores.of_kind(kind);
        let scheme = endpoint.url.text().split(':').next().unwrap_or_default();
        let own = store.map_or(&[][..], |store| store.secrets(scheme));
        keys::refuse_all(table, kind, own);
        endpoint.password = read_password(&at, inline, password, store)?;
        for key in own {
            if let Some(secret) = optional(read_key(table, key, directory))? {
                endpoint.secrets.insert(key, secret);
            }
        }
    }
    Some(endpoint)
}

/// A store's password: the one in the URL at `at`, or the one beside it.
#[allow(clippy::option_option)]
fn read_password(
    at: &Value<'_>,
    inline: Option<SecretString>,
    beside: Option<(Value<'_>, Option<Secret>)>,
    store: Option<&dyn StoreFormat>,
) -> Option<Option<Secret>> {
    if let Some(inline) = inline {
        if let Some((value, _)) = &beside {
            value.report(
                value
                    .wrong("the URL has a password already")
                    .help("take it out of the URL"),
            );
            return None;
        }
        warn_of_inline(at);
        return Some(Some(Secret::Inline(inline)));
    }
    let Some((value, secret)) = beside else {
        return Some(None);
    };
    if let Some(files) = store.and_then(StoreFormat::files) {
        value.report(value.wrong(files.no_password));
        return None;
    }
    Some(Some(secret?))
}

pub(super) fn warn_of_inline(value: &Value<'_>) {
    value.report(value.wrong("the URL has a password in it").warning().help(
        "move it out: url = \"...\", password = { env = \"NAME\" } (or file, credential, command)",
    ));
}
