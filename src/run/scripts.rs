//! Scripts: the job's own statements, on incoming, before anyone sees it.

use std::path::Path;
use std::sync::Arc;

use super::Site;
use crate::error::{Result, io};

async fn read(file: &Path) -> Result<String> {
    tokio::fs::read_to_string(file)
        .await
        .map_err(io(format!("script {} cannot be read", file.display())))
}

/// Looks whether a task's scripts can be read and cut into statements; runs nothing.
pub(super) async fn look(site: &Site) -> Result<()> {
    for file in &site.task.scripts {
        let text = read(file).await?;
        site.target.look_at_script(file, &text).await?;
    }
    Ok(())
}

/// Runs a task's scripts in their order.
pub(super) async fn run(site: &Arc<Site>) -> Result<()> {
    for file in &site.task.scripts {
        let text = read(file).await?;
        site.target.run_script(file, &text).await?;
        tracing::info!(script = %file.display(), "script ran on incoming");
    }
    Ok(())
}
