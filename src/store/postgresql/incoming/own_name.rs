//! What would go live with incoming's own name in it. PostgreSQL's definitions do not follow a database's name, so one that
//! speaks of incoming was made so: by a script that asked where it is, say.

use std::collections::HashSet;

use super::database::Incoming;
use crate::error::{Error, Kind, Result};
use crate::store::postgresql::schema::catalogue;
use crate::store::postgresql::schema::survey::Name;

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

impl Incoming {
    /// Refuses an incoming in which something is called by incoming's own name, or speaks of it.
    pub(super) async fn refuse_own_name(&self) -> Result<()> {
        let name = self.to.names.incoming.as_str();
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
            found = row
                .map_err(session.explain())?
                .map(|row| row.read(0))
                .transpose()?;
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
                object.replace(&self.to.names.incoming, "..."),
                self.to.names.incoming
            ),
        )
        .hint("a script must not write current_database() into a definition: there it is not live's name")
    }

    /// Materialized views that ask for the name of their database; before it has the right one.
    pub(in crate::store::postgresql) async fn views_with_a_name(&self) -> Result<Vec<Name>> {
        let session = self.session().await?;
        let views = session.names("SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                 WHERE c.relkind = 'm' AND c.relispopulated AND pg_get_viewdef(c.oid) ~* '\\mcurrent_(database|catalog)\\M' \
                 ORDER BY c.oid").await?;
        self.rest(session);
        Ok(views)
    }
}
