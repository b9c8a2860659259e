//! `[[file_proxy]]` of envsyncd.toml: directories whose missing files are had from production when somebody asks for them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::document::quote;
use super::http::{Listen, read_listen};
use super::reader::{Table, Value};
use super::{is_here, percent_decoded};
use crate::policy::{Environment, Environments};

/// The variable that has production's URL on amazee.io's platform.
pub(super) const PRODUCTION: &str = "AMAZEEIO_PRODUCTION_URL";

const EXAMPLES: &str = "\"unix:/run/envsyncd/files.sock\" | \"127.0.0.1:8464\" | \"[::1]:8464\"";
const ORIGINS: &str = "\"https://www.example.org/files\"";

/// A directory whose missing files are had from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileProxy {
    /// Where it listens.
    pub listen: Listen,
    /// The directory.
    pub root: PathBuf,
    /// Where the directory is in production: without credentials, query and fragment, and no slash at the end of its path.
    pub origin: Url,
    /// What becomes of a missing file.
    pub mode: Mode,
    /// Whether a missing image style has its original fetched, and is made by the site.
    pub original_first: bool,
    /// Globs over names that are never sent, beside those that always are.
    pub exclude: Vec<String>,
    /// Endings of names that are fetched, in small letters; `None`: all.
    pub types: Option<BTreeSet<String>>,
    /// The authorities that the origin is believed by; `None`: the machine's.
    pub ca_file: Option<PathBuf>,
    /// How much.
    pub limits: Limits,
}

/// What becomes of a missing file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It is fetched, sent while it arrives, and kept.
    Fetch,
    /// Who asks is told to ask the origin.
    Redirect,
}

/// How much is fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a file.
    pub max_size: u64,
    /// Bytes of all files that were fetched and are still there.
    pub max_disk: u64,
    /// Requests a second to the origin.
    pub rate: u32,
    /// Requests at a time.
    pub max_fetches: usize,
    /// Bytes a second; `None`: as fast as it goes.
    pub throttle: Option<u64>,
    /// How long the origin may be silent.
    pub timeout: Duration,
    /// How long one file may take.
    pub max_time: Duration,
    /// How long a name that the origin has not is not asked for again.
    pub negative_ttl: Duration,
    /// How many such names are kept.
    pub negative_names: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_size: 1 << 30,
            max_disk: 10 << 30,
            rate: 20,
            max_fetches: 8,
            throttle: None,
            timeout: Duration::from_secs(20),
            max_time: Duration::from_secs(3600),
            negative_ttl: Duration::from_secs(300),
            negative_names: 10_000,
        }
    }
}

/// What it depends on outside of its tables.
pub(super) struct Surroundings<'a> {
    pub(super) environments: &'a Environments,
    /// This host's own environment.
    pub(super) host: Option<&'a Environment>,
    /// What [`PRODUCTION`] says.
    pub(super) production_url: Option<&'a str>,
}

pub(super) fn read(value: &Value<'_>, around: &Surroundings<'_>) -> Vec<FileProxy> {
    let mut found: Vec<FileProxy> = Vec::new();
    // A single table is no list: `[file_proxy]`.
    if value.table_or_nothing().is_some() {
        let wrong = value.wrong("expected a list of tables, found a table");
        value.report(wrong.help("write [[file_proxy]], with two brackets"));
        return found;
    }
    for member in value.list().into_iter().flatten() {
        refuse_root(&member, around);
        let Some(proxy) = member.table().and_then(|table| read_one(table, around)) else {
            continue;
        };
        if found.iter().any(|other| other.listen == proxy.listen) {
            member.report(member.wrong("another [[file_proxy]] has this `listen`"));
        }
        if found.iter().any(|other| other.root == proxy.root) {
            member.report(member.wrong("another [[file_proxy]] has this `root`"));
        }
        found.push(proxy);
    }
    found
}

/// Production is nobody's proxy.
fn refuse_root(value: &Value<'_>, around: &Surroundings<'_>) {
    let Some(host) = around.host else {
        let wrong = value.wrong(
            "`host_environment` is missing: a file proxy is for an environment that has a parent",
        );
        value.report(wrong.help("add host_environment = \"NAME\" at the top of the file: the environment that this host is in"));
        return;
    };
    match around.environments.get(host) {
        Some(rules) if rules.parent.is_some() => {}
        Some(_) => {
            let what = format!(
                "environment {} has no parent: its files come from nowhere else",
                quote(host.as_str())
            );
            let wrong = value.wrong(what);
            value.report(wrong.help(
                "take [[file_proxy]] out here, or set host_environment to an environment below it",
            ));
        }
        None => {
            let what = format!("environment {} is not defined", quote(host.as_str()));
            let wrong = value.wrong(what);
            value.report(wrong.help("define it and its parent as [environments.NAME]"));
        }
    }
}

fn read_one(table: Table<'_>, around: &Surroundings<'_>) -> Option<FileProxy> {
    let listen = table.required("listen", "where it listens");
    let listen = listen.and_then(|value| {
        let listen = read_listen(&value, EXAMPLES)?;
        if let Listen::Tcp(address) = listen
            && !address.ip().is_loopback()
        {
            let wrong = value.wrong(format!(
                "{address} is not loopback: whoever reaches it is sent files, without TLS"
            ));
            value.report(wrong.warning());
        }
        Some(listen)
    });
    let root = table.required("root", "the directory whose files it serves");
    let root = root.and_then(|value| value.path());
    let origin = read_origin(&table, around);
    let modes = [("fetch", Mode::Fetch), ("redirect", Mode::Redirect)];
    let mode = table.choice("mode", &modes, Mode::Fetch);
    let original_first = table.get("original_first");
    if let Some(value) = &original_first
        && mode == Some(Mode::Redirect)
    {
        value.report(value.wrong("only `mode = \"fetch\"` can fetch originals"));
    }
    let original_first = original_first.and_then(|value| value.boolean());
    let exclude = table.get("exclude").and_then(|value| read_exclude(&value));
    let types = table.get("types").and_then(|value| read_types(&value));
    let ca_file = table.get("ca_file").and_then(|value| value.path());
    let limits = read_limits(&table);
    table.finish();
    Some(FileProxy {
        listen: listen?,
        root: root?,
        origin: origin?,
        mode: mode?,
        original_first: original_first.unwrap_or_default(),
        exclude: exclude.unwrap_or_default(),
        types,
        ca_file,
        limits,
    })
}

fn read_origin(table: &Table<'_>, around: &Surroundings<'_>) -> Option<Url> {
    let path = table.get("path");
    let Some(value) = table.get("origin") else {
        let Some(text) = around.production_url.filter(|text| !text.trim().is_empty()) else {
            let what = "production's URL of this directory; or set the variable AMAZEEIO_PRODUCTION_URL, and `path` here";
            table.required("origin", what);
            return None;
        };
        let Some(path) = path else {
            let what = format!("where the directory is under {PRODUCTION}");
            table.required("path", &what);
            return None;
        };
        let mut url = match origin_of(text) {
            Ok(url) => url,
            Err(why) => {
                path.report(path.wrong(format!("variable {PRODUCTION}: {why}")));
                return None;
            }
        };
        let text = path.text()?;
        if !text.starts_with('/') || text.contains(['?', '#', '\\']) {
            path.report(
                path.wrong(format!("{} is no path of a URL", quote(text)))
                    .allowed("\"/sites/default/files\""),
            );
            return None;
        }
        let whole = format!("{}{text}", url.path().trim_end_matches('/'));
        url.set_path(whole.trim_end_matches('/'));
        warn_if_plain(&path, &url);
        return Some(url);
    };
    if let Some(path) = path {
        let wrong = path.wrong(format!(
            "only an origin from {PRODUCTION} has a `path` of its own"
        ));
        path.report(wrong.help("write it into `origin`"));
    }
    match origin_of(value.text()?) {
        Ok(url) => {
            warn_if_plain(&value, &url);
            Some(url)
        }
        Err(why) => {
            value.report(value.wrong(why).allowed(ORIGINS));
            None
        }
    }
}

fn warn_if_plain(value: &Value<'_>, url: &Url) {
    if url.scheme() == "http" && !url.host_str().is_some_and(is_here) {
        let wrong = value
            .wrong("the origin is asked without TLS: who is on the way can change what is kept");
        value.report(wrong.warning().help("write https://"));
    }
}

/// The URL of a directory.
fn origin_of(text: &str) -> Result<Url, String> {
    let mut url = Url::parse(text.trim()).map_err(|error| format!("this is no URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err("an origin begins with https:// and a host".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "an origin is asked without credentials: files that need some are not public"
                .to_owned(),
        );
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("an origin has neither a query nor a fragment".to_owned());
    }
    if percent_decoded(url.path()).is_none() {
        return Err("a % in it is no escape".to_owned());
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

fn read_exclude(value: &Value<'_>) -> Option<Vec<String>> {
    let mut globs = Vec::new();
    for (member, text) in value.texts()? {
        if let Err(why) = compiles(text) {
            member.report(member.wrong(why));
        }
        globs.push(text.to_owned());
    }
    Some(globs)
}

#[cfg(any(feature = "file_proxy", feature = "files"))]
fn compiles(text: &str) -> Result<(), String> {
    let globs = super::globs::Globs::of_any_case([text]);
    globs.map(drop).map_err(|error| error.sentence())
}

#[cfg(not(any(feature = "file_proxy", feature = "files")))]
#[expect(
    clippy::unnecessary_wraps,
    reason = "as where globs can be held against paths"
)]
fn compiles(_: &str) -> Result<(), String> {
    Ok(())
}

fn read_types(value: &Value<'_>) -> Option<BTreeSet<String>> {
    let mut types = BTreeSet::new();
    let texts = value.texts()?;
    if texts.is_empty() {
        value.report(value.wrong("without a type nothing would be fetched"));
    }
    for (member, text) in texts {
        let bare = text.strip_prefix('.').unwrap_or(text);
        if bare.is_empty() || !bare.chars().all(|c| c.is_ascii_alphanumeric()) {
            member.report(
                member
                    .wrong(format!("{} is no ending of a name", quote(text)))
                    .allowed("\"jpg\", \"png\", \"pdf\", ..."),
            );
        }
        types.insert(bare.to_ascii_lowercase());
    }
    Some(types)
}

fn read_limits(table: &Table<'_>) -> Limits {
    let mut limits = Limits::default();
    let set = |place: &mut u64, read: Option<u64>| {
        if let Some(value) = read {
            *place = value;
        }
    };
    let size = |key| table.get(key).and_then(|value| value.size(1 << 20));
    set(&mut limits.max_size, size("max_size"));
    set(&mut limits.max_disk, size("max_disk"));
    if let Some(rate) = table
        .get("rate")
        .and_then(|value| value.integer(1..=10_000))
    {
        limits.rate = u32::try_from(rate).unwrap_or(limits.rate);
    }
    let count = |key, most| {
        let value = table.get(key).and_then(|value| value.integer(1..=most));
        value.and_then(|value| usize::try_from(value).ok())
    };
    if let Some(count) = count("max_fetches", 256) {
        limits.max_fetches = count;
    }
    if let Some(count) = count("negative_names", 1_000_000) {
        limits.negative_names = count;
    }
    limits.throttle = table.get("throttle").and_then(|value| value.rate());
    let time = |place: &mut Duration, key| {
        if let Some(length) = table.get(key).and_then(|value| value.duration()) {
            *place = length;
        }
    };
    time(&mut limits.timeout, "timeout");
    time(&mut limits.max_time, "max_time");
    time(&mut limits.negative_ttl, "negative_ttl");
    limits
}
