//! Definitions in archives: put away, taken out again, and as scripts for `psql`.

pub(in crate::store::postgresql) mod scripts;
pub(in crate::store::postgresql) mod stored;

pub(in crate::store) use self::scripts::{load_statement, scripts};
pub(in crate::store) use self::stored::{put_away, take_out, without};
pub(in crate::store) use super::rows::codec::{reframe, unframe};
pub(in crate::store) use super::rows::copy_stream::COPY_ENDS as END_IN_LOT;
pub(in crate::store) use super::rows::slices::join;

/// Refuses a target that is too old.
pub(in crate::store) fn refuse_older(
    source: &crate::store::Server,
    target: &crate::store::Server,
) -> crate::error::Result<()> {
    super::schema::survey::refuse_older(source.major, &source.version, target)
}
