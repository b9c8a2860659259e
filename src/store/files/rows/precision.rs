//! What a target's file system keeps of what a file is given. FAT keeps times to two seconds, and neither permissions nor owners;
//! ext4 with small inodes keeps times to one. Pure.

use crate::store::files::connection::stat::Moment;

const SECOND: i128 = 1_000_000_000;
/// The steps of time that file systems are known to have, in nanoseconds.
const STEPS: [i128; 7] = [1, 100, 1_000, 1_000_000, 10_000_000, SECOND, 2 * SECOND];

/// A time that tells the steps apart: one nanosecond before an even second.
pub(in crate::store::files) const TELLING: Moment = (1_000_000_001, 999_999_999);

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store::files) struct Kept {
    /// Times are cut to a multiple of so many nanoseconds.
    step: i128,
    /// Permissions are.
    pub(in crate::store::files) modes: bool,
    /// Owners are.
    pub(in crate::store::files) owners: bool,
}

impl Default for Kept {
    /// All of it.
    fn default() -> Self {
        Self {
            step: 1,
            modes: true,
            owners: true,
        }
    }
}

impl Kept {
    /// By what came of [`TELLING`], and of other permissions and another owner. A time that is not cut down is compared as it is.
    pub(in crate::store::files) fn of(read_back: Moment, modes: bool, owners: bool) -> Self {
        let found = STEPS
            .into_iter()
            .find(|step| cut(TELLING, *step) == read_back);
        Self {
            step: found.unwrap_or(1),
            modes,
            owners,
        }
    }

    /// Whether times are cut to less than the system can tell.
    pub(in crate::store::files) fn is_coarse(&self) -> bool {
        self.step > 1
    }

    /// Whether a copy of what was changed at one moment would have the other one.
    pub(in crate::store::files) fn has_time_of(&self, source: Moment, copy: Moment) -> bool {
        source == copy || cut(source, self.step) == copy
    }
}

/// Why owners are not kept.
pub(in crate::store::files) fn no_owners(is_root: bool) -> &'static str {
    if is_root {
        "owners are not kept: the target's file system has none"
    } else {
        "owners are not kept: only root may set them"
    }
}

fn cut((seconds, nanoseconds): Moment, step: i128) -> Moment {
    let all = i128::from(seconds) * SECOND + i128::from(nanoseconds);
    let kept = all.div_euclid(step) * step;
    // Both fit: it is no more than there was, and less than a step away.
    let seconds = i64::try_from(kept.div_euclid(SECOND)).unwrap_or(i64::MIN);
    let nanoseconds = u32::try_from(kept.rem_euclid(SECOND)).unwrap_or_default();
    (seconds, nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As FAT does it: to an even second.
    fn fat((seconds, _): Moment) -> Moment {
        (seconds - seconds.rem_euclid(2), 0)
    }

    proptest! {
        #[test]
        fn what_fat_has_made_of_a_time_is_that_time(seconds in -4_000_000_000..4_000_000_000_i64, nanoseconds in 0..1_000_000_000_u32) {
            let kept = Kept::of(fat(TELLING), false, false);
            let moment = (seconds, nanoseconds);
            prop_assert!(kept.has_time_of(moment, fat(moment)));
            prop_assert!(!kept.has_time_of((seconds + 2, nanoseconds), fat(moment)));
            prop_assert!(!kept.has_time_of((seconds - 2, nanoseconds), fat(moment)));
        }

        #[test]
        fn where_times_are_kept_none_is_another_one(one: (i64, u32), other: (i64, u32)) {
            let whole = |(seconds, nanoseconds): Moment| (seconds, nanoseconds % 1_000_000_000);
            let (one, other) = (whole(one), whole(other));
            for kept in [Kept::default(), Kept::of(TELLING, true, true)] {
                prop_assert!(!kept.is_coarse());
                prop_assert_eq!(kept.has_time_of(one, other), one == other);
            }
        }
    }

    #[test]
    fn a_step_is_told_by_what_is_left_of_a_time() {
        let (seconds, _) = TELLING;
        for (read_back, differs, by) in [
            ((seconds, 999_999_900), true, 99),
            ((seconds, 0), true, 999_999_999),
            // Rounded up, which nobody does: nothing is taken to be the same that is not.
            ((seconds + 1, 0), false, 1),
        ] {
            let kept = Kept::of(read_back, true, true);
            assert_eq!(kept.is_coarse(), differs, "{read_back:?}");
            assert_eq!(kept.has_time_of((0, by), (0, 0)), differs, "{read_back:?}");
            assert!(!kept.has_time_of((2, by), (0, 0)), "{read_back:?}");
        }
    }
}
