//! A copy that rests on its way: pushed into memory and pulled out of it again, by the library alone.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::BytesMut;
use envsyncd::config::job::{Definer, Events, KeepPrevious, Mode, Publish, Roles, Task, Verify};
use envsyncd::error::Result;
use envsyncd::store::portable::{self, Script, TakenOut};
use envsyncd::store::{
    self, Catalogue, Checksum, Chunk, Claim, Context, Fate, Part, Selection, Server, Source,
    Survey, Target,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio_util::sync::CancellationToken;

use crate::support::postgres::unique;

/// What an archive would have.
pub(super) struct Resting {
    server: Server,
    pub(super) definitions: Vec<u8>,
    pub(super) parts: Vec<Part>,
    left_out: Vec<(String, Fate)>,
    catalogue: Catalogue,
    /// Rows by part.
    pub(super) files: HashMap<usize, (u64, Vec<u8>)>,
    sums: HashMap<String, Checksum>,
    pub(super) scripts: Vec<Script>,
    /// What loads a part, by part.
    pub(super) load: HashMap<usize, String>,
}

/// A task between two URLs.
pub(super) fn task(source: &str, target: &str) -> Task {
    let endpoint = crate::support::endpoint;
    Task {
        name: "database".to_owned(),
        kind: envsyncd::store::postgresql::KIND,
        source: endpoint(source),
        target: endpoint(target),
        mode: Mode::Replace,
        jobs: Some(2),
        exclude: Vec::new(),
        schema_only: Vec::new(),
        leave_out: Vec::new(),
        keep: Vec::new(),
        scripts: Vec::new(),
        publish: Publish::Swap,
        verify: Verify::Checksum,
        throttle: None,
        max_replication_lag: None,
        previous: KeepPrevious::Keep,
        roles: Roles::Map,
        definer: Definer::Map,
        events: Events::Disabled,
        trust_source: true,
        places: std::collections::BTreeMap::new(),
    }
}

/// What a run gives to its stores.
fn context(task: &Task) -> Context {
    // Its last 12 digits are a run's own.
    let number = unique("");
    let run = format!("01990000-0000-7000-8000-00000000{}", &number[1..]);
    Context {
        claim: Claim {
            job: "app".to_owned(),
            run,
            host: "here".to_owned(),
        },
        cancel: CancellationToken::new(),
        selection: Arc::new(Selection::of(task).expect("globs")),
        workers: 2,
        lookup: Arc::new(|_| None),
    }
}

/// Runs to the end.
pub(super) fn run<T>(what: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Runtime::new()
        .expect("a runtime")
        .block_on(what)
}

/// What a source says to an archive, without rows.
pub(super) async fn survey(task: &Task) -> Result<(Box<dyn Source>, Survey)> {
    let source = store::open_source(task, &context(task)).await?;
    let survey = source.survey(&Server::archive(task.kind)).await?;
    Ok((source, survey))
}

/// A push.
pub(super) async fn push(task: &Task) -> Result<Resting> {
    let (source, survey) = survey(task).await?;
    let mut files = HashMap::new();
    let mut load = HashMap::new();
    for part in survey.parts.iter() {
        let mut chunks = source.read(part).await?;
        let mut unframe = portable::unframe(part)?;
        let (mut rows, mut file) = (0, BytesMut::new());
        while let Some(chunk) = chunks.try_next().await? {
            rows += chunk.rows;
            unframe.feed(&chunk.data, &mut file)?;
        }
        unframe.end(&mut file)?;
        files.insert(part.id, (rows, file.to_vec()));
        load.insert(
            part.id,
            portable::load_statement(&survey.definitions, part)?,
        );
    }
    let mut sums = HashMap::new();
    for part in survey.whole() {
        sums.insert(part.label(), source.checksum(&part).await?);
    }
    let resting = Resting {
        server: survey.server.clone(),
        definitions: portable::put_away(&survey.definitions)?,
        parts: survey.parts.to_vec(),
        left_out: survey.left_out.clone(),
        catalogue: source.catalogue().await?,
        scripts: portable::scripts(&survey.definitions)?,
        files,
        sums,
        load,
    };
    source.close().await;
    Ok(resting)
}

impl Resting {
    /// What is taken out of it for a task.
    pub(super) async fn take_out(&self, task: &Task) -> Result<TakenOut> {
        portable::take_out(
            task.kind,
            &self.definitions,
            self.parts.clone(),
            self.left_out.clone(),
            &Selection::of(task)?,
        )
        .await
    }

    /// The catalogue that goes with it.
    pub(super) fn catalogue(&self, taken: &TakenOut) -> Result<Catalogue> {
        portable::without(self.catalogue.clone(), taken, Definer::Map)
    }

    /// A pull, as a run does it, up to and with publish.
    pub(super) async fn pull(&self, task: &Task) -> Result<()> {
        let target = store::open_target(task, &context(task)).await?;
        target.lock().await?;
        let pulled = self.pull_into(task, &*target).await;
        if pulled.is_err() {
            target.discard().await?;
        }
        target.close().await;
        pulled
    }

    async fn pull_into(&self, task: &Task, target: &dyn Target) -> Result<()> {
        portable::refuse_older(&self.server, &target.server().await?)?;
        let taken = self.take_out(task).await?;
        let catalogue = self.catalogue(&taken)?;
        let survey = Survey {
            server: self.server.clone(),
            taken_at: chrono::Utc::now(),
            parts: taken.parts.into(),
            left_out: taken.left_out,
            definitions: taken.definitions,
        };
        target.check(&survey).await?;
        target.prepare(&survey).await?;
        for part in survey.parts.iter() {
            let (rows, file) = &self.files[&part.id];
            let chunks = reframed(part, file)?;
            let sent: u64 = chunks.iter().map(|chunk| chunk.rows).sum();
            assert_eq!(sent, *rows, "of {}", part.label());
            let chunks = stream::iter(chunks.into_iter().map(Ok)).boxed();
            let taken = target.write(part, chunks).await?;
            assert_eq!(taken, *rows, "of {}", part.label());
        }
        let mut steps = Vec::new();
        for part in survey.whole() {
            steps.extend(target.steps_after(&part));
        }
        while let Some(step) = steps.pop() {
            steps.extend(target.build(&step).await?);
        }
        target.finish().await?;
        let there = target.catalogue().await?;
        assert_eq!(catalogue.differences(&there), [], "catalogues differ");
        for part in survey.whole() {
            let sum = target.checksum(&part).await?;
            assert_eq!(sum, self.sums[&part.label()], "of {}", part.label());
        }
        target.publish().await?;
        target.settle().await
    }
}

/// A file's chunks; it is cut where no row ends.
fn reframed(part: &Part, file: &[u8]) -> Result<Vec<Chunk>> {
    let mut reframe = portable::reframe(part)?;
    let mut chunks = Vec::new();
    for piece in file.chunks(100_003) {
        chunks.extend(reframe.feed(piece)?);
    }
    chunks.extend(reframe.end()?);
    Ok(chunks)
}
