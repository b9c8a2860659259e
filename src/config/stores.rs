//! What the configuration has to know of a store: its name, its URLs, and the keys that are its own. No store is known here;
//! whoever loads files brings them ([`Stores`]).

use std::any::Any;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use secrecy::SecretString;
use serde::Serialize;

use super::flaw::Flaw;
use super::own_options::OwnOptions;
use super::url::BucketUrl;

/// A kind of store, by its name in job files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct StoreKind(&'static str);

impl StoreKind {
    /// The kind of this name. Each store has one constant of it.
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// As job files spell it.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// How a store is written in configuration files.
pub trait StoreFormat: Send + Sync {
    /// A task's `kind`.
    fn kind(&self) -> StoreKind;
    /// The schemes of its URLs.
    fn schemes(&self) -> &'static [&'static str];
    /// Schemes that are an archive's elsewhere, and this store's where a task's or an endpoint's `kind` is this one.
    fn schemes_by_kind(&self) -> &'static [&'static str] {
        &[]
    }
    /// The forms of its URLs, for people; the most usual one first.
    fn forms(&self) -> &'static [&'static str];
    /// Reads what stands behind `SCHEME://`; of a store of files, behind `SCHEME:`. Relative files start in `directory`.
    fn read_url(&self, scheme: &str, rest: &str, directory: &Path) -> Result<ParsedUrl, Flaw>;

    /// The keys of `[[task]]` that are for this store alone.
    fn own_keys(&self) -> &'static [OwnKey] {
        &[]
    }
    /// Reads what a task says under its own keys, as far as they have a type of the store's; each flaw with its key.
    fn read_own(&self, _given: &toml::Table) -> Result<OwnOptions, Vec<(&'static str, Flaw)>> {
        Ok(OwnOptions::default())
    }
    /// Whether `mode` is `overlay` where a task does not say.
    fn overlays(&self) -> bool {
        false
    }
    /// Whether what is published in place can be kept as previous, if a task says so.
    fn keeps_in_place(&self) -> bool {
        false
    }
    /// Whether `include` has globs of what is copied, and is the store's own; else it names files with masks.
    fn includes_by_glob(&self) -> bool {
        false
    }
    /// If it is a store of files.
    fn files(&self) -> Option<Files> {
        None
    }
    /// The keys beside a URL of this scheme that say where a secret comes from, beside the password.
    fn secrets(&self, _scheme: &str) -> &'static [&'static str] {
        &[]
    }
}

/// A key of `[[task]]` that is for one store alone.
#[derive(Debug, Clone, Copy)]
pub struct OwnKey {
    /// Its name.
    pub name: &'static str,
    /// Why a push has no use for it, if it has none.
    pub not_in_a_push: Option<&'static str>,
}

/// A store whose databases are files: its URLs need no `//`, and have no password.
#[derive(Debug, Clone, Copy)]
pub struct Files {
    /// The name of a file of it, for the advice to someone who wrote a path instead of a URL: `an SQLite file`.
    pub name: &'static str,
    /// Why there is no password, in a sentence.
    pub no_password: &'static str,
}

/// A URL as its store has read it.
pub struct ParsedUrl {
    /// Without a password, percent-encoded as it was written; files in it are absolute. It is read again as the same.
    pub text: String,
    /// The password that was in it.
    pub password: Option<SecretString>,
    /// One spelling for all that lead to the same database: without user and parameters.
    pub place: String,
    /// The database as it is called on the server; `None`: the store has none with a name.
    pub database: Option<String>,
    /// What is at risk because it gives up TLS.
    pub risk: Option<Risk>,
    /// The bucket that it is in: then what a bucket's URL does not say stands beside it.
    pub bucket: Option<BucketUrl>,
    /// Whether what is there cannot be exchanged in one step, and is not kept where a task does not say so.
    pub has_no_swap: bool,
    /// The store's own type, which it gets back by [`super::EndpointUrl::address`].
    pub address: Arc<dyn Any + Send + Sync>,
}

impl ParsedUrl {
    /// One without a password, whose spelling is the only one that leads there.
    pub fn new(text: String, address: Arc<dyn Any + Send + Sync>) -> Self {
        Self {
            place: text.clone(),
            text,
            password: None,
            database: None,
            risk: None,
            bucket: None,
            has_no_swap: false,
            address,
        }
    }
}

/// What is at risk because a server's URL gives up TLS on the network: what, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Risk {
    /// One sentence.
    pub what: String,
    /// What to do.
    pub help: String,
}

/// A store that files may name and that is not here.
#[derive(Debug, Clone, Copy)]
pub struct Absent {
    /// A task's `kind`.
    pub kind: &'static str,
    /// The schemes of its URLs.
    pub schemes: &'static [&'static str],
    /// Why.
    pub why: Absence,
}

/// Why a store is not here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absence {
    /// It comes later.
    Later,
    /// It was left out of the build.
    LeftOut,
}

/// The stores that there are.
#[derive(Clone, Copy)]
pub struct Stores {
    formats: &'static [&'static dyn StoreFormat],
    absent: &'static [Absent],
}

impl Stores {
    /// These stores, in the order in which people are told of them.
    pub const fn new(
        formats: &'static [&'static dyn StoreFormat],
        absent: &'static [Absent],
    ) -> Self {
        Self { formats, absent }
    }

    /// All that are here.
    pub fn all(self) -> impl Iterator<Item = &'static dyn StoreFormat> {
        self.formats.iter().copied()
    }

    /// The store of a kind.
    pub fn of_kind(self, kind: StoreKind) -> Option<&'static dyn StoreFormat> {
        self.all().find(|store| store.kind() == kind)
    }

    /// The store of a URL's scheme.
    pub fn of_scheme(self, scheme: &str) -> Option<&'static dyn StoreFormat> {
        self.all().find(|store| store.schemes().contains(&scheme))
    }

    /// The store that an archive's scheme is of where this `kind` is said.
    pub fn of_scheme_by_kind(
        self,
        scheme: &str,
        kind: Option<StoreKind>,
    ) -> Option<&'static dyn StoreFormat> {
        let store = self.of_kind(kind?)?;
        store.schemes_by_kind().contains(&scheme).then_some(store)
    }

    /// The kind of this name, of a store that is here or was left out of the build.
    pub fn kind_named(self, name: &str) -> Option<StoreKind> {
        let left_out = self.absent(Absence::LeftOut);
        let left_out = left_out.map(|absent| StoreKind::new(absent.kind));
        self.all()
            .map(StoreFormat::kind)
            .chain(left_out)
            .find(|kind| kind.as_str() == name)
    }

    /// The stores that are absent for this reason.
    pub fn absent(self, why: Absence) -> impl Iterator<Item = &'static Absent> {
        self.absent.iter().filter(move |absent| absent.why == why)
    }

    /// The absent one that has a scheme.
    pub fn absent_with(self, scheme: &str) -> Option<&'static Absent> {
        self.absent
            .iter()
            .find(|absent| absent.schemes.contains(&scheme))
    }

    /// The schemes of all that are here.
    pub fn schemes(self) -> impl Iterator<Item = &'static str> {
        self.all().flat_map(|store| store.schemes().iter().copied())
    }
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.all().map(StoreFormat::kind))
            .finish()
    }
}
