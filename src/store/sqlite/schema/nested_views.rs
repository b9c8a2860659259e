//! Finds views that are nested too deeply for SQLite. Pure.
//!
//! SQLite has no limit on either, prepares a statement without looking whether it was told to stop, and ends the process where its
//! stack ends.

use std::collections::{BTreeMap, BTreeSet};

use super::objects::Object;
use super::tokens::tokens;

/// How many views may lie over one another. Some thousands take 2 MiB of stack.
const DEEPEST: usize = 300;

/// How many views one may be made of, each counted as often as it is used. So many take SQLite some seconds.
const MOST: u64 = 100_000;

/// What is wrong with a view that cannot be opened.
const FLAW: &str = "puts more views into one another than SQLite can take";

/// The views that nobody can open, and what is wrong with them.
pub(in crate::store::sqlite) fn overgrown(objects: &[Object]) -> Vec<(String, &'static str)> {
    let views: BTreeMap<String, &Object> = objects
        .iter()
        .filter(|object| object.kind == "view")
        .map(|view| (view.name.to_ascii_lowercase(), view))
        .collect();
    let used: BTreeMap<&str, Vec<&str>> = views
        .iter()
        .map(|(name, view)| (name.as_str(), uses(view, &views)))
        .collect();
    let mut sizes: BTreeMap<&str, Size> = BTreeMap::new();
    for name in used.keys() {
        measure(name, &used, &mut sizes);
    }
    sizes
        .iter()
        .filter(|(_, size)| size.depth > DEEPEST || size.views > MOST)
        .map(|(name, _)| (views[*name].label(), FLAW))
        .collect()
}

#[derive(Clone, Copy, Default)]
struct Size {
    depth: usize,
    views: u64,
}

/// The views that a definition names, each as often as it does.
fn uses<'a>(view: &Object, views: &'a BTreeMap<String, &Object>) -> Vec<&'a str> {
    tokens(&view.sql)
        .iter()
        .filter_map(|token| views.get_key_value(&token.name()?.to_ascii_lowercase()))
        .map(|(name, _)| name.as_str())
        .filter(|name| !name.eq_ignore_ascii_case(&view.name))
        .collect()
}

/// Without recursion, since that is what is looked for. Of views in a circle SQLite says that they are.
fn measure<'a>(
    first: &'a str,
    used: &BTreeMap<&'a str, Vec<&'a str>>,
    sizes: &mut BTreeMap<&'a str, Size>,
) {
    let mut way = vec![first];
    let mut begun: BTreeSet<&str> = BTreeSet::new();
    while let Some(name) = way.last().copied() {
        if sizes.contains_key(name) {
            way.pop();
            continue;
        }
        let inner = used.get(name).map_or(&[][..], Vec::as_slice);
        if begun.insert(name) {
            way.extend(
                inner
                    .iter()
                    .filter(|inner| !sizes.contains_key(*inner) && !begun.contains(*inner)),
            );
            continue;
        }
        way.pop();
        let mut size = Size { depth: 1, views: 1 };
        for inner in inner.iter().filter_map(|inner| sizes.get(inner)) {
            size.depth = size.depth.max(inner.depth + 1);
            size.views = size.views.saturating_add(inner.views);
        }
        sizes.insert(name, size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(name: &str, sql: &str) -> Object {
        Object {
            kind: "view".to_owned(),
            name: name.to_owned(),
            table: name.to_owned(),
            sql: format!("CREATE VIEW {name} AS SELECT {sql}"),
        }
    }

    #[test]
    fn views_that_lie_too_deep_or_grow_too_far_are_found_and_no_others() {
        let chain = |length: usize| -> Vec<Object> {
            (0..length)
                .map(|at| view(&format!("v{at}"), &format!("a FROM V{}", at as i64 - 1)))
                .collect()
        };
        let doubling = |depth: usize| -> Vec<Object> {
            (0..depth)
                .map(|at| {
                    let inner = at as i64 - 1;
                    view(
                        &format!("v{at}"),
                        &format!("1 FROM \"v{inner}\" x, v{inner} y"),
                    )
                })
                .collect()
        };
        assert_eq!(overgrown(&chain(DEEPEST)), []);
        assert_eq!(overgrown(&chain(50_000)).len(), 50_000 - DEEPEST);
        assert_eq!(overgrown(&doubling(12)), []);
        assert_eq!(overgrown(&doubling(60)).len(), 60 - 16);
        let circle = [
            view("a", "* FROM b"),
            view("b", "* FROM c, a"),
            view("c", "* FROM a, c, t"),
        ];
        assert_eq!(overgrown(&circle), []);
    }
}
