//! Shapes: tables as masks have to know them.

use std::collections::HashMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::part::Part;
use crate::error::Result;
use crate::mask;

/// A source that knows the shapes of its tables.
#[async_trait]
pub trait Shapes: Send + Sync {
    /// The shapes of surveyed tables, in their order. Asked only if the selection says so beforehand
    /// ([`super::Selection::describes_columns`]).
    async fn shapes(&self, parts: &[Part]) -> Result<Vec<Shape>>;

    /// What asks for some of its rows; `None`: it has no language in which that could be said.
    fn conditions(&self) -> Option<&dyn Conditions>;
}

/// A source that evaluates conditions on rows, which are expressions in its own language.
#[async_trait]
pub trait Conditions: Send + Sync {
    /// A name as the language has it.
    fn quoted(&self, name: &str) -> String;

    /// Has the server read a condition on a table's rows, and no row. What is wrong with it is [`crate::error::Kind::Config`].
    async fn check(&self, part: &Part, condition: &str) -> Result<()>;

    /// Whether it is true for any of a table's rows, at the source's point in time.
    async fn is_true_for_any(&self, part: &Part, condition: &str) -> Result<bool>;
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Its own name, schema first, and those of the tables that it is a part of.
    pub names: Vec<(Option<String>, String)>,
    /// The numbers of its masks, in their order: those of the task that reads it. The values of their conditions stand in front of a row's own.
    #[serde(skip)]
    pub masks: Vec<usize>,
    /// The columns that are copied, as the part has them.
    pub columns: Vec<ShapeColumn>,
    /// What has to stay unique: indexes, keys, exclusion constraints.
    pub unique: Vec<Unique>,
    /// Its foreign keys.
    pub references: Vec<Reference>,
    /// What its rows have to satisfy: CHECKs, those of its columns' domains included.
    #[serde(default)]
    pub checks: Vec<Check>,
    /// Columns by which rows are in it and in no other partition of the same table.
    #[serde(default)]
    pub partitioned_by: Vec<String>,
    /// Why none of its columns can be masked, if that is so.
    pub unmaskable: Option<String>,
}

/// A column that is copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShapeColumn {
    /// As masks know it.
    pub column: mask::Column,
    /// How its values look to the part's codec.
    pub form: Form,
    /// The type as the store calls it.
    pub type_name: String,
    /// Whether its values were masked, all of them, before they came to where they are read.
    #[serde(skip)]
    pub is_masked: bool,
}

/// How a column's values look to a codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Form {
    /// As text in this encoding, numbers and dates included; truth is written like this.
    Text(mask::Encoding, Truth),
    /// As text that is filled up with blanks to the column's length, which are no part of the value.
    Padded(mask::Encoding),
    /// Bytes as `\\x` and hexadecimal digits.
    Hex,
    /// Bytes as they are.
    Bytes,
    /// Bytes as they are, which are filled up with zeros.
    PaddedBytes,
    /// Each value has a type of its own.
    Typed,
    /// The number that the store gives a row by itself: nothing is put in its place, and it tells nothing.
    RowNumber,
    /// In a form that nothing but NULL can be put in the place of.
    Opaque,
}

/// How a store writes truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Truth {
    /// `t` and `f`.
    Letters,
    /// `1` and `0`.
    Digits,
}

impl Truth {
    /// Yes, and no.
    pub fn words(self) -> [&'static str; 2] {
        match self {
            Self::Letters => ["t", "f"],
            Self::Digits => ["1", "0"],
        }
    }
}

/// What has to stay unique in a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unique {
    /// The index's or the constraint's name.
    pub name: String,
    /// Columns that are in it, or that expressions in it need.
    pub columns: Vec<String>,
    /// Whether there is one NULL at the most.
    pub is_one_null: bool,
}

/// What rows have to satisfy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its name, or what else tells it from others.
    pub name: String,
    /// Columns that it looks at.
    pub columns: Vec<String>,
}

/// A foreign key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// Its name.
    pub name: String,
    /// Its columns.
    pub columns: Vec<String>,
    /// The table that it refers to: schema and name.
    pub table: (Option<String>, String),
    /// The columns there, in the order of its own.
    pub referenced: Vec<String>,
    /// The number of the condition for the rows that it holds for, as masks have them; `None`: all.
    #[serde(skip)]
    pub condition: Option<usize>,
}

/// The places of shapes by each of their names.
pub fn by_name<'a>(
    shapes: impl Iterator<Item = &'a Shape>,
) -> HashMap<&'a (Option<String>, String), Vec<usize>> {
    let mut places: HashMap<_, Vec<usize>> = HashMap::new();
    for (place, shape) in shapes.enumerate() {
        for name in &shape.names {
            places.entry(name).or_default().push(place);
        }
    }
    places
}

impl Shape {
    /// Of what has no columns, with the reason.
    pub fn without_columns(part: &Part, why: &str) -> Self {
        Self {
            names: vec![(part.schema.clone(), part.name.clone())],
            masks: Vec::new(),
            columns: Vec::new(),
            unique: Vec::new(),
            references: Vec::new(),
            checks: Vec::new(),
            partitioned_by: Vec::new(),
            unmaskable: Some(why.to_owned()),
        }
    }

    /// `schema.table`, or the name alone; for people.
    pub fn label(&self) -> String {
        match self.names.first() {
            Some((Some(schema), name)) => format!("{schema}.{name}"),
            Some((None, name)) => name.clone(),
            None => String::new(),
        }
    }

    /// A column by its name.
    pub fn column(&self, name: &str) -> Option<&ShapeColumn> {
        self.columns.iter().find(|one| one.column.name == name)
    }
}
