//! Rows that are the target's own: taken from live, held against it, and taken again where they changed meanwhile. What is
//! kept is what live has, to the bit, whatever the task verifies.

use std::collections::HashSet;

use super::database::Incoming;
use super::owner::Writing;
use super::preserved::{self, Preserved};
use super::{create_one, numbering};
use crate::error::{Error, Kind, Result};
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::rows::checksum::sum;
use crate::store::postgresql::rows::copy_stream;
use crate::store::postgresql::rows::relation::{column_list, table_name};
use crate::store::postgresql::schema::row_encodings::COPY_TEXT;
use crate::store::postgresql::schema::sequences;
use crate::store::postgresql::schema::survey::Name;
use crate::store::{Checksum, Part};

/// A transaction that sees one moment of live.
const ONE_MOMENT: &str = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Copies a part's rows from live into incoming; the columns are live's, and incoming must have them all.
async fn copy(live: &Session, incoming: &Session, part: &Part) -> Result<u64> {
    debug_assert_eq!(part.encoding, COPY_TEXT);
    let have: HashSet<String> = incoming
        .query(
            "SELECT a.attname::text FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped",
            &[&part.schema, &part.name],
        )
        .await
        .map_err(incoming.explain())?
        .iter()
        .map(|row| row.read(0))
        .collect::<Result<_>>()?;
    let lost: Vec<&str> = part
        .columns
        .iter()
        .filter(|column| !have.contains(*column))
        .map(String::as_str)
        .collect();
    if !lost.is_empty() {
        return Err(Error::new(
            Kind::Verify,
            format!(
                "the rows of {} cannot be kept: the source's table has no column {}",
                part.label(),
                lost.join(", ")
            ),
        )
        .hint("drop the columns on the target, or take the table out of `keep`"));
    }
    let columns = if part.columns.is_empty() {
        String::new()
    } else {
        format!(" ({})", column_list(&part.columns))
    };
    let name = table_name(part);
    let mut out =
        copy_stream::Out::start(live, &format!("COPY {name}{columns} TO STDOUT"), false).await?;
    let mut copy =
        copy_stream::In::start(incoming, &format!("COPY {name}{columns} FROM STDIN")).await?;
    while let Some(chunk) = out.next().await? {
        copy.send(chunk.data).await?;
    }
    copy.finish()
        .await
        .map_err(|error| error.within(format!("keeping the rows of {}", part.label())))
}

/// Rows, and a hash over all columns, in the words of a session for what is compared.
async fn summed(session: &Session, preserved: &Preserved, part: &Part) -> Result<Checksum> {
    let columns = preserved.columns.get(&part.id);
    let columns = columns.map_or(&*part.columns, Vec::as_slice);
    let from = format!("ONLY {}", table_name(part));
    sum(session, &part.label(), columns, &from).await
}

fn unlike(part: &Part) -> Error {
    Error::new(
        Kind::Verify,
        format!(
            "the rows of {} cannot be kept: in the copy they are not what they are on the target",
            part.label()
        ),
    )
    .hint("what computes or stores them is another thing on the source: make the table's definitions alike, or take it out of `keep`")
}

/// Rows that are kept are nobody's to change: a script's change would be there in one run and gone in the next.
fn touched(label: &str) -> Error {
    Error::new(
        Kind::Verify,
        format!("the rows of {label}, which the target keeps, were changed in the copy"),
    )
    .hint("let no script write to a table that is kept")
}

impl Incoming {
    /// Whether a failure says that rows do not fit, rather than that a server is gone.
    fn tells_of_rows(error: &Error) -> bool {
        matches!(error.kind(), Kind::Statement | Kind::Verify)
    }

    /// Tries whether tables of incoming hold live's rows as they are, with what has to be unique; returns those that do not.
    /// They are empty afterwards.
    pub(super) async fn try_rows(&self, tables: &HashSet<Name>) -> Result<HashSet<Name>> {
        let mut failing = HashSet::new();
        for part in &self.preserved.parts {
            let name = preserved::name_of(part);
            if !tables.contains(&name) {
                continue;
            }
            match self.try_part(part).await {
                Ok(()) => {}
                Err(error) if Self::tells_of_rows(&error) => {
                    tracing::debug!(%error, table = part.label(), "the source's definition does not hold live's rows");
                    failing.insert(name);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(failing)
    }

    async fn try_part(&self, part: &Part) -> Result<()> {
        // Whoever breaks off in a COPY is of no further use.
        let live = self.to.live_session().await?;
        live.run(ONE_MOMENT).await?;
        let session = self.fresh_session().await?;
        self.compute(&session, &Writing::Rows(&COPY_TEXT)).await?;
        copy(&live, &session, part).await?;
        let comparing = self.comparing_session().await?;
        let ours = summed(&comparing, &self.preserved, part).await;
        self.rest(comparing);
        if ours? != summed(&live, &self.preserved, part).await? {
            return Err(unlike(part));
        }
        session.run("BEGIN").await?;
        for place in self.indexes_on(part) {
            let index = &self.sorted.indexes[*place as usize];
            let unique = index.definition().starts_with("CREATE UNIQUE ");
            if index.kind == "CONSTRAINT" || unique {
                create_one::create(&session, index).await?;
            }
        }
        session
            .run(&format!("ROLLBACK; TRUNCATE ONLY {}", table_name(part)))
            .await
    }

    /// Brings all rows that are the target's own.
    pub(super) async fn copy_preserved_rows(&self) -> Result<()> {
        if !self.preserved.parts.is_empty() {
            let live = self.to.live_session().await?;
            let session = self.session().await?;
            live.run(ONE_MOMENT).await?;
            self.copy_preserved_objects(&live, &self.preserved.oids)
                .await?;
            let changed = self.compute(&session, &Writing::Rows(&COPY_TEXT)).await?;
            for part in &self.preserved.parts {
                self.to.refuse_cancelled()?;
                let rows = copy(&live, &session, part).await?;
                self.refuse_unlike(&live, part).await?;
                tracing::info!(table = part.label(), rows, "kept the target's own rows");
            }
            self.read_again(&session, changed).await?;
            self.thaw(&self.preserved.parts);
            self.rest(session);
        } else if self.to.context.selection.overlay && self.preserved.is_of_live {
            let live = self.to.live_session().await?;
            live.run(ONE_MOMENT).await?;
            self.copy_preserved_objects(&live, &[]).await?;
        }
        Ok(())
    }

    /// Holds a part's rows against live's, and remembers them: nobody is to change them in incoming.
    async fn refuse_unlike(&self, live: &Session, part: &Part) -> Result<()> {
        let preserved = &self.preserved;
        let comparing = self.comparing_session().await?;
        let ours = summed(&comparing, preserved, part).await?;
        self.rest(comparing);
        if ours != summed(live, preserved, part).await? {
            return Err(unlike(part));
        }
        let mut sums = preserved.sums.lock();
        sums.insert(part.id, ours);
        Ok(())
    }

    /// A part's rows in incoming, which have to be those that were brought from live.
    async fn untouched(&self, part: &Part) -> Result<Checksum> {
        let preserved = &self.preserved;
        let comparing = self.comparing_session().await?;
        let ours = match summed(&comparing, preserved, part).await {
            // The table is gone, or a column of it.
            Err(error) if Self::tells_of_rows(&error) => return Err(touched(&part.label())),
            ours => ours?,
        };
        self.rest(comparing);
        let sums = preserved.sums.lock();
        match sums.get(&part.id) {
            Some(before) if *before != ours => Err(touched(&part.label())),
            _ => Ok(ours),
        }
    }

    /// Refuses scripts that changed what is kept: rows, and the large objects that they refer to.
    pub(super) async fn refuse_touched(&self) -> Result<()> {
        for part in &self.preserved.parts {
            self.to.refuse_cancelled()?;
            self.untouched(part).await?;
        }
        self.refuse_touched_objects().await
    }

    /// Sets the sequences that are live's own, and those that number rows that are kept.
    pub(super) async fn number_rows(&self) -> Result<()> {
        let tables = self.preserved.tables();
        if tables.is_empty() && self.preserved.sequences.is_empty() {
            return Ok(());
        }
        let live = self.to.live_session().await?;
        let session = self.session().await?;
        let own = sequences::values(&live, &self.preserved.sequences).await?;
        let all: Vec<String> = own.iter().map(numbering::setting).collect();
        session.run(&all.join(";")).await?;
        let past = numbering::past(&live, &session, &tables).await?;
        let all: Vec<String> = past.iter().map(numbering::setting).collect();
        session
            .run(&all.join(";"))
            .await
            .map_err(|error| error.within("sequences of kept tables cannot be set"))?;
        self.rest(session);
        Ok(())
    }

    /// Takes rows again that changed on live since they were copied, all in one transaction, and holds them against live.
    pub(in crate::store::postgresql) async fn copy_changed_again(&self) -> Result<()> {
        let preserved = &self.preserved;
        let live = self.to.live_session().await?;
        live.run(ONE_MOMENT).await?;
        if preserved.is_of_live {
            self.refuse_touched_objects().await?;
            self.copy_preserved_objects(&live, &preserved.oids).await?;
        }
        let mut changed = Vec::new();
        for part in &preserved.parts {
            let ours = self.untouched(part).await?;
            if ours != summed(&live, preserved, part).await? {
                changed.push(part);
            }
        }
        if !changed.is_empty() {
            let names: Vec<String> = changed.iter().map(|part| part.label()).collect();
            tracing::info!(
                tables = names.join(", "),
                "rows that the target keeps are not those of live any more; taking them again"
            );
            self.replace_rows(&live, &changed).await.map_err(|error| {
                error
                    .within(format!(
                        "rows of {} changed during the run and cannot be taken again",
                        names.join(", ")
                    ))
                    .hint("run the job again, and use maintenance_on to keep them from being written during the run")
            })?;
            for part in changed {
                self.refuse_unlike(&live, part).await?;
            }
        }
        self.number_rows().await
    }

    /// Replaces tables' rows by live's. Nothing of what hangs on them may act meanwhile: foreign keys that cascade, triggers,
    /// rules, row-level security.
    async fn replace_rows(&self, live: &Session, parts: &[&Part]) -> Result<()> {
        let incoming = self.fresh_session().await?;
        self.compute(&incoming, &Writing::Rows(&COPY_TEXT)).await?;
        // Event triggers are a superuser's, who may do this; whoever may not, has none.
        let quiet = "SET session_replication_role = replica";
        let _ = incoming.batch_execute(quiet).await;
        let names: Vec<String> = parts.iter().map(|part| table_name(part)).collect();
        let rows = incoming
            .query(TAKEN_OFF, &[&names])
            .await
            .map_err(incoming.explain())?;
        let off: Vec<String> = rows.iter().map(|row| row.read(0)).collect::<Result<_>>()?;
        let on: Vec<String> = rows
            .iter()
            .rev()
            .map(|row| row.read(1))
            .collect::<Result<_>>()?;
        incoming.run("BEGIN").await?;
        incoming.run(&off.join(";")).await?;
        let only: Vec<String> = names.iter().map(|name| format!("ONLY {name}")).collect();
        incoming
            .run(&format!("TRUNCATE {}", only.join(", ")))
            .await?;
        for part in parts {
            copy(live, &incoming, part).await?;
        }
        // Foreign keys are held against the rows again.
        incoming.run(&on.join(";")).await?;
        incoming.run("COMMIT").await
    }
}

/// What is taken off tables while their rows are replaced, and how it is put back: foreign keys on both ends, triggers, and
/// row-level security that holds for owners, too.
const TAKEN_OFF: &str = "
    WITH RECURSIVE tables(oid) AS (SELECT name::pg_catalog.regclass::pg_catalog.oid FROM pg_catalog.unnest($1::pg_catalog.text[]) AS name),
    keys(oid, parent) AS (
        SELECT k.oid, k.conparentid FROM pg_catalog.pg_constraint k
        WHERE k.contype = 'f' AND (k.conrelid IN (SELECT oid FROM tables) OR k.confrelid IN (SELECT oid FROM tables))
        UNION SELECT k.oid, k.conparentid FROM keys JOIN pg_catalog.pg_constraint k ON k.oid = keys.parent)
    SELECT off, back FROM (
        SELECT 1 AS place, t.oid,
               pg_catalog.format('ALTER TABLE %I.%I NO FORCE ROW LEVEL SECURITY', n.nspname, c.relname) AS off,
               pg_catalog.format('ALTER TABLE %I.%I FORCE ROW LEVEL SECURITY', n.nspname, c.relname) AS back
        FROM tables t JOIN pg_catalog.pg_class c ON c.oid = t.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relforcerowsecurity
        UNION ALL
        SELECT 2, g.oid,
               pg_catalog.format('ALTER TABLE ONLY %I.%I DISABLE TRIGGER %I', n.nspname, c.relname, g.tgname),
               pg_catalog.format('ALTER TABLE ONLY %I.%I ENABLE %s TRIGGER %I', n.nspname, c.relname,
                   CASE g.tgenabled WHEN 'A' THEN 'ALWAYS' WHEN 'R' THEN 'REPLICA' ELSE '' END, g.tgname)
        FROM tables t JOIN pg_catalog.pg_class c ON c.oid = t.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_catalog.pg_trigger g ON g.tgrelid = t.oid AND NOT g.tgisinternal AND g.tgenabled <> 'D'
        UNION ALL
        SELECT 3, k.oid,
               pg_catalog.format('ALTER TABLE %I.%I DROP CONSTRAINT %I', n.nspname, c.relname, o.conname),
               pg_catalog.format('ALTER TABLE %I.%I ADD CONSTRAINT %I %s', n.nspname, c.relname, o.conname, pg_catalog.pg_get_constraintdef(k.oid))
               || coalesce(pg_catalog.format('; COMMENT ON CONSTRAINT %I ON %I.%I IS %L', o.conname, n.nspname, c.relname,
                   pg_catalog.obj_description(k.oid, 'pg_constraint')), '')
        FROM (SELECT DISTINCT oid FROM keys WHERE parent = 0) k JOIN pg_catalog.pg_constraint o ON o.oid = k.oid
        JOIN pg_catalog.pg_class c ON c.oid = o.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    ) AS all_of_it ORDER BY place, oid";
