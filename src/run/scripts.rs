//! Scripts: the job's own statements, on incoming, before anyone sees it.

use std::sync::Arc;

use super::Site;
use crate::error::{Result, io};

/// Runs a task's scripts in their order.
pub(super) async fn run(site: &Arc<Site>) -> Result<()> {
    for file in &site.task.scripts {
        let text = tokio::fs::read_to_string(file)
            .await
            .map_err(io(format!("script {} cannot be read", file.display())))?;
        site.target.run_script(file, &text).await?;
        tracing::info!(script = %file.display(), "script ran on incoming");
    }
    Ok(())
}
