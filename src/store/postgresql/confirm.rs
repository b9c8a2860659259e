//! What users see after a publish is what was built and verified, under live's name alone. PostgreSQL's definitions do not
//! follow a database's name, so one that speaks of incoming was made so: by a script that asked where it is, say.

use std::collections::HashSet;

use super::catalogue;
use super::connection::{Session, quoted};
use super::target::Target;
use crate::error::{Error, Kind, Result};

/// What else may hold a name, beside the catalogue's definitions: words for it, and its text.
const TEXTS: &str = "
    SELECT 'the comment on ' || pg_describe_object(classoid, objoid, objsubid), description FROM pg_description
    UNION ALL SELECT 'the security label on ' || pg_describe_object(classoid, objoid, objsubid), label FROM pg_seclabel
    UNION ALL SELECT 'the options of server ' || srvname, array_to_string(srvoptions, ',') FROM pg_foreign_server
    UNION ALL SELECT 'the options of foreign-data wrapper ' || fdwname, array_to_string(fdwoptions, ',') FROM pg_foreign_data_wrapper
    UNION ALL SELECT 'the options of foreign table ' || ftrelid::regclass, array_to_string(ftoptions, ',') FROM pg_foreign_table
    UNION ALL SELECT 'the options of column ' || attrelid::regclass || '.' || attname, array_to_string(attfdwoptions, ',')
        FROM pg_attribute WHERE attfdwoptions IS NOT NULL
    UNION ALL SELECT 'the user mapping of ' || usename || ' for server ' || srvname, array_to_string(umoptions, ',') FROM pg_user_mappings";

impl Target {
    /// Refuses an incoming in which something is called by incoming's own name, or speaks of it.
    pub(super) async fn refuse_own_name(&self) -> Result<()> {
        let name = self.names.incoming.as_str();
        let session = self.fresh_session().await?;
        session.run("SET search_path = ''").await?;
        let mut found: Option<String> = None;
        catalogue::each(&session, &HashSet::new(), |_, object, definition| {
            if found.is_none() && (object.contains(name) || definition.contains(name)) {
                found = Some(object.to_owned());
            }
        })
        .await?;
        if found.is_none() {
            let query = format!(
                "SELECT what FROM ({TEXTS}) AS texts (what, said) WHERE strpos(said, $1) > 0 LIMIT 1"
            );
            let row = session.query_opt(&query, &[&name]).await;
            found = row.map_err(session.explain())?.map(|row| row.get(0));
        }
        match found {
            Some(object) => Err(self.speaks_of_incoming(&object)),
            None => Ok(()),
        }
    }

    /// The error of something that would go live with incoming's name in it.
    pub(super) fn speaks_of_incoming(&self, object: &str) -> Error {
        Error::new(
            Kind::Verify,
            format!(
                "{} would go live with the name {} in it, under which the copy was built",
                object.replace(&self.names.incoming, "..."),
                self.names.incoming
            ),
        )
        .hint("a script must not write current_database() into a definition: there it is not live's name")
    }

    /// Notes which database is incoming, for [`Target::confirm_live`].
    pub(super) async fn remember_incoming(&self) -> Result<()> {
        let oid = oid_of(&self.admin, &self.names.incoming).await?;
        *self.built.lock().expect("no one panics with this lock") = oid;
        Ok(())
    }

    /// Holds what is live now against what was built: it is that very database, open to whom it was open, and nothing that
    /// is said of it speaks of incoming.
    pub(super) async fn confirm_live(&self) -> Result<()> {
        let (live, incoming) = (&self.names.live, &self.names.incoming);
        let built = *self.built.lock().expect("no one panics with this lock");
        let wrong = |what: &str| {
            Error::new(
                Kind::Verify,
                format!("the database {live} is not what was to be published: {what}"),
            )
            .hint("somebody else may have changed databases' names or properties meanwhile; run the job again")
        };
        let row = self
            .admin
            .query_opt(
                "SELECT d.oid, d.datallowconn, \
                        strpos(coalesce(shobj_description(d.oid, 'pg_database'), ''), $2) > 0, \
                        EXISTS (SELECT FROM pg_db_role_setting s WHERE s.setdatabase = d.oid AND strpos(s.setconfig::text, $2) > 0), \
                        EXISTS (SELECT FROM pg_database o WHERE o.datname = $2) \
                 FROM pg_database d WHERE d.datname = $1",
                &[live, incoming],
            )
            .await
            .map_err(self.admin.explain())?;
        let Some(row) = row else {
            return Err(wrong("it is not there"));
        };
        if built != Some(row.get(0)) {
            return Err(wrong("it is another database than the one that was built"));
        }
        if !row.get::<_, bool>(1) {
            return Err(wrong("it takes no connections"));
        }
        if row.get(2) || row.get(3) {
            return Err(wrong(
                "its comment or a setting of it speaks of the name that it was built under",
            ));
        }
        if row.get(4) {
            return Err(wrong(
                "there is another database of the name that it was built under",
            ));
        }
        self.compute_named().await
    }

    /// Notes which materialized views ask for the name of their database; before it has the right one.
    pub(super) async fn remember_named(&self) -> Result<()> {
        let session = self.session().await?;
        let rows = session
            .query(
                "SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                 WHERE c.relkind = 'm' AND c.relispopulated AND pg_get_viewdef(c.oid) ~* '\\mcurrent_(database|catalog)\\M' \
                 ORDER BY c.oid",
                &[],
            )
            .await
            .map_err(session.explain())?;
        *self.named.lock().expect("no one panics with this lock") =
            rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        self.rest(session);
        Ok(())
    }

    /// Fills them anew.
    async fn compute_named(&self) -> Result<()> {
        let named = self
            .named
            .lock()
            .expect("no one panics with this lock")
            .clone();
        // Live may take few connections: those who wait for it come first.
        if named.is_empty() {
            return Ok(());
        }
        let session = self.writing_session_in_live().await?;
        for (schema, name) in named {
            session
                .run(&format!(
                    "REFRESH MATERIALIZED VIEW {}.{}",
                    quoted(&schema),
                    quoted(&name)
                ))
                .await
                .map_err(|error| {
                    error.within(format!(
                        "materialized view {schema}.{name} cannot be filled"
                    ))
                })?;
        }
        Ok(())
    }
}

async fn oid_of(admin: &Session, database: &str) -> Result<Option<u32>> {
    let row = admin
        .query_opt(
            "SELECT oid FROM pg_database WHERE datname = $1",
            &[&database],
        )
        .await
        .map_err(admin.explain())?;
    Ok(row.map(|row| row.get(0)))
}
