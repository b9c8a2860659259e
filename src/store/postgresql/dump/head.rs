//! A dump's head, byte by byte: what is in front of its rows, read so that it can be written again with other entries.
//!
//! `pg_restore` reads what to leave out from a file, and owners as they are. Neither is of use for a dump that is on its
//! way; so the head itself is changed, and all behind it stays. The layout is that of `WriteHead` and `WriteToc` in
//! PostgreSQL's `src/bin/pg_dump/pg_backup_archiver.c`, versions 1.12 to 1.16. Texts are in the dump's own encoding.

/// What is in front of the rows.
#[derive(Debug, Clone)]
pub(in crate::store::postgresql) struct Head {
    /// The second number of its version.
    pub(super) minor: u8,
    revision: u8,
    int: usize,
    offset: usize,
    /// The compression's method, or before 1.15 its level.
    pub(super) compression: i64,
    made: [i64; 7],
    database: Text,
    /// The version of the server that was dumped.
    pub(super) server: Text,
    /// The version of `pg_dump`.
    pub(super) tool: Text,
    pub(super) entries: Vec<Entry>,
}

/// A text as it lies there; `None` is another one than an empty one.
pub(in crate::store::postgresql) type Text = Option<Vec<u8>>;

/// One definition, or the place of a table's rows.
#[derive(Debug, Clone)]
pub(in crate::store::postgresql) struct Entry {
    pub(super) id: i64,
    has_dumper: i64,
    catalogue: Text,
    oid: Text,
    pub(super) tag: Text,
    pub(super) kind: Text,
    pub(super) section: i64,
    pub(super) definition: Text,
    pub(super) drop: Text,
    pub(super) copy: Text,
    pub(super) schema: Text,
    pub(super) tablespace: Text,
    access_method: Text,
    relkind: i64,
    pub(super) owner: Text,
    with_oids: Text,
    needs: Vec<Vec<u8>>,
    state: u8,
    place: Vec<u8>,
}

/// Why a head cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It goes on.
    Short,
    /// It is none.
    Wrong(String),
}

/// A place of rows that is not known: whoever reads looks for them (`K_OFFSET_POS_NOT_SET`).
const NOT_SET: u8 = 1;

/// One that is (`K_OFFSET_POS_SET`).
const SET: u8 = 2;

/// What has no rows at all (`K_OFFSET_NO_DATA`).
const NO_DATA: u8 = 3;

/// A text, whatever its encoding, for comparing and for people.
pub(in crate::store::postgresql) fn shown(text: &Text) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(text.as_deref().unwrap_or_default())
}

impl Entry {
    /// The catalogue it comes from, and its oid there; (0, 0) for what has none.
    pub(super) fn object(&self) -> (u32, u32) {
        let number = |text: &Text| shown(text).parse().unwrap_or(0);
        (number(&self.catalogue), number(&self.oid))
    }

    /// The numbers of what has to be there first.
    pub(super) fn needs(&self) -> impl Iterator<Item = i64> + '_ {
        let numbers = self.needs.iter();
        numbers.filter_map(|number| std::str::from_utf8(number).ok()?.parse().ok())
    }

    /// `TABLE DATA public.users`.
    pub(super) fn label(&self) -> String {
        let kind = shown(&self.kind).to_lowercase();
        match shown(&self.schema).as_ref() {
            "" => format!("{kind} {}", shown(&self.tag)),
            schema => format!("{kind} {schema}.{}", shown(&self.tag)),
        }
    }
}

/// What an entry keeps behind the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    Rows,
    LargeObjects,
}

impl Entry {
    /// What it keeps behind the head, if it keeps anything there.
    pub(super) fn kept(&self) -> Option<Kept> {
        if self.has_dumper == 0 || self.state == NO_DATA {
            return None;
        }
        match self.kind.as_deref() {
            Some(b"TABLE DATA") => Some(Kept::Rows),
            Some(b"BLOBS") => Some(Kept::LargeObjects),
            _ => None,
        }
    }

    /// Where in the file its rows are, if it says so.
    pub(super) fn offset(&self) -> Option<u64> {
        let bytes = self.place.iter().rev();
        let place = bytes.fold(0_u64, |place, byte| place << 8 | u64::from(*byte));
        (self.state == SET).then_some(place)
    }
}

impl Head {
    /// The encoding that it and its rows are in.
    pub(super) fn encoding(&self) -> Option<String> {
        let mut entries = self.entries.iter();
        let entry = entries.find(|entry| entry.kind.as_deref() == Some(b"ENCODING"))?;
        let definition = shown(&entry.definition);
        let (_, quoted) = definition.split_once('\'')?;
        let (name, _) = quoted.split_once('\'')?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        (!name.is_empty() && name.chars().all(is_name)).then(|| name.to_owned())
    }

    /// Takes out what keeps rows behind the head, and how these are compressed: not every `pg_restore` knows all ways.
    pub(super) fn leave_rows_out(&mut self) {
        self.compression = 0;
        self.entries.retain(|entry| {
            let kind = entry.kind.as_deref();
            entry.has_dumper == 0 && !matches!(kind, Some(b"TABLE DATA" | b"BLOBS"))
        });
    }

    /// The extensions that it makes.
    pub(super) fn extensions(&self) -> impl Iterator<Item = &str> {
        let made = self
            .entries
            .iter()
            .filter(|entry| entry.kind.as_deref() == Some(b"EXTENSION"));
        made.filter_map(|entry| std::str::from_utf8(entry.tag.as_deref()?).ok())
    }

    /// Reads it at the start of these bytes; with it comes its length. Bytes that end too early are [`Trouble::Short`].
    pub(super) fn parse(bytes: &[u8]) -> Result<(Self, usize), Trouble> {
        let mut from = Reader {
            bytes,
            at: 0,
            int: 0,
        };
        if from.bytes(5)? != b"PGDMP" {
            return Err(Trouble::Wrong("it is not an archive of pg_dump".to_owned()));
        }
        let (major, minor, revision) = (from.byte()?, from.byte()?, from.byte()?);
        if !(major == 1 && (12..=16).contains(&minor)) {
            return Err(Trouble::Wrong(format!(
                "its format is {major}.{minor}, which is not known"
            )));
        }
        let (int, offset) = (usize::from(from.byte()?), usize::from(from.byte()?));
        if !(1..=8).contains(&int) || !(1..=8).contains(&offset) {
            return Err(Trouble::Wrong("its numbers have an odd size".to_owned()));
        }
        from.int = int;
        if from.byte()? != 1 {
            return Err(Trouble::Wrong("it is not in the custom format".to_owned()));
        }
        let compression = if minor >= 15 {
            i64::from(from.byte()?)
        } else {
            from.number()?
        };
        let mut made = [0; 7];
        for part in &mut made {
            *part = from.number()?;
        }
        let (database, server, tool) = (from.text()?, from.text()?, from.text()?);
        let count = from.number()?;
        let mut entries = Vec::new();
        for _ in 0..count {
            entries.push(from.entry(minor, offset)?);
        }
        let head = Self {
            minor,
            revision,
            int,
            offset,
            compression,
            made,
            database,
            server,
            tool,
            entries,
        };
        Ok((head, from.at))
    }

    /// Writes it, as it is now.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut to = Writer {
            bytes: b"PGDMP\x01".to_vec(),
            int: self.int,
        };
        to.bytes.extend([self.minor, self.revision]);
        to.bytes.extend([self.int as u8, self.offset as u8, 1]);
        if self.minor >= 15 {
            to.bytes.push(self.compression as u8);
        } else {
            to.number(self.compression);
        }
        for part in self.made {
            to.number(part);
        }
        for text in [&self.database, &self.server, &self.tool] {
            to.text(text.as_deref());
        }
        to.number(self.entries.len() as i64);
        for entry in &self.entries {
            to.entry(entry, self.minor);
        }
        to.bytes
    }

    /// The major version of the server that was dumped, if it says so.
    pub(super) fn server_major(&self) -> Option<u32> {
        leading_number(&shown(&self.server))
    }

    /// The entries of tables' rows, with the tables.
    pub(super) fn tables(&self) -> impl Iterator<Item = (i64, String)> + '_ {
        let rows = self.entries.iter();
        rows.filter(|entry| entry.kind.as_deref() == Some(b"TABLE DATA"))
            .map(|entry| {
                let label = format!("{}.{}", shown(&entry.schema), shown(&entry.tag));
                (entry.id, label)
            })
    }

    /// How many bytes its numbers have, but for the sign.
    pub(super) fn int(&self) -> usize {
        self.int
    }
}

fn leading_number(text: &str) -> Option<u32> {
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    int: usize,
}

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], Trouble> {
        let end = self.at.checked_add(count).ok_or(Trouble::Short)?;
        let found = self.bytes.get(self.at..end).ok_or(Trouble::Short)?;
        self.at = end;
        Ok(found)
    }

    fn byte(&mut self) -> Result<u8, Trouble> {
        Ok(self.bytes(1)?[0])
    }

    /// A sign, then the magnitude, lowest byte first.
    fn number(&mut self) -> Result<i64, Trouble> {
        let read = self.bytes(self.int + 1)?;
        Ok(number(read))
    }

    fn text(&mut self) -> Result<Text, Trouble> {
        let length = self.number()?;
        let Ok(length) = usize::try_from(length) else {
            return Ok(None);
        };
        // Longer than any definition: a damaged length must not have us wait for the rest of it.
        if length > 1 << 30 {
            return Err(Trouble::Wrong("a text in it has no end".to_owned()));
        }
        Ok(Some(self.bytes(length)?.to_vec()))
    }

    fn entry(&mut self, minor: u8, offset: usize) -> Result<Entry, Trouble> {
        let id = self.number()?;
        let has_dumper = self.number()?;
        let (catalogue, oid, tag, kind) = (self.text()?, self.text()?, self.text()?, self.text()?);
        let section = self.number()?;
        let (definition, drop, copy) = (self.text()?, self.text()?, self.text()?);
        let (schema, tablespace) = (self.text()?, self.text()?);
        let access_method = if minor >= 14 { self.text()? } else { None };
        let relkind = if minor >= 16 { self.number()? } else { 0 };
        let (owner, with_oids) = (self.text()?, self.text()?);
        let mut needs = Vec::new();
        while let Some(need) = self.text()? {
            needs.push(need);
        }
        Ok(Entry {
            id,
            has_dumper,
            catalogue,
            oid,
            tag,
            kind,
            section,
            definition,
            drop,
            copy,
            schema,
            tablespace,
            access_method,
            relkind,
            owner,
            with_oids,
            needs,
            state: self.byte()?,
            place: self.bytes(offset)?.to_vec(),
        })
    }
}

/// A number as archives have it: a sign, then the magnitude, lowest byte first.
pub(in crate::store::postgresql) fn number(read: &[u8]) -> i64 {
    let mut value: i64 = 0;
    for (place, byte) in read[1..].iter().enumerate() {
        value |= i64::from(*byte) << (8 * place);
    }
    if read[0] == 0 {
        value
    } else {
        value.wrapping_neg()
    }
}

struct Writer {
    bytes: Vec<u8>,
    int: usize,
}

impl Writer {
    fn number(&mut self, number: i64) {
        self.bytes.push(u8::from(number < 0));
        let magnitude = number.unsigned_abs().to_le_bytes();
        self.bytes.extend(&magnitude[..self.int]);
    }

    fn text(&mut self, text: Option<&[u8]>) {
        match text {
            Some(text) => {
                self.number(text.len() as i64);
                self.bytes.extend(text);
            }
            None => self.number(-1),
        }
    }

    fn entry(&mut self, entry: &Entry, minor: u8) {
        self.number(entry.id);
        self.number(entry.has_dumper);
        for text in [&entry.catalogue, &entry.oid, &entry.tag, &entry.kind] {
            self.text(text.as_deref());
        }
        self.number(entry.section);
        for text in [
            &entry.definition,
            &entry.drop,
            &entry.copy,
            &entry.schema,
            &entry.tablespace,
        ] {
            self.text(text.as_deref());
        }
        if minor >= 14 {
            self.text(entry.access_method.as_deref());
        }
        if minor >= 16 {
            self.number(entry.relkind);
        }
        self.text(entry.owner.as_deref());
        self.text(entry.with_oids.as_deref());
        for need in &entry.needs {
            self.text(Some(need));
        }
        self.text(None);
        // The rows are somewhere else when the head has another length.
        self.bytes.push(if entry.state == SET {
            NOT_SET
        } else {
            entry.state
        });
        self.bytes.extend(&entry.place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample(minor: u8) -> Head {
        let text = |text: &str| Some(text.as_bytes().to_vec());
        Head {
            minor,
            revision: 0,
            int: 4,
            offset: 8,
            compression: if minor >= 15 { 1 } else { -1 },
            made: [1, 2, 3, 4, 5, 126, 0],
            database: text("d"),
            server: text("15.18 (Debian)"),
            tool: None,
            entries: vec![Entry {
                id: 7,
                has_dumper: 1,
                catalogue: text("1259"),
                oid: text("16389"),
                tag: text("t"),
                kind: text("TABLE"),
                section: 2,
                definition: text("CREATE TABLE public.t ();\n"),
                drop: text("DROP TABLE public.t;\n"),
                copy: None,
                schema: text("public"),
                tablespace: text(""),
                access_method: (minor >= 14).then(|| b"heap".to_vec()),
                relkind: if minor >= 16 { 114 } else { 0 },
                owner: Some(b"\xe4lice".to_vec()),
                with_oids: text("false"),
                needs: vec![b"3".to_vec(), b"200".to_vec()],
                state: NOT_SET,
                place: vec![0; 8],
            }],
        }
    }

    #[test]
    fn a_head_is_written_as_it_was_read_in_every_version() {
        for minor in 12..=16 {
            let bytes = sample(minor).to_bytes();
            let mut with_rows = bytes.clone();
            with_rows.extend(b"rows");
            let (head, length) = Head::parse(&with_rows).unwrap();
            assert_eq!(length, bytes.len());
            assert_eq!(head.to_bytes(), bytes);
            assert_eq!(head.server_major(), Some(15));
            assert_eq!(head.entries[0].object(), (1259, 16389));
            assert_eq!(head.entries[0].needs().collect::<Vec<_>>(), [3, 200]);
            for end in 0..bytes.len() {
                assert_eq!(Head::parse(&bytes[..end]).unwrap_err(), Trouble::Short);
            }
        }
    }

    #[test]
    fn rows_of_a_known_place_are_looked_for_anew() {
        let mut head = sample(14);
        head.entries[0].state = SET;
        let (head, _) = Head::parse(&head.to_bytes()).unwrap();
        assert_eq!(head.entries[0].state, NOT_SET);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(tail in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut archive = b"PGDMP\x01\x0e\x00\x04\x08\x01".to_vec();
            archive.extend(tail);
            let _ = Head::parse(&archive);
        }
    }
}
