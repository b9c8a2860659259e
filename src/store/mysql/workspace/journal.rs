//! What a swap is about to do, written down in the target before it begins, so that the next run can undo or finish what
//! a killed one left.
//!
//! The journal is a table among those that are renamed, and the same statement renames it: where it is says whether the
//! tables have changed places. Of what was live it has the views, routines, triggers and events, word for word, which is
//! what a rollback makes them from.

use serde::{Deserialize, Serialize};

pub(super) mod forged;

use super::schema_object::SchemaObject;
use crate::error::{Error, Kind, Result};
use crate::store::mysql::connection::server_error;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::sql::lexical::is_plain_name;
use crate::store::mysql::sql::marks::{JOURNAL, NEXT};
use crate::store::mysql::sql::names::{Names, literal, within};
use crate::store::mysql::sql::version::Version;

/// The version of what is written.
const VERSION: u32 = 1;

/// A statement has to fit into the smallest `max_allowed_packet` that servers come with; where it is smaller still, a quarter
/// of that.
const PIECE: usize = 256 * 1024;

/// The purpose of a swap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store::mysql) enum Way {
    /// Incoming becomes live, live becomes previous.
    Publish,
    /// Previous becomes live, live becomes previous.
    Rollback,
    /// Previous becomes live, live becomes incoming.
    Revert,
}

/// A foreign key of a staged table, or one to a table that is not there. Its name belongs to the whole schema (up to MariaDB 12.0), and live's table may have
/// one of the same: until the tables have changed places, it has another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store::mysql) struct Key {
    pub(in crate::store::mysql) table: String,
    pub(in crate::store::mysql) name: String,
    pub(in crate::store::mysql) meanwhile: String,
    /// Its definition behind its name.
    pub(in crate::store::mysql) rest: String,
}

/// A swap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store::mysql) struct Journal {
    version: u32,
    pub(in crate::store::mysql) way: Way,
    /// The run's own schemas.
    pub(in crate::store::mysql) incoming: String,
    pub(in crate::store::mysql) discarded: String,
    /// There was a live before.
    pub(in crate::store::mysql) had_live: bool,
    /// Where what becomes live comes from.
    pub(in crate::store::mysql) source: String,
    /// Live's default collation, which is another one while some objects are made.
    #[serde(default)]
    pub(in crate::store::mysql) collation: Option<String>,
    /// Tables that get their triggers before they become live, and what they are called in live until then.
    pub(in crate::store::mysql) staged: Vec<(String, String)>,
    /// Their foreign keys, and those of others to tables that are not there.
    pub(in crate::store::mysql) keys: Vec<Key>,
    /// The character set and the rest that live is to have for its default, and what it had.
    #[serde(default)]
    pub(in crate::store::mysql) defaults: Option<String>,
    #[serde(default)]
    pub(in crate::store::mysql) before: Option<String>,
    /// The objects that live has, and those that it gets.
    pub(in crate::store::mysql) old: Vec<SchemaObject>,
    pub(in crate::store::mysql) new: Vec<SchemaObject>,
}

impl Journal {
    pub(in crate::store::mysql) fn new(
        way: Way,
        incoming: &str,
        discarded: &str,
        source: &str,
    ) -> Self {
        Self {
            version: VERSION,
            way,
            incoming: incoming.to_owned(),
            discarded: discarded.to_owned(),
            had_live: true,
            source: source.to_owned(),
            collation: None,
            staged: Vec::new(),
            keys: Vec::new(),
            defaults: None,
            before: None,
            old: Vec::new(),
            new: Vec::new(),
        }
    }

    /// What of it is nothing that a run writes; `None`: all of it may be one's.
    fn forged_part(&self, server: &Version) -> Option<String> {
        let collation = self.collation.as_deref();
        if !collation.is_none_or(is_plain_name) {
            return Some("live's collation".to_owned());
        }
        let mut defaults = self.defaults.iter().chain(&self.before);
        if !defaults.all(|text| forged::are_options(text)) {
            return Some("live's defaults".to_owned());
        }
        let mut keys = self.keys.iter();
        if let Some(key) = keys.find(|key| !forged::is_foreign_key(&key.rest)) {
            return Some(format!("the foreign key {} of {}", key.name, key.table));
        }
        let mut objects = self.old.iter().chain(&self.new);
        let object = objects.find(|object| !object.is_plausible(server))?;
        Some(object.label())
    }

    /// Writes it into incoming, durably. `mark`: what says that the table is ours.
    pub(in crate::store::mysql) async fn write(
        &self,
        session: &mut Session,
        mark: &str,
    ) -> Result<()> {
        let table = within(&self.incoming, NEXT);
        // What would not be taken back by the next run must not be begun by this one.
        if let Some(part) = self.forged_part(session.version()) {
            return Err(Error::new(
                Kind::Verify,
                format!(
                    "{part} of `{}` is not of a form that can be put back",
                    self.source
                ),
            )
            .hint("look at what SHOW CREATE prints of it on the target"));
        }
        session
            .run(&format!("DROP TABLE IF EXISTS {table}"))
            .await?;
        session
            .run(&format!(
                "CREATE TABLE {table} (part INT NOT NULL PRIMARY KEY, content LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL) ENGINE = InnoDB COMMENT = {}",
                literal(mark)
            ))
            .await?;
        let text = serde_json::to_string(self).map_err(|error| {
            Error::new(Kind::Internal, "the journal cannot be written down").because(error)
        })?;
        session.run("START TRANSACTION").await?;
        let size = PIECE.min(session.packet() / 4);
        for (number, piece) in pieces(&text, size).into_iter().enumerate() {
            // As it is: letters that stand for bytes are still letters when it is read again.
            session
                .execute_bytes(
                    format!(
                        "INSERT INTO {table} VALUES ({}, {})",
                        number + 1,
                        literal(piece)
                    )
                    .as_bytes(),
                )
                .await?;
        }
        session
            .run(&format!("INSERT INTO {table} VALUES (0, 'begun')"))
            .await?;
        session.run("COMMIT").await.map(drop)
    }

    /// Reads it; `true`: nothing is left to do. `None`: there is none, or it was never written to its end.
    pub(in crate::store::mysql) async fn read(
        session: &mut Session,
        schema: &str,
        name: &str,
    ) -> Result<Option<(Self, bool)>> {
        let table = within(schema, name);
        let rows = session
            .query(&format!("SELECT part, content FROM {table} ORDER BY part"))
            .await;
        let rows = match rows {
            Err(error) if matches!(server_error::code(&error), Some(1146 | 1049 | 1932)) => {
                return Ok(None);
            }
            other => other?,
        };
        let Some(first) = rows.first() else {
            return Ok(None);
        };
        let done = first.number(0)? == 0 && first.text(1)? == "done";
        let text = rows[1..]
            .iter()
            .map(|row| row.text(1))
            .collect::<Result<String>>()?;
        let journal = Self::understand(&text, session.version())
            .map_err(|error| error.within(format!("the table {schema}.{name}")))?;
        Ok(Some((journal, done)))
    }

    /// Reads the one that says what became of a schema of this target's: all that it is about has to be this target's.
    pub(in crate::store::mysql) async fn of_target(
        session: &mut Session,
        names: &Names,
        schema: &str,
        name: &str,
    ) -> Result<Option<(Self, bool)>> {
        let found = Self::read(session, schema, name).await?;
        if let Some((journal, _)) = &found
            && !journal.is_of(names)
        {
            return Err(
                forgery(&format!("schemas that are not beside `{}`", names.live))
                    .within(format!("the table {schema}.{name}")),
            );
        }
        Ok(found)
    }

    fn is_of(&self, names: &Names) -> bool {
        let sources = [&self.incoming, &names.previous];
        names.is_incoming(&self.incoming)
            && names.is_leftover(&self.discarded)
            && sources.contains(&&self.source)
    }

    /// Understands what is written in one, whoever has written it.
    pub(in crate::store::mysql) fn understand(text: &str, server: &Version) -> Result<Self> {
        let journal: Self = serde_json::from_str(text).map_err(|error| {
            Error::new(Kind::State, "it cannot be understood")
                .because(error)
                .hint("was it written by another version of envsyncd?")
        })?;
        if journal.version != VERSION {
            return Err(Error::new(
                Kind::State,
                format!(
                    "it is of version {}, and this envsyncd knows version {VERSION}",
                    journal.version
                ),
            )
            .hint("run the envsyncd that wrote it"));
        }
        match journal.forged_part(server) {
            Some(part) => Err(forgery(&part)),
            None => Ok(journal),
        }
    }

    /// Says that nothing is left to do.
    pub(in crate::store::mysql) async fn done(session: &mut Session, schema: &str) -> Result<()> {
        session
            .run(&format!(
                "UPDATE {} SET content = 'done' WHERE part = 0",
                within(schema, JOURNAL)
            ))
            .await
            .map(drop)
    }
}

/// The error of a journal that has something in it that no run writes.
fn forgery(part: &str) -> Error {
    Error::new(
        Kind::Verify,
        format!("what it says of {part} is nothing that a run of envsyncd writes, and nothing is done by it"),
    )
    .hint("find out who may write there, take those rights away, and drop the schema, or put its tables back by hand")
}

/// Whether this is the name of a run's incoming.
pub(super) fn is_of_a_run(schema: &str) -> bool {
    schema.rsplit_once("_incoming_").is_some_and(|(_, digits)| {
        digits.len() == 12 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// A text in pieces of bounded size.
fn pieces(text: &str, size: usize) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let mut end = rest.len().min(size);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let (piece, more) = rest.split_at(end);
        found.push(piece);
        rest = more;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_letters_and_nothing_of_it_is_lost() {
        let text = "aé€😀".repeat(PIECE / 5);
        let cut = pieces(&text, PIECE);
        assert!(cut.len() > 1 && cut.iter().all(|piece| piece.len() <= PIECE));
        assert_eq!(cut.concat(), text);
    }
}
