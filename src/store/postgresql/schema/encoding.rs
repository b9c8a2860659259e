//! Databases without an encoding: what they have in them is bytes. Rows are copied as such; names and definitions are text
//! for us, and text is UTF-8.

use super::survey::OURS;
use crate::error::{Error, Kind, Result};
use crate::store::postgresql::connection::session::Session;

/// What may have any bytes in it: what it is, and the text.
const TEXTS: &str = "
    SELECT 'the comment on ' || pg_describe_object(classoid, objoid, objsubid), description FROM pg_description WHERE objoid >= 16384 OR objoid = 2200
    UNION ALL SELECT 'the security label on ' || pg_describe_object(classoid, objoid, objsubid), label FROM pg_seclabel
    UNION ALL SELECT 'the name of schema ' || nspname, nspname FROM pg_namespace n WHERE OURS
    UNION ALL SELECT 'the name of relation ' || n.nspname || '.' || relname, relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE OURS
    UNION ALL SELECT 'the name of column ' || n.nspname || '.' || relname || '.' || attname, attname
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE OURS AND NOT a.attisdropped
    UNION ALL SELECT 'the name of type ' || n.nspname || '.' || typname, typname FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE OURS
    UNION ALL SELECT 'a label of the type ' || enumtypid::regtype, enumlabel FROM pg_enum
    UNION ALL SELECT 'function ' || n.nspname || '.' || proname, proname || prosrc FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE OURS
    UNION ALL SELECT 'a default or generated column of ' || n.nspname || '.' || relname, pg_get_expr(adbin, adrelid)
        FROM pg_attrdef d JOIN pg_class c ON c.oid = d.adrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE OURS
    UNION ALL SELECT 'constraint ' || n.nspname || '.' || conname, conname || pg_get_constraintdef(o.oid)
        FROM pg_constraint o JOIN pg_namespace n ON n.oid = o.connamespace WHERE OURS
    UNION ALL SELECT 'view ' || n.nspname || '.' || relname, pg_get_viewdef(c.oid)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE relkind IN ('v', 'm') AND OURS
    UNION ALL SELECT 'index ' || n.nspname || '.' || relname, pg_get_indexdef(c.oid)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE relkind IN ('i', 'I') AND OURS
    UNION ALL SELECT 'trigger ' || tgname || ' on ' || tgrelid::regclass, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT 'rule ' || rulename || ' on ' || ev_class::regclass, pg_get_ruledef(oid) FROM pg_rewrite WHERE rulename <> '_RETURN' AND ev_class >= 16384
    UNION ALL SELECT 'policy ' || polname || ' on ' || polrelid::regclass, concat(polname, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)) FROM pg_policy
    UNION ALL SELECT 'the options of server ' || srvname, srvname || srvoptions::text FROM pg_foreign_server";

/// Refuses a database of bytes that has a name or a definition which is no UTF-8, and names it.
pub(in crate::store::postgresql) async fn refuse_unspeakable(session: &Session) -> Result<()> {
    let query = format!(
        "SELECT convert_to(what, 'SQL_ASCII'), convert_to(said, 'SQL_ASCII') FROM ({}) AS texts (what, said) WHERE said ~ '[^\\x01-\\x7f]'",
        TEXTS.replace("OURS", OURS)
    );
    let rows = session
        .query(&query, &[])
        .await
        .map_err(session.explain())?;
    let mut found = None;
    for row in &rows {
        if std::str::from_utf8(row.read::<&[u8]>(1)?).is_err() {
            found = Some(row.read::<&[u8]>(0)?);
            break;
        }
    }
    let Some(what) = found else {
        return Ok(());
    };
    let what = String::from_utf8_lossy(what).into_owned();
    Err(Error::new(
        Kind::Verify,
        format!(
            "the source's encoding is SQL_ASCII, and {what} is not in UTF-8: it cannot be copied"
        ),
    )
    .hint("write it in ASCII or UTF-8 on the source; rows may have any bytes"))
}
