//! Kinds of objects that a server has and this program does not know: newer than it is. They are named and refused, so
//! that nothing is left out or left uncompared without a word.

use super::survey::OURS;
use crate::error::{Error, Kind, Result};
use crate::store::catalogue::first_of;
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::sql::quoting::quoted;

/// The catalogues of a database (of versions 12 to 18; "System Catalogs" in PostgreSQL's manual).
const CATALOGUES: &str = "pg_aggregate pg_am pg_amop pg_amproc pg_attrdef pg_attribute pg_cast pg_class pg_collation \
    pg_constraint pg_conversion pg_default_acl pg_depend pg_description pg_enum pg_event_trigger pg_extension \
    pg_foreign_data_wrapper pg_foreign_server pg_foreign_table pg_index pg_inherits pg_init_privs pg_language pg_largeobject \
    pg_largeobject_metadata pg_namespace pg_opclass pg_operator pg_opfamily pg_partitioned_table pg_policy pg_proc \
    pg_publication pg_publication_namespace pg_publication_rel pg_range pg_rewrite pg_seclabel pg_sequence pg_statistic \
    pg_statistic_ext pg_statistic_ext_data pg_subscription_rel pg_transform pg_trigger pg_ts_config pg_ts_config_map \
    pg_ts_dict pg_ts_parser pg_ts_template pg_type pg_user_mapping";

/// What has a kind among others: the object in words, where it has a letter that is not in the list.
const KINDS: &[&str] = &[
    "SELECT 'relation ' || n.nspname || '.' || c.relname || ' (relkind ' || c.relkind::text || ')'
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE OURS AND c.relkind NOT IN ('r', 'i', 'S', 't', 'v', 'm', 'c', 'f', 'p', 'I')",
    "SELECT 'column ' || n.nspname || '.' || c.relname || '.' || a.attname || ' (attgenerated ' || a.attgenerated::text || ', attidentity ' || a.attidentity::text || ')'
     FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE OURS AND (a.attgenerated NOT IN ('', 's', 'v') OR a.attidentity NOT IN ('', 'a', 'd'))",
    "SELECT 'constraint ' || n.nspname || '.' || o.conname || ' (contype ' || o.contype::text || ')'
     FROM pg_constraint o JOIN pg_namespace n ON n.oid = o.connamespace WHERE OURS AND o.contype NOT IN ('c', 'f', 'n', 'p', 'u', 't', 'x')",
    "SELECT 'type ' || n.nspname || '.' || t.typname || ' (typtype ' || t.typtype::text || ')'
     FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE OURS AND t.typtype NOT IN ('b', 'c', 'd', 'e', 'm', 'p', 'r')",
    "SELECT 'routine ' || n.nspname || '.' || p.proname || ' (prokind ' || p.prokind::text || ')'
     FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE OURS AND p.prokind NOT IN ('a', 'f', 'p', 'w')",
    "SELECT 'partitioned table ' || n.nspname || '.' || c.relname || ' (partstrat ' || o.partstrat::text || ')'
     FROM pg_partitioned_table o JOIN pg_class c ON c.oid = o.partrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE OURS AND o.partstrat NOT IN ('h', 'l', 'r')",
];

/// How many an error names.
const NAMED: usize = 5;

/// Refuses a database with objects of kinds that this program does not know.
pub(in crate::store::postgresql) async fn refuse(session: &Session) -> Result<()> {
    let kinds = KINDS.join(" UNION ALL ").replace("OURS", OURS);
    let rows = session
        .query(&kinds, &[])
        .await
        .map_err(session.explain())?;
    let mut found: Vec<String> = rows.iter().map(|row| row.read(0)).collect::<Result<_>>()?;
    let known: Vec<&str> = CATALOGUES.split_whitespace().collect();
    let new = session
        .query(
            "SELECT c.relname::text, EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'oid')
             FROM pg_class c WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind = 'r' AND NOT c.relisshared
               AND c.relname <> ALL ($1) ORDER BY 1",
            &[&known],
        )
        .await
        .map_err(session.explain())?;
    for row in new {
        let (catalogue, has_oid): (String, bool) = (row.read(0)?, row.read(1)?);
        // What the server itself came with is below (`FirstNormalObjectId` in its `transam.h`).
        let ours = if has_oid { " WHERE oid >= 16384" } else { "" };
        let sql = format!(
            "SELECT EXISTS (SELECT FROM pg_catalog.{}{ours})",
            quoted(&catalogue)
        );
        let row = session
            .query_one(&sql, &[])
            .await
            .map_err(session.explain())?;
        if row.read(0)? {
            found.push(format!("what is in the catalogue {catalogue}"));
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        Kind::Verify,
        format!(
            "the source has objects of kinds that this envsyncd does not know: {}",
            first_of(&found, NAMED)
        ),
    )
    .hint("install an envsyncd that knows this version of PostgreSQL, or drop them"))
}
