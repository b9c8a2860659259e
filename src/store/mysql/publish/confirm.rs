//! Live right after a publish: it has to be what incoming was. Tables have changed their schema since incoming was verified, and
//! views, routines, triggers and events were made once more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::config::job::Definer;
use crate::error::{Error, Kind, Result};
use crate::store::Fate;
use crate::store::catalogue::first_of;
use crate::store::mysql::connection::address::Address;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::schema::catalogue;
use crate::store::mysql::schema::definitions::{Definitions, Table};
use crate::store::mysql::schema::foreign_keys;
use crate::store::mysql::schema::objects::{Object, ObjectKind};
use crate::store::mysql::schema::reader;
use crate::store::mysql::sql::lexer::{self, Dialect};
use crate::store::mysql::sql::names::{Names, quoted};

/// How many differences an error names.
const NAMED: usize = 3;

/// Incoming as it was when it was looked at last, without what moves on as soon as somebody uses it: where counters and
/// sequences stand.
pub(in crate::store::mysql) struct Seen {
    source: Arc<Definitions>,
    /// Each table; with its definition where it is not the source's.
    tables: BTreeMap<Box<str>, Option<Box<str>>>,
    /// All else, with its definition.
    rest: BTreeMap<String, String>,
    /// Tables with foreign keys to what is not there.
    pub(in crate::store::mysql) dangling: BTreeSet<String>,
    /// Views of what is not there on the source, either: not every server makes them again.
    broken: BTreeSet<String>,
}

/// Incoming while it is looked at.
pub(in crate::store::mysql) struct Looking {
    source: Arc<Definitions>,
    schema: String,
    tables: BTreeMap<Box<str>, Option<Box<str>>>,
    /// Tables that others point to and that have not been met, with those others.
    awaited: Vec<(Box<str>, Box<str>)>,
}

impl Looking {
    /// At this schema, which was made like the source.
    pub(in crate::store::mysql) fn at(schema: &str, source: &Arc<Definitions>) -> Self {
        Self {
            source: Arc::clone(source),
            schema: schema.to_owned(),
            tables: BTreeMap::new(),
            awaited: Vec::new(),
        }
    }

    /// Sees a table.
    pub(in crate::store::mysql) fn see(&mut self, table: &Table) {
        for parent in foreign_keys::parents(table) {
            if !self.tables.contains_key(parent) {
                self.awaited
                    .push((parent.into(), table.name.as_str().into()));
            }
        }
        let text = catalogue::table_text(table, &self.schema, &BTreeSet::new());
        let other = text_of(&self.source, &table.name).is_none_or(|source| source != text);
        self.tables
            .insert(table.name.as_str().into(), other.then(|| text.into()));
    }

    /// Once all tables were seen; `rest` is all else that is there.
    pub(in crate::store::mysql) fn seen(self, rest: &Definitions, definer: Definer) -> Seen {
        let is_broken = |object: &Object| object.kind == ObjectKind::View && object.broken;
        let is_broken_view = |object: &&Object| {
            let mut originals = self.source.objects.iter();
            is_broken(object)
                && originals.any(|view| is_broken(view) && view.label() == object.label())
        };
        let broken = rest.objects.iter().filter(is_broken_view);
        let dangling = self.awaited.into_iter();
        Seen {
            broken: broken.map(Object::label).collect(),
            rest: fixed(rest, definer),
            dangling: dangling
                .filter(|(parent, _)| !self.tables.contains_key(parent))
                .map(|(_, table)| table.into())
                .collect(),
            tables: self.tables,
            source: self.source,
        }
    }
}

/// A table's definition on the source.
fn text_of(source: &Definitions, table: &str) -> Option<String> {
    let table = source.table(table)?;
    Some(catalogue::table_text(
        table,
        &source.schema,
        &source.excluded,
    ))
}

/// What a schema has but for tables, without what moves on.
fn fixed(definitions: &Definitions, definer: Definer) -> BTreeMap<String, String> {
    let mut definitions = definitions.clone();
    for sequence in &mut definitions.sequences {
        sequence.fate = Fate::SchemaOnly;
    }
    for object in &mut definitions.objects {
        if object.kind == ObjectKind::Trigger {
            object.definition = on_its_table(object);
            // Triggers of a schema may have to share one; of those that do, a warning was given.
            object.database_collation = None;
        }
    }
    let mut all = BTreeMap::new();
    catalogue::of_rest(&definitions, definer, |object, definition| {
        all.insert(object, definition);
    });
    all
}

/// A trigger's definition with its table's name alone, in quotes: so MariaDB writes it where the table is renamed.
fn on_its_table(object: &Object) -> String {
    let sql = &object.definition;
    let tokens = lexer::tokens(sql, Dialect::of(&object.sql_mode));
    let place = || {
        let trigger = tokens.iter().position(|token| token.is("TRIGGER"))?;
        // A reserved word.
        let on = trigger + tokens[trigger..].iter().position(|token| token.is("ON"))?;
        let (mut end, _) = lexer::solid(&tokens, on + 1)?;
        while let Some((dot, _)) =
            lexer::solid(&tokens, end + 1).filter(|(_, token)| token.is_mark("."))
        {
            end = lexer::solid(&tokens, dot + 1)?.0;
        }
        Some((on, end))
    };
    let (Some((on, end)), Some(table)) = (place(), &object.table) else {
        return sql.clone();
    };
    let text =
        |tokens: &[lexer::Token<'_>]| tokens.iter().map(|token| token.text).collect::<String>();
    format!(
        "{}ON {}{}",
        text(&tokens[..on]),
        quoted(table),
        text(&tokens[end + 1..])
    )
}

/// What of live is not as it was seen.
struct Findings<'a> {
    seen: &'a Seen,
    /// What incoming was called.
    incoming: &'a str,
    /// Tables that were not met yet.
    missing: BTreeSet<&'a str>,
    wrong: Vec<String>,
    /// What still names incoming.
    naming: Vec<String>,
}

impl Findings<'_> {
    fn table(&mut self, live: &str, table: &Table) {
        let found = catalogue::table_text(table, live, &BTreeSet::new());
        let object = format!("table {}", table.name);
        self.missing.remove(table.name.as_str());
        let wanted = match self.seen.tables.get(table.name.as_str()) {
            Some(Some(other)) => Some(other.to_string()),
            Some(None) => text_of(&self.seen.source, &table.name),
            None => None,
        };
        self.compare(&object, wanted.as_deref(), &found);
    }

    fn rest(&mut self, live: &BTreeMap<String, String>) {
        for (object, found) in live {
            self.compare(
                object,
                self.seen.rest.get(object).map(String::as_str),
                found,
            );
        }
        let rest = self.seen.rest.keys();
        let lost = rest.filter(|object| !live.contains_key(*object));
        let lost = lost.filter(|object| !self.seen.broken.contains(*object));
        self.wrong
            .extend(lost.map(|object| format!("{object} is missing")));
        let tables = self.missing.iter();
        self.wrong
            .extend(tables.map(|table| format!("table {table} is missing")));
    }

    /// Holds an object of live against what it was; `None`: it was not there.
    fn compare(&mut self, object: &str, wanted: Option<&str>, found: &str) {
        if let Some(wanted) = wanted
            && wanted != found
        {
            tracing::error!(object, wanted, found, "live is not what was verified");
            self.wrong.push(format!("{object} is defined otherwise"));
        } else if found.contains(self.incoming) {
            self.naming
                .push(format!("{object} names {}", self.incoming));
        }
    }
}

/// Holds live against what incoming was.
pub(in crate::store::mysql) async fn confirm(
    address: &Address,
    names: &Names,
    definer: Definer,
    seen: &Seen,
) -> Result<()> {
    let mut session = Session::open(address, None).await?;
    let mut findings = Findings {
        seen,
        incoming: &names.incoming,
        missing: seen.tables.keys().map(|name| &**name).collect(),
        wrong: Vec::new(),
        naming: Vec::new(),
    };
    let see = |table: Table| findings.table(&names.live, &table);
    let live = reader::read_apart(&mut session, &names.live, see).await?;
    findings.rest(&fixed(&live, definer));
    let mut wrong = findings.wrong;
    wrong.sort();
    wrong.extend(findings.naming);
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        Kind::Verify,
        format!(
            "what was published is not what was verified: {}",
            first_of(&wrong, NAMED)
        ),
    )
    .hint("the run's log has the definitions; does anything alter the target's tables at the same time?"))
}
