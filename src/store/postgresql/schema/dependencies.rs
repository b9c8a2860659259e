//! What cannot be without what, read while the source can be asked: a pull that leaves a table out has to leave out the
//! same as a sync would, and there is no server to ask then.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::left_out::{self, Cut, Restriction};
use super::survey::{self, CLASS, DEFAULT, Object, Table};
use super::toc::Entry;
use super::{catalogue, object_references};
use crate::error::{Error, Kind, Result};
use crate::store::postgresql::connection::session::Session;
use crate::store::{Fate, Selection};

/// What is known of the source for who leaves something out later.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::store::postgresql) struct Dependencies {
    /// Tables that belong to no extension, but for those that were left out already.
    tables: Vec<Table>,
    /// What goes with what: first what is needed, then what needs it; catalogue and oid of both.
    needed: Vec<(u32, u32, u32, u32)>,
    /// Objects with the oids of the server's own collations that they use.
    collations: Vec<(u32, u32, u32)>,
    /// What restricts something. `None`: an older envsyncd asked, which did not look for it.
    #[serde(default)]
    restrictions: Option<Vec<Restriction>>,
    /// Defaults and CHECKs that can be cut out of definitions. `None` as above.
    #[serde(default)]
    cuts: Option<Vec<Cut>>,
    /// Large objects, and tables whose rows refer to them, by their oids.
    #[serde(default)]
    objects: Vec<(u32, u32)>,
    /// Objects in the words of the catalogue; columns are not among them, as they go with their tables.
    names: Vec<(u32, u32, String)>,
}

/// What a selection makes of it.
pub(in crate::store::postgresql) struct Selected {
    /// The tables with what becomes of them.
    pub(in crate::store::postgresql) tables: Vec<Table>,
    /// What is not made.
    pub(in crate::store::postgresql) gone: HashSet<Object>,
    /// Tables that the selection itself leaves out.
    pub(in crate::store::postgresql) excluded: HashSet<u32>,
    /// The server's own collations that are still used.
    pub(in crate::store::postgresql) collations: HashSet<u32>,
    /// What is gone, in the words of the catalogue.
    pub(in crate::store::postgresql) names: HashSet<String>,
    /// Restrictions that are gone from what stays.
    pub(in crate::store::postgresql) restrictions: Vec<Restriction>,
    /// Defaults and CHECKs that go while what they stand in stays.
    pub(in crate::store::postgresql) cuts: Vec<Cut>,
    /// How many large objects only rows refer to that are not copied.
    pub(in crate::store::postgresql) objects: usize,
}

/// As `survey::gone` follows dependencies. Nothing goes with a schema or an extension: both stay.
const NEEDED: &str = "SELECT DISTINCT d.refclassid, d.refobjid, d.classid, d.objid FROM pg_depend d
    WHERE d.deptype IN ('n', 'a', 'i', 'P', 'S') AND d.refobjid >= 16384 AND (d.refclassid, d.refobjid) <> (d.classid, d.objid)
      AND d.refclassid NOT IN ('pg_namespace'::regclass, 'pg_extension'::regclass)
    UNION
    SELECT 'pg_rewrite'::regclass::oid, r.oid, 'pg_class'::regclass::oid, r.ev_class FROM pg_rewrite r
    WHERE r.rulename = '_RETURN' AND r.oid >= 16384
    ORDER BY 1, 2, 3, 4";

/// As `collations::used` finds them.
const COLLATIONS: &str = "WITH own(oid) AS (
        SELECT l.oid FROM pg_collation l JOIN pg_namespace n ON n.oid = l.collnamespace
        WHERE l.collprovider IN ('c', 'i') AND l.collname NOT IN ('C', 'POSIX', 'ucs_basic') AND n.nspname = 'pg_catalog')
    SELECT d.classid, d.objid, d.refobjid FROM pg_depend d JOIN own ON own.oid = d.refobjid
    WHERE d.refclassid = 'pg_collation'::regclass AND d.classid <> 'pg_collation'::regclass
    UNION
    SELECT 'pg_class'::regclass::oid, a.attrelid, a.attcollation FROM pg_attribute a JOIN own ON own.oid = a.attcollation
    WHERE NOT a.attisdropped AND a.attrelid >= 16384
    ORDER BY 1, 2, 3";

impl Dependencies {
    /// Asks the source, but for what is `gone` already.
    pub(in crate::store::postgresql) async fn read(
        session: &Session,
        tables: &[Table],
        gone: &HashSet<Object>,
    ) -> Result<Self> {
        let needed = session
            .query(NEEDED, &[])
            .await
            .map_err(session.explain())?;
        let collations = session
            .query(COLLATIONS, &[])
            .await
            .map_err(session.explain())?;
        let mut names = Vec::new();
        catalogue::each(session, gone, |(class, oid), object, _| {
            if !object.starts_with(COLUMN) {
                names.push((class, oid, object.to_owned()));
            }
        })
        .await?;
        names.sort_unstable();
        let copied: Vec<u32> = tables
            .iter()
            .filter(|table| table.fate == Fate::Copy)
            .map(|table| table.oid)
            .collect();
        Ok(Self {
            restrictions: Some(left_out::restrictions(session).await?),
            cuts: Some(left_out::cuts(session).await?),
            objects: object_references::references(session, &copied).await?,
            tables: tables
                .iter()
                .filter(|table| table.fate != Fate::Exclude)
                .cloned()
                .collect(),
            needed: needed
                .iter()
                .map(|row| Ok((row.read(0)?, row.read(1)?, row.read(2)?, row.read(3)?)))
                .collect::<Result<_>>()?,
            collations: collations
                .iter()
                .map(|row| Ok((row.read(0)?, row.read(1)?, row.read(2)?)))
                .collect::<Result<_>>()?,
            names,
        })
    }

    /// What a selection makes of the tables, and what goes with those that it leaves out. `entries` are the definitions.
    pub(in crate::store::postgresql) fn select(
        self,
        selection: &Selection,
        entries: &[Entry],
    ) -> Result<Selected> {
        let mut tables = self.tables;
        let pushed: Vec<Fate> = tables.iter().map(|table| table.fate).collect();
        for table in &mut tables {
            table.fate = selection.fate(Some(&table.schema), &table.name);
        }
        survey::inherit(&mut tables);
        let excluded: HashSet<u32> = tables
            .iter()
            .filter(|table| table.fate == Fate::Exclude)
            .map(|table| table.oid)
            .collect();
        let gone = all_that_need(&self.needed, &excluded);
        if self.restrictions.is_none() || self.cuts.is_none() {
            refuse_unnoted(&self.needed, &gone, entries)?;
        }
        let cuts = left_out::wanted(&self.cuts.unwrap_or_default(), &gone)?;
        for (table, pushed) in tables.iter_mut().zip(pushed) {
            if gone.contains(&(CLASS, table.oid)) {
                table.fate = Fate::Exclude;
            } else if table.fate == Fate::Copy && pushed != Fate::Copy {
                // Its rows were left where they are.
                table.fate = Fate::SchemaOnly;
            }
        }
        let copied: HashSet<u32> = tables
            .iter()
            .filter(|table| table.fate == Fate::Copy)
            .map(|table| table.oid)
            .collect();
        let referred = |is_copied: bool| -> HashSet<u32> {
            let all = self.objects.iter();
            all.filter(|(_, table)| copied.contains(table) == is_copied)
                .map(|(object, _)| *object)
                .collect()
        };
        let restrictions = self.restrictions.unwrap_or_default().into_iter();
        Ok(Selected {
            objects: referred(false).difference(&referred(true)).count(),
            restrictions: restrictions
                .filter(|one| gone.contains(&one.object) && !gone.contains(&one.on))
                .collect(),
            cuts,
            tables,
            collations: self
                .collations
                .iter()
                .filter(|(class, oid, _)| !gone.contains(&(*class, *oid)))
                .map(|(_, _, collation)| *collation)
                .collect(),
            names: self
                .names
                .into_iter()
                .filter(|(class, oid, _)| gone.contains(&(*class, *oid)))
                .map(|(_, _, name)| name)
                .collect(),
            gone,
            excluded,
        })
    }
}

/// Oids of catalogues that have what hangs on a table (`pg_constraint.h`, `pg_policy.h`, `pg_rewrite.h`, `pg_trigger.h`,
/// `pg_type.h`).
const CONSTRAINT: u32 = 2606;

const POLICY: u32 = 3256;

const RULE: u32 = 2618;

const TRIGGER: u32 = 2620;

const TYPE: u32 = 1247;

/// Refuses a snapshot of which nobody noted what restricts tables, where something goes that might, or that would have to be
/// cut out of a definition.
fn refuse_unnoted(
    needed: &[(u32, u32, u32, u32)],
    gone: &HashSet<Object>,
    entries: &[Entry],
) -> Result<()> {
    let by_object: HashMap<Object, &Entry> = entries
        .iter()
        .filter(|entry| entry.object().1 != 0)
        .map(|entry| (entry.object(), entry))
        .collect();
    // What a rule is of that makes a view.
    let of_views: HashSet<Object> = needed
        .iter()
        .filter(|(class, _, by, _)| *class == RULE && *by == CLASS)
        .map(|(class, oid, ..)| (*class, *oid))
        .collect();
    let unnoted = needed.iter().find(|(class, oid, by_class, by)| {
        let (of, object) = ((*class, *oid), (*by_class, *by));
        let stays = matches!(*class, CLASS | TYPE) && !gone.contains(&of);
        if !stays || !gone.contains(&object) {
            return false;
        }
        let entry = by_object.get(&object);
        match *by_class {
            POLICY | TRIGGER | DEFAULT => true,
            RULE => !of_views.contains(&object),
            CONSTRAINT => entry.is_none_or(|entry| entry.kind != "FK CONSTRAINT"),
            CLASS => entry.is_some_and(|entry| {
                entry.kind == "INDEX" && entry.definition().starts_with("CREATE UNIQUE ")
            }),
            _ => false,
        }
    });
    let Some((_, _, class, oid)) = unnoted else {
        return Ok(());
    };
    let what = by_object
        .get(&(*class, *oid))
        .map_or_else(|| "a default or a CHECK".to_owned(), |entry| entry.label());
    Err(Error::new(
        Kind::Verify,
        format!(
            "the snapshot was made by an older envsyncd, which did not note what restricts tables: {what} needs what is excluded, and nobody knows what would be lost with it"
        ),
    )
    .hint("push again with an envsyncd of this version; or exclude the tables in the job that pushes, or less here"))
}

/// These tables, and whatever cannot be without them.
fn all_that_need(needed: &[(u32, u32, u32, u32)], tables: &HashSet<u32>) -> HashSet<Object> {
    let mut gone: HashSet<Object> = tables.iter().map(|oid| (CLASS, *oid)).collect();
    if gone.is_empty() {
        return gone;
    }
    let mut by_need: HashMap<Object, Vec<Object>> = HashMap::new();
    for (class, oid, by_class, by) in needed {
        by_need
            .entry((*class, *oid))
            .or_default()
            .push((*by_class, *by));
    }
    let mut next: Vec<Object> = gone.iter().copied().collect();
    while let Some(object) = next.pop() {
        for by in by_need.get(&object).into_iter().flatten() {
            if gone.insert(*by) {
                next.push(*by);
            }
        }
    }
    gone
}

/// What the catalogue calls columns, relations.
const COLUMN: &str = "column ";

const RELATION: &str = "relation ";

/// Whether an object of the catalogue is among what is gone, or a column of it. `is_there`: whether a relation is left;
/// dots in names can make a column look like one of either, and then it stays.
pub(in crate::store::postgresql) fn goes(
    object: &str,
    gone: &HashSet<String>,
    is_there: impl Fn(&str) -> bool,
) -> bool {
    let Some(column) = object.strip_prefix(COLUMN) else {
        return gone.contains(object);
    };
    let relations: Vec<String> = column
        .match_indices('.')
        .map(|(dot, _)| format!("{RELATION}{}", &column[..dot]))
        .collect();
    relations.iter().any(|relation| gone.contains(relation))
        && !relations
            .iter()
            .any(|relation| !gone.contains(relation) && is_there(relation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_needs_what_is_gone_goes_too_in_circles_as_well() {
        let (table, view, index, other) = ((CLASS, 1), (CLASS, 2), (CLASS, 3), (CLASS, 9));
        let rule = (2618, 7);
        let pair = |(a, b): Object, (c, d): Object| (a, b, c, d);
        let needed = [
            pair(table, rule),
            pair(rule, view),
            pair(view, rule),
            pair(table, index),
            pair(other, (CLASS, 10)),
        ];
        let gone = all_that_need(&needed, &HashSet::from([1]));
        assert_eq!(gone, HashSet::from([table, view, index, rule]));
        assert!(all_that_need(&needed, &HashSet::new()).is_empty());
    }

    #[test]
    fn columns_go_with_their_table_and_not_with_one_whose_name_begins_alike() {
        let gone: HashSet<String> = ["relation public.users", "index public.users_pkey"]
            .map(str::to_owned)
            .into();
        let there = |relation: &str| relation == "relation public.users.old";
        for (object, expected) in [
            ("relation public.users", true),
            ("column public.users.email", true),
            ("column public.users.e.mail", true),
            ("index public.users_pkey", true),
            ("column public.users2.email", false),
            ("column public.users.old.email", false),
            ("relation public.users2", false),
        ] {
            assert_eq!(goes(object, &gone, there), expected, "{object}");
        }
    }

    #[test]
    fn of_an_older_snapshot_what_may_restrict_something_does_not_go_unseen() {
        let entries = |kind: &str, object: Object| {
            let json = format!(
                r#"[{{"id":1,"object":[{},{}],"kind":"{kind}","section":"after","owner":"o","tag":"x","definition":"CREATE UNIQUE INDEX x","needs":[]}}]"#,
                object.0, object.1
            );
            serde_json::from_str::<crate::store::postgresql::schema::toc::Toc>(&json)
                .unwrap()
                .entries
        };
        // A table that stays, and one that goes.
        let (stays, goes) = ((CLASS, 1), (CLASS, 2));
        for (kind, object, refused) in [
            ("POLICY", (POLICY, 9), true),
            ("TRIGGER", (TRIGGER, 9), true),
            ("RULE", (RULE, 9), true),
            ("TABLE", (DEFAULT, 9), true),
            ("TABLE", (CONSTRAINT, 9), true),
            ("INDEX", (CLASS, 9), true),
            ("FK CONSTRAINT", (CONSTRAINT, 9), false),
            ("STATISTICS", (3381, 9), false),
        ] {
            let needed = [
                (stays.0, stays.1, object.0, object.1),
                (goes.0, goes.1, object.0, object.1),
            ];
            let entries = entries(kind, object);
            let gone = HashSet::from([goes, object]);
            let told = refuse_unnoted(&needed, &gone, &entries);
            assert_eq!(told.is_err(), refused, "{kind} {object:?}: {told:?}");
            // Nothing goes that stands on what stays.
            assert!(refuse_unnoted(&needed, &HashSet::from([goes]), &entries).is_ok());
        }
        // A view's rule is the view's.
        let needed = [(stays.0, stays.1, RULE, 9), (RULE, 9, CLASS, 8)];
        let gone = HashSet::from([(RULE, 9), (CLASS, 8)]);
        assert!(refuse_unnoted(&needed, &gone, &[]).is_ok());
    }
}
