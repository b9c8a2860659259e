//! Everything in a database that has a definition, as PostgreSQL prints it, to compare two of them.

use std::collections::HashSet;

use super::connection::Session;
use super::survey::OURS;
use crate::error::Result;
use crate::store::Catalogue;

/// Each query yields catalogue, oid, the object in words, its definition. `OURS` and `FREE` are filled in.
/// What belongs to an extension is the extension's affair.
const QUERIES: &[&str] = &[
    "SELECT 'pg_namespace'::regclass::oid, n.oid, 'schema ' || n.nspname, '' FROM pg_namespace n
     WHERE OURS AND FREE(pg_namespace, n)",
    "SELECT 'pg_extension'::regclass::oid, x.oid, 'extension ' || x.extname, n.nspname
     FROM pg_extension x JOIN pg_namespace n ON n.oid = x.extnamespace",
    "SELECT 'pg_class'::regclass::oid, c.oid, 'relation ' || n.nspname || '.' || c.relname,
            concat_ws(' ', c.relkind, c.relpersistence, array_to_string(c.reloptions, ','), c.relrowsecurity, c.relforcerowsecurity,
                      c.relreplident, CASE WHEN c.relkind IN ('r', 'p') THEN pg_get_expr(c.relpartbound, c.oid) END,
                      CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END,
                      CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END,
                      CASE WHEN c.relkind = 'm' THEN 'populated ' || c.relispopulated END,
                      (SELECT string_agg(pn.nspname || '.' || p.relname, ',' ORDER BY i.inhseqno) FROM pg_inherits i
                       JOIN pg_class p ON p.oid = i.inhparent JOIN pg_namespace pn ON pn.oid = p.relnamespace WHERE i.inhrelid = c.oid),
                      (SELECT concat_ws(' ', format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqmax, s.seqmin, s.seqcache, s.seqcycle)
                       FROM pg_sequence s WHERE s.seqrelid = c.oid))
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'c') AND c.relpersistence <> 't' AND OURS AND FREE(pg_class, c)",
    "SELECT 'pg_class'::regclass::oid, c.oid, 'column ' || n.nspname || '.' || c.relname || '.' || a.attname,
            concat_ws(' ', format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated, a.attstorage,
                      a.attstattarget, array_to_string(a.attoptions, ','), pg_get_expr(d.adbin, d.adrelid),
                      (SELECT cn.nspname || '.' || l.collname FROM pg_collation l JOIN pg_namespace cn ON cn.oid = l.collnamespace
                       WHERE l.oid = a.attcollation))
     FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
     WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c') AND c.relpersistence <> 't'
       AND OURS AND FREE(pg_class, c)",
    "SELECT 'pg_constraint'::regclass::oid, o.oid, 'constraint ' || n.nspname || '.' || coalesce(c.relname, t.typname, '') || '.' || o.conname,
            concat_ws(' ', o.contype, pg_get_constraintdef(o.oid), o.convalidated, o.condeferrable, o.condeferred, o.conislocal)
     FROM pg_constraint o JOIN pg_namespace n ON n.oid = o.connamespace LEFT JOIN pg_class c ON c.oid = o.conrelid
     LEFT JOIN pg_type t ON t.oid = o.contypid
     WHERE OURS AND o.contype <> 'n' AND NOT (o.contype = 'f' AND o.conparentid <> 0) AND (c.relpersistence IS NULL OR c.relpersistence <> 't')
       AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.deptype = 'e' AND
           ((d.classid = 'pg_class'::regclass AND d.objid = o.conrelid) OR (d.classid = 'pg_type'::regclass AND d.objid = o.contypid)))",
    "SELECT 'pg_class'::regclass::oid, c.oid, 'index ' || n.nspname || '.' || c.relname,
            concat_ws(' ', pg_get_indexdef(c.oid), i.indisunique, i.indisprimary, i.indisvalid, i.indisclustered, i.indisreplident,
                      EXISTS (SELECT FROM pg_constraint o WHERE o.conindid = c.oid AND o.contype IN ('p', 'u', 'x')),
                      (SELECT pn.nspname || '.' || p.relname FROM pg_inherits h JOIN pg_class p ON p.oid = h.inhparent
                       JOIN pg_namespace pn ON pn.oid = p.relnamespace WHERE h.inhrelid = c.oid))
     FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class r ON r.oid = i.indrelid
     JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE OURS AND r.relpersistence <> 't' AND FREE(pg_class, r)",
    "SELECT 'pg_trigger'::regclass::oid, t.oid, 'trigger ' || n.nspname || '.' || c.relname || '.' || t.tgname,
            pg_get_triggerdef(t.oid) || ' ' || t.tgenabled::text
     FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE NOT t.tgisinternal AND OURS AND FREE(pg_class, c)",
    "SELECT 'pg_rewrite'::regclass::oid, r.oid, 'rule ' || n.nspname || '.' || c.relname || '.' || r.rulename,
            pg_get_ruledef(r.oid) || ' ' || r.ev_enabled::text
     FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE r.rulename <> '_RETURN' AND OURS AND FREE(pg_class, c)",
    "SELECT 'pg_policy'::regclass::oid, p.oid, 'policy ' || n.nspname || '.' || c.relname || '.' || p.polname,
            concat_ws(' ', p.polcmd, p.polpermissive, pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
     FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE OURS",
    "SELECT 'pg_proc'::regclass::oid, p.oid, 'routine ' || p.oid::regprocedure::text,
            CASE WHEN p.prokind = 'a' THEN concat_ws(' ', a.aggtransfn::text, a.aggfinalfn::text, a.agginitval, format_type(a.aggtranstype, NULL))
                 ELSE pg_get_functiondef(p.oid) END
     FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace LEFT JOIN pg_aggregate a ON a.aggfnoid = p.oid
     WHERE OURS AND FREE(pg_proc, p)",
    "SELECT 'pg_type'::regclass::oid, t.oid, 'type ' || n.nspname || '.' || t.typname,
            concat_ws(' ', t.typtype, CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END, t.typnotnull, t.typdefault,
                      (SELECT string_agg(quote_literal(e.enumlabel), ',' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid),
                      (SELECT format_type(g.rngsubtype, NULL) FROM pg_range g WHERE g.rngtypid = t.oid))
     FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
     WHERE t.typtype IN ('d', 'e', 'r', 'b') AND t.typcategory <> 'A' AND OURS AND FREE(pg_type, t)",
    "SELECT 'pg_statistic_ext'::regclass::oid, s.oid, 'statistics ' || n.nspname || '.' || s.stxname, pg_get_statisticsobjdef(s.oid)
     FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE OURS AND FREE(pg_statistic_ext, s)",
    "SELECT 'pg_event_trigger'::regclass::oid, e.oid, 'event trigger ' || e.evtname,
            concat_ws(' ', e.evtevent, e.evtenabled, array_to_string(e.evttags, ','), e.evtfoid::regprocedure::text)
     FROM pg_event_trigger e WHERE FREE(pg_event_trigger, e)",
    // What is only compared by being there.
    "SELECT o.class, o.oid, 'object ' || pg_describe_object(o.class, o.oid, 0), '' FROM (
         SELECT 'pg_operator'::regclass::oid AS class, oid FROM pg_operator WHERE oid >= 16384 UNION ALL
         SELECT 'pg_opclass'::regclass, oid FROM pg_opclass WHERE oid >= 16384 UNION ALL
         SELECT 'pg_opfamily'::regclass, oid FROM pg_opfamily WHERE oid >= 16384 UNION ALL
         SELECT 'pg_cast'::regclass, oid FROM pg_cast WHERE oid >= 16384 UNION ALL
         SELECT 'pg_collation'::regclass, oid FROM pg_collation WHERE oid >= 16384 UNION ALL
         SELECT 'pg_conversion'::regclass, oid FROM pg_conversion WHERE oid >= 16384 UNION ALL
         SELECT 'pg_language'::regclass, oid FROM pg_language WHERE oid >= 16384 UNION ALL
         SELECT 'pg_foreign_data_wrapper'::regclass, oid FROM pg_foreign_data_wrapper WHERE oid >= 16384 UNION ALL
         SELECT 'pg_foreign_server'::regclass, oid FROM pg_foreign_server WHERE oid >= 16384 UNION ALL
         SELECT 'pg_ts_config'::regclass, oid FROM pg_ts_config WHERE oid >= 16384 UNION ALL
         SELECT 'pg_ts_dict'::regclass, oid FROM pg_ts_dict WHERE oid >= 16384 UNION ALL
         SELECT 'pg_transform'::regclass, oid FROM pg_transform WHERE oid >= 16384) o
     WHERE FREE2(o.class, o.oid)",
    "SELECT d.classoid, d.objoid, 'comment on ' || pg_describe_object(d.classoid, d.objoid, d.objsubid), d.description
     FROM pg_description d JOIN pg_class c ON d.classoid = 'pg_class'::regclass AND c.oid = d.objoid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relpersistence <> 't' AND OURS AND FREE(pg_class, c)",
];

/// Reads the catalogue, without what is `gone`.
pub(super) async fn read(session: &Session, gone: &HashSet<(u32, u32)>) -> Result<Catalogue> {
    let mut found = Catalogue::default();
    for query in QUERIES {
        let mut query = query.replace("OURS", OURS);
        while let Some(at) = query.find("FREE(") {
            let end = at
                + query[at..]
                    .find(')')
                    .expect("the queries above are well-formed");
            let (class, alias) = query[at + 5..end]
                .split_once(", ")
                .expect("FREE has two words");
            let free = format!(
                "NOT EXISTS (SELECT FROM pg_depend dep WHERE dep.classid = '{class}'::regclass AND dep.objid = {alias}.oid AND dep.deptype = 'e')"
            );
            query.replace_range(at..=end, &free);
        }
        let query = query.replace(
            "FREE2(o.class, o.oid)",
            "NOT EXISTS (SELECT FROM pg_depend dep WHERE dep.classid = o.class AND dep.objid = o.oid AND dep.deptype = 'e')",
        );
        for row in session
            .query(&query, &[])
            .await
            .map_err(session.explain())?
        {
            if gone.contains(&(row.get(0), row.get(1))) {
                continue;
            }
            let definition: Option<String> = row.get(3);
            found.0.insert(row.get(2), definition.unwrap_or_default());
        }
    }
    Ok(found)
}
