//! Foreign keys from and to rows that the target keeps.

use std::collections::BTreeSet;

use super::preserved::Preserved;
use crate::error::{Error, Kind, Result};
use crate::store::mysql::connection::server_error;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::sql::names::{Names, literal, quoted, within};

impl Preserved {
    /// Foreign keys from and to what was kept hold.
    pub(super) async fn check_keys(
        &self,
        session: &mut Session,
        names: &Names,
        staged: &[(String, String)],
    ) -> Result<()> {
        for key in self.keys(session, names, staged).await? {
            let mut known = Vec::new();
            let mut equal = Vec::new();
            for (from, to) in &key.columns {
                known.push(format!("c.{} IS NOT NULL", quoted(from)));
                equal.push(format!("p.{} = c.{}", quoted(to), quoted(from)));
            }
            let broken = session
                .query_opt(&format!(
                    "SELECT 1 FROM {} c WHERE {} AND NOT EXISTS (SELECT 1 FROM {} p WHERE {}) LIMIT 1",
                    key.child,
                    known.join(" AND "),
                    key.parent,
                    equal.join(" AND ")
                ))
                .await;
            let broken = match broken {
                Ok(broken) => broken,
                // 1146: the parent is not there.
                Err(error) if server_error::code(&error) == Some(1146) => {
                    if self.was_dangling(session, names, &key).await? {
                        continue;
                    }
                    return Err(Error::new(
                        Kind::Verify,
                        format!(
                            "foreign key {} of {} cannot stay: the table that it points to, {}, is not in the copy",
                            key.name, key.table, key.other
                        ),
                    )
                    .hint("keep both tables or neither, or drop the foreign key on the target"));
                }
                Err(error) => {
                    return Err(error.within(format!("foreign key {} of {}", key.name, key.table)));
                }
            };
            if broken.is_some() {
                return Err(Error::new(
                    Kind::Verify,
                    format!(
                        "rows that the target keeps and new ones do not fit: foreign key {} of {} has rows without a parent",
                        key.name, key.table
                    ),
                )
                .hint("keep both tables or neither, or remove those rows from the target"));
            }
        }
        Ok(())
    }

    /// Whether live itself lacks the table that a key points to.
    async fn was_dangling(&self, session: &mut Session, names: &Names, key: &Key) -> Result<bool> {
        let row = session
            .query_opt(&format!(
                "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
                literal(&names.live),
                literal(&key.other)
            ))
            .await?;
        Ok(row.is_none())
    }

    /// The foreign keys from and to what was kept, as incoming has them.
    pub(in crate::store::mysql) async fn keys(
        &self,
        session: &mut Session,
        names: &Names,
        staged: &[(String, String)],
    ) -> Result<Vec<Key>> {
        let waiting: Vec<String> = staged.iter().map(|(_, name)| literal(name)).collect();
        let waiting = if waiting.is_empty() {
            "NULL".to_owned()
        } else {
            waiting.join(", ")
        };
        let rows = session
            .query(&format!(
                "SELECT CONSTRAINT_NAME, TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, REFERENCED_TABLE_SCHEMA, REFERENCED_TABLE_NAME, REFERENCED_COLUMN_NAME \
                 FROM information_schema.KEY_COLUMN_USAGE WHERE REFERENCED_TABLE_NAME IS NOT NULL \
                 AND (TABLE_SCHEMA = {} OR (TABLE_SCHEMA = {} AND TABLE_NAME IN ({waiting}))) \
                 ORDER BY TABLE_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, ORDINAL_POSITION",
                literal(&names.incoming),
                literal(&names.live)
            ))
            .await?;
        let own = |name: String| {
            staged
                .iter()
                .find(|(_, waiting)| *waiting == name)
                .map_or(name, |(table, _)| table.clone())
        };
        let kept: BTreeSet<&str> = self
            .tables()
            .chain(self.wanted.iter().map(String::as_str))
            .collect();
        let mut bound = BTreeSet::new();
        let mut keys: Vec<Key> = Vec::new();
        for row in rows {
            let (name, child) = (row.text(0)?, within(&row.text(1)?, &row.text(2)?));
            let pair = (row.text(3)?, row.text(6)?);
            if let Some(last) = keys
                .last_mut()
                .filter(|key| key.name == name && key.child == child)
            {
                last.columns.push(pair);
                continue;
            }
            let ends = [own(row.text(2)?), own(row.text(5)?)];
            let ours: Vec<String> = ends
                .iter()
                .filter(|end| kept.contains(end.as_str()))
                .cloned()
                .collect();
            if !ours.is_empty() {
                bound.extend(ours);
                let [table, other] = ends;
                keys.push(Key {
                    other,
                    name,
                    table,
                    child,
                    parent: within(&row.text(4)?, &row.text(5)?),
                    columns: vec![pair],
                });
            }
        }
        *self.bound.lock() = bound;
        Ok(keys)
    }
}

/// A foreign key: its name, its table's, where both ends are now, and the columns of both.
pub(in crate::store::mysql) struct Key {
    name: String,
    table: String,
    child: String,
    parent: String,
    /// The name of the table that it points to.
    other: String,
    columns: Vec<(String, String)>,
}
