//! A dump as a source: its definitions in a schema beside incoming, and its rows in the file. Closed, the schema is gone.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use tokio::sync::Mutex;

use super::conversion::Conversion;
use super::forms::Form;
use super::inserts::Layout;
use super::noted::OfTable;
use super::rows::Rows;
use crate::error::{Error, Kind, Result};
use crate::policy::Identity;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::schema::definitions::{Column, Table};
use crate::store::mysql::schema::dumped;
use crate::store::mysql::source::Source;
use crate::store::{self, Catalogue, Checksum, Chunks, Digest, Part, Survey, Taker};

/// Two character sets.
type Pair = (String, String);

pub(super) struct Staged {
    inner: Source,
    rows: Rows,
    /// What was asked for before.
    conversions: Mutex<HashMap<Pair, Arc<Conversion>>>,
}

impl Staged {
    pub(super) fn new(inner: Source, rows: Rows) -> Self {
        Self {
            inner,
            rows,
            conversions: Mutex::new(HashMap::new()),
        }
    }

    /// How a table's rows stand in the dump.
    async fn layout(&self, part: &Part, noted: &OfTable) -> Result<Layout> {
        let (mut session, definitions) = self.inner.session().await?;
        let table = definitions.table_of(part)?;
        let dumped = self.inner.dumped();
        let rows = dumped.and_then(|dumped| dumped.rows.get(&part.name));
        let columns = match rows {
            Some(rows) => dumped::columns(table, rows)?,
            None => Vec::new(),
        };
        refuse_zone(table, part, noted)?;
        let mut fields = Vec::with_capacity(columns.len());
        for name in &columns {
            let column = table.columns.iter().find(|column| column.name == *name);
            let copied = column.filter(|column| part.columns.contains(&column.name));
            fields.push(match copied {
                Some(column) => Some(self.form(&mut session, column, noted).await?),
                None => None,
            });
        }
        Ok(Layout {
            fields,
            dialect: noted.reading.dialect,
            charset: noted.reading.charset.clone(),
        })
    }

    async fn form(&self, session: &mut Session, column: &Column, noted: &OfTable) -> Result<Form> {
        let charset = match (&column.charset, column.data_type.as_str()) {
            (Some(charset), _) => charset.as_str(),
            (None, "json") => "utf8mb4",
            (None, _) => return Ok(plain(column)),
        };
        let pair = (noted.reading.charset.clone(), charset.to_owned());
        let mut known = self.conversions.lock().await;
        if let Some(found) = known.get(&pair) {
            return Ok(Form::Text(found.clone()));
        }
        let made = Conversion::between(session, &pair.0, &pair.1).await;
        let made = made.map_err(|error| error.within(format!("text of column `{}`", column.name)));
        let made = Arc::new(made?);
        known.insert(pair, made.clone());
        Ok(Form::Text(made))
    }
}

/// What values of a column without a character set are.
fn plain(column: &Column) -> Form {
    match column.data_type.as_str() {
        "tinyint" | "smallint" | "mediumint" | "int" | "integer" | "bigint" | "decimal"
        | "numeric" | "float" | "double" | "real" | "year" => Form::Number,
        "bit" => {
            let inside = column.column_type.trim_start_matches("bit");
            let bits = inside.trim_matches(['(', ')']).parse().unwrap_or(1_usize);
            Form::Bits(bits.div_ceil(8))
        }
        "uuid" => Form::Uuid,
        "inet6" => Form::Inet6,
        "inet4" => Form::Inet4,
        _ => Form::Bytes,
    }
}

/// Moments travel in UTC.
fn refuse_zone(table: &Table, part: &Part, noted: &OfTable) -> Result<()> {
    let zone = noted.reading.zone.as_deref();
    let mut columns = table.columns.iter();
    let has_moments = columns
        .any(|column| column.data_type == "timestamp" && part.columns.contains(&column.name));
    if !has_moments || matches!(zone, Some("+00:00" | "-00:00" | "+0:00" | "UTC")) {
        return Ok(());
    }
    let name = &table.name;
    let what = match zone {
        Some(zone) => {
            format!(
                "the dump has the TIMESTAMPs of `{name}` in the time zone {zone}, and not in UTC"
            )
        }
        None => {
            format!("the dump does not say in which time zone the TIMESTAMPs of `{name}` are")
        }
    };
    Err(Error::new(Kind::Verify, what)
        .hint("dump in UTC, as the tools do by themselves: without --skip-tz-utc and --compact"))
}

#[async_trait]
impl store::Source for Staged {
    async fn identity(&self) -> Result<Identity> {
        self.inner.identity().await
    }

    async fn survey(&self, taker: &Taker) -> Result<Survey> {
        let survey = self.inner.survey(taker).await?;
        let noted = self.rows.noted();
        let parts = survey.parts.iter();
        self.rows
            .want(parts.filter_map(|part| noted.place(&part.name)))
            .await;
        Ok(survey)
    }

    async fn pin(&self) -> Result<()> {
        self.inner.pin().await
    }

    async fn read(&self, part: &Part) -> Result<Chunks> {
        let Some(at) = self.rows.noted().place(&part.name) else {
            return Ok(stream::empty().boxed());
        };
        let layout = self.layout(part, self.rows.noted().table(at)).await?;
        Ok(self.rows.read(at, layout).await)
    }

    async fn count(&self, part: &Part) -> Result<u64> {
        let noted = self.rows.noted();
        let place = noted.place(&part.name);
        Ok(place.map_or(0, |at| noted.table(at).rows))
    }

    async fn catalogue(&self) -> Result<Catalogue> {
        self.inner.catalogue().await
    }

    async fn digest(&self) -> Result<Digest> {
        self.inner.digest().await
    }

    async fn checksum(&self, part: &Part) -> Result<Checksum> {
        let what = format!("{} has no checksum in the dump", part.label());
        Err(Error::new(Kind::Internal, what))
    }

    async fn lost(&self) -> Error {
        self.inner.lost().await
    }

    fn in_order(&self) -> Option<&dyn store::InOrder> {
        Some(self)
    }

    fn shapes(&self) -> Option<&dyn store::Shapes> {
        self.inner.shapes()
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

#[async_trait]
impl store::InOrder for Staged {
    async fn finish(&self) -> Result<()> {
        self.rows.finish().await
    }
}
