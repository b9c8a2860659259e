//! A COPY to us of one part, as a stream of chunks.

use futures_util::{StreamExt, stream};

use super::copy_stream;
use crate::error::Result;
use crate::store::postgresql::connection::pool::Pool;
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::schema::properties::Properties;
use crate::store::postgresql::schema::row_encodings::COPY_BINARY;
use crate::store::{Chunk, Chunks, Part};

/// Starts it. `rows` is what is copied: a table with its columns, or a query in parentheses. The session goes to `pool` when
/// all has come.
pub(in crate::store::postgresql) async fn start(
    session: Session,
    pool: Pool,
    part: &Part,
    rows: &str,
    properties: &Properties,
) -> Result<Chunks> {
    let binary = part.encoding == COPY_BINARY;
    let options = properties.copy_options(&part.encoding);
    let label = part.label();
    let statement = format!("COPY {rows} TO STDOUT{options}");
    let copy = copy_stream::Out::start(&session, &statement, binary)
        .await
        .map_err(|error| error.within(format!("reading {label}")))?;
    let reading = Reading {
        session,
        copy,
        pool,
        label,
    };
    Ok(stream::try_unfold(reading, Reading::next).boxed())
}

/// A COPY under way. Dropped before its end, it takes its session with it.
struct Reading {
    session: Session,
    copy: copy_stream::Out,
    pool: Pool,
    label: String,
}

impl Reading {
    async fn next(mut self) -> Result<Option<(Chunk, Self)>> {
        let chunk = self
            .copy
            .next()
            .await
            .map_err(|error| error.within(format!("reading {}", self.label)))?;
        let Some(chunk) = chunk else {
            // The COPY ran to its end: the session can be used again.
            self.pool.rest(self.session);
            return Ok(None);
        };
        Ok(Some((chunk, self)))
    }
}
