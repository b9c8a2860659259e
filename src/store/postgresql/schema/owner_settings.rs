//! Settings of databases and roles: how they are stored, and which of them a session of live's owner would have. What is
//! computed or run on incoming has those: generated columns, indexes, checks, materialized views, scripts.

use std::collections::HashMap;

use super::search_path::path_of;
use crate::error::Result;
use crate::store::postgresql::connection::cells::pairs;
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::databases::destination::Destination;

/// Whether a setting changes how something is done, and nothing of what comes of it.
fn is_of_no_matter(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let parts = [
        "timeout",
        "_mem",
        "cost",
        "parallel",
        "jit",
        "io_concurrency",
    ];
    let starts = ["log_", "enable_", "track_", "default_transaction_"];
    let whole = [
        "synchronous_commit",
        "client_min_messages",
        "temp_tablespaces",
    ];
    parts.iter().any(|part| name.contains(part))
        || starts.iter().any(|start| name.starts_with(start))
        || whole.contains(&name.as_str())
        || PERSONAL.contains(&name.as_str())
}

/// Settings of a person, which do not change what their sessions compute.
const PERSONAL: [&str; 4] = [
    "role",
    "session_authorization",
    "client_encoding",
    "application_name",
];

/// Where a setting is from; a later one beats an earlier one (`process_settings` in PostgreSQL's source).
pub(in crate::store::postgresql) type Stored = HashMap<String, (u8, String)>;

fn note(all: &mut Stored, name: &str, rank: u8, value: &str) {
    let place = all.entry(name.to_ascii_lowercase()).or_default();
    if place.1.is_empty() || rank >= place.0 {
        *place = (rank, value.to_owned());
    }
}

/// What databases and roles set for sessions of a database's owner, and for ours.
pub(in crate::store::postgresql) struct Sides {
    pub(in crate::store::postgresql) me: String,
    pub(in crate::store::postgresql) owner: String,
    /// Whether there is such a database; if not, it would be ours.
    pub(in crate::store::postgresql) is_there: bool,
    pub(in crate::store::postgresql) owners: Stored,
    pub(in crate::store::postgresql) mine: Stored,
}

impl Sides {
    /// Asks the server.
    pub(in crate::store::postgresql) async fn ask(
        session: &Session,
        database: &str,
    ) -> Result<Self> {
        let row = session
            .query_one(
                "SELECT me.rolname::text, me.rolsuper, (SELECT pg_get_userbyid(datdba)::text FROM pg_database WHERE datname = $1) \
                 FROM pg_roles me WHERE me.rolname = session_user",
                &[&database],
            )
            .await
            .map_err(session.explain())?;
        let (me, superuser, there): (String, bool, Option<String>) =
            (row.read(0)?, row.read(1)?, row.read(2)?);
        let owner = there.clone().unwrap_or_else(|| me.clone());
        let rows = session
            .query(
                "SELECT split_part(set, '=', 1), substr(set, strpos(set, '=') + 1), \
                        (CASE WHEN s.setrole <> 0 THEN 2 ELSE 0 END + CASE WHEN s.setdatabase <> 0 THEN 1 ELSE 0 END)::int4, \
                        s.setrole = 0 OR r.rolname = $2, s.setrole = 0 OR r.rolname = $3, p.context \
                 FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole, unnest(s.setconfig) AS set \
                      LEFT JOIN pg_settings p ON lower(p.name) = lower(split_part(set, '=', 1)) \
                 WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = $1)) \
                   AND (s.setrole = 0 OR r.rolname::text IN ($2, $3))",
                &[&database, &owner, &me],
            )
            .await
            .map_err(session.explain())?;
        let (mut owners, mut mine) = (Stored::new(), Stored::new());
        for row in rows {
            let (name, value, rank): (String, String, i32) =
                (row.read(0)?, row.read(1)?, row.read(2)?);
            let may = match row.read::<Option<&str>>(5)? {
                Some("user") => true,
                Some("superuser") => superuser,
                Some(_) => false,
                // Of an extension that is not loaded here, or of an application.
                None => name.contains('.'),
            };
            if !may || PERSONAL.iter().any(|one| one.eq_ignore_ascii_case(&name)) {
                continue;
            }
            let rank = u8::try_from(rank).unwrap_or_default();
            if row.read(3)? {
                note(&mut owners, &name, rank, &value);
            }
            if row.read(4)? {
                note(&mut mine, &name, rank, &value);
            }
        }
        Ok(Self {
            me,
            owner,
            is_there: there.is_some(),
            owners,
            mine,
        })
    }

    /// What the owner has otherwise than we have.
    pub(in crate::store::postgresql) async fn on_top(
        &self,
        session: &Session,
    ) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for (name, (_, value)) in &self.owners {
            if self.mine.get(name).map(|(_, mine)| mine) != Some(value) {
                found.push((name.clone(), value.clone()));
            }
        }
        let only_mine: Vec<&String> = self
            .mine
            .keys()
            .filter(|name| !self.owners.contains_key(*name))
            .collect();
        if !only_mine.is_empty() {
            found.extend(without_role(session, &only_mine, &self.owner).await);
        }
        // A list has an order, a map has none.
        found.sort();
        found
    }
}

/// The values of these settings where no role sets them, as far as our user may see that.
async fn without_role(session: &Session, names: &[&String], owner: &str) -> Vec<(String, String)> {
    let asked = async {
        let rows = session
            .query(
            "SELECT lower(p.name), coalesce((SELECT f.setting FROM pg_file_settings f WHERE lower(f.name) = lower(p.name) \
                    AND f.applied ORDER BY f.seqno DESC LIMIT 1), p.boot_val, '') \
             FROM pg_settings p WHERE lower(p.name) = ANY($1)",
            &[&names],
        )
        .await
            .map_err(session.explain())?;
        pairs(&rows)
    };
    match asked.await {
        Ok(found) => found,
        Err(error) => {
            tracing::debug!(%error, "the server's own settings are not told");
            let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
            tracing::warn!(
                settings = names.join(", "),
                owner,
                "the user has settings that the database's owner does not have; values are computed under them"
            );
            Vec::new()
        }
    }
}

/// The settings that a session needs to compute as one of the database's owner.
pub(in crate::store::postgresql) async fn of_owner(
    session: &Session,
    database: &str,
) -> Result<Vec<(String, String)>> {
    let sides = Sides::ask(session, database).await?;
    let mut found = sides.on_top(session).await;
    found.retain(|(name, _)| !is_of_no_matter(name));
    let path = session
        .query_one("SELECT pg_catalog.current_setting('search_path')", &[])
        .await
        .map_err(session.explain())?
        .read(0)?;
    let place = found.iter().position(|(name, _)| name == "search_path");
    let path: String = place.map_or(path, |place| found.swap_remove(place).1);
    let owner = (sides.me != sides.owner).then_some(sides.owner.as_str());
    found.push(("search_path".to_owned(), path_of(&path, owner)));
    Ok(found)
}

impl Destination {
    /// A setting that sessions of live's owner have otherwise than those of the owner of another database on this server,
    /// so that what is computed there may be something else here.
    pub(in crate::store::postgresql) async fn computes_otherwise(
        &self,
        other: &str,
    ) -> Result<Option<String>> {
        let rows = self
            .admin
            .query(
                "WITH sides(live, database, owner) AS (
                     SELECT false, d.oid, d.datdba FROM pg_database d WHERE datname = $1
                     UNION ALL
                     SELECT true, (SELECT oid FROM pg_database WHERE datname = $2),
                            coalesce((SELECT datdba FROM pg_database WHERE datname = $2),
                                     (SELECT oid FROM pg_roles WHERE rolname = current_user)))
                 SELECT i.live, split_part(set, '=', 1), substr(set, strpos(set, '=') + 1),
                        (CASE WHEN s.setrole <> 0 THEN 2 ELSE 0 END + CASE WHEN s.setdatabase <> 0 THEN 1 ELSE 0 END)::int4
                 FROM sides i JOIN pg_db_role_setting s ON s.setdatabase IN (0, i.database) AND s.setrole IN (0, i.owner),
                      unnest(s.setconfig) AS set",
                &[&other, &self.names.live],
            )
            .await
            .map_err(self.admin.explain())?;
        let (mut here, mut there) = (Stored::new(), Stored::new());
        for row in rows {
            let side = if row.read(0)? { &mut here } else { &mut there };
            let (name, value): (&str, &str) = (row.read(1)?, row.read(2)?);
            let rank = u8::try_from(row.read::<i32>(3)?).unwrap_or_default();
            if !is_of_no_matter(name) {
                note(side, name, rank, value);
            }
        }
        let value = |side: &Stored, name: &str| side.get(name).map(|(_, value)| value.clone());
        let mut names: Vec<&String> = here.keys().chain(there.keys()).collect();
        names.sort();
        // Where live says nothing of its path, the source's is taken.
        let differs = |name: &&String| {
            value(&here, name) != value(&there, name)
                && (name.as_str() != "search_path" || here.contains_key("search_path"))
        };
        Ok(names.into_iter().find(differs).cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_role_in_a_database_counts_most() {
        let mut all = Stored::new();
        note(&mut all, "DateStyle", 3, "role in database");
        note(&mut all, "datestyle", 1, "database");
        note(&mut all, "DATESTYLE", 2, "role");
        assert_eq!(all["datestyle"].1, "role in database");
    }
}
