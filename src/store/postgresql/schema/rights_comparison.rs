//! Owners, grants and comments of a source held against those of a target, as far as the target has the roles.

use std::collections::HashSet;

use super::rights::{OWNER, Right};
use super::roles::{DATABASE_OWNER, Roles};

/// The rights of a source, held against those of a target as these come.
pub(in crate::store::postgresql) struct Comparison<'a> {
    source: &'a [Right],
    roles: &'a Roles,
    /// What the target's user was not allowed to do.
    excused: &'a HashSet<(u32, u32)>,
    /// Both servers are of one version, and know the same privileges.
    exact: bool,
    /// Places in the source's list, in the order of names.
    by_name: Vec<u32>,
    /// Those, by their places in `by_name`, that were met on the target.
    met: Vec<bool>,
    found: Vec<String>,
}

impl<'a> Comparison<'a> {
    pub(in crate::store::postgresql) fn new(
        source: &'a [Right],
        roles: &'a Roles,
        excused: &'a HashSet<(u32, u32)>,
        exact: bool,
    ) -> Self {
        let mut by_name: Vec<u32> = (0..source.len() as u32).collect();
        by_name.sort_by_key(|place| &*source[*place as usize].name);
        Self {
            source,
            roles,
            excused,
            exact,
            met: vec![false; by_name.len()],
            by_name,
            found: Vec::new(),
        }
    }

    /// Whether this is to be compared. Where roles are skipped, only what is said of things counts.
    fn counts(&self, right: &Right) -> bool {
        !self.excused.contains(&right.object) && (right.owner.is_none() || self.roles.are_copied())
    }

    /// Holds what one of the target's objects says against what it says on the source.
    pub(in crate::store::postgresql) fn see(&mut self, other: &Right) {
        let source = self.source;
        let name_at = |place: &u32| &*source[*place as usize].name;
        let from = self
            .by_name
            .partition_point(|place| name_at(place) < &*other.name);
        for at in from..self.by_name.len() {
            let right = &source[self.by_name[at] as usize];
            if right.name != other.name {
                break;
            }
            self.met[at] = true;
            if self.counts(right) {
                self.compare(right, other);
            }
        }
    }

    fn lacks(&self, role: &str) -> bool {
        !role.is_empty() && !self.roles.has(role)
    }

    fn compare(&mut self, right: &Right, other: &Right) {
        let owner = right.owner.as_deref().map(|owner| self.roles.heir(owner));
        // Whoever stands in owns the database, too, and so what belongs to whoever owns that.
        let stands_in = owner != right.owner.as_deref();
        let theirs = other.owner.as_deref();
        if theirs != owner && !(stands_in && theirs == Some(DATABASE_OWNER)) {
            self.found.push(format!(
                "{} belongs to {} instead of {}",
                right.name,
                other.owner.as_deref().unwrap_or_default(),
                owner.unwrap_or_default()
            ));
            return;
        }
        if self.exact && other.definition != right.definition {
            self.found.push(format!(
                "{} is `{}` instead of `{}`",
                right.name, other.definition, right.definition
            ));
        }
        if !self.grants_are_same(right, other, owner) {
            self.found
                .push(format!("{} is granted to others", right.name));
        }
    }

    fn grants_are_same(&self, right: &Right, other: &Right, owner: Option<&str>) -> bool {
        let expected = right.translated(owner, self.roles);
        let actual = other.translated(owner, self.roles);
        let lost_some = right.roles().any(|role| self.lacks(role));
        match (&expected, &actual) {
            (None, None) => true,
            // Without those that are not there it may be what a new object grants.
            (Some(expected), None) => {
                let mut others = expected.iter().filter(|grant| grant.to != OWNER);
                let public = others.clone().any(|grant| grant.to.is_empty());
                let merged = right.grants_to(owner)
                    && others.all(|grant| grant.to.is_empty())
                    && public == right.is_public_when_new();
                lost_some || merged
            }
            (None, Some(_)) => false,
            (Some(expected), Some(actual)) if self.exact && !lost_some => expected == actual,
            (Some(expected), Some(actual)) => expected.is_subset(actual),
        }
    }

    /// What is not as it has to be, in words, once all of the target's were seen.
    pub(in crate::store::postgresql) fn differences(mut self) -> Vec<String> {
        let unmet = self.by_name.iter().zip(&self.met);
        let unmet = unmet.filter(|(_, met)| !**met).map(|(place, _)| *place);
        let source = self.source;
        let missing: Vec<String> = unmet
            .map(|place| &source[place as usize])
            .filter(|right| self.counts(right) && self.is_expected(right))
            .map(|right| format!("{} is missing", right.name))
            .collect();
        self.found.extend(missing);
        self.found
    }

    /// Whether something that the target has not should be there; the catalogue tells of what is not bound to roles.
    fn is_expected(&self, right: &Right) -> bool {
        let mut roles = right.roles();
        let expected = if right.owner.is_some() || right.roles().next().is_none() {
            !roles.any(|role| self.lacks(role))
        } else {
            !roles.all(|role| self.lacks(role))
                || right.grants.iter().flatten().any(|g| g.to.is_empty())
        };
        right.bound && expected
    }
}

/// What is not as it has to be, in words, of two lists.
pub(in crate::store::postgresql) fn differences(
    source: &[Right],
    target: &[Right],
    roles: &Roles,
    excused: &HashSet<(u32, u32)>,
    exact: bool,
) -> Vec<String> {
    let mut comparison = Comparison::new(source, roles, excused, exact);
    for right in target {
        comparison.see(right);
    }
    comparison.differences()
}

#[cfg(test)]
mod tests {
    use super::super::rights::Grant;
    use super::*;
    use crate::config::job::Roles as Wanted;
    use crate::store::postgresql::schema::toc::Words;

    fn grant(to: &str, by: &str) -> Grant {
        Grant {
            to: to.to_owned(),
            by: by.to_owned(),
            privilege: "SELECT".to_owned(),
            grantable: false,
        }
    }

    fn table(owner: &str, grants: Option<Vec<Grant>>) -> Right {
        Right {
            object: (1259, 16_400),
            name: "table public.t".into(),
            bound: false,
            owner: Some(Words::default().word(owner)),
            grants: grants.map(Vec::into_boxed_slice),
            definition: "".into(),
        }
    }

    fn policy(roles: &[&str], definition: &str) -> Right {
        Right {
            name: "policy p".into(),
            bound: true,
            owner: None,
            grants: Some(roles.iter().map(|role| grant(role, "")).collect()),
            definition: definition.into(),
            ..table("", None)
        }
    }

    fn found(source: Right, target: Option<Right>, known: &[&str]) -> usize {
        let roles = Roles::of(known, "stand_in", Wanted::Map);
        let target: Vec<Right> = target.into_iter().collect();
        differences(&[source], &target, &roles, &HashSet::new(), true).len()
    }

    #[test]
    fn another_owner_is_a_difference_unless_the_source_s_is_not_there() {
        let all = ["a", "b", "stand_in"];
        assert_eq!(found(table("a", None), Some(table("a", None)), &all), 0);
        assert_eq!(found(table("a", None), Some(table("b", None)), &all), 1);
        let some = ["b", "stand_in"];
        assert_eq!(
            found(table("a", None), Some(table("stand_in", None)), &some),
            0
        );
        assert_eq!(found(table("a", None), Some(table("b", None)), &some), 1);
    }

    #[test]
    fn a_grant_too_many_or_too_few_or_by_another_is_a_difference() {
        let all = ["a", "r", "s"];
        let source = || table("a", Some(vec![grant("a", "a"), grant("r", "a")]));
        let with = |grants| Some(table("a", Some(grants)));
        assert_eq!(found(source(), Some(source()), &all), 0);
        for grants in [
            vec![grant("a", "a")],
            vec![grant("r", "a")],
            vec![grant("a", "a"), grant("r", "s")],
            vec![grant("a", "a"), grant("r", "a"), grant("s", "a")],
            vec![grant("a", "a"), grant("r", "a"), grant("", "a")],
        ] {
            assert_eq!(found(source(), with(grants.clone()), &all), 1, "{grants:?}");
        }
        assert_eq!(found(source(), Some(table("a", None)), &all), 1);
        assert_eq!(
            found(source(), with(vec![grant("a", "a")]), &["a"]),
            0,
            "r is not there"
        );
    }

    #[test]
    fn a_policy_may_be_missing_only_when_all_of_its_roles_are() {
        assert_eq!(found(policy(&["r"], "x"), None, &[]), 0);
        assert_eq!(found(policy(&["r", "s"], "x"), None, &["s"]), 1);
        assert_eq!(found(policy(&[""], "x"), None, &[]), 1);
        assert_eq!(
            found(policy(&["r"], "x"), Some(policy(&["r"], "y")), &["r"]),
            1
        );
    }
}
