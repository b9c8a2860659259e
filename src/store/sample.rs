//! Samples: some rows of a table, for whoever looks at what is in it.

use async_trait::async_trait;

use super::part::Part;
use crate::error::Result;

/// A value of a sample has so many bytes at the most; what is longer is cut.
pub const LONGEST: usize = 64 << 10;

/// A table's sample has so many bytes at the most; further rows are left out.
const MOST: usize = 8 << 20;

/// Into so many places of a table a sample's rows are spread, where the store can go there without reading all before them.
pub const PLACES: u64 = 8;

/// A source or a copy whose rows can be sampled. Nothing is changed by it.
#[async_trait]
pub trait Samples: Send + Sync {
    /// So many rows of a surveyed part at the most, whatever slice of its table it is: the first, and some of other places where
    /// they are found cheaply. Of what has no columns there are none.
    async fn sample(&self, part: &Part, rows: u64) -> Result<Sample>;

    /// What was written beside tables and columns.
    async fn comments(&self) -> Result<Vec<Comment>> {
        Ok(Vec::new())
    }
}

/// Some rows: the values of the part's columns in their order, as text, or as the bytes that they are; `None` is NULL.
#[derive(Default)]
pub struct Sample {
    /// The rows.
    pub rows: Vec<Vec<Option<Vec<u8>>>>,
    bytes: usize,
}

impl Sample {
    /// Adds a row, if there is still room for it.
    pub fn push<'a>(&mut self, values: impl Iterator<Item = Option<&'a [u8]>>) {
        if self.bytes > MOST {
            return;
        }
        let cut = |value: &'a [u8]| value[..value.len().min(LONGEST)].to_vec();
        let row: Vec<Option<Vec<u8>>> = values.map(|value| value.map(cut)).collect();
        self.bytes += row.iter().flatten().map(Vec::len).sum::<usize>();
        self.rows.push(row);
    }
}

/// What was written beside a table, or beside one of its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// The table's schema, where the store has schemas.
    pub schema: Option<String>,
    /// The table.
    pub table: String,
    /// The column; `None`: it is the table's own.
    pub column: Option<String>,
    /// What it says.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_its_limits() {
        let mut sample = Sample::default();
        let long = vec![b'x'; LONGEST + 1];
        for _ in 0..1000 {
            sample.push([Some(&long[..]), None].into_iter());
        }
        assert_eq!(sample.rows[0][0].as_ref().map(Vec::len), Some(LONGEST));
        assert_eq!(sample.rows[0][1], None);
        assert_eq!(sample.rows.len(), MOST / LONGEST + 1);
    }
}
