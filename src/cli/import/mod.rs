//! `import`: other tools' files, turned into jobs and sites.

mod assignments;
mod drush;
#[cfg(test)]
mod fuzz;
mod govuk;
mod written;

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::options::{Options, settings};
use super::{terminal, validate};
use crate::config::job::{JobName, Settings};
use crate::config::{Diagnostic, Diagnostics};
use crate::error::{self, Error, Kind, Result};
use crate::policy::Environment;
use crate::{config, policy, store};

/// Turn other tools' files into jobs and sites
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd import govuk /etc/govuk_env_sync/pull_publishing_api_production_daily.cfg\n  envsyncd import drush drush/sites/main.site.yml",
    arg_required_else_help = true
)]
pub(super) struct Args {
    #[command(subcommand)]
    tool: Tool,
}

#[derive(Debug, clap::Subcommand)]
enum Tool {
    Govuk(Govuk),
    Drush(Drush),
}

/// Turn .cfg files of alphagov's govuk_env_sync.sh into jobs
///
/// A push or pull of a PostgreSQL or MySQL database through S3 becomes a job with the file's name, which is validated before
/// it is written. If something in a file has no counterpart, the reason is printed and nothing is written for that file. The
/// files are read and never executed: a variable or a command in a value is refused.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd import govuk /etc/govuk_env_sync/pull_publishing_api_production_daily.cfg\n  envsyncd import govuk --from production --to staging --output /etc/envsyncd/config.d pull_signon.cfg pull_release.cfg\n  envsyncd import govuk --from staging --user backup push_whitehall_staging.cfg\n\nExit codes: 0 all files were converted, 1 some were not, 2 usage or configuration"
)]
struct Govuk {
    /// Files of govuk_env_sync
    #[arg(value_name = "FILE.cfg", required = true)]
    files: Vec<PathBuf>,
    /// Environment that data comes from [default: for a push, this host's; for a pull, the one in the bucket's name]
    #[arg(long, value_name = "ENV")]
    from: Option<String>,
    /// Environment that data goes to [default: for a pull, this host's; for a push, none]
    #[arg(long, value_name = "ENV")]
    to: Option<String>,
    /// Store the script's own dumps in the bucket, or snapshots
    #[arg(long, value_enum, default_value = "govuk")]
    format: govuk::Format,
    /// Connect to the database servers as this user
    #[arg(long, value_name = "NAME", default_value = govuk::USER)]
    user: String,
    /// Write the jobs into this directory [default: job_dir of the settings]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Overwrite existing jobs
    #[arg(long)]
    force: bool,
}

/// Turn Drush's site aliases into environments and sites
///
/// What `pull` needs is written as text for envsyncd.toml, to standard output or into a new file: environments, where a site's
/// files are, its host names. What is not known stands there as a comment, and is said on standard error. Aliases have no
/// databases: Drush finds them on the host. The files are read and never executed. Nothing is written unless envsyncd.toml is
/// valid with it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd import drush drush/sites/*.site.yml\n  envsyncd import drush --site main drush/sites/self.site.yml --output /etc/envsyncd/envsyncd.toml\n  envsyncd import drush ~/.drush/main.aliases.drushrc.php >>/etc/envsyncd/envsyncd.toml\n\nExit codes: 0 all files were understood, 1 some were not, or envsyncd.toml would not be valid, 2 usage or configuration"
)]
struct Drush {
    /// Files of Drush: NAME.site.yml, NAME.aliases.drushrc.php, NAME.alias.drushrc.php or aliases.drushrc.php
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Call the site so [default: as the file; `main` where that says nothing]
    #[arg(long, value_name = "SITE")]
    site: Option<String>,
    /// Write into this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Overwrite an existing file
    #[arg(long, requires = "output")]
    force: bool,
}

pub(super) fn main(options: &Options, args: &Args) -> Result<u8> {
    match &args.tool {
        Tool::Govuk(args) => import_govuk(options, args),
        Tool::Drush(args) => import_drush(options, args),
    }
}

fn import_drush(options: &Options, args: &Drush) -> Result<u8> {
    let settings = settings(options)?;
    let mut aliases = Vec::new();
    let mut files = Vec::new();
    let mut all = true;
    for file in &args.files {
        let shown = file.display();
        match aliases_of(file) {
            Ok(read) => {
                for one in read.said {
                    terminal::note(&format!("{shown}:{}: {}", one.line, one.what));
                }
                if read.aliases.is_empty() {
                    all = false;
                    terminal::note(&format!("{shown}: NOT turned: it has no alias"));
                }
                aliases.extend(read.aliases);
                files.push(shown.to_string());
            }
            Err(why) => {
                all = false;
                terminal::note(&format!("{shown}: NOT turned: {why}"));
            }
        }
    }
    if aliases.is_empty() {
        terminal::note("nothing was written");
        return Ok(1);
    }
    if let Some(site) = &args.site {
        drush::rename(&mut aliases, site).map_err(|why| Error::new(Kind::Usage, why))?;
    }
    let around = drush::Around {
        files,
        environments: &settings.environments,
        sites: settings.sites.keys().map(String::as_str).collect(),
        host: settings.host_environment.as_ref(),
        stores: settings.stores,
    };
    let turned = drush::turn(&aliases, &around);
    if let Err(found) = check_settings(&settings, &turned.text, args.output.as_deref()) {
        terminal::note(&format!("{found}\n"));
        for remark in turned.remarks {
            terminal::note(&remark);
        }
        terminal::note(
            "NOT turned: envsyncd.toml would not be valid with what becomes of these aliases; nothing was written",
        );
        return Ok(1);
    }
    match &args.output {
        Some(file) => {
            put_text(file, &turned.text, args.force)?;
            terminal::note(&format!("written to {}", file.display()));
        }
        None => {
            terminal::print(&turned.text)?;
        }
    }
    for remark in turned.remarks {
        terminal::note(&remark);
    }
    Ok(u8::from(!all))
}

/// Reads a file of aliases, or says why not, with the line.
fn aliases_of(file: &Path) -> std::result::Result<drush::Read, String> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let kind = drush::kind(&name).ok_or(
        "its name is none that Drush has: NAME.site.yml, NAME.aliases.drushrc.php, NAME.alias.drushrc.php or aliases.drushrc.php",
    )?;
    let text = text_of(file).map_err(|error| format!("it cannot be read: {error}"))?;
    drush::read(&text, &kind, "main").map_err(|flaw| format!("line {}: {}", flaw.line, flaw.what))
}

/// What `validate` would say of the settings with this text behind them, as it is added to them; alone, where it is written
/// over them.
fn check_settings(
    settings: &Settings,
    text: &str,
    output: Option<&Path>,
) -> std::result::Result<(), Diagnostics> {
    let is_overwritten = |file: &Path| {
        let output = output.and_then(|output| fs::canonicalize(output).ok());
        output.is_some() && output == fs::canonicalize(file).ok()
    };
    let file = settings.file.as_deref();
    let known = match file.filter(|file| !is_overwritten(file)) {
        Some(file) => text_of(file)
            .map_err(|error| Diagnostic::of_file(file, format!("cannot be read: {error}")))?,
        None => String::new(),
    };
    let file = file.unwrap_or(Path::new(config::SETTINGS_FILE));
    let whole = format!("{known}{text}");
    let (read, _) =
        config::understand_settings(file, whole.clone(), config::environment(), settings.stores)?;
    // What cannot be done already is none of the aliases'.
    let before = validate::refusals_of_sites(settings, Some(&known));
    let mut found = validate::refusals_of_sites(&read, Some(&whole));
    found.retain(|one| !before.contains(one));
    Diagnostics::settle(found).map(drop)
}

/// Writes a file in one step.
fn put_text(file: &Path, text: &str, force: bool) -> Result<()> {
    let failed = || error::io(format!("{} cannot be written", file.display()));
    if !force && fs::symlink_metadata(file).is_ok() {
        let what = format!("{} is there already", file.display());
        return Err(Error::new(Kind::Usage, what)
            .hint("write to standard output and add the text, or --force overwrites the file"));
    }
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let temporary = file.with_file_name(format!(".{name}.{}", std::process::id()));
    fill(&temporary, text).map_err(failed())?;
    let put = if force {
        fs::rename(&temporary, file)
    } else {
        fs::hard_link(&temporary, file)
    };
    // After a rename it is gone already.
    let _ = fs::remove_file(&temporary);
    put.map_err(failed())
}

fn import_govuk(options: &Options, args: &Govuk) -> Result<u8> {
    let settings = settings(options)?;
    let directory = args.output.as_deref().unwrap_or(&settings.job_dir);
    if !directory.is_dir() {
        return Err(Error::new(
            Kind::Usage,
            format!("{} is not a directory", directory.display()),
        )
        .hint("make it, or name another one with --output DIR"));
    }
    let from = args.from.as_ref().map(Environment::new);
    let to = args.to.as_ref().map(Environment::new);
    let mut names = BTreeSet::new();
    let mut all = true;
    for file in &args.files {
        // The script's own place, and where a copy of its files has it.
        let env_dir = file.with_file_name("env.d");
        let region = fs::read_to_string(env_dir.join("AWS_REGION")).unwrap_or_default();
        let region = region.lines().next().unwrap_or_default().trim();
        let is_region = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let around = govuk::Around {
            file: file.display().to_string(),
            environments: &settings.environments,
            host: settings.host_environment.as_ref(),
            from: from.as_ref(),
            to: to.as_ref(),
            user: &args.user,
            format: args.format,
            env_dir: settings
                .env_dir
                .is_none()
                .then(|| env_dir.display().to_string()),
            region: (!region.is_empty() && region.chars().all(is_region)).then_some(region),
        };
        let mut name = file.file_stem().unwrap_or_default().to_owned();
        name.push(".toml");
        let job = directory.join(name);
        let outcome = turn(file, &around).and_then(|turned| {
            if !names.insert(job.clone()) {
                return Err(vec!["another of these files has the same name".to_owned()]);
            }
            put(&job, &turned.text, &settings, args.force)?;
            Ok(turned.remarks)
        });
        let (verdict, lines) = match outcome {
            Ok(remarks) => (format!("written to {}", job.display()), remarks),
            Err(reasons) => {
                all = false;
                ("NOT turned".to_owned(), reasons)
            }
        };
        let mut text = format!("{}: {verdict}\n", file.display());
        for line in lines {
            text.push_str(&format!("  - {line}\n"));
        }
        terminal::print(&text)?;
    }
    Ok(u8::from(!all))
}

fn text_of(file: &Path) -> io::Result<String> {
    let bytes = config::contents(file)?;
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8"))
}

/// Reads one file. What is wrong is told with its place.
fn turn(
    file: &Path,
    around: &govuk::Around<'_>,
) -> std::result::Result<govuk::Turned, Vec<String>> {
    let at = |flaw: assignments::Flaw| match flaw.line {
        0 => flaw.what,
        line => format!("{}:{line}: {}", file.display(), flaw.what),
    };
    let text = text_of(file).map_err(|error| vec![format!("it cannot be read: {error}")])?;
    let assignments = assignments::parse(&text).map_err(|flaw| vec![at(flaw)])?;
    govuk::turn(&assignments, around).map_err(|flaws| flaws.into_iter().map(at).collect())
}

/// Writes a job that a run would accept, in one step; anything else is not written.
fn put(
    job: &Path,
    text: &str,
    settings: &Settings,
    force: bool,
) -> std::result::Result<(), Vec<String>> {
    let failed = |error: io::Error| vec![format!("{} cannot be written: {error}", job.display())];
    let there = || {
        vec![format!(
            "{} is there already: --force overwrites it",
            job.display()
        )]
    };
    if let Err(why) = JobName::of_file(job) {
        return Err(vec![format!("{why}: rename the file")]);
    }
    if !force && fs::symlink_metadata(job).is_ok() {
        return Err(there());
    }
    // Hidden, so that the daemon does not take it for a job.
    let name = job.file_name().unwrap_or_default().to_string_lossy();
    let temporary = job.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = fill(&temporary, text)
        .map_err(failed)
        .and_then(|()| check(job, &temporary, settings))
        .and_then(|()| {
            if force {
                fs::rename(&temporary, job).map_err(failed)
            } else {
                // A link is not made over a file that came in the meantime.
                match fs::hard_link(&temporary, job) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(there()),
                    other => other.map_err(failed),
                }
            }
        });
    // After a rename it is gone already.
    let _ = fs::remove_file(&temporary);
    written
}

fn fill(file: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(file)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// What `validate` would say of it.
fn check(job: &Path, copy: &Path, settings: &Settings) -> std::result::Result<(), Vec<String>> {
    let (job, _) = config::load_job_as(job, copy, settings).map_err(|found| {
        let errors = found
            .iter()
            .filter(|one| one.severity == config::Severity::Error);
        errors
            .map(|one| match &one.flaw.help {
                Some(help) => format!("{}: {help}", one.flaw.message),
                None => one.flaw.message.clone(),
            })
            .collect::<Vec<_>>()
    })?;
    let unable = job.tasks.iter().flat_map(store::registry::refusals);
    let unable: Vec<String> = unable.map(|one| one.why).collect();
    if !unable.is_empty() {
        return Err(unable);
    }
    policy::permit(&job.environments, &job.from, &job.to).map_err(|error| vec![error.to_string()])
}
