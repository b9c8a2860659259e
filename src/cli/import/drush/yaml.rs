//! YAML (1.2.2) as far as site aliases have it: one document of texts, lists and mappings, with anchors and merge keys.
//! Everything has a limit, what anchors stand for too.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::super::assignments::Flaw;
use super::node::{Node, Value};

/// How deep values may lie in one another.
const DEEPEST: usize = 16;

/// Of how many values a file may consist, with those that anchors stand for.
const MOST: usize = 2_000;

/// A list or mapping that has begun.
struct Open {
    line: usize,
    anchor: usize,
    is_list: bool,
    members: Vec<(String, Node)>,
    /// Of a mapping: the key whose value comes next, and its line.
    key: Option<(String, usize)>,
    /// What `<<` brings.
    merged: Vec<Node>,
}

#[derive(Default)]
struct Reader {
    open: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    size: usize,
    root: Option<Node>,
}

/// Reads a file.
pub(super) fn parse(text: &str) -> Result<Node, Flaw> {
    let lines = text.lines().count().max(1);
    let mut reader = Reader::default();
    for event in Parser::new_from_str(text) {
        // Of the reason nothing is repeated: it may have a character of a password.
        let (event, span) = event.map_err(|error| {
            let line = error.marker().line().clamp(1, lines);
            flaw(line, "this cannot be read as YAML")
        })?;
        let line = span.start.line().clamp(1, lines);
        reader.take(event, line)?;
    }
    reader.root.ok_or_else(|| flaw(1, "there is nothing in it"))
}

impl Reader {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), Flaw> {
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                Err(flaw(line, "a second document begins here"))
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                let value = match tag {
                    Some(tag) if !tag.is_yaml_core_schema() => {
                        Value::Unknown("it has a tag that makes something else of it")
                    }
                    _ if plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL") => {
                        Value::Nothing
                    }
                    _ => Value::Text(text.into_owned()),
                };
                self.put(Node::new(line, value), anchor)
            }
            Event::SequenceStart(anchor, _) => self.begin(line, anchor, true),
            Event::MappingStart(anchor, _) => self.begin(line, anchor, false),
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(known) => self.put(known.clone(), 0),
                None => Err(flaw(line, "an alias stands for what it is in itself")),
            },
            _ => Ok(()),
        }
    }

    fn begin(&mut self, line: usize, anchor: usize, is_list: bool) -> Result<(), Flaw> {
        if self.open.len() == DEEPEST {
            return Err(flaw(line, "values lie too deep in one another"));
        }
        if self.open.last().is_some_and(Open::wants_key) {
            return Err(flaw(line, "a key is no text"));
        }
        self.open.push(Open {
            line,
            anchor,
            is_list,
            members: Vec::new(),
            key: None,
            merged: Vec::new(),
        });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Flaw> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let mut node = Node::new(open.line, Value::Members(open.members));
        for merged in &open.merged {
            node = node.with_absent(merged);
        }
        self.put(node, open.anchor)
    }

    /// Puts a value where one is expected: a key, a key's value, a list's next member, or the whole file.
    fn put(&mut self, mut node: Node, anchor: usize) -> Result<(), Flaw> {
        let line = node.line;
        self.size += node.size();
        if self.size > MOST {
            return Err(flaw(line, "there are too many values"));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        if open.is_list {
            let number = open.members.len().to_string();
            open.members.push((number, node));
            return Ok(());
        }
        let Some((key, at)) = open.key.take() else {
            let Value::Text(key) = node.value else {
                return Err(flaw(line, "a key is no text"));
            };
            if open.members.iter().any(|(known, _)| *known == key) {
                return Err(flaw(line, "a key stands here twice"));
            }
            open.key = Some((key, line));
            return Ok(());
        };
        node.line = at;
        if key == "<<" {
            open.merge(node);
        } else {
            open.members.push((key, node));
        }
        Ok(())
    }
}

impl Open {
    fn wants_key(&self) -> bool {
        !self.is_list && self.key.is_none()
    }

    /// Of several mappings, the first that has a key counts.
    fn merge(&mut self, node: Node) {
        let is_list = (node.members().iter())
            .enumerate()
            .all(|(number, (name, _))| *name == number.to_string());
        match node.value {
            Value::Members(members) if is_list => {
                self.merged.extend(members.into_iter().map(|(_, one)| one));
            }
            _ => self.merged.push(node),
        }
    }
}

impl Node {
    /// With the members of another that it does not have itself, as `<<` brings them.
    fn with_absent(mut self, other: &Self) -> Self {
        let absent: Vec<_> = (other.members().iter())
            .filter(|(name, _)| self.get(name).is_none())
            .cloned()
            .collect();
        if let Value::Members(members) = &mut self.value {
            members.extend(absent);
        }
        self
    }
}

fn flaw(line: usize, what: &str) -> Flaw {
    Flaw {
        line,
        what: what.to_owned(),
    }
}
