//! What the target keeps of its own: rows of `keep` tables, and with `overlay` the tables that only it has.
//!
//! They are copied into incoming, beside the new tables that their foreign keys point to, and held against live by count
//! and checksum. A table that the source has, too, is the source's, if it can hold the rows as they are; else it is live's
//! own. What live changes in them meanwhile is taken again at publish, at last under the lock under which the tables
//! change places.

mod fill;
mod fit;
mod keys;
mod numbers;
mod plan;
mod preserved;

pub(in crate::store::mysql) use self::fit::refuse;
pub(in crate::store::mysql) use self::preserved::Preserved;
