//! Lists of lines: a head says whose they are, and an end how many. What is cut off is told.

use std::io::{BufRead, BufReader, Read};

use super::spool::Reader;
use crate::error::{Error, Result, io};

/// A form of list.
pub(in crate::store::files) struct Form {
    /// The first line: whose it is, and the version.
    pub(in crate::store::files) head: &'static [u8],
    /// No line is longer.
    pub(in crate::store::files) longest: u64,
    /// What is told of one that is not as it was written.
    pub(in crate::store::files) broken: fn() -> Error,
}

/// A place in a list.
pub(in crate::store::files) struct Reading {
    form: &'static Form,
    reader: BufReader<Reader>,
    line: Vec<u8>,
    lines: u64,
    is_over: bool,
}

impl Reading {
    /// The beginning of one.
    pub(in crate::store::files) fn begin(
        form: &'static Form,
        reader: BufReader<Reader>,
    ) -> Result<Self> {
        let mut reading = Self {
            form,
            reader,
            line: Vec::new(),
            lines: 0,
            is_over: false,
        };
        reading.read()?;
        if reading.line != form.head {
            return Err((form.broken)());
        }
        Ok(reading)
    }

    /// The next line; `None`: the list is at its end.
    pub(in crate::store::files) fn next(&mut self) -> Result<Option<&[u8]>> {
        if self.is_over {
            return Ok(None);
        }
        self.read()?;
        if let Some(count) = self.line.strip_prefix(b"end ") {
            if count != self.lines.to_string().as_bytes() {
                return Err((self.form.broken)());
            }
            self.is_over = true;
            return Ok(None);
        }
        self.lines += 1;
        Ok(Some(&self.line))
    }

    fn read(&mut self) -> Result<()> {
        self.line.clear();
        let mut limited = (&mut self.reader).take(self.form.longest);
        limited
            .read_until(b'\n', &mut self.line)
            .map_err(io("cannot read the list of what was changed"))?;
        match self.line.pop() {
            Some(b'\n') => Ok(()),
            _ => Err((self.form.broken)()),
        }
    }
}
