//! `snapshots show NAME`

use std::fmt::Write;

use chrono::Utc;

use super::json;
use super::list::size;
use super::place::{Place, Site};
use super::words::words;
use crate::archive::manifest::Manifest;
use crate::archive::snapshots::{Snapshot, State, Summary};
use crate::cli::options::Options;
use crate::cli::terminal;
use crate::error::Result;
use crate::store::Fate;

/// Show one snapshot: where it comes from, its tables, and what was left out
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd snapshots show -f config.d/publishing-api-push.toml newest\n  envsyncd snapshots show s3://backups/publishing-api 20260102T001800Z --json",
    override_usage = "envsyncd snapshots show [OPTIONS] -f <FILE> <NAME>\n       envsyncd snapshots show [OPTIONS] <ARCHIVE> <NAME>"
)]
pub(super) struct Args {
    /// Without -f, an endpoint's name or a URL; then the snapshot's name, or `newest`
    #[arg(value_name = "[ARCHIVE] NAME", required = true, num_args = 1..=2)]
    words: Vec<String>,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn main(options: &Options, args: &Args) -> Result<u8> {
    let (site, rest) = Site::open_for(options, &args.place, &args.words, "show").await?;
    let [word] = words(rest, ["NAME"])?;
    let chosen = site.choose(word).await?;
    let has_key = site.snapshots.has_key();
    let summary = Summary::new(&chosen.manifest, has_key);
    let tables = tables(&chosen.manifest);
    if args.place.json {
        let manifest = &chosen.manifest;
        let snapshot = Snapshot {
            name: chosen.name.clone(),
            state: State::Good(Box::new(summary)),
        };
        terminal::print_json(&json::Show {
            version: json::VERSION,
            archive: site.snapshots.place(),
            snapshot: json::Snapshot::new(&snapshot, has_key),
            changes: (manifest.changes.iter())
                .map(|change| json::Change {
                    name: &change.name,
                    fate: fate(change.fate),
                })
                .collect(),
            definitions: (manifest.definitions.iter())
                .map(|file| json::File {
                    path: &file.path,
                    stored_bytes: file.size,
                })
                .collect(),
            tables,
        })?;
        return Ok(0);
    }
    terminal::print(&text(&site, &chosen.manifest, &summary, &tables))?;
    Ok(0)
}

fn text(site: &Site, manifest: &Manifest, summary: &Summary, tables: &[json::Table]) -> String {
    let now = Utc::now();
    let facts = [
        ("snapshot", manifest.snapshot.clone()),
        ("archive", site.snapshots.place().to_owned()),
        ("job", format!("{}, run {}", manifest.job, manifest.run)),
        (
            "origin",
            format!(
                "{}, {} {}",
                manifest.origin, manifest.kind, manifest.server_version
            ),
        ),
        (
            "made by",
            format!("envsyncd {} on {}", manifest.tool_version, manifest.host),
        ),
        ("data of", terminal::when(manifest.taken_at, now)),
        ("finished", terminal::when(manifest.finished_at, now)),
        ("rows", terminal::number(summary.rows)),
        (
            "size",
            format!(
                "{}, {} before compression ({}{})",
                size(summary),
                terminal::bytes(summary.bytes),
                manifest.compression,
                (manifest.encryption.as_ref())
                    .map_or_else(String::new, |how| format!(", encrypted with {how}"))
            ),
        ),
        (
            "authentic",
            if summary.authentic {
                "yes".to_owned()
            } else {
                "there is no key to check it with".to_owned()
            },
        ),
    ];
    let mut text = String::new();
    for (name, value) in facts {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:10} {value}");
    }
    text.push('\n');
    text.push_str(&terminal::table(
        &["TABLE", "ROWS", "BYTES", "STORED", "FILES"],
        tables.iter().map(|table| {
            vec![
                table.name.clone(),
                terminal::number(table.rows),
                terminal::bytes(table.bytes),
                terminal::bytes(table.stored_bytes),
                table.files.to_string(),
            ]
        }),
    ));
    for change in &manifest.changes {
        let _ = writeln!(text, "{}: {}", fate(change.fate), change.name);
    }
    for file in &manifest.definitions {
        let _ = writeln!(text, "{}: {}", file.path, terminal::bytes(file.size));
    }
    text
}

/// As `plan` says it.
fn fate(fate: Fate) -> &'static str {
    match fate {
        Fate::Copy => "copied",
        Fate::Exclude => "excluded",
        Fate::SchemaOnly => "schema only",
        Fate::Keep => "kept",
    }
}

/// The manifest's parts, those of one table together, in its order.
fn tables(manifest: &Manifest) -> Vec<json::Table> {
    let mut tables: Vec<json::Table> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for stored in &manifest.parts {
        let name = stored.part.label();
        let place = *places.entry(name.clone()).or_insert(tables.len());
        if place == tables.len() {
            tables.push(json::Table {
                name,
                parts: 0,
                files: 0,
                rows: 0,
                bytes: 0,
                stored_bytes: 0,
            });
        }
        let table = &mut tables[place];
        table.parts += 1;
        table.files += stored.files.len();
        table.rows += stored.rows;
        table.bytes = table.bytes.saturating_add(stored.bytes);
        table.stored_bytes += stored.files.iter().map(|file| file.size).sum::<u64>();
    }
    tables
}
