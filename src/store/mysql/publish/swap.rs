//! Tables change places in one statement, and what cannot be renamed follows them.
//!
//! `RENAME TABLE` over all tables is atomic, also if the server dies in it (MariaDB 10.6, MySQL 8.0 and newer), and takes
//! foreign keys along. It refuses a table with triggers that goes to another schema, but not one that stays in its own:
//! so a table that is to have triggers waits in live under another name, gets them there while nobody can write to the
//! table that it replaces, and becomes live with them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::after_swap::{aside, name_keys, restore, undo};
use crate::error::{Error, Kind, Result};
use crate::store::mysql::connection::address::Address;
use crate::store::mysql::connection::holders;
use crate::store::mysql::connection::server_error;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::incoming::preserve::Preserved;
use crate::store::mysql::schema::charsets;
use crate::store::mysql::schema::foreign_keys;
use crate::store::mysql::sql::marks::{BEFORE, JOURNAL, NEXT};
use crate::store::mysql::sql::names::{Names, beside, literal, within};
use crate::store::mysql::workspace::journal::{Journal, Key, Way};
use crate::store::mysql::workspace::schema_object::SchemaObject;
use crate::store::mysql::workspace::schemas::Renaming;

/// How long one attempt waits for others' locks, in seconds: the shortest time that every server knows. Whoever comes
/// meanwhile waits behind it.
const ATTEMPT: u32 = 1;

/// How long the tables are waited for that we have locked ourselves.
const GUARDED: u32 = 5;

/// How long everybody else has their turn between two attempts: while somebody is in live's tables for long, others wait for a
/// quarter of the time at the most, and never for much longer than one attempt.
const PAUSE: Duration = Duration::from_secs(3);

/// How long it is tried.
const PATIENCE: Duration = Duration::from_secs(60);

/// The name of a table in live until it becomes live: one that nothing else has, in live or in incoming.
fn staged_name(table: &str, taken: &mut BTreeSet<String>) -> String {
    let mut number = 0;
    loop {
        let suffix = match number {
            0 => "~envsyncd".to_owned(),
            number => format!("~envsyncd{number}"),
        };
        let name = beside(table, &suffix);
        if taken.insert(name.to_lowercase()) {
            return name;
        }
        number += 1;
    }
}

/// A swap that is prepared: the journal, and the tables on both sides.
pub(in crate::store::mysql) struct Swap<'a> {
    pub(in crate::store::mysql) address: &'a Address,
    pub(in crate::store::mysql) names: &'a Names,
    pub(in crate::store::mysql) journal: Journal,
    /// Tables that leave live, and those that come into it.
    pub(in crate::store::mysql) leaving: Vec<String>,
    pub(in crate::store::mysql) coming: Vec<String>,
    /// Rows that the target keeps.
    pub(in crate::store::mysql) preserved: Option<&'a Preserved>,
    /// Tables with foreign keys to what is not there.
    pub(in crate::store::mysql) dangling: &'a BTreeSet<String>,
}

impl Swap<'_> {
    /// Decides which tables get their triggers before they become live.
    pub(in crate::store::mysql) async fn stage(&mut self, control: &mut Session) -> Result<()> {
        let with_triggers: BTreeSet<&str> = self
            .journal
            .new
            .iter()
            .filter(|object| object.is_trigger())
            .filter_map(|object| object.table.as_deref())
            .collect();
        let old = self.journal.old.iter().chain(&self.journal.new);
        let mut taken: BTreeSet<String> = self
            .leaving
            .iter()
            .chain(&self.coming)
            .chain(old.map(|object| &object.name))
            .map(|name| name.to_lowercase())
            .collect();
        self.journal.staged = self
            .coming
            .iter()
            .filter(|table| with_triggers.contains(table.as_str()))
            .map(|table| (table.clone(), staged_name(table, &mut taken)))
            .collect();
        let mut named: BTreeSet<String> = self
            .journal
            .staged
            .iter()
            .map(|(table, _)| table.clone())
            .collect();
        named.extend(self.dangling.iter().cloned());
        named.retain(|table| self.coming.contains(table));
        let source = self.journal.source.clone();
        let mut taken = if named.is_empty() {
            BTreeSet::new()
        } else {
            self.key_names(control).await?
        };
        for table in named {
            let keys = foreign_keys::keys(control, self.names, &source, &table).await?;
            let is_staged = self.staged(&table).is_some();
            for key in keys {
                let is_lost = key
                    .parent
                    .as_ref()
                    .is_some_and(|parent| !self.coming.contains(parent));
                if is_staged || is_lost {
                    self.journal.keys.push(Key {
                        table: table.clone(),
                        meanwhile: staged_name(&key.name, &mut taken),
                        name: key.name,
                        rest: key.rest,
                    });
                }
            }
        }
        Ok(())
    }

    /// Names that foreign keys have on both sides.
    async fn key_names(&self, control: &mut Session) -> Result<BTreeSet<String>> {
        let rows = control
            .query(&format!(
                "SELECT CONSTRAINT_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA IN ({}, {})",
                literal(&self.names.live),
                literal(&self.journal.source)
            ))
            .await?;
        rows.iter()
            .map(|row| Ok(row.text(0)?.to_lowercase()))
            .collect()
    }

    /// Where live's tables go in the end, and with them the journal.
    fn aside(&self) -> &str {
        aside(self.names, &self.journal)
    }

    fn staged(&self, table: &str) -> Option<&str> {
        self.journal
            .staged
            .iter()
            .find(|(name, _)| name == table)
            .map(|(_, staged)| staged.as_str())
    }

    /// The one statement.
    fn renaming(&self) -> Renaming {
        let (live, journal) = (&self.names.live, &self.journal);
        let rollback = journal.way == Way::Rollback;
        // Of a rollback, what comes is still where live's tables have to go.
        let first = if rollback {
            journal.incoming.as_str()
        } else {
            self.aside()
        };
        let mut renaming = Renaming::default();
        renaming.add_all(&self.leaving, live, first);
        for table in &self.coming {
            let from = match self.staged(table) {
                Some(staged) => (live.as_str(), staged),
                None => (journal.source.as_str(), table.as_str()),
            };
            renaming.add(from, (live, table));
        }
        if rollback {
            renaming.add_all(&self.leaving, first, self.aside());
        }
        if journal.way != Way::Publish {
            // Its place is needed, and it goes with incoming.
            renaming.add((&journal.source, JOURNAL), (&journal.incoming, BEFORE));
        }
        renaming.add((&journal.incoming, NEXT), (self.aside(), JOURNAL));
        renaming
    }

    /// Ends with the tables swapped, or with everything as it was and the error that says why.
    pub(in crate::store::mysql) async fn run(&self, control: &mut Session) -> Result<()> {
        let outcome = self.attempt(control).await;
        let Err(error) = outcome else { return Ok(()) };
        let again = async {
            let mut session = Session::open(self.address, None).await?;
            // The connection may have broken after the server had done it.
            if Journal::read(&mut session, &self.journal.incoming, NEXT)
                .await?
                .is_none()
            {
                return Ok(true);
            }
            undo(&mut session, self.names, &self.journal).await?;
            Ok(false)
        };
        match again.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(error),
            Err(other) => {
                let other: Error = other;
                tracing::error!(error = %other, "what publish had begun could not be undone; the next run does it");
                Err(error)
            }
        }
    }

    async fn attempt(&self, control: &mut Session) -> Result<()> {
        let live = &self.names.live;
        control
            .run(&format!(
                "SET SESSION foreign_key_checks = 1, lock_wait_timeout = {ATTEMPT}"
            ))
            .await?;
        let mut staging = Renaming::default();
        for (table, staged) in &self.journal.staged {
            staging.add((&self.journal.source, table), (live, staged));
        }
        for object in self.journal.new.iter().filter(|object| object.is_trigger()) {
            object.remove(control, &self.journal.source).await?;
        }
        name_keys(control, &self.journal.source, &self.journal, false).await?;
        staging.run(control).await?;
        // A view stands where a table is to be.
        for view in self.journal.old.iter().filter(|object| object.is_view()) {
            if self.coming.contains(&view.name) {
                view.remove(control, live).await?;
            }
        }
        self.collate(control).await?;
        let mut guard = self.open_guard().await?;
        let mut renamer = self.open_renamer(guard.is_some()).await?;
        let mut ours = vec![renamer.id()];
        ours.extend(guard.as_ref().map(Session::id));
        let renaming = self.renaming();
        let begin = Instant::now();
        let mut told = false;
        loop {
            if let Some(preserved) = self.preserved {
                preserved
                    .catch_up(control, self.names, &self.journal.staged)
                    .await?;
            }
            let outcome = self
                .once(control, guard.as_mut(), &mut renamer, renaming.statement())
                .await;
            match outcome {
                Err(error)
                    if (server_error::is_locked_out(&error) || error.kind() == Kind::Busy)
                        && begin.elapsed() < PATIENCE =>
                {
                    if !told {
                        told = true;
                        let who = holders::of(control, live, &ours).await.unwrap_or_default();
                        tracing::info!(
                            "others hold locks on the tables of live{who}: trying again for a minute"
                        );
                    }
                    tracing::debug!(error = %error, "others hold locks on live; trying again");
                    // Those who waited behind us get their turn.
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) if server_error::is_locked_out(&error) => {
                    let who = holders::of(control, live, &ours).await.unwrap_or_default();
                    return Err(Error::new(
                        Kind::Busy,
                        format!(
                            "the tables of {live} could not be renamed for {} seconds: others hold locks on them{who}",
                            PATIENCE.as_secs()
                        ),
                    )
                    .because(error)
                    .hint("run the job when no long statement or transaction is on the target, or end them with maintenance_on"));
                }
                other => return other,
            }
        }
    }

    /// The session that keeps everybody else out of live's tables while they change places, where that takes one.
    async fn open_guard(&self) -> Result<Option<Session>> {
        if !self.needs_guard() {
            return Ok(None);
        }
        let mut guard = Session::open(self.address, Some(&self.names.live)).await?;
        guard
            .run(&format!(
                "SET SESSION lock_wait_timeout = {ATTEMPT}, foreign_key_checks = 1"
            ))
            .await?;
        Ok(Some(guard))
    }

    /// The session that renames the tables.
    async fn open_renamer(&self, is_guarded: bool) -> Result<Session> {
        let mut renamer = Session::open(self.address, None).await?;
        // MariaDB writes the table's new name into its triggers' definitions, as the session quotes names.
        let mut triggers = self.journal.new.iter().filter(|object| object.is_trigger());
        let quote = u8::from(!triggers.all(SchemaObject::names_table_plainly));
        // Behind our own guard it waits for nobody else.
        let wait = if is_guarded { GUARDED } else { ATTEMPT };
        renamer
            .run(&format!(
                "SET SESSION foreign_key_checks = 1, lock_wait_timeout = {wait}, sql_quote_show_create = {quote}"
            ))
            .await?;
        Ok(renamer)
    }

    /// Lets live's default collation be what its new triggers were made under; it is its own again once the tables have
    /// changed places, or have not.
    async fn collate(&self, control: &mut Session) -> Result<()> {
        let mut wanted: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for object in self.journal.new.iter().filter(|object| object.is_trigger()) {
            if let Some(collation) = object.database_collation.as_deref() {
                wanted.entry(collation).or_default().push(&object.name);
            }
        }
        let most = wanted.iter().max_by_key(|(_, triggers)| triggers.len());
        let Some((collation, _)) = most.filter(|(collation, _)| !collation.is_empty()) else {
            return Ok(());
        };
        let others: Vec<&str> = wanted
            .iter()
            .filter(|(other, _)| *other != collation)
            .flat_map(|(_, triggers)| triggers.iter().copied())
            .collect();
        if !others.is_empty() {
            tracing::warn!(
                triggers = others.join(", "),
                collation,
                "triggers of a database share one collation for their variables where they are made together: these were made under another one"
            );
        }
        charsets::Default::of(control, &self.names.live, self.journal.collation.as_deref())
            .await?
            .be(control, Some(collation))
            .await
    }

    fn needs_guard(&self) -> bool {
        let triggers = self.journal.old.iter().any(SchemaObject::is_trigger);
        triggers
            || !self.journal.staged.is_empty()
            || self
                .preserved
                .is_some_and(|preserved| !preserved.is_empty())
    }

    /// One attempt, from the locks to the renamed tables.
    async fn once(
        &self,
        control: &mut Session,
        guard: Option<&mut Session>,
        renamer: &mut Session,
        statement: &str,
    ) -> Result<()> {
        let Some(guard) = guard else {
            return renamer.run(statement).await.map(drop);
        };
        let live = &self.names.live;
        self.lock(guard).await?;
        let mut locked = true;
        let outcome = self
            .under_lock(control, guard, renamer, statement, &mut locked)
            .await;
        if let Err(error) = outcome {
            // Live gets its triggers back at once, whatever comes next.
            if !locked {
                let _ = self.lock(guard).await;
            }
            restore(guard, live, &self.journal).await?;
            guard.run("UNLOCK TABLES").await?;
            return Err(error);
        }
        Ok(())
    }

    async fn under_lock(
        &self,
        control: &mut Session,
        guard: &mut Session,
        renamer: &mut Session,
        statement: &str,
        locked: &mut bool,
    ) -> Result<()> {
        let live = &self.names.live;
        // Nobody else is in any of live's tables.
        if let Some(preserved) = self.preserved {
            preserved
                .catch_up_locked(guard, self.names, &self.journal.staged)
                .await?;
        }
        for object in self.journal.old.iter().filter(|object| object.is_trigger()) {
            object.remove(guard, live).await?;
        }
        for object in self.journal.new.iter().filter(|object| object.is_trigger()) {
            let staged = object.table.as_deref().and_then(|table| self.staged(table));
            object.make(guard, live, staged).await?;
        }
        // The statement waits for our locks, in front of all others, and gets them when we let go.
        let id = renamer.id();
        let renaming = renamer.run(statement);
        tokio::pin!(renaming);
        loop {
            tokio::select! {
                outcome = &mut renaming => break outcome.map(drop),
                () = tokio::time::sleep(Duration::from_millis(5)), if *locked => {
                    if waits(control, id).await? {
                        guard.run("UNLOCK TABLES").await?;
                        *locked = false;
                    }
                }
            }
        }
    }

    /// Nobody else reads or writes any of the tables that change places.
    async fn lock(&self, guard: &mut Session) -> Result<()> {
        let live = &self.names.live;
        let mut statement = String::new();
        let mut add = |schema: &str, table: &str| {
            statement.push_str(if statement.is_empty() {
                "LOCK TABLES "
            } else {
                ", "
            });
            statement.push_str(&within(schema, table));
            statement.push_str(" WRITE");
        };
        for table in &self.leaving {
            add(live, table);
        }
        for (_, staged) in &self.journal.staged {
            add(live, staged);
        }
        if let Some(preserved) = self.preserved {
            let source = &self.journal.source;
            for table in preserved.tables() {
                if self.staged(table).is_none() {
                    add(source, table);
                }
            }
            for sequence in preserved.counters() {
                add(source, &sequence);
            }
        }
        guard.run(&statement).await.map(drop)
    }
}

/// Whether a session waits for a table.
async fn waits(control: &mut Session, id: u32) -> Result<bool> {
    let row = control
        .query_opt(&format!(
            "SELECT 1 FROM information_schema.PROCESSLIST WHERE ID = {id} AND STATE LIKE 'Waiting for table%lock'"
        ))
        .await?;
    Ok(row.is_some())
}
