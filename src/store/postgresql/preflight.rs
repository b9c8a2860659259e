//! What a target has to be and to have, asked before anything is made.

use std::collections::{BTreeSet, HashMap};

use crate::config::job::Roles as Wanted;
use crate::error::{Error, Kind, Result};
use crate::store::Fate;
use crate::store::catalogue::first_of;
use crate::store::postgresql::databases::destination::Destination;
use crate::store::postgresql::databases::{attributes, user};
use crate::store::postgresql::incoming::publications;
use crate::store::postgresql::schema::code::{Runs, might, of_definitions, refuse};
use crate::store::postgresql::schema::definitions::Definitions;
use crate::store::postgresql::schema::roles::Roles;
use crate::store::postgresql::schema::survey::{self, OURS, version};
use crate::store::postgresql::schema::{collations, constraints, requirements, toc};

impl Destination {
    /// Refuses what could never be published, and warns of what may not be.
    pub(super) async fn refuse_unfit(&self, definitions: &Definitions) -> Result<()> {
        let number = survey::version(&self.admin).await?.0;
        user::refuse_unfit_user(&self.admin, &self.names.live, number).await?;
        attributes::refuse_if_bound(&self.admin, &self.names.live).await?;
        let others = attributes::untouchable(&self.admin, &self.names.live).await?;
        if !others.is_empty() {
            tracing::warn!(
                users = others.join(", "),
                "sessions in the live database that the target's user cannot end; publish fails unless they leave"
            );
        }
        collations::check(
            &self.admin,
            number,
            &definitions.properties,
            &definitions.collations,
        )
        .await?;
        self.refuse_roles(definitions).await?;
        self.refuse_code(definitions).await?;
        self.refuse_other_kinds(definitions).await?;
        self.warn_of_emptiness(definitions).await?;
        self.refuse_reaching_scripts().await?;
        let wanted: Vec<String> = definitions
            .toc()
            .entries
            .iter()
            .filter(|entry| entry.kind == "EXTENSION")
            .map(|entry| entry.tag().to_owned())
            .collect();
        let missing: Vec<String> = self
            .admin
            .query("SELECT name FROM unnest($1::text[]) AS name WHERE name NOT IN (SELECT a.name::text FROM pg_available_extensions a)", &[&wanted])
            .await
            .map_err(self.admin.explain())?
            .iter()
            .map(|row| row.read(0))
            .collect::<Result<_>>()?;
        requirements::refuse_bound(wanted.iter().map(String::as_str))?;
        if !missing.is_empty() {
            return Err(Error::new(
                Kind::Verify,
                format!(
                    "the target's server lacks the extensions {}",
                    missing.join(", ")
                ),
            )
            .hint("install their packages on the target's host"));
        }
        definitions.requirements.check(&self.admin).await
    }

    /// Warns of a source without tables, where live has some that would go: it may be the wrong one.
    async fn warn_of_emptiness(&self, definitions: &Definitions) -> Result<()> {
        let has_tables = {
            let toc = definitions.toc();
            let mut tables = toc.entries.iter().filter(|entry| entry.kind == "TABLE");
            tables.any(|entry| !definitions.gone.contains(&entry.object()))
        };
        let selection = &self.context.selection;
        if has_tables
            || selection.overlay
            || !attributes::exists(&self.admin, &self.names.live).await?
            || self.live_is_shell().await?
        {
            return Ok(());
        }
        let live = self.live_session().await?;
        let theirs = survey::tables(&live, selection).await?;
        let going = theirs
            .iter()
            .filter(|table| table.fate != Fate::Keep)
            .count();
        if going > 0 {
            tracing::warn!(
                tables = going,
                "the source has no tables, and the target has some: they go"
            );
        }
        Ok(())
    }

    /// With `roles = "fail"`: every role has to be there.
    async fn refuse_roles(&self, definitions: &Definitions) -> Result<()> {
        if self.roles != Wanted::Fail {
            return Ok(());
        }
        let number = survey::version(&self.admin).await?.0;
        let roles = Roles::load(&self.admin, number, None, self.roles).await?;
        roles.refuse_missing(&definitions.rights)
    }

    /// Refuses to keep rows under a name that is a table on one side and something else on the other.
    async fn refuse_other_kinds(&self, definitions: &Definitions) -> Result<()> {
        let selection = &self.context.selection;
        if selection.is_everything() && !selection.overlay
            || !attributes::exists(&self.admin, &self.names.live).await?
            || self.live_is_shell().await?
        {
            return Ok(());
        }
        let live = self.live_session().await?;
        let rows = live
            .query(
                &format!(
                    "SELECT n.nspname::text, c.relname::text, c.relkind::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't' AND {OURS}
                       AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
                     ORDER BY 1, 2"
                ),
                &[],
            )
            .await
            .map_err(live.explain())?;
        if selection.overlay {
            publications::refuse_out_of_reach(&live, self.is_superuser().await?).await?;
        }
        let source: HashMap<(String, String), &'static str> = {
            let toc = definitions.toc();
            let made = toc
                .entries
                .iter()
                .filter(|entry| !definitions.gone.contains(&entry.object()));
            made.filter_map(|entry| {
                let name = (entry.schema.as_deref()?.to_owned(), entry.tag().to_owned());
                Some((name, kind_of_entry(&entry.kind, &entry.definition())?))
            })
            .collect()
        };
        for row in rows {
            let (schema, name, kind): (String, String, String) =
                (row.read(0)?, row.read(1)?, row.read(2)?);
            let here = kind_of(&kind);
            let is_table = matches!(kind.as_str(), "r" | "p");
            let is_kept = selection.fate(Some(&schema), &name) == Fate::Keep;
            let label = format!("{schema}.{name}");
            let Some(there) = source.get(&(schema, name)) else {
                if is_kept && !is_table && !selection.overlay {
                    tracing::warn!(
                        name = label,
                        "{here} is no table: only tables are kept, and it goes, as the source has nothing of this name"
                    );
                }
                continue;
            };
            let tables = ["a table", "a partitioned table"];
            let replaced = selection.overlay && is_table && !tables.contains(there);
            if here != *there && (is_kept || replaced) {
                return Err(Error::new(
                    Kind::Verify,
                    format!("{label} is {here} on the target and {there} on the source: it cannot be kept"),
                )
                .hint("make it the same kind of thing on both sides, drop it on the target, or take it out of `keep`"));
            }
        }
        Ok(())
    }
}

/// Kinds of relations that have rows or show some, in words.
fn kind_of(letter: &str) -> &'static str {
    match letter {
        "p" => "a partitioned table",
        "v" => "a view",
        "m" => "a materialized view",
        "f" => "a foreign table",
        _ => "a table",
    }
}

/// What kind of relation an entry makes.
fn kind_of_entry(kind: &str, definition: &str) -> Option<&'static str> {
    match kind {
        "TABLE" if definition.contains("\nPARTITION BY ") => Some(kind_of("p")),
        "TABLE" => Some(kind_of("r")),
        "VIEW" => Some(kind_of("v")),
        "MATERIALIZED VIEW" => Some(kind_of("m")),
        "FOREIGN TABLE" => Some(kind_of("f")),
        _ => None,
    }
}

impl Destination {
    /// Refuses code of the source that would run with the rights of a target's user who can do more than its databases need;
    /// and warns of what would have them afterwards.
    pub(super) async fn refuse_code(&self, definitions: &Definitions) -> Result<()> {
        let Some(might) = might(&self.admin).await? else {
            return Ok(());
        };
        let number = version(&self.admin).await?.0;
        let owner = self.place_and_owner_of_live().await?.map(|live| live.1);
        let roles = Roles::load(&self.admin, number, owner.as_deref(), self.roles).await?;
        let entries = {
            let toc = definitions.toc();
            toc.entries.clone()
        };
        let mut made = entries
            .iter()
            .filter(|entry| !definitions.gone.contains(&entry.object()));
        if !self.trusts_source {
            let found: Vec<String> = if let Some(code) = &definitions.code {
                let writes = self.has_scripts() || !definitions.preserved.is_empty();
                let runs: BTreeSet<String> = code
                    .iter()
                    .filter(|code| match &code.runs {
                        Runs::Filling => true,
                        Runs::Writing => writes,
                        Runs::As(owner) => roles.is_mighty(roles.heir(owner)),
                    })
                    .map(|code| code.words.clone())
                    .collect();
                runs.into_iter().collect()
            } else {
                // An archive says itself whose its code is.
                let all = made
                    .clone()
                    .map(|entry| (entry.label(), entry.definition().to_string().into()));
                let in_two = definitions.in_two.values();
                let in_two = in_two.flat_map(constraints::InTwo::statements);
                let others = definitions.conditions.values().map(String::as_str);
                let others = others.chain(in_two);
                let others = others.map(|text| ("a condition".to_owned(), text.into()));
                of_definitions(&self.admin, all.chain(others)).await?
            };
            refuse(&might, &found)?;
        }
        let rising = |entry: &toc::Entry| {
            let heir = roles.heir(&entry.owner);
            matches!(entry.kind.as_str(), "FUNCTION" | "PROCEDURE")
                && entry.definition().contains(" SECURITY DEFINER")
                && heir != &*entry.owner
                && roles.is_mighty(heir)
        };
        let rising: Vec<String> = made
            .by_ref()
            .filter(|entry| rising(entry))
            .map(toc::Entry::label)
            .collect();
        if !rising.is_empty() {
            tracing::warn!(
                routines = first_of(&rising, 5),
                "the target lacks their owner, and they will run with the rights of a superuser, whoever calls them (SECURITY DEFINER)"
            );
        }
        Ok(())
    }
}
