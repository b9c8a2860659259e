//! Stored values of settings, as `ALTER ... SET name TO` wants them.

use super::quoting::literal;

/// Settings whose stored value is a list of quoted names (`GUC_LIST_QUOTE` in PostgreSQL's source).
const LISTS: [&str; 4] = [
    "search_path",
    "local_preload_libraries",
    "session_preload_libraries",
    "temp_tablespaces",
];

/// The elements of a stored list of names; `None`: it is none.
pub(in crate::store::postgresql) fn elements(stored: &str) -> Option<Vec<String>> {
    let mut found = Vec::new();
    let mut rest = stored.trim_start();
    if rest.is_empty() {
        return Some(found);
    }
    loop {
        let mut element = String::new();
        if let Some(mut inside) = rest.strip_prefix('"') {
            loop {
                let end = inside.find('"')?;
                element.push_str(&inside[..end]);
                inside = &inside[end + 1..];
                match inside.strip_prefix('"') {
                    Some(more) => {
                        element.push('"');
                        inside = more;
                    }
                    None => break,
                }
            }
            rest = inside;
        } else {
            let end = rest
                .find(|c: char| c == ',' || c.is_whitespace())
                .unwrap_or(rest.len());
            if end == 0 {
                return None;
            }
            element.push_str(&rest[..end]);
            rest = &rest[end..];
        }
        found.push(element);
        rest = rest.trim_start();
        if rest.is_empty() {
            return Some(found);
        }
        rest = rest.strip_prefix(',')?.trim_start();
    }
}

/// A stored value as `ALTER ... SET name TO` wants it. An empty name is none that could be quoted (`dumpRoleGUCPrivs` and
/// `makeAlterConfigCommand` in PostgreSQL's source do the same).
pub(in crate::store::postgresql) fn as_sql(name: &str, stored: &str) -> String {
    let is_list = LISTS.iter().any(|list| list.eq_ignore_ascii_case(name));
    match elements(stored).filter(|found| is_list && !found.is_empty()) {
        Some(found) => {
            let all: Vec<String> = found.iter().map(|element| literal(element)).collect();
            all.join(", ")
        }
        None => literal(stored),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_list_is_written_name_by_name_and_an_empty_one_is_empty() {
        for (stored, written) in [
            ("\"\"", "''"),
            ("", "''"),
            ("\"$user\", public", "'$user', 'public'"),
            ("\"a\"\"b, c\", \"\",d", "'a\"b, c', '', 'd'"),
            ("\"broken", "'\"broken'"),
            ("a b", "'a b'"),
        ] {
            assert_eq!(as_sql("search_path", stored), written, "{stored}");
        }
        assert_eq!(as_sql("temp_tablespaces", "\"\""), "''");
        assert_eq!(as_sql("DateStyle", "ISO, DMY"), "'ISO, DMY'");
        assert_eq!(as_sql("app.name", "\"\""), "'\"\"'");
    }
}
