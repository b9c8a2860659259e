//! The store's name.

use crate::config::job::StoreKind;

/// As job files spell it.
pub(super) const KIND: StoreKind = StoreKind::Postgresql;
