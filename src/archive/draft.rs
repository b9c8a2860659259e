//! The snapshot that a push writes: its files, and what is known of them so far.

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};
use tokio::task::JoinSet;

use super::bucket::Bucket;
use super::files;
use super::layout::{self, Name};
use super::manifest::{Change, File, Manifest, SELF_CONTAINED, Stored, VERSION};
use super::manual_restore;
use super::pool::{Digests, Known};
use super::retention::{Reason, Verdict};
use super::snapshots::{self, Pen, Series, Snapshots};
use super::write::Writer;
use super::{Secrets, crypt};
use crate::config::archive::Retention;
use crate::error::{Error, Kind, Result};
use crate::policy::Environment;
use crate::store::{Checksum, Context, Driver, Masking, Part, Survey};
use crate::sync::Mutex;

/// The snapshot that a run writes.
pub(super) struct Draft {
    pub(super) bucket: Bucket,
    pub(super) context: Context,
    pub(super) driver: &'static dyn Driver,
    pub(super) origin: Environment,
    pub(super) retention: Retention,
    pub(super) secrets: Secrets,
    pub(super) began: DateTime<Utc>,
    pub(super) state: Mutex<State>,
    /// Small objects that are on their way, and nobody waits for.
    pub(super) small: tokio::sync::Mutex<JoinSet<Result<Stored>>>,
    /// Says that we are at work.
    pub(super) pen: tokio::sync::Mutex<Option<Pen>>,
    /// Makes the digests of parts that later snapshots may share; `None`: all that is stored lies in the snapshot's folder.
    pub(super) digests: Option<Digests>,
}

/// A list may be a moment behind what was written.
pub(super) const LISTED: Duration = Duration::from_secs(3);

/// What is written in the background: a bucket may be far away, and a worker would wait for every small table.
pub(super) const SMALL: u64 = 1024 * 1024;

/// How many such are on their way at the most.
pub(super) const AT_ONCE: usize = 16;

/// What has been written so far.
#[derive(Default)]
pub(super) struct State {
    /// Whether anything may have been written.
    pub(super) begun: bool,
    /// By the parts' numbers.
    pub(super) parts: HashMap<usize, Stored>,
    /// The numbers of each table's parts.
    pub(super) tables: HashMap<(Option<String>, String), Vec<usize>>,
    pub(super) definitions: Vec<File>,
    /// By the numbers of whole tables' parts.
    pub(super) sums: HashMap<usize, Checksum>,
    /// What was masked on the way here.
    pub(super) masking: Option<Masking>,
    pub(super) published: bool,
    /// What there was before.
    pub(super) known: Arc<Known>,
    /// Parts that were there already, and their bytes as stored.
    pub(super) shared: (u64, u64),
}

impl State {
    pub(super) fn add(&mut self, stored: Stored) {
        let id = stored.part.id;
        let table = table(&stored.part);
        self.tables.entry(table).or_default().push(id);
        self.parts.insert(id, stored);
    }

    /// The stored parts of this part's table: the part itself, or all slices of the table.
    pub(super) fn of(&self, part: &Part) -> impl Iterator<Item = &Stored> {
        let ids = self.tables.get(&table(part)).into_iter().flatten();
        ids.filter_map(|id| self.parts.get(id))
    }
}

/// What all slices of a table have in common.
pub(super) fn table(part: &Part) -> (Option<String>, String) {
    (part.schema.clone(), part.name.clone())
}

impl Draft {
    pub(super) fn name(&self) -> Name {
        Name {
            at: self.began.trunc_subsecs(0),
            job: self.context.claim.job.clone(),
            id: self.context.claim.short().to_owned(),
        }
    }

    pub(super) fn folder(&self) -> String {
        self.name().to_string()
    }

    pub(super) fn snapshots(&self) -> Snapshots {
        Snapshots::new(self.bucket.clone(), self.secrets.key.clone())
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(super) fn writer(&self, path: impl Fn(usize) -> String + Send + Sync + 'static) -> Writer {
        let recipients = self.secrets.recipients.as_ref();
        Writer::new(&self.bucket, &self.folder(), recipients, path)
    }

    /// Looks what the job's newest snapshot has that need not be stored again. The snapshot's folder has been begun: from then on
    /// nobody removes anything from the pool.
    pub(super) async fn look_back(&self) -> Result<()> {
        if self.digests.is_none() {
            if self.driver.shares_parts() {
                tracing::info!(
                    "all is stored anew: what is encrypted is shared by snapshots where there is a `key`, too"
                );
            }
            return Ok(());
        }
        let known = match self.snapshots().newest_of(&self.series()).await? {
            Some(manifest) => Known::of(manifest, &self.bucket).await?,
            None => Known::default(),
        };
        self.state().known = Arc::new(known);
        Ok(())
    }

    /// Writes a part that later snapshots may share.
    pub(super) fn pool_writer(&self, part: &Part, ending: &str, may_be_there: bool) -> Writer {
        let claim = &self.context.claim;
        let pool = layout::pool_of(&claim.job, claim.short());
        let (id, label, ending) = (part.id, part.label(), ending.to_owned());
        let path = move |number| {
            let name = layout::part(id, &label, number, &ending);
            format!("{pool}/{name}")
        };
        self.writer(path).into_pool(may_be_there)
    }

    /// Takes over a part that is there already.
    pub(super) fn share(&self, stored: Stored) {
        let mut state = self.state();
        state.shared.0 += 1;
        state.shared.1 += stored.files.iter().map(|file| file.size).sum::<u64>();
        state.add(stored);
    }

    /// The snapshots that this one follows.
    fn series(&self) -> Series {
        Series {
            job: self.context.claim.job.clone(),
            origin: self.origin.to_string(),
            kind: self.driver.kind(),
        }
    }

    /// Writes a small stream.
    pub(super) async fn put_away(&self, name: &str, content: &[u8]) -> Result<()> {
        files::check_whole(content, name)?;
        let ending = files::ending(self.secrets.recipients.is_some());
        let name = name.to_owned();
        let mut writer = self.writer(move |number| layout::definitions(&name, number, &ending));
        writer.write(content).await?;
        let (files, _) = writer.finish().await?;
        self.state().definitions.extend(files);
        Ok(())
    }

    /// Waits until one of the small objects is there.
    pub(super) async fn land(&self, small: &mut JoinSet<Result<Stored>>) -> Result<()> {
        let Some(ended) = small.join_next().await else {
            return Ok(());
        };
        let stored = ended
            .map_err(|error| Error::new(Kind::Internal, "a writer broke").because(error))??;
        self.state().add(stored);
        Ok(())
    }

    /// The script for people who have nothing but the store's own client, if the store has one.
    pub(super) fn manual_restore(&self, survey: &Survey) -> Result<Option<String>> {
        let Some(client) = self.driver.manual_client() else {
            return Ok(None);
        };
        let state = self.state();
        let parts: Vec<(Stored, String)> = survey
            .parts
            .iter()
            .filter(|part| survey.definitions.is_for_people(part))
            .filter_map(|part| {
                let stored = state.parts.get(&part.id)?.clone();
                let statement = survey.definitions.load_statement(part);
                Some(statement.map(|statement| (stored, statement)))
            })
            .collect::<Result<_>>()?;
        let sealed = self.secrets.recipients.is_some();
        Ok(Some(manual_restore::script(client, &parts, sealed)))
    }

    pub(super) fn manifest(&self, survey: &Survey) -> Result<Manifest> {
        let state = self.state();
        let missing = |what: &str| Error::new(Kind::Internal, format!("a snapshot without {what}"));
        let mut parts = Vec::with_capacity(survey.parts.len());
        for part in survey.parts.iter() {
            let stored = state.parts.get(&part.id);
            let mut stored = stored.ok_or_else(|| missing(&part.label()))?.clone();
            stored.checksum = state.sums.get(&part.id).cloned();
            parts.push(stored);
        }
        let mut changes: Vec<Change> = survey
            .left_out
            .iter()
            .map(|(name, fate)| Change {
                name: name.clone(),
                fate: *fate,
            })
            .collect();
        changes.sort_by(|a, b| a.name.cmp(&b.name));
        let files = parts.iter().flat_map(|stored| &stored.files);
        let shares = files.into_iter().any(|file| file.pool);
        Ok(Manifest {
            version: if shares { VERSION } else { SELF_CONTAINED },
            snapshot: self.folder(),
            job: self.context.claim.job.clone(),
            run: self.context.claim.run.clone(),
            host: self.context.claim.host.clone(),
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            origin: self.origin.to_string(),
            kind: self.driver.kind(),
            server_version: survey.server.version.clone(),
            server_major: survey.server.major,
            taken_at: survey.taken_at,
            finished_at: Utc::now(),
            compression: "zstd".to_owned(),
            encryption: self
                .secrets
                .recipients
                .as_ref()
                .map(|_| crypt::NAME.to_owned()),
            changes,
            masking: state.masking.clone(),
            definitions: state.definitions.clone(),
            parts,
        })
    }

    /// Looks whether all that the manifest lists is there: somebody who took this run for dead would have removed it.
    pub(super) async fn check_files(&self, manifest: &Manifest) -> Result<()> {
        let (snapshots, name) = (self.snapshots(), self.name());
        let mut missing = snapshots.missing(&name, manifest).await?;
        if !missing.is_empty() {
            tokio::time::sleep(LISTED).await;
            missing = snapshots.missing(&name, manifest).await?;
        }
        let Some(first) = missing.first() else {
            return Ok(());
        };
        let files = match missing.len() {
            1 => "a file".to_owned(),
            several => format!("{several} files"),
        };
        let what = format!(
            "{files} of snapshot {name} went away while it was written, {} first: {}",
            first.path, first.what
        );
        Err(Error::new(Kind::Verify, what).hint(format!(
            "see who else clears {} (an older envsyncd on a host of the same name, a lifecycle rule), and run the job again",
            self.bucket.place()
        )))
    }

    /// Looks again whether what it shares is there, now that everybody can see that it does. If not, it is no snapshot.
    pub(super) async fn check_shared(&self, manifest: &Manifest) -> Result<()> {
        if self.state().shared.0 == 0 {
            return Ok(());
        }
        let checked = self.check_files(manifest).await;
        if checked.is_err() {
            let path = format!("{}/{}", self.folder(), layout::MANIFEST);
            self.bucket.delete(vec![path]).await?;
        }
        checked
    }

    pub(super) async fn lay_down_pen(&self) {
        if let Some(pen) = self.pen.lock().await.take() {
            pen.down().await;
        }
    }

    /// Removes what retention lets go, once the snapshot's own note is gone.
    pub(super) async fn let_go(&self, noted: Result<()>) -> Result<()> {
        noted?;
        let snapshots = self.snapshots();
        let plan = (snapshots.plan(&self.series(), &self.retention, Utc::now())).await?;
        for (snapshot, verdict) in &plan.snapshots {
            if *verdict == Verdict::Stays(vec![Reason::Read]) {
                tracing::info!(snapshot = %snapshot.name, "an old snapshot stays for now: somebody is reading it");
            }
            if let snapshots::State::Flawed(flaw) = &snapshot.state {
                tracing::warn!(snapshot = %snapshot.name, %flaw, "a snapshot cannot be used and is left for somebody to look at");
            }
        }
        let pruned = snapshots.prune(&plan).await?;
        for snapshot in &pruned.snapshots {
            tracing::info!(%snapshot, "an old snapshot is removed");
        }
        Ok(())
    }

    /// Removes what was written of it, which nobody can have seen yet. Its folder goes last: it shows that there is more.
    pub(super) async fn remove(&self) -> Result<()> {
        self.lay_down_pen().await;
        let name = self.name();
        if self.digests.is_some() {
            self.snapshots().empty_pool_of(&name).await?;
        }
        self.snapshots().remove(&name).await?;
        Ok(())
    }

    /// Removes a snapshot that was there to be seen. What it has in the pool may be another's by now.
    pub(super) async fn revert(&self) -> Result<()> {
        self.lay_down_pen().await;
        let snapshots = self.snapshots();
        snapshots.remove(&self.name()).await?;
        snapshots.collect(&self.context.claim.job).await?;
        Ok(())
    }
}

/// Ends the writing of a part's rows. The marks are the digests of its content, and of what was known of it before.
pub(super) async fn stored(
    part: Part,
    rows: u64,
    writer: Writer,
    (content, likeness): (Option<String>, Option<String>),
) -> Result<Stored> {
    let (files, bytes) = writer
        .finish()
        .await
        .map_err(|error| error.within(format!("writing {}", part.label())))?;
    Ok(Stored {
        part,
        rows,
        bytes,
        files,
        checksum: None,
        content,
        likeness,
    })
}
