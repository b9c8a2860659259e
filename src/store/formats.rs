//! The stores that this envsyncd has, for whoever reads configuration files.

use serde::{Deserialize, Deserializer};

use crate::config::job::StoreKind;
use crate::config::{Absence, Absent, StoreFormat, Stores};

/// In the order in which people are told of them.
static BUILT_IN: &[&dyn StoreFormat] = &[
    #[cfg(feature = "postgresql")]
    &super::postgresql::url::Format,
    #[cfg(feature = "mysql")]
    &super::mysql::url::Format,
    #[cfg(feature = "sqlite")]
    &super::sqlite::url::Format,
];

static ABSENT: &[Absent] = &[
    #[cfg(not(feature = "postgresql"))]
    left_out("postgresql", &["postgresql", "postgres"]),
    #[cfg(not(feature = "mysql"))]
    left_out("mysql", &["mysql", "mariadb"]),
    #[cfg(not(feature = "sqlite"))]
    left_out("sqlite", &["sqlite"]),
    later("files", &[]),
    later("mongodb", &["mongodb", "mongodb+srv"]),
    later("opensearch", &["http", "https", "opensearch"]),
];

#[allow(dead_code)]
const fn left_out(kind: &'static str, schemes: &'static [&'static str]) -> Absent {
    Absent {
        kind,
        schemes,
        why: Absence::LeftOut,
    }
}

const fn later(kind: &'static str, schemes: &'static [&'static str]) -> Absent {
    Absent {
        kind,
        schemes,
        why: Absence::Later,
    }
}

/// All of them, as the configuration knows them.
pub fn formats() -> Stores {
    Stores::new(BUILT_IN, ABSENT)
}

/// Reads a kind out of what was stored, for `#[serde(deserialize_with = "...")]`: one that is not known is an error.
pub fn read_kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<StoreKind, D::Error> {
    let name = String::deserialize(deserializer)?;
    formats().kind_named(&name).ok_or_else(|| {
        let name = name.escape_debug();
        serde::de::Error::custom(format!("there is no store of the kind `{name}`"))
    })
}
