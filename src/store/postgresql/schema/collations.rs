//! Collations belong to a server's libraries: which of them a database uses, and whether another server has them.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::properties::Properties;
use crate::error::{Error, Kind, Result};
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::schema::survey::OURS;

/// A collation that a database uses.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::store::postgresql) struct Collation {
    pub(in crate::store::postgresql) oid: u32,
    /// For people: `public.german`.
    label: String,
    name: String,
    /// Whether initdb made it, on this server and maybe not on another one.
    pub(in crate::store::postgresql) of_server: bool,
    /// `c`: the C library, `i`: ICU.
    provider: String,
    locale: String,
    /// The library's version of it when it was made here.
    version: Option<String>,
}

/// The column that has an ICU locale's name.
fn locale_column(version: u32) -> &'static str {
    match version / 10_000 {
        17.. => "l.colllocale",
        15 | 16 => "l.colliculocale",
        _ => "NULL::text",
    }
}

/// Those that the database defines, and those of the server's own that something in it uses which is not `gone`.
pub(in crate::store::postgresql) async fn used(
    session: &Session,
    version: u32,
    gone: &HashSet<(u32, u32)>,
) -> Result<Vec<Collation>> {
    let without: Vec<u32> = gone.iter().map(|(_, oid)| *oid).collect();
    // Not EXISTS: with many tables, columns would be gone through once for each of hundreds of collations.
    let query = format!(
        "SELECT n.nspname || '.' || l.collname, l.collname::text, n.nspname = 'pg_catalog', l.collprovider::text,
                coalesce(l.collcollate::text, {}, ''), l.collversion, l.oid
         FROM pg_collation l JOIN pg_namespace n ON n.oid = l.collnamespace
         WHERE l.collprovider IN ('c', 'i') AND l.collname NOT IN ('C', 'POSIX', 'ucs_basic') AND (({OURS}) OR (n.nspname = 'pg_catalog' AND (
             EXISTS (SELECT FROM pg_depend d WHERE d.refclassid = 'pg_collation'::regclass AND d.refobjid = l.oid AND d.objid <> ALL($1)
                     AND (d.classid, d.objid) NOT IN (SELECT 'pg_collation'::regclass, oid FROM pg_collation))
             OR l.oid IN (SELECT a.attcollation FROM pg_attribute a WHERE NOT a.attisdropped AND a.attrelid >= 16384 AND a.attrelid <> ALL($1)))))
         ORDER BY 1",
        locale_column(version)
    );
    let rows = session
        .query(&query, &[&without])
        .await
        .map_err(session.explain())?;
    rows.iter()
        .map(|row| {
            Ok(Collation {
                label: row.read(0)?,
                name: row.read(1)?,
                of_server: row.read(2)?,
                provider: row.read(3)?,
                locale: row.read(4)?,
                version: row.read(5)?,
                oid: row.read(6)?,
            })
        })
        .collect()
}

/// The collations that a server provides.
struct Known {
    /// By provider and locale, in lower case and without hyphens: the library's version of it.
    versions: HashMap<(String, String), Option<String>>,
    names: HashMap<String, Option<String>>,
}

impl Known {
    async fn of(session: &Session, version: u32) -> Result<Self> {
        // Another one's database may have a locale that was installed after initdb.
        let query = format!(
            "SELECT l.collname::text, l.collprovider::text, coalesce(l.collcollate::text, {}, ''), pg_collation_actual_version(l.oid)
             FROM pg_collation l WHERE l.collnamespace = 'pg_catalog'::regnamespace
             UNION ALL SELECT NULL, 'c', datcollate::text, NULL FROM pg_database",
            locale_column(version)
        );
        let rows = session
            .query(&query, &[])
            .await
            .map_err(session.explain())?;
        let mut known = Self {
            versions: HashMap::new(),
            names: HashMap::new(),
        };
        for row in rows {
            let version: Option<String> = row.read(3)?;
            if let Some(name) = row.read(0)? {
                known.names.insert(name, version.clone());
            }
            let key = (row.read(1)?, same(row.read(2)?));
            known.versions.entry(key).or_insert(version);
        }
        Ok(known)
    }

    /// ICU makes something of any locale; the C library has it or has not.
    fn has(&self, provider: &str, locale: &str) -> bool {
        match provider {
            // `unicode` is there in a server without ICU, too.
            "i" => {
                let mut all = self.versions.keys();
                all.any(|(provider, locale)| provider == "i" && locale != "und")
            }
            _ => {
                ["C", "POSIX"].contains(&locale)
                    || self
                        .versions
                        .contains_key(&(provider.to_owned(), same(locale)))
            }
        }
    }
}

/// `en_US.UTF-8` is `en_US.utf8`.
fn same(locale: &str) -> String {
    locale.to_lowercase().replace('-', "")
}

/// Refuses collations that the target's server lacks; warns of those that sort by another version there.
pub(in crate::store::postgresql) async fn check(
    target: &Session,
    version: u32,
    properties: &Properties,
    used: &[Collation],
) -> Result<()> {
    let known = Known::of(target, version).await?;
    if properties.provider == "c" && !known.has("c", &properties.collate) {
        return Err(Error::new(
            Kind::Verify,
            format!(
                "the target's server lacks the source's locale {}",
                properties.collate
            ),
        )
        .hint("install the locale on the target's host and restart its server"));
    }
    if properties.provider == "i" && !known.has("i", "") {
        return Err(Error::new(
            Kind::Verify,
            "the source's locales are ICU's, and the target's server was built without ICU",
        )
        .hint("use a server with ICU for the target"));
    }
    let missing: Vec<String> = used
        .iter()
        .filter(|one| {
            if one.of_server {
                !known.names.contains_key(&one.name)
            } else {
                !known.has(&one.provider, &one.locale)
            }
        })
        .map(|one| one.label.replace("pg_catalog.", ""))
        .collect();
    if !missing.is_empty() {
        return Err(Error::new(
            Kind::Verify,
            format!("the target's server lacks the collations {}", missing.join(", ")),
        )
        .hint("install their locales on the target's host and run SELECT pg_import_system_collations('pg_catalog') in template1"));
    }
    let (provider, locale) = match (&properties.locale, properties.provider.as_str()) {
        (Some(locale), "i") => ("i", locale.as_str()),
        _ => ("c", properties.collate.as_str()),
    };
    let database = Collation {
        oid: 0,
        label: "the database's default".to_owned(),
        name: String::new(),
        of_server: false,
        provider: provider.to_owned(),
        locale: locale.to_owned(),
        version: properties.collation_version.clone(),
    };
    for one in used.iter().chain([&database]) {
        let theirs = if one.of_server {
            known.names.get(&one.name)
        } else {
            known
                .versions
                .get(&(one.provider.clone(), same(&one.locale)))
        };
        if let (Some(ours), Some(Some(theirs))) = (&one.version, theirs)
            && ours != theirs
        {
            tracing::warn!(
                collation = one.label.as_str(),
                source = ours.as_str(),
                target = theirs.as_str(),
                "the target sorts by another version of a collation: the order of rows may differ"
            );
        }
    }
    Ok(())
}
