//! In place of archives, in a build without the feature `archive`: stores alone can be opened.

use crate::config::job::{Endpoint, Task};
use crate::error::{Error, Kind, Result};
use crate::policy::Environment;
use crate::store::{self, Context};

/// Opens a task's source, which is a store's.
pub async fn open_source(task: &Task, context: &Context) -> Result<Box<dyn store::Source>> {
    refuse(&task.source)?;
    store::registry::open_source(task, context).await
}

/// Opens a task's target, which is a store's.
pub async fn open_target(
    task: &Task,
    _: &Environment,
    context: &Context,
) -> Result<Box<dyn store::Target>> {
    refuse(&task.target)?;
    store::registry::open_target(task, context).await
}

fn refuse(endpoint: &Endpoint) -> Result<()> {
    match endpoint.archive {
        None => Ok(()),
        Some(_) => Err(without()),
    }
}

/// Says that this build has no archives.
pub fn without() -> Error {
    Error::new(Kind::Config, "this envsyncd was built without archives")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::config;

    #[test]
    fn a_push_and_a_pull_are_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let settings = config::load_settings(None, std::iter::empty(), store::registry::formats())
            .unwrap()
            .0;
        let archive = "file:///srv/archive";
        for (key, source, target) in [
            ("source", archive, "sqlite:b.db"),
            ("target", "sqlite:a.db", archive),
        ] {
            let file = directory.path().join("job.toml");
            let text = format!(
                "from = \"production\"\nto = \"staging\"\n[environments.production]\n[environments.staging]\nparent = \"production\"\n\
                 [[task]]\nkind = \"sqlite\"\nsource = \"{source}\"\ntarget = \"{target}\"\n"
            );
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
            let (job, _) = config::load_job(&file, &settings).unwrap_or_else(|all| panic!("{all}"));
            let task = &job.tasks[0];
            let refused = store::registry::refusals(task);
            assert!(
                refused
                    .iter()
                    .any(|refused| refused.key == key && refused.why.contains("without archives")),
                "{refused:?}"
            );
            let opened = refuse(&task.source).and(refuse(&task.target));
            assert!(opened.unwrap_err().to_string().contains("without archives"));
        }
    }
}
