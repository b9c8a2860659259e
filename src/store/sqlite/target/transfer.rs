//! Takes a whole source into incoming page by page, through SQLite's backup interface.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::Connection;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::incoming::SqliteIncoming;
use crate::config::job::Verify;
use crate::error::{Error, Kind, Result};
use crate::store::sqlite::connection::backup;
use crate::store::sqlite::connection::errors::explain;
use crate::store::sqlite::connection::session::stopped;
use crate::store::sqlite::incoming::load;
use crate::store::sqlite::incoming::progress::Spread;
use crate::store::sqlite::rows::checksum;
use crate::store::sqlite::schema::objects::Table;
use crate::store::sqlite::source::SqliteSource;
use crate::store::{Checksum, Meter, Source, Survey, Transfer};

/// What a file has: rows of each table, and checksums of those that are asked for, each with its table.
type Content = (Vec<u64>, Vec<(String, Checksum)>);

#[async_trait]
impl Transfer for SqliteIncoming {
    async fn transfer(
        &self,
        source: &dyn Source,
        survey: &Survey,
        meter: &dyn Meter,
    ) -> Result<bool> {
        let Some(source) = source.native().get::<SqliteSource>() else {
            return Ok(false);
        };
        if !backup::can_take_all(&self.workspace.context.selection) {
            return Ok(false);
        }
        self.copy_pages(source, survey, meter).await?;
        let (sent, taken) = self.compare(source, survey).await?;
        for ((part, sent), taken) in survey.parts.iter().zip(sent).zip(taken) {
            if sent != taken {
                return Err(Error::new(
                    Kind::Verify,
                    format!(
                        "{}: {sent} rows on the source and {taken} in the copy",
                        part.label()
                    ),
                ));
            }
            meter.add(part, taken, 0);
        }
        Ok(true)
    }
}

impl SqliteIncoming {
    /// Puts a copy of the source's pages in incoming's place.
    async fn copy_pages(
        &self,
        source: &SqliteSource,
        survey: &Survey,
        meter: &dyn Meter,
    ) -> Result<()> {
        self.workspace.close_session();
        let (sender, mut progress) = mpsc::unbounded_channel();
        let to = self.workspace.incoming();
        let session = source.session()?;
        let creating = self.workspace.creating().await;
        let copying = session.run(move |connection, stop| {
            let _until_done = creating;
            backup::copy(connection, &to, stop, &mut |done, all| {
                let _ = sender.send((done, all));
            })
        });
        let metering = async {
            let mut spread = Spread::new(&survey.parts, meter);
            while let Some(at) = progress.recv().await {
                spread.reach(at);
            }
        };
        let (copied, ()) = tokio::join!(copying, metering);
        let file = Arc::new(copied?);
        self.set_page_copy(Arc::clone(&file));
        self.workspace.reopen(&file).await
    }

    /// Holds tables that cannot be checked by their indexes against the source row by row; returns the rows of each part on
    /// both sides.
    async fn compare(
        &self,
        source: &SqliteSource,
        survey: &Survey,
    ) -> Result<(Vec<u64>, Vec<u64>)> {
        let names: Vec<String> = survey.parts.iter().map(|part| part.name.clone()).collect();
        let summed: Vec<Table> = self
            .definitions
            .missing_extensions
            .iter()
            .filter(|_| self.workspace.verify != Verify::None)
            .filter_map(|missing| self.definitions.table(&missing.table))
            .filter(|table| !table.is_virtual)
            .cloned()
            .collect();
        let (theirs, ours) = (source.session()?, self.workspace.reader()?);
        let ((sent, theirs), (taken, ours)) = tokio::try_join!(
            theirs.run(content(names.clone(), summed.clone())),
            ours.run(content(names, summed))
        )?;
        if let Some(((name, _), _)) = theirs.iter().zip(&ours).find(|(a, b)| a != b) {
            return Err(Error::new(
                Kind::Verify,
                format!("`{name}`: the rows of the copy are not those of the source"),
            ));
        }
        Ok((sent, taken))
    }
}

/// Counts the rows of tables, and sums some of them up.
fn content(
    names: Vec<String>,
    summed: Vec<Table>,
) -> impl FnOnce(&mut Connection, &CancellationToken) -> Result<Content> + Send + 'static {
    move |connection, stop| {
        let counts =
            load::counts(connection, &names).map_err(|error| explain(error, "counting rows"))?;
        let sums = summed
            .iter()
            .map(|table| {
                stopped(stop)?;
                let sum = checksum::sum(connection, table)
                    .map_err(|error| explain(error, &format!("table `{}`", table.name)))?;
                Ok((table.name.clone(), sum))
            })
            .collect::<Result<_>>()?;
        Ok((counts, sums))
    }
}
