//! Many definitions in one round trip and one transaction. A batch that fails is undone as a whole; then each of its
//! definitions is made by itself, and whatever is to be said of one is said of that one.

use std::collections::HashMap;
use std::ops::Range;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::create_one;
use super::database::Incoming;
use crate::error::{Error, Result};
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::schema::ownership::{self, Mapped};
use crate::store::postgresql::schema::toc::Entry;

/// A batch has at most so many bytes of statements: the server parses all of them before it runs the first.
const TEXT: usize = 64 * 1024;

/// A batch holds at most so many locks, however many the server has room for.
const LOCKS: usize = 600;

/// About how many locks writing a table takes: on it, its TOAST table and that one's index, and on sequences.
pub(super) const LOCKS_OF_A_TABLE: usize = 4;

/// Fewer definitions than this are not worth more than one session.
const WORTH_SEVERAL: usize = 64;

/// Kinds that can be made next to each other: what they need of one another is in their `needs`.
const APART: [&str; 7] = [
    "TABLE",
    "SEQUENCE",
    "SEQUENCE OWNED BY",
    "DEFAULT",
    "VIEW",
    "TABLE ATTACH",
    "COMMENT",
];

/// About how many locks an entry takes until its transaction ends: on the thing, its TOAST table and that one's index,
/// what it stands on, and again when it changes hands.
fn locks_of(entry: &Entry) -> usize {
    match entry.kind.as_str() {
        "TABLE" => 6,
        "FK CONSTRAINT" | "CONSTRAINT" | "MATERIALIZED VIEW" => 5,
        _ => 3,
    }
}

/// How many locks the transactions of one session may hold: together, all of ours leave most of the server's to others.
pub(super) async fn locks(admin: &Session, workers: usize) -> Result<usize> {
    let row = admin
        .query_one(
            "SELECT current_setting('max_locks_per_transaction')::int8 * \
                    (current_setting('max_connections')::int8 + current_setting('max_prepared_transactions')::int8)",
            &[],
        )
        .await
        .map_err(admin.explain())?;
    let room = usize::try_from(row.read::<i64>(0)?).unwrap_or_default();
    Ok((room / 4 / workers.max(1)).min(LOCKS))
}

/// Cuts a list into batches of neighbours.
fn cut(entries: &[&Entry], locks: usize) -> Vec<Range<usize>> {
    let mut batches = Vec::new();
    let (mut start, mut held, mut text) = (0, 0, 0);
    for (place, entry) in entries.iter().enumerate() {
        let (more, longer) = (locks_of(entry), entry.definition().len());
        if place > start && (held + more > locks || text + longer > TEXT) {
            batches.push(start..place);
            (start, held, text) = (place, 0, 0);
        }
        held += more;
        text += longer;
    }
    if start < entries.len() {
        batches.push(start..entries.len());
    }
    batches
}

/// Groups of entries that have nothing to do with each other, each in order, by their places; small groups in one.
/// `sharing`: what needs one and the same thing belongs together, too.
fn apart(entries: &[Entry], locks: usize, sharing: bool) -> Vec<Vec<u32>> {
    // By what is looked for, the first place of each: there may be hundreds of thousands, and a map takes twice the room.
    let own = (0..)
        .zip(entries)
        .map(|(place, entry)| (entry.id(), false, place));
    let mut places: Vec<(i64, bool, u32)> = own.collect();
    if sharing {
        let needed = (0..).zip(entries);
        places.extend(
            needed.flat_map(|(place, entry)| entry.needs().map(move |need| (need, true, place))),
        );
    }
    places.sort_unstable();
    places.dedup_by_key(|(id, ..)| *id);
    // Each place points to another of its group, the first of all to itself.
    let mut first: Vec<usize> = (0..entries.len()).collect();
    let root = |first: &mut Vec<usize>, mut place: usize| {
        while first[place] != place {
            first[place] = first[first[place]];
            place = first[place];
        }
        place
    };
    for (place, entry) in entries.iter().enumerate() {
        for need in entry.needs() {
            if let Ok(at) = places.binary_search_by_key(&need, |(id, ..)| *id) {
                let other = places[at].2 as usize;
                let (a, b) = (root(&mut first, place), root(&mut first, other));
                first[a.max(b)] = a.min(b);
            }
        }
    }
    drop(places);
    let mut groups: Vec<Vec<u32>> = Vec::new();
    let mut group_of: HashMap<usize, usize> = HashMap::new();
    let mut held = usize::MAX;
    for (place, entry) in entries.iter().enumerate() {
        let at = root(&mut first, place);
        let group = *group_of.entry(at).or_insert_with(|| {
            // A batch's worth of them goes by one session in one go.
            if held >= locks / 2 {
                groups.push(Vec::new());
                held = 0;
            }
            held += 1;
            groups.len() - 1
        });
        groups[group].push(place as u32);
        held = held.saturating_add(locks_of(entry));
    }
    groups
}

impl Incoming {
    /// Makes entries one after the other, and gives each to its owner.
    pub(super) async fn create_in_order(
        &self,
        session: &Session,
        entries: &[Entry],
        mapped: &mut Mapped,
    ) -> Result<()> {
        let entries: Vec<&Entry> = entries.iter().collect();
        for batch in cut(&entries, self.locks) {
            self.to.refuse_cancelled()?;
            let batch = &entries[batch];
            if self.create_together(session, batch).await {
                self.note(batch, mapped);
                continue;
            }
            for entry in batch {
                self.create_entry(session, entry, mapped).await?;
            }
        }
        Ok(())
    }

    /// Makes everything that comes before rows, by several sessions where much can be made side by side.
    pub(super) async fn create_before(&self, mapped: &mut Mapped) -> Result<()> {
        let entries = &self.sorted.before;
        let session = self.session().await?;
        let is_apart = |entry: &Entry| APART.contains(&entry.kind.as_str());
        for stretch in entries.chunk_by(|one, next| is_apart(one) == is_apart(next)) {
            let several = self.to.context.workers > 1 && stretch.len() >= WORTH_SEVERAL;
            if several && is_apart(&stretch[0]) {
                self.create_apart(&session, stretch, mapped).await?;
            } else {
                self.create_in_order(&session, stretch, mapped).await?;
            }
        }
        self.rest(session);
        Ok(())
    }

    /// Makes entries by several sessions. What fails is made again afterwards, in order: it may have needed something of
    /// which the dump does not know.
    async fn create_apart(
        &self,
        session: &Session,
        entries: &[Entry],
        mapped: &mut Mapped,
    ) -> Result<()> {
        let locks = self.locks;
        let groups = apart(entries, locks, false);
        let done: Vec<(Vec<u32>, usize)> =
            stream::iter(groups.into_iter().map(|group| async move {
                let here: Vec<&Entry> = group
                    .iter()
                    .map(|place| &entries[*place as usize])
                    .collect();
                let session = self.session().await?;
                let mut made = 0;
                for batch in cut(&here, locks) {
                    self.to.refuse_cancelled()?;
                    let end = batch.end;
                    if !self.create_together(&session, &here[batch]).await {
                        break;
                    }
                    made = end;
                }
                self.rest(session);
                Ok::<_, Error>((group, made))
            }))
            .buffer_unordered(self.to.context.workers)
            .try_collect()
            .await?;
        let mut left = Vec::new();
        for (group, made) in done {
            let made_here: Vec<&Entry> = group[..made]
                .iter()
                .map(|place| &entries[*place as usize])
                .collect();
            self.note(&made_here, mapped);
            left.extend_from_slice(&group[made..]);
        }
        left.sort_unstable();
        let left: Vec<Entry> = left
            .into_iter()
            .map(|place| entries[place as usize].clone())
            .collect();
        self.create_in_order(session, &left, mapped).await
    }

    /// Makes entries, several at a time; those that are not `large` many in one go. Who shares a table does not meet its
    /// like in another session: they would wait for each other.
    pub(super) async fn create_several(
        &self,
        entries: &[Entry],
        large: impl Fn(&Entry) -> bool,
    ) -> Result<()> {
        let (large, small): (Vec<Entry>, Vec<Entry>) =
            entries.iter().cloned().partition(|entry| large(entry));
        self.several(&large).await?;
        let locks = self.locks;
        let groups = apart(&small, locks, true);
        let small = &small;
        stream::iter(groups.into_iter().map(|group| async move {
            let here: Vec<&Entry> = group.iter().map(|place| &small[*place as usize]).collect();
            let session = self.session().await?;
            for batch in cut(&here, locks) {
                self.to.refuse_cancelled()?;
                let batch = &here[batch];
                if !self.create_together(&session, batch).await {
                    for entry in batch {
                        create_one::create(&session, entry).await?;
                    }
                }
            }
            self.rest(session);
            Ok(())
        }))
        .buffer_unordered(self.to.context.workers)
        .try_collect::<()>()
        .await
    }

    /// Whether all of these could be made in one go. If not, none of them was.
    pub(super) async fn create_together(&self, session: &Session, entries: &[&Entry]) -> bool {
        if entries.len() < 2 {
            return false;
        }
        let mut script = String::new();
        for entry in entries {
            match ownership::extension_of_owner(entry, &self.roles) {
                Some(statement) => script.push_str(&statement),
                None => script.push_str(&entry.definition()),
            }
            script.push_str("\n;\n");
            if let Some(statement) = ownership::inheritance(entry, &self.roles).statement {
                script.push_str(&statement);
                script.push_str(";\n");
            }
        }
        let made = session.batch_execute(&script).await;
        if made.is_err() {
            tracing::debug!(
                definitions = entries.len(),
                "they could not be made in one go"
            );
        }
        made.is_ok()
    }

    async fn create_entry(
        &self,
        session: &Session,
        entry: &Entry,
        mapped: &mut Mapped,
    ) -> Result<()> {
        self.to.refuse_cancelled()?;
        if let Some(statement) = ownership::extension_of_owner(entry, &self.roles)
            && session.batch_execute(&statement).await.is_ok()
        {
            return Ok(());
        }
        if create_one::create(session, entry).await? {
            ownership::own(session, entry, &self.roles, mapped).await
        } else {
            let about = entry.needs().find_map(|need| self.objects.get(&need));
            mapped.excused.extend(about);
            Ok(())
        }
    }

    fn note(&self, entries: &[&Entry], mapped: &mut Mapped) {
        for entry in entries {
            ownership::inheritance(entry, &self.roles).note(entry, mapped);
        }
    }
}
