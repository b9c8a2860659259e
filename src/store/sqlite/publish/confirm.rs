//! Confirms a publish: compares what users of live see with what was verified and published.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::live::Witness;
use crate::error::{Error, Kind, Result};
use crate::store::sqlite::connection::errors::{is_busy, on};
use crate::store::sqlite::connection::files::companion;
use crate::store::sqlite::connection::open::open_write;

/// How many objects an error names.
const NAMED: usize = 3;

/// A database's definitions and settings.
#[derive(PartialEq, Eq)]
pub(in crate::store::sqlite) struct Shape {
    /// Kind and name; the table that it belongs to, and its SQL.
    objects: BTreeMap<(String, String), (String, Vec<u8>)>,
    settings: Vec<(&'static str, String)>,
}

impl Shape {
    /// The content as a connection sees it.
    pub(in crate::store::sqlite) fn of(connection: &Connection) -> rusqlite::Result<Self> {
        let mut statement =
            connection.prepare("SELECT type, name, tbl_name, sql FROM main.sqlite_schema")?;
        let mut rows = statement.query([])?;
        let mut objects = BTreeMap::new();
        while let Some(row) = rows.next()? {
            let text = |at| {
                row.get_ref(at).map(|value| {
                    String::from_utf8_lossy(value.as_bytes().unwrap_or_default()).into_owned()
                })
            };
            let sql = row.get_ref(3)?.as_bytes().unwrap_or_default().to_vec();
            objects.insert((text(0)?, text(1)?), (text(2)?, sql));
        }
        let mut settings = Vec::new();
        for name in ["encoding", "user_version", "application_id"] {
            let value = connection
                .pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0))?;
            settings.push((name, format!("{value:?}")));
        }
        Ok(Self { objects, settings })
    }

    /// What is not the same in the other, by name.
    fn differences(&self, other: &Self) -> Vec<String> {
        let mut found: Vec<String> = self
            .objects
            .iter()
            .filter(|(key, value)| other.objects.get(*key) != Some(*value))
            .map(|(key, _)| key)
            .chain(
                other
                    .objects
                    .keys()
                    .filter(|key| !self.objects.contains_key(*key)),
            )
            .map(|(kind, name)| format!("{kind} `{name}`"))
            .collect();
        for (ours, theirs) in self.settings.iter().zip(&other.settings) {
            if ours != theirs {
                found.push(ours.0.to_owned());
            }
        }
        found
    }

    /// The objects whose definitions name a file.
    fn naming(&self, file: &[u8]) -> Vec<String> {
        self.objects
            .iter()
            .filter(|(_, (_, sql))| sql.windows(file.len()).any(|window| window == file))
            .map(|((kind, name), _)| format!("{kind} `{name}`"))
            .collect()
    }
}

/// What was published, and how it can be told whether somebody has changed it since.
pub(in crate::store::sqlite) struct PublishedCopy {
    pub(in crate::store::sqlite) shape: Shape,
    pub(in crate::store::sqlite) untouched: Untouched,
}

/// Tells whether somebody else has written to live since it was published.
pub(in crate::store::sqlite) enum Untouched {
    /// By the connection that wrote it.
    Replaced(Witness),
    /// A new file, by its inode, size and time of change.
    New(Looks),
}

type Looks = Option<(u64, u64, i64, i64)>;

impl Untouched {
    /// A file that was just made.
    pub(in crate::store::sqlite) fn new_file(live: &Path) -> Self {
        Self::New(looks(live))
    }

    fn is_changed(&self, live: &Path) -> Result<bool> {
        match self {
            Self::Replaced(witness) => witness.is_changed().map_err(on(live)),
            Self::New(before) => {
                let log = companion(live, "-wal");
                Ok(before.is_none()
                    || *before != looks(live)
                    || log.metadata().is_ok_and(|log| log.len() > 0))
            }
        }
    }
}

fn looks(file: &Path) -> Looks {
    let found = file.symlink_metadata().ok()?;
    Some((found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
}

impl PublishedCopy {
    /// Holds live against what was published. What an application has changed since is its own affair.
    pub(in crate::store::sqlite) fn confirm(&self, live: &Path, incoming: &Path) -> Result<()> {
        let seen = match &self.untouched {
            Untouched::Replaced(witness) => Shape::of(witness.connection()),
            // One that only reads would leave files behind where live is in WAL mode.
            Untouched::New(_) => Shape::of(&open_write(live)?),
        };
        let seen = match seen {
            Err(error) if is_busy(&error) => {
                tracing::warn!(
                    "an application keeps others out of live, so it cannot be looked at"
                );
                return Ok(());
            }
            seen => seen.map_err(on(live))?,
        };
        let name = PathBuf::from(incoming.file_name().unwrap_or_default());
        let naming = seen.naming(name.as_os_str().as_encoded_bytes());
        if !naming.is_empty() {
            return Err(Error::new(
                Kind::Verify,
                format!(
                    "published definitions name incoming, which is gone: {}",
                    some(&naming)
                ),
            )
            .hint("see the job's scripts"));
        }
        let differences = self.shape.differences(&seen);
        if differences.is_empty() {
            return Ok(());
        }
        if self.untouched.is_changed(live)? {
            tracing::debug!(
                differences = some(&differences),
                "an application has changed live since it was published"
            );
            return Ok(());
        }
        Err(Error::new(
            Kind::Verify,
            format!(
                "what is live is not what was verified: {}",
                some(&differences)
            ),
        ))
    }
}

fn some(names: &[String]) -> String {
    let mut shown: Vec<&str> = names.iter().take(NAMED).map(String::as_str).collect();
    if names.len() > NAMED {
        shown.push("...");
    }
    shown.join(", ")
}
