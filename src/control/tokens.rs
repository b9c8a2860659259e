//! Tokens of the API: made, and revoked.

use std::time::Duration;

use chrono::Utc;

use super::jobs::{did_you_mean, near};
use super::{Caller, environments};
use crate::config::job::Settings;
use crate::error::{Error, Kind, Result};
use crate::state::{Scope, State, Token, TokenKind, hash_of, secret};

/// The longest name of a token.
const LONGEST: usize = 64;

/// A token that somebody wants.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// Its name.
    pub name: &'a str,
    /// What its bearer may do.
    pub scope: Scope,
    /// The environments that its bearer may do something to; empty: every one.
    pub to: &'a [String],
    /// The site that it is for.
    pub site: Option<&'a str>,
    /// After which time it ends; `None`: it stays until it is revoked.
    pub expires: Option<Duration>,
}

/// Makes a token, and returns its secret, which is kept nowhere.
pub fn create(
    settings: &Settings,
    state: &State,
    wanted: &Wanted<'_>,
    caller: &Caller,
) -> Result<String> {
    let make = || {
        let token = checked(settings, state, wanted, caller)?;
        let text = secret()?;
        state.add_token(&token, &hash_of(&text))?;
        Ok(text)
    };
    caller.audit(state, "token create", &named(wanted.name), make())
}

/// Ends a token, and the sessions that were opened with it. `Kind::Unknown`: there is no such token.
pub fn revoke(state: &State, name: &str, caller: &Caller) -> Result<()> {
    let end = || {
        if state.revoke(name)? {
            return Ok(());
        }
        let all = state.tokens()?;
        let near = near(name, all.iter().map(|token| token.name.as_str()));
        let error = Error::new(Kind::Unknown, format!("there is no token `{name}`"));
        Err(error.hint(if near.is_empty() {
            "`envsyncd token list` lists all tokens".to_owned()
        } else {
            did_you_mean(&near)
        }))
    };
    caller.audit(state, "token revoke", &named(name), end())
}

/// Whether something may be a token's name. The error says what may be in one.
pub fn check_name(name: &str) -> Result<(), String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || name.len() > LONGEST || !name.chars().all(fine) {
        return Err(format!(
            "a token's name has letters, digits, `.`, `_` and `-`, {LONGEST} of them at the most"
        ));
    }
    Ok(())
}

fn checked(
    settings: &Settings,
    state: &State,
    wanted: &Wanted<'_>,
    caller: &Caller,
) -> Result<Token> {
    check_name(wanted.name).map_err(|why| Error::new(Kind::Usage, why))?;
    let mut to = Vec::new();
    for environment in wanted.to {
        environments::check_name(environment, settings, Some(state))?;
        to.push(settings.canonical(environment));
    }
    if let Some(site) = wanted.site {
        settings.site(site)?;
    }
    let created_at = Utc::now();
    let end = |length| created_at.checked_add_signed(chrono::Duration::from_std(length).ok()?);
    let too_long = || Error::new(Kind::Usage, "the token would expire after the end of time");
    let expires_at = match wanted.expires {
        Some(length) => Some(end(length).ok_or_else(too_long)?),
        None => None,
    };
    Ok(Token {
        name: wanted.name.to_owned(),
        kind: TokenKind::Token,
        scope: wanted.scope,
        to,
        site: wanted.site.map(str::to_owned),
        by: caller.name.clone(),
        created_at,
        expires_at,
        last_used_at: None,
    })
}

fn named(token: &str) -> String {
    format!("token `{token}`")
}
