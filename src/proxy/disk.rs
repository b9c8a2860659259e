//! How much of the disk fetched files take. A list of them outlives the process; what the site has removed or replaced since
//! counts no more when the list is read again.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use super::name::Name;
use super::tree::Tree;
use crate::sync::Mutex;

/// The list, and what it is written as.
const LIST: &str = "kept";
const NEW_LIST: &str = "kept-new";
/// Its first line.
const VERSION: &str = "envsyncd file proxy, version 1";
/// How often a full disk is counted again.
const AGAIN: Duration = Duration::from_secs(60);
/// No line is longer.
const LONGEST_LINE: u64 = 16 << 10;

/// Room for fetched files.
pub(super) struct Disk {
    most: u64,
    tree: Arc<Tree>,
    inner: Mutex<Inner>,
}

struct Inner {
    used: u64,
    list: File,
    counted: Instant,
}

impl Disk {
    /// Counts what was fetched before. Blocks.
    pub(super) fn open(most: u64, tree: Arc<Tree>) -> io::Result<Arc<Self>> {
        let (used, list) = count(&tree)?;
        let inner = Mutex::new(Inner {
            used,
            list,
            counted: Instant::now(),
        });
        Ok(Arc::new(Self { most, tree, inner }))
    }

    /// Room for so many bytes; `None`: there is none.
    pub(super) fn reserve(self: &Arc<Self>, bytes: u64) -> Option<Reserved> {
        let mut reserved = Reserved {
            disk: self.clone(),
            bytes: 0,
        };
        reserved.grow(bytes).then_some(reserved)
    }

    /// Whether there is no room for a single byte.
    pub(super) fn is_full(&self) -> bool {
        self.inner.lock().used >= self.most
    }

    /// Counts again, if that was not done for a while. Blocks.
    pub(super) fn look_again(&self) {
        let before = {
            let mut inner = self.inner.lock();
            if inner.counted.elapsed() < AGAIN {
                return;
            }
            inner.counted = Instant::now();
            tracing::warn!(
                "fetched files take as much of the disk as `max_disk` lets them: no more are fetched"
            );
            inner.used
        };
        match read(&self.tree, |_, _| Ok(())) {
            Ok(found) => {
                let mut inner = self.inner.lock();
                // What has come meanwhile counts on top.
                let since = inner.used.saturating_sub(before);
                inner.used = found.saturating_add(since);
            }
            Err(error) => tracing::warn!(%error, "the list of fetched files cannot be read again"),
        }
    }
}

/// Room that is taken; freed when it is dropped and not kept.
pub(super) struct Reserved {
    disk: Arc<Disk>,
    bytes: u64,
}

impl Reserved {
    /// Takes so much more; `false`: there is not so much.
    pub(super) fn grow(&mut self, bytes: u64) -> bool {
        let mut inner = self.disk.inner.lock();
        let used = inner.used.saturating_add(bytes);
        if used > self.disk.most {
            return false;
        }
        inner.used = used;
        self.bytes += bytes;
        true
    }

    /// Writes down a file that stands in its place.
    pub(super) fn keep(mut self, name: &Name) {
        let bytes = std::mem::take(&mut self.bytes);
        let mut inner = self.disk.inner.lock();
        if let Err(error) = inner.list.write_all(line(bytes, name).as_bytes()) {
            tracing::warn!(%error, "the list of fetched files cannot be written: this one will count no more after a restart");
        }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let mut inner = self.disk.inner.lock();
        inner.used = inner.used.saturating_sub(self.bytes);
    }
}

fn line(bytes: u64, name: &Name) -> String {
    format!("{bytes} {}\n", name.in_url())
}

/// A line of the list: a size, and a name as it stands in a URL.
fn parse(line: &str) -> Option<(u64, Name)> {
    let (bytes, name) = line.split_once(' ')?;
    let name = Name::parse(format!("/{name}").as_bytes()).ok()?;
    Some((bytes.parse().ok()?, name))
}

/// Adds up the files of the list that are still there, and writes it anew with those alone.
fn count(tree: &Tree) -> io::Result<(u64, File)> {
    let mut new = io::BufWriter::new(tree.own(NEW_LIST, true)?);
    writeln!(new, "{VERSION}")?;
    let used = read(tree, |bytes, name| {
        new.write_all(line(bytes, name).as_bytes())
    })?;
    let new = new.into_inner().map_err(io::IntoInnerError::into_error)?;
    tree.replace_own(NEW_LIST, LIST)?;
    Ok((used, new))
}

/// Adds up the files of the list that are still there, and shows each.
fn read(tree: &Tree, mut each: impl FnMut(u64, &Name) -> io::Result<()>) -> io::Result<u64> {
    let mut list = BufReader::new(tree.own(LIST, false)?);
    let mut used = 0_u64;
    let mut seen = HashSet::new();
    let mut text = Vec::new();
    loop {
        text.clear();
        let read = io::Read::take(&mut list, LONGEST_LINE).read_until(b'\n', &mut text)?;
        if read == 0 {
            return Ok(used);
        }
        let line = std::str::from_utf8(&text).ok();
        let Some((bytes, name)) = line.and_then(|line| parse(line.trim_end())) else {
            continue;
        };
        // One that went and was fetched again stands there twice.
        if tree.size(&name) == Some(bytes) && seen.insert(digest(&name)) {
            used = used.saturating_add(bytes);
            each(bytes, &name)?;
        }
    }
}

/// Sixteen bytes of a hash: what is known of a million names is small.
fn digest(name: &Name) -> [u8; 16] {
    let hash = Sha256::digest(name.as_str().as_bytes());
    let mut short = [0; 16];
    short.copy_from_slice(&hash[..16]);
    short
}
