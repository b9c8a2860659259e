//! The SET statements of a dump, followed in full: what `mysqldump` and `mariadb-dump` write, with values that are literals, and
//! nothing else. No text of theirs is run: what they come to is said to the server in words of ours. Pure.

use std::collections::BTreeMap;

use super::charsets;
use crate::store::mysql::sql::lexer::{Shape, Token};
use crate::store::mysql::sql::names::literal;

/// What is done with one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Setting {
    /// This is run, and asked back.
    Run(String),
    /// Nothing: it keeps what the session has; or it is of replication or transactions, which are the target's own, of how the
    /// server answers, or of the checks of keys, which stay on: without them rows that are twice are found late, or never.
    Skip,
}

/// What dumps set for the session, all in all.
const RUN: [&str; 8] = [
    CLIENT,
    COLLATION,
    "foreign_key_checks",
    "note_verbosity",
    MODE,
    "sql_notes",
    "system_versioning_insert_history",
    ZONE,
];

const CLIENT: &str = "character_set_client";
const COLLATION: &str = "collation_connection";
const MODE: &str = "sql_mode";
const ZONE: &str = "time_zone";

/// What is left as it is.
const SKIPPED: [&str; 5] = [
    "autocommit",
    "character_set_results",
    "gtid_purged",
    "sql_log_bin",
    "unique_checks",
];

/// Words that a `sql_mode` may have: those of MySQL 5.5 and MariaDB 10.3 up to now.
const MODES: [&str; 38] = [
    "ALLOW_INVALID_DATES",
    "ANSI",
    "ANSI_QUOTES",
    "DB2",
    "EMPTY_STRING_IS_NULL",
    "ERROR_FOR_DIVISION_BY_ZERO",
    "HIGH_NOT_PRECEDENCE",
    "IGNORE_BAD_TABLE_OPTIONS",
    "IGNORE_SPACE",
    "MAXDB",
    "MSSQL",
    "MYSQL323",
    "MYSQL40",
    "NO_AUTO_CREATE_USER",
    "NO_AUTO_VALUE_ON_ZERO",
    "NO_BACKSLASH_ESCAPES",
    "NO_DIR_IN_CREATE",
    "NO_ENGINE_SUBSTITUTION",
    "NO_FIELD_OPTIONS",
    "NO_KEY_OPTIONS",
    "NO_TABLE_OPTIONS",
    "NO_UNSIGNED_SUBTRACTION",
    "NO_ZERO_DATE",
    "NO_ZERO_IN_DATE",
    "ONLY_FULL_GROUP_BY",
    "ORACLE",
    "PAD_CHAR_TO_FULL_LENGTH",
    "PIPES_AS_CONCAT",
    "POSTGRESQL",
    "REAL_AS_FLOAT",
    "SIMULTANEOUS_ASSIGNMENT",
    "STRICT_ALL_TABLES",
    "STRICT_TRANS_TABLES",
    "TIME_ROUND_FRACTIONAL",
    "TIME_TRUNCATE_FRACTIONAL",
    "TRADITIONAL",
    "NOT_USED",
    "",
];

/// How many variables of its own a dump keeps at the most; the tools have a dozen.
const KEPT: usize = 64;

/// The settings of a dump's session.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    /// The values of [`RUN`], as far as the server has them.
    now: BTreeMap<&'static str, String>,
    /// The dump's own variables, by their names in lower case: of what they are, and the value that they keep.
    kept: BTreeMap<String, (&'static str, String)>,
    /// The time zone is one that the dump has named.
    is_zone_named: bool,
}

impl Settings {
    /// Asks for all that dumps set: names and values.
    pub(super) fn question() -> String {
        let names: Vec<String> = RUN.iter().map(|name| literal(name)).collect();
        format!(
            "SHOW SESSION VARIABLES WHERE Variable_name IN ({})",
            names.join(", ")
        )
    }

    /// What the session has before the dump.
    pub(super) fn of(answer: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut now = BTreeMap::new();
        for (name, value) in answer {
            if let Some(name) = known(&RUN, &name) {
                now.insert(name, value);
            }
        }
        Self {
            now,
            kept: BTreeMap::new(),
            is_zone_named: false,
        }
    }

    /// What has to be asked back after a statement; [`Settings::are`] takes it.
    pub(super) const ASK: &str =
        "SELECT @@SESSION.character_set_client, @@SESSION.collation_connection, @@SESSION.sql_mode";

    /// Takes what the server says that these are now; `false`: it is not what was set.
    pub(super) fn are(&mut self, client: String, collation: String, mode: String) -> bool {
        let as_set = charsets::charset(&client).is_ok()
            && charsets::is_same(self.value(CLIENT), &client)
            && mode.split(',').all(|word| MODES.contains(&word));
        self.now.insert(CLIENT, client);
        self.now.insert(COLLATION, collation);
        self.now.insert(MODE, mode);
        as_set
    }

    /// Whether the session's letters are UTF-8.
    pub(super) fn is_utf8(&self) -> bool {
        charsets::is_utf8(self.value(CLIENT))
    }

    /// The character set of strings. `Err`: they are read in one, and kept in another.
    pub(super) fn strings(&self) -> Result<String, String> {
        let client = self.value(CLIENT);
        let collation = self.value(COLLATION);
        let kept = collation.split('_').next().unwrap_or_default();
        if charsets::is_same(client, kept) || (charsets::is_utf8(client) && charsets::is_utf8(kept))
        {
            return Ok(client.to_owned());
        }
        Err(format!(
            "its strings are in {client} and are read as {kept}: dumps have both by one SET NAMES"
        ))
    }

    /// The time zone of TIMESTAMPs. `None`: the dump does not say it, and they are in whichever its server had.
    pub(super) fn zone(&self) -> Option<&str> {
        self.is_zone_named.then(|| self.value(ZONE))
    }

    /// Whether rows say from when to when they were so.
    pub(super) fn has_past(&self) -> bool {
        matches!(self.value("system_versioning_insert_history"), "1" | "ON")
    }

    fn value(&self, name: &str) -> &str {
        self.now.get(name).map(String::as_str).unwrap_or_default()
    }

    /// Decides on a statement's tokens from SET on, without blanks. `Err`: what is wrong with it.
    pub(super) fn decide(&mut self, tokens: &[&Token<'_>]) -> Result<Setting, String> {
        if let Some(setting) = self.names(&tokens[1..])? {
            return Ok(setting);
        }
        let mut set: Vec<(&'static str, String)> = Vec::new();
        for item in tokens[1..].split(|token| token.is_mark(",")) {
            set.extend(self.assignment(item)?);
        }
        if set.is_empty() {
            return Ok(Setting::Skip);
        }
        let sql: Vec<String> = set
            .iter()
            .map(|(name, value)| format!("{name} = {value}"))
            .collect();
        Ok(Setting::Run(format!("SET SESSION {}", sql.join(", "))))
    }

    /// `NAMES utf8mb4`. What the server answers in stays UTF-8.
    fn names(&mut self, tokens: &[&Token<'_>]) -> Result<Option<Setting>, String> {
        let (name, collation) = match tokens {
            [names, name] if names.is("NAMES") => (name, None),
            [names, name, collate, collation] if names.is("NAMES") && collate.is("COLLATE") => {
                (name, Some(collation))
            }
            _ => return Ok(None),
        };
        let charset = charsets::charset(word(name).ok_or_else(unknown)?)?;
        let connection = match collation {
            None => format!("character_set_connection = {charset}"),
            Some(name) => {
                let name = charsets::collation(word(name).ok_or_else(unknown)?)?;
                format!("{COLLATION} = {name}")
            }
        };
        let sql = format!("SET SESSION {CLIENT} = {charset}, {connection}");
        self.now.insert(CLIENT, charset);
        Ok(Some(Setting::Run(sql)))
    }

    /// One assignment: a variable that is to be set, and its value as SQL.
    fn assignment(
        &mut self,
        item: &[&Token<'_>],
    ) -> Result<Option<(&'static str, String)>, String> {
        let sign = item.iter().position(|token| token.is_mark("="));
        let (name, value) = item.split_at(sign.ok_or_else(unknown)?);
        let value = &value[1..];
        if let Some(own) = own_variable(name) {
            self.keep(&own, value)?;
            return Ok(None);
        }
        let (scope, name) = variable(name).ok_or_else(unknown)?;
        let is_global = scope == Scope::Global;
        if let Some(name) = known(&SKIPPED, name) {
            let is_fine = match name {
                "gtid_purged" => value.iter().all(|token| token.shape == Shape::Text),
                _ if is_global => false,
                "character_set_results" => self.charset_results(value),
                _ => self.is_switch(name, value),
            };
            return if is_fine { Ok(None) } else { Err(unknown()) };
        }
        let name = known(&RUN, name).filter(|_| !is_global).ok_or_else(|| {
            let shown: String = name.chars().take(64).collect();
            format!("it sets `{}`, which dumps do not set", shown.to_lowercase())
        })?;
        if !self.now.contains_key(name) {
            return Err(format!("it sets `{name}`, which this server does not have"));
        }
        if name == ZONE {
            self.is_zone_named = value.len() == 1;
        }
        let value = match value {
            [at, own] if at.is_mark("@") => self.taken_back(name, own)?,
            [value] => plain_value(name, value)?,
            _ => return Err("it sets something to more than a value".to_owned()),
        };
        let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        let sql = match name {
            CLIENT | COLLATION => value.clone(),
            _ if is_number => value.clone(),
            _ => literal(&value),
        };
        self.now.insert(name, value);
        Ok(Some((name, sql)))
    }

    /// `@name = @@variable`.
    fn keep(&mut self, own: &str, value: &[&Token<'_>]) -> Result<(), String> {
        let [first, second, rest @ ..] = value else {
            return Err(unknown());
        };
        if !first.is_mark("@") || !second.is_mark("@") {
            return Err(
                "it gives a variable another value than one that the session has".to_owned(),
            );
        }
        let (scope, name) = scoped(rest).ok_or_else(unknown)?;
        let name = known(&RUN, name).or_else(|| known(&SKIPPED, name));
        let name = name
            .filter(|_| scope == Scope::Session)
            .ok_or_else(unknown)?;
        if self.kept.len() >= KEPT {
            return Err("it saves more values than dumps do".to_owned());
        }
        let now = self.value(name).to_owned();
        self.kept.insert(own.to_ascii_lowercase(), (name, now));
        Ok(())
    }

    /// `@name`, which has to keep this variable's value.
    fn taken_back(&self, name: &str, own: &Token<'_>) -> Result<String, String> {
        let kept = self.kept.get(&own.text.to_ascii_lowercase());
        match kept {
            Some((of, value)) if *of == name => Ok(value.clone()),
            _ => Err(format!(
                "it sets `{name}` to something else than its saved value"
            )),
        }
    }

    fn charset_results(&self, value: &[&Token<'_>]) -> bool {
        match value {
            [at, own] if at.is_mark("@") => self.taken_back("character_set_results", own).is_ok(),
            [value] => {
                value.is("NULL") || word(value).is_some_and(|name| charsets::charset(name).is_ok())
            }
            _ => false,
        }
    }

    fn is_switch(&self, name: &str, value: &[&Token<'_>]) -> bool {
        match value {
            [at, own] if at.is_mark("@") => self.taken_back(name, own).is_ok(),
            [value] => switch(value).is_some(),
            _ => false,
        }
    }
}

fn unknown() -> String {
    "it sets what dumps do not set".to_owned()
}

fn known(names: &'static [&'static str], name: &str) -> Option<&'static str> {
    names
        .iter()
        .copied()
        .find(|known| known.eq_ignore_ascii_case(name))
}

/// A literal of this variable's kind.
fn plain_value(name: &str, token: &Token<'_>) -> Result<String, String> {
    let refused = || format!("it sets `{name}` to what dumps do not set it to");
    let text = text(token);
    match name {
        CLIENT => charsets::charset(word(token).ok_or_else(refused)?),
        COLLATION => charsets::collation(word(token).ok_or_else(refused)?),
        MODE => {
            let mode = text.ok_or_else(refused)?.to_ascii_uppercase();
            if mode.split(',').all(|word| MODES.contains(&word)) {
                Ok(mode)
            } else {
                Err(refused())
            }
        }
        ZONE => {
            let zone = text.ok_or_else(refused)?;
            let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"_/+-:".contains(&byte);
            if !zone.is_empty() && zone.len() <= 64 && zone.bytes().all(is_letter) {
                Ok(zone.to_owned())
            } else {
                Err(refused())
            }
        }
        _ => switch(token).ok_or_else(refused),
    }
}

/// `0`, `1`, `ON` or `OFF`.
fn switch(token: &Token<'_>) -> Option<String> {
    let is_one = token.text == "1" || token.is("ON");
    let is_none = token.text == "0" || token.is("OFF");
    (is_one || is_none).then(|| u8::from(is_one).to_string())
}

/// The content of a string, if no character in it is special.
fn text<'a>(token: &Token<'a>) -> Option<&'a str> {
    let inner = token.text.get(1..token.text.len().checked_sub(1)?)?;
    let is_plain = inner
        .bytes()
        .all(|byte| (b' '..=b'~').contains(&byte) && !b"'\"\\`".contains(&byte));
    (token.shape == Shape::Text && is_plain).then_some(inner)
}

/// A name, quoted as a string or not at all.
fn word<'a>(token: &Token<'a>) -> Option<&'a str> {
    match token.shape {
        Shape::Word => Some(token.text),
        _ => text(token),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Session,
    Global,
}

/// `@name`.
fn own_variable(name: &[&Token<'_>]) -> Option<String> {
    match name {
        [at, own] if at.is_mark("@") && own.shape == Shape::Word => Some(own.text.to_owned()),
        _ => None,
    }
}

/// `name`, `SESSION name`, `@@name` or `@@SESSION.name`, and the same with other scopes.
fn variable<'a>(name: &[&Token<'a>]) -> Option<(Scope, &'a str)> {
    match name {
        [first, second, rest @ ..] if first.is_mark("@") && second.is_mark("@") => scoped(rest),
        [word, name] if name.shape == Shape::Word => Some((scope(word)?, name.text)),
        [name] if name.shape == Shape::Word => Some((Scope::Session, name.text)),
        _ => None,
    }
}

/// `name` or `session.name`.
fn scoped<'a>(name: &[&Token<'a>]) -> Option<(Scope, &'a str)> {
    match name {
        [name] if name.shape == Shape::Word => Some((Scope::Session, name.text)),
        [word, dot, name] if dot.is_mark(".") && name.shape == Shape::Word => {
            Some((scope(word)?, name.text))
        }
        _ => None,
    }
}

fn scope(word: &Token<'_>) -> Option<Scope> {
    if word.is("SESSION") || word.is("LOCAL") {
        Some(Scope::Session)
    } else {
        word.is("GLOBAL").then_some(Scope::Global)
    }
}

#[cfg(test)]
pub(super) mod tests;
