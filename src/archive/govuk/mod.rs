//! `format = "govuk"`: dumps as GOV.UK's `govuk_env_sync.sh` and its db-backup chart leave them, and others still read them.
//!
//! A dump is one file `<time>-<database>.gz`, directly under the prefix; `latest-<database>.txt` names the last one that was
//! written to its end (`alphagov/govuk-puppet`, `modules/govuk_env_sync`; `alphagov/govuk-helm-charts`, `charts/db-backup`).
//! There is no manifest: nothing says whose data it is, and nothing but the store's own tool says whether it is whole.

mod choose;
mod gzip;
pub(super) mod name;
mod source;
mod target;

pub use self::choose::{Dump, Dumps};
pub use self::name::Name;
pub(super) use self::source::Source;
pub(super) use self::target::Target;

use crate::config::archive::{Archive, Format};
use crate::config::job::Endpoint;
use crate::error::{Error, Kind, Result};

/// The database in the files' names: what the archive's `database` says, or else the one of the task's other side.
fn database(archive: &Archive, other: &Endpoint) -> Result<String> {
    let said = match &archive.format {
        Format::Govuk(govuk) => govuk.database.clone(),
        Format::Envsyncd => None,
    };
    let database = said.or_else(|| other.url.database().map(str::to_owned));
    database
        .filter(|name| name::can_stand(name))
        .ok_or_else(|| {
            Error::new(
                Kind::Config,
                format!(
                    "it is not known what database the dumps beside {} are called by",
                    other.url
                ),
            )
            .hint("write database = \"NAME\" beside the archive's `url`")
        })
}
