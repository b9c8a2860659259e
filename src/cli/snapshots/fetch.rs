//! `snapshots fetch NAME DIRECTORY`

use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::bar::Bar;
use super::json;
use super::place::{Found, Place};
use super::words::words;
use crate::archive::bucket::Bucket;
use crate::cli::options::Options;
use crate::cli::terminal;
use crate::config;
use crate::error::{Kind, Result, io};
use crate::guard::process::host_name;
use crate::guard::signals;
use crate::store::Claim;

/// Download a snapshot into a directory
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd snapshots fetch -f config.d/publishing-api-pull.toml newest /srv/restore\n  envsyncd snapshots fetch s3://backups/publishing-api 20260102T001800Z /srv/restore\n\nThe snapshot becomes the folder DIRECTORY/NAME, and file:///DIRECTORY an archive that can be pulled from. Every block is checked against the manifest on the way, and the manifest is written last",
    override_usage = "envsyncd snapshots fetch [OPTIONS] -f <FILE> <NAME> <DIRECTORY>\n       envsyncd snapshots fetch [OPTIONS] <ARCHIVE> <NAME> <DIRECTORY>"
)]
pub(super) struct Args {
    /// Without -f, an endpoint's name or a URL; then the snapshot's name, or `newest`; then the directory
    #[arg(value_name = "[ARCHIVE] NAME DIRECTORY", required = true, num_args = 2..=3)]
    words: Vec<String>,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn main(options: &Options, args: &Args) -> Result<u8> {
    let (found, rest) = Found::open(options, &args.place, &args.words)?;
    let [word, directory] = words(rest, ["NAME", "DIRECTORY"])?;
    let directory = std::path::absolute(directory)
        .map_err(io(format!("the directory {directory} cannot be used")))?;
    if let Some(dumps) = found.dumps(Some(word)).await? {
        return dumps
            .fetch(options, word, &directory, args.place.json)
            .await;
    }
    let site = found.into_snapshots(&args.place).await?;
    let to = Bucket::open(&config::archive_in(&directory)?, &site.lookup).await?;
    let chosen = site.choose(word).await?;
    let cancel = CancellationToken::new();
    let signals = signals::listen(cancel.clone())?;
    let reader = Claim {
        job: "snapshots fetch".to_owned(),
        run: uuid::Uuid::now_v7().to_string(),
        host: host_name(),
    };
    let bar = Bar::new(options, "fetch");
    let fetched = site
        .snapshots
        .fetch(&chosen, &to, &reader, bar.clone(), &cancel)
        .await;
    bar.end();
    let folder = directory.join(chosen.name.to_string());
    if let Err(error) = fetched {
        // What was there before us is not ours to remove.
        if error.kind() != Kind::Usage {
            site.snapshots.forget(&chosen, &to).await?;
            remove_empty(&folder);
        }
        return Err(match signals.received() {
            Some(signal) => error.with_kind(Kind::Cancelled(signal)),
            None => error,
        });
    }
    let (files, size) = (chosen.manifest.files().count(), chosen.manifest.size());
    if args.place.json {
        terminal::print_json(&json::Fetch {
            version: json::VERSION,
            archive: site.snapshots.place(),
            name: chosen.name.to_string(),
            path: folder.display().to_string(),
            files,
            stored_bytes: size,
        })?;
    } else {
        terminal::print(&format!(
            "{}: {} files, {}\n",
            folder.display(),
            terminal::number(files as u64),
            terminal::bytes(size)
        ))?;
    }
    Ok(0)
}

/// Removes a folder's empty folders, and itself if it is empty then.
fn remove_empty(folder: &Path) {
    let below: Vec<PathBuf> = std::fs::read_dir(folder)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    // What has something in it stays; so does what cannot be removed, and does no harm.
    for path in below {
        let _ = std::fs::remove_dir(path);
    }
    let _ = std::fs::remove_dir(folder);
}
