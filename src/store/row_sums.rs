//! Sums over rows as they are encoded: what was sent, held against what is read back. They depend neither on the order of rows
//! nor on where chunks end.

use sha2::{Digest as _, Sha256};

use super::codec::RowSplitter;
use super::part::RowSum;
use crate::error::Result;

/// Sums up a part's rows as they pass.
pub struct RowSums {
    splitter: Box<dyn RowSplitter>,
    hash: Sha256,
    total: RowSum,
}

impl RowSums {
    /// Of chunks that this cuts into rows.
    pub fn new(splitter: Box<dyn RowSplitter>) -> Self {
        Self {
            splitter,
            hash: Sha256::new(),
            total: RowSum::default(),
        }
    }

    /// Takes in a chunk.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<()> {
        let (hash, total) = (&mut self.hash, &mut self.total);
        self.splitter.feed(chunk, &mut |piece, ends| {
            hash.update(piece);
            if ends {
                *total += RowSum::of_row(hash.finalize_reset().into());
            }
        })
    }

    /// The sum of all rows. The last one has to be whole.
    pub fn total(mut self) -> Result<RowSum> {
        self.splitter.end()?;
        Ok(self.total)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::delimited::LineSplitter;
    use crate::store::{Encoding, Part};

    fn sum(text: &[u8], cuts: &[usize]) -> RowSum {
        let part = Part::whole(0, "t", Encoding::new("lines"), 0);
        let mut sums = RowSums::new(Box::new(LineSplitter::new(&part)));
        for piece in crate::fuzz::pieces(text, cuts) {
            sums.feed(piece).unwrap();
        }
        sums.total().unwrap()
    }

    proptest! {
        #[test]
        fn sums_depend_on_rows_and_on_nothing_else(
            (rows, order) in prop::collection::vec("[a-c]{0,3}\n", 0..12)
                .prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle())),
            cuts in prop::collection::vec(1_usize..9, 1..9),
        ) {
            let all = sum(rows.concat().as_bytes(), &cuts);
            prop_assert_eq!(all, sum(order.concat().as_bytes(), &[1 << 20]));
            let mut by_slices = RowSum::default();
            for row in &rows {
                by_slices += sum(row.as_bytes(), &cuts);
            }
            prop_assert_eq!(all, by_slices);
        }
    }

    #[test]
    fn other_rows_have_another_sum() {
        let one = sum(b"a\nb\n", &[3]);
        assert_eq!(one.rows, 2);
        for other in [
            &b"a\na\n"[..],
            b"b\nb\n",
            b"ab\n\n",
            b"a\nB\n",
            b"a\nb\nb\n",
        ] {
            assert_ne!(sum(other, &[3]), one);
        }
        assert_eq!(sum(b"", &[1]), RowSum::default());
    }

    #[test]
    fn a_row_without_an_end_has_no_sum() {
        let part = Part::whole(0, "t", Encoding::new("lines"), 0);
        let mut sums = RowSums::new(Box::new(LineSplitter::new(&part)));
        sums.feed(b"a\nb").unwrap();
        assert!(sums.total().is_err());
    }
}
