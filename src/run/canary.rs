//! The canary: a sample of incoming is searched for what the source has in masked columns. A hit fails the run, before publish.
//!
//! While rows pass their masks, a part of the values is remembered, by hashes under a key that nobody but this process has
//! (`masks/watch.rs`). Then rows of incoming are read, and what stands in them is held against that, as a whole and as words inside
//! longer texts. Only values that tell of one person are used (`masks/telling.rs`): no single words, no days, no small numbers.
//!
//! What masks themselves make may be another row's value by chance: the name of somebody else, a number out of few. So of each
//! masked column is remembered what its masks made, too, and that is no hit there.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::masks::telling::{Hasher, LONGEST, is_telling};
use super::masks::watch::Watch;
use super::task_run::TaskRun;
use crate::error::{Error, Kind, Result};
use crate::mask::detect::as_text;
use crate::store::{Complete, Part, Samples};

/// So many rows of a table are looked at.
const ROWS: u64 = 2_000;

/// A value inside a text has so many words at the most.
const WORDS: usize = 5;

/// In a masked column, a number inside a text is somebody's only if it has so many digits: shorter ones masks make by chance.
const DIGITS: usize = 13;

/// How many hits an error names.
const NAMED: usize = 3;

/// The values that are looked for, by their hashes, each with the table and column that it is of.
pub(super) struct Haystack {
    hasher: Hasher,
    wanted: HashMap<u64, usize>,
    columns: Vec<String>,
}

/// A column that has values of a masked one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Hit {
    /// `table.column` of the copy.
    pub(super) found: String,
    /// `table.column` of the source.
    pub(super) of: String,
    /// In how many rows of the sample.
    pub(super) rows: u64,
    /// In how many of them it is no chance.
    pub(super) sure: u64,
    /// Of how many.
    pub(super) sampled: u64,
}

impl Haystack {
    pub(super) fn new(hasher: Hasher) -> Self {
        Self {
            hasher,
            wanted: HashMap::new(),
            columns: Vec::new(),
        }
    }

    pub(super) fn hasher(&self) -> &Hasher {
        &self.hasher
    }

    /// How many columns' values it has.
    pub(super) fn columns(&self) -> usize {
        self.columns.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Looks for values with these hashes, too.
    pub(super) fn add(&mut self, column: String, hashes: impl Iterator<Item = u64>) {
        let number = self.columns.len();
        self.columns.push(column);
        for hash in hashes {
            self.wanted.entry(hash).or_insert(number);
        }
    }

    /// Searches a value; the columns that it has values of.
    fn of(
        &self,
        value: &[u8],
        is_hit: &dyn Fn(u64, Inside<'_>) -> Option<bool>,
        found: &mut Vec<(usize, bool)>,
    ) {
        let text = as_text(value);
        let mut look = |text: &str, is_whole: bool| {
            if !is_telling(text.as_bytes()) {
                return;
            }
            let hash = self.hasher.of(text.as_bytes());
            if let Some(number) = self.wanted.get(&hash)
                && let Some(is_sure) = is_hit(hash, Inside { text, is_whole })
            {
                found.push((*number, is_sure));
            }
        };
        look(&text, true);
        let trimmed = text.trim_start();
        match serde_json::from_str::<Value>(trimmed) {
            Ok(document) if trimmed.starts_with(['{', '[', '"']) => {
                strings(&document, &mut |text| {
                    look(text, false);
                    words(text, &mut |text| look(text, false));
                });
            }
            _ => words(&text, &mut |text| look(text, false)),
        }
    }

    /// Searches some rows of a table. `is_hit` says of a column whether a value that was found
    /// in it counts, and whether that is no chance.
    pub(super) async fn search(
        &self,
        samples: &dyn Samples,
        part: &Part,
        rows: u64,
        is_hit: &(dyn Fn(&str, u64, Inside<'_>) -> Option<bool> + Sync),
    ) -> Result<Vec<Hit>> {
        let sample = samples.sample(part, rows).await?;
        // Rows with a hit, and those where it is no chance.
        let mut hits: BTreeMap<(usize, usize), (u64, u64)> = BTreeMap::new();
        let mut found = Vec::new();
        for row in &sample.rows {
            for (place, value) in row.iter().enumerate() {
                let (Some(value), Some(column)) = (value, part.columns.get(place)) else {
                    continue;
                };
                found.clear();
                let is_hit = |hash, inside: Inside<'_>| is_hit(column, hash, inside);
                self.of(value, &is_hit, &mut found);
                found.sort_unstable();
                found.dedup_by(|next, kept| {
                    let is_same = next.0 == kept.0;
                    kept.1 |= is_same && next.1;
                    is_same
                });
                for (number, is_sure) in &found {
                    let (rows, sure) = hits.entry((place, *number)).or_default();
                    *rows += 1;
                    *sure += u64::from(*is_sure);
                }
            }
        }
        let sampled = sample.rows.len() as u64;
        let hits = hits.into_iter().map(|((place, number), (rows, sure))| Hit {
            found: format!("{}.{}", part.label(), part.columns[place]),
            of: self.columns[number].clone(),
            rows,
            sure,
            sampled,
        });
        Ok(hits.collect())
    }
}

/// A value in a column, or in a longer text there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inside<'a> {
    pub(super) text: &'a str,
    pub(super) is_whole: bool,
}

impl Inside<'_> {
    /// Whether no mask makes it by chance: words out of a bank of names, and short numbers, it may.
    pub(super) fn is_rare(&self) -> bool {
        let digits = self.text.bytes().filter(u8::is_ascii_digit).count();
        let letters = self.text.bytes().filter(u8::is_ascii_alphabetic).count();
        self.text.contains('@') || digits >= DIGITS || digits >= 4 && letters >= 8
    }
}

/// After all that can change rows, and before anyone sees them.
pub(super) async fn search(run: &TaskRun, complete: &dyn Complete) -> Result<()> {
    let mut watches: HashMap<&str, &Watch> = HashMap::new();
    let mut haystack: Option<Haystack> = None;
    for (label, table) in run.masks.all() {
        let Some(watch) = table.watch() else { continue };
        watches.insert(label, watch);
        let all = haystack.get_or_insert_with(|| Haystack::new(watch.hasher().clone()));
        let mut of: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        for (hash, column) in watch.wanted() {
            of.entry(column).or_default().push(hash);
        }
        for (column, hashes) in of {
            all.add(format!("{label}.{column}"), hashes.into_iter());
        }
    }
    let Some(haystack) = haystack.filter(|haystack| !haystack.is_empty()) else {
        return Ok(());
    };
    let Some(samples) = complete.samples() else {
        let what = "the copy cannot be searched: its rows cannot be sampled";
        return Err(Error::new(Kind::Config, what).hint("set canary = false"));
    };
    let mut hits = Vec::new();
    for part in run.survey()?.whole() {
        let watch = watches.get(&*part.label()).copied();
        let masked = watch.map(Watch::masked).unwrap_or_default();
        let is_hit = |column: &str, hash: u64, inside: Inside<'_>| {
            let Some(watch) = watch.filter(|_| masked.contains(column)) else {
                return Some(true);
            };
            let is_raw = watch.is_not_made(column, hash).unwrap_or(true);
            (is_raw && (inside.is_whole || inside.is_rare())).then_some(true)
        };
        hits.extend(haystack.search(samples, &part, ROWS, &is_hit).await?);
    }
    tracing::info!(
        hits = hits.len(),
        "the copy was searched for values that are masked"
    );
    refuse(&hits)
}

fn refuse(hits: &[Hit]) -> Result<()> {
    if hits.is_empty() {
        return Ok(());
    }
    for hit in hits {
        tracing::error!(
            column = hit.found,
            of = hit.of,
            rows = hit.rows,
            sampled = hit.sampled,
            "has values of a masked column of the source"
        );
    }
    let told: Vec<String> = hits
        .iter()
        .take(NAMED)
        .map(|hit| {
            format!(
                "{} has values of {} ({} of {} rows)",
                hit.found, hit.of, hit.rows, hit.sampled
            )
        })
        .collect();
    let rest = match hits.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Err(Error::new(
        Kind::Verify,
        format!(
            "the copy still has what is masked elsewhere: {}{rest}",
            told.join("; ")
        ),
    )
    .hint("mask that column, too; if its values are meant to be there, set canary = false"))
}

/// All strings and numbers in a document, its keys included.
fn strings(document: &Value, look: &mut dyn FnMut(&str)) {
    match document {
        Value::String(text) => look(text),
        Value::Number(number) => look(&number.to_string()),
        Value::Array(members) => members.iter().for_each(|member| strings(member, look)),
        Value::Object(members) => {
            for (key, member) in members {
                look(key);
                strings(member, look);
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

/// Words of a text, and runs of neighbours.
fn words(text: &str, look: &mut dyn FnMut(&str)) {
    let is_between = |c: char| c.is_whitespace() || "\"<>()[]{},;|=\\".contains(c);
    let mut starts: Vec<(usize, usize)> = Vec::new();
    let mut start = None;
    for (place, c) in text.char_indices() {
        match (is_between(c), start) {
            (true, Some(from)) => {
                starts.push((from, place));
                start = None;
            }
            (false, None) => start = Some(place),
            _ => {}
        }
    }
    starts.extend(start.map(|from| (from, text.len())));
    if starts.len() < 2 && starts.first() == Some(&(0, text.len())) && !text.contains(':') {
        let bare = bare(text);
        if bare.len() < text.len() {
            look(bare);
        }
        return;
    }
    for first in 0..starts.len() {
        for last in first..starts.len().min(first + WORDS) {
            let run = &text[starts[first].0..starts[last].1];
            if run.len() > LONGEST {
                break;
            }
            look(bare(run));
            // `mail:ada@example.com`
            if first == last
                && let Some((_, value)) = run.rsplit_once([':', '\''])
            {
                look(bare(value));
            }
        }
    }
}

/// A word without the signs of a sentence around it.
fn bare(word: &str) -> &str {
    word.trim_matches(|c: char| ".:!?'*_`".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&'static str> {
        let mut haystack = Haystack::new(Hasher::default());
        let all = [
            ("email", "ada@example.com"),
            ("name", "Ada Lovelace"),
            ("phone", "+44 20 7946 0958"),
        ];
        for (column, value) in all {
            let hash = haystack.hasher().of(value.as_bytes());
            haystack.add(column.to_owned(), std::iter::once(hash));
        }
        let mut numbers = Vec::new();
        haystack.of(text.as_bytes(), &|_, _| Some(true), &mut numbers);
        numbers.sort_unstable();
        numbers.dedup();
        numbers
            .into_iter()
            .map(|(number, _)| all[number].0)
            .collect()
    }

    #[test]
    fn values_are_found_as_a_whole_and_inside_longer_texts() {
        assert_eq!(found("ada@example.com"), ["email"]);
        assert_eq!(found("ADA@example.com "), ["email"]);
        assert_eq!(found("Write to <ada@example.com>."), ["email"]);
        assert_eq!(found("mailto:ada@example.com"), ["email"]);
        assert_eq!(
            found("then Ada Lovelace, (+44 20 7946 0958) called"),
            ["name", "phone"]
        );
        assert_eq!(
            found(r#"{"who": {"m\u0061il": "\u0061da@example.com"}, "x": ["by Ada Lovelace"]}"#),
            ["email", "name"]
        );
        assert_eq!(found(r#"{"ada@example.com": 1}"#), ["email"]);
        assert_eq!(
            found("a:1:{s:5:\"email\";s:15:\"ada@example.com\";}"),
            ["email"]
        );
        assert_eq!(
            found("bada@example.com, Ada and Lovelace"),
            Vec::<&str>::new()
        );
        assert_eq!(found(""), Vec::<&str>::new());
    }

    #[test]
    fn an_error_names_columns_and_no_value() {
        let hit = Hit {
            found: "notes.body".to_owned(),
            of: "users.email".to_owned(),
            rows: 3,
            sure: 3,
            sampled: 1000,
        };
        let error = refuse(&[hit]).expect_err("a hit").to_string();
        assert!(
            error.contains("notes.body has values of users.email (3 of 1000 rows)"),
            "{error}"
        );
        assert!(refuse(&[]).is_ok());
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in ".{0,80}") {
            found(&text);
        }
    }
}
