//! `snapshots list | show | verify | prune | fetch`: what lies in an archive.

mod bar;
mod dumps;
mod fetch;
mod json;
mod list;
mod place;
mod prune;
mod show;
mod verify;
mod words;

use super::options::Options;
use super::runtime::runtime;
use crate::error::Result;
use crate::report::log;

/// List, show, verify, prune and fetch snapshots in an archive
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd snapshots list -f config.d/publishing-api-push.toml\n  envsyncd snapshots list s3://backups/publishing-api\n  envsyncd snapshots show -f config.d/publishing-api-push.toml newest\n  envsyncd snapshots verify backups --all\n  envsyncd snapshots prune -f config.d/publishing-api-push.toml --dry-run\n  envsyncd snapshots fetch s3://backups/publishing-api newest /srv/restore\n\nName the archive by a job file (-f), which also has its credentials and key, or as ARCHIVE: an endpoint's name or a URL. NAME is a snapshot's name, enough of its beginning or end to be unique, or `newest`"
)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    List(list::Args),
    Show(show::Args),
    Verify(verify::Args),
    Prune(prune::Args),
    Fetch(fetch::Args),
}

pub(super) fn main(options: &Options, args: &Args) -> Result<u8> {
    // Whoever asks a bucket wants to hear that it is asked again; whoever runs in another log has it.
    let _ = log::init(&options.log());
    let runtime = runtime(2)?;
    let code = runtime.block_on(async {
        match &args.verb {
            Verb::List(args) => list::main(options, args).await,
            Verb::Show(args) => show::main(options, args).await,
            Verb::Verify(args) => verify::main(options, args).await,
            Verb::Prune(args) => prune::main(options, args).await,
            Verb::Fetch(args) => fetch::main(options, args).await,
        }
    });
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    code
}
