//! `[[task.rows]]`: which rows of each table are copied, and what becomes of those that refer to others.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::tables::config;
use crate::config::job::{Job, Task};
use crate::error::{Error, Kind, Result};
use crate::store::shape::by_name;
use crate::store::{Conditions, Part, Reference, Selection, Shape, Survey};

/// A table as rows go by it.
struct Table<'a> {
    part: &'a Part,
    shape: &'a Shape,
    /// What the task says of its own rows.
    own: Vec<&'a str>,
    /// Whether rows that refer to one that is not copied are not copied, either.
    cascades: bool,
    /// The expression for the rows that are copied; `None`: all.
    condition: Option<String>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Those that it refers to are looked at.
    Under,
    Done,
}

/// A reference from one table to rows of another one, of which only some are copied.
struct Link<'a> {
    reference: &'a Reference,
    from: usize,
    to: usize,
}

/// What was found of a task's rows.
#[derive(Default)]
pub(super) struct Chosen {
    /// Which rows of which tables are copied, in the words of people.
    pub(super) told: HashMap<String, String>,
    /// References into tables of which some rows are copied.
    pub(super) references: Vec<Held>,
}

/// A reference that has to hold in the copy.
pub(in crate::run) struct Held {
    /// The table that refers.
    pub(in crate::run) part: Part,
    /// True for a row that refers to one that is not there.
    pub(in crate::run) dangling: String,
    /// For people.
    pub(in crate::run) told: String,
}

/// Puts the conditions on the survey's parts, and says what was found. A table whose rows would refer to what is not copied is an error.
pub(super) async fn restrict(
    job: &Job,
    task: &Task,
    selection: &Selection,
    conditions: Option<&dyn Conditions>,
    shapes: &[Shape],
    survey: &mut Survey,
) -> Result<Chosen> {
    if task.rows.is_empty() {
        return Ok(Chosen::default());
    }
    let Some(language) = conditions else {
        let what = "rows of this source cannot be chosen: there is nobody who evaluates a `where`";
        return Err(config(what.to_owned()).hint("put the [[task.rows]] into the job that pushes"));
    };
    let parts = survey.whole();
    let tables = tables(&parts, shapes, selection)?;
    look_for_unused(job, task, &tables, selection)?;
    for table in &tables {
        for condition in &table.own {
            let checked = language.check(table.part, condition).await;
            checked.map_err(|error| {
                error.within(format!("the `where` of the rows of {}", table.part.label()))
            })?;
        }
    }
    let mut rows = Rows {
        selection,
        language,
        tables,
        by_name: by_name(shapes.iter()),
    };
    rows.cascade()?;
    rows.look_for_dangling().await?;
    let found: HashMap<String, Arc<str>> = (rows.tables.iter())
        .filter_map(|table| Some((table.part.label(), table.condition.as_deref()?.into())))
        .collect();
    for table in rows.tables.iter().filter(|table| table.condition.is_some()) {
        tracing::info!(table = table.part.label(), "some of its rows are copied");
    }
    let mut parts = survey.parts.to_vec();
    for part in &mut parts {
        part.condition = found.get(&part.label()).cloned();
    }
    survey.parts = parts.into();
    let restricted = rows.tables.iter().filter(|table| table.condition.is_some());
    let told = restricted.map(|table| (table.part.label(), table.told()));
    Ok(Chosen {
        told: told.collect(),
        references: rows.held(),
    })
}

impl Table<'_> {
    /// Which of its rows are copied, in the words of people.
    fn told(&self) -> String {
        let own = self.own.iter();
        let own: Vec<String> = own
            .map(|own| own.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        match &own[..] {
            [] => "rows that refer to none that is not copied".to_owned(),
            own => format!("rows where {}", own.join(" and ")),
        }
    }
}

fn tables<'a>(
    parts: &'a [Part],
    shapes: &'a [Shape],
    selection: &'a Selection,
) -> Result<Vec<Table<'a>>> {
    let table = |(part, shape): (&'a Part, &'a Shape)| {
        let names = shape.names.iter();
        let names = names.map(|(schema, name)| (schema.as_deref(), name.as_str()));
        let rules = selection.restrictions_of(names);
        if let (Some(why), false) = (&shape.unmaskable, rules.is_empty()) {
            let what = format!("rows of {} cannot be chosen: {why}", part.label());
            return Err(config(what));
        }
        Ok(Table {
            part,
            shape,
            cascades: rules.iter().any(|(_, cascades)| *cascades),
            own: rules.into_iter().map(|(condition, _)| condition).collect(),
            condition: None,
            state: State::Open,
        })
    };
    parts.iter().zip(shapes).map(table).collect()
}

/// One that is for no table is most likely misspelt, and all rows of the table that was meant would be copied.
fn look_for_unused(
    job: &Job,
    task: &Task,
    tables: &[Table<'_>],
    selection: &Selection,
) -> Result<()> {
    for (number, rule) in task.rows.iter().enumerate() {
        let mut names = tables.iter().flat_map(|table| &table.shape.names);
        if names.any(|(schema, name)| selection.restricts(number, schema.as_deref(), name)) {
            continue;
        }
        let what = format!(
            "the rows of {} are those of no table that is copied",
            rule.tables.join(", ")
        );
        if super::coverage::is_required(job) {
            return Err(config(what).hint("mend the [[task.rows]], or take it out"));
        }
        tracing::warn!(rows = number + 1, what, "a [[task.rows]] has nothing to do");
    }
    Ok(())
}

struct Rows<'a> {
    selection: &'a Selection,
    language: &'a dyn Conditions,
    tables: Vec<Table<'a>>,
    by_name: HashMap<&'a (Option<String>, String), Vec<usize>>,
}

impl<'a> Rows<'a> {
    /// The references of a table to others that are copied.
    fn links(&self, from: usize) -> Vec<Link<'a>> {
        let references = self.tables[from].shape.references.iter();
        let to = |reference: &'a Reference| {
            let others = self.by_name.get(&reference.table).into_iter().flatten();
            let link = |to| Link {
                reference,
                from,
                to,
            };
            others.copied().map(link).collect::<Vec<_>>()
        };
        references.flat_map(to).collect()
    }

    /// Finds the condition of each table.
    fn cascade(&mut self) -> Result<()> {
        let mut reached: Vec<bool> = self.tables.iter().map(|table| table.cascades).collect();
        let mut has_changed = true;
        while has_changed {
            has_changed = false;
            for at in 0..self.tables.len() {
                if !reached[at] && self.links(at).iter().any(|link| reached[link.to]) {
                    reached[at] = true;
                    has_changed = true;
                }
            }
        }
        for (table, reached) in self.tables.iter_mut().zip(reached) {
            table.cascades |= reached;
        }
        (0..self.tables.len()).try_for_each(|at| self.settle(at))
    }

    /// Finds a table's condition, those of the tables that it refers to first.
    fn settle(&mut self, at: usize) -> Result<()> {
        match self.tables[at].state {
            State::Done => return Ok(()),
            State::Under => {
                let what = format!(
                    "rows of {} refer to each other in a circle of tables, and `cascade` cannot follow it",
                    self.tables[at].part.label()
                );
                return Err(config(what).hint(
                    "give each table of the circle a `where` of its own, without `cascade`",
                ));
            }
            State::Open => self.tables[at].state = State::Under,
        }
        let links = self.links(at);
        let (selves, others): (Vec<&Link<'a>>, Vec<_>) =
            links.iter().partition(|link| link.to == at);
        let mut all: Vec<String> = self.tables[at].own.iter().map(|own| is_true(own)).collect();
        for link in others {
            if !self.tables[link.to].cascades {
                continue;
            }
            self.settle(link.to)?;
            if self.tables[link.to].condition.is_some() {
                all.push(format!("NOT {}", self.refers_to_missing(link)));
            }
        }
        let mut condition = (!all.is_empty()).then(|| all.join(" AND "));
        if let Some(base) = &condition
            && self.tables[at].cascades
            && let Some(first) = selves.first()
        {
            let keys = &first.reference.referenced;
            if !selves.iter().all(|link| link.reference.referenced == *keys) {
                let what = format!(
                    "{} refers to rows of its own by several keys, and `cascade` cannot follow that",
                    self.tables[at].part.label()
                );
                return Err(config(what));
            }
            condition = Some(self.without_descendants(at, base, &selves));
        }
        self.tables[at].condition = condition;
        self.tables[at].state = State::Done;
        Ok(())
    }

    fn name(&self, at: usize) -> String {
        let part = self.tables[at].part;
        let name = self.language.quoted(&part.name);
        match &part.schema {
            Some(schema) => format!("{}.{name}", self.language.quoted(schema)),
            None => name,
        }
    }

    /// Columns, with their table in front.
    fn columns(&self, at: usize, names: &[String]) -> Vec<String> {
        let table = self.name(at);
        let names = names.iter();
        names
            .map(|name| format!("{table}.{}", self.language.quoted(name)))
            .collect()
    }

    /// The rows for which a reference holds, if not for all.
    fn holds(&self, reference: &Reference) -> Option<&str> {
        let number = reference.condition?;
        self.selection.condition(number)
    }

    /// Whether a row refers to one of another table that is not copied.
    fn refers_to_missing(&self, link: &Link<'_>) -> String {
        let own = self.columns(link.from, &link.reference.columns);
        let theirs = self.columns(link.to, &link.reference.referenced);
        let pairs = own.iter().zip(&theirs);
        let pairs: Vec<String> = pairs
            .map(|(own, their)| format!("{their} = {own}"))
            .collect();
        let condition = self.tables[link.to].condition.as_deref().unwrap_or("TRUE");
        let missing = format!(
            "EXISTS (SELECT 1 FROM {} WHERE {} AND (\n{condition}\n) IS NOT TRUE)",
            self.name(link.to),
            pairs.join(" AND ")
        );
        match self.holds(link.reference) {
            Some(holds) => format!("({} AND {missing})", is_true(holds)),
            None => missing,
        }
    }

    /// Without the rows that refer to one of the same table that is not copied, and those that refer to these.
    fn without_descendants(&self, at: usize, base: &str, selves: &[&Link<'a>]) -> String {
        let table = self.name(at);
        let keys = self.columns(at, &selves[0].reference.referenced);
        let gone: Vec<String> = (1..=keys.len())
            .map(|number| format!("envsyncd_{number}"))
            .collect();
        let follows: Vec<String> = selves
            .iter()
            .map(|link| {
                let own = self.columns(at, &link.reference.columns);
                let pairs = own.iter().zip(&gone);
                let mut pairs: Vec<String> = pairs
                    .map(|(own, gone)| format!("{own} = envsyncd_gone.{gone}"))
                    .collect();
                pairs.extend(self.holds(link.reference).map(is_true));
                format!("({})", pairs.join(" AND "))
            })
            .collect();
        let known: Vec<String> = keys
            .iter()
            .map(|key| format!("{key} IS NOT NULL"))
            .collect();
        let row = match &keys[..] {
            [key] => key.clone(),
            keys => format!("({})", keys.join(", ")),
        };
        let missing: Vec<String> = keys.iter().map(|key| format!("{key} IS NULL")).collect();
        format!(
            "{base} AND ({missing} OR {row} NOT IN (WITH RECURSIVE envsyncd_gone ({gone}) AS (\
             SELECT {keys} FROM {table} WHERE (\n{base}\n) IS NOT TRUE AND {known} \
             UNION SELECT {keys} FROM {table} JOIN envsyncd_gone ON {follows}) SELECT {gone} FROM envsyncd_gone))",
            missing = missing.join(" OR "),
            gone = gone.join(", "),
            keys = keys.join(", "),
            known = known.join(" AND "),
            follows = follows.join(" OR "),
        )
    }

    /// Whether a row refers to one of its own table that is not copied.
    fn refers_to_own_missing(&self, link: &Link<'_>) -> String {
        let own = self.columns(link.from, &link.reference.columns);
        let keys = self.columns(link.to, &link.reference.referenced);
        let known: Vec<String> = keys
            .iter()
            .map(|key| format!("{key} IS NOT NULL"))
            .collect();
        let condition = self.tables[link.to].condition.as_deref().unwrap_or("TRUE");
        let row = match &own[..] {
            [one] => one.clone(),
            own => format!("({})", own.join(", ")),
        };
        let missing = format!(
            "{row} IN (SELECT {} FROM {} WHERE (\n{condition}\n) IS NOT TRUE AND {})",
            keys.join(", "),
            self.name(link.to),
            known.join(" AND ")
        );
        match self.holds(link.reference) {
            Some(holds) => format!("({} AND {missing})", is_true(holds)),
            None => missing,
        }
    }

    /// Refuses rows that refer to what is not copied, where they do not follow.
    async fn look_for_dangling(&self) -> Result<()> {
        for from in 0..self.tables.len() {
            let links = self.links(from);
            let is_restricted = |link: &&Link<'_>| {
                self.tables[link.to].condition.is_some() && !self.tables[link.to].cascades
            };
            for link in links.iter().filter(is_restricted) {
                let dangling = if link.to == from {
                    self.refers_to_own_missing(link)
                } else {
                    self.refers_to_missing(link)
                };
                let copied = self.tables[from].condition.as_deref().map(is_true);
                let copied = copied.into_iter().chain([dangling]).collect::<Vec<_>>();
                let part = self.tables[from].part;
                if self
                    .language
                    .is_true_for_any(part, &copied.join(" AND "))
                    .await?
                {
                    return Err(self.dangling(link));
                }
            }
        }
        Ok(())
    }

    /// The references into tables of which some rows are copied.
    fn held(&self) -> Vec<Held> {
        let links = (0..self.tables.len()).flat_map(|from| self.links(from));
        // What a condition of the source's says of a row may not be what it says of the masked one.
        let links = links.filter(|link| {
            self.tables[link.to].condition.is_some() && link.reference.condition.is_none()
        });
        // Of a table in partitions a row is in one of them.
        let mut seen = BTreeSet::new();
        let links = links.filter(|link| seen.insert((link.from, link.reference.name.clone())));
        links.map(|link| self.held_by(&link)).collect()
    }

    fn held_by(&self, link: &Link<'_>) -> Held {
        let reference = link.reference;
        let own = self.columns(link.from, &reference.columns);
        let quoted = |name: &String| self.language.quoted(name);
        let (schema, name) = &reference.table;
        let name = quoted(name);
        let table = match schema {
            Some(schema) => format!("{}.{name}", quoted(schema)),
            None => name,
        };
        let pairs = own.iter().zip(&reference.referenced);
        let pairs: Vec<String> = pairs
            .map(|(own, their)| format!("envsyncd_other.{} = {own}", quoted(their)))
            .collect();
        let known: Vec<String> = own.iter().map(|own| format!("{own} IS NOT NULL")).collect();
        Held {
            part: self.tables[link.from].part.clone(),
            dangling: format!(
                "{} AND NOT EXISTS (SELECT 1 FROM {table} AS envsyncd_other WHERE {})",
                known.join(" AND "),
                pairs.join(" AND ")
            ),
            told: format!(
                "{} to {} ({})",
                self.tables[link.from].part.label(),
                self.tables[link.to].part.label(),
                reference.name
            ),
        }
    }

    fn dangling(&self, link: &Link<'_>) -> Error {
        let (from, to) = (self.tables[link.from].part, self.tables[link.to].part);
        Error::new(
            Kind::Config,
            format!(
                "rows of {} refer to rows of {} that are not copied ({})",
                from.label(),
                to.label(),
                link.reference.name
            ),
        )
        .hint(format!(
            "write cascade = true in the [[task.rows]] of {}, so that they are not copied, either",
            to.label()
        ))
    }
}

/// An expression that is true or false, and never NULL. A comment at its end ends with its line.
fn is_true(condition: &str) -> String {
    format!("(\n{condition}\n) IS TRUE")
}
