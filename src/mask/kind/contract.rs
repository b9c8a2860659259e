//! What every kind is made of: what is said of it, what it was told, and what it does.

use std::fmt;

use crate::error::Result;
use crate::mask::column::{Column, Fit, Uniqueness};
use crate::mask::key::Key;
use crate::mask::row::{Cell, Given};
use crate::mask::value::{Masked, Value};

/// What the documentation says of a kind.
pub struct About {
    /// Its name.
    pub name: &'static str,
    /// What it makes, in a sentence.
    pub what: &'static str,
    /// Its options: name, what is allowed, what it does.
    pub options: &'static [(&'static str, &'static str, &'static str)],
    /// Examples: as it is written in a job's file, and a value.
    pub examples: &'static [(&'static str, &'static str)],
    /// What else there is to know.
    pub note: &'static str,
}

/// Why a value stops the run: the end of a sentence, without the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mask) struct Refused(pub(in crate::mask) &'static str);

/// Another column of the row that a kind needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::mask) enum Need {
    /// As the source has it.
    Raw(String),
    /// As its own mask leaves it.
    Masked(String),
}

/// What a kind was told, before there is a key or a column.
pub(in crate::mask) trait Options: fmt::Debug + Send + Sync {
    /// Whether the options' values make sense together; the end of a sentence if not.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// Whether what it makes can stand in a column.
    fn fit(&self, column: &Column) -> Fit;

    /// Whether two values stay two in it.
    fn uniqueness(&self, column: &Column) -> Uniqueness;

    /// Whether who has the key can have the values back.
    fn is_reversible(&self) -> bool {
        false
    }

    /// Whether NULL and empty values are replaced, too.
    fn is_for_all(&self) -> bool {
        false
    }

    /// Whether a column is masked by it, for those who require masks. What changes parts of a value and leaves the rest does not
    /// count.
    fn is_cover(&self) -> bool {
        true
    }

    /// Whether its texts have parts of the value in them, or of other columns, in whatever encoding those are.
    fn keeps_parts(&self) -> bool {
        false
    }

    /// Which other columns it looks at.
    fn needs(&self) -> Vec<Need> {
        Vec::new()
    }

    /// What does it.
    fn compile(&self, site: &Site<'_>) -> Result<Box<dyn Mask>>;
}

/// Where a kind is put to use.
pub(in crate::mask) struct Site<'a> {
    pub(in crate::mask) key: &'a Key,
    pub(in crate::mask) column: &'a Column,
    /// The place of a column in the row, by its name. All that the kind needs are there.
    pub(in crate::mask) place: &'a dyn Fn(&str) -> usize,
}

/// A kind at work in a column.
pub(in crate::mask) trait Mask: Send + Sync {
    /// Puts what stands for a value into `out`, which is empty. Neither NULL nor an empty text comes here, unless the kind is
    /// for all. Texts are written in UTF-8, as long as they get, of all characters: who calls cuts and converts.
    fn mask(
        &self,
        value: Value<'_>,
        given: &Given<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Masked, Refused>;

    /// How many values it had best be given at once: it takes them in a fraction of the time then.
    fn at_once(&self) -> usize {
        1
    }

    /// The same for values of several rows.
    fn mask_all(&self, tasks: &mut [Task<'_>]) -> Result<(), Refused> {
        for task in tasks {
            task.cell.made = Some(self.mask(task.value, &task.given, &mut task.cell.buffer)?);
        }
        Ok(())
    }
}

/// A value of a row, and where what stands for it is put.
pub(in crate::mask) struct Task<'a> {
    pub(in crate::mask) value: Value<'a>,
    pub(in crate::mask) given: Given<'a>,
    pub(in crate::mask) cell: &'a mut Cell,
}
