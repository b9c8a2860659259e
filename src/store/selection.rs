//! Which tables a task copies, and how: globs over `[schema.]table`. Pure.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use glob::{MatchOptions, Pattern};
use serde::{Deserialize, Serialize};

use super::shape::{self, Reference, Shape};
use crate::config::job::{Mode, Task, Unlisted};
use crate::error::{Error, Kind, Result};

/// What happens to one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// Structure and rows come from the source.
    Copy,
    /// It does not reach the target.
    Exclude,
    /// Its structure comes from the source, its rows do not.
    SchemaOnly,
    /// The target's own rows survive.
    Keep,
}

/// Names are compared whole, and as they are written unless the store's names have no case.
fn whole(ignores_case: bool) -> MatchOptions {
    MatchOptions {
        case_sensitive: !ignores_case,
        require_literal_separator: false,
        require_literal_leading_dot: false,
    }
}

/// One glob; a pattern with a dot is held against `schema.table`, one without against the table's name alone.
#[derive(Debug, Clone)]
struct Glob {
    text: String,
    pattern: Pattern,
    ignores_case: bool,
}

impl Glob {
    fn matches(&self, schema: Option<&str>, table: &str) -> bool {
        if self.is_name(table) && (!self.text.contains('.') || schema.is_none()) {
            return true;
        }
        schema.is_some_and(|schema| {
            self.text.contains('.') && self.is_name(&format!("{schema}.{table}"))
        })
    }

    fn is_name(&self, name: &str) -> bool {
        self.pattern.matches_with(name, whole(self.ignores_case))
    }
}

/// Globs that a name has to match one of.
#[derive(Debug, Clone)]
pub struct Globs(Vec<Glob>);

impl Globs {
    /// The globs of this key. They were found well-formed by validation, and one that is not is an error here.
    pub fn new(key: &str, globs: &[String], ignores_case: bool) -> Result<Self> {
        let compile = |text: &String| {
            let pattern = check_glob(text)
                .map_err(|why| Error::new(Kind::Config, format!("`{key}`: {why}")))?;
            Ok(Glob {
                text: text.clone(),
                pattern,
                ignores_case,
            })
        };
        globs.iter().map(compile).collect::<Result<_>>().map(Self)
    }

    /// Whether one of them is for a name, which may have a schema in front.
    pub fn are_for(&self, schema: Option<&str>, name: &str) -> bool {
        self.0.iter().any(|glob| glob.matches(schema, name))
    }
}

/// The tables that a mask is for. References that hold for some rows follow the task's masks: what they refer to may be masked.
#[derive(Debug, Clone)]
struct Masked {
    tables: Vec<Glob>,
    columns: Vec<String>,
    condition: Option<String>,
}

/// The tables of which only some rows are copied.
#[derive(Debug, Clone)]
struct Restricted {
    tables: Vec<Glob>,
    condition: String,
    cascade: bool,
}

/// A reference that the schema does not know.
#[derive(Debug, Clone)]
struct Known {
    /// For people.
    name: String,
    tables: Vec<Glob>,
    columns: Vec<String>,
    references: Glob,
    referenced: Vec<String>,
    /// The number of its condition among the masks'.
    condition: Option<usize>,
}

/// A table's name, with its schema if it has one.
type Name = (Option<String>, String);

/// The globs of one task.
#[derive(Debug, Clone)]
pub struct Selection {
    exclude: Vec<Glob>,
    schema_only: Vec<Glob>,
    keep: Vec<Glob>,
    leave_out: Vec<Glob>,
    masks: Vec<Masked>,
    rows: Vec<Restricted>,
    known: Vec<Known>,
    /// Whether every column that nobody has decided on is masked.
    masks_unlisted: bool,
    /// Tables that are masked as others refer to them, or they to others; known once the source was surveyed.
    followed: OnceLock<BTreeSet<Name>>,
    /// Whether columns have to be known as masks know them: some are masked, or all have to be decided on; or whether references
    /// have to be known, as rows go by them.
    pub describes_columns: bool,
    /// Whether tables that only the target has stay.
    pub overlay: bool,
}

impl Selection {
    /// All tables, copied whole.
    pub fn everything() -> Self {
        Self {
            exclude: Vec::new(),
            schema_only: Vec::new(),
            keep: Vec::new(),
            leave_out: Vec::new(),
            masks: Vec::new(),
            rows: Vec::new(),
            known: Vec::new(),
            masks_unlisted: false,
            followed: OnceLock::new(),
            describes_columns: false,
            overlay: false,
        }
    }

    /// The selection of a task; its globs were found well-formed by validation, and one that is not is an error here.
    /// `ignores_case`: whether the store's names are the same whatever their case.
    pub fn of(task: &Task, ignores_case: bool) -> Result<Self> {
        let compile =
            |key: &str, globs: &[String]| Globs::new(key, globs, ignores_case).map(|globs| globs.0);
        let mut masks = Vec::with_capacity(task.masks.len());
        for rule in &task.masks {
            masks.push(Masked {
                tables: compile("mask", &rule.tables)?,
                columns: rule.columns.iter().map(|(name, _)| name.clone()).collect(),
                condition: rule.condition.clone(),
            });
        }
        let mut known = Vec::with_capacity(task.references.len());
        for (number, reference) in task.references.iter().enumerate() {
            let tables = compile("reference", &reference.tables)?;
            let references = vec![reference.references.clone()];
            known.push(Known {
                name: format!("reference {} of the task", number + 1),
                tables: tables.clone(),
                columns: reference.columns.clone(),
                references: compile("references", &references)?.remove(0),
                referenced: reference.referenced.clone(),
                condition: reference.condition.is_some().then_some(masks.len()),
            });
            if reference.condition.is_some() {
                masks.push(Masked {
                    tables,
                    columns: reference.columns.clone(),
                    condition: reference.condition.clone(),
                });
            }
        }
        let rows = task.rows.iter().map(|rule| {
            Ok(Restricted {
                tables: compile("rows", &rule.tables)?,
                condition: rule.condition.clone(),
                cascade: rule.cascade,
            })
        });
        let masks_unlisted = task.unlisted == Unlisted::Null;
        Ok(Self {
            exclude: compile("exclude", &task.exclude)?,
            schema_only: compile("schema_only", &task.schema_only)?,
            keep: compile("keep", &task.keep)?,
            leave_out: compile("leave_out", &task.leave_out)?,
            describes_columns: masks_unlisted || !masks.is_empty() || !task.rows.is_empty(),
            masks,
            rows: rows.collect::<Result<_>>()?,
            known,
            masks_unlisted,
            followed: OnceLock::new(),
            overlay: task.mode == Mode::Overlay,
        })
    }

    /// What happens to a table of the source. `keep` is stronger than `exclude`, and that than `schema_only`.
    pub fn fate(&self, schema: Option<&str>, table: &str) -> Fate {
        let any = |globs: &[Glob]| globs.iter().any(|glob| glob.matches(schema, table));
        if any(&self.keep) {
            Fate::Keep
        } else if any(&self.exclude) {
            Fate::Exclude
        } else if any(&self.schema_only) {
            Fate::SchemaOnly
        } else {
            Fate::Copy
        }
    }

    /// Whether a restriction on a table may be left out with what it needs: a policy, a CHECK, a trigger that guards.
    pub fn may_be_left_out(&self, schema: Option<&str>, table: &str, name: &str) -> bool {
        let short = format!("{table}.{name}");
        self.leave_out.iter().any(|glob| {
            glob.is_name(&short)
                || schema.is_some_and(|schema| glob.is_name(&format!("{schema}.{short}")))
        })
    }

    /// Whether every table is copied whole, as it is.
    pub fn is_everything(&self) -> bool {
        self.exclude.is_empty()
            && self.schema_only.is_empty()
            && self.keep.is_empty()
            && !self.masks()
            && self.rows.is_empty()
    }

    /// Whether every row of every table that is copied is copied, as it is.
    pub fn takes_rows_as_they_are(&self) -> bool {
        !self.masks() && self.rows.is_empty()
    }

    /// Whether anything is masked.
    pub fn masks(&self) -> bool {
        self.masks_unlisted || !self.masks.is_empty()
    }

    /// The masks that are for a table, by their numbers: it has several names where it is a part of another one.
    pub fn masks_of<'a>(
        &self,
        names: impl Iterator<Item = (Option<&'a str>, &'a str)> + Clone,
    ) -> Vec<usize> {
        let is_for = |mask: &Masked| {
            let mut globs = mask.tables.iter();
            globs.any(|glob| {
                names
                    .clone()
                    .any(|(schema, table)| glob.matches(schema, table))
            })
        };
        let all = self.masks.iter().enumerate();
        all.filter(|(_, mask)| is_for(mask))
            .map(|(number, _)| number)
            .collect()
    }

    /// Which masks are for a table in a store without schemas, by their numbers.
    pub fn masks_of_table(&self, name: &str) -> Vec<usize> {
        self.masks_of([(None, name)].into_iter())
    }

    /// Whether any of a table's rows may be masked. Asked once [`Self::follow`] was.
    pub fn is_masked(&self, schema: Option<&str>, name: &str) -> bool {
        self.masks_unlisted
            || !self.masks_of([(schema, name)].into_iter()).is_empty()
            || self.followed.get().is_some_and(|followed| {
                let mut names = followed.iter();
                names.any(|(of, followed)| of.as_deref() == schema && followed == name)
            })
    }

    /// Whether the rows of a table in a store without schemas may be others than the source's, or fewer.
    pub fn is_altered(&self, name: &str) -> bool {
        let mut rows = self.rows.iter();
        let is_for = |glob: &Glob| glob.matches(None, name);
        self.is_masked(None, name)
            || rows.any(|rule| rule.cascade || rule.tables.iter().any(is_for))
    }

    /// Takes the tables' references, along which masks go on. The columns of these shapes are not looked at.
    pub fn follow(&self, shapes: &[Shape]) {
        if self.masks.is_empty() {
            return;
        }
        let mut masked: BTreeSet<(usize, String)> = BTreeSet::new();
        for (at, shape) in shapes.iter().enumerate() {
            let rules = shape
                .masks
                .iter()
                .filter_map(|number| self.masks.get(*number));
            let columns = rules.flat_map(|rule| &rule.columns);
            masked.extend(columns.map(|column| (at, column.clone())));
        }
        let by_name = shape::by_name(shapes.iter());
        // What is wrong with the task's own is said when masks are put on tables.
        let known = |shape| self.known_references(shape, shapes).unwrap_or_default();
        let known: Vec<Vec<Reference>> = shapes.iter().map(known).collect();
        let mut found = 0;
        while found != masked.len() {
            found = masked.len();
            for (at, (shape, known)) in shapes.iter().zip(&known).enumerate() {
                for reference in shape.references.iter().chain(known) {
                    for other in by_name.get(&reference.table).into_iter().flatten().copied() {
                        let pairs = reference.columns.iter().zip(&reference.referenced);
                        for (from, to) in pairs {
                            if masked.contains(&(other, to.clone())) {
                                masked.insert((at, from.clone()));
                            }
                        }
                    }
                }
            }
        }
        let names = masked
            .iter()
            .filter_map(|(at, _)| shapes[*at].names.first());
        // A source that is surveyed again finds the same.
        let _ = self.followed.set(names.cloned().collect());
    }

    /// The references of a table that the task knows and the schema does not. One that is to no table that is copied, or to
    /// several, is an error.
    pub fn known_references(&self, shape: &Shape, shapes: &[Shape]) -> Result<Vec<Reference>> {
        let is_of = |globs: &[Glob]| {
            let mut names = shape.names.iter();
            names.any(|(schema, name)| {
                globs
                    .iter()
                    .any(|glob| glob.matches(schema.as_deref(), name))
            })
        };
        let mut found = Vec::new();
        for known in self.known.iter().filter(|known| is_of(&known.tables)) {
            let names = shapes.iter().flat_map(|shape| &shape.names);
            let referred: BTreeSet<&Name> = names
                .filter(|(schema, name)| known.references.matches(schema.as_deref(), name))
                .collect();
            let [table] = referred.into_iter().collect::<Vec<_>>()[..] else {
                let what = format!(
                    "`references` of a [[task.reference]]: {} is not the name of one table that is copied",
                    known.references.text
                );
                return Err(Error::new(Kind::Config, what)
                    .hint("write the table's name, with its schema if several have it"));
            };
            found.push(Reference {
                name: known.name.clone(),
                columns: known.columns.clone(),
                table: table.clone(),
                referenced: known.referenced.clone(),
                condition: known.condition,
            });
        }
        Ok(found)
    }

    /// The conditions on which a table's rows are copied, in the source's own language, each with whether those elsewhere
    /// follow that refer to rows that are not. It has several names where it is a part of another one.
    pub fn restrictions_of<'a>(
        &'a self,
        names: impl Iterator<Item = (Option<&'a str>, &'a str)> + Clone,
    ) -> Vec<(&'a str, bool)> {
        let rules = self.rows.iter().filter(|rule| {
            let mut globs = rule.tables.iter();
            globs.any(|glob| {
                names
                    .clone()
                    .any(|(schema, table)| glob.matches(schema, table))
            })
        });
        rules
            .map(|rule| (rule.condition.as_str(), rule.cascade))
            .collect()
    }

    /// The conditions of masks, in their order: in the source's own language, each true for the rows that the mask is for.
    pub fn conditions<'a>(&'a self, masks: &'a [usize]) -> impl Iterator<Item = &'a str> {
        masks.iter().filter_map(|number| self.condition(*number))
    }

    /// Whether rows are chosen by conditions.
    pub fn has_conditions(&self) -> bool {
        !self.rows.is_empty()
    }

    /// The condition of a mask, if it has one.
    pub fn condition(&self, number: usize) -> Option<&str> {
        self.masks.get(number)?.condition.as_deref()
    }

    /// Whether this one of the restrictions on rows is for a table.
    pub fn restricts(&self, number: usize, schema: Option<&str>, name: &str) -> bool {
        let rule = self.rows.get(number);
        rule.is_some_and(|rule| rule.tables.iter().any(|glob| glob.matches(schema, name)))
    }

    /// The globs that match none of these tables: most likely misspelt.
    pub fn unmatched<'a>(
        &self,
        tables: impl Iterator<Item = (Option<&'a str>, &'a str)> + Clone,
    ) -> Vec<String> {
        self.exclude
            .iter()
            .chain(&self.schema_only)
            .chain(&self.keep)
            .filter(|glob| {
                !tables
                    .clone()
                    .any(|(schema, table)| glob.matches(schema, table))
            })
            .map(|glob| glob.text.clone())
            .collect()
    }
}

/// Whether a glob is well-formed.
pub fn check_glob(text: &str) -> std::result::Result<Pattern, String> {
    if text.is_empty() {
        return Err("an empty glob matches nothing".to_owned());
    }
    Pattern::new(text).map_err(|error| format!("`{text}` is not a glob: {error}"))
}
