//! The target: incoming is a database of its own, beside the live one, until they change names.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::OnceCell;

use super::connection::{ADMIN, Address, Session, quoted};
use super::incoming::Incoming;
use super::marks::{self, Standing};
use super::publish::{self, Names};
use super::settings::Own;
use super::source::Source;
use super::transactions::Transaction;
use super::{checksum, said, survey, swap};
use crate::config::job::{KeepPrevious, Publish, Roles, Task};
use crate::error::{Error, Kind, Result};
use crate::policy::Identity;
use crate::store::room::Room;
use crate::store::{
    self, Catalogue, Checksum, Chunks, Context, Digest, Lot, Part, Server, Step, Survey, statements,
};

/// A PostgreSQL database that is replaced.
pub struct Target {
    pub(super) address: Address,
    pub(super) context: Context,
    pub(super) names: Names,
    pub(super) previous: KeepPrevious,
    pub(super) roles: Roles,
    pub(super) in_place: bool,
    /// In a database that is never renamed; it has the lock.
    pub(super) admin: Session,
    pub(super) incoming: OnceCell<Incoming>,
    /// The same, made to try whether kept tables hold live's rows; `incoming` comes before it, once some did not.
    pub(super) tried: OnceCell<Incoming>,
    /// The same, when the server copied the source's files; `incoming` comes before it, once it was discarded.
    pub(super) adopted: OnceCell<Incoming>,
    /// Incoming is a copy of the source's files.
    pub(super) is_adopted: AtomicBool,
    pub(super) idle: Arc<Mutex<Vec<Session>>>,
    pub(super) progress: Mutex<Progress>,
    /// The oid of incoming.
    pub(super) built: Mutex<Option<u32>>,
    /// Materialized views that ask for the name of their database.
    pub(super) named: Mutex<Vec<(String, String)>>,
    pub(super) own: OnceCell<Own>,
    /// Whether scripts of the job will change incoming.
    pub(super) has_scripts: bool,
    /// Their files.
    pub(super) scripts: Vec<PathBuf>,
    /// Whoever writes to the source may do all that the target's user can.
    pub(super) trusts_source: bool,
}

/// How long the lock is waited for: long enough for what a killed run may still be at, short enough for who is in the way
/// of another host's run.
const LOCK_PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// How far publish has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    Building,
    /// Names have changed; `had_live`: there was something to become previous.
    Published {
        had_live: bool,
        /// It was a shell, see `in_place`: nothing to go back to.
        shell: bool,
    },
}

impl Target {
    /// Connects to the server; the database itself may be missing.
    pub(super) async fn open(address: Address, task: &Task, context: &Context) -> Result<Self> {
        let live = address.database().to_owned();
        if ["postgres", "template0", "template1"].contains(&live.as_str()) {
            return Err(Error::new(
                Kind::Config,
                format!("the database {live} belongs to the server and is never a target"),
            )
            .hint("name an application's database in the target's URL"));
        }
        let admin = administer(&address).await?;
        Ok(Self {
            names: Names::new(&live, context.claim.short()),
            address,
            context: context.clone(),
            previous: task.previous,
            roles: task.roles,
            in_place: task.publish == Publish::InPlace,
            admin,
            incoming: OnceCell::new(),
            tried: OnceCell::new(),
            adopted: OnceCell::new(),
            is_adopted: AtomicBool::new(false),
            idle: Arc::default(),
            progress: Mutex::new(Progress::Building),
            built: Mutex::default(),
            named: Mutex::default(),
            own: OnceCell::new(),
            has_scripts: !task.scripts.is_empty(),
            scripts: task.scripts.clone(),
            trusts_source: task.trust_source,
        })
    }
}

/// A session in a database that is never renamed.
pub(super) async fn administer(address: &Address) -> Result<Session> {
    match address.connect(Some("postgres"), ADMIN).await {
        Err(error) if matches!(error.kind(), Kind::Absent | Kind::Permission) => {
            // Some servers have no database `postgres`, or let nobody in.
            let other = address.connect(Some("template1"), ADMIN).await;
            other.map_err(|_| error)
        }
        other => other,
    }
}

#[async_trait]
impl store::Target for Target {
    async fn identity(&self) -> Result<Identity> {
        super::identity(&self.admin, &self.names.live).await
    }

    async fn displaced(&self) -> Result<Vec<Identity>> {
        self.beside_live().await
    }

    async fn refuse_strangers(&self) -> Result<()> {
        marks::refuse_strangers(&self.admin, &self.names).await
    }

    async fn server(&self) -> Result<Server> {
        let (number, version) = survey::version(&self.admin).await?;
        Ok(Server {
            kind: crate::store::postgresql::KIND,
            version,
            major: number / 10_000,
        })
    }

    async fn room(&self) -> Option<Room> {
        super::room::of(&self.address, &self.admin, &self.names.live).await
    }

    async fn lock(&self) -> Result<()> {
        let number = publish::lock_number(&self.names.live);
        // The server notices that a killed run's sessions are gone only at the end of the statement that they are at.
        let start = std::time::Instant::now();
        loop {
            let row = self
                .admin
                .query_one("SELECT pg_try_advisory_lock($1)", &[&number])
                .await
                .map_err(self.admin.explain())?;
            if row.get(0) {
                return Ok(());
            }
            if start.elapsed() > LOCK_PATIENCE {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        let holder = self
            .admin
            .query_opt(
                "SELECT a.pid, coalesce(a.application_name, '?'), coalesce(host(a.client_addr), 'this server'), \
                        coalesce(to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), '?') \
                 FROM pg_locks l JOIN pg_stat_activity a USING (pid) \
                 WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 \
                   AND (l.classid::bigint << 32) | l.objid::bigint = $1",
                &[&number],
            )
            .await
            .map_err(self.admin.explain())?;
        let who = holder.map_or_else(
            || "someone".to_owned(),
            |row| {
                let (pid, name, host, since): (i32, String, String, String) =
                    (row.get(0), row.get(1), row.get(2), row.get(3));
                format!("`{name}` from {host} (server process {pid}), since {since}")
            },
        );
        Err(Error::new(
            Kind::Busy,
            format!(
                "the target {} is locked on its server by {who}",
                self.names.live
            ),
        )
        .hint("run the job again when that run has ended"))
    }

    async fn sweep(&self) -> Result<Vec<String>> {
        let mut removed = Vec::new();
        for one in marks::beside(&self.admin, &self.names).await? {
            if one.is_ours && one.name != self.names.previous {
                self.drop_leftover(&one.name).await?;
                removed.push(format!("database {}", one.name));
            }
        }
        marks::refuse_strangers(&self.admin, &self.names).await?;
        Ok(removed)
    }

    async fn check(&self, survey: &Survey) -> Result<()> {
        self.refuse_unfit(survey).await?;
        if self.in_place {
            self.refuse_unfit_in_place().await?;
        }
        Ok(())
    }

    async fn adopt_files(&self, source: &dyn store::Source) -> Result<bool> {
        match source.as_any().downcast_ref::<Source>() {
            Some(source) => self.take_files(source).await,
            None => Ok(false),
        }
    }

    async fn prepare(&self, survey: &Survey) -> Result<()> {
        if self.is_adopted.load(Ordering::SeqCst) {
            return self.prepare_adopted(survey).await;
        }
        self.make_incoming(survey).await
    }

    async fn empty(&self) -> Result<()> {
        self.empty_live().await
    }

    async fn broken(&self) -> Result<bool> {
        self.live_is_shell().await
    }

    async fn write(&self, part: &Part, chunks: Chunks) -> Result<u64> {
        self.take_rows(part, chunks).await
    }

    fn steps_after(&self, part: &Part) -> Vec<Step> {
        self.after_rows(part)
    }

    fn lots(&self, parts: &[Part]) -> Vec<Range<usize>> {
        self.small_ones(parts)
    }

    async fn write_lot(&self, parts: &[Part], lot: Lot) -> Result<Vec<u64>> {
        self.take_lot(parts, lot).await
    }

    async fn build(&self, step: &Step) -> Result<Vec<Step>> {
        self.do_step(step).await
    }

    async fn finish(&self) -> Result<()> {
        self.complete().await
    }

    async fn catalogue(&self) -> Result<Catalogue> {
        self.own_catalogue().await
    }

    fn has_its_own(&self, object: &str) -> bool {
        self.made().carried.gave_way(object)
    }

    async fn digest(&self) -> Result<Digest> {
        self.own_digest().await
    }

    async fn count(&self, part: &Part) -> Result<u64> {
        let session = self.comparing_session().await?;
        let rows = super::count(
            &session,
            part,
            self.condition(part),
            &self.made().definitions.large,
        )
        .await?;
        self.rest(session);
        Ok(rows)
    }

    async fn checksum(&self, part: &Part) -> Result<Checksum> {
        let session = self.comparing_session().await?;
        let sum = checksum(
            &session,
            part,
            self.condition(part),
            self.made().definitions.by_root.get(&part.id),
            &self.made().definitions.large,
        )
        .await?;
        self.rest(session);
        Ok(sum)
    }

    async fn compare_computed(&self, source: &dyn store::Source, parts: &[Part]) -> Result<()> {
        match source.as_any().downcast_ref::<Source>() {
            Some(source) => self.compare_computed_with(source, parts).await,
            None => Ok(()),
        }
    }

    async fn look_at_script(&self, file: &Path, text: &str) -> Result<()> {
        statements::split(text).map(drop).map_err(|flaw| {
            let place = format!("{}:{}", file.display(), flaw.line);
            Error::new(Kind::Statement, format!("{place}: {}", flaw.what))
        })
    }

    async fn run_script(&self, file: &Path, text: &str) -> Result<()> {
        let place = |line: usize| format!("{}:{line}", file.display());
        let cut = statements::split(text).map_err(|error| {
            Error::new(
                Kind::Statement,
                format!("{}: {}", place(error.line), error.what),
            )
        })?;
        let before = self.look_outside().await?;
        let session = self.script_session(text).await?;
        let mut transaction = Transaction::default();
        for statement in cut {
            transaction.next(file, &statement)?;
            session.run(statement.text).await.map_err(|error| {
                said::about(error, statement.text)
                    .within(format!("script {}", place(statement.line)))
            })?;
        }
        self.refuse_open(&session, file).await?;
        self.refuse_reached(&before, file).await?;
        self.mark_again().await
    }

    async fn derive(&self) -> Result<()> {
        self.refuse_touched().await?;
        self.derive_anew().await?;
        self.refuse_own_name().await
    }

    async fn publish(&self) -> Result<()> {
        if self.made().carried.is_of_live {
            self.take_again().await?;
        }
        self.remember_named().await?;
        self.idle
            .lock()
            .expect("no one panics with this lock")
            .clear();
        let Names {
            live,
            incoming,
            previous,
            discarded,
            ..
        } = &self.names;
        let had_live = publish::exists(&self.admin, live).await?;
        let shell = self.live_is_shell().await?;
        let had_previous = publish::exists(&self.admin, previous).await?;
        marks::refuse_stranger(&self.admin, previous, &self.names).await?;
        let own = marks::own_comment_of(&self.admin, live).await?;
        let mut first = vec![marks::comment(incoming, None, own.as_deref())];
        let mut renames: Vec<(&str, &str)> = Vec::new();
        if had_live {
            first.push(format!("ALTER DATABASE {} RESET ALL", quoted(incoming)));
            first.extend(publish::settings_of(&self.admin, live, incoming).await?);
            first.extend(publish::rights_of(&self.admin, live, incoming).await?);
            if shell {
                renames.push((live, discarded));
            } else {
                first.push(publish::closed(live));
                let mark = self.mark(Standing::Previous);
                first.push(marks::comment(live, Some(&mark), own.as_deref()));
                if had_previous {
                    renames.push((previous, discarded));
                }
                renames.push((live, previous));
            }
        }
        if !had_live {
            first.extend(publish::opened(&self.admin, incoming).await?);
        }
        renames.push((incoming, live));
        let helper = self
            .address
            .connect(Some(self.admin_database()), ADMIN)
            .await?;
        swap::change_names(&self.admin, &helper, &first, &renames).await?;
        *self.progress.lock().expect("no one panics with this lock") =
            Progress::Published { had_live, shell };
        Ok(())
    }

    async fn confirm(&self) -> Result<()> {
        self.confirm_live().await
    }

    async fn revert(&self) -> Result<()> {
        let progress = *self.progress.lock().expect("no one panics with this lock");
        let Progress::Published { had_live, shell } = progress else {
            return Ok(());
        };
        let Names {
            live,
            incoming,
            previous,
            discarded,
            ..
        } = &self.names;
        let mut renames: Vec<(&str, &str)> = vec![(live, incoming)];
        let mark = self.mark(Standing::Incoming);
        let mut first = vec![marks::comment(live, Some(&mark), None)];
        if shell {
            renames.push((discarded, live));
        } else if had_live {
            first.extend(publish::rights_of(&self.admin, live, previous).await?);
            let own = marks::own_comment_of(&self.admin, previous).await?;
            first.push(marks::comment(previous, None, own.as_deref()));
            renames.push((previous, live));
            if publish::exists(&self.admin, discarded).await? {
                renames.push((discarded, previous));
            }
        }
        let helper = self
            .address
            .connect(Some(self.admin_database()), ADMIN)
            .await?;
        swap::change_names(&self.admin, &helper, &first, &renames).await?;
        *self.progress.lock().expect("no one panics with this lock") = Progress::Building;
        publish::drop_database(&self.admin, incoming).await
    }

    async fn settle(&self) -> Result<()> {
        publish::drop_database(&self.admin, &self.names.discarded).await?;
        if self.previous == KeepPrevious::Drop {
            publish::drop_database(&self.admin, &self.names.previous).await?;
        }
        Ok(())
    }

    async fn discard(&self) -> Result<()> {
        self.idle
            .lock()
            .expect("no one panics with this lock")
            .clear();
        if *self.progress.lock().expect("no one panics with this lock") != Progress::Building {
            return Ok(());
        }
        self.is_adopted.store(false, Ordering::SeqCst);
        // The session that has the lock may be the one that broke.
        if self.admin.is_closed() {
            let admin = self
                .address
                .connect(Some(self.admin_database()), ADMIN)
                .await?;
            publish::drop_database(&admin, &self.names.staging).await?;
            return publish::drop_database(&admin, &self.names.incoming).await;
        }
        // Whoever was restoring a dump may have been stopped half-way.
        publish::drop_database(&self.admin, &self.names.staging).await?;
        self.drop_leftover(&self.names.incoming).await
    }

    async fn rollback(&self) -> Result<()> {
        let Names {
            live,
            incoming,
            previous,
            ..
        } = &self.names;
        if !publish::exists(&self.admin, previous).await? {
            return Err(Error::new(
                Kind::Config,
                format!("there is no database {previous} to go back to"),
            )
            .hint("previous is kept until the next run, and only with previous = \"keep\""));
        }
        marks::refuse_stranger(&self.admin, previous, &self.names).await?;
        let own = marks::own_comment_of(&self.admin, previous).await?;
        let mut first = vec![marks::comment(previous, None, own.as_deref())];
        let mut renames: Vec<(&str, &str)> = vec![(previous, live)];
        if publish::exists(&self.admin, live).await? {
            first.extend(publish::rights_of(&self.admin, live, previous).await?);
            first.push(publish::closed(live));
            let own = marks::own_comment_of(&self.admin, live).await?;
            let mark = self.mark(Standing::Previous);
            first.push(marks::comment(live, Some(&mark), own.as_deref()));
            renames = vec![(live, incoming), (previous, live), (incoming, previous)];
        }
        let helper = self
            .address
            .connect(Some(self.admin_database()), ADMIN)
            .await?;
        swap::change_names(&self.admin, &helper, &first, &renames).await
    }

    async fn lost(&self) -> Error {
        self.admin.lost().await
    }

    async fn close(&self) {
        self.idle
            .lock()
            .expect("no one panics with this lock")
            .clear();
        let _ = self.admin.run("SELECT pg_advisory_unlock_all()").await;
    }
}

impl Target {
    /// The condition on the rows of an extension's table: its other rows are from its script, and not the source's.
    fn condition(&self, part: &Part) -> &str {
        let conditions = &self.made().definitions.conditions;
        conditions.get(&part.id).map_or("", String::as_str)
    }

    /// The database that the admin session is in.
    pub(super) fn admin_database(&self) -> &str {
        self.admin.database()
    }

    /// The mark of this run for a database that is this to live.
    pub(super) fn mark(&self, standing: Standing) -> String {
        marks::mark(standing, &self.names.live, &self.context.claim)
    }

    /// Gives incoming its mark again, after a script that may have written a comment of its own there.
    async fn mark_again(&self) -> Result<()> {
        let own = marks::own_comment_of(&self.admin, &self.names.live).await?;
        let mark = self.mark(Standing::Incoming);
        let statement = marks::comment(&self.names.incoming, Some(&mark), own.as_deref());
        self.admin.run(&statement).await
    }

    /// What a run replaces, renames or drops beside live.
    async fn beside_live(&self) -> Result<Vec<Identity>> {
        let mut all = Vec::new();
        for one in marks::beside(&self.admin, &self.names).await? {
            all.push(super::identity(&self.admin, &one.name).await?);
        }
        Ok(all)
    }
}
