//! A copy that rests on its way: pushed into memory and pulled out of it again, by the library alone.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::BytesMut;
use envsyncd::config::job::{
    Definer, Events, KeepPrevious, Mode, Publish, Roles, Task, Unlisted, Verify,
};
use envsyncd::error::Result;
use envsyncd::store::{
    self, Catalogue, Checksum, Chunk, Claim, Context, Fate, Part, Restored, Script, Selection,
    Server, Source, Survey, Taker, Target,
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
        masks: Vec::new(),
        passes: Vec::new(),
        path_passes: Vec::new(),
        rows: Vec::new(),
        references: Vec::new(),
        unlisted: Unlisted::default(),
        included: Vec::new(),
        canary: None,
        options: envsyncd::config::OwnOptions::default(),
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
        selection: Arc::new(Selection::of(task, false).expect("globs")),
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
    let source = store::registry::open_source(task, &context(task)).await?;
    let survey = source.survey(&Taker::Archive).await?;
    Ok((source, survey))
}

/// A push.
pub(super) async fn push(task: &Task) -> Result<Resting> {
    let (source, survey) = survey(task).await?;
    let mut files = HashMap::new();
    let mut load = HashMap::new();
    for part in survey.parts.iter() {
        let mut chunks = source.read(part).await?;
        let mut encoder = store::registry::codec(task.kind, part)?.encoder(part)?;
        let (mut rows, mut file) = (0, BytesMut::new());
        while let Some(chunk) = chunks.try_next().await? {
            rows += chunk.rows;
            encoder.feed(&chunk.data, &mut file)?;
        }
        encoder.end(&mut file)?;
        files.insert(part.id, (rows, file.to_vec()));
        load.insert(part.id, survey.definitions.load_statement(part)?);
    }
    let mut sums = HashMap::new();
    for part in survey.whole() {
        sums.insert(part.label(), source.checksum(&part).await?);
    }
    let resting = Resting {
        server: survey.server.clone(),
        definitions: survey.definitions.to_json()?,
        parts: survey.parts.to_vec(),
        left_out: survey.left_out.clone(),
        catalogue: source.catalogue().await?,
        scripts: survey.definitions.scripts()?,
        files,
        sums,
        load,
    };
    source.close().await;
    Ok(resting)
}

impl Resting {
    /// What is taken out of it for a task.
    pub(super) async fn take_out(&self, task: &Task) -> Result<Restored> {
        let driver = store::registry::driver(task.kind)?;
        let selection = Selection::of(task, driver.ignores_case())?;
        let read = driver.read_definitions(
            &self.definitions,
            self.parts.clone(),
            self.left_out.clone(),
            &selection,
        );
        read.await
    }

    /// The catalogue that goes with it.
    pub(super) fn catalogue(&self, taken: &Restored, task: &Task) -> Result<Catalogue> {
        taken.definitions.catalogue(self.catalogue.clone(), task)
    }

    /// A pull, as a run does it, up to and with publish.
    pub(super) async fn pull(&self, task: &Task) -> Result<()> {
        let target = store::registry::open_target(task, &context(task)).await?;
        target.lock().await?;
        let pulled = self.pull_into(task, &*target).await;
        if pulled.is_err() {
            target.discard().await?;
        }
        target.close().await;
        pulled
    }

    async fn pull_into(&self, task: &Task, target: &dyn Target) -> Result<()> {
        let driver = store::registry::driver(task.kind)?;
        driver.refuse_older(&self.server, &target.taker().await?)?;
        let taken = self.take_out(task).await?;
        let catalogue = self.catalogue(&taken, task)?;
        let survey = Survey {
            server: self.server.clone(),
            taken_at: chrono::Utc::now(),
            parts: taken.parts.into(),
            left_out: taken.left_out,
            definitions: taken.definitions,
        };
        target.check(&survey).await?;
        let incoming = target.prepare(&survey).await?;
        for part in survey.parts.iter() {
            let (rows, file) = &self.files[&part.id];
            let chunks = decoded(task, part, file)?;
            let sent: u64 = chunks.iter().map(|chunk| chunk.rows).sum();
            assert_eq!(sent, *rows, "of {}", part.label());
            let chunks = stream::iter(chunks.into_iter().map(Ok)).boxed();
            let taken = incoming.write(part, chunks).await?;
            assert_eq!(taken, *rows, "of {}", part.label());
        }
        let mut steps = Vec::new();
        for part in survey.whole() {
            steps.extend(incoming.steps_after(&part));
        }
        while let Some(step) = steps.pop() {
            steps.extend(incoming.build(&step).await?);
        }
        let complete = incoming.complete().await?;
        let there = complete.catalogue().await?;
        assert_eq!(catalogue.differences(&there), [], "catalogues differ");
        for part in survey.whole() {
            let sum = complete.checksum(&part).await?;
            assert_eq!(sum, self.sums[&part.label()], "of {}", part.label());
        }
        complete.check_ownership().await?;
        complete.publish().await?.settle().await
    }
}

/// A file's chunks; it is cut where no row ends.
fn decoded(task: &Task, part: &Part, file: &[u8]) -> Result<Vec<Chunk>> {
    let mut decoder = store::registry::codec(task.kind, part)?.decoder(part)?;
    let mut chunks = Vec::new();
    for piece in file.chunks(100_003) {
        chunks.extend(decoder.feed(piece)?);
    }
    chunks.extend(decoder.end()?);
    Ok(chunks)
}
