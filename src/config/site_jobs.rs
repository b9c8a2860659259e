//! Jobs that follow from a site, without a file.

use std::borrow::Cow;
use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostics::did_you_mean;
use super::document::quote;
use super::findings::Findings;
use super::job::{Job, PointInTime, Settings, Task};
use super::job_file::read_hooks;
use super::job_name::JobName;
use super::reader::{Table, Value};
use super::side::Side;
use super::sites::{CONTENTS, FILES, OWN_KEYS, Site, environment};
use super::task;
use super::way::Way;
use crate::error::{Error, Kind, Result};
use crate::policy::{self, Environment, Environments};

/// Data that a site will be able to have.
const LATER: &[&str] = &["index"];

impl Settings {
    /// The site of this name.
    pub fn site(&self, name: &str) -> Result<&Site> {
        self.sites.get(name).ok_or_else(|| {
            let names = self.sites.keys().map(String::as_str);
            let error = Error::new(Kind::Unknown, format!("there is no site `{name}`"));
            match did_you_mean(name, names) {
                Some(near) => error.hint(near),
                None => error.hint("define it under [sites.NAME] in envsyncd.toml"),
            }
        })
    }

    /// An environment's own name, where it may be called by an alias.
    pub fn canonical(&self, environment: &str) -> String {
        let named = self.environments.named(environment);
        named.map_or(environment, Environment::as_str).to_owned()
    }

    /// The job that copies what a site has from one environment into another. Environments may be called by an alias.
    pub fn site_job(&self, site: &str, from: &str, to: &str) -> Result<Job> {
        let found = self.site(site)?;
        let environment = |name: &str| match self.environments.named(name) {
            Some(environment) => environment.clone(),
            // Policy says that it is not defined.
            None => Environment::new(name),
        };
        let (from, to) = (environment(from), environment(to));
        if to.is_archive() {
            return Err(Error::new(Kind::Policy, "`archive` is no environment"));
        }
        policy::permit(&self.environments, &from, &to)?;
        let has = found.environments();
        if let Some(lacking) = [&from, &to].into_iter().find(|it| !has.contains(it)) {
            let what = format!("site `{site}` has nothing in `{lacking}`");
            return Err(Error::new(Kind::Config, what).hint(format!(
                "write it under [sites.{site}] in envsyncd.toml: {lacking} = {{ database = \"ENDPOINT\" }}"
            )));
        }
        let tasks = self
            .site_tasks
            .get(&(site.to_owned(), from.clone(), to.clone()));
        let name = JobName::of_site(site, from.as_str(), to.as_str());
        let (Some(tasks), Some(name), Some(file)) = (tasks, name, &self.file) else {
            let what = format!("site `{site}` has nothing in both `{from}` and `{to}`");
            return Err(Error::new(Kind::Config, what));
        };
        Ok(Job {
            name,
            file: file.clone(),
            description: format!("What {site} has, on demand"),
            site: Some(site.to_owned()),
            from,
            to,
            environments: self.environments.clone(),
            schedule: None,
            timezone: None,
            timeout: None,
            jitter: None,
            catch_up: false,
            point_in_time: PointInTime::Job,
            tasks: tasks.clone(),
            left_out: Vec::new(),
            hooks: self.site_hooks.get(site).cloned().unwrap_or_default(),
        })
    }

    /// The job of this name, if it is one that follows from a site.
    pub fn site_job_named(&self, name: &str) -> Option<Result<Job>> {
        let name = JobName::known(name).ok()?;
        let (site, from, to) = name.site()?;
        Some(self.site_job(site, from, to))
    }
}

/// Where one kind of a site's data is, environment by environment, as it is written.
type Places<'a> = BTreeMap<Environment, &'a Spanned<DeValue<'a>>>;

/// Reads what sites have in each environment, and how it is copied. All else of the settings has been read.
pub(super) fn read_tasks(table: &Table<'_>, settings: &mut Settings, findings: &Findings<'_>) {
    for (name, _, value) in table.entries() {
        let Some(inner) = value.table_or_nothing() else {
            continue;
        };
        if !settings.sites.contains_key(name) {
            continue;
        }
        let places = read_places(&inner, &settings.environments);
        let options = read_options(&inner);
        for kind in CONTENTS {
            let places = &places[kind];
            let tasks = tasks(kind, options.get(kind), places, settings, findings);
            for ((from, to), task) in tasks {
                let key = (name.to_owned(), from, to);
                settings.site_tasks.entry(key).or_default().push(task);
            }
        }
        if let Some(hooks) = inner.get("hooks").and_then(|value| value.table()) {
            let hooks = read_hooks(hooks);
            settings.site_hooks.insert(name.to_owned(), hooks);
        }
        if let Some(site) = settings.sites.get_mut(name) {
            let there = places.into_iter().filter(|(_, places)| !places.is_empty());
            site.contents = there
                .map(|(kind, places)| (kind, places.into_keys().collect()))
                .collect();
        }
    }
}

/// All keys of a site but its own are environments.
fn read_places<'a>(
    site: &Table<'a>,
    environments: &Environments,
) -> BTreeMap<&'static str, Places<'a>> {
    let mut places: BTreeMap<_, _> = CONTENTS.map(|kind| (kind, Places::new())).into();
    for (name, _, value) in site.entries() {
        if OWN_KEYS.contains(&name) {
            continue;
        }
        let Some(environment) = environment(name, &value, environments) else {
            continue;
        };
        if JobName::of_site("a", "b", environment.as_str()).is_none() {
            let what = format!("{} cannot be in the name of a site's job", quote(name));
            value.report(value.wrong(what).allowed(
                "environments whose names are letters, digits, `.`, `_`, `-`; 64 at the most",
            ));
            continue;
        }
        let Some(inner) = value.table() else { continue };
        refuse_later(&inner);
        for (kind, places) in &mut places {
            let _ = inner.get(kind);
            if let Some(place) = inner.keys.get(*kind) {
                places.insert(environment.clone(), place);
            }
        }
        inner.finish();
    }
    places
}

/// `[sites.NAME.tasks.KIND]`, by the kinds.
fn read_options<'a>(site: &Table<'a>) -> BTreeMap<&'static str, Table<'a>> {
    let Some(tasks) = site.get("tasks").and_then(|value| value.table()) else {
        return BTreeMap::new();
    };
    refuse_later(&tasks);
    let mut found = BTreeMap::new();
    for kind in CONTENTS {
        let Some(options) = tasks.get(kind).and_then(|value| value.table()) else {
            continue;
        };
        for (key, _, value) in options.entries() {
            if matches!(key, "source" | "target" | "name") {
                let wrong = value.wrong(format!("`{key}` does not belong here"));
                value.report(wrong.help("a site's environments say what is copied"));
            }
        }
        found.insert(kind, options);
    }
    tasks.finish();
    found
}

fn refuse_later(table: &Table<'_>) {
    for key in LATER {
        if let Some(value) = table.get(key) {
            value.report(value.wrong(format!("`{key}` is not supported yet")));
        }
    }
}

/// The task for each pair of environments that policy allows.
fn tasks(
    content: &'static str,
    options: Option<&Table<'_>>,
    places: &Places<'_>,
    settings: &Settings,
    findings: &Findings<'_>,
) -> BTreeMap<(Environment, Environment), Task> {
    let mut tasks = BTreeMap::new();
    for (from, source) in places {
        for (to, target) in places {
            if policy::permit(&settings.environments, from, to).is_err() {
                continue;
            }
            let side = |way, environment| Side {
                way,
                environment: Some(environment),
                named: &settings.endpoints,
                directory: findings.document.directory().to_owned(),
                stores: settings.stores,
                has_mask_key: settings.mask_key.is_some(),
                sites: &settings.sites,
            };
            let (from_side, to_side) = (side(Way::From, from), side(Way::To, to));
            let Some(kind) = kind(content, source, &from_side, findings) else {
                continue;
            };
            let empty = DeTable::new();
            let keys = options.map_or(&empty, |options| options.keys);
            let keys = whole(content, keys, source, target, kind);
            let (path, span) = options.map_or_else(
                || ("sites".to_owned(), source.span()),
                |options| (options.path.clone(), options.span()),
            );
            let value = DeValue::Table(keys);
            let value = Value {
                findings,
                content: &value,
                span,
                path,
            };
            if let Some(task) = value
                .table()
                .and_then(|table| task::read_one(&value, table, &from_side, &to_side))
            {
                tasks.insert((from.clone(), to.clone()), task);
            }
        }
    }
    tasks
}

/// The kind of store that a site's data is in; what is wrong with it is said.
fn kind(
    content: &str,
    place: &Spanned<DeValue<'_>>,
    side: &Side<'_>,
    findings: &Findings<'_>,
) -> Option<&'static str> {
    let value = Value {
        findings,
        content: place.get_ref(),
        span: place.span(),
        path: "sites".to_owned(),
    };
    let endpoint = side.read(&value, None)?;
    let Some(kind) = endpoint.url.kind() else {
        value.report(
            value.wrong("a site's database is a server's or a file's, and this is an archive"),
        );
        return None;
    };
    if (content == FILES) != (kind.as_str() == FILES) {
        let what = format!("a site's {content} cannot be of the kind `{kind}`");
        value.report(value.wrong(what));
        return None;
    }
    Some(kind.as_str())
}

/// A task's keys: those of the site's options, and where from and where to.
fn whole<'a>(
    content: &'static str,
    options: &DeTable<'a>,
    source: &Spanned<DeValue<'a>>,
    target: &Spanned<DeValue<'a>>,
    kind: &'static str,
) -> DeTable<'a> {
    let mut keys = options.clone();
    let mut set = |key: &'static str, value: Spanned<DeValue<'a>>| {
        keys.insert(Spanned::new(value.span(), Cow::Borrowed(key)), value);
    };
    set("source", source.clone());
    set("target", target.clone());
    set(
        "name",
        Spanned::new(source.span(), DeValue::String(Cow::Borrowed(content))),
    );
    if !options.contains_key("kind") {
        set(
            "kind",
            Spanned::new(source.span(), DeValue::String(Cow::Borrowed(kind))),
        );
    }
    keys
}
