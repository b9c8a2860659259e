//! What a task says under the keys that are a store's own.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Kind, Result};

/// A store's own options, as a value of its own type.
#[derive(Clone)]
pub struct OwnOptions(Arc<dyn Any + Send + Sync>);

impl OwnOptions {
    /// Of the store's own type.
    pub fn new<T: Any + Send + Sync>(own: T) -> Self {
        Self(Arc::new(own))
    }

    /// As the store's own type. Another store's are an error.
    pub fn get<T: Any>(&self) -> Result<&T> {
        self.0
            .downcast_ref()
            .ok_or_else(|| Error::new(Kind::Internal, "these are another store's options"))
    }
}

impl Default for OwnOptions {
    /// Of a store that has none.
    fn default() -> Self {
        Self::new(())
    }
}

impl fmt::Debug for OwnOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnOptions")
    }
}
