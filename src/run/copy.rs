//! Copy: a few workers move parts, the biggest first, and build on each what can be built once its rows are in.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tracing::Instrument;

use super::masks;
use super::task_run::TaskRun;
use super::transform::transformed;
use crate::config::job::Verify;
use crate::error::{Error, Kind, Result};
use crate::store::{Incoming, Meter, Part, Step, Survey, WriteBatches};
use crate::sync::Mutex;

/// What is left to do.
struct Work {
    queue: Mutex<Queue>,
    /// Wakes workers that wait for what others may leave to build.
    changed: Notify,
}

struct Queue {
    /// Places in the survey's list; more than one is a batch.
    parts: VecDeque<Range<usize>>,
    steps: Vec<Step>,
    busy: usize,
    /// Parts have to be moved one after the other; whether one is.
    in_order: Option<bool>,
    /// Tables in slices, by their label: how many are not in yet, and the whole table.
    sliced: HashMap<String, (usize, Part)>,
}

impl Queue {
    /// Parts in their order, then the step that costs most.
    fn take(&mut self) -> Option<Piece> {
        if self.in_order != Some(true)
            && let Some(places) = self.parts.pop_front()
        {
            self.in_order = self.in_order.map(|_| true);
            return Some(Piece::Parts(places));
        }
        let dearest = (0..self.steps.len()).max_by_key(|place| self.steps[*place].cost)?;
        Some(Piece::Step(self.steps.swap_remove(dearest)))
    }
}

enum Piece {
    Parts(Range<usize>),
    Step(Step),
}

impl Work {
    /// The next piece, once there is one; `None` when nothing is left and nothing more can come.
    async fn next(&self) -> Option<Piece> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let mut queue = self.queue.lock();
                let piece = queue.take();
                if piece.is_some() {
                    queue.busy += 1;
                    return piece;
                }
                if queue.busy == 0 {
                    return None;
                }
            }
            changed.await;
        }
    }

    /// What is whole now that this part is in: itself, or with the last slice its table.
    fn whole(&self, part: &Part) -> Option<Part> {
        if part.slice.is_none() {
            return Some(part.clone());
        }
        let mut queue = self.queue.lock();
        let (left, table) = queue.sliced.get_mut(&part.label())?;
        *left -= 1;
        (*left == 0).then(|| table.clone())
    }

    /// A part, or several, are moved.
    fn moved(&self, steps: Vec<Step>) {
        let mut queue = self.queue.lock();
        queue.in_order = queue.in_order.map(|_| false);
        drop(queue);
        self.done(steps);
    }

    fn done(&self, steps: Vec<Step>) {
        let mut queue = self.queue.lock();
        queue.busy -= 1;
        queue.steps.extend(steps);
        drop(queue);
        self.changed.notify_waiters();
    }
}

/// Where rows come from, and where they go.
#[derive(Clone)]
struct Copying {
    run: Arc<TaskRun>,
    incoming: Arc<dyn Incoming>,
}

impl Copying {
    /// What takes batches, if the source gives them.
    fn batches(&self) -> Option<&dyn WriteBatches> {
        self.run.source.batches()?;
        self.incoming.batches()
    }

    fn steps_after(&self, part: &Part) -> Vec<Step> {
        self.incoming.steps_after(part)
    }
}

/// Moves all parts of a survey: several at a time, where the source does not say in which order.
pub(super) async fn copy(
    run: &Arc<TaskRun>,
    incoming: &Arc<dyn Incoming>,
    survey: &Survey,
) -> Result<()> {
    run.progress
        .expect(survey.parts.iter().map(|part| part.bytes).sum());
    masks::refuse_unverifiable(run, &**incoming, &survey.parts)?;
    // What the servers copy by themselves keeps to no pace, and nobody masks it.
    if run.context.selection.takes_rows_as_they_are()
        && let Some(means) = incoming.transfer()
        && (run.pace.is_free() || means.keeps_pace())
        && means.transfer(&*run.source, survey, &*run.progress).await?
    {
        return Ok(());
    }
    let copying = Copying {
        run: run.clone(),
        incoming: incoming.clone(),
    };
    let batches = (copying.batches()).map_or_else(Vec::new, |taker| taker.batches(&survey.parts));
    let batches = without(batches, |place| run.is_altered(&survey.parts[place]));
    run.progress.expect_steps(batches.len());
    let work = Arc::new(Work {
        queue: Mutex::new(Queue {
            parts: pieces(survey.parts.len(), batches),
            steps: Vec::new(),
            busy: 0,
            in_order: run.source.in_order().map(|_| false),
            sliced: sliced(survey),
        }),
        changed: Notify::new(),
    });
    // Dropped, the set ends its workers: a failed or cancelled copy leaves nobody writing.
    let mut workers = JoinSet::new();
    for _ in 0..run.context.workers {
        let (copying, work, parts) = (copying.clone(), work.clone(), survey.parts.clone());
        workers.spawn(worker(copying, work, parts).in_current_span());
    }
    let watch = run.pace.watch();
    tokio::pin!(watch);
    loop {
        let ended = tokio::select! {
            ended = workers.join_next() => ended,
            error = &mut watch => return Err(error),
        };
        let Some(ended) = ended else {
            break;
        };
        ended.map_err(|error| Error::new(Kind::Internal, "a worker broke").because(error))??;
    }
    match run.source.in_order() {
        Some(source) => source.finish().await,
        None => Ok(()),
    }
}

/// Tables in slices: how many there are of each, and the whole table.
fn sliced(survey: &Survey) -> HashMap<String, (usize, Part)> {
    let mut sliced: HashMap<String, (usize, Part)> = HashMap::new();
    if survey.parts.iter().all(|part| part.slice.is_none()) {
        return sliced;
    }
    let whole: HashMap<String, Part> = survey
        .whole()
        .into_iter()
        .map(|part| (part.label(), part))
        .collect();
    for part in survey.parts.iter().filter(|part| part.slice.is_some()) {
        let label = part.label();
        if let Some(table) = whole.get(&label) {
            sliced.entry(label).or_insert_with(|| (0, table.clone())).0 += 1;
        }
    }
    sliced
}

/// The survey's list in pieces of work, in its order.
fn pieces(parts: usize, batches: Vec<Range<usize>>) -> VecDeque<Range<usize>> {
    let mut pieces = VecDeque::new();
    let mut next = 0;
    for batch in batches {
        pieces.extend((next..batch.start).map(|place| place..place + 1));
        next = batch.end;
        pieces.push_back(batch);
    }
    pieces.extend((next..parts).map(|place| place..place + 1));
    pieces
}

/// Batches without these places, which go alone.
fn without(batches: Vec<Range<usize>>, is_alone: impl Fn(usize) -> bool) -> Vec<Range<usize>> {
    let mut rest = Vec::with_capacity(batches.len());
    for batch in batches {
        let mut from = batch.start;
        for place in batch.clone().filter(|place| is_alone(*place)) {
            rest.push(from..place);
            from = place + 1;
        }
        rest.push(from..batch.end);
    }
    rest.retain(|batch| batch.len() > 1);
    rest
}

async fn worker(copying: Copying, work: Arc<Work>, parts: Arc<[Part]>) -> Result<()> {
    let run = &copying.run;
    while let Some(piece) = work.next().await {
        match piece {
            Piece::Parts(places) if places.len() > 1 => {
                let steps = transfer_batch(&copying, &parts[places]).await?;
                run.progress.expect_steps(steps.len());
                work.moved(steps);
            }
            Piece::Parts(places) => {
                let part = &parts[places.start];
                move_alone(&copying, part).await?;
                let steps = work
                    .whole(part)
                    .map_or_else(Vec::new, |whole| copying.steps_after(&whole));
                run.progress.expect_steps(steps.len());
                work.moved(steps);
            }
            Piece::Step(step) => {
                run.progress.enter(step.label.clone(), 0);
                let steps = copying.incoming.build(&step).await?;
                run.progress.leave(&step.label, None);
                tracing::debug!(step = step.label, "built");
                run.progress.expect_steps(steps.len());
                work.done(steps);
            }
        }
    }
    Ok(())
}

/// Lets chunks go on as the task's pace has it. A source whose rows are not taken stops sending.
fn paced<T: Send + 'static>(
    run: &Arc<TaskRun>,
    chunks: BoxStream<'static, Result<T>>,
    length: fn(&T) -> usize,
) -> BoxStream<'static, Result<T>> {
    if run.pace.is_free() {
        return chunks;
    }
    let pace = run.pace.clone();
    chunks
        .then(move |chunk| {
            let pace = pace.clone();
            async move {
                if let Ok(chunk) = &chunk {
                    pace.pass(length(chunk) as u64).await;
                }
                chunk
            }
        })
        .boxed()
}

/// Moves one part.
async fn move_alone(copying: &Copying, part: &Part) -> Result<()> {
    let run = &copying.run;
    run.progress.enter_part(part);
    transfer(copying, part).await?;
    run.progress.leave(&part.label(), Some(part));
    Ok(())
}

/// Moves a batch with all that stands on it; if that fails, its parts one by one, so that the error is of the one that
/// failed.
async fn transfer_batch(copying: &Copying, parts: &[Part]) -> Result<Vec<Step>> {
    let run = &copying.run;
    let label = format!("{} and {} more", parts[0].label(), parts.len() - 1);
    run.progress
        .enter(label.clone(), parts.iter().map(|part| part.bytes).sum());
    let moved = move_batch(copying, parts).await;
    run.progress.leave(&label, None);
    let mut steps = Vec::new();
    match moved {
        Ok(moved) => {
            for (part, (rows, bytes)) in parts.iter().zip(moved) {
                run.progress.add(part, rows, bytes);
                run.progress.leave(&label, Some(part));
            }
            tracing::debug!(batch = label, "copied");
        }
        // Nobody is there to ask again.
        Err(error) if matches!(error.kind(), Kind::Connection | Kind::Verify) => return Err(error),
        Err(error) => {
            tracing::debug!(%error, batch = label, "copying them one by one");
            for part in parts {
                move_alone(copying, part).await?;
                steps.extend(copying.steps_after(part));
            }
        }
    }
    Ok(steps)
}

/// Moves a batch, and holds what the source sent of each part against what the target took; returns rows and bytes.
async fn move_batch(copying: &Copying, parts: &[Part]) -> Result<Vec<(u64, u64)>> {
    let run = &copying.run;
    let (Some(source), Some(target)) = (run.source.batches(), copying.batches()) else {
        return Err(Error::new(Kind::Internal, "a batch that nobody takes"));
    };
    let sent = Arc::new(Mutex::new(vec![(0, 0); parts.len()]));
    let batch = {
        let sent = sent.clone();
        source
            .read_batch(parts)
            .await?
            .inspect(move |chunk| {
                let mut sent = sent.lock();
                for (place, rows, bytes) in chunk.iter().flat_map(|chunk| &chunk.ended) {
                    sent[*place] = (*rows, *bytes);
                }
            })
            .boxed()
    };
    let batch = paced(run, batch, |chunk| chunk.data.len());
    let taken = target.write_batch(parts, batch).await?;
    let sent = std::mem::take(&mut *sent.lock());
    for ((part, (sent, _)), taken) in parts.iter().zip(&sent).zip(taken) {
        compare(run, part, *sent, taken)?;
    }
    Ok(sent)
}

/// Holds what the source sent against what the target took.
fn compare(run: &TaskRun, part: &Part, sent: u64, taken: u64) -> Result<()> {
    if run.task.verify != Verify::None && taken != sent {
        return Err(Error::new(
            Kind::Verify,
            format!(
                "{}: the source sent {sent} rows and the target took {taken}",
                part.label()
            ),
        ));
    }
    Ok(())
}

/// Moves one part, and holds what the source sent against what the target took.
async fn transfer(copying: &Copying, part: &Part) -> Result<()> {
    let run = &copying.run;
    // Checksums are of what is read.
    if run.task.verify != Verify::Checksum
        && let Some((rows, bytes)) = copying.incoming.has(part).await?
    {
        run.progress.add(part, rows, bytes);
        tracing::debug!(part = part.label(), rows, "has not changed");
        return Ok(());
    }
    let sent = Arc::new(Mutex::new(0_u64));
    let chunks = {
        let (run, sent, part) = (run.clone(), sent.clone(), part.clone());
        run.source
            .read(&part)
            .await?
            .inspect(move |chunk| {
                if let Ok(chunk) = chunk {
                    *sent.lock() += chunk.rows;
                    run.progress.add(&part, chunk.rows, chunk.data.len() as u64);
                }
            })
            .boxed()
    };
    let chunks = paced(run, chunks, |chunk| chunk.data.len());
    let chunks = transformed(run, &*copying.incoming, part, chunks)?;
    let taken = copying.incoming.write(part, chunks).await?;
    let sent = *sent.lock();
    compare(run, part, sent, taken)?;
    tracing::debug!(part = part.label(), rows = taken, "copied");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(in_order: Option<bool>) -> Work {
        let label = "index a".to_owned();
        let step = Step {
            label,
            id: 0,
            cost: 1,
        };
        Work {
            queue: Mutex::new(Queue {
                parts: pieces(2, Vec::new()),
                steps: vec![step],
                busy: 0,
                in_order,
                sliced: HashMap::new(),
            }),
            changed: Notify::new(),
        }
    }

    async fn taken(work: &Work) -> Option<&'static str> {
        match work.next().await? {
            Piece::Parts(_) => Some("part"),
            Piece::Step(_) => Some("step"),
        }
    }

    #[tokio::test]
    async fn parts_are_moved_one_after_the_other_where_the_source_says_in_which_order() {
        let usual = work(None);
        for expected in ["part", "part", "step"] {
            assert_eq!(taken(&usual).await, Some(expected));
        }
        let ordered = work(Some(false));
        assert_eq!(taken(&ordered).await, Some("part"));
        // Others build meanwhile, and the next part is for whoever comes once this one is in.
        assert_eq!(taken(&ordered).await, Some("step"));
        ordered.done(Vec::new());
        ordered.moved(Vec::new());
        assert_eq!(taken(&ordered).await, Some("part"));
        ordered.moved(Vec::new());
        assert_eq!(taken(&ordered).await, None);
    }
}
