//! The store's name.

use crate::config::job::StoreKind;

/// As job files spell it.
pub(in crate::store::postgresql) const KIND: StoreKind = StoreKind::Postgresql;
