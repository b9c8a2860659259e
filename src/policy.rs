//! Which environment may be copied into which. Pure: no files, no clock, no servers.

use std::collections::BTreeMap;
use std::fmt;

use crate::error::{Error, Kind, Result};

/// An environment's name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Environment(String);

impl Environment {
    /// What stands for the environment of a job that only pushes into archives and names none. No environment may be
    /// called so: then nothing but such a job can have it as its end.
    pub const ARCHIVE: &str = "archive";

    /// See [`Self::ARCHIVE`].
    pub fn archive() -> Self {
        Self::new(Self::ARCHIVE)
    }

    /// Whether it is no environment but stands for archives.
    pub fn is_archive(&self) -> bool {
        self.0 == Self::ARCHIVE
    }

    /// Any non-empty name; whether it exists is asked of [`Environments`].
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which columns have to be masked or passed, before anything is copied into an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum RequireMasks {
    /// None.
    #[default]
    No,
    /// Those that look personal.
    Detected,
    /// All.
    Every,
}

/// What is known of one environment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules {
    /// Where its data comes from; a root has none.
    pub parent: Option<Environment>,
    /// A run into it fails unless masks cover personal data.
    pub require_masks: RequireMasks,
    /// Its other names.
    pub aliases: Vec<String>,
}

/// Why a set of environments makes no sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flaw {
    /// `child`'s parent is not there.
    UnknownParent {
        /// The environment whose parent it is.
        child: Environment,
        /// The name that is not there.
        parent: Environment,
    },
    /// Following parents from here comes back to here.
    Cycle(Vec<Environment>),
    /// One of them has the name that stands for archives.
    Reserved(Environment),
    /// An alias that is the name or the alias of another.
    Taken {
        /// The environment that has the alias.
        name: Environment,
        /// The alias.
        alias: String,
        /// Whose it is already.
        other: Environment,
    },
}

/// All environments: a forest, checked when it is made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Environments(BTreeMap<Environment, Rules>);

impl Environments {
    /// Checks that every parent exists, that no one is their own ancestor, and that no name is a reserved one. (One parent each is what the type says.)
    pub fn new(all: BTreeMap<Environment, Rules>) -> std::result::Result<Self, Vec<Flaw>> {
        let mut flaws = Vec::new();
        for (name, rules) in &all {
            if name.is_archive() {
                flaws.push(Flaw::Reserved(name.clone()));
            }
            for alias in &rules.aliases {
                let taken = |(other, rules): &(&Environment, &Rules)| {
                    *other != name
                        && (other.as_str() == alias
                            || (*other < name && rules.aliases.contains(alias)))
                };
                if let Some((other, _)) = all.iter().find(taken) {
                    flaws.push(Flaw::Taken {
                        name: name.clone(),
                        alias: alias.clone(),
                        other: other.clone(),
                    });
                }
            }
            if let Some(parent) = &rules.parent
                && !all.contains_key(parent)
            {
                flaws.push(Flaw::UnknownParent {
                    child: name.clone(),
                    parent: parent.clone(),
                });
            }
            let mut path = vec![name.clone()];
            let mut next = rules.parent.as_ref();
            while let Some(parent) = next {
                if parent == name {
                    // Each cycle is told once, from its first member by name.
                    if path.iter().all(|member| name <= member) {
                        flaws.push(Flaw::Cycle(path));
                    }
                    break;
                }
                if path.contains(parent) {
                    break;
                }
                path.push(parent.clone());
                next = all.get(parent).and_then(|rules| rules.parent.as_ref());
            }
        }
        if flaws.is_empty() {
            Ok(Self(all))
        } else {
            Err(flaws)
        }
    }

    /// An environment's rules.
    pub fn get(&self, name: &Environment) -> Option<&Rules> {
        self.0.get(name)
    }

    /// The environment with this name or alias.
    pub fn named(&self, text: &str) -> Option<&Environment> {
        let is_it = |(name, rules): &(&Environment, &Rules)| {
            name.as_str() == text || rules.aliases.iter().any(|alias| alias == text)
        };
        self.0.iter().find(is_it).map(|(name, _)| name)
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &Environment> {
        self.0.keys()
    }

    /// Whether `ancestor` is above `descendant`.
    pub fn is_ancestor(&self, ancestor: &Environment, descendant: &Environment) -> bool {
        let mut at = descendant;
        // The forest is free of cycles: `new` saw to it.
        while let Some(parent) = self.0.get(at).and_then(|rules| rules.parent.as_ref()) {
            if parent == ancestor {
                return true;
            }
            at = parent;
        }
        false
    }
}

/// Whether data may flow `from` one environment `to` another. What is only pushed into archives reaches no environment:
/// whoever pulls it is asked ([`of_origin`]).
pub fn permit(environments: &Environments, from: &Environment, to: &Environment) -> Result<()> {
    let refuse = |what: String, hint: &str| Err(Error::new(Kind::Policy, what).hint(hint));
    let undefined = |name: &Environment| {
        refuse(
            format!("environment `{name}` is not defined"),
            "define it under [environments] in envsyncd.toml",
        )
    };
    if environments.get(from).is_none() {
        return undefined(from);
    }
    if to.is_archive() {
        return Ok(());
    }
    let Some(rules) = environments.get(to) else {
        return undefined(to);
    };
    if from == to {
        return refuse(
            format!("`{from}` cannot be copied into itself"),
            "`to` has to be below `from`",
        );
    }
    if rules.parent.is_none() {
        return refuse(
            format!("`{to}` is a root environment and is never a target"),
            "data flows from a root downwards; check whether `from` and `to` are swapped",
        );
    }
    if !environments.is_ancestor(from, to) {
        let swapped = environments.is_ancestor(to, from);
        return refuse(
            format!(
                "`{from}` is not above `{to}`: data flows only from an ancestor to a descendant"
            ),
            if swapped {
                "`from` and `to` look swapped"
            } else {
                "check the environments' parents"
            },
        );
    }
    Ok(())
}

/// Whether a snapshot whose manifest says that it is of `origin` may be pulled by a job `from` one environment `to` another.
pub fn of_origin(
    environments: &Environments,
    origin: &Environment,
    from: &Environment,
    to: &Environment,
) -> Result<()> {
    let refuse = |what: String, hint: String| Err(Error::new(Kind::Policy, what).hint(hint));
    if environments.get(origin).is_none() {
        return refuse(
            format!("the snapshot is of the environment `{origin}`, which is not defined here"),
            format!(
                "name an archive of `{from}`; or define `{origin}` under [environments] in envsyncd.toml"
            ),
        );
    }
    if !environments.is_ancestor(origin, to) {
        return refuse(
            format!(
                "the snapshot is of `{origin}`, which is not above `{to}`: an archive of `{origin}` never lands in `{to}`"
            ),
            format!("name an archive of `{from}`, and find out who writes to this one"),
        );
    }
    if origin != from {
        return refuse(
            format!("the snapshot is of `{origin}`, but the job's `from` is `{from}`"),
            format!(
                "name an archive of `{from}`, or set from = \"{origin}\" if that is what you want"
            ),
        );
    }
    Ok(())
}

/// The identity of a server and of the database that an endpoint names, so that two names for one database are recognized.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The thing itself, if it exists: for PostgreSQL system identifier and database oid, for SQLite device and inode.
    pub thing: Option<String>,
    /// The place that a target's lock is named by; it survives publish: for PostgreSQL system identifier and database
    /// name, for SQLite the directory's device and inode and the file's name.
    pub place: String,
}

/// Refuses a copy of a thing onto itself, whatever it is called on the way there.
pub fn distinct(source: &Identity, target: &Identity) -> Result<()> {
    let same_thing = source.thing.is_some() && source.thing == target.thing;
    if same_thing || source.place == target.place {
        let what = source.thing.as_deref().unwrap_or(&source.place);
        return Err(Error::new(
            Kind::Policy,
            format!("source and target are one and the same ({what})"),
        )
        .hint("check both URLs: two names may lead to one server or file"));
    }
    Ok(())
}

/// Refuses a copy from what the run itself would replace, rename or drop on the target's side: the target's previous, say.
pub fn spared(source: &Identity, displaced: &Identity) -> Result<()> {
    let same_thing = source.thing.is_some() && source.thing == displaced.thing;
    if same_thing || source.place == displaced.place {
        let what = source.thing.as_deref().unwrap_or(&source.place);
        return Err(Error::new(
            Kind::Policy,
            format!(
                "the source is what a run keeps beside the target, and would be replaced ({what})"
            ),
        )
        .hint("to go back to what was live before, use `envsyncd rollback`; or copy from a database that no run writes"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
