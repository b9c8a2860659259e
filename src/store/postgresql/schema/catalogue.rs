//! Everything in a database that has a definition, as PostgreSQL prints it, to compare two of them.

use std::collections::HashSet;
use std::pin::pin;

use futures_util::TryStreamExt;

use super::survey::{DEFAULT, OURS, version};
use crate::error::Result;
use crate::store::Catalogue;
use crate::store::postgresql::connection::session::Session;

/// Each query yields catalogue, oid, the object in words, its definition; that of columns also the oid and text of its default. `OURS` and `FREE` are filled in.
/// What belongs to an extension is the extension's affair; what names roles is in `rights`.
const QUERIES: &[&str] = &[
    "SELECT 'pg_namespace'::regclass::oid, n.oid, 'schema ' || n.nspname, '' FROM pg_namespace n
     WHERE OURS AND FREE(pg_namespace, n)",
    "SELECT 'pg_extension'::regclass::oid, x.oid, 'extension ' || x.extname, n.nspname
     FROM pg_extension x JOIN pg_namespace n ON n.oid = x.extnamespace",
    "SELECT 'pg_class'::regclass::oid, c.oid, 'relation ' || n.nspname || '.' || c.relname,
            concat_ws(' ', c.relkind, c.relpersistence, (SELECT string_agg(x, ',' ORDER BY x) FROM unnest(c.reloptions) AS x WHERE x <> 'autovacuum_enabled=oFf'), c.relrowsecurity, c.relforcerowsecurity,
                      c.relreplident, c.reloftype::regtype, (SELECT m.amname FROM pg_am m WHERE m.oid = c.relam AND c.relkind IN ('r', 'm', 'p')), (SELECT string_agg(o, ',' ORDER BY o) FROM pg_class x, unnest(x.reloptions) AS o WHERE x.oid = c.reltoastrelid), CASE WHEN c.relkind IN ('r', 'p') THEN pg_get_expr(c.relpartbound, c.oid) END,
                      CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END,
                      CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END,
                      CASE WHEN c.relkind = 'm' THEN 'populated ' || c.relispopulated END,
                      (SELECT string_agg(pn.nspname || '.' || p.relname, ',' ORDER BY i.inhseqno) FROM pg_inherits i
                       JOIN pg_class p ON p.oid = i.inhparent JOIN pg_namespace pn ON pn.oid = p.relnamespace WHERE i.inhrelid = c.oid),
                      (SELECT concat_ws(' ', format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqmax, s.seqmin, s.seqcache, s.seqcycle)
                       FROM pg_sequence s WHERE s.seqrelid = c.oid))
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'c') AND c.relpersistence <> 't' AND OURS AND FREE(pg_class, c)",
    // Options that begin with `pg_` are the server's own marks (`pg_attver` since 15.19 and 15.20), and nobody can set them.
    "SELECT 'pg_class'::regclass::oid, c.oid, 'column ' || n.nspname || '.' || c.relname || '.' || a.attname,
            concat_ws(' ', format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated, a.attstorage, COMPRESSION,
                      coalesce(a.attstattarget, -1), a.attislocal, a.attinhcount, (SELECT string_agg(x, ',' ORDER BY x) FROM unnest(a.attoptions) AS x
                       WHERE x NOT LIKE 'pg\\_%'), pg_get_expr(d.adbin, d.adrelid),
                      (SELECT cn.nspname || '.' || l.collname FROM pg_collation l JOIN pg_namespace cn ON cn.oid = l.collnamespace
                       WHERE l.oid = a.attcollation)),
            d.oid, pg_get_expr(d.adbin, d.adrelid)
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
     WHERE OURS AND r.relpersistence <> 't' AND i.indisready AND (i.indisvalid OR r.relkind = 'p') AND FREE(pg_class, r)",
    "SELECT 'pg_trigger'::regclass::oid, t.oid, 'trigger ' || n.nspname || '.' || c.relname || '.' || t.tgname,
            pg_get_triggerdef(t.oid) || ' ' || t.tgenabled::text
     FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE NOT t.tgisinternal AND OURS AND FREE(pg_class, c)",
    "SELECT 'pg_rewrite'::regclass::oid, r.oid, 'rule ' || n.nspname || '.' || c.relname || '.' || r.rulename,
            pg_get_ruledef(r.oid) || ' ' || r.ev_enabled::text
     FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE r.rulename <> '_RETURN' AND OURS AND FREE(pg_class, c)",
    // What a range type brings along is a part of it.
    "SELECT 'pg_proc'::regclass::oid, p.oid, 'routine ' || p.oid::regprocedure::text,
            CASE WHEN p.prokind = 'a' THEN concat_ws(' ', a.aggkind, a.aggnumdirectargs, a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn,
                      a.aggdeserialfn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn, a.aggfinalextra, a.aggmfinalextra, a.aggfinalmodify,
                      a.aggmfinalmodify, a.aggsortop::regoperator, format_type(a.aggtranstype, NULL), a.aggtransspace,
                      format_type(a.aggmtranstype, NULL), a.aggmtransspace, a.agginitval, a.aggminitval, p.proparallel, p.provolatile,
                      format_type(p.prorettype, NULL), pg_get_function_arguments(p.oid))
                 ELSE pg_get_functiondef(p.oid) END
     FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace LEFT JOIN pg_aggregate a ON a.aggfnoid = p.oid
     WHERE OURS AND FREE(pg_proc, p)
       AND NOT EXISTS (SELECT FROM pg_depend i WHERE i.classid = 'pg_proc'::regclass AND i.objid = p.oid AND i.deptype = 'i')",
    "SELECT 'pg_type'::regclass::oid, t.oid, 'type ' || n.nspname || '.' || t.typname,
            concat_ws(' ', t.typtype, t.typisdefined, CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END, t.typnotnull, t.typdefault,
                      CASE WHEN t.typtype = 'b' THEN concat_ws(' ', t.typlen, t.typbyval, t.typcategory, t.typispreferred, t.typdelim, t.typalign,
                          t.typstorage, t.typinput, t.typoutput, t.typreceive, t.typsend, t.typmodin, t.typmodout, t.typanalyze,
                          format_type(nullif(t.typelem, 0), NULL)) END,
                      (SELECT cn.nspname || '.' || l.collname FROM pg_collation l JOIN pg_namespace cn ON cn.oid = l.collnamespace WHERE l.oid = t.typcollation),
                      (SELECT string_agg(quote_literal(e.enumlabel), ',' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid),
                      (SELECT concat_ws(' ', format_type(g.rngsubtype, NULL), g.rngcollation <> 0, cn.nspname, o.opcname, g.rngcanonical, g.rngsubdiff)
                       FROM pg_range g JOIN pg_opclass o ON o.oid = g.rngsubopc JOIN pg_namespace cn ON cn.oid = o.opcnamespace WHERE g.rngtypid = t.oid))
     FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
     WHERE t.typtype IN ('d', 'e', 'r', 'b') AND t.typcategory <> 'A' AND OURS AND FREE(pg_type, t)",
    "SELECT 'pg_statistic_ext'::regclass::oid, s.oid, 'statistics ' || n.nspname || '.' || s.stxname, pg_get_statisticsobjdef(s.oid)
     FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE OURS AND FREE(pg_statistic_ext, s)",
    "SELECT 'pg_event_trigger'::regclass::oid, e.oid, 'event trigger ' || e.evtname,
            concat_ws(' ', e.evtevent, e.evtenabled, array_to_string(e.evttags, ','), e.evtfoid::regprocedure::text)
     FROM pg_event_trigger e WHERE FREE(pg_event_trigger, e)",
    // An operator that was only named so far is in no dump. Of commutators and negators, the order of making decides
    // which of the two know of each other.
    "SELECT 'pg_operator'::regclass::oid, o.oid, 'operator ' || o.oid::regoperator::text,
            concat_ws(' ', o.oprcode, format_type(o.oprresult, NULL), o.oprrest, o.oprjoin,
                      o.oprcanmerge, o.oprcanhash)
     FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace WHERE OURS AND o.oprcode <> 0 AND FREE(pg_operator, o)",
    "SELECT 'pg_opclass'::regclass::oid, o.oid, 'operator class ' || n.nspname || '.' || o.opcname || ' ' || m.amname,
            concat_ws(' ', format_type(o.opcintype, NULL), o.opcdefault, format_type(nullif(o.opckeytype, 0), NULL), fn.nspname, f.opfname)
     FROM pg_opclass o JOIN pg_namespace n ON n.oid = o.opcnamespace JOIN pg_am m ON m.oid = o.opcmethod
     JOIN pg_opfamily f ON f.oid = o.opcfamily JOIN pg_namespace fn ON fn.oid = f.opfnamespace WHERE OURS AND FREE(pg_opclass, o)",
    "SELECT 'pg_opfamily'::regclass::oid, o.oid, 'operator family ' || n.nspname || '.' || o.opfname || ' ' || m.amname,
            concat_ws(' ',
                (SELECT string_agg(concat_ws(' ', a.amopstrategy, a.amoppurpose, a.amopopr::regoperator, sn.nspname, s.opfname), ', '
                                   ORDER BY a.amopstrategy, a.amopopr::regoperator::text)
                 FROM pg_amop a LEFT JOIN pg_opfamily s ON s.oid = a.amopsortfamily LEFT JOIN pg_namespace sn ON sn.oid = s.opfnamespace
                 WHERE a.amopfamily = o.oid),
                (SELECT string_agg(concat_ws(' ', a.amprocnum, format_type(a.amproclefttype, NULL), format_type(a.amprocrighttype, NULL),
                                   a.amproc::regprocedure), ', ' ORDER BY a.amprocnum, a.amproc::regprocedure::text)
                 FROM pg_amproc a WHERE a.amprocfamily = o.oid))
     FROM pg_opfamily o JOIN pg_namespace n ON n.oid = o.opfnamespace JOIN pg_am m ON m.oid = o.opfmethod WHERE OURS AND FREE(pg_opfamily, o)",
    "SELECT 'pg_cast'::regclass::oid, o.oid, 'cast ' || format_type(o.castsource, NULL) || ' as ' || format_type(o.casttarget, NULL),
            concat_ws(' ', nullif(o.castfunc, 0)::regprocedure, o.castcontext, o.castmethod)
     FROM pg_cast o WHERE o.oid >= 16384 AND FREE(pg_cast, o)",
    "SELECT 'pg_collation'::regclass::oid, o.oid, 'collation ' || n.nspname || '.' || o.collname || ' ' || o.collencoding,
            concat_ws(' ', o.collprovider, o.collisdeterministic, o.collcollate, o.collctype, COLLATION_LOCALE)
     FROM pg_collation o JOIN pg_namespace n ON n.oid = o.collnamespace WHERE OURS AND FREE(pg_collation, o)",
    "SELECT 'pg_conversion'::regclass::oid, o.oid, 'conversion ' || n.nspname || '.' || o.conname,
            concat_ws(' ', o.conforencoding, o.contoencoding, o.conproc, o.condefault)
     FROM pg_conversion o JOIN pg_namespace n ON n.oid = o.connamespace WHERE OURS AND FREE(pg_conversion, o)",
    "SELECT 'pg_language'::regclass::oid, o.oid, 'language ' || o.lanname,
            concat_ws(' ', o.lanpltrusted, nullif(o.lanplcallfoid, 0)::regproc, nullif(o.laninline, 0)::regproc, nullif(o.lanvalidator, 0)::regproc)
     FROM pg_language o WHERE o.oid >= 16384 AND FREE(pg_language, o)",
    "SELECT 'pg_am'::regclass::oid, o.oid, 'access method ' || o.amname, concat_ws(' ', o.amtype, o.amhandler)
     FROM pg_am o WHERE o.oid >= 16384 AND FREE(pg_am, o)",
    // Options may be passwords: only their hash is kept, and shown.
    "SELECT 'pg_foreign_data_wrapper'::regclass::oid, o.oid, 'foreign-data wrapper ' || o.fdwname,
            concat_ws(' ', nullif(o.fdwhandler, 0)::regproc, nullif(o.fdwvalidator, 0)::regproc, md5((SELECT string_agg(x, ' ' ORDER BY x) FROM unnest(o.fdwoptions) AS x)))
     FROM pg_foreign_data_wrapper o WHERE o.oid >= 16384 AND FREE(pg_foreign_data_wrapper, o)",
    "SELECT 'pg_foreign_server'::regclass::oid, o.oid, 'server ' || o.srvname, concat_ws(' ', w.fdwname, o.srvtype, o.srvversion, md5((SELECT string_agg(x, ' ' ORDER BY x) FROM unnest(o.srvoptions) AS x)))
     FROM pg_foreign_server o JOIN pg_foreign_data_wrapper w ON w.oid = o.srvfdw WHERE FREE(pg_foreign_server, o)",
    "SELECT 'pg_class'::regclass::oid, o.ftrelid, 'foreign table options ' || n.nspname || '.' || c.relname,
            concat_ws(' ', s.srvname, md5((SELECT string_agg(x, ' ' ORDER BY x) FROM unnest(o.ftoptions) AS x)), md5((SELECT string_agg(a.attname || x, ' ' ORDER BY a.attname, x)
                 FROM pg_attribute a, unnest(a.attfdwoptions) AS x WHERE a.attrelid = c.oid AND NOT a.attisdropped)))
     FROM pg_foreign_table o JOIN pg_class c ON c.oid = o.ftrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     JOIN pg_foreign_server s ON s.oid = o.ftserver WHERE OURS AND FREE(pg_class, c)",
    "SELECT 'pg_ts_config'::regclass::oid, o.oid, 'text search configuration ' || n.nspname || '.' || o.cfgname,
            concat_ws(' ', pn.nspname, p.prsname, (SELECT string_agg(concat_ws(' ', m.maptokentype, m.mapseqno, m.mapdict::regdictionary), ', '
                 ORDER BY m.maptokentype, m.mapseqno) FROM pg_ts_config_map m WHERE m.mapcfg = o.oid))
     FROM pg_ts_config o JOIN pg_namespace n ON n.oid = o.cfgnamespace JOIN pg_ts_parser p ON p.oid = o.cfgparser
     JOIN pg_namespace pn ON pn.oid = p.prsnamespace WHERE OURS AND FREE(pg_ts_config, o)",
    "SELECT 'pg_ts_dict'::regclass::oid, o.oid, 'text search dictionary ' || n.nspname || '.' || o.dictname,
            concat_ws(' ', tn.nspname, t.tmplname, o.dictinitoption)
     FROM pg_ts_dict o JOIN pg_namespace n ON n.oid = o.dictnamespace JOIN pg_ts_template t ON t.oid = o.dicttemplate
     JOIN pg_namespace tn ON tn.oid = t.tmplnamespace WHERE OURS AND FREE(pg_ts_dict, o)",
    "SELECT 'pg_ts_template'::regclass::oid, o.oid, 'text search template ' || n.nspname || '.' || o.tmplname, concat_ws(' ', o.tmplinit, o.tmpllexize)
     FROM pg_ts_template o JOIN pg_namespace n ON n.oid = o.tmplnamespace WHERE OURS AND FREE(pg_ts_template, o)",
    "SELECT 'pg_ts_parser'::regclass::oid, o.oid, 'text search parser ' || n.nspname || '.' || o.prsname,
            concat_ws(' ', o.prsstart, o.prstoken, o.prsend, o.prsheadline, o.prslextype)
     FROM pg_ts_parser o JOIN pg_namespace n ON n.oid = o.prsnamespace WHERE OURS AND FREE(pg_ts_parser, o)",
    "SELECT 'pg_transform'::regclass::oid, o.oid, 'transform for ' || format_type(o.trftype, NULL) || ' language ' || l.lanname,
            concat_ws(' ', o.trffromsql, o.trftosql)
     FROM pg_transform o JOIN pg_language l ON l.oid = o.trflang WHERE FREE(pg_transform, o)",
];

/// Reads the catalogue, without what is `gone`.
pub(in crate::store::postgresql) async fn read(
    session: &Session,
    gone: &HashSet<(u32, u32)>,
) -> Result<Catalogue> {
    let mut found = Catalogue::default();
    each(session, gone, |_, object, definition| {
        found.0.insert(object.to_owned(), definition.to_owned());
    })
    .await?;
    Ok(found)
}

/// Shows every object (as catalogue and oid, and in words) and its definition, without what is `gone`; nothing of it is kept here.
pub(in crate::store::postgresql) async fn each(
    session: &Session,
    gone: &HashSet<(u32, u32)>,
    mut show: impl FnMut((u32, u32), &str, &str),
) -> Result<()> {
    let number = version(session).await?.0;
    let compression = if number >= 140_000 {
        "a.attcompression"
    } else {
        "''"
    };
    let locale = match number / 10_000 {
        17.. => "o.colllocale, o.collicurules",
        16 => "o.colliculocale, o.collicurules",
        15 => "o.colliculocale",
        _ => "''",
    };
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
        let query = query
            .replace("COMPRESSION", compression)
            .replace("COLLATION_LOCALE", locale);
        let rows = session
            .query_raw(&query, std::iter::empty::<&str>())
            .await
            .map_err(session.explain())?;
        let mut rows = pin!(rows);
        while let Some(row) = rows.try_next().await.map_err(session.explain())? {
            let row = session.row(row);
            let id = (row.read(0)?, row.read(1)?);
            if gone.contains(&id) {
                continue;
            }
            let definition: &str = row.read::<Option<_>>(3)?.unwrap_or_default();
            let default: Option<u32> = if row.len() > 4 { row.read(4)? } else { None };
            match default {
                // The column is there, its default is not.
                Some(oid) if gone.contains(&(DEFAULT, oid)) => {
                    let text = format!(" {}", row.read::<&str>(5)?);
                    show(id, row.read(2)?, &definition.replacen(&text, "", 1));
                }
                _ => show(id, row.read(2)?, definition),
            }
        }
    }
    Ok(())
}
