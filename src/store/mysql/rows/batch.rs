//! Batches: small tables that are copied in one go.

use std::ops::Range;

use crate::store::Part;

/// A batch has at most so many bytes, as stored on the source.
pub(in crate::store::mysql) const BYTES: u64 = 8 * 1024 * 1024;
/// And so many tables.
const TABLES: usize = 64;

/// Neighbours that fit into batches: of two tables or more each.
pub(in crate::store::mysql) fn of_small(
    parts: &[Part],
    is_small: impl Fn(&Part) -> bool,
) -> Vec<Range<usize>> {
    let mut batches = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (place, part) in parts.iter().enumerate() {
        let fits = part.slice.is_none() && is_small(part);
        if !fits || bytes + part.bytes > BYTES || place - start >= TABLES {
            if place > start + 1 {
                batches.push(start..place);
            }
            start = if fits { place } else { place + 1 };
            bytes = 0;
        }
        if fits {
            bytes += part.bytes;
        }
    }
    if parts.len() > start + 1 {
        batches.push(start..parts.len());
    }
    batches
}

/// `small and 9 more tables`.
pub(in crate::store::mysql) fn label(parts: &[Part]) -> String {
    match parts {
        [one] => one.label(),
        [first, rest @ ..] => format!("{} and {} more tables", first.label(), rest.len()),
        [] => "no tables".to_owned(),
    }
}
