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
use super::stores::{Absence, Absent, StoreFormat, StoreKind, Stores};
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
        let kind = read_own_kind(&inner, stores);
        let environment = if means_archive(&inner, kind, stores) {
            refuse_environment(&inner);
            Some(None)
        } else {
            inner
                .required("environment", "whose data it holds")
                .and_then(|value| read_environment(&value, environments))
                .map(Some)
        };
        let endpoint = read_fields(&inner, Some(name), (None, kind), directory, stores);
        inner.finish();
        if let (Some(environment), Some(endpoint)) = (environment, endpoint) {
            named.insert(name.to_owned(), (environment, endpoint));
        }
    }
    named
}

/// Whether a table's URL, right or wrong, is meant to be an archive's.
pub(super) fn means_archive(table: &Table<'_>, kind: Option<StoreKind>, stores: Stores) -> bool {
    let url = table.keys.get("url").and_then(|url| url.get_ref().as_str());
    url.is_some_and(|url| is_meant_for_archive(url, kind, stores))
}

/// An endpoint's `kind`, which it needs where its URL could be an archive's, too.
fn read_own_kind(table: &Table<'_>, stores: Stores) -> Option<StoreKind> {
    let value = table.get("kind")?;
    let kind = read_kind(&value, stores)?;
    let url = table.get("url")?;
    let text = url.content.as_str()?;
    let (scheme, _) = text.split_once(':').unwrap_or((text, ""));
    let by_kind = stores.of_scheme_by_kind(scheme, Some(kind)).is_some();
    let known = stores.of_scheme(scheme);
    if !by_kind && known.is_none_or(|known| known.kind() != kind) {
        let what = format!("this endpoint's URL is not one of kind {kind}");
        value.report(
            value
                .wrong(what)
                .help("leave `kind` out: the URL says it, unless it is s3://"),
        );
    }
    Some(kind)
}

/// Reads `kind`.
pub(super) fn read_kind(value: &Value<'_>, stores: Stores) -> Option<StoreKind> {
    let left_out = |absent: &&Absent| value.content.as_str() == Some(absent.kind);
    if let Some(absent) = stores.absent(Absence::LeftOut).find(left_out) {
        value.report(value.wrong(format!("this envsyncd was built without {}", absent.kind)));
        return None;
    }
    let kinds: Vec<(&str, StoreKind)> = stores
        .all()
        .map(|store| (store.kind().as_str(), store.kind()))
        .collect();
    let later: Vec<&str> = stores
        .absent(Absence::Later)
        .map(|absent| absent.kind)
        .collect();
    value.choice(&kinds, &later)
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

/// `url` of a table, and what belongs beside it. `way` is its side; `None`: it has a name and may serve on both. `kind` is the
/// store's, if it is known.
pub(super) fn read_fields(
    table: &Table<'_>,
    name: Option<&str>,
    (way, kind): (Option<Way>, Option<StoreKind>),
    directory: &Path,
    stores: Stores,
) -> Option<Endpoint> {
    let at = table.required("url", "which server, file or archive it is");
    let password = if means_archive(table, kind, stores) {
        None
    } else {
        table.get("password").map(|value| {
            let secret = read_secret(&value, directory);
            (value, secret)
        })
    };
    let read = at.and_then(|at| {
        let read = url::read(&at, at.text()?, directory, kind, stores)?;
        Some((at, read))
    });
    let Some((at, (url, inline))) = read else {
        // What stands beside it may be right or wrong, depending on it.
        keys::pass_over(table);
        return None;
    };
    // Both are read, whatever is wrong with one of them.
    let archive = url.archive();
    let archive = archive.map(|archive| keys::read(table, archive, way, directory));
    let access = url.bucket().map(|_| keys::read_access(table, directory));
    let mut endpoint = Endpoint {
        name: name.map(str::to_owned),
        url,
        password: None,
        secrets: BTreeMap::new(),
        archive: optional(archive)?.map(Box::new),
        access: optional(access)?.map(Box::new),
    };
    if let Some(kind) = endpoint.url.kind() {
        let store = stores.of_kind(kind);
        let scheme = endpoint.url.text().split(':').next().unwrap_or_default();
        let own = store.map_or(&[][..], |store| store.secrets(scheme));
        keys::refuse_all(table, kind, own, endpoint.access.is_some());
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
