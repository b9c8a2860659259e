//! Large objects: same oids, bytes, owners, grants, comments and security labels.
//!
//! `pg_dump` makes them together with their bytes only, so they are a part of their own here. A piece on the wire is the
//! oid, the offset and the length, lowest byte first (4, 8 and 4 bytes), then the bytes.

use serde::{Deserialize, Serialize};

use super::roles::Roles;
use crate::error::Result;
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::schema::row_encodings::LARGE_OBJECTS;
use crate::store::postgresql::sql::quoting::{literal, quoted};
use crate::store::{List, Part, Unit};

/// The name of the part; no table can be called so, as it is in the system's schema.
const SCHEMA: &str = "pg_catalog";

const NAME: &str = "pg_largeobject";

/// The oid of `pg_largeobject`, which is what their comments and owners are filed under.
pub(in crate::store::postgresql) const CLASS: u32 = 2613;

/// A large object's own catalogue entry.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::store::postgresql) struct Described {
    pub(in crate::store::postgresql) oid: u32,
    owner: String,
    grants: Vec<Grant>,
    /// What the owner itself has not.
    revoked: Vec<String>,
    comment: Option<String>,
    /// Provider and label.
    labels: Vec<(String, String)>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Grant {
    privilege: String,
    /// `None`: public.
    to: Option<String>,
    grantable: bool,
    /// `None`: the owner.
    by: Option<String>,
}

impl Described {
    /// As it is filed in the catalogues.
    pub(in crate::store::postgresql) fn filed(&self) -> (u32, u32) {
        (CLASS, self.oid)
    }
}

/// Whether a part is the large objects.
pub(in crate::store::postgresql) fn is(part: &Part) -> bool {
    part.schema.as_deref() == Some(SCHEMA) && part.name == NAME
}

/// All large objects' entries; none is an empty list.
pub(in crate::store::postgresql) async fn describe(session: &Session) -> Result<Vec<Described>> {
    let rows = session
        .query(
            "SELECT m.oid, r.rolname::text, obj_description(m.oid, 'pg_largeobject') \
             FROM pg_largeobject_metadata m JOIN pg_roles r ON r.oid = m.lomowner ORDER BY m.oid",
            &[],
        )
        .await
        .map_err(session.explain())?;
    let mut found: Vec<Described> = rows
        .iter()
        .map(|row| {
            Ok(Described {
                oid: row.read(0)?,
                owner: row.read(1)?,
                grants: Vec::new(),
                revoked: Vec::new(),
                comment: row.read(2)?,
                labels: Vec::new(),
            })
        })
        .collect::<Result<_>>()?;
    let grants = session
        .query(
            // A list of grants has whoever passes something on before those who have it from them.
            "SELECT m.oid, a.privilege_type, g.rolname::text, a.is_grantable, \
                    CASE WHEN a.grantor <> m.lomowner THEN pg_get_userbyid(a.grantor)::text END \
             FROM pg_largeobject_metadata m, aclexplode(m.lomacl) WITH ORDINALITY a(grantor, grantee, privilege_type, is_grantable, place) \
             LEFT JOIN pg_roles g ON g.oid = a.grantee \
             WHERE a.grantee <> m.lomowner ORDER BY m.oid, a.place",
            &[],
        )
        .await
        .map_err(session.explain())?;
    for row in grants {
        let oid: u32 = row.read(0)?;
        if let Ok(place) = found.binary_search_by_key(&oid, |one| one.oid) {
            found[place].grants.push(Grant {
                privilege: row.read(1)?,
                to: row.read(2)?,
                grantable: row.read(3)?,
                by: row.read(4)?,
            });
        }
    }
    let revoked = session
        .query(
            "SELECT m.oid, p FROM pg_largeobject_metadata m, unnest(ARRAY['SELECT', 'UPDATE']) AS p \
             WHERE m.lomacl IS NOT NULL AND NOT EXISTS (SELECT FROM aclexplode(m.lomacl) a \
                 WHERE a.grantee = m.lomowner AND a.privilege_type = p) ORDER BY m.oid",
            &[],
        )
        .await
        .map_err(session.explain())?;
    for row in revoked {
        let oid: u32 = row.read(0)?;
        if let Ok(place) = found.binary_search_by_key(&oid, |one| one.oid) {
            found[place].revoked.push(row.read(1)?);
        }
    }
    let labels = session
        .query(
            "SELECT objoid, provider, label FROM pg_seclabel WHERE classoid = 'pg_largeobject'::regclass ORDER BY 1, 2",
            &[],
        )
        .await
        .map_err(session.explain())?;
    for row in labels {
        let oid: u32 = row.read(0)?;
        if let Ok(place) = found.binary_search_by_key(&oid, |one| one.oid) {
            found[place].labels.push((row.read(1)?, row.read(2)?));
        }
    }
    Ok(found)
}

/// The part that they are.
pub(in crate::store::postgresql) fn part(id: usize, count: usize) -> Part {
    Part {
        id,
        schema: Some(SCHEMA.to_owned()),
        name: NAME.to_owned(),
        columns: List::default(),
        unit: Unit::Rows,
        encoding: LARGE_OBJECTS,
        rows: count as u64,
        bytes: 0,
        slice: None,
        condition: None,
    }
}

/// Statements that give them comments, labels, grants and owners, each with what it is about; each may fail for lack of a role
/// or a privilege.
pub(in crate::store::postgresql) fn statements(
    objects: &[Described],
    roles: &Roles,
) -> Vec<((u32, u32), String)> {
    let heir = |owner: &str| {
        let heir = roles.heir(owner);
        (heir != roles.me()).then(|| heir.to_owned())
    };
    statements_for(objects, roles.are_copied(), heir)
}

/// The same; `heir`: who gets what this one owned, unless it is who speaks.
pub(in crate::store::postgresql) fn statements_for(
    objects: &[Described],
    granted: bool,
    heir: impl Fn(&str) -> Option<String>,
) -> Vec<((u32, u32), String)> {
    let mut all = Vec::new();
    for one in objects {
        let object = format!("LARGE OBJECT {}", one.oid);
        let mut say = |statement| all.push(((CLASS, one.oid), statement));
        if let Some(comment) = &one.comment {
            say(format!("COMMENT ON {object} IS {};\n", literal(comment)));
        }
        for (provider, label) in &one.labels {
            say(format!(
                "SECURITY LABEL FOR {} ON {object} IS {};\n",
                quoted(provider),
                literal(label)
            ));
        }
        if granted {
            for grant in &one.grants {
                let to = grant
                    .to
                    .as_deref()
                    .map_or_else(|| "PUBLIC".to_owned(), quoted);
                let option = if grant.grantable {
                    " WITH GRANT OPTION"
                } else {
                    ""
                };
                let given = format!("GRANT {} ON {object} TO {to}{option};\n", grant.privilege);
                say(match &grant.by {
                    None => given,
                    // In one piece: if any of it fails, so does the change of the user.
                    Some(by) => format!(
                        "SET SESSION AUTHORIZATION {};\n{given}RESET SESSION AUTHORIZATION;\n",
                        quoted(by)
                    ),
                });
            }
            for privilege in &one.revoked {
                say(format!(
                    "REVOKE {privilege} ON {object} FROM CURRENT_USER;\n"
                ));
            }
        }
        if let Some(heir) = heir(&one.owner) {
            say(format!("ALTER {object} OWNER TO {};\n", quoted(&heir)));
        }
    }
    all
}

/// Their oids, in order.
pub(in crate::store::postgresql) fn oids(objects: &[Described]) -> Vec<u32> {
    objects.iter().map(|one| one.oid).collect()
}
