//! A table of contents as JSON, entry by entry, and sets and maps in an order: what is put away twice is the same twice.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::toc::{Binder, Head, Section, Shared, Toc, Words};

/// A set as a list.
pub(super) fn in_order<T: Ord + Serialize, S: Serializer>(
    set: &HashSet<T>,
    to: S,
) -> Result<S::Ok, S::Error> {
    let mut all: Vec<&T> = set.iter().collect();
    all.sort_unstable();
    to.collect_seq(all)
}

/// A map by its keys.
pub(super) fn by_key<K: Ord + Serialize, V: Serialize, S: Serializer>(
    map: &HashMap<K, V>,
    to: S,
) -> Result<S::Ok, S::Error> {
    to.collect_map(map.iter().collect::<BTreeMap<&K, &V>>())
}

/// One entry.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    id: i64,
    object: (u32, u32),
    #[serde(borrow)]
    kind: Cow<'a, str>,
    section: Section,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    schema: Option<Cow<'a, str>>,
    #[serde(borrow)]
    owner: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tablespace: Option<Cow<'a, str>>,
    #[serde(borrow)]
    tag: Cow<'a, str>,
    #[serde(borrow)]
    definition: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    drop: Cow<'a, str>,
    needs: Vec<i64>,
}

impl Serialize for Toc {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.entries.iter().map(|entry| Line {
            id: entry.id(),
            object: entry.object(),
            kind: entry.kind.as_str().into(),
            section: entry.section,
            schema: entry.schema.as_deref().map(Cow::from),
            owner: entry.owner.as_str().into(),
            tablespace: entry.tablespace.as_deref().map(Cow::from),
            tag: entry.tag().into(),
            definition: entry.definition().to_string().into(),
            drop: entry.drop().to_string().into(),
            needs: entry.needs().collect(),
        }))
    }
}

impl<'de> Deserialize<'de> for Toc {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(Entries)
    }
}

/// Binds entries as they come.
struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Toc;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of entries")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Toc, A::Error> {
        let mut words = Words::default();
        let mut binder = Binder::default();
        let mut needs = String::new();
        while let Some(line) = list.next_element::<Line<'de>>()? {
            needs.clear();
            for need in line.needs {
                needs.push_str(&need.unsigned_abs().to_string());
                needs.push(' ');
            }
            let head = Head {
                id: line.id,
                object: line.object,
                shared: Shared {
                    kind: words.word(&line.kind),
                    section: line.section,
                    schema: line.schema.map(|schema| words.word(&schema)),
                    owner: words.word(&line.owner),
                    tablespace: line.tablespace.map(|name| words.word(&name)),
                },
            };
            binder.add(head, [&line.tag, &line.definition, &line.drop, &needs]);
        }
        Ok(binder.bind())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_contents_comes_out_as_it_was_put_away() {
        let mut words = Words::default();
        let mut binder = Binder::default();
        for id in 1..2000 {
            let head = Head {
                id,
                object: (1259, id as u32),
                shared: Shared {
                    kind: words.word("TABLE"),
                    section: Section::Before,
                    schema: (id % 2 == 0).then(|| words.word("größe")),
                    owner: words.word("o\"wner"),
                    tablespace: None,
                },
            };
            let definition = format!("CREATE TABLE \"a\nb\\c{id}\" ();\n\n");
            binder.add(head, ["a\nb", &definition, "", "1 7 "]);
        }
        let toc = binder.bind();
        let json = serde_json::to_string(&toc).unwrap();
        let again: Toc = serde_json::from_str(&json).unwrap();
        assert_eq!(toc.entries.len(), again.entries.len());
        for (one, other) in toc.entries.iter().zip(&again.entries) {
            assert_eq!(
                (one.id(), one.object(), &one.kind),
                (other.id(), other.object(), &other.kind)
            );
            assert_eq!((one.section, &one.schema), (other.section, &other.schema));
            assert_eq!(
                (&one.owner, &one.tablespace),
                (&other.owner, &other.tablespace)
            );
            assert_eq!((one.tag(), &*one.drop()), (other.tag(), &*other.drop()));
            assert_eq!(*one.definition(), *other.definition());
            assert!(other.needs().eq([1, 7]));
        }
        assert_eq!(serde_json::to_string(&again).unwrap(), json);
    }
}
