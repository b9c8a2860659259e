//! Definitions that rest in an archive, and what a pull leaves of them. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::definitions::Definitions;
use super::engines::{self, Engine};
use super::objects::ObjectKind;
use super::{by_hand, catalogue, exclusion, fitness, lines};
use crate::config::job::Definer;
use crate::error::{Error, Kind, Result};
use crate::store::portable::{Reframe, Script, TakenOut, Unframe, envelope};
use crate::store::{self, Catalogue, Fate, Part, Selection, Slice};

/// The version of what [`put_away`] writes.
const VERSION: u32 = 1;

/// Everything in a schema but rows, as JSON.
pub(in crate::store) fn put_away(definitions: &Definitions) -> Result<Vec<u8>> {
    envelope::seal(crate::store::mysql::KIND, VERSION, definitions)
}

/// The way back: what `definitions::read` would have found with the selection of the pull on top of the push's.
pub(in crate::store) fn take_out(
    stored: &[u8],
    parts: Vec<Part>,
    left_out: &[(String, Fate)],
    selection: &Selection,
) -> Result<TakenOut> {
    let definitions: Definitions = envelope::open(crate::store::mysql::KIND, VERSION, stored)?;
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
    Ok(TakenOut {
        parts,
        left_out: definitions.left_out.clone(),
        definitions: store::Definitions::Mysql(Arc::new(definitions)),
    })
}

/// Slices of a table have to have all of its keys.
fn whole_tables(parts: &[Part]) -> Result<()> {
    type Range = (Option<i128>, Option<i128>);
    let mut slices: BTreeMap<&str, Vec<Range>> = BTreeMap::new();
    for part in parts {
        let range = match &part.slice {
            Some(Slice::Keys { from, until }) => (*from, *until),
            _ => (None, None),
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

/// What the source's catalogue is to a target that makes definers like this: it follows from the definitions.
pub(in crate::store) fn catalogue(definitions: &Definitions, definer: Definer) -> Catalogue {
    catalogue::of(definitions, definer)
}

/// From wire to file.
pub(in crate::store) fn unframe(part: &Part) -> Box<dyn Unframe> {
    Box::new(lines::Lines::new(part.label()))
}

/// From file to wire.
pub(in crate::store) fn reframe(part: &Part) -> Box<dyn Reframe> {
    Box::new(lines::Lines::new(part.label()))
}

/// Refuses what no pull could make.
pub(in crate::store) fn refuse_gaps(definitions: &Definitions) -> Result<()> {
    fitness::whole(definitions)
}

/// The definitions as SQL for the store's own client.
pub(in crate::store) fn scripts(definitions: &Definitions) -> Vec<Script> {
    by_hand::scripts(definitions)
}

/// What lets the client load a part's file from its standard input.
pub(in crate::store) fn load_statement(definitions: &Definitions, part: &Part) -> Result<String> {
    let table = definitions
        .table(&part.name)
        .ok_or_else(|| Error::new(Kind::Internal, format!("there is no table `{}`", part.name)))?;
    Ok(by_hand::load(definitions, table, part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Encoding;

    fn parts(slices: &[Option<Slice>]) -> Vec<Part> {
        slices
            .iter()
            .map(|slice| Part {
                id: 0,
                schema: None,
                name: "t".to_owned(),
                columns: Vec::new(),
                encoding: Encoding::LoadData,
                rows: 0,
                bytes: 0,
                slice: slice.clone(),
            })
            .collect()
    }

    #[test]
    fn a_table_in_slices_is_whole_or_refused() {
        let keys = |from, until| Some(Slice::Keys { from, until });
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
        let slice = Slice::Keys {
            from: Some(i128::from(i64::MIN)),
            until: Some(i128::from(u64::MAX)),
        };
        let part = parts(&[Some(slice)]).remove(0);
        let json = serde_json::to_string(&part).unwrap();
        assert_eq!(serde_json::from_str::<Part>(&json).unwrap(), part);
    }
}
