//! Everything in a database that has a definition, so that two databases can be compared. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Objects by kind and name (`index public.users_email_idx`), each with its definition as the store prints it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalogue(pub BTreeMap<String, String>);

/// A whole catalogue in a few numbers that do not depend on its order: two that are equal are so of equal catalogues.
/// A database of many small tables has more definitions than a run shall need memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Digest {
    objects: u64,
    sums: (u128, u128),
}

impl Digest {
    /// Takes in one object and its definition.
    pub fn add(&mut self, object: &str, definition: &str) {
        let mut hash = Sha256::new();
        hash.update((object.len() as u64).to_le_bytes());
        hash.update(object);
        hash.update(definition);
        let hash: [u8; 32] = hash.finalize().into();
        let half = |from: usize| {
            let bytes = hash[from..from + 16].try_into();
            u128::from_le_bytes(bytes.expect("sixteen bytes"))
        };
        self.objects += 1;
        self.sums.0 = self.sums.0.wrapping_add(half(0));
        self.sums.1 = self.sums.1.wrapping_add(half(16));
    }
}

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
    /// It in a few numbers.
    pub fn digest(&self) -> Digest {
        let mut digest = Digest::default();
        for (object, definition) in &self.0 {
            digest.add(object, definition);
        }
        digest
    }

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

/// The first of these, for an error's one line, and how many more there are.
pub fn first_of(all: &[String], most: usize) -> String {
    let more = all.len().saturating_sub(most);
    let rest = if more > 0 {
        format!(", and {more} more")
    } else {
        String::new()
    };
    format!("{}{rest}", all[..all.len() - more].join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue(objects: &[(&str, &str)]) -> Catalogue {
        let owned = |(name, definition): &(&str, &str)| (name.to_string(), definition.to_string());
        Catalogue(objects.iter().map(owned).collect())
    }

    #[test]
    fn a_digest_tells_catalogues_apart_and_not_orders() {
        let all = catalogue(&[("table a", "x"), ("table b", "y")]);
        let mut other_way_round = Digest::default();
        other_way_round.add("table b", "y");
        other_way_round.add("table a", "x");
        assert_eq!(all.digest(), other_way_round);
        for other in [
            catalogue(&[("table a", "x")]),
            catalogue(&[("table a", "y"), ("table b", "x")]),
            catalogue(&[("table a", "x"), ("table by", "")]),
            catalogue(&[("table a", "x"), ("table b", "y"), ("table c", "")]),
        ] {
            assert_ne!(all.digest(), other.digest());
        }
    }
}
