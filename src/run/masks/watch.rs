//! What is remembered of values while they are masked: of each column those with the smallest hashes, which is a sample of its
//! different values that nobody chose.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

use super::coverage;
use super::tables::Table;
use super::telling::{Hasher, is_telling};
use crate::config::job::{Job, Task};
use crate::mask::{self, Encoding, Replacement, Row, Scratch};
use crate::sync::Mutex;

/// So many hashes are kept of all columns of a task, and of one of them.
const ALL: usize = 200_000;
const OF_COLUMN: usize = 10_000;
const FEWEST: usize = 500;

/// A value that stands in more rows than these, and in more than one of a hundred, is nobody's own.
const ROWS: u64 = 20;

/// Whether a task's copy is searched for what was seen.
pub(in crate::run) fn is_wanted(job: &Job, task: &Task) -> bool {
    let wanted = task.canary.unwrap_or_else(|| coverage::is_required(job));
    wanted && !task.pushes()
}

/// What a task's tables are watched with.
pub(super) struct Watched {
    hasher: Hasher,
    most: usize,
}

impl Watched {
    /// For these tables, with their masks.
    pub(super) fn new(tables: &[Table<'_>]) -> Self {
        let columns: usize = tables.iter().map(|table| columns(table).count()).sum();
        Self {
            hasher: Hasher::default(),
            most: (ALL / columns.max(1)).clamp(FEWEST, OF_COLUMN),
        }
    }

    /// What watches a table.
    pub(super) fn of(&self, table: &Table<'_>) -> Watch {
        Watch {
            hasher: self.hasher.clone(),
            most: self.most,
            columns: columns(table).collect(),
            all: Mutex::new(Seen::default()),
        }
    }
}

/// Masked columns.
fn columns<'a>(table: &'a Table<'_>) -> impl Iterator<Item = WatchedColumn> + 'a {
    let columns = table.shape.columns.iter().zip(&table.kinds).enumerate();
    columns
        .filter(|(_, (_, kinds))| !kinds.is_empty())
        .map(|(place, (column, kinds))| WatchedColumn {
            place,
            name: column.column.name.clone(),
            is_source: kinds.iter().all(|on| is_watchable(&on.kind)),
            is_unlike: kinds.iter().all(|on| is_unlike(&on.kind)),
        })
}

/// Whether values of columns of this kind are looked for: not those that others have as well (towns, first names, days), and not
/// where a mask is for a part of the value alone.
pub(in crate::run) fn is_watchable(kind: &mask::Kind) -> bool {
    const OF_MANY: &[&str] = &[
        "city",
        "company",
        "postcode",
        "first_name",
        "last_name",
        "date_shift",
        "bucket",
        "number_noise",
    ];
    kind.is_cover() && !OF_MANY.contains(&kind.name())
}

/// Whether what a kind makes is nothing that a source has: letters and digits out of more than can be met by chance.
fn is_unlike(kind: &mask::Kind) -> bool {
    ["null", "empty", "email", "hash", "uuid", "username"].contains(&kind.name())
}

struct WatchedColumn {
    place: usize,
    name: String,
    /// Values of it are looked for.
    is_source: bool,
    /// What its masks make needs no remembering.
    is_unlike: bool,
}

/// Watches a table's values, in all of its slices.
pub(in crate::run) struct Watch {
    hasher: Hasher,
    most: usize,
    columns: Vec<WatchedColumn>,
    all: Mutex<Seen>,
}

/// What was seen of a table's rows, or of a slice of them.
#[derive(Default)]
pub(in crate::run) struct Seen {
    rows: u64,
    columns: Vec<SeenColumn>,
    number: Vec<u8>,
}

/// What was seen of a column.
#[derive(Default)]
pub(super) struct SeenColumn {
    /// Values that were masked, and in how many rows.
    pub(super) met: Smallest,
    /// What stands in the column now.
    pub(super) made: Smallest,
}

/// The smallest hashes of all that were added, each with how often it was.
#[derive(Default)]
pub(super) struct Smallest {
    counts: BTreeMap<u64, u64>,
    /// Above it nothing is known.
    limit: Option<u64>,
}

impl Smallest {
    fn add(&mut self, hash: u64, count: u64, most: usize) {
        if self.limit.is_some_and(|limit| hash > limit) {
            return;
        }
        *self.counts.entry(hash).or_default() += count;
        if self.counts.len() > most
            && let Some((_, _)) = self.counts.pop_last()
        {
            self.limit = self.counts.last_key_value().map(|(last, _)| *last);
        }
    }

    /// Whether a hash would be wanted at all.
    fn takes(&self, hash: u64) -> bool {
        self.limit.is_none_or(|limit| hash <= limit)
    }

    fn merge(&mut self, other: Self, most: usize) {
        self.limit = match (self.limit, other.limit) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        if let Some(limit) = self.limit {
            self.counts.retain(|hash, _| *hash <= limit);
        }
        for (hash, count) in other.counts {
            self.add(hash, count, most);
        }
    }

    /// Whether this is known not to be among them.
    pub(super) fn lacks(&self, hash: u64) -> bool {
        self.takes(hash) && !self.counts.contains_key(&hash)
    }
}

impl Watch {
    /// For a slice.
    pub(super) fn begin(&self) -> Seen {
        Seen {
            rows: 0,
            columns: self.columns.iter().map(|_| SeenColumn::default()).collect(),
            number: Vec::new(),
        }
    }

    /// Looks at a row and at what masks have made of it.
    pub(super) fn look(&self, row: &dyn Row, made: &Scratch, seen: &mut Seen) {
        seen.rows += 1;
        let Seen {
            columns, number, ..
        } = seen;
        for (column, of) in self.columns.iter().zip(columns) {
            let met = row.value(column.place);
            let made = match made.of(column.place) {
                Replacement::With(value) if value != met => Some(value),
                // What a mask leaves as it is, it leaves on purpose.
                _ => None,
            };
            let is_kept = made.is_none();
            if let Some(made) = made.filter(|_| !column.is_unlike)
                && let Some(text) = text(&made, number)
            {
                of.made.add(self.hasher.of(&text), 1, self.most);
            }
            if !is_kept && !column.is_source {
                continue;
            }
            let Some(met) = text(&met, number) else {
                continue;
            };
            let hash = self.hasher.of(&met);
            if is_kept {
                of.made.add(hash, 1, self.most);
            } else if of.met.takes(hash) && is_telling(&met) {
                of.met.add(hash, 1, self.most);
            }
        }
    }

    /// A slice has ended.
    pub(super) fn end(&self, seen: Seen) {
        let mut all = self.all.lock();
        all.rows += seen.rows;
        all.columns
            .resize_with(self.columns.len(), SeenColumn::default);
        for (all, seen) in all.columns.iter_mut().zip(seen.columns) {
            all.met.merge(seen.met, self.most);
            all.made.merge(seen.made, self.most);
        }
    }

    pub(in crate::run) fn hasher(&self) -> &Hasher {
        &self.hasher
    }

    /// The hashes of values that must not be seen any more, each with its column.
    pub(in crate::run) fn wanted(&self) -> Vec<(u64, &str)> {
        let all = self.all.lock();
        let is_own = |count: u64| count <= ROWS || count * 100 <= all.rows;
        let mut wanted = Vec::new();
        for (column, of) in self.columns.iter().zip(&all.columns) {
            let own = of.met.counts.iter().filter(|(_, count)| is_own(**count));
            wanted.extend(own.map(|(hash, _)| (*hash, column.name.as_str())));
        }
        wanted
    }

    /// Whether a column is masked, and if so, whether this is known to be no value that its masks have made.
    pub(in crate::run) fn is_not_made(&self, column: &str, hash: u64) -> Option<bool> {
        let place = self.columns.iter().position(|one| one.name == column)?;
        let all = self.all.lock();
        Some(all.columns.get(place).is_some_and(|of| of.made.lacks(hash)))
    }

    /// Names of columns that are masked.
    pub(in crate::run) fn masked(&self) -> BTreeSet<&str> {
        self.columns
            .iter()
            .map(|column| column.name.as_str())
            .collect()
    }
}

/// A value's text, if it can tell anything: no truth value, no small number.
fn text<'a>(value: &mask::Value<'a>, number: &mut Vec<u8>) -> Option<Cow<'a, [u8]>> {
    match *value {
        mask::Value::Text(bytes, Encoding::Latin1) if !bytes.is_ascii() => {
            let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
            Some(Cow::Owned(text.into_bytes()))
        }
        mask::Value::Text(bytes, _) | mask::Value::Bytes(bytes) => Some(Cow::Borrowed(bytes)),
        mask::Value::Integer(digits) if digits.unsigned_abs() >= 100_000_000 => {
            number.clear();
            let _ = write!(number, "{digits}");
            Some(Cow::Owned(number.clone()))
        }
        mask::Value::Integer(_)
        | mask::Value::Null
        | mask::Value::Real(_)
        | mask::Value::Boolean(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize as _;

    use super::*;
    use crate::mask::{Column, Key, Kind, RowMask, Rule, Type, Value};

    /// An address, and whether it is one that is masked.
    struct Person(&'static str, bool);

    impl Row for Person {
        fn value(&self, _column: usize) -> Value<'_> {
            Value::text(self.0)
        }

        fn holds(&self, _condition: usize) -> bool {
            self.1
        }
    }

    #[test]
    fn what_is_replaced_is_wanted_and_what_stays_or_is_made_is_no_surprise() {
        let kind = Kind::deserialize(toml::Value::String("email".to_owned())).expect("a kind");
        let column = Column {
            name: "email".to_owned(),
            kind: Type::TEXT,
            is_nullable: true,
        };
        let rule = Rule {
            column: "email".to_owned(),
            condition: Some(0),
            kind,
        };
        let key = Key::new(b"a key of the tests that is long enough").expect("a key");
        let mask = RowMask::compile("users", &[column], &[rule], &key).expect("a mask");
        let watch = Watch {
            hasher: Hasher::default(),
            most: 100,
            columns: vec![WatchedColumn {
                place: 0,
                name: "email".to_owned(),
                is_source: true,
                is_unlike: false,
            }],
            all: Mutex::default(),
        };
        let mut scratch = Scratch::default();
        let mut made = Vec::new();
        for people in [
            &[Person("ada@example.com", true)][..],
            &[Person("bob@example.com", false), Person("anna", true)],
        ] {
            let mut seen = watch.begin();
            for person in people {
                mask.apply(person, &mut scratch).expect("it is masked");
                watch.look(person, &scratch, &mut seen);
                if let Replacement::With(Value::Text(text, _)) = scratch.of(0) {
                    made.push(text.to_vec());
                }
            }
            watch.end(seen);
        }
        let hash = |text: &[u8]| watch.hasher().of(text);
        // One is kept by its condition, and one is nobody's own.
        assert_eq!(watch.wanted(), [(hash(b"ada@example.com"), "email")]);
        let is_raw = |text: &[u8]| watch.is_not_made("email", hash(text));
        assert_eq!(is_raw(b"ada@example.com"), Some(true));
        assert_eq!(is_raw(b"bob@example.com"), Some(false));
        assert_eq!(made.len(), 2);
        assert_eq!(is_raw(&made[0]), Some(false));
        assert_eq!(watch.is_not_made("name", 0), None);
    }

    #[test]
    fn the_smallest_are_kept_with_their_counts_and_nothing_is_said_beyond() {
        let mut all = Smallest::default();
        for hash in (0..100).rev().chain(0..100) {
            all.add(hash, 1, 10);
        }
        assert_eq!(all.counts.len(), 10);
        assert_eq!(
            all.counts.keys().copied().collect::<Vec<_>>(),
            (0..10).collect::<Vec<u64>>()
        );
        assert!(!all.lacks(5) && !all.lacks(50));
        let mut few = Smallest::default();
        few.add(7, 1, 10);
        assert!(few.lacks(50) && !few.lacks(7));
        few.merge(all, 10);
        assert!(!few.lacks(50) && !few.lacks(7));
    }
}
