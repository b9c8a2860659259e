//! Rows that the target keeps are copied into incoming, and copied again if live changes them meanwhile.

use super::fit::{self, Fit, Own};
use super::numbers;
use super::preserved::{Preserved, Table, place};
use crate::error::{Error, Kind, Result};
use crate::store::mysql::connection::server_error;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::schema::create_table::Create;
use crate::store::mysql::schema::sequences;
use crate::store::mysql::sql::names::{Names, quoted, within};
use crate::store::mysql::sql::version::Flavour;

/// What is other than the source's, for all that it has the source's name.
#[derive(Debug, Default)]
pub(in crate::store::mysql) struct Changed {
    pub(in crate::store::mysql) tables: Vec<String>,
    pub(in crate::store::mysql) sequences: Vec<String>,
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

impl Preserved {
    /// Makes the tables that only live has, and copies all rows. Incoming's tables have their indexes and foreign keys.
    pub(in crate::store::mysql) async fn fill(
        &self,
        session: &mut Session,
        names: &Names,
    ) -> Result<Changed> {
        let mut changed = Changed::default();
        if self.is_empty() && self.wanted.is_empty() {
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
                    Err(error) if server_error::code(&error).is_none() => return Err(error),
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
    pub(in crate::store::mysql) async fn catch_up(
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
                    "rows that the target keeps have changed since they were taken; taking them again"
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
    pub(in crate::store::mysql) async fn catch_up_locked(
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
                let bound = self.bound.lock();
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
