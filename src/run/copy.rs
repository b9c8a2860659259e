//! Copy: a few workers move parts, the biggest first, and build on each what can be built once its rows are in.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use futures_util::StreamExt;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tracing::Instrument;

use super::Site;
use crate::config::job::Verify;
use crate::error::{Error, Kind, Result};
use crate::store::{Chunks, Meter, Part, Step, Survey};

/// What is left to do.
struct Work {
    queue: Mutex<Queue>,
    /// Wakes workers that wait for what others may leave to build.
    changed: Notify,
}

struct Queue {
    parts: VecDeque<Part>,
    steps: Vec<Step>,
    busy: usize,
}

impl Queue {
    /// Parts in their order, then the step that costs most.
    fn take(&mut self) -> Option<Piece> {
        if let Some(part) = self.parts.pop_front() {
            return Some(Piece::Part(part));
        }
        let dearest = (0..self.steps.len()).max_by_key(|place| self.steps[*place].cost)?;
        Some(Piece::Step(self.steps.swap_remove(dearest)))
    }
}

/// What a worker does.
#[derive(Clone, Copy)]
enum Duty {
    /// Parts first, then steps.
    All,
    /// Steps, when all parts are taken.
    Steps,
}

enum Piece {
    Part(Part),
    Step(Step),
}

impl Work {
    /// The next piece, once there is one; `None` when nothing is left and nothing more can come.
    async fn next(&self, duty: Duty) -> Option<Piece> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let mut queue = self.queue.lock().expect("no one panics with this lock");
                let waits = matches!(duty, Duty::Steps) && !queue.parts.is_empty();
                let piece = if waits { None } else { queue.take() };
                if piece.is_some() {
                    queue.busy += 1;
                    return piece;
                }
                if !waits && queue.busy == 0 {
                    return None;
                }
            }
            changed.await;
        }
    }

    fn done(&self, steps: Vec<Step>) {
        let mut queue = self.queue.lock().expect("no one panics with this lock");
        queue.busy -= 1;
        queue.steps.extend(steps);
        drop(queue);
        self.changed.notify_waiters();
    }
}

/// Moves all parts of a survey.
pub(super) async fn copy(site: &Arc<Site>, survey: &Survey) -> Result<()> {
    site.board
        .expect(survey.parts.iter().map(|part| part.bytes).sum());
    // What the servers copy by themselves keeps to no pace.
    if site.pace.is_free()
        && site
            .target
            .adopt(&*site.source, survey, &*site.board)
            .await?
    {
        return Ok(());
    }
    let work = Arc::new(Work {
        queue: Mutex::new(Queue {
            parts: survey.parts.iter().cloned().collect(),
            steps: Vec::new(),
            busy: 0,
        }),
        changed: Notify::new(),
    });
    // Dropped, the set ends its workers: a failed or cancelled copy leaves nobody writing.
    let mut workers = JoinSet::new();
    for _ in 0..site.context.workers {
        // Once no rows are left to read, twice as many: who builds an index often waits for the disk.
        for duty in [Duty::All, Duty::Steps] {
            let (site, work) = (site.clone(), work.clone());
            workers.spawn(worker(site, work, duty).in_current_span());
        }
    }
    let watch = site.pace.watch();
    tokio::pin!(watch);
    loop {
        let ended = tokio::select! {
            ended = workers.join_next() => ended,
            error = &mut watch => return Err(error),
        };
        let Some(ended) = ended else {
            return Ok(());
        };
        ended.map_err(|error| Error::new(Kind::Internal, "a worker broke").because(error))??;
    }
}

async fn worker(site: Arc<Site>, work: Arc<Work>, duty: Duty) -> Result<()> {
    while let Some(piece) = work.next(duty).await {
        match piece {
            Piece::Part(part) => {
                let label = part.label();
                site.board.enter(label.clone(), part.bytes);
                transfer(&site, &part).await?;
                site.board.leave(&label, Some(&part));
                let steps = site.target.steps_after(&part);
                site.board.expect_steps(steps.len());
                work.done(steps);
            }
            Piece::Step(step) => {
                site.board.enter(step.label.clone(), 0);
                site.target.build(&step).await?;
                site.board.leave(&step.label, None);
                tracing::debug!(step = step.label, "built");
                work.done(Vec::new());
            }
        }
    }
    Ok(())
}

/// Lets chunks go on as the task's pace has it. A source whose rows are not taken stops sending.
fn paced(site: &Arc<Site>, chunks: Chunks) -> Chunks {
    if site.pace.is_free() {
        return chunks;
    }
    let pace = site.pace.clone();
    chunks
        .then(move |chunk| {
            let pace = pace.clone();
            async move {
                if let Ok(chunk) = &chunk {
                    pace.pass(chunk.data.len() as u64).await;
                }
                chunk
            }
        })
        .boxed()
}

/// Moves one part, and holds what the source sent against what the target took.
async fn transfer(site: &Arc<Site>, part: &Part) -> Result<()> {
    let sent = Arc::new(Mutex::new(0_u64));
    let chunks = {
        let (site, sent, part) = (site.clone(), sent.clone(), part.clone());
        site.source
            .read(&part)
            .await?
            .inspect(move |chunk| {
                if let Ok(chunk) = chunk {
                    *sent.lock().expect("no one panics with this lock") += chunk.rows;
                    site.board.add(&part, chunk.rows, chunk.data.len() as u64);
                }
            })
            .boxed()
    };
    let chunks = paced(site, chunks);
    let taken = site.target.write(part, chunks).await?;
    let sent = *sent.lock().expect("no one panics with this lock");
    if site.task.verify != Verify::None && taken != sent {
        return Err(Error::new(
            Kind::Verify,
            format!(
                "{}: the source sent {sent} rows and the target took {taken}",
                part.label()
            ),
        ));
    }
    tracing::debug!(part = part.label(), rows = taken, "copied");
    Ok(())
}
