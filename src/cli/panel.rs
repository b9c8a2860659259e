//! `panel`

use chrono::{Duration, Utc};

use super::options::{Options, asker, settings};
use super::terminal;
use crate::config::http::{Listen, Scope};
use crate::error::{Error, Kind, Result};
use crate::process::host_name;
use crate::state::{Token, TokenKind, hash_of, secret};

/// How long a link can be used.
const LASTS: i64 = 10;

/// Print a link that logs you in to the control panel, once
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd panel\n\nThe link works once, within ten minutes, with the scope `admin`. Whoever may write into the state directory may print one."
)]
pub(super) struct Args {}

pub(super) fn main(options: &Options, _: &Args) -> Result<u8> {
    let settings = settings(options)?;
    let Some(http) = &settings.http else {
        return Err(Error::new(Kind::Config, "there is no control panel")
            .hint("add a table [http] to envsyncd.toml, and restart the daemon"));
    };
    let state = super::state::state_to_steer(&settings)?;
    let key = secret()?;
    let now = Utc::now();
    let link = Token {
        name: asker(),
        kind: TokenKind::Link,
        scope: Scope::Admin,
        to: Vec::new(),
        site: None,
        by: asker(),
        created_at: now,
        expires_at: Some(now + Duration::minutes(LASTS)),
        last_used_at: None,
    };
    state.add_token(&link, &hash_of(&key))?;
    if !state.has_daemon()? {
        terminal::note("no daemon is running: the link works once one is");
    }
    let scheme = if http.tls.is_some() { "https" } else { "http" };
    let at = match &http.listen {
        Listen::Tcp(address) if address.ip().is_unspecified() => {
            let host = http.hosts.first().cloned().unwrap_or_else(host_name);
            format!("{host}:{}", address.port())
        }
        Listen::Tcp(address) => address.to_string(),
        Listen::Unix(path) => {
            terminal::note(&format!(
                "it listens at a unix socket; on your own machine: ssh -L 8463:{} {}",
                path.display(),
                host_name()
            ));
            "localhost:8463".to_owned()
        }
    };
    terminal::print(&format!("{scheme}://{at}/login?link={key}\n"))?;
    Ok(0)
}
