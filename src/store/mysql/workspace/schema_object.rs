//! Views, routines, triggers and events as live is to have them: they follow the tables when these change places.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::job::{Definer, Events};
use crate::error::{Error, Kind, Result};
use crate::store::mysql::connection::server_error;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::schema::charsets;
use crate::store::mysql::schema::objects;
use crate::store::mysql::schema::objects::{Creation, Object, ObjectKind, RESTORE};
use crate::store::mysql::schema::stand_ins;
use crate::store::mysql::schema::vetting;
use crate::store::mysql::sql::lexer::{self, Dialect};
use crate::store::mysql::sql::lexical::is_plain_name;
use crate::store::mysql::sql::names::{quoted, within};
use crate::store::mysql::sql::version::{Flavour, Version};

/// One of them, in statements for a session that is in live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store::mysql) struct SchemaObject {
    /// As statements spell it: `PACKAGE BODY`.
    pub(in crate::store::mysql) kind: String,
    pub(in crate::store::mysql) name: String,
    /// The table that a trigger is on.
    pub(in crate::store::mysql) table: Option<String>,
    sql_mode: String,
    /// What the session has to be set to first.
    settings: String,
    /// `CREATE ...`
    text: String,
    /// The same without its definer, for a user who may name no other user.
    plain: String,
    /// The character set in which both are sent; `None`: ours.
    #[serde(default)]
    client: Option<String>,
    /// The schema's default collation when it was made.
    #[serde(default)]
    pub(in crate::store::mysql) database_collation: Option<String>,
    /// A view of what is not there.
    pub(in crate::store::mysql) broken: bool,
}

impl SchemaObject {
    fn new(object: &Object, from: &str, to: &str) -> Result<Self> {
        let making = |definer| Creation {
            from,
            to,
            definer,
            events: Events::Keep,
        };
        let [settings, text, _] = object.statements(&making(Definer::Keep))?;
        Ok(Self {
            client: Some(object.charset_client.clone()),
            database_collation: object.database_collation.clone(),
            kind: object.kind.keyword().to_owned(),
            name: object.name.clone(),
            table: object.table.clone(),
            sql_mode: object.sql_mode.clone(),
            settings,
            text,
            plain: object.rewritten(&making(Definer::Map))?,
            broken: object.broken,
        })
    }

    /// A view that the source has, where it was never made in incoming.
    pub(in crate::store::mysql) fn of_source(
        object: &Object,
        from: &str,
        to: &str,
        definer: Definer,
    ) -> Result<Self> {
        let mut piece = Self::new(object, from, to)?;
        if definer == Definer::Map {
            piece.text.clone_from(&piece.plain);
        }
        Ok(piece)
    }

    /// Whether all of it is of the form that [`SchemaObject::new`] gives it: the definition is one of its kind, and what goes
    /// in front of it sets nothing but what a definition depends on.
    pub(super) fn is_plausible(&self, server: &Version) -> bool {
        let dialect = Dialect::of(&self.sql_mode);
        let collation = self.database_collation.as_deref().unwrap_or_default();
        let Some(kind) = ObjectKind::of_keyword(&self.kind) else {
            return false;
        };
        objects::are_settings(&self.settings, &self.sql_mode)
            && self.client.as_deref().is_none_or(is_plain_name)
            && (collation.is_empty() || is_plain_name(collation))
            && [&self.text, &self.plain]
                .iter()
                .all(|text| vetting::is_definition(kind, text, dialect, server))
    }

    /// Whether both are the same broken view, whoever its definer is.
    pub(in crate::store::mysql) fn is_alike(&self, other: &Self) -> bool {
        self.is_same(other)
            && self.broken
            && self.plain == other.plain
            && self.settings == other.settings
    }

    /// Whether a trigger's table is written without quotes.
    pub(in crate::store::mysql) fn names_table_plainly(&self) -> bool {
        let tokens = lexer::tokens(&self.text, Dialect::of(&self.sql_mode));
        table_of(&tokens)
            .is_some_and(|(start, end)| start == end && tokens[start].shape == lexer::Shape::Word)
    }

    pub(in crate::store::mysql) fn is_trigger(&self) -> bool {
        self.kind == ObjectKind::Trigger.keyword()
    }

    pub(in crate::store::mysql) fn is_view(&self) -> bool {
        self.kind == ObjectKind::View.keyword()
    }

    /// For people: `view v`.
    pub(in crate::store::mysql) fn label(&self) -> String {
        format!("{} {}", self.kind.to_lowercase(), self.name)
    }

    /// Whether both are the same thing, however it is defined.
    pub(in crate::store::mysql) fn is_same(&self, other: &Self) -> bool {
        self.kind == other.kind && self.name.eq_ignore_ascii_case(&other.name)
    }

    pub(in crate::store::mysql) async fn remove(
        &self,
        session: &mut Session,
        schema: &str,
    ) -> Result<()> {
        let sql = format!(
            "DROP {} IF EXISTS {}",
            self.kind,
            within(schema, &self.name)
        );
        session.run(&sql).await.map(drop)
    }

    /// Makes it, in place of what has its name; a trigger on `table`, where that has another name for the moment. The
    /// session is in live.
    pub(in crate::store::mysql) async fn make(
        &self,
        session: &mut Session,
        live: &str,
        table: Option<&str>,
    ) -> Result<()> {
        let in_place =
            !self.is_trigger() && (self.is_view() || session.version().flavour == Flavour::MariaDb);
        if !in_place {
            self.remove(session, live).await?;
        }
        let dialect = Dialect::of(&self.sql_mode);
        let dress = |text: &str| -> Result<String> {
            match table {
                Some(table) => on_table(text, dialect, table),
                None if in_place => Ok(or_replace(text, dialect)),
                None => Ok(text.to_owned()),
            }
        };
        let mut made = self.send(session, &dress(&self.text)?).await;
        if let Err(error) = &made
            && server_error::code(error) == Some(1227)
            && self.plain != self.text
        {
            tracing::warn!(
                object = self.label(),
                "its definer is another user than the target's, who may not say so: it runs as the target's user now"
            );
            made = self.send(session, &dress(&self.plain)?).await;
        }
        if made.is_err() && self.broken && session.is_usable() {
            made = self.over_stand_ins(session, live).await;
        }
        if let Err(error) = &made
            && self.broken
            && session.is_usable()
        {
            tracing::warn!(
                view = self.name,
                error = %error,
                "a view that was broken before cannot be made, and is left out"
            );
            return Ok(());
        }
        made.map_err(|error| error.within(self.label()))
    }

    /// Makes a broken view, with stand-ins for that moment. The session is in live.
    pub(in crate::store::mysql) async fn over_stand_ins(
        &self,
        session: &mut Session,
        live: &str,
    ) -> Result<()> {
        let text = or_replace(&self.text, Dialect::of(&self.sql_mode));
        let undo = stand_ins::stand_in(session, &self.text, live).await?;
        let made = self.send(session, &text).await;
        undo.run(session).await?;
        made
    }

    /// Sends a text as it was sent when the object was made.
    async fn send(&self, session: &mut Session, text: &str) -> Result<()> {
        let client = self.client.as_deref().unwrap_or("utf8mb4");
        let text = charsets::encoded(session, text, client).await?;
        session.run(&self.settings).await?;
        // What somebody else wrote is one statement, whatever is in it.
        let made = session.execute_alone(&text).await;
        if session.is_usable() {
            session.run(RESTORE).await?;
        }
        made.map(drop)
    }
}

/// All of a schema, as live has it or is to have it, in an order in which it can be made. `running`: events that are not
/// to stay disabled, each with its status.
pub(in crate::store::mysql) async fn read(
    session: &mut Session,
    schema: &str,
    live: &str,
    running: &BTreeMap<String, String>,
) -> Result<Vec<SchemaObject>> {
    let version = session.version().clone();
    objects::read(session, schema)
        .await?
        .into_iter()
        .map(|mut object| {
            if object.kind == ObjectKind::Event
                && let Some(status) = running.get(&object.name)
            {
                let dialect = Dialect::of(&object.sql_mode);
                // MySQL's new word, which MariaDB and older ones do not know.
                let status = if version.is_mysql(8, 2) {
                    status.clone()
                } else {
                    status.replace("REPLICA", "SLAVE")
                };
                object.definition = objects::with_status(&object.definition, dialect, &status);
            }
            SchemaObject::new(&object, schema, live)
        })
        .collect()
}

fn join(tokens: &[lexer::Token<'_>]) -> String {
    tokens.iter().map(|token| token.text).collect()
}

pub(in crate::store::mysql) fn or_replace(sql: &str, dialect: Dialect) -> String {
    let tokens = lexer::tokens(sql, dialect);
    match tokens.iter().position(|token| token.is("CREATE")) {
        Some(at) => format!(
            "{} OR REPLACE{}",
            join(&tokens[..=at]),
            join(&tokens[at + 1..])
        ),
        None => sql.to_owned(),
    }
}

/// Where a trigger's table stands: its name's first token and its last.
fn table_of(tokens: &[lexer::Token<'_>]) -> Option<(usize, usize)> {
    let trigger = tokens.iter().position(|token| token.is("TRIGGER"))?;
    let on = trigger + tokens[trigger..].iter().position(|token| token.is("ON"))?;
    let (start, _) = lexer::solid(tokens, on + 1)?;
    let mut end = start;
    while let Some((dot, _)) = lexer::solid(tokens, end + 1).filter(|(_, token)| token.is_mark("."))
    {
        end = lexer::solid(tokens, dot + 1)?.0;
    }
    Some((start, end))
}

/// Lets a trigger's definition be for another table: what stands behind the first ON, which is a reserved word.
pub(in crate::store::mysql) fn on_table(
    sql: &str,
    dialect: Dialect,
    table: &str,
) -> Result<String> {
    let tokens = lexer::tokens(sql, dialect);
    let (start, end) = table_of(&tokens).ok_or_else(|| {
        Error::new(
            Kind::Internal,
            "the server's definition of a trigger names no table",
        )
    })?;
    let name = if dialect.ansi_quotes {
        format!("\"{}\"", table.replace('"', "\"\""))
    } else {
        quoted(table)
    };
    Ok(format!(
        "{}{name}{}",
        join(&tokens[..start]),
        join(&tokens[end + 1..])
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trigger_is_put_on_another_table_and_nothing_else_of_it_changes() {
        for (sql, wanted) in [
            (
                "CREATE DEFINER=`on`@`%` trigger `on` before insert on `t` for each row insert into log select 1 from a join b on a.x = b.x",
                "CREATE DEFINER=`on`@`%` trigger `on` before insert on `s` for each row insert into log select 1 from a join b on a.x = b.x",
            ),
            (
                "CREATE TRIGGER app.x AFTER UPDATE ON app . t FOR EACH ROW SET @a = 'on t'",
                "CREATE TRIGGER app.x AFTER UPDATE ON `s` FOR EACH ROW SET @a = 'on t'",
            ),
        ] {
            let made = on_table(sql, Dialect::default(), "s").expect("a trigger");
            assert_eq!(made, wanted);
        }
        assert!(on_table("CREATE VIEW v AS SELECT 1", Dialect::default(), "s").is_err());
    }

    #[test]
    fn what_exists_is_replaced() {
        assert_eq!(
            or_replace(
                "CREATE DEFINER=`a`@`b` VIEW v AS select 1",
                Dialect::default()
            ),
            "CREATE OR REPLACE DEFINER=`a`@`b` VIEW v AS select 1"
        );
    }
}
