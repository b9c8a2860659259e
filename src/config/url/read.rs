//! Reads URLs: which store or archive they are of, and the password cut out of them.

use std::path::Path;

use secrecy::SecretString;

use super::archive;
use super::endpoint::EndpointUrl;
use crate::config::diagnostics::did_you_mean;
use crate::config::document::quote;
use crate::config::flaw::Flaw;
use crate::config::reader::Value;
use crate::config::stores::{Absence, StoreKind, Stores};

/// Whether a text is a URL rather than an endpoint's name.
pub(in crate::config) fn looks_like_url(text: &str, stores: Stores) -> bool {
    let mut of_files = stores.all().filter(|store| store.files().is_some());
    text.contains("://")
        || of_files.any(|store| {
            let mut schemes = store.schemes().iter();
            schemes.any(|scheme| is_of(text, scheme))
        })
}

/// Whether a text, right or wrong, is meant to be an archive's URL.
pub(in crate::config) fn is_meant_for_archive(
    text: &str,
    kind: Option<StoreKind>,
    stores: Stores,
) -> bool {
    archive::SCHEMES
        .iter()
        .any(|scheme| is_of(text, scheme) && stores.of_scheme_by_kind(scheme, kind).is_none())
}

fn is_of(text: &str, scheme: &str) -> bool {
    text.strip_prefix(scheme)
        .is_some_and(|rest| rest.starts_with(':'))
}

/// The forms of all URLs.
fn forms(stores: Stores) -> String {
    let stores = stores.all().flat_map(|store| store.forms().iter().copied());
    let all: Vec<&str> = stores.chain(archive::FORMS).collect();
    all.join(" | ")
}

/// The most usual form of each store's URLs, and of archives'.
pub(in crate::config) fn usual_forms(stores: Stores) -> String {
    let stores = stores.all().filter_map(|store| store.forms().first());
    let archives = archive::FORMS.iter().rev();
    let all: Vec<&str> = stores.chain(archives).copied().collect();
    all.join(", ")
}

/// Reads a URL, or reports why not. `directory` is where a relative file starts; `kind` is said beside it.
pub(in crate::config) fn read(
    value: &Value<'_>,
    text: &str,
    directory: &Path,
    kind: Option<StoreKind>,
    stores: Stores,
) -> Option<(EndpointUrl, Option<SecretString>)> {
    match read_url_of(text, directory, kind, stores) {
        Ok((url, password)) => {
            if let Some(risk) = url.risk() {
                value.report(value.wrong(&risk.what).warning().help(&risk.help));
            }
            Some((url, password))
        }
        Err(flaw) => {
            value.report(value.wrong(flaw));
            None
        }
    }
}

/// Reads a URL and takes the password out of it. `directory` is where a relative file starts.
pub fn read_url(
    text: &str,
    directory: &Path,
    stores: Stores,
) -> Result<(EndpointUrl, Option<SecretString>), Flaw> {
    read_url_of(text, directory, None, stores)
}

/// The same where a `kind` is said beside it.
pub(in crate::config) fn read_url_of(
    text: &str,
    directory: &Path,
    kind: Option<StoreKind>,
    stores: Stores,
) -> Result<(EndpointUrl, Option<SecretString>), Flaw> {
    // Without a colon it is no URL: then the scheme is all there is.
    let (scheme, rest) = text.split_once(':').unwrap_or((text, ""));
    let by_kind = stores.of_scheme_by_kind(scheme, kind);
    if let Some(store) = by_kind.or_else(|| stores.of_scheme(scheme)) {
        let rest = if store.files().is_some() {
            rest
        } else {
            rest.strip_prefix("//").ok_or_else(|| {
                Flaw::new("`://` is missing behind the scheme").allowed(forms(stores))
            })?
        };
        let mut parsed = store.read_url(scheme, rest, directory)?;
        let password = parsed.password.take();
        return Ok((EndpointUrl::of_store(store.kind(), parsed), password));
    }
    if let Some(url) = archive::read(scheme, rest) {
        return Ok((url?.into(), None));
    }
    Err(unknown(text, scheme, stores))
}

/// Why a text is no URL of anything that there is.
fn unknown(text: &str, scheme: &str, stores: Stores) -> Flaw {
    if let Some(absent) = stores.absent_with(scheme) {
        let message = match absent.why {
            Absence::Later => format!("{scheme}:// is not supported yet"),
            Absence::LeftOut => format!("this envsyncd was built without {}", absent.kind),
        };
        return Flaw::new(message).allowed(forms(stores));
    }
    if scheme.starts_with('/') {
        let mut help = format!("a directory with snapshots is file://{text}");
        for store in stores.all() {
            if let (Some(files), Some(scheme)) = (store.files(), store.schemes().first()) {
                help.push_str(&format!(", {} {scheme}://{text}", files.name));
            }
        }
        return Flaw::new(format!("{} is a path and no URL", quote(text))).help(help);
    }
    let known = stores.schemes().chain(archive::SCHEMES);
    Flaw::new(format!(
        "{} is not the scheme of a store or an archive",
        quote(scheme)
    ))
    .allowed(forms(stores))
    .maybe_help(did_you_mean(&scheme.to_ascii_lowercase(), known))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::stores::{Absent, StoreKind};
    use crate::fuzz::stores;

    fn refused(text: &str) -> String {
        match read_url(text, Path::new("/etc/jobs"), stores()) {
            Ok((url, _)) => panic!("{text} became {url}"),
            Err(flaw) => flaw.message,
        }
    }

    #[test]
    fn stores_of_later_are_told_from_nonsense() {
        for url in ["mongodb://h", "https://bucket/x"] {
            assert!(refused(url).contains("not supported yet"), "{url}");
        }
        for url in ["postgrseql://h/d", "mysqlx://u@h/d"] {
            assert!(refused(url).contains("not the scheme"), "{url}");
        }
    }

    #[test]
    fn a_path_is_told_how_it_is_written_as_a_url() {
        let flaw = read_url("/srv/a", Path::new("/"), stores()).err().unwrap();
        assert!(flaw.message.contains("is a path and no URL"), "{flaw:?}");
        let help = flaw.help.unwrap();
        assert!(
            help.starts_with("a directory with snapshots is file:///srv/a"),
            "{help}"
        );
    }

    #[test]
    fn a_store_that_was_left_out_of_the_build_is_told_by_its_name() {
        static ABSENT: [Absent; 1] = [Absent {
            kind: "mysql",
            schemes: &["mysql", "mariadb"],
            why: Absence::LeftOut,
        }];
        let stores = Stores::new(&[], &ABSENT);
        let read = read_url("mariadb://u:hunter2@h/d", Path::new("/"), stores);
        let flaw = read.err().unwrap();
        assert_eq!(flaw.message, "this envsyncd was built without mysql");
        // A snapshot of it can be listed all the same.
        assert_eq!(stores.kind_named("mysql"), Some(StoreKind::new("mysql")));
        assert_eq!(stores.kind_named("mariadb"), None);
    }
}
