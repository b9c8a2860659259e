//! A tree on another machine that is read.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rustix::fs::{AtFlags, unlinkat};
use tokio_util::sync::CancellationToken;

use super::connection::Connection;
use super::facts::{Facts, Id, Rsync};
use super::listing::list;
use super::names::{Lists, Names, copied};
use super::rsync::{self, Direction, Pair};
use super::tar::Tar;
use super::url::SshUrl;
use crate::config::job::Task;
use crate::error::{Error, Kind, Result};
use crate::policy::Identity;
use crate::store::Context;
use crate::store::files::connection::blocking::blocking;
use crate::store::files::connection::directory::Directory;
use crate::store::files::connection::inside::Inside;
use crate::store::files::connection::stat::{FileKind, Moment, Stat};
use crate::store::files::connection::told::{At as _, told};
use crate::store::files::rows::listing::{Entry, Listing};
use crate::store::files::rows::pair::{self, Descent, SOURCE, TARGET, Visitor};
use crate::store::files::rows::sorter::Sorter;
use crate::store::files::rows::tree::{Fetch, Fetching, look};
use crate::store::files::rows::walk::{Root, walk};
use crate::store::files::rows::warnings::{Warning, Warnings};
use crate::store::files::rows::work::{Action, Notes, Work};
use crate::store::files::schema::filter::Filter;

/// So many lists of files are fetched at a time: while one is read there, another is written here.
const TOGETHER: usize = 2;
/// An error names so many files.
const NAMED: usize = 3;

/// A tree on another machine that is read.
pub(in crate::store::files) struct FarTree {
    connection: Connection,
    /// Its path without links.
    path: Vec<u8>,
    can: Rsync,
    /// The other machine's clock when the run connected.
    now: Moment,
    /// Whether the tar there takes our options.
    has_tar: bool,
    /// Devices and inodes of it and of all above, if the machine is this one.
    chain: Vec<Id>,
    filter: Arc<Filter>,
    /// Bytes a second.
    throttle: Option<u64>,
    cancel: CancellationToken,
}

impl FarTree {
    /// Connects. The tree has to be there.
    pub(in crate::store::files) async fn open(
        url: &SshUrl,
        task: &Task,
        filter: &Arc<Filter>,
        context: &Context,
    ) -> Result<(Self, Identity)> {
        let connecting = Facts::connect(url, &task.source, "source", context);
        let (connected, own_rsync) = tokio::join!(connecting, rsync::own());
        let (connection, facts) = connected?;
        facts.check_directory(url, "source")?;
        let there = facts.check_programs(&connection.machine())?;
        let own = facts.id.into_iter().chain(facts.chain.iter().copied());
        let tree = Self {
            can: rsync::common(&own_rsync?, there),
            has_tar: facts.has_tar,
            chain: if facts.is_here() {
                own.collect()
            } else {
                Vec::new()
            },
            path: facts.real.clone().unwrap_or_default(),
            now: facts.clock(&connection.machine())?,
            filter: Arc::clone(filter),
            throttle: task.throttle,
            cancel: context.cancel.clone(),
            connection,
        };
        Ok((tree, facts.identity(url)))
    }

    fn pair<'a>(&'a self, here: &'a Arc<Directory>, keeps_owners: bool) -> Pair<'a> {
        Pair {
            connection: &self.connection,
            here,
            there: &self.path,
            direction: Direction::Here,
            can: self.can.clone(),
            keeps_owners,
            throttle: self.throttle,
        }
    }

    /// Fetches one list; returns how many of its files are here.
    async fn fetch_list(&self, names: Names, fetching: &Fetching) -> Result<u64> {
        // rsync alone keeps holes and a pace.
        if self.has_tar && !names.is_sparse && self.throttle.is_none() {
            let tar = Tar {
                connection: &self.connection,
                there: &self.path,
                cancel: &self.cancel,
            };
            return tar.fetch(&names, fetching).await;
        }
        self.fetch_by_rsync(names, fetching).await
    }

    async fn fetch_by_rsync(&self, names: Names, fetching: &Fetching) -> Result<u64> {
        let pair = self.pair(&fetching.into, fetching.keeps_owners);
        let first = names.iter().next().unwrap_or_default().to_vec();
        let told = |files, bytes| (fetching.told)(&first, files, bytes);
        let options = ["--no-dirs", "--whole-file"];
        let came = pair
            .copy(&names, &options, &fetching.warnings, &told)
            .await?;
        if came >= names.count {
            return Ok(names.count as u64);
        }
        let (into, warnings) = (Arc::clone(&fetching.into), Arc::clone(&fetching.warnings));
        blocking(&self.cancel, move |_| {
            let mut inside = Inside::new(Arc::clone(&into));
            let mut there = 0;
            for path in names.iter() {
                let kind = look(&into, path)?.map(|found| found.kind);
                if kind == Some(FileKind::Directory) {
                    // The file has become one.
                    let (above, name) = inside.at(path).at("cannot open the directory of", path)?;
                    unlinkat(above, &name, AtFlags::REMOVEDIR).at("cannot remove", path)?;
                }
                match kind {
                    Some(FileKind::Regular | FileKind::Link) => there += 1,
                    _ => warnings.add(Warning::Vanished, path),
                }
            }
            Ok(there)
        })
        .await
    }

    /// The differing paths among the files that both trees have, as far as they were not changed since the run began.
    async fn changed(
        &self,
        copy: &Arc<Directory>,
        since: Moment,
        warnings: &Warnings,
    ) -> Result<(Vec<String>, u64)> {
        let work = self.in_both(copy).await?;
        let pair = self.pair(copy, false);
        let mut lists = Lists::of(&work, copied)?;
        let mut found = Vec::new();
        while let Some(names) = lists.next()? {
            found.extend(pair.differing(&names, warnings).await?);
        }
        let mut differing = (Vec::new(), 0);
        if found.is_empty() {
            return Ok(differing);
        }
        found.sort();
        let now = self.list().await?;
        let mut cursor = now.cursor()?;
        while let Some((entry, _)) = cursor.entry() {
            if found.binary_search(&entry.path).is_ok() {
                if entry.stat.changed >= since {
                    warnings.add(Warning::Changed, &entry.path);
                } else {
                    differing.1 += 1;
                    differing.0.push(told(&entry.path));
                    differing.0.truncate(NAMED);
                }
            }
            cursor.advance()?;
        }
        Ok(differing)
    }

    /// The files that both trees have.
    async fn in_both(&self, copy: &Arc<Directory>) -> Result<Work> {
        let now = self.list().await?;
        let (copy, filter) = (Arc::clone(copy), Arc::clone(&self.filter));
        blocking(&self.cancel, move |stop| {
            let mut both = Both {
                filter,
                notes: Notes::new(),
            };
            let roots = [Some(Root::Listing(now)), Some(Root::Directory(copy))];
            walk(roots, (), &mut both, stop)?;
            both.notes.finish(None)
        })
        .await
    }
}

#[async_trait]
impl Fetch for FarTree {
    async fn list(&self) -> Result<Listing> {
        listed(&self.connection, &self.path, &self.filter, None).await
    }

    async fn fetch(&self, fetching: Fetching) -> Result<u64> {
        let mut lists = Lists::of(&fetching.work, copied)?;
        let mut running = FuturesUnordered::new();
        let mut fetched = 0;
        // A pace is that of all of them.
        let together = if self.throttle.is_some() { 1 } else { TOGETHER };
        loop {
            while running.len() < together
                && let Some(names) = lists.next()?
            {
                running.push(self.fetch_list(names, &fetching));
            }
            match running.next().await {
                Some(one) => fetched += one?,
                None => return Ok(fetched),
            }
        }
    }

    fn compares_contents(&self) -> bool {
        true
    }

    async fn differing(
        &self,
        list: &Work,
        live: &Arc<Directory>,
        warnings: &Warnings,
    ) -> Result<Listing> {
        differing(&self.pair(live, false), list, warnings).await
    }

    async fn compare(
        &self,
        copy: &Arc<Directory>,
        since: Moment,
        warnings: &Warnings,
    ) -> Result<()> {
        let (first, all) = self.changed(copy, since, warnings).await?;
        if all == 0 {
            return Ok(());
        }
        let first = first.join(", ");
        let what = format!(
            "the copy is not equal to the source: {all} files have another content: {first}"
        );
        Err(Error::new(Kind::Verify, what))
    }

    async fn now(&self) -> Result<Moment> {
        Ok(self.now)
    }

    fn chain(&self) -> &[(u64, u64)] {
        &self.chain
    }
}

/// Which files of a list have another content here than there, in the order of the walk. Those that vanish meanwhile are not
/// told: they are none.
pub(super) async fn differing(
    pair: &Pair<'_>,
    list: &Work,
    warnings: &Warnings,
) -> Result<Listing> {
    let mut sorter = Sorter::new();
    let mut lists = Lists::of(list, copied)?;
    let mut running = FuturesUnordered::new();
    loop {
        while running.len() < TOGETHER
            && let Some(names) = lists.next()?
        {
            running.push(async move { pair.differing(&names, warnings).await });
        }
        let Some(found) = running.next().await else {
            return sorter.finish(|_| Ok(()));
        };
        for path in found? {
            sorter.push(Entry {
                path,
                stat: Stat::unknown(FileKind::Regular),
                link: None,
            })?;
        }
    }
}

/// What is in a tree there, but for what may not be read and is excluded. `device`: all of it has to be on this one.
pub(super) async fn listed(
    connection: &Connection,
    path: &[u8],
    filter: &Filter,
    device: Option<u64>,
) -> Result<Listing> {
    let listed = listed_with_inode(connection, path, filter, device).await?;
    Ok(listed.0)
}

/// The same, with the inode of the tree itself.
pub(super) async fn listed_with_inode(
    connection: &Connection,
    path: &[u8],
    filter: &Filter,
    device: Option<u64>,
) -> Result<(Listing, u64)> {
    let mut sorter = Sorter::new();
    let mut inode = 0;
    let is_left_out = |path: &[u8]| {
        let ends = (0..path.len()).filter(|at| path[*at] == b'/');
        let mut all = ends.chain([path.len()]).map(|end| &path[..end]);
        all.any(|path| filter.excludes(path, FileKind::Directory))
    };
    let gone = list(connection, path, &is_left_out, |found| {
        if found.path.is_empty() {
            inode = found.stat.id.1;
        }
        if device.is_some_and(|device| device != found.stat.id.0) {
            let what = format!(
                "{}: another file system is mounted in live",
                told(found.path)
            );
            return Err(Error::new(Kind::Verify, what).hint(
                "nothing is renamed from one file system to another: give each a task of its own",
            ));
        }
        sorter.add(found.path, &found.stat, found.link)
    })
    .await?;
    if !gone.is_empty() {
        tracing::warn!(
            files = gone.len(),
            first = gone[0],
            "files vanished while they were listed"
        );
    }
    // A file that was renamed while find walked may be found under both of its names, and never under one twice.
    Ok((sorter.finish(|_| Ok(()))?, inode))
}

/// Notes what both trees have as a file.
struct Both {
    filter: Arc<Filter>,
    notes: Notes,
}

impl Visitor for Both {
    type Level = ();

    fn entry(&mut self, (): &mut (), pair: &pair::Pair<'_>) -> Result<Option<Descent<()>>> {
        let (Some(kind), Some(other)) = (pair.kind(SOURCE), pair.kind(TARGET)) else {
            return Ok(None);
        };
        if kind != other || self.filter.excludes(pair.path, kind) {
            return Ok(None);
        }
        if kind == FileKind::Directory {
            let sides = [true, true];
            return Ok(Some(Descent { level: (), sides }));
        }
        if let (FileKind::Regular, Some(found)) = (kind, pair.stat(SOURCE)?)
            && self.filter.takes(pair.path, &found)
        {
            self.notes.add(pair.path, &found, None, Action::Copy)?;
        }
        Ok(None)
    }
}
