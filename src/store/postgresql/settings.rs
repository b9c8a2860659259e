//! Settings of databases and roles: how they are stored, and which of them a session of live's owner would have. What is
//! computed or run on incoming has those: generated columns, indexes, checks, materialized views, scripts.

use std::collections::HashMap;

use super::connection::{LOADING, READING, Session, literal, quoted};
use super::settled;
use super::target::Target;
use super::traits::DEFAULT_PATH;
use crate::error::Result;
use crate::store::Encoding;

/// Settings whose stored value is a list of quoted names (`GUC_LIST_QUOTE` in PostgreSQL's source).
const LISTS: [&str; 4] = [
    "search_path",
    "local_preload_libraries",
    "session_preload_libraries",
    "temp_tablespaces",
];

/// What definitions and rows are written for, and what has to be so where they are read: `pg_dump` has written them so,
/// places of things are in what it writes, and rows come as they travel.
const WRITTEN: [(&str, &str); 5] = [
    ("standard_conforming_strings", "on"),
    ("array_nulls", "on"),
    ("transform_null_equals", "off"),
    ("xmloption", "content"),
    ("lc_monetary", "C"),
];

/// The same, for what computes nothing.
const PLACED: &[(&str, &str)] = &[
    ("default_tablespace", ""),
    ("default_table_access_method", "heap"),
    ("check_function_bodies", "off"),
    ("client_min_messages", "warning"),
    ("jit", "off"),
];

/// Locales in which money is written alike.
const PLAIN: [&str; 4] = ["C", "POSIX", "C.UTF-8", "C.utf8"];

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

/// Who somebody is, and how they write, is no part of what their sessions compute with.
const PERSONAL: [&str; 4] = [
    "role",
    "session_authorization",
    "client_encoding",
    "application_name",
];

/// The elements of a stored list of names; `None`: it is none.
pub(super) fn elements(stored: &str) -> Option<Vec<String>> {
    let mut found = Vec::new();
    let mut rest = stored.trim_start();
    if rest.is_empty() {
        return Some(found);
    }
    loop {
        let mut element = String::new();
        if let Some(mut inside) = rest.strip_prefix('"') {
            loop {
                let end = inside.find('"')?;
                element.push_str(&inside[..end]);
                inside = &inside[end + 1..];
                match inside.strip_prefix('"') {
                    Some(more) => {
                        element.push('"');
                        inside = more;
                    }
                    None => break,
                }
            }
            rest = inside;
        } else {
            let end = rest
                .find(|c: char| c == ',' || c.is_whitespace())
                .unwrap_or(rest.len());
            if end == 0 {
                return None;
            }
            element.push_str(&rest[..end]);
            rest = &rest[end..];
        }
        found.push(element);
        rest = rest.trim_start();
        if rest.is_empty() {
            return Some(found);
        }
        rest = rest.strip_prefix(',')?.trim_start();
    }
}

/// A stored value as `ALTER ... SET name TO` wants it. An empty name is none that could be quoted (`dumpRoleGUCPrivs` and
/// `makeAlterConfigCommand` in PostgreSQL's source do the same).
pub(super) fn as_sql(name: &str, stored: &str) -> String {
    let is_list = LISTS.iter().any(|list| list.eq_ignore_ascii_case(name));
    match elements(stored).filter(|found| is_list && !found.is_empty()) {
        Some(found) => {
            let all: Vec<String> = found.iter().map(|element| literal(element)).collect();
            all.join(", ")
        }
        None => literal(stored),
    }
}

/// What a step on incoming is written in, as far as it is read under a setting.
pub(super) enum Writing<'a> {
    Rows(Encoding),
    Definition(&'a str),
    /// Nothing but names.
    Names,
}

impl Writing<'_> {
    /// Whether a setting has to be as it was written for.
    fn needs(&self, name: &str) -> bool {
        match self {
            Self::Rows(Encoding::CopyText) => {
                matches!(name, "array_nulls" | "xmloption" | "lc_monetary")
            }
            Self::Rows(_) | Self::Names => false,
            Self::Definition(text) => match name {
                "standard_conforming_strings" => text.contains('\\'),
                "array_nulls" => text.contains('{'),
                "transform_null_equals" => text.to_ascii_uppercase().contains("NULL"),
                "xmloption" => text.contains("xml"),
                _ => text.contains("money"),
            },
        }
    }
}

/// What a session of live's owner has in incoming.
#[derive(Debug, Default)]
pub(super) struct Own {
    /// What it has besides what the target's user has there.
    on_top: Vec<(String, String)>,
    /// Its search path, or the source's where live says nothing of it: functions in indexes may count on it.
    path: String,
    /// The same for scripts, which count on what live has.
    path_of_scripts: String,
    /// What it has of [`WRITTEN`], where that is something else.
    others: Vec<(&'static str, String)>,
}

impl Own {
    fn on_top(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.on_top.iter();
        all.map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Where a setting is from; a later one beats an earlier one (`process_settings` in PostgreSQL's source).
type Stored = HashMap<String, (u8, String)>;

fn note(all: &mut Stored, name: &str, rank: u8, value: &str) {
    let place = all.entry(name.to_ascii_lowercase()).or_default();
    if place.1.is_empty() || rank >= place.0 {
        *place = (rank, value.to_owned());
    }
}

/// What databases and roles set for sessions of a database's owner, and for ours.
struct Sides {
    me: String,
    owner: String,
    /// Whether there is such a database; if not, it would be ours.
    is_there: bool,
    owners: Stored,
    mine: Stored,
}

impl Sides {
    async fn ask(session: &Session, database: &str) -> Result<Self> {
        let row = session
            .query_one(
                "SELECT me.rolname::text, me.rolsuper, (SELECT pg_get_userbyid(datdba)::text FROM pg_database WHERE datname = $1) \
                 FROM pg_roles me WHERE me.rolname = session_user",
                &[&database],
            )
            .await
            .map_err(session.explain())?;
        let (me, superuser, there): (String, bool, Option<String>) =
            (row.get(0), row.get(1), row.get(2));
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
            let (name, value, rank): (String, String, i32) = (row.get(0), row.get(1), row.get(2));
            let may = match row.get::<_, Option<&str>>(5) {
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
            if row.get(3) {
                note(&mut owners, &name, rank, &value);
            }
            if row.get(4) {
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
    async fn on_top(&self, session: &Session) -> Vec<(String, String)> {
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

/// What these are where no role sets them, as far as our user may see that.
async fn without_role(session: &Session, names: &[&String], owner: &str) -> Vec<(String, String)> {
    let asked = session
        .query(
            "SELECT lower(p.name), coalesce((SELECT f.setting FROM pg_file_settings f WHERE lower(f.name) = lower(p.name) \
                    AND f.applied ORDER BY f.seqno DESC LIMIT 1), p.boot_val, '') \
             FROM pg_settings p WHERE lower(p.name) = ANY($1)",
            &[&names],
        )
        .await;
    match asked {
        Ok(rows) => rows.iter().map(|row| (row.get(0), row.get(1))).collect(),
        Err(error) => {
            tracing::debug!(error = %session.explain()(error), "the server's own settings are not told");
            let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
            tracing::warn!(
                settings = names.join(", "),
                owner,
                "the user has settings of its own that the database's owner has not; what is computed is so under them"
            );
            Vec::new()
        }
    }
}

/// What a session in a database has to set to compute as one of its owner.
pub(super) async fn of_owner(session: &Session, database: &str) -> Result<Vec<(String, String)>> {
    let sides = Sides::ask(session, database).await?;
    let mut found = sides.on_top(session).await;
    found.retain(|(name, _)| !is_of_no_matter(name));
    let path = session
        .query_one("SELECT pg_catalog.current_setting('search_path')", &[])
        .await
        .map_err(session.explain())?
        .get(0);
    let place = found.iter().position(|(name, _)| name == "search_path");
    let path: String = place.map_or(path, |place| found.swap_remove(place).1);
    let owner = (sides.me != sides.owner).then_some(sides.owner.as_str());
    found.push(("search_path".to_owned(), path_of(&path, owner)));
    Ok(found)
}

impl Target {
    /// What a session of live's owner has in incoming.
    async fn own(&self) -> Result<&Own> {
        self.own.get_or_try_init(|| self.ask_own()).await
    }

    async fn ask_own(&self) -> Result<Own> {
        let sides = Sides::ask(&self.admin, &self.names.live).await?;
        let mut own = Own {
            on_top: sides.on_top(&self.admin).await,
            ..Own::default()
        };
        self.look_at(
            &mut own,
            &sides.owners,
            sides.is_there,
            (&sides.me, &sides.owner),
        )
        .await?;
        Ok(own)
    }

    /// Whether the target's user is a superuser.
    pub(super) async fn is_superuser(&self) -> Result<bool> {
        let row = self
            .admin
            .query_one(
                "SELECT rolsuper FROM pg_roles WHERE rolname = current_user",
                &[],
            )
            .await
            .map_err(self.admin.explain())?;
        Ok(row.get(0))
    }

    /// A setting that sessions of live's owner have otherwise than those of the owner of another database on this server,
    /// so that what is computed there may be something else here.
    pub(super) async fn computes_otherwise(&self, other: &str) -> Result<Option<String>> {
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
            let side = if row.get(0) { &mut here } else { &mut there };
            let (name, value): (&str, &str) = (row.get(1), row.get(2));
            let rank = u8::try_from(row.get::<_, i32>(3)).unwrap_or_default();
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

    /// Tries the settings in a session, and asks for the rest there.
    async fn look_at(
        &self,
        own: &mut Own,
        owners: &Stored,
        live: bool,
        (me, owner): (&str, &str),
    ) -> Result<()> {
        let incoming = &self.names.incoming;
        let session = self.address.connect_as_it_is(incoming, &[]).await?;
        let on_top: Vec<(&str, &str)> = own.on_top().collect();
        if !on_top.is_empty()
            && settled::settle(&self.address, &session, &on_top)
                .await
                .is_err()
        {
            let mut kept = Vec::new();
            for (name, value) in std::mem::take(&mut own.on_top) {
                match settled::settle(&self.address, &session, &[(&name, &value)]).await {
                    Ok(()) => kept.push((name, value)),
                    Err(error) => tracing::warn!(
                        %error,
                        setting = name,
                        "the target's user cannot have this setting of live's owner; the copy is computed without it"
                    ),
                }
            }
            own.on_top = kept;
        }
        let names: Vec<&str> = WRITTEN.iter().map(|(name, _)| *name).collect();
        let rows = session
            .query(
                "SELECT pg_catalog.current_setting(name) FROM pg_catalog.unnest($1::pg_catalog.text[]) AS name \
                 UNION ALL SELECT pg_catalog.current_setting('search_path')",
                &[&names],
            )
            .await
            .map_err(session.explain())?;
        for ((name, written), row) in WRITTEN.iter().zip(&rows) {
            let value: String = row.get(0);
            let plain = *name == "lc_monetary" && PLAIN.contains(&value.as_str());
            if value != *written && !plain {
                own.others.push((name, value));
            }
        }
        let path: String = rows.last().map(|row| row.get(0)).unwrap_or_default();
        let path = path_of(&path, (me != owner).then_some(owner));
        let source = &self.made().definitions.traits.search_path;
        let says = live && owners.contains_key("search_path");
        own.path = if says || source == DEFAULT_PATH {
            path.clone()
        } else {
            source.clone()
        };
        own.path_of_scripts = if live { path } else { own.path.clone() };
        Ok(())
    }

    /// A new session in incoming that computes what a session of live's owner would, and reads definitions and rows as they
    /// were written.
    pub(super) async fn loading_session(&self) -> Result<Session> {
        let own = self.own().await?;
        let spoken = self.made().definitions.traits.spoken();
        let settings: Vec<(&str, &str)> = own
            .on_top()
            .chain(LOADING.iter().copied())
            .chain(WRITTEN)
            .chain(PLACED.iter().copied())
            .chain([("client_encoding", spoken), ("search_path", &own.path)])
            .collect();
        self.address
            .connect_as_it_is(&self.names.incoming, &settings)
            .await
    }

    /// A new session in incoming that is as one of live's owner, for a script.
    pub(super) async fn script_session(&self, script: &str) -> Result<Session> {
        let own = self.own().await?;
        let mut settings: Vec<(&str, &str)> = own
            .on_top()
            .chain(LOADING.iter().copied())
            .chain([
                ("client_encoding", "UTF8"),
                ("search_path", &own.path_of_scripts),
            ])
            .collect();
        if script.contains('\\') {
            // It is cut into statements by this rule.
            settings.push(("standard_conforming_strings", "on"));
        }
        self.address
            .connect_as_it_is(&self.names.incoming, &settings)
            .await
    }

    /// A session in incoming for what is compared with the source.
    pub(super) async fn comparing_session(&self) -> Result<Session> {
        let idle = {
            let mut idle = self.idle.lock().expect("no one panics with this lock");
            let place = idle.iter().position(|session| session.compares);
            // One that loads makes room.
            match place {
                Some(place) => Some(idle.swap_remove(place)),
                None => idle.pop().and(None),
            }
        };
        if let Some(session) = idle {
            return Ok(session);
        }
        let spoken = self.made().definitions.traits.spoken();
        let settings = [READING, &[("client_encoding", spoken)]].concat();
        let mut session = self
            .address
            .connect(Some(&self.names.incoming), &settings)
            .await?;
        session.compares = true;
        Ok(session)
    }

    /// For a step that computes: what else the owner's sessions have, but for what the step was written for. Whether there
    /// is anything to take back afterwards.
    pub(super) async fn compute(&self, session: &Session, writing: &Writing<'_>) -> Result<bool> {
        let own = self.own().await?;
        let others = own.others.iter();
        let script: Vec<String> = others
            .filter(|(name, _)| !writing.needs(name))
            .map(|(name, value)| format!("SET {name} = {}", literal(value)))
            .collect();
        if script.is_empty() {
            return Ok(false);
        }
        session.run(&script.join("; ")).await?;
        Ok(true)
    }

    /// Whether a step is written for a setting that the owner's sessions have otherwise.
    pub(super) fn is_written_for(&self, writing: &Writing<'_>) -> bool {
        let own = self.own.get();
        own.is_some_and(|own| own.others.iter().any(|(name, _)| writing.needs(name)))
    }

    /// Takes that back.
    pub(super) async fn read_again(&self, session: &Session, is_changed: bool) -> Result<()> {
        if !is_changed {
            return Ok(());
        }
        let script = WRITTEN.map(|(name, value)| format!("SET {name} = {}", literal(value)));
        session.run(&script.join("; ")).await
    }
}

/// A search path with an owner's name in the place of whoever asks.
pub(super) fn path_of(path: &str, owner: Option<&str>) -> String {
    match owner {
        Some(owner) => path.replace("\"$user\"", &quoted(owner)),
        None => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_list_is_written_name_by_name_and_an_empty_one_is_empty() {
        for (stored, written) in [
            ("\"\"", "''"),
            ("", "''"),
            ("\"$user\", public", "'$user', 'public'"),
            ("\"a\"\"b, c\", \"\",d", "'a\"b, c', '', 'd'"),
            ("\"broken", "'\"broken'"),
            ("a b", "'a b'"),
        ] {
            assert_eq!(as_sql("search_path", stored), written, "{stored}");
        }
        assert_eq!(as_sql("temp_tablespaces", "\"\""), "''");
        assert_eq!(as_sql("DateStyle", "ISO, DMY"), "'ISO, DMY'");
        assert_eq!(as_sql("app.name", "\"\""), "'\"\"'");
    }

    #[test]
    fn rows_in_binary_need_nothing_and_text_what_it_is_read_under() {
        let text = Writing::Rows(Encoding::CopyText);
        assert!(text.needs("lc_monetary") && !text.needs("standard_conforming_strings"));
        assert!(!Writing::Rows(Encoding::CopyBinary).needs("lc_monetary"));
        let plain = Writing::Definition("CREATE INDEX i ON t (f(a))");
        assert!(WRITTEN.iter().all(|(name, _)| !plain.needs(name)));
        assert!(Writing::Definition("a = '\\'").needs("standard_conforming_strings"));
    }

    #[test]
    fn what_is_said_of_a_role_in_a_database_counts_most() {
        let mut all = Stored::new();
        note(&mut all, "DateStyle", 3, "role in database");
        note(&mut all, "datestyle", 1, "database");
        note(&mut all, "DATESTYLE", 2, "role");
        assert_eq!(all["datestyle"].1, "role in database");
    }
}
