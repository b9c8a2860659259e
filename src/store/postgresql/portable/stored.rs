//! Definitions that are put away in an archive and taken out again, and rows as `psql` reads them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::scripts;
use crate::config::job::Task;
use crate::error::{Error, Kind, Result};
use crate::store::postgresql::schema::definitions::Definitions;
use crate::store::postgresql::schema::dependencies::{self, Selected};
use crate::store::postgresql::schema::pg_dump::PgDump;
use crate::store::postgresql::schema::survey::{CLASS, Object, Table};
use crate::store::postgresql::schema::toc::{BY_DROP, Entry, Toc, refuse_taken};
use crate::store::postgresql::schema::{
    constraints, large_objects, left_out, picked, restore_order,
};
use crate::store::postgresql::sql::scope;
use crate::store::postgresql::url::KIND;
use crate::store::{
    self, Catalogue, Fate, Part, Restored, Script, Selection, envelope, statements,
};

/// The format that is written, and the newest that is read. 2: what restricts tables is in it, and what can be cut out of
/// definitions.
const VERSION: u32 = 2;

impl store::Definitions for Arc<Definitions> {
    fn to_json(&self) -> Result<Vec<u8>> {
        put_away(self)
    }

    fn scripts(&self) -> Result<Vec<Script>> {
        scripts::scripts(self)
    }

    fn load_statement(&self, part: &Part) -> Result<String> {
        Ok(scripts::load_statement(self, part))
    }

    fn catalogue(&self, stored: Catalogue, _task: &Task) -> Result<Catalogue> {
        Ok(without(stored, self))
    }
}

/// As JSON.
fn put_away(definitions: &Definitions) -> Result<Vec<u8>> {
    refuse_taken(&definitions.toc())?;
    if definitions.dependencies.is_none() {
        return Err(Error::new(
            Kind::Internal,
            "the definitions of this survey are not for an archive",
        ));
    }
    envelope::seal(KIND, VERSION, definitions)
}

/// From JSON, without what the selection leaves out.
pub(in crate::store::postgresql) async fn take_out(
    stored: &[u8],
    parts: Vec<Part>,
    left_out: Vec<(String, Fate)>,
    selection: &Selection,
) -> Result<Restored> {
    let mut definitions: Definitions = envelope::open(KIND, VERSION, stored)?;
    let dependencies = definitions
        .dependencies
        .take()
        .ok_or_else(|| Error::new(Kind::Verify, "the stored definitions say nothing of tables"))?;
    let toc = definitions.toc.get_mut();
    refuse_outside(toc, &definitions.in_two, &definitions.conditions)?;
    let selected = dependencies.select(selection, &toc.entries)?;
    left_out::refuse(&selected.restrictions, selection)?;
    if selected.objects > 0 {
        return Err(Error::new(
            Kind::Verify,
            format!(
                "{} large objects in the snapshot belong to rows that are not copied, and would arrive all the same",
                selected.objects
            ),
        )
        .hint("exclude their tables in the job that pushes"));
    }
    if selection.overlay || !selection.is_everything() {
        // What live has is read with it; better missed now than when everything is under way.
        definitions.dump = Some(PgDump::find(definitions.major).await?);
    }
    let toc = definitions.toc.get_mut();
    let removed = remove(&mut toc.entries, &selected.gone);
    left_out::cut(&selected.cuts, toc);
    tell(&removed, &selected);
    let parts = wanted(parts, &definitions, &selected, selection)?;
    let without_rows = told(left_out, &selected.tables);
    reduce(&mut definitions, selected, &removed);
    let definitions = Arc::new(Arc::new(definitions));
    Ok(Restored::new(definitions, parts, without_rows))
}

/// Refuses definitions that would do more than make what is in a database: somebody else may have written them.
fn refuse_outside(
    toc: &Toc,
    in_two: &HashMap<u32, constraints::InTwo>,
    conditions: &HashMap<usize, String>,
) -> Result<()> {
    let sorted = restore_order::sort(toc, &HashSet::new());
    let all = sorted.before.iter().chain(&sorted.indexes);
    let all = all.chain(&sorted.attach).chain(&sorted.foreign_keys);
    let all = all.chain(&sorted.after).chain(&sorted.grants);
    for entry in all.chain(&sorted.event_triggers) {
        scope::refuse_outside(&entry.label(), &entry.definition())?;
        if BY_DROP.contains(&entry.kind.as_str()) && !is_one_drop(&entry.drop()) {
            return Err(Error::new(
                Kind::Verify,
                format!(
                    "{} of the snapshot is not dropped by one DROP",
                    entry.label()
                ),
            ));
        }
    }
    for statement in in_two.values().flat_map(constraints::InTwo::statements) {
        scope::refuse_outside("a constraint", statement)?;
    }
    let is_one = |text: &String| {
        let cut = statements::split(text).unwrap_or_default();
        text.trim().is_empty() || matches!(cut.as_slice(), [one] if one.text == text.trim())
    };
    if !conditions.values().all(is_one) {
        return Err(Error::new(
            Kind::Verify,
            "the snapshot has more than one statement where a condition on an extension's rows is",
        ));
    }
    Ok(())
}

/// Of some kinds the name is taken from there.
fn is_one_drop(text: &str) -> bool {
    let cut = statements::split(text).unwrap_or_default();
    cut.len() <= 1 && cut.iter().all(|drop| drop.text.starts_with("DROP "))
}

/// Takes out of a dump what is gone and what is only said of it, as a dump without the tables would not have it.
fn remove(entries: &mut Vec<Entry>, gone: &HashSet<Object>) -> Vec<Entry> {
    let mut removed = Vec::new();
    if gone.is_empty() {
        return removed;
    }
    let mut ids: HashSet<i64> = HashSet::new();
    entries.retain(|entry| {
        // What has a table's oid and no catalogue is said of the table: ROW SECURITY.
        let object = match entry.object() {
            (0, oid) if oid != 0 => (CLASS, oid),
            object => object,
        };
        let orphan = object.1 == 0 && entry.needs().any(|need| ids.contains(&need));
        let goes = orphan || gone.contains(&object);
        if goes {
            ids.insert(entry.id());
            removed.push(entry.clone());
        }
        !goes
    });
    removed
}

/// Says aloud what else is left out.
fn tell(removed: &[Entry], selected: &Selected) {
    let excluded: HashSet<(&str, &str)> = selected
        .tables
        .iter()
        .filter(|table| selected.excluded.contains(&table.oid))
        .map(|table| (table.schema.as_str(), table.name.as_str()))
        .collect();
    let numbers: HashMap<i64, &Entry> = removed.iter().map(|one| (one.id(), one)).collect();
    let ids: HashSet<i64> = numbers.keys().copied().collect();
    for cut in &selected.cuts {
        let object = cut.words();
        tracing::warn!(object, "left out, because it needs an excluded table");
    }
    for entry in removed {
        let is_excluded = |table: &str| {
            let schema = entry.schema.as_deref().unwrap_or_default();
            excluded.contains(&(schema, table))
        };
        let aloud = match entry.kind.as_str() {
            "TABLE" => !is_excluded(entry.tag()),
            // They are said of something, or a part of it.
            "ACL" | "COMMENT" | "SECURITY LABEL" | "ROW SECURITY" | "TABLE ATTACH"
            | "INDEX ATTACH" | "SEQUENCE" | "SEQUENCE OWNED BY" => false,
            _ => !picked::hangs(entry, &ids, &numbers),
        };
        if aloud {
            let object = entry.label();
            tracing::warn!(object, "left out, because it needs an excluded table");
        }
    }
}

/// The parts whose rows are wanted.
fn wanted(
    parts: Vec<Part>,
    definitions: &Definitions,
    selected: &Selected,
    selection: &Selection,
) -> Result<Vec<Part>> {
    let fates: HashMap<(&str, &str), Fate> = selected
        .tables
        .iter()
        .map(|table| ((table.schema.as_str(), table.name.as_str()), table.fate))
        .collect();
    let mut wanted = Vec::with_capacity(parts.len());
    for part in parts {
        let schema = part.schema.as_deref().unwrap_or_default();
        let fate = if large_objects::is(&part) {
            Some(Fate::Copy)
        } else if definitions.conditions.contains_key(&part.id) {
            Some(selection.fate(Some(schema), &part.name))
        } else {
            fates.get(&(schema, part.name.as_str())).copied()
        };
        match fate {
            Some(Fate::Copy) => wanted.push(part),
            Some(_) => {}
            None => {
                return Err(Error::new(
                    Kind::Verify,
                    format!(
                        "the stored definitions do not have the table {}",
                        part.label()
                    ),
                ));
            }
        }
    }
    Ok(wanted)
}

/// What was left out when it was put away, and now.
fn told(before: Vec<(String, Fate)>, tables: &[Table]) -> Vec<(String, Fate)> {
    let label = |table: &Table| format!("{}.{}", table.schema, table.name);
    let known: HashSet<String> = tables.iter().map(label).collect();
    before
        .into_iter()
        .filter(|(name, _)| !known.contains(name))
        .chain(
            tables
                .iter()
                .filter(|table| table.fate != Fate::Copy)
                .map(|table| (label(table), table.fate)),
        )
        .collect()
}

/// Makes of definitions what a survey with this selection would have found.
fn reduce(definitions: &mut Definitions, selected: Selected, removed: &[Entry]) {
    let Selected {
        tables,
        gone,
        collations,
        names,
        cuts,
        ..
    } = selected;
    let with_fate = |fate: Fate| tables.iter().filter(move |table| table.fate == fate);
    let name = |table: &Table| (table.schema.clone(), table.name.clone());
    definitions.preserved = with_fate(Fate::Keep)
        .filter(|table| !table.partitioned)
        .map(name)
        .collect();
    let sequences: HashSet<(&str, &str)> = removed
        .iter()
        .filter(|entry| entry.kind == "SEQUENCE")
        .filter_map(|entry| Some((entry.schema.as_deref()?, entry.tag())))
        .collect();
    definitions
        .sequences
        .retain(|one| !sequences.contains(&(one.schema.as_str(), one.name.as_str())));
    let copied: HashSet<(String, String)> = with_fate(Fate::Copy).map(name).collect();
    definitions
        .in_two
        .retain(|_, in_two| copied.contains(&in_two.table));
    definitions
        .rights
        .retain(|right| !gone.contains(&right.object));
    definitions
        .collations
        .retain(|one| !one.of_server || collations.contains(&one.oid));
    let copied: HashSet<u32> = with_fate(Fate::Copy).map(|table| table.oid).collect();
    definitions.requirements.keep(
        |relation| copied.contains(&relation),
        |relation| !gone.contains(&(CLASS, relation)),
    );
    definitions.gone.extend(gone);
    definitions.uncatalogued = names;
    definitions.cuts = cuts;
}

/// A stored catalogue without what was left out when the definitions were taken out.
fn without(mut catalogue: Catalogue, definitions: &Definitions) -> Catalogue {
    let gone = &definitions.uncatalogued;
    if gone.is_empty() {
        return catalogue;
    }
    let going: Vec<String> = catalogue
        .0
        .keys()
        .filter(|object| dependencies::goes(object, gone, |other| catalogue.0.contains_key(other)))
        .cloned()
        .collect();
    for object in going {
        catalogue.0.remove(&object);
    }
    for (column, default) in definitions.cuts.iter().filter_map(left_out::Cut::of_column) {
        if let Some(definition) = catalogue.0.get_mut(&column) {
            *definition = definition.replacen(&default, "", 1);
        }
    }
    catalogue
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toc(kind: &str, definition: &str, drop: &str) -> Toc {
        let entry = serde_json::json!([{
            "id": 1, "object": [1259, 1], "kind": kind, "section": "before", "owner": "o", "tag": "t",
            "definition": definition, "drop": drop, "needs": [],
        }]);
        serde_json::from_value::<serde_json::Value>(entry)
            .and_then(|entry| serde_json::from_str(&entry.to_string()))
            .unwrap()
    }

    #[test]
    fn a_snapshot_s_definition_that_reaches_out_of_its_database_is_refused() {
        let none = HashMap::new();
        let refused = |toc: &Toc| refuse_outside(toc, &HashMap::new(), &none);
        assert!(
            refused(&toc(
                "TABLE",
                "CREATE TABLE public.t ();\n",
                "DROP TABLE t;"
            ))
            .is_ok()
        );
        for definition in [
            "CREATE TABLE public.t (); CREATE ROLE x SUPERUSER;",
            "CREATE TABLE public.t (); --\rALTER SYSTEM SET archive_command = 'x';",
            "COPY public.t TO PROGRAM 'id'",
            "DO $$BEGIN END$$",
            "CREATE TABLE public.t (a text DEFAULT 'x",
        ] {
            let error = refused(&toc("TABLE", definition, "")).unwrap_err();
            assert_eq!(error.kind(), Kind::Verify, "{definition}");
        }
        let twice = "DROP FUNCTION f(); DROP DATABASE live;";
        assert!(refused(&toc("FUNCTION", "CREATE FUNCTION f()", twice)).is_err());
        let two = HashMap::from([(1, "WHERE true; DROP DATABASE live".to_owned())]);
        assert!(refuse_outside(&toc("TABLE", "", ""), &HashMap::new(), &two).is_err());
        let one = HashMap::from([(1, "WHERE a < 1000".to_owned())]);
        assert!(refuse_outside(&toc("TABLE", "", ""), &HashMap::new(), &one).is_ok());
    }

    #[test]
    fn definitions_say_which_envsyncd_they_need() {
        // What older ones do not know is in them: they say so, and not that they are damaged.
        let newer = envelope::seal(KIND, VERSION, &1).unwrap();
        let error = envelope::open::<u32>(KIND, 1, &newer).unwrap_err();
        assert!(error.to_string().contains("format is 2"), "{error}");
        assert!(
            error
                .advice()
                .is_some_and(|hint| hint.contains("upgrade envsyncd"))
        );
    }
}
