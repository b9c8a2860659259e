//! A tree that is read.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;

use super::connection::blocking::blocking;
use super::connection::directory::Directory;
use super::connection::stat::FileKind;
use super::connection::told::At;
use super::rows::survey::Found;
use super::rows::tree::{self, Tree, look};
use super::rows::walk::{Root, walk};
use super::schema::filter::Filter;
use super::schema::options::Options;
use super::url::{KIND, TreeUrl};
use crate::config::job::Task;
use crate::error::{Error, Kind, Result};
use crate::policy::Identity;
use crate::store::{
    ByName, Catalogue, Checksum, Chunks, Context, Encoding, Part, Server, Slice, Source, Survey,
    Taker, Unit,
};
use crate::sync::Mutex;

/// What the parts of a tree are in: they are not rows, and go by the system's own means.
const WHOLE: Encoding = Encoding::new("files");

/// Files' times are those of the clock's last tick, of which there are a hundred a second or more.
const TICKS: Duration = Duration::from_millis(20);

/// The version of how trees are copied, as servers have one.
pub(super) fn server() -> Server {
    Server::of(KIND, "1", 1)
}

/// A tree that is read.
pub(super) struct TreeSource {
    path: PathBuf,
    directory: Arc<Directory>,
    filter: Arc<Filter>,
    marker: Option<String>,
    context: Context,
    /// The first names that nobody has decided on, and how many there are.
    undecided: Mutex<(Vec<String>, u64)>,
}

impl TreeSource {
    /// A task's. It has to be there.
    pub(super) fn open(task: &Task, context: &Context) -> Result<Self> {
        let path = task.source.url.address::<TreeUrl>()?.directory.clone();
        let directory = Directory::at(&path).map_err(|error| {
            let what = format!("the source {} cannot be opened", path.display());
            Error::new(Kind::Connection, what)
                .because(std::io::Error::from(error))
                .hint("check the source's path, and whether it is a directory")
        })?;
        let options = task.options.get::<Options>()?;
        Ok(Self {
            directory: Arc::new(directory),
            filter: Arc::new(Filter::of(task, context.selection.describes_columns)?),
            marker: options.marker.clone(),
            context: context.clone(),
            path,
            undecided: Mutex::default(),
        })
    }

    /// Refuses a tree without its marker: something is to be mounted there, and is not.
    fn check_marker(&self) -> Result<()> {
        let Some(marker) = &self.marker else {
            return Ok(());
        };
        let found = look(&self.directory, marker.as_bytes()).ok().flatten();
        if found.is_some_and(|found| found.kind == FileKind::Regular) {
            return Ok(());
        }
        let what = format!("the source {} has no file `{marker}`", self.path.display());
        Err(Error::new(Kind::Absent, what).hint(
            "see whether it is mounted: with `marker` a tree without that file is not copied",
        ))
    }
}

#[async_trait]
impl Source for TreeSource {
    async fn identity(&self) -> Result<Identity> {
        let found = self
            .directory
            .own_stat()
            .at("cannot look at the source", b"")?;
        Ok(Identity {
            thing: Some(format!("files {}/{}", found.id.0, found.id.1)),
            place: format!("files {}", self.path.display()),
        })
    }

    async fn survey(&self, _taker: &Taker) -> Result<Survey> {
        self.check_marker()?;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let since = now.saturating_sub(TICKS);
        let since = (since.as_secs() as i64, since.subsec_nanos());
        let (root, filter) = (Arc::clone(&self.directory), Arc::clone(&self.filter));
        let mut found = blocking(&self.context.cancel, move |stop| {
            let mut found = Found::new(filter);
            walk([Some(Root::Directory(root)), None], (), &mut found, stop)?;
            Ok(found)
        })
        .await?;
        *self.undecided.lock() = std::mem::take(&mut found.undecided);
        let mut parts = Vec::with_capacity(found.batches.len());
        for (id, batch) in found.batches.iter().enumerate() {
            parts.push(Part {
                unit: Unit::Files,
                rows: batch.files,
                slice: Some(Slice::new(&id)?),
                ..Part::whole(id, "files", WHOLE, batch.bytes)
            });
        }
        let tree = Tree {
            told: self.path.display().to_string(),
            at: tree::At::Here(Arc::clone(&self.directory)),
            listing: found.listing()?,
            filter: Arc::clone(&self.filter),
            starts: found.batches.into_iter().map(|batch| batch.start).collect(),
            files: found.files,
            since,
        };
        Ok(Survey::new(server(), parts, Vec::new(), Arc::new(tree)))
    }

    async fn read(&self, _part: &Part) -> Result<Chunks> {
        Err(no_rows())
    }

    /// Files have nothing that is defined apart from them: the trees are compared themselves.
    async fn catalogue(&self) -> Result<Catalogue> {
        Ok(Catalogue::default())
    }

    async fn checksum(&self, _part: &Part) -> Result<Checksum> {
        Err(no_rows())
    }

    fn by_name(&self) -> Option<&dyn ByName> {
        Some(self)
    }
}

#[async_trait]
impl ByName for TreeSource {
    async fn unnamed(&self) -> Result<(Vec<String>, u64)> {
        Ok(self.undecided.lock().clone())
    }
}

/// Who asks for rows has not looked at what a tree is.
pub(super) fn no_rows() -> Error {
    Error::new(
        Kind::Internal,
        "a tree of files has no rows, and goes from directory to directory alone",
    )
}
