//! `format = "govuk"`: dumps as GOV.UK's `govuk_env_sync.sh` and its db-backup chart leave them, and others still read them.
//!
//! A dump is one file `<time>-<database>.gz`, directly under the prefix; `latest-<database>.txt` names the last one that was
//! written to its end (`alphagov/govuk-puppet`, `modules/govuk_env_sync`; `alphagov/govuk-helm-charts`, `charts/db-backup`).
//! There is no manifest: nothing says whose data it is, and nothing but the store's own tool says whether it is whole.

mod choose;
#[cfg(test)]
mod fuzz;
mod gzip;
pub(super) mod name;
mod source;
mod target;

pub use self::choose::{Dump, Dumps};
pub use self::name::Name;
pub(super) use self::source::Source;
pub(super) use self::target::Target;
