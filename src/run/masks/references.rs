//! Foreign keys: what is referred to and what refers to it are masked alike.

use super::tables::{On, Table, config};
use crate::error::Result;
use crate::store::shape::by_name;
use crate::store::{Selection, Shape};

/// Each with the references that only the task knows.
pub(in crate::run) fn with_known_references(
    selection: &Selection,
    mut shapes: Vec<Shape>,
) -> Result<Vec<Shape>> {
    let known = shapes
        .iter()
        .map(|shape| selection.known_references(shape, &shapes));
    let known: Vec<_> = known.collect::<Result<_>>()?;
    for (shape, known) in shapes.iter_mut().zip(known) {
        let columns = known.iter().flat_map(|reference| &reference.columns);
        if let Some(name) = columns
            .into_iter()
            .find(|name| shape.column(name).is_none())
        {
            let what = format!(
                "table {} has no column {name} that could refer",
                shape.label()
            );
            return Err(config(what).hint("mend the [[task.reference]]"));
        }
        shape.references.extend(known);
    }
    Ok(shapes)
}

/// A mask on a column goes on to those that refer to it. One on a side of a foreign key alone is an error: but for NULL, which
/// refers to nothing.
pub(in crate::run) fn follow_references(tables: &mut [Table<'_>]) -> Result<()> {
    let shapes: Vec<&Shape> = tables.iter().map(|table| table.shape).collect();
    let by_name = by_name(shapes.iter().copied());
    let mut has_changed = true;
    while has_changed {
        has_changed = false;
        for (at, shape) in shapes.iter().enumerate() {
            for reference in &shape.references {
                for other in by_name.get(&reference.table).into_iter().flatten().copied() {
                    for (from, to) in reference.columns.iter().zip(&reference.referenced) {
                        has_changed |= match reference.condition {
                            None => follow(tables, (at, from), (other, to), &reference.name)?,
                            Some(number) => follow_some(tables, (at, from), (other, to), number)?,
                        };
                    }
                }
            }
        }
    }
    Ok(())
}

/// Lets a column have the kinds of the one that it refers to, in the rows that refer to it; whether it had not.
fn follow_some(
    tables: &mut [Table<'_>],
    (at, from): (usize, &str),
    (other, to): (usize, &str),
    number: usize,
) -> Result<bool> {
    let (Some(place), Some(referred)) = (tables[at].place(from), tables[other].place(to)) else {
        return Ok(false);
    };
    let (own, theirs) = (&tables[at].kinds[place], &tables[other].kinds[referred]);
    if theirs.is_empty() || own.iter().any(|on| on.number == Some(number)) {
        return Ok(false);
    }
    let sides = format!(
        "{}.{from} refers to {}.{to} in some rows",
        tables[at].label(),
        tables[other].label()
    );
    refuse_dependent(theirs, &sides)?;
    same_type(tables, (at, place), (other, referred), &sides)?;
    let follow = |on: &On| On {
        number: Some(number),
        is_conditional: true,
        ..on.clone()
    };
    let kinds: Vec<On> = theirs.iter().map(follow).collect();
    tables[at].kinds[place].extend(kinds);
    Ok(true)
}

/// Refuses kinds of a column that others refer to, unless what they make depends on the value alone.
fn refuse_dependent(kinds: &[On], sides: &str) -> Result<()> {
    let depends = |on: &On| on.is_conditional || !on.kind.looks_at().is_empty();
    if kinds.iter().any(depends) {
        let what = format!("{sides}, and its mask depends on the row that it is in");
        return Err(config(what).hint("take a kind without `where` that looks at no other column"));
    }
    Ok(())
}

/// Lets a column have the kinds of the one that it refers to; whether it had not.
fn follow(
    tables: &mut [Table<'_>],
    (at, from): (usize, &str),
    (other, to): (usize, &str),
    name: &str,
) -> Result<bool> {
    let (Some(place), Some(referred)) = (tables[at].place(from), tables[other].place(to)) else {
        // One of them is computed by the server.
        return Ok(false);
    };
    let (own, theirs) = (&tables[at].kinds[place], &tables[other].kinds[referred]);
    let is_null = |on: &On| on.kind.name() == "null";
    if own.iter().all(is_null) && theirs.is_empty() {
        return Ok(false);
    }
    let told =
        |kinds: &[On]| -> Vec<String> { kinds.iter().map(|on| format!("{:?}", on.kind)).collect() };
    let sides = format!(
        "{}.{from} refers to {}.{to} (foreign key {name})",
        tables[at].label(),
        tables[other].label()
    );
    if theirs.is_empty() {
        return Err(config(format!("{sides}, and has a mask that the other has not"))
            .hint("put the mask on the column that is referred to: it goes on to those that refer to it"));
    }
    refuse_dependent(theirs, &sides)?;
    if !own.is_empty() && !own.iter().all(is_null) && told(own) == told(theirs) {
        return same_type(tables, (at, place), (other, referred), &sides).map(|()| false);
    }
    if own.is_empty() {
        let kinds: Vec<On> = theirs
            .iter()
            .map(|on| On {
                number: None,
                ..on.clone()
            })
            .collect();
        same_type(tables, (at, place), (other, referred), &sides)?;
        tables[at].kinds[place] = kinds;
        return Ok(true);
    }
    if own.iter().all(is_null) && !own.iter().any(|on| on.is_conditional) {
        return Ok(false);
    }
    Err(config(format!("{sides}, and their masks are not the same"))
        .hint("put the mask on the column that is referred to alone: it goes on to those that refer to it"))
}

/// What a kind makes depends on the column's type.
fn same_type(
    tables: &[Table<'_>],
    (at, place): (usize, usize),
    (other, referred): (usize, usize),
    sides: &str,
) -> Result<()> {
    let (own, theirs) = (
        &tables[at].shape.columns[place],
        &tables[other].shape.columns[referred],
    );
    if own.column.kind == theirs.column.kind && own.form == theirs.form {
        return Ok(());
    }
    Err(config(format!(
        "{sides}, and they are of different types: {} and {}",
        own.type_name, theirs.type_name
    ))
    .hint("what a mask makes of the same value would not be the same"))
}
