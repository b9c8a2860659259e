//! Requirements of objects. What needs something that is left out is left out as well, by name; what would tell of rows that are not copied is
//! emptied. Found by trying the definitions out, with what is left out and without.

use std::collections::BTreeSet;

use super::definitions::Definitions;
use super::foreign_keys;
use super::modules::{Content, Module};
use super::objects::{Object, Table};
use super::scratch::{Scratch, breaks, named};
use super::tokens::{Token, tokens};
use crate::error::{Error, Kind, Result};
use crate::store::sqlite::connection::errors::explain;
use crate::store::{Fate, Selection};

/// How many refusals an error names.
const NAMED: usize = 3;

/// Something that does not come along, or comes without its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store::sqlite) struct LeftOut {
    /// `view`, `trigger`, `virtual table`, `foreign key`.
    pub(in crate::store::sqlite) kind: &'static str,
    /// Its name; a foreign key's is its table's.
    pub(in crate::store::sqlite) name: String,
    pub(in crate::store::sqlite) why: Why,
}

/// Why it does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store::sqlite) enum Why {
    /// It needs this, which is left out.
    Requires(String),
    /// Its rows are of this table, whose rows are not copied, or are masked.
    Emptied(String),
    /// A search index that has no content, and nothing says what it is over.
    Unknown,
}

impl LeftOut {
    fn requiring(kind: &'static str, name: &str, required: String) -> Self {
        Self {
            kind,
            name: name.to_owned(),
            why: Why::Requires(required),
        }
    }

    /// Says it to the operator.
    pub(in crate::store::sqlite) fn tell(&self) {
        let (kind, name) = (self.kind, self.name.as_str());
        match &self.why {
            Why::Requires(required) => {
                tracing::warn!(
                    kind,
                    name,
                    required,
                    "is left out: it needs what is left out"
                );
            }
            Why::Emptied(of) => {
                tracing::warn!(
                    kind,
                    name,
                    of,
                    "arrives empty: its rows tell of rows that are not copied, or are masked"
                );
            }
            Why::Unknown => tracing::warn!(
                kind,
                name,
                "is a search index without content: if it is over rows that are not copied, leave it out with `exclude` or `schema_only`"
            ),
        }
    }
}

/// Takes out of the definitions what cannot work without what the selection leaves out, and says what that was. A trigger
/// that refuses rows is an error, unless the task says that it may go, or it goes to an archive: who pulls from there is asked.
pub(in crate::store::sqlite) fn settle(
    definitions: &mut Definitions,
    selection: &Selection,
    is_archive: bool,
) -> Result<Vec<LeftOut>> {
    let is_excluded =
        |view: &Object| view.kind == "view" && selection.fate(None, &view.name) == Fate::Exclude;
    let is_whole = definitions
        .tables
        .iter()
        .all(|table| table.fate == Fate::Copy)
        && !definitions.others.iter().any(is_excluded);
    if is_whole && selection.takes_rows_as_they_are() {
        return Ok(Vec::new());
    }
    let full = Scratch::of(definitions.tables.iter(), definitions.others.iter())?;
    let (excluded, rest): (Vec<Object>, Vec<Object>) =
        definitions.others.drain(..).partition(is_excluded);
    definitions.others = rest;
    let mut settling = Settling {
        missing: excluded.iter().map(|view| lower(&view.name)).collect(),
        views: excluded.iter().map(|view| view.name.clone()).collect(),
        gone: Vec::new(),
        masks: altered(definitions, selection),
        full,
    };
    definitions.views = excluded.into_iter().map(|view| view.name).collect();
    settling.indexes(definitions)?;
    settling.missing.extend(
        definitions
            .tables
            .iter()
            .filter(|table| table.fate == Fate::Exclude)
            .map(|table| lower(&table.name)),
    );
    let reduced = Scratch::of(arriving(definitions), definitions.others.iter())?;
    settling.readable(definitions, &reduced);
    settling.triggers(definitions, &reduced, selection, is_archive)?;
    settling.keys(definitions)?;
    Ok(settling.gone)
}

fn lower(name: &str) -> String {
    name.to_ascii_lowercase()
}

fn arriving(definitions: &Definitions) -> impl Iterator<Item = &Table> {
    definitions
        .tables
        .iter()
        .filter(|table| table.fate != Fate::Exclude)
}

struct Settling {
    /// Everything.
    full: Scratch,
    /// What does not arrive, in lower case.
    missing: BTreeSet<String>,
    /// The views among it.
    views: BTreeSet<String>,
    gone: Vec<LeftOut>,
    /// Tables whose rows are others than the source's, or fewer.
    masks: Vec<String>,
}

/// Tables whose rows are others than the source's, or fewer.
fn altered(definitions: &Definitions, selection: &Selection) -> Vec<String> {
    let tables = definitions.tables.iter().map(|table| table.name.clone());
    tables.filter(|name| selection.is_altered(name)).collect()
}

impl Settling {
    fn is_missing(&self, name: &str) -> bool {
        self.missing.contains(&lower(name))
    }

    /// The missing object that a definition names.
    fn needed(&self, sql: &str) -> Option<String> {
        named(sql, |name| self.is_missing(name))
    }

    /// Search indexes and the like have rows of other tables: they go, or are emptied, or made anew, as those are.
    fn indexes(&mut self, definitions: &mut Definitions) -> Result<()> {
        let copied = Scratch::of(
            definitions
                .tables
                .iter()
                .filter(|table| table.fate == Fate::Copy),
            definitions.others.iter(),
        )?;
        let virtuals: Vec<Table> = definitions
            .tables
            .iter()
            .filter(|table| table.is_virtual && table.fate != Fate::Exclude)
            .cloned()
            .collect();
        let mut decided = Vec::new();
        for table in &virtuals {
            let module = Module::of(&table.sql);
            let fate = match &module.content {
                Content::Of(content) if module.is_search() => {
                    let is_derived = breaks(&self.full.read(content), &copied.read(content));
                    self.index_over(definitions, table, content, is_derived)
                }
                _ if table.fate == Fate::Copy => self.index_of_its_own(definitions, table, &module),
                _ => None,
            };
            decided.extend(fate.map(|fate| (table.name.clone(), fate)));
        }
        for (name, fate) in decided {
            definitions.decide(&name, fate);
        }
        Ok(())
    }

    /// What becomes of a search index over another table's or a view's rows, if it is not copied as it is.
    fn index_over(
        &mut self,
        definitions: &mut Definitions,
        table: &Table,
        content: &str,
        is_derived: bool,
    ) -> Option<Fate> {
        match definitions.any_case(content).map(|table| table.fate) {
            Some(Fate::Exclude) => {
                self.gone.push(LeftOut::requiring(
                    "virtual table",
                    &table.name,
                    content.to_owned(),
                ));
                Some(Fate::Exclude)
            }
            // Of what a view shows nobody knows what is masked.
            found if table.fate != Fate::Keep && self.shows_masked(content, found.is_none()) => {
                definitions.renewed.push(table.name.clone());
                Some(Fate::SchemaOnly)
            }
            Some(Fate::Copy) if table.fate != Fate::Keep => None,
            None if !is_derived && table.fate != Fate::Keep => None,
            _ => {
                // It is made anew of the rows that are there then.
                definitions.renewed.push(table.name.clone());
                Some(Fate::SchemaOnly)
            }
        }
    }

    /// What becomes of a virtual table that has rows of its own, which triggers may have put there, if it is not copied as it is.
    fn index_of_its_own(
        &mut self,
        definitions: &Definitions,
        table: &Table,
        module: &Module,
    ) -> Option<Fate> {
        let feeders: Vec<&Object> = definitions
            .others
            .iter()
            .filter(|object| object.kind == "trigger" && feeds(&object.sql, &table.name))
            .collect();
        let fed = |fates: &[Fate]| {
            feeders
                .iter()
                .filter_map(|trigger| definitions.any_case(&trigger.table))
                .find(|table| fates.contains(&table.fate))
                .map(|table| table.name.clone())
        };
        let of_masked = feeders
            .iter()
            .map(|trigger| &trigger.table)
            .find(|table| self.shows_masked(table, false));
        let mut left_out = |why| {
            self.gone.push(LeftOut {
                kind: "virtual table",
                name: table.name.clone(),
                why,
            });
        };
        let of_left_out = fed(&[Fate::Exclude, Fate::SchemaOnly]);
        if let Some(of) = of_masked.cloned().or(of_left_out) {
            left_out(Why::Emptied(of));
            return Some(Fate::SchemaOnly);
        }
        if fed(&[Fate::Keep]).is_some() {
            return Some(Fate::Keep);
        }
        if module.is_search() && module.content == Content::None && feeders.is_empty() {
            left_out(Why::Unknown);
        }
        None
    }

    /// Whether rows of this table or view may be masked.
    fn shows_masked(&self, content: &str, is_view: bool) -> bool {
        let is_it = |name: &String| name.eq_ignore_ascii_case(content);
        !self.masks.is_empty() && (is_view || self.masks.iter().any(is_it))
    }

    /// Views and virtual tables over what is missing, and those over them.
    fn readable(&mut self, definitions: &mut Definitions, reduced: &Scratch) {
        loop {
            let mut found: Vec<(&'static str, String, String)> = Vec::new();
            for table in arriving(definitions).filter(|table| table.is_virtual) {
                let tried = (self.full.open(&table.name), reduced.open(&table.name));
                if let Some(required) = self.lost(&table.sql, &[tried]) {
                    found.push(("virtual table", table.name.clone(), required));
                }
            }
            for view in definitions
                .others
                .iter()
                .filter(|object| object.kind == "view")
            {
                let tried = (self.full.read(&view.name), reduced.read(&view.name));
                if let Some(required) = self.lost(&view.sql, &[tried]) {
                    found.push(("view", view.name.clone(), required));
                }
            }
            if found.is_empty() {
                return;
            }
            for (kind, name, required) in found {
                self.missing.insert(lower(&name));
                if kind == "view" {
                    reduced.remove("VIEW", &name);
                    definitions
                        .others
                        .retain(|object| object.kind != "view" || object.name != name);
                    self.views.insert(name.clone());
                } else {
                    reduced.remove("TABLE", &name);
                    definitions.decide(&name, Fate::Exclude);
                }
                self.gone.push(LeftOut::requiring(kind, &name, required));
            }
        }
    }

    /// What of the missing something needs that works on the source and would not without. Where it cannot be tried here, for
    /// want of a function say, its words decide.
    fn lost(&self, sql: &str, tried: &[(Attempt, Attempt)]) -> Option<String> {
        let broken = tried
            .iter()
            .find(|(full, reduced)| breaks(full, reduced))
            .map(|(_, reduced)| reduced);
        let message = |reduced: &Attempt| {
            let text = reduced.as_ref().err()?;
            let name = text.split("no such table: ").nth(1)?;
            let name = name.split(" in ").next().unwrap_or(name);
            let name = name.trim_start_matches("main.");
            self.is_missing(name).then(|| name.to_owned())
        };
        match broken {
            Some(reduced) => Some(
                self.needed(sql)
                    .or_else(|| message(reduced))
                    .unwrap_or_else(|| "what is left out".to_owned()),
            ),
            // That a view cannot be written is the answer to two of a trigger's three statements.
            None if tried.iter().any(|(full, _)| {
                full.as_ref()
                    .is_err_and(|message| !message.starts_with("cannot modify"))
            }) =>
            {
                self.needed(sql)
            }
            None => None,
        }
    }

    fn triggers(
        &mut self,
        definitions: &mut Definitions,
        reduced: &Scratch,
        selection: &Selection,
        is_archive: bool,
    ) -> Result<()> {
        let mut refused = Vec::new();
        let mut gone = Vec::new();
        for trigger in definitions
            .others
            .iter()
            .filter(|object| object.kind == "trigger" && definitions.comes_along(object))
        {
            let on_view = self
                .views
                .iter()
                .find(|view| view.eq_ignore_ascii_case(&trigger.table));
            if let Some(view) = on_view {
                gone.push(LeftOut::requiring("trigger", &trigger.name, view.clone()));
                continue;
            }
            let tried: Vec<(Attempt, Attempt)> = self
                .full
                .write(trigger)
                .into_iter()
                .zip(reduced.write(trigger))
                .collect();
            let Some(required) = self.lost(&trigger.sql, &tried) else {
                continue;
            };
            if refuses(&trigger.sql)
                && !selection.may_be_left_out(None, &trigger.table, &trigger.name)
            {
                if !is_archive {
                    refused.push((format!("{}.{}", trigger.table, trigger.name), required));
                }
            } else {
                gone.push(LeftOut::requiring("trigger", &trigger.name, required));
            }
        }
        refuse_lost(&refused)?;
        definitions.others.retain(|object| {
            object.kind != "trigger" || !gone.iter().any(|gone| gone.name == object.name)
        });
        self.gone.append(&mut gone);
        Ok(())
    }

    /// Foreign keys to what is missing: nothing could be written to their table.
    fn keys(&mut self, definitions: &mut Definitions) -> Result<()> {
        let failed = |error| explain(error, "a schema in memory");
        let is_plain = |table: &&mut Table| {
            !table.is_virtual && table.shadow_of.is_none() && table.fate != Fate::Exclude
        };
        for table in definitions.tables.iter_mut().filter(is_plain) {
            let (rest, keys) = self.full.shape(&table.name).map_err(failed)?;
            let (lost, left): (Vec<_>, Vec<_>) = keys
                .into_iter()
                .partition(|(parent, _)| self.is_missing(parent));
            let Some((parent, _)) = lost.first() else {
                continue;
            };
            let mut changed = table.clone();
            changed.sql = foreign_keys::without(&table.sql, |parent| self.is_missing(parent))
                .unwrap_or_default();
            let alone = Scratch::of(std::iter::once(&changed), std::iter::empty())?;
            if alone.shape(&table.name).map_err(failed)? != (rest, left) {
                return Err(Error::new(
                    Kind::Verify,
                    format!(
                        "`{}` has a foreign key to `{parent}`, which is left out, and cannot be made without it",
                        table.name
                    ),
                )
                .hint("leave out both tables, or neither"));
            }
            *table = changed;
            let parents: BTreeSet<String> = lost.into_iter().map(|(parent, _)| parent).collect();
            for parent in parents {
                self.gone
                    .push(LeftOut::requiring("foreign key", &table.name, parent));
            }
        }
        Ok(())
    }
}

/// Refuses to lose triggers that refuse rows; each with what it needs.
fn refuse_lost(triggers: &[(String, String)]) -> Result<()> {
    let Some((first, required)) = triggers.first() else {
        return Ok(());
    };
    let all: Vec<String> = triggers
        .iter()
        .map(|(name, _)| format!("`{name}`"))
        .collect();
    Err(Error::new(
        Kind::Verify,
        format!(
            "triggers that refuse rows need what is left out (`{required}`), and would be lost: {}",
            crate::store::catalogue::first_of(&all, NAMED)
        ),
    )
    .hint(format!(
        "copy `{required}`, or say that they may go: leave_out = [\"{first}\"]"
    )))
}

type Attempt = std::result::Result<(), String>;

/// Whether a trigger puts rows into a table.
pub(in crate::store::sqlite) fn feeds(trigger: &str, table: &str) -> bool {
    tokens(trigger).windows(2).any(|pair| {
        pair[0].is("into")
            && pair[1]
                .name()
                .is_some_and(|name| name.eq_ignore_ascii_case(table))
    })
}

/// Whether a trigger may refuse a row.
pub(in crate::store::sqlite) fn refuses(trigger: &str) -> bool {
    tokens(trigger)
        .windows(2)
        .any(|pair| pair[0].is("raise") && pair[1] == Token::Other('('))
}
