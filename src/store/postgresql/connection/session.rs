//! Sessions, and what they are set to.

use std::ops::Deref;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, ToStatement};

use super::cells::{Row, pairs};
use super::login;
use super::server_error::explain_of;
use super::wire::{Borrowed, Holder};
use crate::error::{Error, Kind, Result};
use crate::store::liveness::{GONE, Pulse};
use crate::store::postgresql::connection::address::Address;

/// A session on a server. The connection's task ends with it.
pub(in crate::store::postgresql) struct Session {
    pub(in crate::store::postgresql) client: Client,
    pub(in crate::store::postgresql) connection: JoinHandle<()>,
    /// The stream that it is on.
    pub(in crate::store::postgresql) wire: Holder,
    /// Until when it has to be ready.
    pub(in crate::store::postgresql) until: Instant,
    pub(super) pulse: Pulse,
    pub(in crate::store::postgresql) database: String,
    /// Where it leads, for messages.
    pub(in crate::store::postgresql) place: Arc<str>,
    /// Whether its settings are those for values that are compared.
    pub(in crate::store::postgresql) compares: bool,
    /// Whether it is in a transaction for as long as it lives.
    pub(in crate::store::postgresql) has_snapshot: bool,
}

impl Deref for Session {
    type Target = Client;
    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Without this, a connection that waits for a busy server would outlive its run.
        self.connection.abort();
    }
}

impl Session {
    /// The database it is in.
    pub(in crate::store::postgresql) fn database(&self) -> &str {
        &self.database
    }

    /// Where it leads, for messages.
    pub(in crate::store::postgresql) fn place(&self) -> &str {
        &self.place
    }

    /// Its stream, for a COPY.
    pub(in crate::store::postgresql) fn borrow(&self) -> Result<Borrowed> {
        self.wire.borrow().ok_or_else(|| self.gone())
    }

    fn gone(&self) -> Error {
        let what = if self.pulse.is_gone() {
            GONE
        } else {
            "the server closed the connection"
        };
        Error::new(Kind::Connection, format!("{}: {what}", self.place))
            .hint("see the server's log, and run the job again")
    }

    /// Waits until the server is gone, and says so. Work that waits for the other side would not notice.
    pub(in crate::store::postgresql) async fn lost(&self) -> Error {
        while !self.client.is_closed() {
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        self.gone()
    }

    /// Runs statements, ignoring what they return.
    pub(in crate::store::postgresql) async fn run(&self, sql: &str) -> Result<()> {
        self.client
            .batch_execute(sql)
            .await
            .map_err(self.explain_of(sql))
    }

    /// A row that has come from it.
    pub(in crate::store::postgresql) fn row(&self, row: tokio_postgres::Row) -> Row {
        Row::of(row, Arc::clone(&self.place))
    }

    /// All rows of an answer.
    pub(in crate::store::postgresql) async fn query<T: ?Sized + ToStatement>(
        &self,
        sql: &T,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        let rows = self.client.query(sql, parameters).await?;
        Ok(rows.into_iter().map(|row| self.row(row)).collect())
    }

    /// The only row of an answer.
    pub(in crate::store::postgresql) async fn query_one<T: ?Sized + ToStatement>(
        &self,
        sql: &T,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Row, tokio_postgres::Error> {
        let row = self.client.query_one(sql, parameters).await?;
        Ok(self.row(row))
    }

    /// The only row of an answer that may have none.
    pub(in crate::store::postgresql) async fn query_opt<T: ?Sized + ToStatement>(
        &self,
        sql: &T,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, tokio_postgres::Error> {
        let row = self.client.query_opt(sql, parameters).await?;
        Ok(row.map(|row| self.row(row)))
    }

    /// Schema and name of every relation that a query returns.
    pub(in crate::store::postgresql) async fn names<C>(&self, sql: &str) -> Result<C>
    where
        C: FromIterator<(String, String)>,
    {
        let rows = self.query(sql, &[]).await.map_err(self.explain())?;
        pairs(&rows)
    }

    /// Asks, and hands out the rows as they come: of what a large catalogue answers, no more is kept than is made of it.
    pub(in crate::store::postgresql) async fn each_row(
        &self,
        sql: &str,
        mut take: impl FnMut(&Row) -> Result<()>,
    ) -> Result<()> {
        let rows = self
            .client
            .query_raw(sql, std::iter::empty::<&str>())
            .await
            .map_err(self.explain())?;
        let mut rows = pin!(rows);
        while let Some(row) = rows.try_next().await.map_err(self.explain())? {
            take(&self.row(row))?;
        }
        Ok(())
    }

    /// Adds the place to an error of this session.
    pub(in crate::store::postgresql) fn explain(
        &self,
    ) -> impl Fn(tokio_postgres::Error) -> Error + '_ {
        self.explain_of("")
    }

    /// The same for an error of this statement.
    pub(in crate::store::postgresql) fn explain_of<'a>(
        &'a self,
        sql: &'a str,
    ) -> impl Fn(tokio_postgres::Error) -> Error + 'a {
        move |error| {
            if error.as_db_error().is_none() {
                if let Some(refusal) = self.wire.refusal() {
                    return refusal.told(&self.place);
                }
                if self.pulse.is_gone() {
                    return self.gone();
                }
            }
            explain_of(&error, &self.place, sql)
        }
    }
}

impl Address {
    /// A session as it is when nothing was set yet.
    pub(super) async fn log_in(&self, database: &str) -> Result<Session> {
        let mut config = self.config.clone();
        config.dbname(database);
        let place = self.place(database);
        let wire = Holder::default();
        let login::Begun {
            client,
            connection,
            until,
        } = login::enter(&config, &self.approach, &wire, &place).await?;
        let (approach, place_asked) = (self.approach.clone(), place.clone());
        self.approach.pulse.watch(move || {
            let (config, approach, place) = (config.clone(), approach.clone(), place_asked.clone());
            async move {
                // Whatever the server says to it, it has said something.
                let _ = login::enter(&config, &approach, &Holder::default(), &place).await;
            }
        });
        Ok(Session {
            client,
            connection,
            wire,
            until,
            pulse: self.approach.pulse.clone(),
            database: database.to_owned(),
            place: place.into(),
            compares: false,
            has_snapshot: false,
        })
    }
}
