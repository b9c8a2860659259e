//! `[environments]` of envsyncd.toml and of a job's file, as one forest.

use std::collections::BTreeMap;
use std::ops::Range;

use super::diagnostics::{Diagnostic, did_you_mean};
use super::document::quote;
use super::findings::Findings;
use super::reader::Table;
use crate::policy::{Environment, Environments, Flaw, Rules};

/// What one file says of one environment.
struct Entry {
    rules: Rules,
    /// Whether masks were mentioned at all: silence does not contradict the host.
    says_masks: bool,
    name_span: Range<usize>,
    parent_span: Range<usize>,
    masks_span: Range<usize>,
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
            masks_span: span,
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
            if let Some(required) = masks.boolean() {
                entry.says_masks = true;
                entry.rules.require_masks = required;
            }
        }
        inner.finish();
        entries.insert(Environment::new(name), entry);
    }
    combine(&entries, host, findings)
}

fn combine(
    entries: &BTreeMap<Environment, Entry>,
    host: &Environments,
    findings: &Findings<'_>,
) -> Environments {
    let report = |span: &Range<usize>, key: String, message: String, help: Option<String>| {
        let mut diagnostic: Diagnostic = findings.document.at(span.clone(), message);
        diagnostic.key = Some(key);
        findings.push(span, diagnostic.maybe_help(help));
    };
    let mut all: BTreeMap<Environment, Rules> = host
        .names()
        .filter_map(|name| Some((name.clone(), host.get(name)?.clone())))
        .collect();
    for (name, entry) in entries {
        let Some(known) = all.get(name) else {
            all.insert(name.clone(), entry.rules.clone());
            continue;
        };
        if known.parent != entry.rules.parent {
            let named = |parent: &Option<Environment>| match parent {
                Some(parent) => format!("the parent {}", quote(parent.as_str())),
                None => "no parent".to_owned(),
            };
            report(
                &entry.parent_span,
                format!("environments.{name}.parent"),
                format!(
                    "`{name}` has two parents: {} here, {} in envsyncd.toml",
                    named(&entry.rules.parent),
                    named(&known.parent)
                ),
                Some("a job cannot change the host's environments: leave this one out".to_owned()),
            );
        }
        if known.require_masks && entry.says_masks && !entry.rules.require_masks {
            report(
                &entry.masks_span,
                format!("environments.{name}.require_masks"),
                format!("`{name}` requires masks in envsyncd.toml, and a job cannot turn that off"),
                Some("leave `require_masks` out".to_owned()),
            );
        }
        if let Some(known) = all.get_mut(name) {
            known.require_masks |= entry.rules.require_masks;
        }
    }
    let names: Vec<String> = all.keys().map(ToString::to_string).collect();
    match Environments::new(all) {
        Ok(environments) => environments,
        Err(flaws) => {
            for flaw in flaws {
                match flaw {
                    Flaw::UnknownParent { child, parent } => {
                        let Some(entry) = entries.get(&child) else {
                            continue;
                        };
                        let others = names.iter().map(String::as_str);
                        report(
                            &entry.parent_span,
                            format!("environments.{child}.parent"),
                            format!("environment {} is not defined", quote(parent.as_str())),
                            did_you_mean(
                                parent.as_str(),
                                others.filter(|name| *name != child.as_str()),
                            )
                            .or(Some("define it as [environments.NAME]".to_owned())),
                        );
                    }
                    Flaw::Reserved(name) => {
                        let Some(entry) = entries.get(&name) else {
                            continue;
                        };
                        report(
                            &entry.name_span,
                            format!("environments.{name}"),
                            format!(
                                "`{name}` cannot be an environment's name: it stands for what is pushed into archives"
                            ),
                            Some("call it otherwise".to_owned()),
                        );
                    }
                    Flaw::Cycle(path) => {
                        // The first member that this file defines; the host's own forest has no cycle.
                        let Some((name, entry)) =
                            path.iter().find_map(|name| entries.get_key_value(name))
                        else {
                            continue;
                        };
                        let mut round: Vec<&str> = path.iter().map(Environment::as_str).collect();
                        round.extend(round.first().copied());
                        let span = if entry.rules.parent.is_some() {
                            &entry.parent_span
                        } else {
                            &entry.name_span
                        };
                        report(
                            span,
                            format!("environments.{name}.parent"),
                            format!("the parents go in a circle: {}", round.join(" -> ")),
                            Some("one of them has to be a root, without a parent".to_owned()),
                        );
                    }
                }
            }
            host.clone()
        }
    }
}
