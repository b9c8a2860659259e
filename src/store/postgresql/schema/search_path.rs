//! Queries that the server cannot plan under an empty search path: to plan a query of a table it looks at all of its
//! indexes, and puts SQL functions in them in their place, and those may rely on a path.

use crate::error::{Error, Kind, Result};
use crate::store::Part;
use crate::store::postgresql::connection::cells::Row;
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::sql::quoting::{literal, quoted};

/// Types whose text depends on the search path.
const NAMES: &str = "24, 2202, 2203, 2204, 2205, 2206, 3734, 3769, 4089, 4096, 4191, \
                     1008, 2207, 2208, 2209, 2210, 2211, 3735, 3770, 4090, 4097, 4192";

/// Whether an error says that something is not there: a function, a table, an operator, a type, a schema.
fn is_of_the_path(error: &tokio_postgres::Error) -> bool {
    let code = error.code().map(|code| code.code().to_owned());
    matches!(
        code.as_deref(),
        Some("42883" | "42P01" | "42704" | "3F000" | "42703")
    )
}

/// The search path that the database's owner has: the database's, the owner's, or the server's.
async fn path(session: &Session) -> Result<String> {
    let row = session
        .query_one(
            "SELECT coalesce((SELECT substr(set, 13) FROM pg_db_role_setting s, unnest(s.setconfig) AS set
                              WHERE s.setdatabase IN (0, d.oid) AND s.setrole IN (0, d.datdba) AND starts_with(set, 'search_path=')
                              ORDER BY s.setrole = 0, s.setdatabase = 0 LIMIT 1), '\"$user\", public'),
                    pg_get_userbyid(d.datdba)::text
             FROM pg_database d WHERE d.datname = current_database()",
            &[],
        )
        .await
        .map_err(session.explain())?;
    let (path, owner): (String, String) = (row.read(0)?, row.read(1)?);
    Ok(path_of(&path, Some(&owner)))
}

/// The only row of a query. One that cannot be planned as it is, is planned with the owner's search path, and run without:
/// the text of names in rows depends on it.
pub(in crate::store::postgresql) async fn query_one(session: &Session, query: &str) -> Result<Row> {
    let begun = session.has_snapshot;
    if begun {
        session.run("SAVEPOINT envsyncd").await?;
    }
    let error = match session.query_one(query, &[]).await {
        Ok(row) => {
            if begun {
                session.run("RELEASE envsyncd").await?;
            }
            return Ok(row);
        }
        Err(error) if is_of_the_path(&error) => session.explain()(error),
        Err(error) => return Err(session.explain()(error)),
    };
    tracing::debug!(%error, "planned with the owner's search path");
    let first = if begun {
        "ROLLBACK TO envsyncd"
    } else {
        "BEGIN"
    };
    session.run(first).await?;
    let path = literal(&path(session).await?);
    // A path that is set as a string is one name.
    session
        .run(&format!(
            "SELECT pg_catalog.set_config('search_path', {path}, true); DECLARE envsyncd NO SCROLL CURSOR FOR {query}; \
             SELECT pg_catalog.set_config('search_path', '', true)"
        ))
        .await?;
    let row = session.query_one("FETCH ALL FROM envsyncd", &[]).await;
    let row = row.map_err(session.explain())?;
    let last = if begun {
        "CLOSE envsyncd; RELEASE envsyncd"
    } else {
        "COMMIT"
    };
    session.run(last).await?;
    Ok(row)
}

/// Makes a session ready to plan a query of a part's table for COPY, which is planned and run in one.
pub(in crate::store::postgresql) async fn make_ready(
    session: &Session,
    part: &Part,
    query: &str,
) -> Result<()> {
    session.run("SAVEPOINT envsyncd").await?;
    let planned = session.batch_execute(&format!("EXPLAIN {query}")).await;
    let error = match planned {
        Ok(()) => return session.run("RELEASE envsyncd").await,
        Err(error) if is_of_the_path(&error) => session.explain()(error),
        Err(error) => return Err(session.explain()(error)),
    };
    tracing::debug!(%error, table = part.label(), "read with the owner's search path");
    session.run("ROLLBACK TO envsyncd").await?;
    let named = session
        .query_opt(
            &format!(
                "SELECT 1 FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
                 LEFT JOIN pg_type t ON t.oid = a.atttypid
                 WHERE n.nspname = $1 AND c.relname = $2 AND NOT a.attisdropped AND a.attnum > 0
                   AND (a.atttypid IN ({NAMES}) OR t.typbasetype IN ({NAMES})) LIMIT 1"
            ),
            &[&part.schema, &part.name],
        )
        .await
        .map_err(session.explain())?;
    if named.is_some() {
        return Err(Error::new(
            Kind::Statement,
            format!(
                "{}: an index relies on the search path, and so does the text of a column, so it cannot be read in slices",
                part.label()
            ),
        )
        .hint("give the task jobs = 1"));
    }
    let path = literal(&path(session).await?);
    session
        .run(&format!(
            "SELECT pg_catalog.set_config('search_path', {path}, false)"
        ))
        .await
}

/// A search path with an owner's name in the place of whoever asks.
pub(in crate::store::postgresql) fn path_of(path: &str, owner: Option<&str>) -> String {
    match owner {
        Some(owner) => path.replace("\"$user\"", &quoted(owner)),
        None => path.to_owned(),
    }
}
