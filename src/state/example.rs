//! A run that tests begin.

use std::path::Path;
use std::sync::LazyLock;

use super::{NewRun, Trigger, Verb};
use crate::guard::process::{Process, host_name};

static HOST: LazyLock<String> = LazyLock::new(host_name);
static OWN: LazyLock<Process> = LazyLock::new(Process::own);

/// Of the job `app`, from production to staging, by hand, in this process, without tasks. What a test is about it says
/// itself: `NewRun { job: "other", ..new_run(id) }`.
pub(super) fn new_run(id: &str) -> NewRun<'_> {
    NewRun {
        id,
        job: "app",
        file: Path::new("/etc/envsyncd/config.d/app.toml"),
        verb: Verb::Run,
        from: "production",
        to: "staging",
        trigger: Trigger::Manual,
        by: "",
        host: &HOST,
        process: &OWN,
        timeout: None,
        tasks: &[],
        only: &[],
    }
}
