//! `token create`, `list` and `revoke`

use std::time::Duration;

use chrono::Utc;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};

use super::options::{Options, caller, settings};
use super::state::{state_to_read, state_to_steer};
use super::table::{Cell, Table, Tone, column, less};
use super::terminal;
use super::terminal::Screen;
use crate::control::{documents, tokens};
use crate::error::Result;
use crate::state::{Scope, Token};

/// Make, list and revoke the tokens of the API
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd token create ci --scope run --to staging\n  envsyncd token list\n  envsyncd token revoke ci"
)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Create(CreateArgs),
    List(ListArgs),
    Revoke(RevokeArgs),
}

/// Make a token, and print it: it is shown this once, and kept as a hash
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd token create dashboard --scope read\n  envsyncd token create ci --scope run --to staging --expires 90d\n  envsyncd token create ci --scope run --site main > /root/ci.token\n\nScopes, each with all of the one before it: `read` looks at everything; `run` starts and cancels runs, pauses and holds; `admin` writes job files."
)]
struct CreateArgs {
    /// Its name, for the audit list: letters, digits, `.`, `_`, `-`
    #[arg(value_parser = name)]
    name: String,
    /// Say what its bearer may do
    #[arg(long, value_name = "SCOPE", value_parser = scope())]
    scope: Scope,
    /// Let its bearer do so in this environment only (can be repeated)
    #[arg(long, value_name = "ENV")]
    to: Vec<String>,
    /// Let its bearer do so to this site only
    #[arg(long, value_name = "SITE")]
    site: Option<String>,
    /// End it after this long: "90d", "12h"
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    expires: Option<Duration>,
}

/// List the tokens: what each may do, and when it was last used
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  envsyncd token list\n  envsyncd token list --json")]
struct ListArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// End a token, and the panel's sessions that were opened with it
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  envsyncd token revoke ci")]
struct RevokeArgs {
    /// Its name
    name: String,
}

fn name(text: &str) -> Result<String, String> {
    tokens::check_name(text).map(|()| text.to_owned())
}

fn scope() -> impl clap::builder::TypedValueParser<Value = Scope> {
    PossibleValuesParser::new(Scope::ALL.iter().map(|scope| scope.as_str()))
        .try_map(|text| Scope::parse(&text).ok_or("there is no such scope"))
}

pub(super) fn main(options: &Options, args: &Args) -> Result<u8> {
    match &args.verb {
        Verb::Create(args) => create(options, args),
        Verb::List(args) => list(options, args),
        Verb::Revoke(args) => revoke(options, args),
    }
}

fn create(options: &Options, args: &CreateArgs) -> Result<u8> {
    let settings = settings(options)?;
    let state = state_to_steer(&settings)?;
    let wanted = tokens::Wanted {
        name: &args.name,
        scope: args.scope,
        to: &args.to,
        site: args.site.as_deref(),
        expires: args.expires,
    };
    let text = tokens::create(&settings, &state, &wanted, &caller())?;
    terminal::print(&format!("{text}\n"))?;
    Ok(0)
}

fn list(options: &Options, args: &ListArgs) -> Result<u8> {
    let settings = settings(options)?;
    let tokens = match state_to_read(options, &settings)? {
        Some(state) => state.tokens()?,
        None => Vec::new(),
    };
    if args.json {
        terminal::print_json(&documents::Tokens {
            version: documents::VERSION,
            tokens: tokens.iter().map(documents::Token::new).collect(),
        })?;
    } else if tokens.is_empty() {
        terminal::note("no tokens; `envsyncd token create` makes one");
    } else {
        show(&tokens)?;
    }
    Ok(0)
}

fn show(tokens: &[Token]) -> Result<()> {
    let now = Utc::now();
    let when = |at| Cell::or(terminal::when(at, now), terminal::relative(at, now));
    let mut table = Table::new(&[
        column("TOKEN"),
        column("SCOPE"),
        column("LIMITS"),
        column("EXPIRES"),
        column("LAST USED"),
        less("BY", 1),
    ]);
    for token in tokens {
        table.row(
            Tone::Plain,
            vec![
                token.name.as_str().into(),
                token.scope.as_str().into(),
                limits(token).into(),
                token.expires_at.map_or_else(|| "never".into(), when),
                token.last_used_at.map_or_else(|| "never".into(), when),
                token.by.as_str().into(),
            ],
        );
    }
    let mut screen = Screen::new();
    screen.table(&table);
    screen.show().map(drop)
}

/// `to staging, integration; site main`
fn limits(token: &Token) -> String {
    let to = (!token.to.is_empty()).then(|| format!("to {}", token.to.join(", ")));
    let site = token.site.as_ref().map(|site| format!("site {site}"));
    let limits: Vec<String> = to.into_iter().chain(site).collect();
    limits.join("; ")
}

fn revoke(options: &Options, args: &RevokeArgs) -> Result<u8> {
    let settings = settings(options)?;
    let state = state_to_steer(&settings)?;
    tokens::revoke(&state, &args.name, &caller())?;
    if options.verbosity() >= 0 {
        terminal::note(&format!("token {} is revoked", args.name));
    }
    Ok(0)
}
