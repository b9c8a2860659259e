//! Definitions that rest in an archive, and what a pull leaves of them. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::manual_restore;
use crate::config::job::Task;
use crate::error::{Error, Kind, Result};
use crate::store::mysql::schema::catalogue;
use crate::store::mysql::schema::definitions::Definitions;
use crate::store::mysql::schema::engines::{self, Engine};
use crate::store::mysql::schema::exclusion;
use crate::store::mysql::schema::objects::ObjectKind;

use crate::store::mysql::rows::slices::Rows;
use crate::store::mysql::sql::version::KIND;
use crate::store::{self, Catalogue, Fate, Part, Restored, Script, Selection, envelope};

/// The version of what is put away.
const VERSION: u32 = 1;

/// Reads definitions that were put away: what the reader of a schema would have found with the selection of the pull on top of the push's.
pub(in crate::store::mysql) fn read(
    stored: &[u8],
    parts: Vec<Part>,
    left_out: &[(String, Fate)],
    selection: &Selection,
) -> Result<Restored> {
    let definitions: Definitions = envelope::open(KIND, VERSION, stored)?;
    let definitions = selected(definitions, left_out, selection)?;
    let wanted = definitions
        .tables
        .iter()
        .filter(|table| table.fate == Fate::Copy)
        .map(|table| table.name.as_str());
    let parts = envelope::wanted_parts(parts, wanted, |part| {
        let table = definitions.table(&part.name)?;
        let has = |name: &String| table.columns.iter().any(|column| column.name == *name);
        (table.fate == Fate::Copy).then(|| part.columns.iter().all(has))
    })?;
    whole_tables(&parts)?;
    Ok(Restored {
        parts,
        left_out: definitions.left_out.clone(),
        definitions: Arc::new(definitions),
    })
}

/// Slices of a table have to have all of its keys.
fn whole_tables(parts: &[Part]) -> Result<()> {
    type Range = (Option<i128>, Option<i128>);
    let mut slices: BTreeMap<&str, Vec<Range>> = BTreeMap::new();
    for part in parts {
        let range = match &part.slice {
            Some(slice) => {
                let Rows::Keys { from, until } = slice.read()?;
                (from, until)
            }
            None => (None, None),
        };
        slices.entry(&part.name).or_default().push(range);
    }
    for (name, mut ranges) in slices {
        ranges.sort_unstable();
        let meet = ranges
            .windows(2)
            .all(|pair| pair[0].1.is_some() && pair[0].1 == pair[1].0);
        let ends = ranges.first().is_some_and(|(from, _)| from.is_none())
            && ranges.last().is_some_and(|(_, until)| until.is_none());
        if !meet || !ends {
            return Err(Error::new(
                Kind::Verify,
                format!("the rows of `{name}` are not all there, or some are twice"),
            ));
        }
    }
    Ok(())
}

fn selected(
    mut definitions: Definitions,
    left_out: &[(String, Fate)],
    selection: &Selection,
) -> Result<Definitions> {
    let excluded = &mut definitions.excluded;
    let mut all: Vec<(String, Fate)> = left_out
        .iter()
        .filter(|(_, fate)| *fate == Fate::Exclude)
        .cloned()
        .collect();
    excluded.extend(all.iter().map(|(name, _)| name.clone()));
    for table in &mut definitions.tables {
        table.fate = envelope::combined(table.fate, selection.fate(None, &table.name));
        if let Engine::Refused(why) = engines::of(&table.engine, table.fate)
            && table.fate != Fate::Exclude
        {
            return Err(engines::refusal(&table.name, why));
        }
        if table.fate != Fate::Copy {
            all.push((table.name.clone(), table.fate));
        }
        if table.fate == Fate::Exclude {
            excluded.insert(table.name.clone());
        }
    }
    for sequence in &mut definitions.sequences {
        sequence.fate = envelope::combined(sequence.fate, selection.fate(None, &sequence.name));
        if sequence.fate == Fate::Exclude {
            all.push((sequence.name.clone(), Fate::Exclude));
            excluded.insert(sequence.name.clone());
        }
    }
    for view in &definitions.objects {
        if view.kind == ObjectKind::View && selection.fate(None, &view.name) == Fate::Exclude {
            all.push((view.name.clone(), Fate::Exclude));
            excluded.insert(view.name.clone());
        }
    }
    definitions
        .tables
        .retain(|table| table.fate != Fate::Exclude);
    definitions
        .sequences
        .retain(|sequence| sequence.fate != Fate::Exclude);
    definitions.retain_objects();
    exclusion::leave_out(&mut definitions, selection)?;
    definitions.left_out = all;
    Ok(definitions)
}

impl store::Definitions for Definitions {
    fn to_json(&self) -> Result<Vec<u8>> {
        envelope::seal(KIND, VERSION, self)
    }

    fn scripts(&self) -> Result<Vec<Script>> {
        Ok(manual_restore::scripts(self))
    }

    fn load_statement(&self, part: &Part) -> Result<String> {
        Ok(manual_restore::load(self, self.table_of(part)?, part))
    }

    fn refuse_gaps(&self) -> Result<()> {
        exclusion::refuse_gaps(self)
    }

    /// It follows from the definitions, and from what becomes of definers.
    fn catalogue(&self, _stored: Catalogue, task: &Task) -> Result<Catalogue> {
        Ok(catalogue::of(self, task.definer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::mysql::rows::codec::LOAD_DATA;
    use crate::store::{List, Slice, Unit};

    fn parts(slices: &[Option<Slice>]) -> Vec<Part> {
        slices
            .iter()
            .map(|slice| Part {
                id: 0,
                schema: None,
                name: "t".to_owned(),
                columns: List::default(),
                unit: Unit::Rows,
                encoding: LOAD_DATA,
                rows: 0,
                bytes: 0,
                slice: slice.clone(),
                condition: None,
            })
            .collect()
    }

    #[test]
    fn a_table_in_slices_is_whole_or_refused() {
        let keys = |from, until| Slice::new(&Rows::Keys { from, until }).ok();
        let (first, second, third) = (
            keys(None, Some(5)),
            keys(Some(5), Some(9)),
            keys(Some(9), None),
        );
        for (slices, is_whole) in [
            (vec![None], true),
            (vec![third.clone(), first.clone(), second.clone()], true),
            (vec![keys(None, None)], true),
            (vec![first.clone(), third.clone()], false),
            (vec![first.clone(), second.clone()], false),
            (vec![second.clone(), third.clone()], false),
            (vec![first.clone(), first, second, third], false),
            (vec![None, None], false),
        ] {
            assert_eq!(
                whole_tables(&parts(&slices)).is_ok(),
                is_whole,
                "{slices:?}"
            );
        }
    }

    #[test]
    fn a_slice_is_json_and_the_same_again() {
        let rows = Rows::Keys {
            from: Some(i128::from(i64::MIN)),
            until: Some(i128::from(u64::MAX)),
        };
        let slice = Slice::new(&rows).unwrap();
        assert_eq!(slice.read::<Rows>().unwrap(), rows);
        let part = parts(&[Some(slice)]).remove(0);
        let json = serde_json::to_string(&part).unwrap();
        let kept =
            "\"slice\":{\"keys\":{\"from\":-9223372036854775808,\"until\":18446744073709551615}}";
        assert!(json.contains(kept), "{json}");
        assert_eq!(serde_json::from_str::<Part>(&json).unwrap(), part);
    }
}
