//! The masks of a table, ready for its rows.
//!
//! [`RowMask::compile`] takes a table's columns and its rules, and says at once what can never work. [`RowMask::apply`] then
//! takes row after row. It asks the row for the values that it needs and no others, and leaves what replaces them in a
//! [`Scratch`], whose buffers serve all rows.

use super::column::{Column, Fit, Repertoire, Type};
use super::key::Key;
use super::kind::Kind;
use super::kind::contract::{Mask, Need, Options as _, Refused, Site, Task};
use super::row::{Cell, Given, Row};
use super::value::{self, Encoding, Masked, Replacement, Value};
use crate::error::{Error, Kind as Cause, Result};

/// What is kept of a buffer that a large value has stretched.
const KEPT: usize = 1 << 20;

/// A kind for a column. Of several for one column, the first whose condition holds is the one.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The column's name.
    pub column: String,
    /// The condition for the row, if it has one: the number that [`Row::holds`] is asked for.
    pub condition: Option<usize>,
    /// What becomes of its values.
    pub kind: Kind,
}

/// A table's masks.
pub struct RowMask {
    table: String,
    steps: Vec<Step>,
    needed: Vec<usize>,
}

/// A column with its kinds, in the order of rules.
struct Step {
    place: usize,
    /// How many values it had best be given at once.
    at_once: usize,
    column: Column,
    choices: Vec<Choice>,
}

struct Choice {
    condition: Option<usize>,
    is_for_all: bool,
    keeps_parts: bool,
    mask: Box<dyn Mask>,
}

/// A mask that cannot be, by its table and column.
fn wrong(table: &str, column: &str, why: &str) -> Error {
    Error::new(
        Cause::Config,
        format!("table {table}, column {column}: {why}"),
    )
}

/// The places of the columns that rules are for, each once, if each rule fits its column.
fn fitting(table: &str, columns: &[Column], rules: &[Rule]) -> Result<Vec<usize>> {
    let find = |name: &str| columns.iter().position(|column| column.name == name);
    let known = || {
        let names: Vec<&str> = columns.iter().map(|column| &*column.name).collect();
        format!("the table has {}", names.join(", "))
    };
    let mut places: Vec<usize> = Vec::new();
    for Rule { column, kind, .. } in rules {
        let Some(place) = find(column) else {
            return Err(wrong(table, column, "there is no such column").hint(known()));
        };
        let looks_at = kind.looks_at();
        if let Some(name) = looks_at.iter().find(|name| find(name).is_none()) {
            let kind = kind.name();
            let why = format!("{kind} looks at {name}, which the table does not have");
            return Err(wrong(table, column, &why).hint(known()));
        }
        if let Fit::Not { why, instead } = kind.fit(&columns[place]) {
            let why = format!("{} {why}", kind.name());
            return Err(wrong(table, column, &why).hint(instead));
        }
        if !places.contains(&place) {
            places.push(place);
        }
    }
    Ok(places)
}

impl RowMask {
    /// `columns` are those that rows have, in their order. Errors name the table and the column.
    pub fn compile(table: &str, columns: &[Column], rules: &[Rule], key: &Key) -> Result<Self> {
        let find = |name: &str| columns.iter().position(|column| column.name == name);
        let places = fitting(table, columns, rules)?;
        let places = in_order(&places, columns, rules).map_err(|column| {
            let why = "its mask needs its own masked value, by way of others";
            wrong(table, &column, why)
        })?;
        let mut steps = Vec::new();
        for place in places {
            let column = &columns[place];
            let site = Site {
                key,
                column,
                place: &|name| find(name).expect("looked for before"),
            };
            let mut choices = Vec::new();
            for rule in rules.iter().filter(|rule| rule.column == column.name) {
                let mask = rule.kind.compile(&site).map_err(|error| {
                    error.within(format!("table {table}, column {}", column.name))
                })?;
                choices.push(Choice {
                    condition: rule.condition,
                    is_for_all: rule.kind.is_for_all(),
                    keeps_parts: rule.kind.keeps_parts(),
                    mask,
                });
            }
            let at_once = choices.iter().map(|choice: &Choice| choice.mask.at_once());
            steps.push(Step {
                place,
                at_once: at_once.max().unwrap_or(1),
                column: column.clone(),
                choices,
            });
        }
        let looked_at = rules.iter().flat_map(|rule| rule.kind.looks_at());
        let mut needed: Vec<usize> = looked_at.filter_map(|name| find(&name)).collect();
        needed.extend(steps.iter().map(|step| step.place));
        needed.sort_unstable();
        needed.dedup();
        Ok(Self {
            table: table.to_owned(),
            steps,
            needed,
        })
    }

    /// Places of the columns whose values it looks at.
    pub fn needed(&self) -> &[usize] {
        &self.needed
    }

    /// Places of the columns that it masks.
    pub fn masked(&self) -> impl Iterator<Item = usize> + '_ {
        self.steps.iter().map(|step| step.place)
    }

    /// Masks a row. An error names the table and the column, and never the value.
    pub fn apply(&self, row: &dyn Row, scratch: &mut Scratch) -> Result<()> {
        scratch.prepare(self);
        for at in 0..self.steps.len() {
            let step = &self.steps[at];
            let (done, rest) = scratch.cells.split_at_mut(at);
            let given = Given::new(row, done);
            let applied = step.apply(&given, &mut rest[0]);
            applied.map_err(|refused| self.refusal(step, refused))?;
        }
        Ok(())
    }

    /// How many rows it had best be given at once.
    pub fn at_once(&self) -> usize {
        let steps = self.steps.iter().map(|step| step.at_once);
        steps.max().unwrap_or(1)
    }

    /// Masks several rows, each with a scratch of its own. The same comes out as one by one.
    pub fn apply_all<R: Row>(&self, rows: &[R], scratches: &mut [Scratch]) -> Result<()> {
        if let ([row], [scratch]) = (rows, &mut *scratches) {
            return self.apply(row, scratch);
        }
        for scratch in &mut *scratches {
            scratch.prepare(self);
        }
        for (at, step) in self.steps.iter().enumerate() {
            let applied = if step.at_once > 1 {
                step.apply_all(at, rows, scratches)
            } else {
                let mut pairs = rows.iter().zip(&mut *scratches);
                pairs.try_for_each(|(row, scratch)| {
                    let (done, rest) = scratch.cells.split_at_mut(at);
                    step.apply(&Given::new(row, done), &mut rest[0])
                })
            };
            applied.map_err(|refused| self.refusal(step, refused))?;
        }
        Ok(())
    }

    fn refusal(&self, step: &Step, Refused(why): Refused) -> Error {
        let what = format!(
            "table {}, column {}: a value {why}",
            self.table, step.column.name
        );
        Error::new(Cause::Verify, what).hint("give the column a kind that takes such values")
    }
}

/// Columns in an order in which those stand first whose masked values others need. The name of one that needs itself, if
/// there is no such order.
fn in_order(places: &[usize], columns: &[Column], rules: &[Rule]) -> Result<Vec<usize>, String> {
    let needs = |place: usize| {
        let name = &columns[place].name;
        let of = rules.iter().filter(move |rule| rule.column == *name);
        of.flat_map(|rule| rule.kind.needs())
            .filter_map(|need| match need {
                Need::Masked(name) => columns.iter().position(|column| column.name == name),
                Need::Raw(_) => None,
            })
    };
    let mut ordered: Vec<usize> = Vec::new();
    let mut left = places.to_vec();
    while !left.is_empty() {
        let is_free = |place: &usize| needs(*place).all(|other| !left.contains(&other));
        let Some(at) = left.iter().position(is_free) else {
            return Err(columns[left[0]].name.clone());
        };
        ordered.push(left.remove(at));
    }
    Ok(ordered)
}

impl Step {
    /// The place of the choice for a row, and the value; none if the value stays.
    fn begin<'a>(&self, given: &Given<'a>, cell: &mut Cell) -> Option<(usize, Value<'a>)> {
        cell.place = self.place;
        let holds = |choice: &Choice| {
            let condition = choice.condition;
            condition.is_none_or(|condition| given.holds(condition))
        };
        let at = self.choices.iter().position(holds)?;
        let met = given.raw(self.place);
        cell.encoding = match met {
            Value::Text(_, encoding) => encoding,
            _ => Encoding::Utf8,
        };
        let stays = (met.is_null() || met.is_empty()) && !self.choices[at].is_for_all;
        (!stays).then_some((at, met))
    }

    /// The values of several rows, those of each choice together.
    fn apply_all<R: Row>(
        &self,
        at: usize,
        rows: &[R],
        scratches: &mut [Scratch],
    ) -> Result<(), Refused> {
        for (number, choice) in self.choices.iter().enumerate() {
            let mut tasks = Vec::with_capacity(rows.len());
            for (row, scratch) in rows.iter().zip(&mut *scratches) {
                let (done, rest) = scratch.cells.split_at_mut(at);
                let (given, cell) = (Given::new(row, done), &mut rest[0]);
                match self.begin(&given, cell) {
                    Some((chosen, _)) if chosen != number => {}
                    // What has to be converted is masked by itself.
                    Some((_, Value::Text(bytes, Encoding::Latin1))) if !bytes.is_ascii() => {
                        self.apply(&given, cell)?;
                    }
                    Some((_, value)) => tasks.push(Task { value, given, cell }),
                    None => {}
                }
            }
            choice.mask.mask_all(&mut tasks)?;
            for task in tasks {
                if task.cell.made == Some(Masked::Text) {
                    self.finish(task.cell, choice.keeps_parts);
                }
            }
        }
        Ok(())
    }

    fn apply(&self, given: &Given<'_>, cell: &mut Cell) -> Result<(), Refused> {
        let Some((at, met)) = self.begin(given, cell) else {
            return Ok(());
        };
        let choice = &self.choices[at];
        let converted;
        let met = match met {
            Value::Text(bytes, Encoding::Latin1) => {
                converted = value::as_utf8(bytes, Encoding::Latin1);
                Value::Text(&converted, Encoding::Utf8)
            }
            other => other,
        };
        let made = choice.mask.mask(met, given, &mut cell.buffer)?;
        if made == Masked::Text {
            self.finish(cell, choice.keeps_parts);
        }
        cell.made = Some(made);
        Ok(())
    }

    /// Makes a text one that the column can hold.
    fn finish(&self, cell: &mut Cell, keeps_parts: bool) {
        if let Type::Text {
            longest,
            repertoire,
        } = self.column.kind
        {
            let buffer = &mut cell.buffer;
            // Where nobody knows the encoding, what came from there goes there again.
            let is_known = cell.encoding != Encoding::Unknown || !keeps_parts;
            if repertoire != Repertoire::Unicode && is_known && !buffer.is_ascii() {
                let is_strange = |c| !repertoire.has(c);
                if std::str::from_utf8(buffer).is_ok_and(|text| text.contains(is_strange)) {
                    let mut plain = String::with_capacity(buffer.len());
                    for c in value::characters(buffer) {
                        if repertoire.has(c) {
                            plain.push(c);
                        } else {
                            plain.push_str(deunicode::deunicode_char(c).unwrap_or("?"));
                        }
                    }
                    *buffer = plain.into_bytes();
                }
            }
            if let Some(longest) = longest {
                value::cut(buffer, longest as usize, cell.encoding);
            }
        }
        if cell.encoding == Encoding::Latin1 {
            value::to_latin1(&mut cell.buffer);
        }
    }
}

/// What replaces the values of one row, and room for the next row's.
#[derive(Default)]
pub struct Scratch {
    cells: Vec<Cell>,
}

impl Scratch {
    fn prepare(&mut self, mask: &RowMask) {
        self.cells.resize_with(mask.steps.len(), Cell::default);
        for cell in &mut self.cells {
            cell.buffer.clear();
            cell.buffer.shrink_to(KEPT);
            cell.made = None;
        }
    }

    /// What replaces the value of each masked column: its place, and what becomes of it.
    pub fn replacements(&self) -> impl Iterator<Item = (usize, Replacement<'_>)> {
        self.cells
            .iter()
            .map(|cell| (cell.place, cell.replacement()))
    }

    /// Bytes that its buffers have room for.
    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        self.cells.iter().map(|cell| cell.buffer.capacity()).sum()
    }

    /// What replaces the value of one column.
    pub fn of(&self, place: usize) -> Replacement<'_> {
        let cell = self.cells.iter().find(|cell| cell.place == place);
        cell.map_or(Replacement::Keep, Cell::replacement)
    }
}
