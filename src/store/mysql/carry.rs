//! What the target keeps of its own: rows of `keep` tables, and with `overlay` the tables that only it has.
//!
//! They are copied into incoming, beside the new tables that their foreign keys point to, and held against live by count
//! and checksum. A table that the source has, too, is the source's, if it can hold the rows as they are; else it is live's
//! own. What live changes in them meanwhile is taken again at publish, at last under the lock under which the tables
//! change places.

mod fit;
mod keys;
mod numbers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use self::fit::{Fit, Own};
use self::numbers::Taken;
use super::connection::Session;
use super::ddl::Create;
use super::names::{Names, literal, quoted, within};
use super::version::Flavour;
use super::{errors, sequences};
use crate::error::{Error, Kind, Result};

pub(super) use self::fit::refuse;
pub(super) use self::numbers::counted_by;

/// A table whose rows come from live.
#[derive(Debug)]
struct Table {
    name: String,
    is_sequence: bool,
    /// Only live has it.
    is_extra: bool,
}

/// What is known of a table that was taken.
#[derive(Debug, Default)]
struct State {
    /// How its rows are read and summed up.
    fit: Option<Fit>,
    /// Its definition is live's.
    is_own: bool,
    /// What live's rows were when they were taken; `None`: they changed while they were.
    live: Option<String>,
    /// What incoming's rows were then, until that was looked at again.
    here: Option<String>,
}

/// What comes from live.
#[derive(Debug, Default)]
pub(super) struct Carried {
    tables: Vec<Table>,
    /// Those that are to be kept, whether live has them or not: foreign keys from and to them are to be looked at.
    kept: Vec<String>,
    /// Tables that foreign keys connect to others.
    bound: Mutex<BTreeSet<String>>,
    states: Mutex<BTreeMap<String, State>>,
    /// Columns that take their next value from a sequence.
    taken: Mutex<Vec<Taken>>,
}

/// What is other than the source's, for all that it has the source's name.
#[derive(Debug, Default)]
pub(super) struct Changed {
    pub(super) tables: Vec<String>,
    pub(super) sequences: Vec<String>,
}

/// How often rows are taken again that change while they are.
const TRIES: u32 = 3;

/// A column is cut by no server that is this strict; a zero date is what it is.
const STRICT: &str = "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO,STRICT_ALL_TABLES,ALLOW_INVALID_DATES', foreign_key_checks = 0";
const LAX: &str =
    "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES', foreign_key_checks = 1";

/// Lets a session write rows as they are. A CHECK of the source's has to hold, live's own may have been made behind its rows.
async fn strictly(session: &mut Session, is_own: bool) -> Result<()> {
    let mut all = STRICT.to_owned();
    if session.version().flavour == Flavour::MariaDb {
        all.push_str(&format!(
            ", check_constraint_checks = {}",
            u8::from(!is_own)
        ));
        if session.version().is_mariadb(10, 11) {
            all.push_str(", system_versioning_insert_history = ON");
        }
    }
    session.run(&all).await.map(drop)
}

impl Carried {
    /// `kept`: tables of the source whose rows are live's, as far as live has them; `extra`: tables that only live has.
    pub(super) async fn plan(
        session: &mut Session,
        names: &Names,
        kept: &[String],
        extra: &[String],
    ) -> Result<Self> {
        let mut carried = Self {
            kept: kept.to_vec(),
            ..Self::default()
        };
        let rows = session
            .query(&format!(
                "SELECT TABLE_NAME, TABLE_TYPE = 'SEQUENCE' FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} \
                 AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED', 'SEQUENCE') ORDER BY TABLE_TYPE <> 'SEQUENCE', TABLE_NAME",
                literal(&names.live)
            ))
            .await?;
        for row in rows {
            let name = row.text(0)?;
            let is_extra = extra.contains(&name);
            if is_extra || kept.contains(&name) {
                carried.tables.push(Table {
                    name,
                    is_sequence: row.number(1)? == 1,
                    is_extra,
                });
            }
        }
        Ok(carried)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// Their names.
    pub(super) fn tables(&self) -> impl Iterator<Item = &str> {
        self.tables.iter().map(|table| table.name.as_str())
    }

    /// Those that only live has: no catalogue of incoming is to list them.
    pub(super) fn extra(&self) -> impl Iterator<Item = &str> {
        self.tables
            .iter()
            .filter(|table| table.is_extra)
            .map(|table| table.name.as_str())
    }

    /// Sequences that are moved, beside those that are carried themselves.
    pub(super) fn counters(&self) -> BTreeSet<String> {
        let taken = self.taken.lock().expect("no one panics with this lock");
        taken
            .iter()
            .map(|taken| taken.sequence.clone())
            .filter(|name| !self.tables().any(|table| table == name))
            .collect()
    }

    fn state<T>(&self, table: &Table, change: impl FnOnce(&mut State) -> T) -> T {
        let mut states = self.states.lock().expect("no one panics with this lock");
        change(states.entry(table.name.clone()).or_default())
    }

    /// Makes the tables that only live has, and copies all rows. Incoming's tables have their indexes and foreign keys.
    pub(super) async fn fill(&self, session: &mut Session, names: &Names) -> Result<Changed> {
        let mut changed = Changed::default();
        if self.is_empty() && self.kept.is_empty() {
            return Ok(changed);
        }
        session
            .run(&format!("USE {}", quoted(&names.incoming)))
            .await?;
        strictly(session, true).await?;
        for table in &self.tables {
            let within = |error: Error| error.within(format!("keeping {}", table.name));
            if table.is_sequence {
                if sequences::keep(session, names, &table.name)
                    .await
                    .map_err(within)?
                    && !table.is_extra
                {
                    changed.sequences.push(table.name.clone());
                }
                continue;
            }
            let own = fit::read(session, &names.live, &table.name)
                .await
                .map_err(within)?;
            let is_own = if table.is_extra {
                self.take_own(session, names, table, &own).await
            } else {
                self.take_first(session, names, table, &own).await
            };
            if is_own.map_err(within)? && !table.is_extra {
                changed.tables.push(table.name.clone());
            }
        }
        self.find_counters(session, names).await?;
        self.advance(session, names, &[]).await?;
        changed.sequences.extend(self.counters());
        session.run(LAX).await?;
        self.check_keys(session, names, &[]).await?;
        Ok(changed)
    }

    /// Takes rows into the source's table; where it cannot hold them as they are, into one like live's. Returns which.
    async fn take_first(
        &self,
        session: &mut Session,
        names: &Names,
        table: &Table,
        own: &Own,
    ) -> Result<bool> {
        let theirs = fit::read(session, &names.incoming, &table.name).await?;
        let why = match Fit::of(own, &theirs) {
            Err(why) => why,
            Ok(fit) => {
                self.state(table, |state| state.fit = Some(fit));
                strictly(session, false).await?;
                let taken = self
                    .take(session, names, table, (&names.incoming, &table.name))
                    .await;
                strictly(session, true).await?;
                match taken {
                    Ok(()) => return Ok(false),
                    Err(error) if !session.is_usable() => return Err(error),
                    Err(error) if error.kind() == Kind::Verify => {
                        "values would be others there".to_owned()
                    }
                    Err(error) if errors::code(&error).is_none() => return Err(error),
                    Err(error) => error.to_string(),
                }
            }
        };
        tracing::warn!(
            table = table.name,
            why,
            "the source's table cannot hold the rows that the target keeps: the table stays as the target has it"
        );
        self.take_own(session, names, table, own).await
    }

    /// Takes rows into a table like live's.
    async fn take_own(
        &self,
        session: &mut Session,
        names: &Names,
        table: &Table,
        own: &Own,
    ) -> Result<bool> {
        let name = within(&names.incoming, &table.name);
        session.run(&format!("DROP TABLE IF EXISTS {name}")).await?;
        let text = match Create::parse(&own.create) {
            Ok(create) => create
                .with_sequences_in(&names.live, &names.incoming)
                .text(|_, _| true),
            Err(_) => own.create.clone(),
        };
        session.run(&text).await?;
        self.state(table, |state| {
            state.fit = Some(Fit::same(own));
            state.is_own = true;
        });
        self.take(session, names, table, (&names.incoming, &table.name))
            .await?;
        Ok(true)
    }

    /// Copies a table's rows, those that are there go, and holds them against live's.
    async fn take(
        &self,
        session: &mut Session,
        names: &Names,
        table: &Table,
        to: (&str, &str),
    ) -> Result<()> {
        let fit = self.fit(table)?;
        for _ in 0..TRIES {
            let before = fit.state(session, &names.live, &table.name).await?;
            fit.copy(session, (&names.live, &table.name), to).await?;
            let there = fit.sum(session, &names.live, &table.name).await?;
            let here = fit.sum(session, to.0, to.1).await?;
            if there == here {
                let here = fit.state(session, to.0, to.1).await?;
                self.state(table, |state| {
                    state.live = Some(before);
                    state.here = Some(here);
                });
                return Ok(());
            }
            if fit.state(session, &names.live, &table.name).await? == before {
                return Err(Error::new(
                    Kind::Verify,
                    format!(
                        "the rows of {} that the target keeps are not the same in the copy",
                        table.name
                    ),
                )
                .hint(
                    "let the target's table have the source's definition, or take it out of `keep`",
                ));
            }
        }
        // They are taken again at publish.
        self.state(table, |state| {
            state.live = None;
            state.here = None;
        });
        Ok(())
    }

    fn fit(&self, table: &Table) -> Result<Fit> {
        self.state(table, |state| state.fit.clone()).ok_or_else(|| {
            Error::new(
                Kind::Internal,
                format!("the rows of {} were never taken", table.name),
            )
        })
    }

    /// Whether live's rows are others than those that were taken.
    async fn has_changed(
        &self,
        session: &mut Session,
        names: &Names,
        table: &Table,
    ) -> Result<bool> {
        let now = self
            .fit(table)?
            .state(session, &names.live, &table.name)
            .await?;
        Ok(self.state(table, |state| state.live.as_ref() != Some(&now)))
    }

    /// Rows that are kept are nobody's to change: a script's change would be there in one run and gone in the next.
    async fn is_untouched(
        &self,
        session: &mut Session,
        table: &Table,
        place: (&str, &str),
    ) -> Result<()> {
        let Some(before) = self.state(table, |state| state.here.take()) else {
            return Ok(());
        };
        if self.fit(table)?.state(session, place.0, place.1).await? == before {
            return Ok(());
        }
        Err(Error::new(
            Kind::Verify,
            format!(
                "the rows of {}, which the target keeps, were changed in the copy",
                table.name
            ),
        )
        .hint("let no script write to a table that is kept"))
    }

    /// Rows that changed on live since they were copied are copied again. `staged`: what tables are called in live.
    pub(super) async fn catch_up(
        &self,
        session: &mut Session,
        names: &Names,
        staged: &[(String, String)],
    ) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let mut changed = false;
        for table in &self.tables {
            if table.is_sequence {
                sequences::keep(session, names, &table.name).await?;
                continue;
            }
            let to = place(names, staged, &table.name);
            self.is_untouched(session, table, to).await?;
            if self.has_changed(session, names, table).await? {
                tracing::info!(
                    table = table.name,
                    "rows that the target keeps have changed meanwhile; taking them again"
                );
                changed = true;
                self.take_again(session, names, table, to).await?;
            }
            numbers::auto_increment(session, (&names.live, &table.name), to).await?;
        }
        self.advance(session, names, staged).await?;
        if changed {
            return self.check_keys(session, names, staged).await;
        }
        self.keys(session, names, staged).await.map(drop)
    }

    async fn take_again(
        &self,
        session: &mut Session,
        names: &Names,
        table: &Table,
        to: (&str, &str),
    ) -> Result<()> {
        let is_own = self.state(table, |state| state.is_own);
        strictly(session, is_own).await?;
        let taken = self.take(session, names, table, to).await;
        if session.is_usable() {
            session.run(LAX).await?;
        }
        // What is in incoming now is ours, and was held against live.
        self.state(table, |state| state.here = None);
        taken.map_err(|error| error.within(format!("keeping the rows of {}", table.name)))
    }

    /// The same while nobody but us can write to live. Rows that foreign keys connect to others are not looked at closely
    /// enough under the lock: if they changed, the error is [`Kind::Busy`], and it can be tried again.
    pub(super) async fn catch_up_locked(
        &self,
        session: &mut Session,
        names: &Names,
        staged: &[(String, String)],
    ) -> Result<()> {
        let mut changed = false;
        for table in self.tables.iter().filter(|table| !table.is_sequence) {
            if !self.has_changed(session, names, table).await? {
                continue;
            }
            let is_bound = {
                let bound = self.bound.lock().expect("no one panics with this lock");
                bound.contains(&table.name)
            };
            if is_bound {
                return Err(Error::new(
                    Kind::Busy,
                    format!(
                        "the rows of {}, which the target keeps, change all the time",
                        table.name
                    ),
                )
                .hint("keep the table from being written with maintenance_on"));
            }
            changed = true;
            self.take_again(session, names, table, place(names, staged, &table.name))
                .await?;
        }
        for table in self.tables.iter().filter(|table| table.is_sequence) {
            sequences::stand(session, names, &table.name).await?;
        }
        if changed {
            self.advance(session, names, staged).await?;
        }
        Ok(())
    }
}

/// Where a table that becomes live waits.
fn place<'a>(
    names: &'a Names,
    staged: &'a [(String, String)],
    table: &'a str,
) -> (&'a str, &'a str) {
    staged
        .iter()
        .find(|(name, _)| name == table)
        .map_or((&names.incoming, table), |(_, staged)| {
            (&names.live, staged)
        })
}
