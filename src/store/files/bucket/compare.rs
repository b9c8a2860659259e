//! Holds contents against each other of which one lies in a bucket: by its tag, which the server computed of what it got; where
//! that says nothing, the object is read back.

use std::sync::Arc;

use md5::{Digest as _, Md5};
use rustix::io::{Errno, pread};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::likeness::sum;
use super::parents::Parents;
use super::sums::Tag;
use crate::error::{Error, Kind, Result};
use crate::s3::S3;
use crate::s3::get::{Get, Next};
use crate::store::files::connection::blocking::{blocking, stopped};
use crate::store::files::connection::directory::Directory;
use crate::store::files::connection::stat::{FileKind, Moment, Stat};
use crate::store::files::connection::told::{At, told};
use crate::store::files::incoming::check::{OTHER_CONTENT, unequal};
use crate::store::files::rows::pair::{Descent, Pair, SOURCE, TARGET, Visitor};
use crate::store::files::rows::walk::{Root, walk};
use crate::store::files::rows::warnings::{Warning, Warnings};
use crate::store::files::schema::filter::Filter;

/// So many differences are named.
const NAMED: usize = 3;
const PIECE: usize = 256 * 1024;

/// Where one of the two trees is.
#[derive(Clone)]
pub(in crate::store::files) enum End {
    /// On this machine.
    Here(Arc<Directory>),
    /// In a bucket.
    Bucket(Arc<S3>),
}

/// What is compared.
pub(in crate::store::files) struct Comparison {
    /// The source and the copy,
    pub(in crate::store::files) ends: [End; 2],
    /// and what is walked of them.
    pub(in crate::store::files) roots: [Root; 2],
    /// Which files of the source are copied.
    pub(in crate::store::files) filter: Arc<Filter>,
    /// What was changed later than this may differ: the run had begun.
    pub(in crate::store::files) since: Moment,
    /// Objects that are read at once.
    pub(in crate::store::files) at_once: usize,
    /// Ends it.
    pub(in crate::store::files) cancel: CancellationToken,
}

/// A file whose contents have to be read on both sides.
struct Unsure {
    path: Vec<u8>,
    source: Stat,
}

/// Refuses a copy whose contents differ.
pub(in crate::store::files) async fn compare(
    comparison: Comparison,
    warnings: &Warnings,
) -> Result<()> {
    let Comparison {
        ends,
        roots,
        filter,
        since,
        at_once,
        cancel,
    } = comparison;
    let (sender, mut unsure) = mpsc::channel::<Unsure>(64);
    let walking = blocking(&cancel, move |stop| {
        let mut contents = Contents {
            filter: &filter,
            sender,
            stop,
        };
        walk(roots.map(Some), (), &mut contents, stop)
    });
    let reading = async {
        let mut flight = JoinSet::new();
        let mut differences = Vec::new();
        loop {
            tokio::select! {
                one = unsure.recv(), if flight.len() < at_once => {
                    let Some(one) = one else { break };
                    flight.spawn(read_both(ends.clone(), one, cancel.clone()));
                }
                Some(done) = flight.join_next() => differences.extend(landed(done)?),
            }
        }
        while let Some(done) = flight.join_next().await {
            differences.extend(landed(done)?);
        }
        Ok(differences)
    };
    let ((), differences) = tokio::try_join!(walking, reading)?;
    let (late, differences): (Vec<Unsure>, Vec<Unsure>) = differences
        .into_iter()
        .partition(|one| one.source.changed >= since);
    for one in late {
        warnings.add(Warning::Changed, &one.path);
    }
    outcome(&differences)
}

fn outcome(differences: &[Unsure]) -> Result<()> {
    if differences.is_empty() {
        return Ok(());
    }
    for one in differences.iter().take(100) {
        let difference = format!("{} {OTHER_CONTENT}", told(&one.path));
        tracing::error!(difference, "not the same on both sides");
    }
    let named: Vec<String> = (differences.iter().take(NAMED))
        .map(|one| format!("{} {OTHER_CONTENT}", told(&one.path)))
        .collect();
    let more = match differences.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    Err(unequal(&format!("{}{more}", named.join("; "))))
}

fn landed(
    done: std::result::Result<Result<Option<Unsure>>, tokio::task::JoinError>,
) -> Result<Option<Unsure>> {
    done.map_err(|error| Error::new(Kind::Internal, "a worker died").because(error))?
}

/// Reads a file's content on both sides; returns it if they differ.
async fn read_both(
    ends: [End; 2],
    one: Unsure,
    cancel: CancellationToken,
) -> Result<Option<Unsure>> {
    let [source, target] = ends;
    let source = content_of(source, &one.path, &cancel).await?;
    let target = content_of(target, &one.path, &cancel).await?;
    // What has vanished from the source meanwhile was told when its turn came.
    let differs = source.is_some() && source != target;
    Ok(differs.then_some(one))
}

/// The sum of a file's content; `None`: there is no such file.
async fn content_of(end: End, path: &[u8], cancel: &CancellationToken) -> Result<Option<Vec<u8>>> {
    match end {
        End::Bucket(s3) => of_object(&s3, path).await,
        End::Here(root) => {
            let path = path.to_vec();
            blocking(cancel, move |stop| of_file(root, &path, stop)).await
        }
    }
}

async fn of_object(s3: &Arc<S3>, path: &[u8]) -> Result<Option<Vec<u8>>> {
    let path = String::from_utf8_lossy(path).into_owned();
    'again: for _ in 0..3 {
        let Some(mut get) = Get::open(s3, &path).await? else {
            return Ok(None);
        };
        let mut sum = Md5::new();
        loop {
            match get.next().await? {
                Next::Bytes(bytes) => sum.update(&bytes),
                Next::Replaced => continue 'again,
                Next::End => return Ok(Some(sum.finalize().to_vec())),
            }
        }
    }
    let what = format!("{path} in {} is written anew again and again", s3.place());
    Err(Error::new(Kind::Verify, what))
}

fn of_file(root: Arc<Directory>, path: &[u8], stop: &CancellationToken) -> Result<Option<Vec<u8>>> {
    let (directory, name) = Parents::of(root).of_path(path)?;
    let file = directory.read_file_still_there(&name);
    let Some(file) = file.at("cannot read", path)? else {
        return match directory.link(&name) {
            Ok(text) => Ok(Some(Md5::digest(&text).to_vec())),
            Err(Errno::NOENT | Errno::INVAL) => Ok(None),
            Err(error) => Err(error).at("cannot read link", path),
        };
    };
    let (mut sum, mut piece, mut at) = (Md5::new(), vec![0; PIECE], 0);
    loop {
        stopped(stop)?;
        match pread(&file, &mut piece[..], at) {
            Ok(0) => return Ok(Some(sum.finalize().to_vec())),
            Ok(read) => {
                sum.update(&piece[..read]);
                at += read as u64;
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error).at("cannot read", path),
        }
    }
}

/// Walks both trees, and gives out what their tags do not decide.
struct Contents<'a> {
    filter: &'a Filter,
    sender: mpsc::Sender<Unsure>,
    stop: &'a CancellationToken,
}

impl Contents<'_> {
    /// Whether tags say that both are the same.
    fn is_sure(&self, pair: &Pair<'_>, stats: [&Stat; 2]) -> Result<bool> {
        let tag = |side: usize| -> Result<Option<String>> {
            if !stats[side].is_vague() {
                return Ok(None);
            }
            let tag = pair.link(side)?;
            Ok(tag.and_then(|tag| String::from_utf8(tag).ok()))
        };
        Ok(match (tag(SOURCE)?, tag(TARGET)?) {
            (Some(one), Some(other)) => one == other && Tag::of(&one) != Tag::Opaque,
            (Some(tag), None) => self.has(pair, TARGET, stats[TARGET], &tag)?,
            (None, Some(tag)) => self.has(pair, SOURCE, stats[SOURCE], &tag)?,
            (None, None) => false,
        })
    }

    fn has(&self, pair: &Pair<'_>, here: usize, found: &Stat, tag: &str) -> Result<bool> {
        let computed = sum(pair, here, found, Tag::of(tag), self.stop)?;
        Ok(computed.is_some_and(|computed| computed.eq_ignore_ascii_case(tag)))
    }
}

impl Visitor for Contents<'_> {
    type Level = ();

    fn entry(&mut self, (): &mut (), pair: &Pair<'_>) -> Result<Option<Descent<()>>> {
        let Some(kind) = pair.kind(SOURCE) else {
            return Ok(None);
        };
        if self.filter.excludes(pair.path, kind) {
            return Ok(None);
        }
        let sides = [SOURCE, TARGET].map(|side| pair.kind(side) == Some(FileKind::Directory));
        if sides != [false, false] {
            let descent = Descent { level: (), sides };
            return Ok(sides[SOURCE].then_some(descent));
        }
        let is_file = matches!(kind, FileKind::Regular | FileKind::Link);
        let (Some(source), Some(target)) = (pair.stat(SOURCE)?, pair.stat(TARGET)?) else {
            return Ok(None);
        };
        // Other sizes are told by who compares those.
        if !is_file || !self.filter.takes(pair.path, &source) || source.size != target.size {
            return Ok(None);
        }
        if !self.is_sure(pair, [&source, &target])? {
            let path = pair.path.to_vec();
            // Why nobody takes it is told by who has stopped.
            let _ = self.sender.blocking_send(Unsure { path, source });
        }
        Ok(None)
    }

    fn passes_by(&self, path: &[u8]) -> bool {
        self.filter.excludes(path, FileKind::Directory)
    }
}
