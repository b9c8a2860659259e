//! What a task's passes say of columns.

use crate::config::job::Task;
use crate::error::Result;
use crate::store::selection::Globs;
use crate::store::{self, Shape};

/// The passes of a task, ready for names.
pub(in crate::run) struct Passes<'a>(Vec<(Globs, Globs, &'a str)>);

impl<'a> Passes<'a> {
    pub(in crate::run) fn of(task: &'a Task) -> Result<Self> {
        let ignores_case = store::registry::driver(task.kind)?.ignores_case();
        let passes = task.passes.iter().map(|pass| {
            let tables = Globs::new("pass", &pass.tables, ignores_case)?;
            let columns = Globs::new("pass", &pass.columns, ignores_case)?;
            Ok((tables, columns, pass.reason.as_str()))
        });
        passes.collect::<Result<_>>().map(Self)
    }

    /// Why a column is passed; `None`: it is not.
    pub(in crate::run) fn reason(&self, shape: &Shape, column: &str) -> Option<&'a str> {
        let is_for = |(tables, columns, _): &&(Globs, Globs, &str)| {
            let mut names = shape.names.iter();
            names.any(|(schema, name)| tables.are_for(schema.as_deref(), name))
                && columns.are_for(None, column)
        };
        self.0.iter().find(is_for).map(|(_, _, reason)| *reason)
    }
}
