//! Who owns what, who may use it and what is said of it: read from both sides' catalogues, and compared as far as both have the roles.

use std::collections::{BTreeSet, HashSet};

use serde::{Deserialize, Serialize};

use super::roles::Roles;
use super::survey::OURS;
use super::toc::{Word, Words};
use crate::error::{Error, Kind, Result};
use crate::store::postgresql::connection::cells::Row;
use crate::store::postgresql::connection::session::Session;

/// One privilege of one role. `PUBLIC` is the empty name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Grant {
    pub(super) to: String,
    pub(super) by: String,
    pub(super) privilege: String,
    pub(super) grantable: bool,
}

/// What one object says of roles.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::store::postgresql) struct Right {
    /// The catalogue it comes from, and its oid there.
    pub(in crate::store::postgresql) object: (u32, u32),
    /// In words: `table public.users`.
    pub(super) name: Box<str>,
    /// Whether it goes when none of its roles is there: policies, user mappings, default privileges.
    pub(super) bound: bool,
    pub(super) owner: Option<Word>,
    /// `None`: what a new object grants.
    pub(super) grants: Option<Box<[Grant]>>,
    /// What else there is to compare.
    pub(super) definition: Box<str>,
}

/// Yields catalogue, oid, words, whether it is bound, owner, grants (four lists), definition.
const QUERY: &str = r#"
WITH owned(class, oid, sub, owner, acl, kind) AS (
    SELECT 'pg_namespace'::regclass::oid, n.oid, 0, n.nspowner, n.nspacl, 'n'::"char" FROM pg_namespace n WHERE OURS
    UNION ALL
    SELECT 'pg_class'::regclass, c.oid, 0, c.relowner, c.relacl, CASE c.relkind WHEN 'S' THEN 's'::"char" ELSE 'r'::"char" END
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relpersistence <> 't' AND OURS
    UNION ALL
    SELECT 'pg_class'::regclass, c.oid, a.attnum, c.relowner, a.attacl, 'c'
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE a.attacl IS NOT NULL AND NOT a.attisdropped AND c.relpersistence <> 't' AND OURS
    UNION ALL
    SELECT 'pg_proc'::regclass, p.oid, 0, p.proowner, p.proacl, 'f' FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE OURS AND NOT EXISTS (SELECT FROM pg_depend i WHERE i.classid = 'pg_proc'::regclass AND i.objid = p.oid AND i.deptype = 'i')
    UNION ALL
    SELECT 'pg_type'::regclass, t.oid, 0, t.typowner, t.typacl, 'T' FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE OURS AND (t.typtype IN ('d', 'e', 'r') OR (t.typtype = 'b' AND t.typcategory <> 'A')
        OR (t.typtype = 'c' AND EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c')))
    UNION ALL
    SELECT 'pg_language'::regclass, oid, 0, lanowner, lanacl, 'l' FROM pg_language WHERE oid >= 16384
    UNION ALL
    SELECT 'pg_foreign_data_wrapper'::regclass, oid, 0, fdwowner, fdwacl, 'F' FROM pg_foreign_data_wrapper WHERE oid >= 16384
    UNION ALL
    SELECT 'pg_foreign_server'::regclass, oid, 0, srvowner, srvacl, 'S' FROM pg_foreign_server
    UNION ALL
    SELECT 'pg_largeobject'::regclass, oid, 0, lomowner, lomacl, 'L' FROM pg_largeobject_metadata
    UNION ALL
    SELECT 'pg_operator'::regclass, o.oid, 0, o.oprowner, NULL, 'x' FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace WHERE OURS AND o.oprcode <> 0
    UNION ALL
    SELECT 'pg_opclass'::regclass, o.oid, 0, o.opcowner, NULL, 'x' FROM pg_opclass o JOIN pg_namespace n ON n.oid = o.opcnamespace WHERE OURS
    UNION ALL
    SELECT 'pg_opfamily'::regclass, o.oid, 0, o.opfowner, NULL, 'x' FROM pg_opfamily o JOIN pg_namespace n ON n.oid = o.opfnamespace WHERE OURS
    UNION ALL
    SELECT 'pg_collation'::regclass, o.oid, 0, o.collowner, NULL, 'x' FROM pg_collation o JOIN pg_namespace n ON n.oid = o.collnamespace WHERE OURS
    UNION ALL
    SELECT 'pg_conversion'::regclass, o.oid, 0, o.conowner, NULL, 'x' FROM pg_conversion o JOIN pg_namespace n ON n.oid = o.connamespace WHERE OURS
    UNION ALL
    SELECT 'pg_ts_config'::regclass, o.oid, 0, o.cfgowner, NULL, 'x' FROM pg_ts_config o JOIN pg_namespace n ON n.oid = o.cfgnamespace WHERE OURS
    UNION ALL
    SELECT 'pg_ts_dict'::regclass, o.oid, 0, o.dictowner, NULL, 'x' FROM pg_ts_dict o JOIN pg_namespace n ON n.oid = o.dictnamespace WHERE OURS
    UNION ALL
    SELECT 'pg_statistic_ext'::regclass, o.oid, 0, o.stxowner, NULL, 'x' FROM pg_statistic_ext o JOIN pg_namespace n ON n.oid = o.stxnamespace WHERE OURS
    UNION ALL
    SELECT 'pg_event_trigger'::regclass, oid, 0, evtowner, NULL, 'x' FROM pg_event_trigger
), said(class, oid, sub, bound, owner, acl, definition) AS (
    SELECT o.class, o.oid, o.sub, false, pg_get_userbyid(o.owner)::text,
           CASE WHEN o.kind <> 'x' AND o.acl IS NOT NULL AND NOT (o.acl @> d.acl AND o.acl <@ d.acl) THEN o.acl END, ''
    FROM owned o, LATERAL (SELECT CASE WHEN o.kind <> 'x' THEN acldefault(o.kind, o.owner) END AS acl) d
    WHERE NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = o.class AND e.objid = o.oid AND e.deptype = 'e')
    UNION ALL
    SELECT 'pg_default_acl'::regclass, oid, 0, true, pg_get_userbyid(defaclrole)::text, defaclacl, '' FROM pg_default_acl
)
SELECT s.class, s.oid, pg_describe_object(s.class, s.oid, s.sub), s.bound, s.owner, g.whom, g.by, g.privilege, g.grantable, s.definition
FROM said s LEFT JOIN LATERAL (
    SELECT coalesce(array_agg(coalesce(pg_get_userbyid(nullif(a.grantee, 0))::text, '')), '{}') AS whom, array_agg(pg_get_userbyid(a.grantor)::text) AS by,
           array_agg(a.privilege_type) AS privilege, array_agg(a.is_grantable) AS grantable
    FROM aclexplode(s.acl) a) g ON s.acl IS NOT NULL
UNION ALL
SELECT 'pg_policy'::regclass, p.oid, pg_describe_object('pg_policy'::regclass, p.oid, 0), true, NULL, r.whom,
       array_fill(''::text, ARRAY[cardinality(r.whom)]), array_fill('to'::text, ARRAY[cardinality(r.whom)]), array_fill(false, ARRAY[cardinality(r.whom)]),
       concat_ws(' ', p.polcmd, p.polpermissive, pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace,
     LATERAL (SELECT array_agg(coalesce(pg_get_userbyid(nullif(role, 0))::text, '')) AS whom FROM unnest(p.polroles) AS role) r
WHERE OURS
UNION ALL
SELECT 'pg_user_mapping'::regclass, u.umid, 'user mapping for server ' || u.srvname || ' of ' || u.usename, true, NULL,
       ARRAY[CASE WHEN u.umuser = 0 THEN '' ELSE u.usename::text END], ARRAY[''], ARRAY['to'], ARRAY[false], ''
FROM pg_user_mappings u
UNION ALL
SELECT d.classoid, d.objoid, 'comment on ' || pg_describe_object(d.classoid, d.objoid, d.objsubid), true, NULL, NULL, NULL, NULL, NULL, d.description
FROM pg_description d
WHERE (d.objoid >= 16384 OR (d.classoid = 'pg_namespace'::regclass AND d.objoid = 2200))
  AND d.classoid NOT IN ('pg_publication'::regclass, 'pg_subscription'::regclass)
  AND NOT (d.classoid = 'pg_class'::regclass AND d.objoid IN (
      SELECT i.indexrelid FROM pg_index i JOIN pg_class r ON r.oid = i.indrelid WHERE NOT (i.indisready AND (i.indisvalid OR r.relkind = 'p'))))
  AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = d.classoid AND e.objid = d.objoid AND e.deptype = 'e')
UNION ALL
SELECT l.classoid, l.objoid, 'security label ' || l.provider || ' on ' || pg_describe_object(l.classoid, l.objoid, l.objsubid), true, NULL, NULL, NULL, NULL, NULL, l.label
FROM pg_seclabel l
WHERE l.classoid NOT IN ('pg_publication'::regclass, 'pg_subscription'::regclass)
"#;

/// Reads them, without what is `gone`.
pub(in crate::store::postgresql) async fn read(
    session: &Session,
    gone: &HashSet<(u32, u32)>,
) -> Result<Vec<Right>> {
    let mut found = Vec::new();
    each(session, gone, |right| found.push(right)).await?;
    found.shrink_to_fit();
    Ok(found)
}

/// Shows them one by one.
pub(in crate::store::postgresql) async fn each(
    session: &Session,
    gone: &HashSet<(u32, u32)>,
    mut show: impl FnMut(Right),
) -> Result<()> {
    let mut words = Words::default();
    let take = |row: &Row| {
        right(row, gone, &mut words)?
            .into_iter()
            .for_each(&mut show);
        Ok(())
    };
    let query = QUERY.replace("OURS", OURS);
    session.each_row(&query, take).await
}

/// What a row says, unless it is of something that is `gone`.
fn right(row: &Row, gone: &HashSet<(u32, u32)>, words: &mut Words) -> Result<Option<Right>> {
    let object = (row.read(0)?, row.read(1)?);
    // What was dropped since the snapshot has no words any more.
    let name: Option<String> = row.read(2)?;
    let (false, Some(name)) = (gone.contains(&object), name) else {
        return Ok(None);
    };
    if name.contains(" pg_temp_") {
        return Ok(None);
    }
    let whom: Option<Vec<String>> = row.read(5)?;
    let by: Vec<String> = row.read::<Option<_>>(6)?.unwrap_or_default();
    let privileges: Vec<String> = row.read::<Option<_>>(7)?.unwrap_or_default();
    let grantable: Vec<bool> = row.read::<Option<_>>(8)?.unwrap_or_default();
    let grants = whom.map(|whom| {
        whom.into_iter()
            .zip(by)
            .zip(privileges)
            .zip(grantable)
            .map(|(((to, by), privilege), grantable)| Grant {
                to,
                by,
                privilege,
                grantable,
            })
            .collect()
    });
    let owner: Option<String> = row.read(4)?;
    Ok(Some(Right {
        object,
        name: name.into(),
        bound: row.read(3)?,
        owner: owner.map(|owner| words.word(&owner)),
        grants,
        definition: row.read::<String>(9)?.into(),
    }))
}

/// Whoever owns a thing, in a list of grants.
pub(super) const OWNER: &str = "\0owner";

impl Right {
    /// Whether a new object of this kind grants something to everybody (`acldefault`): functions, types, languages.
    pub(super) fn is_public_when_new(&self) -> bool {
        matches!(self.object.0, 1255 | 1247 | 2612)
    }

    /// Whether someone else's grants become the owner's own, as on the target they own it.
    pub(super) fn grants_to(&self, owner: Option<&str>) -> bool {
        self.owner.as_deref() != owner
            && self
                .grants
                .iter()
                .flatten()
                .any(|grant| Some(grant.to.as_str()) == owner)
    }

    /// Every role that it names.
    pub(super) fn roles(&self) -> impl Iterator<Item = &str> {
        let grants = self.grants.iter().flatten();
        self.owner
            .as_deref()
            .into_iter()
            .chain(grants.flat_map(|grant| [grant.to.as_str(), grant.by.as_str()]))
            .filter(|role| !role.is_empty())
    }

    /// Grants to others than the owner, as they shall be with another owner and without roles that are not there.
    /// The owner's own are in it by the name of `OWNER`.
    pub(super) fn translated(&self, owner: Option<&str>, roles: &Roles) -> Option<BTreeSet<Grant>> {
        let grants = self.grants.as_ref()?;
        let was = self.owner.as_deref();
        let name = |role: &str| {
            if was == Some(role) || (owner.is_some() && owner == Some(role)) {
                OWNER.to_owned()
            } else {
                role.to_owned()
            }
        };
        let kept = grants
            .iter()
            .filter(|grant| grant.to.is_empty() || was == Some(&grant.to) || roles.has(&grant.to));
        let translated = kept.map(|grant| Grant {
            to: name(&grant.to),
            // Only a superuser can grant in another one's name.
            by: if self.owner.is_some() && roles.is_superuser() && roles.has(&grant.by) {
                name(&grant.by)
            } else {
                OWNER.to_owned()
            },
            ..grant.clone()
        });
        Some(translated.collect())
    }
}

/// Owners and roles with a privilege of any kind, in order.
pub(super) fn roles_in(rights: &[Right]) -> BTreeSet<&str> {
    rights.iter().flat_map(Right::roles).collect()
}

/// The owners among them.
pub(super) fn owners_in(rights: &[Right]) -> BTreeSet<&str> {
    rights
        .iter()
        .filter_map(|right| right.owner.as_deref())
        .collect()
}

/// The owner of the object of this name, and the object.
pub(in crate::store::postgresql) fn owner_of<'a>(
    rights: &'a [Right],
    name: &str,
) -> Option<((u32, u32), &'a str)> {
    let right = rights.iter().find(|right| &*right.name == name)?;
    Some((right.object, right.owner.as_deref()?))
}

impl Roles {
    /// With `roles = "fail"`: refuses what some role would be missing for, and names them all.
    pub(in crate::store::postgresql) fn refuse_missing(&self, source: &[Right]) -> Result<()> {
        if !self.is_strict() {
            return Ok(());
        }
        let missing: Vec<&str> = roles_in(source)
            .into_iter()
            .filter(|role| !self.has(role))
            .collect();
        if !missing.is_empty() {
            return Err(Error::new(
                Kind::Verify,
                format!("the target's server lacks the roles {}", missing.join(", ")),
            )
            .hint("create them there, or set roles = \"map\" or \"skip\""));
        }
        let out_of_reach: Vec<&str> = owners_in(source)
            .into_iter()
            .filter(|role| self.heir(role) != *role)
            .collect();
        if !out_of_reach.is_empty() {
            return Err(Error::new(
                Kind::Permission,
                format!(
                    "the target's user {} may not give objects to {}",
                    self.me(),
                    out_of_reach.join(", ")
                ),
            )
            .hint("make it a member of these roles, or set roles = \"map\" or \"skip\""));
        }
        Ok(())
    }
}
