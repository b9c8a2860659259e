//! The handle on the state store: every call is one short transaction on the file that has the name.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::errors::{opening, unusable};
use super::open::{Files, Store, anew, read_only, refuse_foreign, refuse_link, rights};
use super::schema::{VERSION, known, migrate, version};
use super::{errors, strict};
use crate::error::{Error, Kind, Result};
use crate::sync::Mutex;
use crate::trust::{self, Rights};

/// A handle on the state store. Clones share one connection.
#[derive(Clone)]
pub struct State {
    inner: Arc<Inner>,
}

struct Inner {
    store: Mutex<Store>,
    file: PathBuf,
    /// Root's in a directory that is somebody else's are no more than theirs.
    rights: Rights,
    /// Whether a file that was taken away is made anew. Who only looks makes nothing.
    makes: bool,
    /// How often it was made anew, or found to be another one.
    renewed: AtomicU64,
}

/// How much of the machine's misfortune a change has to survive.
#[derive(Clone, Copy)]
pub(super) enum Durable {
    /// A killed process.
    Process,
    /// A power cut.
    Power,
}

impl State {
    /// Opens `dir/state.db`; makes the directory and the file where they are missing, and brings an older version up to date.
    ///
    /// Root refuses a directory that others may write, and in one that is somebody else's has no more rights than they.
    pub fn open(dir: &Path) -> Result<Self> {
        let rights = rights(dir)?;
        let _used = rights.used();
        let store = anew(dir, None)?;
        Ok(Self::around(store, &dir.join("state.db"), rights, true))
    }

    /// A state store that is gone with its process, for who has nothing to record.
    pub fn in_memory() -> Result<Self> {
        let file = Path::new(":memory:");
        let mut connection = Connection::open_in_memory().map_err(|e| opening(file, e))?;
        migrate(&mut connection, file)?;
        let store = Store {
            connection,
            files: None,
        };
        Ok(Self::around(store, file, Rights::own(), false))
    }

    /// As [`Self::open`] for those who only look: makes nothing (`None` where there is no history yet), and is content
    /// with a file that it may only read.
    pub fn open_if_there(dir: &Path) -> Result<Option<Self>> {
        let file = dir.join("state.db");
        let rights = rights(dir)?;
        let _used = rights.used();
        refuse_link(&file)?;
        match fs::metadata(&file) {
            Ok(found) if found.len() > 0 => {}
            // Empty: someone is making it this very moment.
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unusable(dir, error)),
        }
        if OpenOptions::new().write(true).open(&file).is_ok() {
            return Ok(Some(Self::around(anew(dir, None)?, &file, rights, false)));
        }
        let connection = read_only(&file).map_err(|e| opening(&file, e))?;
        let version = version(&connection).map_err(|e| opening(&file, e))?;
        if version == 0 {
            return Ok(None);
        }
        known(version, &file)?;
        if version < VERSION {
            return Err(Error::new(
                Kind::State,
                format!(
                    "{} is of the older version {version} and may not be written",
                    file.display()
                ),
            )
            .hint("run this once as the user that envsyncd runs as, or as root"));
        }
        refuse_foreign(&connection, &file)?;
        let store = Store {
            files: Files::of(&file),
            connection,
        };
        Ok(Some(Self::around(store, &file, rights, false)))
    }

    fn around(store: Store, file: &Path, rights: Rights, makes: bool) -> Self {
        Self {
            inner: Arc::new(Inner {
                store: Mutex::new(store),
                file: file.to_owned(),
                rights,
                makes,
                renewed: AtomicU64::new(0),
            }),
        }
    }

    /// The database's file.
    pub fn file(&self) -> &Path {
        &self.inner.file
    }

    /// Whether nobody else can have written what is in it: where this is root, and the directory or the file is somebody else's,
    /// what it says is no reason to do anything with root's rights.
    pub fn is_our_own(&self) -> bool {
        let theirs = |path: &Path| trust::of_directory(path).is_some();
        let file = self.file();
        !self.inner.rights.are_anothers() && !theirs(file) && !file.parent().is_some_and(theirs)
    }

    /// How often the file was removed or replaced under this handle, and opened anew since. What was known from the one
    /// before may not be in it.
    pub fn renewed(&self) -> u64 {
        self.inner.renewed.load(Ordering::SeqCst)
    }

    /// Looks whether the file is still the one that is open, and opens what has taken its place.
    pub fn look(&self) -> Result<()> {
        self.with(|_| Ok(()))
    }

    /// Works on the file that has the name. SQLite itself would go on with one that was removed, and whatever is written there
    /// is lost.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Connection) -> Result<T>) -> Result<T> {
        let (outcome, is_new) = self.locked(work);
        // Not under the lock: what is logged goes into the state store, too.
        if is_new {
            tracing::warn!(
                file = %self.inner.file.display(),
                "the state store was removed or replaced while it was in use: what was recorded before may be lost, and what comes is recorded in the new one"
            );
        }
        strict::tell(&self.inner.file);
        outcome
    }

    /// The second: whether the file was made anew.
    fn locked<T>(&self, work: impl FnOnce(&mut Connection) -> Result<T>) -> (Result<T>, bool) {
        let mut store = self.connection();
        let _used = self.inner.rights.used();
        let is_there = (store.files.as_ref()).is_none_or(|files| files.are_there(&self.inner.file));
        if !is_there && let Err(error) = self.renew(&mut store) {
            return (Err(error), false);
        }
        (work(&mut store.connection), !is_there)
    }

    fn renew(&self, store: &mut Store) -> Result<()> {
        let file = &self.inner.file;
        if !self.inner.makes {
            return Err(Error::new(
                Kind::State,
                format!(
                    "{} was removed or replaced while it was being read",
                    file.display()
                ),
            )
            .hint("run this again"));
        }
        let directory = file.parent().unwrap_or(file);
        *store = anew(directory, store.files.as_ref())?;
        self.inner.renewed.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    pub(super) fn connection(&self) -> MutexGuard<'_, Store> {
        // A panic elsewhere with the lock rolled its transaction back: the connection itself is sound.
        self.inner.store.lock()
    }

    pub(super) fn read<T>(
        &self,
        what: &str,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T> {
        self.with(|connection| {
            connection
                .transaction()
                .and_then(|transaction| work(&transaction))
                .map_err(|error| errors::error(&self.inner.file, what, error))
        })
    }

    /// `work` may fail for reasons of its own; the change is then not made.
    pub(super) fn write<T>(
        &self,
        what: &str,
        durable: Durable,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<Result<T>>,
    ) -> Result<T> {
        self.with(|connection| {
            let change = |connection: &mut Connection| {
                if matches!(durable, Durable::Power) {
                    connection.pragma_update(None, "synchronous", "FULL")?;
                }
                // IMMEDIATE: a reader that becomes a writer half-way could not wait for another writer.
                let transaction =
                    connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                let outcome = work(&transaction)?;
                if outcome.is_ok() {
                    transaction.commit()?;
                }
                Ok(outcome)
            };
            let outcome = change(connection);
            if matches!(durable, Durable::Power) {
                // Harmless where it fails: the connection then goes on syncing more than it has to.
                let _ = connection.pragma_update(None, "synchronous", "NORMAL");
            }
            outcome.map_err(|error| errors::error(&self.inner.file, what, error))?
        })
    }
}
