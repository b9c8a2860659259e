//! The masks' key that a job had last: with another one, masked values are others.

use super::strict;
use super::{Durable, State};
use crate::error::Result;

/// The beginning of a row's name in errors.
const KEY: &str = "masks' key of";

impl State {
    /// The fingerprint of the key that the job's last published run had, if it masked.
    pub fn mask_key(&self, job: &str) -> Result<Option<String>> {
        self.read("cannot read a job's key for masks", |t| {
            let mut statement =
                t.prepare("SELECT job, fingerprint FROM mask_keys WHERE job = ?1")?;
            strict::first(statement.query([job])?, KEY, |row| row.word("fingerprint"))
        })
    }

    /// Notes the fingerprint of the key that was used.
    pub fn set_mask_key(&self, job: &str, fingerprint: &str) -> Result<()> {
        self.write(
            "cannot record a job's key for masks",
            Durable::Process,
            |t| {
                t.execute(
                    "INSERT INTO mask_keys (job, fingerprint) VALUES (?1, ?2) \
                 ON CONFLICT (job) DO UPDATE SET fingerprint = excluded.fingerprint",
                    [job, fingerprint],
                )?;
                Ok(Ok(()))
            },
        )
    }
}
