//! Decides what of live is preserved, and refuses what cannot be.

use super::Preserved;
use super::rows::Rows;
use crate::error::{Error, Kind, Result};
use crate::store::sqlite::schema::definitions::Definitions;
use crate::store::sqlite::schema::modules::{Content, Module};
use crate::store::sqlite::schema::objects::{Object, Table};
use crate::store::sqlite::schema::tokens::tokens;
use crate::store::{Fate, Selection};

impl Preserved {
    /// Decides what stays. A column that the source lacks is an error, since its values would be lost.
    pub(in crate::store::sqlite) fn plan(
        source: &Definitions,
        live: &Definitions,
        selection: &Selection,
    ) -> Result<Self> {
        let planning = Planning {
            source,
            live,
            selection,
        };
        let mut preserved = Self::none();
        for table in live.tables.iter().filter(|table| table.is_virtual) {
            planning.virtual_table(table, &mut preserved)?;
        }
        for table in live.tables.iter().filter(|table| !table.is_virtual) {
            planning.table(table, &mut preserved)?;
        }
        for kind in ["view", "index", "trigger"] {
            for object in live.others.iter().filter(|object| object.kind == kind) {
                planning.object(object, &mut preserved)?;
            }
        }
        planning.is_text(&preserved)?;
        Ok(preserved)
    }
}

struct Planning<'a> {
    source: &'a Definitions,
    live: &'a Definitions,
    selection: &'a Selection,
}

impl Planning<'_> {
    /// The source's table of that name, if it arrives.
    fn arriving(&self, name: &str) -> Option<&Table> {
        self.source
            .any_case(name)
            .filter(|table| table.fate != Fate::Exclude)
    }

    /// The source's object of this name. Tables, views and indexes share their names, triggers have their own.
    fn named(&self, kind: &str, name: &str) -> Option<&str> {
        let is_trigger = kind == "trigger";
        let other = self.source.others.iter().find(|object| {
            (object.kind == "trigger") == is_trigger
                && object.name.eq_ignore_ascii_case(name)
                && self.source.comes_along(object)
        });
        match other {
            Some(object) => Some(&object.kind),
            None if is_trigger => None,
            None => self.arriving(name).map(|_| "table"),
        }
    }

    /// Refuses something of live whose name the source gives to something else.
    fn free(&self, kind: &str, name: &str) -> Result<()> {
        match self.named(kind, name) {
            None => Ok(()),
            Some(other) => Err(Error::new(
                Kind::Verify,
                format!(
                    "{kind} `{name}` of the target cannot be kept: the name is that of the source's {other}"
                ),
            )
            .hint("rename or drop one of them")),
        }
    }

    fn virtual_table(&self, table: &Table, preserved: &mut Preserved) -> Result<()> {
        match self.arriving(&table.name) {
            Some(theirs) if theirs.fate == Fate::Keep => {
                if !theirs.is_virtual {
                    return Err(one_sided(table));
                }
                if !is_same(&theirs.sql, &table.sql) {
                    preserved.replaced.push(theirs.name.clone());
                    preserved.tables.push(table.clone());
                }
            }
            None if self.stays(table) => {
                self.free("table", &table.name)?;
                let module = Module::of(&table.sql);
                let is_of_others = match &module.content {
                    Content::Of(content) if module.is_search() => {
                        self.live.any_case(content).is_none() || self.arriving(content).is_some()
                    }
                    _ => false,
                };
                if is_of_others {
                    preserved.renewed.push(table.clone());
                } else {
                    preserved.tables.push(table.clone());
                }
            }
            Some(_) | None => {}
        }
        Ok(())
    }

    fn stays(&self, table: &Table) -> bool {
        self.selection.overlay || table.fate == Fate::Keep
    }

    fn table(&self, table: &Table, preserved: &mut Preserved) -> Result<()> {
        let is_of = |owners: &[Table]| {
            owners
                .iter()
                .any(|owner| table.shadow_of.as_ref() == Some(&owner.name))
        };
        if is_of(&preserved.renewed) {
            return Ok(());
        }
        if table.shadow_of.is_some() && is_of(&preserved.tables) {
            preserved.tables.push(table.clone());
            return Ok(());
        }
        match self.arriving(&table.name) {
            Some(theirs) if theirs.fate == Fate::Keep => {
                if theirs.is_virtual {
                    return Err(one_sided(table));
                }
                let has = |column: &String| {
                    theirs
                        .columns
                        .iter()
                        .any(|other| other.eq_ignore_ascii_case(column))
                };
                if let Some(column) = table.columns.iter().find(|column| !has(column)) {
                    return Err(Error::new(
                        Kind::Verify,
                        format!(
                            "`{}` cannot be kept: the source's table has no column `{column}`",
                            table.name
                        ),
                    )
                    .hint("add the column to the source, drop it from the target, or do not keep the table"));
                }
                preserved.rows.push(Rows {
                    ours: table.clone(),
                    theirs: theirs.clone(),
                    is_own: false,
                });
            }
            None if self.stays(table) => {
                self.free("table", &table.name)?;
                preserved.tables.push(table.clone());
            }
            Some(_) | None => {}
        }
        Ok(())
    }

    fn object(&self, object: &Object, preserved: &mut Preserved) -> Result<()> {
        let is_view = object.kind == "view";
        let hangs_on = |name: &str| object.table.eq_ignore_ascii_case(name);
        let is_ours = if is_view {
            self.selection.fate(None, &object.name) == Fate::Keep
        } else {
            preserved
                .tables
                .iter()
                .chain(&preserved.renewed)
                .any(|table| hangs_on(&table.name))
                || preserved
                    .others
                    .iter()
                    .any(|view| view.kind == "view" && hangs_on(&view.name))
        };
        let on_theirs = !is_view
            && (self.arriving(&object.table).is_some()
                || self.named("view", &object.table) == Some("view"));
        let is_wanted = is_ours || (self.selection.overlay && (is_view || on_theirs));
        if !is_wanted {
            return Ok(());
        }
        // What both have is the source's.
        let is_both = self.named(&object.kind, &object.name) == Some(&object.kind);
        if is_both && (is_view || !is_ours) {
            return Ok(());
        }
        self.free(&object.kind, &object.name)?;
        preserved.others.push(object.clone());
        Ok(())
    }

    fn is_text(&self, preserved: &Preserved) -> Result<()> {
        let own = preserved.rows.iter().map(|rows| &rows.ours);
        let mut names = preserved
            .tables
            .iter()
            .chain(&preserved.renewed)
            .chain(own)
            .map(|table| format!("table `{}`", table.name))
            .chain(
                preserved
                    .others
                    .iter()
                    .map(|object| format!("{} `{}`", object.kind, object.name)),
            );
        let found = names.find_map(|name| {
            let flaw = self.live.flawed.iter().find(|(object, _)| *object == name);
            let why = match flaw {
                Some((_, flaw)) => flaw,
                None if self.live.not_utf8.contains(&name) => "is not valid UTF-8",
                None => return None,
            };
            Some((name, why))
        });
        match found {
            None => Ok(()),
            Some((object, why)) => Err(Error::new(
                Kind::Verify,
                format!("{object} of the target cannot be kept: its definition {why}"),
            )
            .hint("define it anew")),
        }
    }
}

fn one_sided(table: &Table) -> Error {
    Error::new(
        Kind::Verify,
        format!(
            "`{}` cannot be kept: it is a virtual table on one side only",
            table.name
        ),
    )
    .hint("rename one of them, or do not keep it")
}

/// Whether two definitions of a virtual table are made of the same words.
fn is_same(one: &str, other: &str) -> bool {
    let words = |sql: &str| {
        let tokens = tokens(sql);
        let from = tokens.iter().position(|token| token.is("using"));
        tokens[from.unwrap_or(0)..].to_vec()
    };
    words(one) == words(other)
}
