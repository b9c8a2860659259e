//! The names under which a table's rowid can be reached, and how one is stored.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The names that a rowid has, unless a column is called so.
pub(super) const ALIASES: [Alias; 3] = ["rowid", "_rowid_", "oid"];

/// One of them.
pub(in crate::store::sqlite) type Alias = &'static str;

/// Stores a name, or none.
#[allow(
    clippy::ref_option,
    clippy::ref_option_ref,
    clippy::trivially_copy_pass_by_ref
)] // as serde wants it
pub(super) fn serialize<S: Serializer>(
    name: &Option<&'static str>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    name.serialize(serializer)
}

/// Reads a stored name; one that no rowid has is an error.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'static str>, D::Error> {
    let Some(name) = Option::<String>::deserialize(deserializer)? else {
        return Ok(None);
    };
    let found = ALIASES.into_iter().find(|alias| **alias == *name);
    found
        .map(Some)
        .ok_or_else(|| D::Error::custom("no rowid is called so"))
}
