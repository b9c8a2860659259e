//! Environments, endpoints and secrets: what both kinds of file may have.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use secrecy::SecretString;

use super::job::{Endpoint, StoreKind};
use super::reader::{Table, Value};
use crate::policy::{Environment, Environments, Flaw, Rules};
use crate::secret::Secret;

/// Reads `[environments]`; `given` are those of envsyncd.toml, which a job's file may add to and not contradict.
pub(super) fn environments(root: &Table<'_>, given: Option<&Environments>) -> Environments {
    let mut all: BTreeMap<Environment, Rules> = given
        .into_iter()
        .flat_map(|given| {
            given
                .names()
                .map(|name| (name.clone(), given.get(name).cloned().unwrap_or_default()))
        })
        .collect();
    let mut places: BTreeMap<Environment, Range<usize>> = BTreeMap::new();
    let Some(table) = root.table("environments") else {
        return given.cloned().unwrap_or_default();
    };
    for (name, span, value) in table.entries() {
        let environment = Environment::new(name.clone());
        let Some(table) = value.table() else { continue };
        let parent = table.get("parent").and_then(|parent| {
            places.insert(environment.clone(), parent.span());
            parent.filled()
        });
        let require_masks = table
            .get("require_masks")
            .and_then(|v| v.boolean())
            .unwrap_or(false);
        table.finish();
        let rules = Rules {
            parent: parent.map(Environment::new),
            require_masks,
        };
        if let Some(host) = all.get(&environment)
            && (host.parent != rules.parent || (host.require_masks && !rules.require_masks))
        {
            let says = match &host.parent {
                Some(parent) => format!("its parent is `{parent}`"),
                None => "it is a root".to_owned(),
            };
            let masks = if host.require_masks {
                " and requires masks"
            } else {
                ""
            };
            table.notes.error_with(
                &span,
                &table.path,
                format!("`{name}` is another environment in envsyncd.toml: there {says}{masks}"),
                "an environment has one parent; take it out of the job's file",
            );
            continue;
        }
        places.entry(environment.clone()).or_insert(span);
        all.insert(environment, rules);
    }
    match Environments::new(all) {
        Ok(environments) => environments,
        Err(flaws) => {
            for flaw in flaws {
                let (at, message) = match &flaw {
                    Flaw::UnknownParent { child, parent } => (
                        child,
                        format!("`{parent}`, the parent of `{child}`, is not defined"),
                    ),
                    Flaw::Cycle(path) => {
                        let names: Vec<&str> = path.iter().map(Environment::as_str).collect();
                        (
                            &path[0],
                            format!(
                                "`{}` is its own ancestor: {} -> {}",
                                path[0],
                                names.join(" -> "),
                                path[0]
                            ),
                        )
                    }
                };
                let span = places.get(at).cloned().unwrap_or(table.span.clone());
                let help = "each environment but a root has one parent, and following parents ends at a root";
                root.notes
                    .error_with(&span, &format!("environments.{at}"), message, help);
            }
            given.cloned().unwrap_or_default()
        }
    }
}

/// An environment that has to be defined.
pub(super) fn known(value: &Value<'_>, environments: &Environments) -> Option<Environment> {
    let name = value.filled()?;
    let environment = Environment::new(name.clone());
    if environments.get(&environment).is_some() {
        return Some(environment);
    }
    let all: Vec<&str> = environments.names().map(Environment::as_str).collect();
    let near = all
        .iter()
        .map(|known| (strsim::damerau_levenshtein(known, &name), *known))
        .filter(|(distance, known)| *distance <= 1 + known.len() / 4)
        .min();
    let help = match near {
        Some((_, known)) => format!("did you mean `{known}`?"),
        None if all.is_empty() => {
            "define environments under [environments], here or in envsyncd.toml".to_owned()
        }
        None => format!("defined: {}", all.join(", ")),
    };
    value.error(format!("environment `{name}` is not defined"), help);
    None
}

/// Reads `[endpoints]`: each with its environment.
pub(super) fn endpoints(
    root: &Table<'_>,
    environments: &Environments,
    base: &Path,
) -> BTreeMap<String, (Environment, Endpoint)> {
    let mut all = BTreeMap::new();
    let Some(table) = root.table("endpoints") else {
        return all;
    };
    for (name, _, value) in table.entries() {
        let Some(table) = value.table() else { continue };
        let environment = table
            .require(
                "environment",
                "the environment that it belongs to: environment = \"production\"",
            )
            .and_then(|value| known(&value, environments));
        let endpoint = of_table(&table, base);
        table.finish();
        if let (Some(environment), Some(mut endpoint)) = (environment, endpoint) {
            endpoint.name = Some(name.clone());
            all.insert(name, (environment, endpoint));
        }
    }
    all
}

/// `{ url = .., password = .. }`
pub(super) fn of_table(table: &Table<'_>, base: &Path) -> Option<Endpoint> {
    let url = table.require("url", "url = \"postgresql://user@host/database\"");
    let password = table.get("password");
    let secret = password.as_ref().and_then(secret);
    let mut endpoint = of_url(&url?, base)?;
    if endpoint.password.is_some()
        && let Some(password) = &password
    {
        password.error(
            "there is a password in the URL, too",
            "keep one of the two, best this one",
        );
        return None;
    }
    if let Some(password) = password {
        secret.as_ref()?;
        // A string here was refused by `secret`.
        debug_assert!(password.is_table());
        endpoint.password = secret;
    }
    Some(endpoint)
}

/// A URL; a password in it is cut out, with a warning.
pub(super) fn of_url(value: &Value<'_>, base: &Path) -> Option<Endpoint> {
    let url = value.filled()?;
    if url.starts_with("file:") || url.starts_with("s3:") {
        value.error(
            "archives are not supported yet",
            "allowed: postgresql://user@host/database | sqlite:PATH",
        );
        return None;
    }
    if let Some(path) = url.strip_prefix("sqlite:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() || path.contains(['?', '#']) {
            value.error("this is no SQLite URL", "allowed: sqlite:///absolute/path.db | sqlite:relative/to/this/file.db; write `?` as %3F and `#` as %23");
            return None;
        }
        return Some(Endpoint {
            name: None,
            url: format!("sqlite://{}", base.join(path).display()),
            password: None,
        });
    }
    let (url, password) = without_password(&url);
    if password.is_some() {
        value.warn(
            "the password is in the URL",
            "whoever reads the file has it; write password = { file = \"...\" }, { env = \"...\" } or { credential = \"...\" }",
        );
    }
    Some(Endpoint {
        name: None,
        url,
        password: password.map(Secret::Inline),
    })
}

/// Splits a URL's password, of its authority or its query, from the rest.
fn without_password(url: &str) -> (String, Option<SecretString>) {
    let mut password = None;
    let mut url = url.to_owned();
    if let Some(start) = url.find("://").map(|at| at + 3) {
        let end = url[start..]
            .find(['/', '?', '#'])
            .map_or(url.len(), |at| start + at);
        if let Some(sign) = url[start..end].rfind('@').map(|at| start + at)
            && let Some(colon) = url[start..sign].find(':').map(|at| start + at)
        {
            password = Some(decoded(&url[colon + 1..sign]));
            url.replace_range(colon..sign, "");
        }
    }
    if let Some((head, query)) = url.clone().split_once('?') {
        let mut rest = Vec::new();
        for pair in query.split('&') {
            match pair.strip_prefix("password=") {
                Some(value) => password = Some(decoded(value)),
                None => rest.push(pair),
            }
        }
        url = if rest.is_empty() {
            head.to_owned()
        } else {
            format!("{head}?{}", rest.join("&"))
        };
    }
    (
        url,
        password.filter(|p| !p.is_empty()).map(SecretString::from),
    )
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        if let Some(byte) = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            out.push(byte);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

const SECRETS: &str = "allowed: { env = \"NAME\" } | { file = \"PATH\" } | { credential = \"NAME\" } | { command = [\"PROGRAM\", \"ARGUMENT\"] }";

/// A secret: a table with one key.
fn secret(value: &Value<'_>) -> Option<Secret> {
    if !value.is_table() {
        value.error("a password is not written here itself", SECRETS);
        return None;
    }
    let table = value.table()?;
    let (env, file, credential, command) = (
        table.get("env"),
        table.get("file"),
        table.get("credential"),
        table.get("command"),
    );
    let given = [&env, &file, &credential, &command]
        .into_iter()
        .flatten()
        .count();
    table.finish();
    if given != 1 {
        value.error("a secret comes from one place", SECRETS);
        return None;
    }
    if let Some(name) = env {
        return name.filled().map(Secret::Env);
    }
    if let Some(path) = file {
        let path = path.filled()?;
        return Some(Secret::File(path.into()));
    }
    if let Some(name) = credential {
        let text = name.filled()?;
        if text.contains('/') {
            name.error("a credential's name has no slash", SECRETS);
            return None;
        }
        return Some(Secret::Credential(text));
    }
    let command = command?;
    let argv = command.strings()?;
    if argv.is_empty() {
        command.error("a command has at least a program", SECRETS);
        return None;
    }
    Some(Secret::Command(argv))
}

/// Whether a URL can be of this kind of store.
pub(super) fn fits(kind: StoreKind, url: &str) -> bool {
    match kind {
        StoreKind::Postgresql => url.starts_with("postgresql://") || url.starts_with("postgres://"),
        StoreKind::Sqlite => url.starts_with("sqlite:"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    #[test]
    fn passwords_are_cut_out_of_urls_and_decoded() {
        for (url, rest, password) in [
            (
                "postgresql://u:p%40%3A@h:1/d?x=y",
                "postgresql://u@h:1/d?x=y",
                Some("p@:"),
            ),
            (
                "postgresql://u@h/d?password=a%26b&x=y",
                "postgresql://u@h/d?x=y",
                Some("a&b"),
            ),
            (
                "postgresql://u@h/d?password=a",
                "postgresql://u@h/d",
                Some("a"),
            ),
            ("postgresql://u:a@b@h/d", "postgresql://u@h/d", Some("a@b")),
            ("postgresql://u@h/d", "postgresql://u@h/d", None),
            (
                "postgresql://[::1]:5432/d",
                "postgresql://[::1]:5432/d",
                None,
            ),
        ] {
            let (found, secret) = without_password(url);
            assert_eq!(found, rest);
            assert_eq!(secret.as_ref().map(ExposeSecret::expose_secret), password);
        }
    }
}
