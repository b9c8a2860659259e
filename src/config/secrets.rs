//! Where files say that secrets come from.

use std::path::Path;

use super::reader::{Table, Value};
use crate::secret::Secret;

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

/// The same of a key that may be missing.
#[allow(clippy::option_option)]
pub(super) fn read_key(
    table: &Table<'_>,
    key: &'static str,
    directory: &Path,
) -> Option<Option<Secret>> {
    table.get(key).map(|value| read_secret(&value, directory))
}
