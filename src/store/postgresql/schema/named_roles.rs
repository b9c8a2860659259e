//! Roles that definitions themselves name: of policies and of user mappings.

use super::ownership::Mapped;
use super::roles::Roles;
use super::toc::Entry;
use crate::store::postgresql::sql::quoting::identifier;

impl Roles {
    /// An entry as the target can have it: a policy or a user mapping without roles that are not there. `None`: nothing
    /// of it is left.
    pub(in crate::store::postgresql) fn fitting(
        &self,
        mut entry: Entry,
        mapped: &mut Mapped,
    ) -> Option<Entry> {
        let list = match entry.kind.as_str() {
            "POLICY" => policy_roles(&entry.definition()),
            "USER MAPPING" => {
                let start = "CREATE USER MAPPING FOR ";
                entry
                    .definition()
                    .strip_prefix(start)
                    .and_then(identifier)
                    .map(|(_, rest)| (start.len(), entry.definition().len() - rest.len()))
            }
            _ => None,
        };
        let Some((from, to)) = list else {
            return Some(entry);
        };
        let mut kept = Vec::new();
        let mut lost = false;
        let mut rest = &entry.definition()[from..to];
        while let Some((name, after)) = identifier(rest) {
            let written = &rest[..rest.len() - after.len()];
            if self.has(&name) || written.eq_ignore_ascii_case("public") {
                kept.push(written.to_owned());
            } else {
                lost = true;
                let reason = format!("role \"{name}\" does not exist");
                *mapped.grants.entry(reason).or_default() += 1;
            }
            rest = after.trim_start_matches([',', ' ']);
        }
        if lost {
            mapped.excused.insert(entry.object());
        }
        if kept.is_empty() {
            return None;
        }
        if lost {
            let (head, tail) = (&entry.definition()[..from], &entry.definition()[to..]);
            let definition = format!("{head}{}{tail}", kept.join(", "));
            entry.redefine(&definition);
        }
        Some(entry)
    }
}

/// Where the list of roles stands in `CREATE POLICY name ON table [AS ...] [FOR ...] TO roles ...`.
pub(in crate::store::postgresql) fn policy_roles(definition: &str) -> Option<(usize, usize)> {
    let (_, rest) = identifier(definition.strip_prefix("CREATE POLICY ")?)?;
    let (_, mut rest) = identifier(rest.strip_prefix(" ON ")?)?;
    if let Some(table) = rest.strip_prefix('.') {
        (_, rest) = identifier(table)?;
    }
    // Only words are here until the first parenthesis.
    let words = rest.find('(').unwrap_or(rest.len());
    let at = rest[..words].find(" TO ")? + 4;
    let from = definition.len() - rest.len() + at;
    let mut list = &definition[from..];
    loop {
        let (_, after) = identifier(list)?;
        list = after;
        match list.strip_prefix(", ") {
            Some(more) => list = more,
            None => return Some((from, definition.len() - list.len())),
        }
    }
}

/// Whether an entry's own statement names roles.
pub(in crate::store::postgresql) fn names_roles(entry: &Entry) -> bool {
    entry.kind == "USER MAPPING"
        || (entry.kind == "POLICY" && policy_roles(&entry.definition()).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_roles_of_a_policy_are_found_between_odd_names() {
        for (definition, list) in [
            (
                "CREATE POLICY p ON public.t TO a, \"b\"\"c\" USING (true);\n",
                Some("a, \"b\"\"c\""),
            ),
            (
                "CREATE POLICY \"x TO y\" ON \"a.b\".\" TO z\" FOR SELECT TO r WITH CHECK ((a = ' TO '::text));\n",
                Some("r"),
            ),
            (
                "CREATE POLICY p ON public.t USING ((a = ' TO b'::text));\n",
                None,
            ),
            ("CREATE POLICY p ON t AS RESTRICTIVE TO r;\n", Some("r")),
        ] {
            let found = policy_roles(definition).map(|(from, to)| &definition[from..to]);
            assert_eq!(found, list, "{definition}");
        }
    }
}
