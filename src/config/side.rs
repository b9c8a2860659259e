//! A task's `source` and `target`.

use std::path::PathBuf;

use super::diagnostics::did_you_mean;
use super::document::quote;
use super::endpoints::{Named, means_archive, read_fields, refuse_environment, warn_of_inline};
use super::job::{Endpoint, StoreKind};
use super::reader::{Table, Value};
use super::sites::Sites;
use super::stores::Stores;
use super::url;
use super::way::Way;
use crate::policy::Environment;
use crate::secret::Secret;

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
    /// The stores that there are.
    pub(super) stores: Stores,
    /// Whether the host has a key for masks.
    pub(super) has_mask_key: bool,
    /// The sites whose host names are known.
    pub(super) sites: &'s Sites,
}

impl Side<'_> {
    /// Reads `source` or `target`: an endpoint's name, a URL, or a table.
    pub(super) fn read(&self, value: &Value<'_>, kind: Option<StoreKind>) -> Option<Endpoint> {
        let endpoint = if value.is_string() {
            self.read_text(value, value.text()?, kind)?
        } else if let Some(table) = value.table_or_nothing() {
            self.read_table(table, kind)?
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
        self.expect_of_known(value, &endpoint)?;
        if let (Some(kind), Some(found)) = (kind, endpoint.url.kind())
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

    /// A URL, or an endpoint's name.
    fn read_text(
        &self,
        value: &Value<'_>,
        text: &str,
        kind: Option<StoreKind>,
    ) -> Option<Endpoint> {
        if url::looks_like_url(text, self.stores) {
            let (url, password) = url::read(value, text, &self.directory, kind, self.stores)?;
            if password.is_some() {
                warn_of_inline(value);
            }
            return Some(Endpoint {
                password: password.map(Secret::Inline),
                ..Endpoint::of(url)
            });
        }
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
        Some(endpoint)
    }

    fn read_table(&self, table: Table<'_>, kind: Option<StoreKind>) -> Option<Endpoint> {
        if means_archive(&table, kind, self.stores) {
            refuse_environment(&table);
        }
        let known = (Some(self.way), kind);
        let endpoint = read_fields(&table, None, known, &self.directory, self.stores);
        table
            .elsewhere(&[(
                "environment",
                "in [endpoints.NAME]; here it is the job's `from` or `to`",
            )])
            .finish();
        endpoint
    }

    /// A URL may be the spelling of an endpoint whose environment is known.
    fn expect_of_known(&self, value: &Value<'_>, endpoint: &Endpoint) -> Option<()> {
        if endpoint.name.is_some() {
            return Some(());
        }
        for (name, (environment, known)) in self.named {
            if let Some(environment) = environment
                && known.url.place() == endpoint.url.place()
            {
                let what = format!("this URL is endpoint `{name}`, which");
                self.expect(value, environment, &what)?;
            }
        }
        Some(())
    }

    /// Whether a source or target, right or wrong, is meant to be an archive; says nothing of what is wrong with it.
    pub(super) fn means_archive(&self, value: &Value<'_>, kind: Option<StoreKind>) -> bool {
        match value.content.as_str() {
            Some(text) if url::looks_like_url(text, self.stores) => {
                url::is_meant_for_archive(text, kind, self.stores)
            }
            Some(name) => self
                .named
                .get(name)
                .is_some_and(|(_, endpoint)| endpoint.archive.is_some()),
            None => value
                .table_or_nothing()
                .is_some_and(|table| means_archive(&table, kind, self.stores)),
        }
    }

    fn find(&self, value: &Value<'_>, text: &str) -> Option<(Option<&Environment>, &Endpoint)> {
        if let Some((environment, endpoint)) = self.named.get(text) {
            return Some((environment.as_ref(), endpoint));
        }
        let names: Vec<&str> = self.named.keys().map(String::as_str).collect();
        let mut diagnostic = value
            .wrong(format!(
                "{} is neither an endpoint's name nor a URL",
                quote(text)
            ))
            .help(format!(
                "define it as [endpoints.NAME], or write a URL: {}",
                url::usual_forms(self.stores)
            ));
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
