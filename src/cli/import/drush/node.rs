//! What a file of site aliases says, in whichever language: texts under names, and what is not known.

/// A value, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    /// 1-based.
    pub(super) line: usize,
    pub(super) value: Value,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Nothing,
    /// In the file's order. Members of a list have their numbers for names.
    Members(Vec<(String, Node)>),
    /// Something that is computed: why its value is not known.
    Unknown(&'static str),
}

impl Node {
    pub(super) fn new(line: usize, value: Value) -> Self {
        Self { line, value }
    }

    pub(super) fn members(&self) -> &[(String, Self)] {
        match &self.value {
            Value::Members(members) => members,
            _ => &[],
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        let mut members = self.members().iter();
        Some(&members.find(|(known, _)| known == name)?.1)
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Of how many values it consists.
    pub(super) fn size(&self) -> usize {
        1 + (self.members().iter())
            .map(|(_, member)| member.size())
            .sum::<usize>()
    }

    /// Puts a value under names, one below the other. What was no list of members becomes one.
    pub(super) fn set(&mut self, names: &[String], value: Self) {
        let Some((name, rest)) = names.split_first() else {
            *self = value;
            return;
        };
        let line = value.line;
        if !matches!(self.value, Value::Members(_)) {
            self.value = Value::Members(Vec::new());
        }
        let Value::Members(members) = &mut self.value else {
            return;
        };
        if let Some((_, known)) = members.iter_mut().find(|(known, _)| known == name) {
            known.set(rest, value);
            return;
        }
        let mut made = Self::new(line, Value::Nothing);
        made.set(rest, value);
        members.push((name.clone(), made));
    }

    /// The same with what others say where this says nothing.
    pub(super) fn over(&self, others: &Self) -> Self {
        let (Value::Members(own), Value::Members(_)) = (&self.value, &others.value) else {
            return self.clone();
        };
        let mut members = Vec::with_capacity(own.len());
        for (name, member) in own {
            let other = others.get(name);
            members.push((
                name.clone(),
                other.map_or_else(|| member.clone(), |other| member.over(other)),
            ));
        }
        let absent = others.members().iter();
        members.extend(absent.filter(|(name, _)| self.get(name).is_none()).cloned());
        Self::new(self.line, Value::Members(members))
    }
}
