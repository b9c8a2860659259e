//! The database that a dump's definitions are made in, beside incoming; it is dropped as soon as the dump was read.

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::head::{Head, shown};
use super::rows::Rows;
use crate::error::{Error, Kind, Result};
use crate::policy::Identity;
use crate::store::postgresql::connection::address::Address;
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::databases::marks::{self, Standing};
use crate::store::postgresql::databases::names::Names;
use crate::store::postgresql::databases::{attributes, clear};
use crate::store::postgresql::schema::dumped::{Dumped, Name};
use crate::store::postgresql::schema::large_objects;
use crate::store::postgresql::source::Source;
use crate::store::postgresql::sql::quoting::quoted;
use crate::store::{
    self, Catalogue, Checksum, Chunks, Claim, Context, Digest, Part, Survey, Taker,
};

/// The first version whose databases have a provider of locales.
const PROVIDERS: u32 = 15;

/// Makes it, empty and closed to others, with the encoding and the locale that the dump speaks of.
pub(super) async fn create(
    admin: &Session,
    names: &Names,
    head: &Head,
    major: u32,
    owner: Option<&str>,
    claim: &Claim,
) -> Result<()> {
    let clause = head
        .entries
        .iter()
        .find(|entry| entry.kind.as_deref() == Some(b"DATABASE"))
        .map_or_else(String::new, |entry| {
            clause(&shown(&entry.definition), major)
        });
    let staging = quoted(&names.staging);
    admin
        .run(&format!(
            "CREATE DATABASE {staging} TEMPLATE template0{clause}{}",
            marks::birth(owner)
        ))
        .await
        .map_err(|error| {
            let permission = error.kind() == Kind::Permission;
            let made = error.within(format!("the database {} cannot be created", names.staging));
            if permission {
                made.hint("the target's user needs CREATEDB: ALTER ROLE ... CREATEDB")
            } else if made.advice().is_none() && !clause.is_empty() {
                made.hint(format!(
                    "the dumped database was made with{clause}: the target's server has to know that"
                ))
            } else {
                made
            }
        })?;
    // What is computed while it is restored is computed as in live.
    for statement in attributes::settings_of(admin, &names.live, &names.staging).await? {
        admin.run(&statement).await?;
    }
    let mark = marks::mark(Standing::Staging, &names.live, claim);
    let [comment, limit] = marks::christened(&names.staging, &mark, None);
    let first = [attributes::closed(&names.staging), comment, limit];
    admin.run(&first.join(";")).await
}

/// Encoding and locale of `CREATE DATABASE name WITH TEMPLATE = template0 KEY = 'value' ...`, as a database beside it
/// wants them.
fn clause(definition: &str, major: u32) -> String {
    const WANTED: [&str; 7] = [
        "ENCODING",
        "LOCALE",
        "LC_COLLATE",
        "LC_CTYPE",
        "ICU_LOCALE",
        "ICU_RULES",
        "BUILTIN_LOCALE",
    ];
    let Some((_, options)) = definition.split_once(" TEMPLATE = template0") else {
        return String::new();
    };
    let mut clause = String::new();
    let mut rest = options;
    while let Some((key, after)) = rest.split_once(" = ") {
        let key = key.trim();
        let value;
        if let Some(text) = after.strip_prefix('\'') {
            let mut end = 0;
            loop {
                match text[end..].find('\'') {
                    None => return clause,
                    Some(at) if text[end + at + 1..].starts_with('\'') => end += at + 2,
                    Some(at) => {
                        end += at;
                        break;
                    }
                }
            }
            value = format!("'{}'", &text[..end]);
            rest = &text[end + 1..];
        } else {
            let end = after
                .find(|c: char| !c.is_ascii_alphanumeric())
                .unwrap_or(after.len());
            value = after[..end].to_owned();
            rest = &after[end..];
        }
        if WANTED.contains(&key) || (key == "LOCALE_PROVIDER" && major >= PROVIDERS) {
            clause.push_str(&format!(" {key} {value}"));
        }
    }
    clause
}

/// A dump as a source: its definitions in a database, and its rows in the file. Closed, the database is gone.
pub(super) struct Staged {
    inner: Source,
    rows: Rows,
    /// In a database that is never renamed; `None` once it is dropped.
    admin: Mutex<Option<Session>>,
    database: String,
}

impl Staged {
    /// Opens what was made.
    pub(super) async fn open(
        admin: Session,
        address: Address,
        names: &Names,
        context: &Context,
        dumped: Dumped,
        rows: Rows,
    ) -> Result<Self> {
        Ok(Self {
            inner: Source::open_dumped(address, context, dumped).await?,
            rows,
            admin: Mutex::new(Some(admin)),
            database: names.staging.clone(),
        })
    }
}

fn name_of(part: &Part) -> Name {
    (part.schema.clone().unwrap_or_default(), part.name.clone())
}

#[async_trait]
impl store::Source for Staged {
    async fn identity(&self) -> Result<Identity> {
        self.inner.identity().await
    }

    async fn survey(&self, taker: &Taker) -> Result<Survey> {
        let survey = self.inner.survey(taker).await?;
        let tables = survey.parts.iter().map(name_of);
        let large = survey.parts.iter().any(large_objects::is);
        self.rows.want(tables, large).await;
        Ok(survey)
    }

    async fn read(&self, part: &Part) -> Result<Chunks> {
        if large_objects::is(part) {
            let wanted = self.inner.large_objects()?;
            return Ok(self.rows.read_large(wanted.into_iter().collect()).await);
        }
        self.rows.read(&name_of(part)).await
    }

    async fn catalogue(&self) -> Result<Catalogue> {
        self.inner.catalogue().await
    }

    async fn digest(&self) -> Result<Digest> {
        self.inner.digest().await
    }

    async fn checksum(&self, part: &Part) -> Result<Checksum> {
        let what = format!("{} has no checksum in the dump", part.label());
        Err(Error::new(Kind::Internal, what))
    }

    async fn lost(&self) -> Error {
        self.inner.lost().await
    }

    fn in_order(&self) -> Option<&dyn store::InOrder> {
        Some(self)
    }

    fn shapes(&self) -> Option<&dyn store::Shapes> {
        self.inner.shapes()
    }

    async fn close(&self) {
        let Some(admin) = self.admin.lock().await.take() else {
            return;
        };
        self.inner.close().await;
        // Its session ends now, and nobody is to think that the source was lost.
        self.inner.snapshot().step_aside();
        if let Err(error) = clear::drop_database(&admin, &self.database).await {
            tracing::warn!(%error, "what a dump's definitions were made in could not be dropped; the next run does it");
        }
    }
}

#[async_trait]
impl store::InOrder for Staged {
    async fn finish(&self) -> Result<()> {
        self.rows.finish().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoding_and_locale_are_taken_and_nothing_else() {
        for (definition, major, clause_of) in [
            (
                "CREATE DATABASE a WITH TEMPLATE = template0 ENCODING = 'UTF8' LOCALE_PROVIDER = libc LOCALE = 'C.UTF-8';\n",
                15,
                " ENCODING 'UTF8' LOCALE_PROVIDER libc LOCALE 'C.UTF-8'",
            ),
            (
                "CREATE DATABASE a WITH TEMPLATE = template0 ENCODING = 'UTF8' LOCALE_PROVIDER = libc LOCALE = 'C.UTF-8';\n",
                14,
                " ENCODING 'UTF8' LOCALE 'C.UTF-8'",
            ),
            (
                "CREATE DATABASE \"x TEMPLATE\" WITH TEMPLATE = template0 ENCODING = 'LATIN1' LC_COLLATE = 'it''s' LC_CTYPE = 'C' TABLESPACE = fast;\n",
                15,
                " ENCODING 'LATIN1' LC_COLLATE 'it''s' LC_CTYPE 'C'",
            ),
            ("CREATE DATABASE a;", 15, ""),
            (
                "CREATE DATABASE a WITH TEMPLATE = template0 ENCODING = 'x; DROP",
                15,
                "",
            ),
        ] {
            assert_eq!(clause(definition, major), clause_of, "{definition}");
        }
    }
}
