//! Progress of a copy of pages, told as progress of its parts.

use crate::store::{Meter, Part};

/// How far a copy of pages is: done, and in all.
pub(in crate::store::sqlite) type Progress = (i64, i64);

/// Spreads pages over the parts, in their order, since pages do not say whose they are.
pub(in crate::store::sqlite) struct Spread<'a> {
    parts: &'a [Part],
    meter: &'a dyn Meter,
    told: u64,
    at: usize,
    part_bytes: u64,
}

impl<'a> Spread<'a> {
    pub(in crate::store::sqlite) fn new(parts: &'a [Part], meter: &'a dyn Meter) -> Self {
        Self {
            parts,
            meter,
            told: 0,
            at: 0,
            part_bytes: 0,
        }
    }

    /// Tells the meter what is new; rows are counted when all pages are there.
    pub(in crate::store::sqlite) fn reach(&mut self, (done, all): Progress) {
        let total: u64 = self.parts.iter().map(|part| part.bytes).sum();
        let reached = (total as f64 * done as f64 / all.max(1) as f64) as u64;
        while let Some(part) = self.parts.get(self.at) {
            let left = part.bytes - self.part_bytes;
            let bytes = left.min(reached.saturating_sub(self.told));
            self.part_bytes += bytes;
            self.told += bytes;
            if bytes > 0 {
                self.meter.add(part, 0, bytes);
            }
            if bytes < left || (reached <= self.told && done != all) {
                break;
            }
            self.at += 1;
            self.part_bytes = 0;
        }
    }
}
