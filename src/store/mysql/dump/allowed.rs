//! Which statements of a dump are run, and how they have to be changed to be about the staging schema and nothing else. Pure.
//!
//! What dumps consist of is known, so that is what is allowed; everything else is refused before it is run.

use std::collections::{BTreeMap, BTreeSet};

use super::kind::has_body;
use super::settings::{Setting, Settings};
use super::statement::{Named, Rest, bytes, latin1, moved, readable, telling};
use super::values::{self, Rows};
use crate::config::job::Definer;
use crate::store::mysql::sql::executed::{self, Reading};
use crate::store::mysql::sql::lexer::{self, Dialect, Shape, Token};
use crate::store::mysql::sql::names;
use crate::store::mysql::sql::version::Version;
use crate::store::{Fate, Selection};

mod create;

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
    /// Rows of the table with this number: they are not run, but read once more when they are wanted.
    Rows(usize, Rows),
    /// It is left out.
    Skip,
    /// It is left out, for this reason.
    Told(String),
}

/// No tool writes a longer statement than this, in bytes, of anything but rows: what it takes to understand one is many times
/// as long.
const LONGEST: usize = 4 << 20;

/// Checks a dump's statements one after the other, and remembers what the earlier ones did.
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
    /// How many tables there have been: one that is dropped and made again is another one.
    made: usize,
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
    number: usize,
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
            staging: latin1(staging.as_bytes()),
            folded,
            definer,
            selection,
            own: None,
            server: None,
            tables: BTreeMap::new(),
            made: 0,
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

    /// The numbers of the tables that are still there.
    pub(super) fn numbers(&self) -> BTreeSet<usize> {
        self.tables.values().map(|made| made.number).collect()
    }

    /// A comment between statements.
    pub(super) fn remark(&mut self, remark: &[u8]) {
        let text = latin1(remark);
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
        let sql = executed::expand(sql, reading)?;
        let text = latin1(&sql);
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
        let table = latin1(&rows.table);
        let key = self.key(&table);
        match self.tables.get(&key) {
            None => Err(format!(
                "rows for `{}`, which is not a table of this dump",
                readable(&table)
            )),
            Some(made) if made.fate == Fate::Copy && self.watched.contains(&key) => Err(format!(
                "rows for `{}` after one of its triggers was made, which would fire",
                readable(&table)
            )),
            Some(made) if made.fate == Fate::Copy => Ok(Action::Rows(made.number, rows)),
            // The run has no use for them.
            Some(_) => Ok(Action::Skip),
        }
    }

    fn key(&self, name: &str) -> String {
        if self.folded {
            latin1(readable(name).to_lowercase().as_bytes())
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
                return Err("dumps alter tables only to disable and enable keys".to_owned());
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
        let refused = || "dumps only ask for the state of sequences".to_owned();
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
}

#[cfg(test)]
mod tests;
