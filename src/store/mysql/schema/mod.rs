//! What a schema consists of: how it is read, what of it is left out, how it is compared and made.

pub(super) mod catalogue;
pub(super) mod charsets;
pub(super) mod create_objects;
pub(super) mod create_table;
pub(super) mod definitions;
pub(super) mod dumped;
pub(super) mod encryption;
pub(super) mod engines;
pub(super) mod exclusion;
pub(super) mod foreign_keys;
pub(super) mod grants;
pub(super) mod objects;
pub(super) mod primary_key;
pub(super) mod reader;
pub(super) mod sequences;
pub(super) mod shapes;
pub(super) mod stand_ins;
pub(super) mod typed_columns;
pub(super) mod unknown;
pub(super) mod vetting;
pub(super) mod zones;
