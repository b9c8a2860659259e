//! Everything in a database that has a definition, so that two databases can be compared. Pure.

use std::collections::BTreeMap;

/// Objects by kind and name (`index public.users_email_idx`), each with its definition as the store prints it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalogue(pub BTreeMap<String, String>);

/// One object that is not the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// The target lacks it.
    Missing(String),
    /// Only the target has it.
    Extra(String),
    /// Its definitions differ.
    Changed {
        /// The object.
        object: String,
        /// The source's definition.
        source: String,
        /// The target's.
        target: String,
    },
}

impl Difference {
    /// The object.
    pub fn object(&self) -> &str {
        match self {
            Self::Missing(object) | Self::Extra(object) | Self::Changed { object, .. } => object,
        }
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing(object) => write!(f, "{object} is missing"),
            Self::Extra(object) => write!(f, "{object} is not on the source"),
            Self::Changed {
                object,
                source,
                target,
            } => write!(f, "{object} is `{target}` instead of `{source}`"),
        }
    }
}

impl Catalogue {
    /// What differs, in the order of names.
    pub fn differences(&self, target: &Self) -> Vec<Difference> {
        let mut found = Vec::new();
        for (object, definition) in &self.0 {
            match target.0.get(object) {
                None => found.push(Difference::Missing(object.clone())),
                Some(other) if other != definition => found.push(Difference::Changed {
                    object: object.clone(),
                    source: definition.clone(),
                    target: other.clone(),
                }),
                Some(_) => {}
            }
        }
        for object in target
            .0
            .keys()
            .filter(|object| !self.0.contains_key(*object))
        {
            found.push(Difference::Extra(object.clone()));
        }
        found
    }
}
