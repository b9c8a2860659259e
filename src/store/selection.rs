//! Which tables a task copies, and how: globs over `[schema.]table`. Pure.

use glob::{MatchOptions, Pattern};
use serde::{Deserialize, Serialize};

use crate::config::job::{Mode, Task};

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
    pub fn new(key: &str, globs: &[String], ignores_case: bool) -> crate::error::Result<Self> {
        let compile = |text: &String| {
            let pattern = check_glob(text).map_err(|why| {
                crate::error::Error::new(crate::error::Kind::Config, format!("`{key}`: {why}"))
            })?;
            Ok(Glob {
                text: text.clone(),
                pattern,
                ignores_case,
            })
        };
        globs
            .iter()
            .map(compile)
            .collect::<crate::error::Result<_>>()
            .map(Self)
    }

    /// Whether one of them is for a name, which may have a schema in front.
    pub fn are_for(&self, schema: Option<&str>, name: &str) -> bool {
        self.0.iter().any(|glob| glob.matches(schema, name))
    }
}

/// The tables that a mask is for.
#[derive(Debug, Clone)]
struct Masked {
    tables: Vec<Glob>,
    condition: Option<String>,
}

/// The globs of one task.
#[derive(Debug, Clone)]
pub struct Selection {
    exclude: Vec<Glob>,
    schema_only: Vec<Glob>,
    keep: Vec<Glob>,
    leave_out: Vec<Glob>,
    masks: Vec<Masked>,
    /// Whether columns have to be known as masks know them: some are masked, or all have to be decided on.
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
            describes_columns: false,
            overlay: false,
        }
    }

    /// The selection of a task; its globs were found well-formed by validation, and one that is not is an error here.
    /// `ignores_case`: whether the store's names are the same whatever their case.
    pub fn of(task: &Task, ignores_case: bool) -> crate::error::Result<Self> {
        let compile =
            |key: &str, globs: &[String]| Globs::new(key, globs, ignores_case).map(|globs| globs.0);
        let masks: crate::error::Result<Vec<Masked>> = task
            .masks
            .iter()
            .map(|rule| {
                Ok(Masked {
                    tables: compile("mask", &rule.tables)?,
                    condition: rule.condition.clone(),
                })
            })
            .collect();
        Ok(Self {
            exclude: compile("exclude", &task.exclude)?,
            schema_only: compile("schema_only", &task.schema_only)?,
            keep: compile("keep", &task.keep)?,
            leave_out: compile("leave_out", &task.leave_out)?,
            masks: masks?,
            describes_columns: !task.masks.is_empty(),
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
    }

    /// Whether anything is masked.
    pub fn masks(&self) -> bool {
        !self.masks.is_empty()
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

    /// The same of a table in a store without schemas.
    pub fn masks_of_table(&self, name: &str) -> Vec<usize> {
        self.masks_of([(None, name)].into_iter())
    }

    /// Whether a table in a store without schemas is masked.
    pub fn is_masked(&self, name: &str) -> bool {
        !self.masks_of_table(name).is_empty()
    }

    /// The conditions of masks, in their order: in the source's own language, each true for the rows that the mask is for.
    pub fn conditions<'a>(&'a self, masks: &'a [usize]) -> impl Iterator<Item = &'a str> {
        masks
            .iter()
            .filter_map(|number| self.masks.get(*number)?.condition.as_deref())
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
pub fn check_glob(text: &str) -> Result<Pattern, String> {
    if text.is_empty() {
        return Err("an empty glob matches nothing".to_owned());
    }
    Pattern::new(text).map_err(|error| format!("`{text}` is not a glob: {error}"))
}
