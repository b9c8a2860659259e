//! Sequences get the values that they have on the source.

use std::collections::HashSet;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::database::Incoming;
use super::numbering;
use crate::error::{Error, Kind, Result};
use crate::store::postgresql::schema::sequences;

/// So many sequences are set in one go.
const SEQUENCES: usize = 100;

impl Incoming {
    /// Sets all sequences that the copy has from the source, and asks for their values back.
    pub(super) async fn set_sequences(&self) -> Result<()> {
        let gone: HashSet<(&str, &str)> = self
            .preserved
            .taken_out
            .iter()
            .filter(|out| out.entry.kind == "SEQUENCE")
            .filter_map(|out| Some((out.entry.schema.as_deref()?, out.entry.tag())))
            .collect();
        let all: Vec<&sequences::Sequence> = self
            .definitions
            .sequences
            .iter()
            .filter(|s| !gone.contains(&(s.schema.as_str(), s.name.as_str())))
            .collect();
        let batches = all.len().div_ceil(SEQUENCES);
        let all = &all;
        stream::iter((0..batches).map(|batch| async move {
            let rest = &all[batch * SEQUENCES..];
            self.set_some(&rest[..rest.len().min(SEQUENCES)]).await
        }))
        .buffer_unordered(self.to.context.workers)
        .try_collect::<()>()
        .await
    }

    async fn set_some(&self, some: &[&sequences::Sequence]) -> Result<()> {
        let session = self.session().await?;
        let script: Vec<String> = some.iter().map(|one| numbering::setting(one)).collect();
        session
            .run(&script.join(";"))
            .await
            .map_err(|error| error.within("sequences cannot be set"))?;
        let names: Vec<(String, String)> = some
            .iter()
            .map(|s| (s.schema.clone(), s.name.clone()))
            .collect();
        let now = sequences::values(&session, &names).await?;
        if let Some(wrong) = now.iter().find(|s| !some.contains(s)) {
            return Err(Error::new(
                Kind::Verify,
                format!(
                    "sequence {}.{} did not take its value",
                    wrong.schema, wrong.name
                ),
            ));
        }
        self.rest(session);
        Ok(())
    }
}
