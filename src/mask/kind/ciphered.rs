//! Kinds whose values are numbers for FF1: taken apart, encrypted many at a time, and put together.

use super::contract::{Mask, Refused, Task};
use crate::mask::ff1::{Ff1, Form, Halves, LANES, Lane};
use crate::mask::row::Given;
use crate::mask::value::{Masked, Value};

/// A kind that encrypts.
pub(super) trait Ciphered: Send + Sync {
    /// What it has to know of a value until its number is encrypted.
    type Work;

    /// What encrypts; none if values become others in another way.
    fn ff1(&self) -> Option<&Ff1>;

    /// Takes a value apart. Of those that are not encrypted it makes at once what stands for them.
    fn begin(&self, value: Value<'_>, out: &mut Vec<u8>) -> Result<Begun<'_, Self::Work>, Refused>;

    /// Puts together what stands for the value, by the encrypted number.
    fn end(&self, work: Self::Work, value: Value<'_>, made: Halves, out: &mut Vec<u8>) -> Masked;
}

const HAS_CIPHER: &str = "only what has a cipher has numbers for it";

/// A value that has been taken apart.
pub(super) enum Begun<'a, W> {
    /// All is done.
    Done(Masked),
    /// A number that is to be encrypted.
    Number(&'a Form, Halves, W),
}

/// Masks one value.
pub(super) fn one<C: Ciphered>(
    kind: &C,
    value: Value<'_>,
    out: &mut Vec<u8>,
) -> Result<Masked, Refused> {
    Ok(match kind.begin(value, out)? {
        Begun::Done(masked) => masked,
        Begun::Number(form, number, work) => {
            let made = kind.ff1().expect(HAS_CIPHER).encrypt(form, number);
            kind.end(work, value, made, out)
        }
    })
}

impl<C: Ciphered> Mask for C {
    fn mask(
        &self,
        value: Value<'_>,
        _given: &Given<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Masked, Refused> {
        one(self, value, out)
    }

    fn at_once(&self) -> usize {
        if self.ff1().is_some() { LANES } else { 1 }
    }

    fn mask_all(&self, tasks: &mut [Task<'_>]) -> Result<(), Refused> {
        let mut lanes = Vec::with_capacity(tasks.len());
        let mut works = Vec::with_capacity(tasks.len());
        for (at, task) in tasks.iter_mut().enumerate() {
            match self.begin(task.value, &mut task.cell.buffer)? {
                Begun::Done(masked) => task.cell.made = Some(masked),
                Begun::Number(form, number, work) => {
                    lanes.push(Lane { form, number });
                    works.push((at, work));
                }
            }
        }
        if !lanes.is_empty() {
            self.ff1().expect(HAS_CIPHER).encrypt_all(&mut lanes);
        }
        for (lane, (at, work)) in lanes.iter().zip(works) {
            let task = &mut tasks[at];
            let made = self.end(work, task.value, lane.number, &mut task.cell.buffer);
            task.cell.made = Some(made);
        }
        Ok(())
    }
}
