//! Rows as masks meet them, and what kinds can see of one beside their own value.

use super::value::{Encoding, Masked, Replacement, Value};

/// A row that is being masked.
pub trait Row {
    /// The value of a column, by its place among those that [`RowMask::compile`] was given.
    fn value(&self, column: usize) -> Value<'_>;

    /// Whether a condition (a rule's `where`) holds for it.
    fn holds(&self, _condition: usize) -> bool {
        true
    }

    /// Its number in the table, from 1: what `{row}` in a template stands for.
    fn number(&self) -> u64 {
        0
    }
}

/// What replaces one value.
#[derive(Default)]
pub(super) struct Cell {
    pub(super) place: usize,
    pub(super) made: Option<Masked>,
    pub(super) encoding: Encoding,
    pub(super) buffer: Vec<u8>,
}

impl Cell {
    pub(super) fn replacement(&self) -> Replacement<'_> {
        self.made.map_or(Replacement::Keep, |made| {
            Replacement::With(match made {
                Masked::Null => Value::Null,
                Masked::Text => Value::Text(&self.buffer, self.encoding),
                Masked::Bytes => Value::Bytes(&self.buffer),
                Masked::Integer(number) => Value::Integer(number),
                Masked::Real(number) => Value::Real(number),
                Masked::Boolean(truth) => Value::Boolean(truth),
            })
        })
    }
}

/// What a kind can see beside its value: the row, and what has been masked of it.
pub(super) struct Given<'a> {
    row: &'a dyn Row,
    done: &'a [Cell],
}

impl<'a> Given<'a> {
    /// `done`: what has been masked of the row.
    pub(super) fn new(row: &'a dyn Row, done: &'a [Cell]) -> Self {
        Self { row, done }
    }

    /// Whether a condition holds for the row.
    pub(super) fn holds(&self, condition: usize) -> bool {
        self.row.holds(condition)
    }

    /// Another column's value as the source has it.
    pub(super) fn raw(&self, place: usize) -> Value<'a> {
        self.row.value(place)
    }

    /// Another column's value as the target will have it.
    pub(super) fn masked(&self, place: usize) -> Value<'a> {
        let cell = self.done.iter().find(|cell| cell.place == place);
        match cell.map_or(Replacement::Keep, Cell::replacement) {
            Replacement::Keep => self.row.value(place),
            Replacement::With(value) => value,
        }
    }

    /// The row's number.
    pub(super) fn number(&self) -> u64 {
        self.row.number()
    }
}
