//! The target's own publications, which stay in overlay: what they publish, how, and whose they are.

use std::collections::HashSet;

use tokio_postgres::error::SqlState;

use super::create_one;
use super::database::Incoming;
use crate::error::{Error, Kind, Result};
use crate::store::catalogue::first_of;
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::schema::survey::version;
use crate::store::postgresql::schema::toc::{Entry, Toc};
use crate::store::postgresql::sql::quoting::quoted;

/// What makes a publication, and what is said of it.
pub(in crate::store::postgresql) fn picked(theirs: &Toc) -> Vec<Entry> {
    let mut ids = HashSet::new();
    let mut found = Vec::new();
    for entry in &theirs.entries {
        let is_one = entry.kind.starts_with("PUBLICATION");
        let is_said = matches!(entry.kind.as_str(), "COMMENT" | "SECURITY LABEL")
            && entry.needs().any(|need| ids.contains(&need));
        if is_one {
            ids.insert(entry.id());
        }
        if is_one || is_said {
            found.push(entry.clone());
        }
    }
    found
}

/// All publications of a database, each in a line.
async fn read(session: &Session) -> Result<Vec<String>> {
    let major = version(session).await?.0 / 10_000;
    let (more, schemas) = if major >= 15 {
        (
            "(SELECT pg_catalog.string_agg(a.attname, ',' ORDER BY a.attnum) FROM pg_catalog.pg_attribute a \
              WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs::pg_catalog.int2[])), pg_catalog.pg_get_expr(r.prqual, r.prrelid)",
            "(SELECT pg_catalog.string_agg(n.nspname, ',' ORDER BY n.nspname) FROM pg_catalog.pg_publication_namespace m \
              JOIN pg_catalog.pg_namespace n ON n.oid = m.pnnspid WHERE m.pnpubid = p.oid)",
        )
    } else {
        ("NULL, NULL", "NULL")
    };
    let rows = session
        .query(
            &format!(
                "SELECT pg_catalog.concat_ws(' ', 'publication', p.pubname, 'of', pg_catalog.pg_get_userbyid(p.pubowner),
                        pg_catalog.to_jsonb(p) - ARRAY['oid', 'pubname', 'pubowner'],
                        (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(' ', n.nspname || '.' || c.relname, {more}), '; ' ORDER BY n.nspname, c.relname)
                         FROM pg_catalog.pg_publication_rel r JOIN pg_catalog.pg_class c ON c.oid = r.prrelid
                         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE r.prpubid = p.oid),
                        {schemas}, pg_catalog.obj_description(p.oid, 'pg_publication'))
                 FROM pg_catalog.pg_publication p ORDER BY p.pubname"
            ),
            &[],
        )
        .await
        .map_err(session.explain())?;
    rows.iter().map(|row| row.read(0)).collect()
}

/// Refuses publications that only a superuser can make again.
pub(in crate::store::postgresql) async fn refuse_out_of_reach(
    live: &Session,
    superuser: bool,
) -> Result<()> {
    if superuser {
        return Ok(());
    }
    let schemas = if version(live).await?.0 >= 150_000 {
        "OR EXISTS (SELECT FROM pg_catalog.pg_publication_namespace m WHERE m.pnpubid = p.oid)"
    } else {
        ""
    };
    let rows = live
        .query(
            &format!(
                "SELECT p.pubname::text FROM pg_catalog.pg_publication p WHERE p.puballtables {schemas} ORDER BY 1"
            ),
            &[],
        )
        .await
        .map_err(live.explain())?;
    let names: Vec<String> = rows.iter().map(|row| row.read(0)).collect::<Result<_>>()?;
    if names.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        Kind::Permission,
        format!(
            "publications of the target cannot stay, as only a superuser can make them again: {}",
            first_of(&names, 5)
        ),
    )
    .hint("let them name their tables (FOR TABLE), drop them, let a superuser run the job, or leave `mode = \"overlay\"` out"))
}

impl Incoming {
    /// Makes the target's own publications again, and holds them against live's.
    pub(super) async fn publish_as_before(&self) -> Result<()> {
        let entries = &self.preserved.publications;
        if entries.is_empty() {
            return Ok(());
        }
        let session = self.session().await?;
        for entry in entries {
            create_one::create(&session, entry).await?;
            if entry.kind == "PUBLICATION" {
                self.give_publication(&session, entry).await?;
            }
        }
        let live = self.to.live_session().await?;
        let there = read(&live).await?;
        let comparing = self.comparing_session().await?;
        let here = read(&comparing).await?;
        let unlike: Vec<String> = there
            .into_iter()
            .filter(|line| !here.contains(line))
            .collect();
        self.rest(comparing);
        self.rest(session);
        if unlike.is_empty() {
            return Ok(());
        }
        Err(Error::new(
            Kind::Verify,
            format!(
                "what is the target's own is not as it is on the target: {}",
                first_of(&unlike, 3)
            ),
        )
        .hint("change or drop the publication on the target, or leave `mode = \"overlay\"` out"))
    }

    /// Gives a publication to its owner, who needs CREATE on the database for that moment.
    async fn give_publication(&self, session: &Session, entry: &Entry) -> Result<()> {
        if *entry.owner == *self.roles.me() {
            return Ok(());
        }
        let owner = quoted(&entry.owner);
        let alter = format!("ALTER PUBLICATION {} OWNER TO {owner}", quoted(entry.tag()));
        match session.batch_execute(&alter).await {
            Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {}
            outcome => return outcome.map_err(session.explain_of(&alter)),
        }
        let database = quoted(&self.to.names.incoming);
        let script = format!(
            "GRANT CREATE ON DATABASE {database} TO {owner}; {alter}; REVOKE CREATE ON DATABASE {database} FROM {owner}"
        );
        session.run(&script).await.map_err(|error| {
            error
                .within(format!(
                    "the publication {} cannot stay {}'s",
                    entry.tag(),
                    entry.owner.as_str()
                ))
                .hint("make the target's user a member of that role, or give the publication to another one")
        })
    }
}
