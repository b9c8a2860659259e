//! What people and programs ask for: to run, cancel, pause and hold, and to write job files. One way for the command line, the API and the panel,
//! with the same refusals; whatever comes of it is in the audit list.

pub mod documents;
pub mod environments;
pub mod job_files;
pub mod jobs;
pub mod pauses;
pub mod runs;
pub mod tokens;

use chrono::Utc;

use crate::error::{Error, Kind, Result};
use crate::state::{self, Audited, State, Trigger};

/// The longest reason, in characters.
const LONGEST_REASON: usize = 1000;

/// Who asks for something.
#[derive(Debug, Clone)]
pub struct Caller {
    /// A user, or a token's name.
    pub name: String,
    /// What a run that it asks for is started by.
    pub trigger: Trigger,
    /// `cli`, `api` or `panel`.
    pub via: &'static str,
    /// Its address; empty: this machine.
    pub address: String,
}

impl Caller {
    /// An entry of the audit list.
    fn entry(&self, action: &str, object: &str, outcome: String) -> Audited {
        Audited {
            at: Utc::now(),
            who: self.name.clone(),
            via: self.via.to_owned(),
            address: self.address.clone(),
            action: action.to_owned(),
            object: object.to_owned(),
            outcome,
        }
    }

    /// Writes down why an action is not done. Whoever asked is told in any case.
    pub fn refused(&self, state: &State, action: &str, object: &str, why: String) {
        if let Err(error) = state.audit(&self.entry(action, object, why)) {
            tracing::warn!(%error, action, object, "a refusal is not in the audit list");
        }
    }

    /// Writes down that an action begins, which takes long; its end is said with what is returned.
    pub fn begin(&self, state: &State, action: &str, object: &str) -> Result<Begun> {
        let entry = state.audit(&self.entry(action, object, state::BEGUN.to_owned()))?;
        Ok(Begun {
            state: state.clone(),
            entry,
            object: object.to_owned(),
        })
    }

    /// Writes what came of an action into the audit list. The error is the action's own; or, where it is done and cannot
    /// be written down, that.
    pub fn audit<T>(
        &self,
        state: &State,
        action: &str,
        object: &str,
        outcome: Result<T>,
    ) -> Result<T> {
        let said = outcome.as_ref().err().map(Error::to_string);
        let said = said.unwrap_or_else(|| "ok".to_owned());
        let written = state.audit(&self.entry(action, object, said));
        match (outcome, written) {
            (Ok(_), Err(error)) => Err(error.within(format!(
                "{action} of {object} is done, and not in the audit list"
            ))),
            (outcome, _) => outcome,
        }
    }
}

/// An action in the audit list that has not ended.
pub struct Begun {
    state: State,
    entry: i64,
    object: String,
}

impl Begun {
    /// Says what came of it. The error is the action's own; or, where it is done and cannot be written down, that.
    pub fn end<T>(self, outcome: Result<T>) -> Result<T> {
        let said = outcome.as_ref().err().map(Error::to_string);
        let said = said.unwrap_or_else(|| "ok".to_owned());
        let written = self.state.audit_end(self.entry, &self.object, &said);
        match (outcome, written) {
            (Ok(_), Err(error)) => Err(error.within(format!(
                "{} is done, and its end is not in the audit list",
                self.object
            ))),
            (outcome, _) => outcome,
        }
    }
}

/// A reason as it is kept: one line for those who have to wait. The error says what is wrong with it.
pub fn reason(text: &str) -> Result<String, String> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.contains(crate::report::log::steers) {
        return Err("it has control characters in it".to_owned());
    }
    if text.is_empty() {
        return Err("say why, for those who wait".to_owned());
    }
    if text.chars().count() > LONGEST_REASON {
        return Err(format!("it has more than {LONGEST_REASON} characters"));
    }
    Ok(text)
}

fn checked(text: &str) -> Result<String> {
    reason(text).map_err(|why| Error::new(Kind::Usage, "this is no reason").because(why))
}

#[cfg(test)]
mod tests;
