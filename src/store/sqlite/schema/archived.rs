//! Definitions in an archive: written, read back, and reduced to what the selection of a pull leaves.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::definitions::Definitions;
use super::objects::{Object, Table};
use super::requirements::{self, LeftOut};
use super::{definition_text, manual_restore, nested_views};
use crate::config::job::Task;
use crate::error::{Error, Kind, Result};
use crate::store::sqlite::connection::library::KIND;
use crate::store::{self, Catalogue, Fate, Part, Restored, Script, Selection, Survey, envelope};

/// The version of what [`write`] writes.
const VERSION: u32 = 1;

/// Everything in a database but rows, as JSON. Of tables that are left out, the name alone.
pub(in crate::store::sqlite) fn write(definitions: &Definitions) -> Result<Vec<u8>> {
    let mut definitions = definitions.clone();
    forget_left_out(&mut definitions);
    envelope::seal(KIND, VERSION, &definitions)
}

/// Refuses what no push has written: definitions are run, and settings are put into statements.
fn is_sound(definitions: &Definitions) -> Result<()> {
    let strange = |what: String| {
        Error::new(
            Kind::Verify,
            format!("the snapshot's definitions are not as they were written: {what}"),
        )
        .hint("check who can write to the archive; with `key` on both sides, changes are noticed")
    };
    let settings = &definitions.settings;
    let is_known = ["UTF-8", "UTF-16le", "UTF-16be"].contains(&&settings.encoding[..])
        && (512..=65536).contains(&settings.page_size)
        && (0..=2).contains(&settings.auto_vacuum);
    if !is_known {
        return Err(strange(
            "encoding, page size or auto_vacuum are not valid in SQLite".to_owned(),
        ));
    }
    for table in &definitions.tables {
        // Of one that is left out there is the name alone.
        if table.sql.is_empty() && table.fate == Fate::Exclude {
            continue;
        }
        let object = Object {
            kind: "table".to_owned(),
            name: table.name.clone(),
            table: table.name.clone(),
            sql: table.sql.clone(),
        };
        let flaw = if table.name.to_ascii_lowercase().starts_with("sqlite_") {
            Some("is of a table of SQLite's own")
        } else if table.is_virtual != definition_text::is_virtual_table(&table.sql) {
            Some("is of another kind of table")
        } else {
            object.flaw()
        };
        if let Some(flaw) = flaw {
            return Err(strange(format!("that of {} {flaw}", object.label())));
        }
    }
    for object in &definitions.others {
        if let Some(flaw) = object.flaw() {
            return Err(strange(format!("that of {} {flaw}", object.label())));
        }
    }
    match nested_views::overgrown(&definitions.others).first() {
        Some((object, flaw)) => Err(strange(format!("that of {object} {flaw}"))),
        None => Ok(()),
    }
}

fn forget_left_out(definitions: &mut Definitions) {
    let mut others = std::mem::take(&mut definitions.others);
    others.retain(|object| definitions.comes_along(object));
    definitions.others = others;
    let left_out = definitions
        .tables
        .iter_mut()
        .filter(|table| table.fate == Fate::Exclude);
    for table in left_out {
        table.sql.clear();
        table.columns.clear();
        definitions.sequences.remove(&table.name);
    }
}

/// The way back: what `Definitions::read` would have found with the selection of the pull on top of the push's.
pub(in crate::store::sqlite) fn read(
    stored: &[u8],
    parts: Vec<Part>,
    left_out: &[(String, Fate)],
    selection: &Selection,
) -> Result<Restored> {
    let mut definitions: Definitions = envelope::open(KIND, VERSION, stored)?;
    is_sound(&definitions)?;
    narrow(&mut definitions, selection);
    requirements::settle(&mut definitions, selection, false)?
        .iter()
        .for_each(LeftOut::tell);
    let fates: BTreeMap<String, Fate> = definitions
        .tables
        .iter()
        .map(|table| (table.name.clone(), table.fate))
        .collect();
    forget_left_out(&mut definitions);
    for (_, rows) in &mut definitions.statistics {
        rows.retain(|row| match row.first() {
            Some(rusqlite::types::Value::Text(name)) => {
                fates.get(name).is_some_and(|fate| *fate == Fate::Copy)
            }
            _ => false,
        });
    }
    let mut all = definitions.left_out();
    let gone = left_out
        .iter()
        .filter(|(name, fate)| *fate == Fate::Exclude && !fates.contains_key(name));
    all.extend(gone.cloned());
    let is_copied = |table: &&Table| !table.is_virtual && table.fate == Fate::Copy;
    let wanted = definitions
        .tables
        .iter()
        .filter(is_copied)
        .map(|table| table.name.as_str());
    let parts = envelope::wanted_parts(parts, wanted, |part| {
        let table = definitions.table(&part.name).filter(is_copied)?;
        Some(*table.names() == *part.columns)
    })?;
    Ok(Restored {
        parts,
        left_out: all,
        definitions: Arc::new(definitions),
    })
}

/// Applies the selection of a pull on top of the push's.
fn narrow(definitions: &mut Definitions, selection: &Selection) {
    for table in &mut definitions.tables {
        if table.shadow_of.is_none() {
            table.fate = envelope::combined(table.fate, selection.fate(None, &table.name));
        }
    }
    let virtuals: Vec<(String, Fate)> = definitions
        .tables
        .iter()
        .filter(|table| table.is_virtual)
        .map(|table| (table.name.clone(), table.fate))
        .collect();
    for (name, fate) in virtuals {
        definitions.decide(&name, fate);
    }
}

impl store::Definitions for Definitions {
    fn to_json(&self) -> Result<Vec<u8>> {
        write(self)
    }

    fn scripts(&self) -> Result<Vec<Script>> {
        Ok(manual_restore::scripts(self))
    }

    /// It follows from the definitions.
    fn catalogue(&self, _stored: Catalogue, _task: &Task) -> Result<Catalogue> {
        Ok(self.selected())
    }
}

/// A survey's definitions, shared. Another store's are an error.
pub(in crate::store::sqlite) fn of(survey: &Survey) -> Result<Arc<Definitions>> {
    let any: Arc<dyn Any + Send + Sync> = Arc::<dyn store::Definitions>::clone(&survey.definitions);
    any.downcast().map_err(|_| {
        Error::new(
            Kind::Config,
            "a database of another kind cannot be copied into SQLite",
        )
    })
}
