//! What hangs on something that is excluded: what cannot be without it is left out, and each of it is named. What would be
//! left out and refuses rows is a restriction, and goes only if the task says so. Pure but for the log.

use std::collections::{BTreeMap, BTreeSet};

use super::create_table::{Clause, takes_sequence};
use super::definitions::Definitions;
use super::objects::{Object, ObjectKind};
use super::stand_ins;
use crate::error::{Error, Kind, Result};
use crate::store::catalogue::first_of;
use crate::store::mysql::sql::lexer::{self, Dialect};
use crate::store::mysql::sql::names::quoted;
use crate::store::mysql::sql::references::{self, References};
use crate::store::{Fate, Selection};

/// How many triggers an error names.
const NAMED: usize = 5;

/// What routines do, by their names in lower case: as the server compares them.
#[derive(Default)]
struct Routines(BTreeMap<String, References>);

impl Routines {
    fn of(objects: &[Object]) -> Self {
        let mut found = Self::default();
        for object in objects {
            if matches!(
                object.kind,
                ObjectKind::Function | ObjectKind::Procedure | ObjectKind::PackageBody
            ) {
                // A function and a procedure may share a name.
                let references = found.0.entry(object.name.to_lowercase()).or_default();
                let more = uses_of(object);
                references.tables.extend(more.tables);
                references.routines.extend(more.routines);
                references.refuses |= more.refuses;
            }
        }
        found
    }

    /// What a body uses, and all that it calls.
    fn whole(&self, references: References) -> References {
        let mut whole = references;
        let mut seen = BTreeSet::new();
        let mut waiting = whole.routines.clone();
        while let Some((schema, name)) = waiting.pop() {
            // A package's routine has the package in front.
            for name in [Some(name), schema].into_iter().flatten() {
                let name = name.to_lowercase();
                if let Some(more) = self.0.get(&name)
                    && seen.insert(name)
                {
                    whole.tables.extend(more.tables.iter().cloned());
                    whole.refuses |= more.refuses;
                    waiting.extend(more.routines.iter().cloned());
                }
            }
        }
        whole
    }
}

fn uses_of(object: &Object) -> References {
    references::of(&object.definition, Dialect::of(&object.sql_mode))
}

/// Takes triggers out that need something excluded, since no row could be written with them, and warns of each; warns of the
/// views, routines and events that fail where they reach it.
pub(in crate::store::mysql) fn leave_out(
    definitions: &mut Definitions,
    selection: &Selection,
) -> Result<()> {
    if definitions.excluded.is_empty() && selection.is_everything() {
        return Ok(());
    }
    let folded = definitions.folding != 0;
    let spelt = |name: &str| {
        if folded {
            name.to_lowercase()
        } else {
            name.to_owned()
        }
    };
    let own = spelt(&definitions.schema);
    let excluded: BTreeMap<String, &String> = definitions
        .excluded
        .iter()
        .map(|name| (spelt(name), name))
        .collect();
    let routines = Routines::of(&definitions.objects);
    let mut gone = BTreeSet::new();
    let mut lost = Vec::new();
    for object in &definitions.objects {
        let direct = uses_of(object);
        let references = match object.kind {
            ObjectKind::Trigger | ObjectKind::View => routines.whole(direct),
            _ => direct,
        };
        let needed = references.tables.iter().find_map(|(schema, name)| {
            let is_ours = schema.as_ref().is_none_or(|schema| spelt(schema) == own);
            // One that is not there, either, as in a dump that was made without it; but none that is made for a moment.
            let is_absent = || {
                selection.fate(None, name) == Fate::Exclude
                    && !object.definition.to_ascii_uppercase().contains("TEMPORARY")
            };
            let excluded = excluded.get(&spelt(name)).copied();
            excluded
                .or_else(|| is_absent().then_some(name))
                .filter(|_| is_ours)
        });
        let Some(needed) = needed else { continue };
        let Some(table) = object
            .table
            .as_ref()
            .filter(|_| object.kind == ObjectKind::Trigger)
        else {
            // A view that is over it is refused.
            tracing::warn!(
                object = object.label(),
                excluded = needed.as_str(),
                "it uses what is excluded, and fails where it does"
            );
            continue;
        };
        if references.refuses && !selection.may_be_left_out(None, table, &object.name) {
            lost.push((format!("{table}.{}", object.name), (*needed).clone()));
            continue;
        }
        tracing::warn!(
            trigger = object.name,
            table,
            excluded = needed.as_str(),
            "a trigger is left out, because it uses what is excluded"
        );
        gone.insert(object.name.clone());
    }
    refuse(&lost)?;
    let is_gone =
        |object: &Object| object.kind == ObjectKind::Trigger && gone.contains(&object.name);
    let (lost, mut stay): (Vec<Object>, Vec<Object>) =
        definitions.objects.drain(..).partition(is_gone);
    for object in stay
        .iter_mut()
        .filter(|object| object.kind == ObjectKind::Trigger)
    {
        move_up(object, &lost);
    }
    definitions.objects = stay;
    Ok(())
}

/// A trigger's place among those of its table, time and event, and what it says of it, once these are gone.
fn move_up(trigger: &mut Object, lost: &[Object]) {
    let before = lost
        .iter()
        .filter(|other| other.table == trigger.table && other.order < trigger.order)
        .filter(|other| moment(other) == moment(trigger))
        .count();
    trigger.order = trigger
        .order
        .saturating_sub(u64::try_from(before).unwrap_or(0));
    let tokens = lexer::tokens(&trigger.definition, Dialect::of(&trigger.sql_mode));
    let place = tokens.iter().enumerate().find_map(|(at, token)| {
        let (name, other) = lexer::solid(&tokens, at + 1)?;
        let is_behind_row = lexer::before(&tokens, at).is_some_and(|(_, row)| row.is("ROW"));
        let is_lost = other
            .name()
            .is_some_and(|name| lost.iter().any(|lost| lost.name == name));
        ((token.is("FOLLOWS") || token.is("PRECEDES")) && is_behind_row && is_lost)
            .then_some((at, name))
    });
    if let Some((start, end)) = place {
        trigger.definition = tokens
            .iter()
            .enumerate()
            .filter(|(at, _)| *at < start || *at > end)
            .map(|(_, token)| token.text)
            .collect();
    }
}

/// When a trigger fires: `BEFORE INSERT`.
fn moment(trigger: &Object) -> Option<[String; 2]> {
    let tokens = lexer::tokens(&trigger.definition, Dialect::of(&trigger.sql_mode));
    let start = tokens.iter().position(|token| token.is("TRIGGER"))?;
    let time = start
        + tokens[start..]
            .iter()
            .position(|token| token.is("BEFORE") || token.is("AFTER"))?;
    let (_, event) = lexer::solid(&tokens, time + 1)?;
    Some([tokens[time].text, event.text].map(str::to_ascii_uppercase))
}

fn refuse(lost: &[(String, String)]) -> Result<()> {
    if lost.is_empty() {
        return Ok(());
    }
    let told: Vec<String> = lost
        .iter()
        .map(|(trigger, needed)| format!("{trigger} (`{needed}`)"))
        .collect();
    let named: Vec<String> = lost
        .iter()
        .map(|(trigger, _)| format!("\"{trigger}\""))
        .collect();
    Err(Error::new(
        Kind::Verify,
        format!(
            "triggers that refuse rows use what is excluded, and cannot be copied: {}",
            first_of(&told, NAMED)
        ),
    )
    .hint(format!(
        "put the tables into `schema_only` instead, or say that the target is to do without the triggers: leave_out = [{}]",
        named.join(", ")
    )))
}

/// The table that a view is over and that is excluded.
pub(in crate::store::mysql) fn over_excluded(
    definitions: &Definitions,
    view: &Object,
) -> Option<String> {
    if view.kind != ObjectKind::View || view.broken {
        return None;
    }
    let mentioned = stand_ins::mentioned(&view.definition, &definitions.schema);
    let mut tables = mentioned.tables.into_keys();
    tables.find(|table| definitions.excluded.contains(table))
}

/// Refuses what needs something that is excluded.
pub(in crate::store::mysql) fn refuse_gaps(definitions: &Definitions) -> Result<()> {
    for object in &definitions.objects {
        if let Some(table) = over_excluded(definitions, object) {
            return Err(Error::new(
                Kind::Verify,
                format!("{} is over `{table}`, which is excluded", object.label()),
            )
            .hint(
                "put the view into the task's `exclude` as well, or make the table `schema_only`",
            ));
        }
    }
    for table in &definitions.tables {
        let excluded = table.create.clauses().find_map(|(clause, text)| {
            (matches!(clause, Clause::Column(_)) && takes_sequence(text)).then_some(text)
        });
        if let Some(text) = excluded
            && let Some(name) = definitions.excluded.iter().find(|name| {
                text.contains(&format!("{}.{}", quoted(&definitions.schema), quoted(name)))
            })
        {
            return Err(Error::new(
                Kind::Verify,
                format!(
                    "table `{}` takes a default from the sequence `{name}`, which is excluded",
                    table.name
                ),
            )
            .hint("copy both, or exclude both"));
        }
    }
    Ok(())
}
