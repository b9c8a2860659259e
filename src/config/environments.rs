//! `[environments]` of envsyncd.toml and of a job's file, as one forest.

use std::collections::BTreeMap;
use std::ops::Range;

use super::diagnostics::{Diagnostic, did_you_mean};
use super::document::quote;
use super::findings::Findings;
use super::job_name::JobName;
use super::reader::{Table, Value};
use crate::policy::{Environment, Environments, Flaw, RequireMasks, Rules};

/// What one file says of one environment.
struct Entry {
    rules: Rules,
    /// Whether masks were mentioned at all: silence does not contradict the host.
    says_masks: bool,
    name_span: Range<usize>,
    parent_span: Range<usize>,
    masks_span: Range<usize>,
    aliases_span: Range<usize>,
}

/// Reads `[environments]` on top of the host's, which a job may add to and never change. Falls back to the host's
/// where the file makes no sense.
pub(super) fn read(
    table: Option<&Table<'_>>,
    host: &Environments,
    findings: &Findings<'_>,
) -> Environments {
    let Some(table) = table else {
        return host.clone();
    };
    let mut entries = BTreeMap::new();
    for (name, span, value) in table.entries() {
        if name.trim().is_empty() || name.contains(char::is_control) {
            value.report(value.wrong(format!("{} cannot be an environment's name", quote(name))));
            continue;
        }
        let Some(inner) = value.table() else { continue };
        let mut entry = Entry {
            rules: Rules::default(),
            says_masks: false,
            name_span: span.clone(),
            parent_span: span.clone(),
            masks_span: span.clone(),
            aliases_span: span,
        };
        if let Some(parent) = inner.get("parent") {
            entry.parent_span = parent.span();
            if parent.is_list() {
                parent.report(
                    parent
                        .wrong("an environment has one parent")
                        .help("a job may copy from any ancestor: name the nearest one only"),
                );
            } else {
                entry.rules.parent = parent.text().map(Environment::new);
            }
        }
        if let Some(masks) = inner.get("require_masks") {
            entry.masks_span = masks.span();
            if let Some(required) = read_required(&masks) {
                entry.says_masks = true;
                entry.rules.require_masks = required;
            }
        }
        if let Some(aliases) = inner.get("aliases") {
            entry.aliases_span = aliases.span();
            entry.rules.aliases = read_aliases(&aliases);
        }
        inner.finish();
        entries.insert(Environment::new(name), entry);
    }
    combine(&entries, host, findings)
}

/// `require_masks`: true, false, or which columns.
fn read_required(value: &Value<'_>) -> Option<RequireMasks> {
    match value.content.as_str() {
        Some("detected") => return Some(RequireMasks::Detected),
        Some(other) => {
            let wrong = value.wrong(format!("{} is not possible here", quote(other)));
            value.report(wrong.allowed("true | false | \"detected\""));
            return None;
        }
        None => {}
    }
    let required = value.boolean()?;
    Some(if required {
        RequireMasks::Every
    } else {
        RequireMasks::No
    })
}

/// Other names. They are used in URLs.
fn read_aliases(value: &Value<'_>) -> Vec<String> {
    let mut aliases = Vec::new();
    for (member, text) in value.texts().unwrap_or_default() {
        if JobName::parse(text).is_ok() {
            aliases.push(text.to_owned());
        } else {
            let wrong = member.wrong(format!("{} cannot be an alias", quote(text)));
            member.report(wrong.allowed("a letter or digit, then letters, digits, `.`, `_`, `-`"));
        }
    }
    aliases
}

fn combine(
    entries: &BTreeMap<Environment, Entry>,
    host: &Environments,
    findings: &Findings<'_>,
) -> Environments {
    let report = |finding: Finding<'_>| {
        let mut diagnostic: Diagnostic =
            findings.document.at(finding.span.clone(), finding.message);
        diagnostic.key = Some(finding.key);
        findings.push(finding.span, diagnostic.maybe_help(finding.help));
    };
    let mut all: BTreeMap<Environment, Rules> = host
        .names()
        .filter_map(|name| Some((name.clone(), host.get(name)?.clone())))
        .collect();
    for (name, entry) in entries {
        let Some(known) = all.get_mut(name) else {
            all.insert(name.clone(), entry.rules.clone());
            continue;
        };
        differences(name, entry, known)
            .into_iter()
            .for_each(&report);
        known.require_masks = known.require_masks.max(entry.rules.require_masks);
        known.aliases.extend(entry.rules.aliases.iter().cloned());
    }
    let names: Vec<String> = all.keys().map(ToString::to_string).collect();
    match Environments::new(all) {
        Ok(environments) => environments,
        Err(flaws) => {
            let told = flaws.iter().filter_map(|flaw| told(flaw, entries, &names));
            told.for_each(report);
            host.clone()
        }
    }
}

/// What is wrong with an environment, and where.
struct Finding<'e> {
    span: &'e Range<usize>,
    key: String,
    message: String,
    help: Option<String>,
}

/// Where a job's environment is not as the host's.
fn differences<'e>(name: &Environment, entry: &'e Entry, known: &Rules) -> Vec<Finding<'e>> {
    let mut found = Vec::new();
    if known.parent != entry.rules.parent {
        let named = |parent: &Option<Environment>| match parent {
            Some(parent) => format!("the parent {}", quote(parent.as_str())),
            None => "no parent".to_owned(),
        };
        found.push(Finding {
            span: &entry.parent_span,
            key: format!("environments.{name}.parent"),
            message: format!(
                "`{name}` has two parents: {} here, {} in envsyncd.toml",
                named(&entry.rules.parent),
                named(&known.parent)
            ),
            help: Some(
                "a job cannot change the host's environments: leave this one out".to_owned(),
            ),
        });
    }
    if entry.says_masks && entry.rules.require_masks < known.require_masks {
        found.push(Finding {
            span: &entry.masks_span,
            key: format!("environments.{name}.require_masks"),
            message: format!(
                "`{name}` requires masks in envsyncd.toml, and a job cannot turn that off"
            ),
            help: Some("leave `require_masks` out".to_owned()),
        });
    }
    found
}

/// A flaw of the forest at the entry that it is of; `names` are those of all environments.
fn told<'e>(
    flaw: &Flaw,
    entries: &'e BTreeMap<Environment, Entry>,
    names: &[String],
) -> Option<Finding<'e>> {
    Some(match flaw {
        Flaw::UnknownParent { child, parent } => {
            let others = names.iter().map(String::as_str);
            let others = others.filter(|name| *name != child.as_str());
            Finding {
                span: &entries.get(child)?.parent_span,
                key: format!("environments.{child}.parent"),
                message: format!("environment {} is not defined", quote(parent.as_str())),
                help: did_you_mean(parent.as_str(), others)
                    .or(Some("define it as [environments.NAME]".to_owned())),
            }
        }
        Flaw::Reserved(name) => Finding {
            span: &entries.get(name)?.name_span,
            key: format!("environments.{name}"),
            message: format!(
                "`{name}` cannot be an environment's name: it stands for what is pushed into archives"
            ),
            help: Some("call it otherwise".to_owned()),
        },
        Flaw::Taken { name, alias, other } => Finding {
            span: &entries.get(name)?.aliases_span,
            key: format!("environments.{name}.aliases"),
            message: format!("`{alias}` is a name of the environment `{other}` already"),
            help: Some("call it otherwise".to_owned()),
        },
        Flaw::Cycle(path) => {
            // The first member that this file defines; the host's own forest has no cycle.
            let (name, entry) = path.iter().find_map(|name| entries.get_key_value(name))?;
            let mut round: Vec<&str> = path.iter().map(Environment::as_str).collect();
            round.extend(round.first().copied());
            let span = if entry.rules.parent.is_some() {
                &entry.parent_span
            } else {
                &entry.name_span
            };
            Finding {
                span,
                key: format!("environments.{name}.parent"),
                message: format!("the parents go in a circle: {}", round.join(" -> ")),
                help: Some("one of them has to be a root, without a parent".to_owned()),
            }
        }
    })
}
