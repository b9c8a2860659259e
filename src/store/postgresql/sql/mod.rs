//! Names, strings and words of SQL.

pub(in crate::store::postgresql) mod calls;
pub(in crate::store::postgresql) mod quoting;
pub(in crate::store::postgresql) mod scope;
pub(in crate::store::postgresql) mod setting_values;
pub(in crate::store::postgresql) mod words;
