//! What is in a schema and is no table: views, routines, packages, triggers, events.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::config::job::{Definer, Events};
use crate::error::{Error, Kind, Result};
use crate::store::mysql::connection::{row::Row, session::Session};
use crate::store::mysql::sql::lexer::{self, Dialect, Shape, plain_tokens};
use crate::store::mysql::sql::names::{literal, quoted};
use crate::store::mysql::sql::rewrite::{self, Schema};
use crate::store::mysql::sql::version::Flavour;

/// The kind of an object. Objects are created in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::store::mysql) enum ObjectKind {
    /// Code of another language that routines use (MySQL 9.2).
    Library,
    /// A package's declaration (MariaDB).
    Package,
    /// A package's code.
    PackageBody,
    /// A function.
    Function,
    /// A procedure.
    Procedure,
    /// A view.
    View,
    /// A trigger.
    Trigger,
    /// An event.
    Event,
}

impl ObjectKind {
    const ALL: [Self; 8] = [
        Self::Library,
        Self::Package,
        Self::PackageBody,
        Self::Function,
        Self::Procedure,
        Self::View,
        Self::Trigger,
        Self::Event,
    ];

    /// The one that statements spell so.
    pub(in crate::store::mysql) fn of_keyword(keyword: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.keyword() == keyword)
    }

    /// As statements spell it.
    pub(in crate::store::mysql) fn keyword(self) -> &'static str {
        match self {
            Self::Library => "LIBRARY",
            Self::Package => "PACKAGE",
            Self::PackageBody => "PACKAGE BODY",
            Self::Function => "FUNCTION",
            Self::Procedure => "PROCEDURE",
            Self::View => "VIEW",
            Self::Trigger => "TRIGGER",
            Self::Event => "EVENT",
        }
    }
}

impl std::fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.keyword().to_lowercase())
    }
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store::mysql) struct Object {
    pub(in crate::store::mysql) kind: ObjectKind,
    pub(in crate::store::mysql) name: String,
    /// The table that a trigger is on.
    pub(in crate::store::mysql) table: Option<String>,
    /// What `SHOW CREATE` prints in a session that is in the schema.
    pub(in crate::store::mysql) definition: String,
    pub(in crate::store::mysql) sql_mode: String,
    pub(in crate::store::mysql) charset_client: String,
    pub(in crate::store::mysql) collation_connection: String,
    /// The schema's default when it was made; empty: a view, which has none. `None`: an archive that does not say.
    #[serde(default)]
    pub(in crate::store::mysql) database_collation: Option<String>,
    /// `user@host`, or a role.
    pub(in crate::store::mysql) definer: String,
    /// Of an event: whether it runs.
    pub(in crate::store::mysql) enabled: bool,
    /// Of a trigger: its place among those of its table, time and event.
    pub(in crate::store::mysql) order: u64,
    /// Of an event: the zone of its times.
    pub(in crate::store::mysql) time_zone: Option<String>,
    /// Of a view: what it refers to is not there.
    pub(in crate::store::mysql) broken: bool,
    /// The server compares names of schemas without case.
    pub(in crate::store::mysql) folded: bool,
    /// The schema has a table, view or package of its own name.
    pub(in crate::store::mysql) homonym: bool,
}

/// Where objects are created: from which schema, in which, and with which definer.
#[derive(Debug, Clone, Copy)]
pub(in crate::store::mysql) struct Creation<'a> {
    /// The schema that they were read in.
    pub(in crate::store::mysql) from: &'a str,
    /// The schema that they are made in; the session is in it (`USE`).
    pub(in crate::store::mysql) to: &'a str,
    pub(in crate::store::mysql) definer: Definer,
    pub(in crate::store::mysql) events: Events,
}

/// Takes back what the first statement of an object's changed in the session; also after one that failed.
pub(in crate::store::mysql) const RESTORE: &str = "SET SESSION sql_mode = @envsyncd_mode, character_set_client = @envsyncd_client, \
     collation_connection = @envsyncd_collation, time_zone = @envsyncd_zone, timestamp = DEFAULT";

impl Object {
    /// For people: `view v`.
    pub(in crate::store::mysql) fn label(&self) -> String {
        format!("{} {}", self.kind, self.name)
    }

    fn dialect(&self) -> Dialect {
        Dialect::of(&self.sql_mode)
    }

    /// The character set in which a text that is Unicode can be sent. The original one, unless the text has letters. What
    /// the object does is the same, since literals are of the connection's collation.
    pub(in crate::store::mysql) fn client(&self) -> &str {
        if self.definition.is_ascii() || self.charset_client.starts_with("utf8") {
            &self.charset_client
        } else {
            "utf8mb4"
        }
    }

    /// Its definition as it is in `to`.
    pub(in crate::store::mysql) fn rewritten(&self, making: &Creation<'_>) -> Result<String> {
        let from = Schema {
            name: making.from,
            folded: self.folded,
            homonym: self.homonym,
        };
        let text = match making.definer {
            Definer::Map => rewrite::without_definer(&self.definition, self.dialect()),
            Definer::Keep => self.definition.clone(),
        };
        if making.from == making.to || self.kind == ObjectKind::Library {
            return Ok(text);
        }
        // Of another language's code nothing is understood.
        let (text, body) = rewrite::foreign_body(&text, self.dialect());
        let moved = rewrite::to_schema(text, self.dialect(), from, making.to);
        moved.map(|text| text + body).map_err(|place| {
            Error::new(
                Kind::Verify,
                format!(
                    "{} cannot be moved to another schema: in `{place}` it is not clear whether `{}` is the schema or something else of its name",
                    self.label(),
                    making.from
                ),
            )
            .hint("on the source, leave the schema out there, or rename the alias, variable or table that is called like it")
        })
    }

    /// Makes it: to be run in this order in a session that is in the schema `to`. The last one is [`RESTORE`].
    pub(in crate::store::mysql) fn statements(&self, making: &Creation<'_>) -> Result<[String; 3]> {
        let mut text = self.rewritten(making)?;
        if self.kind == ObjectKind::Event && making.events == Events::Disabled {
            text = disabled(&text, self.dialect());
        }
        let [settings, restore] = self.settings(&self.charset_client);
        Ok([settings, text, restore])
    }

    /// What has to be run before its definition, which is sent in the character set `client`, and after it.
    pub(in crate::store::mysql) fn settings(&self, client: &str) -> [String; 2] {
        let mut more = String::new();
        if self.kind == ObjectKind::Event {
            if let Some(zone) = &self.time_zone {
                more.push_str(&format!(", time_zone = {}", literal(zone)));
            }
            if ends(&self.definition, self.dialect()) {
                // The server makes no event whose time is over; so it is another time for a moment.
                more.push_str(", timestamp = 1");
            }
        }
        [
            format!(
                "{}, character_set_client = {client}, collation_connection = {}{more}",
                mode_kept_and_set(&self.sql_mode),
                self.collation_connection
            ),
            RESTORE.to_owned(),
        ]
    }
}

/// Keeps what is changed, and sets the SQL mode.
fn mode_kept_and_set(sql_mode: &str) -> String {
    format!(
        "SET @envsyncd_mode = @@SESSION.sql_mode, @envsyncd_client = @@SESSION.character_set_client, \
         @envsyncd_collation = @@SESSION.collation_connection, @envsyncd_zone = @@SESSION.time_zone, \
         SESSION sql_mode = {}",
        literal(sql_mode)
    )
}

/// Whether a text is what [`Object::settings`] makes for an object of this SQL mode.
pub(in crate::store::mysql) fn are_settings(text: &str, sql_mode: &str) -> bool {
    let rest = text.strip_prefix(&mode_kept_and_set(sql_mode));
    let Some(tokens) = rest.and_then(plain_tokens) else {
        return false;
    };
    let all = tokens.chunks(4).map(|set| match set {
        [comma, name, is, value] if comma.is_mark(",") && is.is_mark("=") => Some((name, value)),
        _ => None,
    });
    let fine = all.enumerate().all(|(place, set)| {
        let known = match place {
            0 => ("character_set_client", Shape::Word),
            1 => ("collation_connection", Shape::Word),
            _ => match set {
                Some((name, _)) if name.is("timestamp") => ("timestamp", Shape::Number),
                _ => ("time_zone", Shape::Text),
            },
        };
        set.is_some_and(|(name, value)| name.is(known.0) && value.shape == known.1)
    });
    fine && tokens.len() >= 8
}

/// Puts DISABLE where the server printed an event's status.
pub(in crate::store::mysql) fn disabled(sql: &str, dialect: Dialect) -> String {
    with_status(sql, dialect, "DISABLE")
}

/// Puts these words where the server printed an event's status.
pub(in crate::store::mysql) fn with_status(sql: &str, dialect: Dialect, words: &str) -> String {
    let tokens = lexer::tokens(sql, dialect);
    let Some((start, end)) = status_range(&tokens) else {
        return sql.to_owned();
    };
    let text =
        |tokens: &[lexer::Token<'_>]| tokens.iter().map(|token| token.text).collect::<String>();
    format!(
        "{}{words}{}",
        text(&tokens[..start]),
        text(&tokens[end + 1..])
    )
}

/// An event's status as the server printed it: `ENABLE`, `DISABLE`, `DISABLE ON SLAVE`.
pub(in crate::store::mysql) fn status(sql: &str, dialect: Dialect) -> Option<String> {
    let tokens = lexer::tokens(sql, dialect);
    let (start, end) = status_range(&tokens)?;
    let words: Vec<String> = tokens[start..=end]
        .iter()
        .filter(|token| token.shape != lexer::Shape::Blank)
        .map(|token| token.text.to_ascii_uppercase())
        .collect();
    Some(words.join(" "))
}

/// Where it stands: the first word's place and the last one's.
fn status_range(tokens: &[lexer::Token<'_>]) -> Option<(usize, usize)> {
    let start = tokens
        .iter()
        .take_while(|token| !token.is("DO"))
        .position(|token| token.is("ENABLE") || token.is("DISABLE"))?;
    // DISABLE ON SLAVE, DISABLE ON REPLICA
    let on = lexer::solid(tokens, start + 1).filter(|(_, token)| token.is("ON"));
    let end = on
        .and_then(|(at, _)| lexer::solid(tokens, at + 1))
        .map_or(start, |(at, _)| at);
    Some((start, end))
}

/// Whether an event has an end, or happens once.
pub(in crate::store::mysql) fn ends(sql: &str, dialect: Dialect) -> bool {
    lexer::tokens(sql, dialect)
        .iter()
        .take_while(|token| !token.is("DO"))
        .any(|token| token.is("AT") || token.is("ENDS"))
}

/// An order in which they can be made: functions before views that call them, views before views on them, triggers of one
/// table in the order in which they fire.
pub(super) fn in_order(objects: &mut Vec<Object>) {
    objects.sort_by(|a, b| {
        (a.kind, &a.table, a.order, &a.name).cmp(&(b.kind, &b.table, b.order, &b.name))
    });
    let first = objects
        .iter()
        .position(|object| object.kind == ObjectKind::View);
    let Some(first) = first else { return };
    let last = objects
        .iter()
        .rposition(|object| object.kind == ObjectKind::View)
        .unwrap_or(first);
    let mut waiting: Vec<Object> = objects.drain(first..=last).collect();
    let names: BTreeSet<String> = waiting
        .iter()
        .map(|view| view.name.to_lowercase())
        .collect();
    let mut needs: Vec<BTreeSet<String>> = waiting
        .iter()
        .map(|view| {
            let mut found = mentioned(view, &names);
            found.remove(&view.name.to_lowercase());
            found
        })
        .collect();
    let mut sorted: Vec<Object> = Vec::with_capacity(waiting.len());
    let mut done: BTreeSet<String> = BTreeSet::new();
    while !waiting.is_empty() {
        let ready: Vec<usize> = (0..waiting.len())
            .filter(|at| needs[*at].is_subset(&done))
            .collect();
        // A circle is one of names only (a column called like a view): whoever makes them tries again.
        let ready = if ready.is_empty() { vec![0] } else { ready };
        for at in ready.into_iter().rev() {
            needs.remove(at);
            let view = waiting.remove(at);
            done.insert(view.name.to_lowercase());
            sorted.push(view);
        }
    }
    objects.splice(first..first, sorted);
}

/// Which of these names a view mentions where a table's name can be.
fn mentioned(view: &Object, names: &BTreeSet<String>) -> BTreeSet<String> {
    let tokens = lexer::tokens(&view.definition, view.dialect());
    tokens
        .iter()
        .enumerate()
        .filter(|(at, token)| token.name().is_some() && can_be_table(&tokens, *at))
        .filter_map(|(_, token)| token.name())
        .map(|name| name.to_lowercase())
        .filter(|name| names.contains(name))
        .collect()
}

/// Whether a name in the server's own text of a view may be a table's: no alias, and behind a dot only in a FROM clause.
fn can_be_table(tokens: &[lexer::Token<'_>], at: usize) -> bool {
    match lexer::before(tokens, at) {
        Some((_, token)) if token.is("AS") => false,
        Some((dot, token)) if token.is_mark(".") => lexer::before(tokens, dot)
            .and_then(|(schema, _)| lexer::before(tokens, schema))
            .is_some_and(|(_, token)| token.is("FROM") || token.is("JOIN") || token.is_mark("(")),
        _ => true,
    }
}

/// Reads all of a schema, in the order of [`in_order`]. The session is left in the schema.
pub(in crate::store::mysql) async fn read(
    session: &mut Session,
    schema: &str,
) -> Result<Vec<Object>> {
    session.run(&format!("USE {}", quoted(schema))).await?;
    let folded = session
        .query_one("SELECT @@lower_case_table_names")
        .await?
        .number(0)?
        != 0;
    let name = literal(schema);
    let libraries = if session.version().is_mysql(9, 2) {
        format!(
            "SELECT 'LIBRARY', LIBRARY_NAME, NULL, '', '', '' FROM information_schema.LIBRARIES WHERE LIBRARY_SCHEMA = {name} UNION ALL "
        )
    } else {
        String::new()
    };
    let rows = session
        .query(&format!(
            "{libraries}SELECT 'VIEW', TABLE_NAME, NULL, DEFINER, '', '' FROM information_schema.VIEWS WHERE TABLE_SCHEMA = {name} \
             UNION ALL SELECT ROUTINE_TYPE, ROUTINE_NAME, NULL, DEFINER, '', '' FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = {name} \
             UNION ALL SELECT 'TRIGGER', TRIGGER_NAME, EVENT_OBJECT_TABLE, DEFINER, ACTION_ORDER, '' FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = {name} \
             UNION ALL SELECT 'EVENT', EVENT_NAME, NULL, DEFINER, '', STATUS FROM information_schema.EVENTS WHERE EVENT_SCHEMA = {name}"
        ))
        .await?;
    let mut objects = Vec::with_capacity(rows.len());
    for row in rows {
        let kind = match row.text(0)?.to_ascii_uppercase().as_str() {
            "VIEW" => ObjectKind::View,
            "PROCEDURE" => ObjectKind::Procedure,
            "FUNCTION" => ObjectKind::Function,
            "PACKAGE" => ObjectKind::Package,
            "PACKAGE BODY" => ObjectKind::PackageBody,
            "TRIGGER" => ObjectKind::Trigger,
            "EVENT" => ObjectKind::Event,
            "LIBRARY" => ObjectKind::Library,
            // MySQL's loadable code in other languages, and whatever comes.
            other => {
                return Err(Error::new(
                    Kind::Verify,
                    format!("{other} {} cannot be copied", row.text(1)?),
                ));
            }
        };
        let mut object = Object {
            kind,
            name: row.text(1)?,
            table: row.maybe(2)?,
            definition: String::new(),
            sql_mode: String::new(),
            charset_client: String::new(),
            collation_connection: String::new(),
            database_collation: None,
            definer: row.maybe(3)?.unwrap_or_default(),
            enabled: row.maybe(5)?.is_some_and(|status| status == "ENABLED"),
            order: row
                .maybe(4)?
                .and_then(|order| order.parse().ok())
                .unwrap_or(0),
            time_zone: None,
            broken: false,
            folded,
            homonym: false,
        };
        show(session, &mut object).await?;
        objects.push(object);
    }
    in_order(&mut objects);
    Ok(objects)
}

/// Fills in what `SHOW CREATE` says.
async fn show(session: &mut Session, object: &mut Object) -> Result<()> {
    let row: Row = session
        .query_one(&format!(
            "SHOW CREATE {} {}",
            object.kind.keyword(),
            quoted(&object.name)
        ))
        .await
        .map_err(|error| error.within(object.label()))?;
    let (mode, text, client) = match object.kind {
        ObjectKind::View => (None, 1, 2),
        ObjectKind::Event => (Some(1), 3, 4),
        _ => (Some(1), 2, 3),
    };
    if row.bytes(text).is_none() {
        return Err(hidden(session, object));
    }
    object.definition = row.definition(text)?;
    if let Some(mode) = mode {
        object.sql_mode = row.text(mode)?;
    }
    if session.version().flavour == Flavour::MySql {
        // MySQL 8 has no such mode any more, and it means nothing to an object.
        object.sql_mode = object
            .sql_mode
            .split(',')
            .filter(|mode| *mode != "NO_AUTO_CREATE_USER")
            .collect::<Vec<_>>()
            .join(",");
    }
    if object.kind == ObjectKind::Library {
        // It has none of its own: its text is what it is.
        "utf8mb4".clone_into(&mut object.charset_client);
        "utf8mb4_bin".clone_into(&mut object.collation_connection);
        return Ok(());
    }
    object.charset_client = row.text(client)?;
    object.collation_connection = row.text(client + 1)?;
    object.database_collation = Some(match object.kind {
        ObjectKind::View => String::new(),
        _ => row.maybe(client + 2)?.unwrap_or_default(),
    });
    match object.kind {
        ObjectKind::Event => object.time_zone = row.maybe(2)?,
        ObjectKind::View => {
            // 1356: it refers to what is not there.
            object.broken = session
                .query("SHOW WARNINGS")
                .await?
                .iter()
                .any(|row| row.number(1).is_ok_and(|code| code == 1356));
        }
        _ => {}
    }
    Ok(())
}

/// A definition that is NULL was kept from us.
fn hidden(session: &Session, object: &Object) -> Error {
    let privilege = match session.version() {
        version if version.is_mariadb(11, 3) => "SHOW CREATE ROUTINE on the schema",
        version if version.flavour == Flavour::MariaDb => "SELECT on mysql.proc",
        version if version.is_mysql(8, 0) => "SHOW_ROUTINE on *.*",
        _ => "SELECT on mysql.proc",
    };
    Error::new(
        Kind::Permission,
        format!("the definition of {} is not shown to us", object.label()),
    )
    .hint(format!("grant {privilege} to the endpoint's user"))
}

#[cfg(test)]
mod tests;
