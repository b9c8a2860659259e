//! Scripts: the job's own statements, on incoming, before anyone sees it.

use std::path::Path;

use super::task_run::TaskRun;
use crate::error::{Result, io};
use crate::store::Complete;
use crate::trust;

/// As a whole it is in memory while it runs.
const LONGEST: u64 = 256 << 20;

async fn read(file: &Path) -> Result<String> {
    let unreadable = || io(format!("script {} cannot be read", file.display()));
    let path = file.to_owned();
    let read = tokio::task::spawn_blocking(move || trust::read(&path, LONGEST)).await;
    let bytes = read
        .map_err(std::io::Error::other)
        .and_then(|read| read)
        .map_err(unreadable())?;
    String::from_utf8(bytes).map_err(|_| unreadable()(std::io::Error::other("it is not UTF-8")))
}

/// Looks whether a task's scripts can be read and cut into statements; runs nothing.
pub(super) async fn look(run: &TaskRun) -> Result<()> {
    for file in &run.task.scripts {
        let text = read(file).await?;
        run.target.look_at_script(file, &text).await?;
    }
    Ok(())
}

/// Runs a task's scripts in their order.
pub(super) async fn run(run: &TaskRun, complete: &dyn Complete) -> Result<()> {
    for file in &run.task.scripts {
        let text = read(file).await?;
        complete.run_script(file, &text).await?;
        tracing::info!(script = %file.display(), "script ran on incoming");
    }
    Ok(())
}
