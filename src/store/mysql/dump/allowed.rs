//! Which statements of a dump are run, and how they have to be changed to be about the staging schema and nothing else. Pure.
//!
//! What dumps consist of is known, so that is what is allowed; everything else is refused before it is run.

use std::collections::{BTreeMap, BTreeSet};

use super::super::engines::{self, Engine};
use super::super::lexer::{self, Dialect, Shape, Token};
use super::super::objects;
use super::super::plain::{self, Reading};
use super::super::rewrite::{self, Schema};
use super::super::version::Version;
use super::super::{ddl, names};
use super::settings::{Setting, Settings};
use super::statement::{Named, Rest, bytes, letters, moved, readable, telling};
use super::values::{self, Rows};
use crate::config::job::Definer;
use crate::store::redact;
use crate::store::{Fate, Selection};

/// What is done with a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// It is run.
    Run(Vec<u8>),
    /// This is run for it; strings may end otherwise after it.
    Set(String),
    /// It is run at a time at which an event of the past still lies ahead.
    Early(Vec<u8>),
    /// It makes a view, which may have to wait for others.
    View(Vec<u8>),
    /// Rows: it is run as it is.
    Rows(Rows),
    /// The same, among them values of columns that are computed anew, which the server warns of.
    Computed(Rows),
    /// It is left out.
    Skip,
    /// It is left out, for this reason.
    Told(String),
}

/// No tool writes a longer statement than this, in bytes, of anything but rows: what it takes to understand one is many times
/// as long.
const LONGEST: usize = 4 << 20;

/// What a dump said of itself and did so far.
pub(super) struct Allowed<'a> {
    /// The server that it is restored on.
    here: Version,
    /// What the session is set to.
    settings: Settings,
    /// The schema that it is restored in.
    staging: String,
    /// The server compares names of schemas and tables without case.
    folded: bool,
    definer: Definer,
    selection: &'a Selection,
    /// The dumped database's name, where the dump says it.
    own: Option<String>,
    /// The dumped server's version.
    server: Option<String>,
    tables: BTreeMap<String, Made>,
    sequences: BTreeSet<String>,
    /// Tables with a trigger.
    watched: BTreeSet<String>,
    /// Events that ran where the dump is from.
    awake: BTreeMap<String, String>,
    /// Something of the dumped database's own name is in it.
    homonym: bool,
    /// Something that was moved to the staging schema for sure only if there is no such thing.
    trusting: Option<String>,
    /// Anything but settings was run.
    begun: bool,
    end: End,
}

/// A table that there is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Made {
    /// What becomes of its rows.
    fate: Fate,
    /// It has columns that are computed.
    computed: bool,
}

/// How a dump says that it is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It does not.
    Unknown,
    /// By a remark that has not come yet.
    Remark,
    /// By its last statement, which takes back its first ones.
    Statement,
    /// It did, by its last remark.
    Remarked,
    /// It did, by its last statement.
    Whole,
}

impl<'a> Allowed<'a> {
    pub(super) fn new(
        staging: &str,
        folded: bool,
        definer: Definer,
        selection: &'a Selection,
        here: Version,
        settings: Settings,
    ) -> Self {
        Self {
            here,
            settings,
            staging: letters(staging.as_bytes()),
            folded,
            definer,
            selection,
            own: None,
            server: None,
            tables: BTreeMap::new(),
            sequences: BTreeSet::new(),
            watched: BTreeSet::new(),
            awake: BTreeMap::new(),
            homonym: false,
            trusting: None,
            begun: false,
            end: End::Unknown,
        }
    }

    /// What the session is set to.
    pub(super) fn settings(&mut self) -> &mut Settings {
        &mut self.settings
    }

    /// The dumped server's version, as it printed it.
    pub(super) fn server(&self) -> Option<&str> {
        self.server.as_deref()
    }

    /// Events that were not just disabled where the dump is from, each with its status.
    pub(super) fn awake(&self) -> BTreeMap<String, String> {
        let awake = self.awake.iter();
        awake
            .map(|(name, status)| (readable(name), status.clone()))
            .collect()
    }

    /// A comment between statements.
    pub(super) fn remark(&mut self, remark: &[u8]) {
        let text = letters(remark);
        let text = text.trim_end();
        if text.starts_with("-- MySQL dump ") || text.starts_with("-- MariaDB dump ") {
            self.end = End::Remark;
        } else if let Some(version) = text.strip_prefix("-- Server version") {
            self.server = Some(version.trim().to_owned());
        } else if text.starts_with("-- Host: ")
            && let Some((_, own)) = text.split_once("Database: ")
            && !own.is_empty()
        {
            self.own = Some(own.to_owned());
        } else if text.starts_with("-- Dump completed") && self.end != End::Unknown {
            self.end = End::Remarked;
        }
    }

    /// The dump has ended: whether all of it was there.
    pub(super) fn whole(&self) -> Result<(), String> {
        match self.end {
            End::Remarked | End::Whole => Ok(()),
            End::Remark | End::Statement => Err(
                "it ends before its end: the last line of a whole dump says that it is completed".to_owned(),
            ),
            End::Unknown => Err(
                "it cannot be told whether it is whole, since it was written without comments (--compact)".to_owned(),
            ),
        }
    }

    /// Decides on a statement. `Err`: why it is refused.
    pub(super) fn decide(&mut self, sql: &[u8], dialect: Dialect) -> Result<Action, String> {
        match self.end {
            // More than one dump in a row.
            End::Remarked => self.end = End::Remark,
            End::Whole => self.end = End::Statement,
            _ => {}
        }
        if values::begins_rows(sql) {
            return self.rows(sql, dialect);
        }
        if sql.len() > LONGEST {
            return Err(format!(
                "it has {} bytes, and is not of rows: dumps have no such statement of more than {LONGEST}",
                sql.len()
            ));
        }
        let reading = Reading {
            dialect,
            server: &self.here,
            utf8: self.settings.is_utf8(),
        };
        // From here on it is this that is looked at, and that is sent.
        let sql = plain::plain(sql, reading)?;
        let text = letters(&sql);
        let tokens = lexer::tokens(&text, dialect);
        let solid = telling(&tokens);
        let Some(first) = solid.first() else {
            return Ok(Action::Skip);
        };
        if solid.iter().any(|token| token.is_mark(";")) && !has_body(&solid) {
            return Err("it is more than one statement".to_owned());
        }
        let mut rest = Rest::new(&solid);
        match first.text.to_ascii_uppercase().as_str() {
            "SET" => self.set(&solid),
            "CREATE" => self.create(&text, &solid, dialect),
            "DROP" => self.drop(&text, &solid, dialect),
            "ALTER" => self.alter(&mut rest, &sql),
            "USE" => {
                rest.take();
                let name = rest.named()?;
                self.is_dumped(&name)?;
                Ok(Action::Skip)
            }
            // Nobody else works in the staging schema.
            "LOCK"
                if solid
                    .get(1)
                    .is_some_and(|token| token.is("TABLES") || token.is("TABLE")) =>
            {
                Ok(Action::Skip)
            }
            // And statistics, which the copy makes anew.
            "UNLOCK" | "COMMIT" | "BEGIN" | "ANALYZE" => Ok(Action::Skip),
            "START" if solid.get(1).is_some_and(|token| token.is("TRANSACTION")) => {
                Ok(Action::Skip)
            }
            "DO" | "SELECT" => self.setval(&mut rest, &sql),
            _ => Err("dumps have no such statement".to_owned()),
        }
    }

    fn set(&mut self, solid: &[&Token<'_>]) -> Result<Action, String> {
        let setting = self.settings.decide(solid)?;
        if self.end != End::Remark && solid.iter().any(|token| token.is("OLD_SQL_NOTES")) {
            // What a dump without comments begins and ends with.
            self.end = if solid.get(1).is_some_and(|token| token.is_mark("@")) {
                End::Statement
            } else {
                End::Whole
            };
        }
        Ok(match setting {
            Setting::Run(sql) => Action::Set(sql),
            Setting::Skip => Action::Skip,
        })
    }

    fn rows(&mut self, sql: &[u8], dialect: Dialect) -> Result<Action, String> {
        let rows = values::read(sql, dialect)?;
        let table = letters(&rows.table);
        let key = self.key(&table);
        match self.tables.get(&key) {
            None => Err(format!(
                "rows for `{}`, which is no table that this dump has made",
                readable(&table)
            )),
            Some(made) if made.fate == Fate::Copy && self.watched.contains(&key) => Err(format!(
                "rows for `{}` after one of its triggers was made, which would fire",
                readable(&table)
            )),
            Some(made) if made.fate == Fate::Copy && made.computed => Ok(Action::Computed(rows)),
            Some(made) if made.fate == Fate::Copy => Ok(Action::Rows(rows)),
            // The run has no use for them.
            Some(_) => Ok(Action::Skip),
        }
    }

    fn key(&self, name: &str) -> String {
        if self.folded {
            letters(readable(name).to_lowercase().as_bytes())
        } else {
            name.to_owned()
        }
    }

    fn is_own(&self, name: &str) -> bool {
        self.own
            .as_ref()
            .is_some_and(|own| self.key(own) == self.key(name))
    }

    /// Whether it is the dumped database that a statement works with. There is one.
    fn is_dumped(&mut self, name: &Named) -> Result<(), String> {
        if self.own.is_none() && !self.begun {
            self.own = Some(name.name.clone());
        }
        if name.schema.is_none() && self.is_own(&name.name) {
            return Ok(());
        }
        Err(format!(
            "it is about the database `{}`, and a dump of one database may not reach out of it",
            readable(&name.name)
        ))
    }

    /// The name of what a statement makes, drops or changes: it has to be in the staging schema.
    fn inside(&self, named: &Named) -> Result<String, String> {
        match &named.schema {
            None => Ok(named.name.clone()),
            Some(schema) if *schema == self.staging => Ok(named.name.clone()),
            Some(schema) => Err(format!(
                "it is about `{}` of another database, `{}`",
                readable(&named.name),
                readable(schema)
            )),
        }
    }

    fn drop(
        &mut self,
        text: &str,
        solid: &[&Token<'_>],
        dialect: Dialect,
    ) -> Result<Action, String> {
        let mut rest = Rest::new(&solid[1..]);
        if rest.words(&["DATABASE"]) || rest.words(&["SCHEMA"]) {
            rest.words(&["IF", "EXISTS"]);
            let name = rest.named()?;
            self.is_dumped(&name)?;
            if self.begun {
                return Err("it drops the database that it has begun to fill".to_owned());
            }
            return Ok(Action::Told(format!(
                "the dump's DROP DATABASE `{}` is left out",
                readable(&name.name)
            )));
        }
        let text = moved(text, dialect, |name| self.is_own(name), &self.staging);
        let tokens = lexer::tokens(&text, dialect);
        let solid = telling(&tokens);
        let mut rest = Rest::new(&solid[1..]);
        let kind = rest.take().map(|token| token.text.to_ascii_uppercase());
        let kind = kind.unwrap_or_default();
        if kind == "PACKAGE" {
            rest.words(&["BODY"]);
        }
        if ![
            "TABLE",
            "VIEW",
            "SEQUENCE",
            "TRIGGER",
            "PROCEDURE",
            "FUNCTION",
            "EVENT",
            "PACKAGE",
        ]
        .contains(&kind.as_str())
        {
            return Err("dumps drop nothing of this kind".to_owned());
        }
        rest.words(&["IF", "EXISTS"]);
        for named in rest.all_named()? {
            let name = self.key(&self.inside(&named)?);
            match kind.as_str() {
                "TABLE" | "VIEW" => {
                    self.tables.remove(&name);
                    self.watched.remove(&name);
                }
                "SEQUENCE" => {
                    self.sequences.remove(&name);
                }
                _ => {}
            }
        }
        self.begun = true;
        Ok(Action::Run(bytes(&text)))
    }

    fn alter(&mut self, rest: &mut Rest<'_, '_>, sql: &[u8]) -> Result<Action, String> {
        rest.take();
        if rest.words(&["TABLE"]) {
            let name = rest.named()?;
            let is_keys = rest.words(&["DISABLE", "KEYS"]) || rest.words(&["ENABLE", "KEYS"]);
            if name.schema.is_some()
                || !self.tables.contains_key(&self.key(&name.name))
                || !is_keys
                || !rest.tokens().is_empty()
            {
                return Err("dumps alter no table but to put off its keys".to_owned());
            }
            return Ok(Action::Run(sql.to_vec()));
        }
        // How some objects were made: under another default of the database.
        if rest.words(&["DATABASE"]) || rest.words(&["SCHEMA"]) {
            let name = rest.named()?;
            self.is_dumped(&name)?;
            return match self.defaults(rest) {
                Some(defaults) if rest.tokens().is_empty() => Ok(Action::Run(bytes(&defaults))),
                _ => Err("dumps alter nothing but a database's character set".to_owned()),
            };
        }
        Err("dumps alter nothing of this kind".to_owned())
    }

    /// `[DEFAULT] CHARACTER SET utf8mb4 COLLATE ...` for the staging schema.
    fn defaults(&self, rest: &mut Rest<'_, '_>) -> Option<String> {
        rest.words(&["DEFAULT"]);
        if !rest.words(&["CHARACTER", "SET"]) {
            return None;
        }
        rest.mark("=");
        let set = rest.take().filter(|token| token.shape == Shape::Word)?.text;
        let mut made = format!(
            "ALTER DATABASE {} CHARACTER SET {set}",
            names::quoted(&self.staging)
        );
        if rest.words(&["COLLATE"]) {
            rest.mark("=");
            let collation = rest.take().filter(|token| token.shape == Shape::Word)?;
            made = format!("{made} COLLATE {}", collation.text);
        }
        Some(made)
    }

    /// `DO SETVAL(sequence, 1, 0)`, `SELECT SETVAL(...)`.
    fn setval(&mut self, rest: &mut Rest<'_, '_>, sql: &[u8]) -> Result<Action, String> {
        let refused = || "dumps ask for nothing but where sequences stand".to_owned();
        rest.take();
        if !rest.words(&["SETVAL"]) || !rest.mark("(") {
            return Err(refused());
        }
        let name = rest.named()?;
        let is_known = name.schema.is_none() && self.sequences.contains(&self.key(&name.name));
        let numbers = rest.tokens().iter().all(|token| {
            token.shape == Shape::Number || [",", "-", ")"].iter().any(|mark| token.is_mark(mark))
        });
        let closed = rest.tokens().last().is_some_and(|token| token.is_mark(")"));
        if !is_known || !numbers || !closed {
            return Err(refused());
        }
        let wanted = self.selection.fate(None, &readable(&name.name)) == Fate::Copy;
        Ok(if wanted {
            Action::Run(sql.to_vec())
        } else {
            Action::Skip
        })
    }

    fn create(
        &mut self,
        text: &str,
        solid: &[&Token<'_>],
        dialect: Dialect,
    ) -> Result<Action, String> {
        let mut rest = Rest::new(&solid[1..]);
        if rest.words(&["DATABASE"]) || rest.words(&["SCHEMA"]) {
            rest.words(&["IF", "NOT", "EXISTS"]);
            let name = rest.named()?;
            self.is_dumped(&name)?;
            tracing::info!(
                database = readable(&name.name),
                "the dump makes and uses its database by name: it is restored in a schema of the run's own instead"
            );
            return Ok(match self.defaults(&mut rest) {
                Some(defaults) => Action::Run(bytes(&defaults)),
                None => Action::Skip,
            });
        }
        self.begun = true;
        match Kind::of(&mut rest)? {
            Kind::Table => self.table(text, dialect),
            kind => self.object(text, kind, dialect),
        }
    }

    fn table(&mut self, text: &str, dialect: Dialect) -> Result<Action, String> {
        let text = moved(text, dialect, |name| self.is_own(name), &self.staging);
        let text = ddl::without_directories(&lexer::tokens(&text, dialect));
        let tokens = lexer::tokens(&text, dialect);
        let solid = telling(&tokens);
        let mut rest = Rest::new(&solid[1..]);
        Kind::of(&mut rest)?;
        let name = self.inside(&rest.named()?)?;
        let label = readable(&name);
        if rest
            .tokens()
            .first()
            .is_none_or(|token| !token.is_mark("("))
        {
            return Err("it makes a table of another one".to_owned());
        }
        let fate = self.selection.fate(None, &label);
        if !self.is_of_its_own(&solid, &label, fate)? {
            return Ok(Action::Skip);
        }
        self.see(&name, &label)?;
        let computed = solid
            .iter()
            .zip(solid.iter().skip(1))
            .any(|(token, next)| token.is("GENERATED") || (token.is("AS") && next.is_mark("(")));
        self.tables.insert(self.key(&name), Made { fate, computed });
        Ok(Action::Run(bytes(&text)))
    }

    /// Refuses a table or sequence that takes anything from elsewhere; `false`: it is excluded, and of an engine that is refused.
    fn is_of_its_own(&self, solid: &[&Token<'_>], label: &str, fate: Fate) -> Result<bool, String> {
        for (at, token) in solid.iter().enumerate() {
            let next = solid.get(at + 1);
            // A table that is made in a transaction is one of a query's.
            let is_begun = token.is("START") && next.is_some_and(|next| next.is("TRANSACTION"));
            if token.is("SELECT") || token.is("DIRECTORY") || is_begun {
                return Err(format!("it makes a table with {}", token.text));
            }
            let is_dotted = next.is_some_and(|next| next.is_mark("."))
                && solid
                    .get(at + 2)
                    .is_some_and(|token| token.name().is_some());
            if is_dotted
                && let Some(schema) = token.name()
                && schema != self.staging
                && !(at > 0 && solid[at - 1].is("REFERENCES"))
            {
                return Err(format!(
                    "it takes something from another database, `{}`",
                    readable(&schema)
                ));
            }
            if token.is("ENGINE") {
                let value = next.filter(|next| !next.is_mark("=")).or(solid.get(at + 2));
                let engine = value.map(|value| value.text).unwrap_or_default();
                if let Engine::Refused(why) = engines::of(engine, fate) {
                    if fate == Fate::Exclude {
                        return Ok(false);
                    }
                    return Err(engines::refusal(label, why).to_string());
                }
            }
        }
        Ok(true)
    }

    /// Something that may be called like the database.
    fn see(&mut self, name: &str, label: &str) -> Result<(), String> {
        let own = self.own.as_deref().unwrap_or_default();
        if !readable(name).eq_ignore_ascii_case(&readable(own)) {
            return Ok(());
        }
        self.homonym = true;
        match &self.trusting {
            None => Ok(()),
            Some(object) => Err(format!(
                "the database has something of its own name, `{label}`, and it cannot be told which of the two is meant in: {object}"
            )),
        }
    }

    /// A sequence, a view, a routine, a trigger or an event.
    fn object(&mut self, text: &str, kind: Kind, dialect: Dialect) -> Result<Action, String> {
        let text = match self.definer {
            Definer::Map => rewrite::without_definer(text, dialect),
            Definer::Keep => text.to_owned(),
        };
        let mut text = self.in_staging(&text, dialect)?;
        if kind == Kind::Event {
            let slept = objects::disabled(&text, dialect);
            let Some(status) = objects::status(&text, dialect) else {
                return Err("an event that says neither ENABLE nor DISABLE".to_owned());
            };
            if status != "DISABLE" {
                let tokens = lexer::tokens(&text, dialect);
                let solid = telling(&tokens);
                let mut rest = Rest::new(&solid[1..]);
                Kind::of(&mut rest)?;
                let name = rest.named()?.name;
                self.awake.insert(name, status);
            }
            text = slept;
        }
        let tokens = lexer::tokens(&text, dialect);
        let solid = telling(&tokens);
        let mut rest = Rest::new(&solid[1..]);
        Kind::of(&mut rest)?;
        let name = self.inside(&rest.named()?)?;
        match kind {
            Kind::Table | Kind::Event | Kind::Procedure => {}
            Kind::Sequence => {
                self.is_of_its_own(&solid, &readable(&name), Fate::Copy)?;
                self.sequences.insert(self.key(&name));
            }
            Kind::Function => {
                if rest
                    .tokens()
                    .first()
                    .is_some_and(|token| token.is("RETURNS"))
                {
                    return Err(
                        "it makes a function of a library, which is the whole server's".to_owned(),
                    );
                }
            }
            Kind::View | Kind::Package => {
                let label = readable(&name);
                self.see(&name, &label)?;
            }
            Kind::Trigger => {
                while rest.tokens().first().is_some_and(|token| !token.is("ON")) {
                    rest.take();
                }
                rest.take();
                let table = self.key(&self.inside(&rest.named()?)?);
                if !self.tables.contains_key(&table) {
                    return Err("a trigger on what this dump has not made".to_owned());
                }
                self.watched.insert(table);
            }
        }
        if kind == Kind::Event && objects::ends(&text, dialect) {
            return Ok(Action::Early(bytes(&text)));
        }
        if kind == Kind::View {
            return Ok(Action::View(bytes(&text)));
        }
        Ok(Action::Run(bytes(&text)))
    }

    /// References to the dumped database point to the staging schema.
    fn in_staging(&mut self, text: &str, dialect: Dialect) -> Result<String, String> {
        let Some(own) = &self.own else {
            return Ok(text.to_owned());
        };
        let from = |homonym| Schema {
            name: own,
            folded: self.folded,
            homonym,
        };
        let doubt = |place: String| {
            format!(
                "in `{}` it cannot be told whether `{}` is the database or something else of its name",
                readable(&place),
                readable(own)
            )
        };
        if let Ok(made) = rewrite::to_schema(text, dialect, from(true), &self.staging) {
            return Ok(made);
        }
        if self.homonym {
            let made = rewrite::to_schema(text, dialect, from(true), &self.staging);
            return made.map_err(doubt);
        }
        let made = rewrite::to_schema(text, dialect, from(false), &self.staging).map_err(doubt)?;
        self.trusting = Some(redact::statement(&readable(text), redact::Dialect::Mysql));
        Ok(made)
    }
}

/// Whether there may be statements inside.
fn has_body(solid: &[&Token<'_>]) -> bool {
    solid.first().is_some_and(|first| first.is("CREATE"))
        && Kind::of(&mut Rest::new(&solid[1..]))
            .is_ok_and(|kind| !matches!(kind, Kind::Table | Kind::Sequence | Kind::View))
}

/// What a CREATE makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Table,
    Sequence,
    View,
    Procedure,
    Function,
    Package,
    Trigger,
    Event,
}

impl Kind {
    /// Reads from behind CREATE to before the name.
    fn of(rest: &mut Rest<'_, '_>) -> Result<Self, String> {
        let refused = || "dumps make nothing of this kind".to_owned();
        loop {
            if rest.words(&["OR", "REPLACE"]) || rest.words(&["AGGREGATE"]) {
                continue;
            }
            if rest.words(&["ALGORITHM"]) {
                rest.mark("=");
                rest.take();
                continue;
            }
            if rest.words(&["SQL", "SECURITY"]) {
                rest.take();
                continue;
            }
            if rest.words(&["DEFINER"]) {
                if rest.account() {
                    continue;
                }
                return Err(refused());
            }
            break;
        }
        let kinds = [
            ("TABLE", Self::Table),
            ("SEQUENCE", Self::Sequence),
            ("VIEW", Self::View),
            ("PROCEDURE", Self::Procedure),
            ("FUNCTION", Self::Function),
            ("PACKAGE", Self::Package),
            ("TRIGGER", Self::Trigger),
            ("EVENT", Self::Event),
        ];
        let found = kinds.into_iter().find(|(word, _)| rest.words(&[word]));
        let (_, kind) = found.ok_or_else(refused)?;
        if kind == Self::Package {
            rest.words(&["BODY"]);
        }
        rest.words(&["IF", "NOT", "EXISTS"]);
        Ok(kind)
    }
}

#[cfg(test)]
mod tests;
