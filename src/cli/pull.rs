//! `pull`: a site's data, out of an environment above into this host's own. There is no argument for the target, so that
//! nobody can mistake the direction.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use chrono::Utc;

use super::options::{self, Options};
use super::state::state_to_read;
use super::terminal;
use super::which::Place;
use super::{plan, run, validate};
use crate::config::Diagnostics;
use crate::config::job::{Job, Mode, Settings};
use crate::config::sites::FILES;
use crate::error::{self, Error, Kind, Result};
use crate::report::log;
use crate::run::plan::TaskPlan;
use crate::state::{Run, Verb};

/// Copy a site's data from an environment above into this host's own
///
/// What it goes into is `host_environment` of envsyncd.toml, and nothing else. What will be overwritten is shown, and a
/// terminal is asked; elsewhere, --yes says it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd pull @production\n  envsyncd pull @prod --site main --only database\n  envsyncd pull @prod --only files --exact\n  envsyncd pull @production --dry-run\n  envsyncd pull @production --yes\n\n`envsyncd links --install DIR` makes the shorter `dsql @production` and `dfiles @production`.\n\nExit codes: 0 succeeded (warnings included), 1 failed, 2 usage or configuration, 3 refused by policy, 75 the target is busy or held (try again later), 130 and 143 cancelled by SIGINT and SIGTERM, or by who was asked"
)]
pub(super) struct Args {
    /// The environment that the data comes from, or an alias of it
    #[arg(value_name = "@ENV", value_parser = environment)]
    from: String,
    /// The site [default: the only one that envsyncd.toml has]
    #[arg(long, value_name = "SITE")]
    site: Option<String>,
    /// Copy only this of it: database or files (can be repeated)
    #[arg(long, value_name = "TASK")]
    only: Vec<String>,
    /// What a link to the program stands for.
    #[arg(long, value_name = "TASK", hide = true)]
    alone: Option<String>,
    /// Have files be an exact copy: what only this host has goes, too
    #[arg(long)]
    exact: bool,
    /// Overwrite without asking
    #[arg(short, long, conflicts_with = "dry_run")]
    yes: bool,
    /// Show what would be copied; change nothing
    #[arg(long)]
    dry_run: bool,
}

/// An environment's name as Drush writes a site's: with an `@`.
fn environment(text: &str) -> Result<String, String> {
    match text.strip_prefix('@') {
        Some("") => Err("behind the @ comes an environment's name, as in `@production`".to_owned()),
        Some(name) => Ok(name.to_owned()),
        None => Err(format!("write it with an @, as in `@{text}`")),
    }
}

pub(super) fn main(options: &Options, args: &Args) -> Result<u8> {
    let settings = options::settings(options)?;
    let only = args.only()?;
    let to = own_environment(&settings)?;
    let site = site(&settings, args.site.as_deref())?;
    // What is refused is so before anybody is asked.
    let place = Place::Site {
        site: &site,
        from: &args.from,
        to: &to,
    };
    let made = || {
        let job = settings.site_job(&site, &args.from, &to);
        let mut job = job.map_err(|error| with_way_out(error, &settings, &to))?;
        if args.exact {
            be_exact(&mut job, &site)?;
        }
        let part = job.clone().only(&only)?;
        Diagnostics::settle(validate::refusals(&part, None)).map_err(options::wrong)?;
        Ok((part, job))
    };
    let (part, job) = made().inspect_err(|error| {
        if !args.dry_run {
            run::refused(
                &options::caller(),
                &settings,
                Verb::Run.as_str(),
                place,
                error,
            );
        }
    })?;
    if args.dry_run {
        return plan::show(options, settings, part, false);
    }
    if !args.yes && !is_wanted(options, part, &settings, &site)? {
        terminal::note("nothing was changed");
        return Ok(130);
    }
    run::run(options, settings, job, &only)
}

impl Args {
    /// The tasks that are asked for; none: all of them.
    fn only(&self) -> Result<Vec<String>> {
        let refuse = |what: String| Err(Error::new(Kind::Usage, what));
        let only = match &self.alone {
            Some(alone) if self.only.iter().any(|task| task != alone) => {
                return refuse(format!("called by this name, it copies {alone} alone"))
                    .map_err(|error| error.hint("call it envsyncd pull @ENV --only TASK"));
            }
            Some(alone) => vec![alone.clone()],
            None => self.only.clone(),
        };
        if self.exact && !only.is_empty() && !only.iter().any(|task| task == FILES) {
            return refuse(format!(
                "--exact is for files, and only {} is copied",
                only.join(" and ")
            ))
            .map_err(|error| error.hint("a database is always an exact copy"));
        }
        Ok(only)
    }
}

/// What policy refuses, with the environments that can be pulled from instead.
fn with_way_out(error: Error, settings: &Settings, to: &str) -> Error {
    if error.kind() != Kind::Policy {
        return error;
    }
    let Some(own) = settings.environments.named(to) else {
        return error;
    };
    let names = settings.environments.names();
    let above: Vec<String> = (names.filter(|name| settings.environments.is_ancestor(name, own)))
        .map(|name| format!("@{name}"))
        .collect();
    error.hint(if above.is_empty() {
        format!("this host is of `{to}` (host_environment), which is at the top: nothing is ever pulled into it")
    } else {
        format!("this host is of `{to}` (host_environment), and can pull {}", above.join(" or "))
    })
}

/// Has files be an exact copy.
fn be_exact(job: &mut Job, site: &str) -> Result<()> {
    let files = job.tasks.iter_mut().find(|task| task.name == FILES);
    let Some(files) = files else {
        let what = format!(
            "--exact is for files, and site `{site}` has none in `{}`",
            job.to
        );
        return Err(Error::new(Kind::Usage, what).hint("a database is always an exact copy"));
    };
    files.mode = Mode::Replace;
    Ok(())
}

/// The environment that this host is of.
fn own_environment(settings: &Settings) -> Result<String> {
    settings.host_environment.as_ref().map_or_else(
        || {
            Err(Error::new(
                Kind::Config,
                "it is not known which environment this host is of, and `pull` copies into no other",
            )
            .hint("write it into envsyncd.toml: host_environment = \"ENV\""))
        },
        |environment| Ok(environment.as_str().to_owned()),
    )
}

/// The site that is meant.
fn site(settings: &Settings, asked: Option<&str>) -> Result<String> {
    if let Some(asked) = asked {
        return Ok(asked.to_owned());
    }
    let mut names = settings.sites.keys();
    match (names.next(), names.next()) {
        (Some(only), None) => Ok(only.clone()),
        (Some(_), Some(_)) => {
            let names: Vec<&str> = settings.sites.keys().map(String::as_str).collect();
            Err(
                Error::new(Kind::Usage, "this host has several sites").hint(format!(
                    "say which one: --site {}",
                    names.join(" or --site ")
                )),
            )
        }
        (None, _) => Err(
            Error::new(Kind::Config, "there are no sites in envsyncd.toml").hint(
                "write where the data is: [sites.main], production = { database = \"ENDPOINT\" }, and the same for this host's environment",
            ),
        ),
    }
}

/// Shows what will be overwritten, and asks.
fn is_wanted(options: &Options, job: Job, settings: &Settings, site: &str) -> Result<bool> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Error::new(
            Kind::Usage,
            format!(
                "this overwrites {}'s {site}, and there is no terminal to ask at",
                job.to
            ),
        )
        .hint("add --yes"));
    }
    let (name, from, to) = (job.name.clone(), job.from.clone(), job.to.clone());
    let last = state_to_read(options, settings)?
        .and_then(|state| state.last_run(name.as_str()).transpose())
        .transpose()?;
    let places: Vec<(String, Option<Mode>)> = (job.tasks.iter())
        .map(|task| {
            let place = format!("{} -> {}", task.source.url, task.target.url);
            (place, (task.name == FILES).then_some(task.mode))
        })
        .collect();
    // The run's own log says what there is to warn of.
    let plan = plan::made(options, job, settings.clone(), log::Counts::default())?;
    let mut text = format!("{site}: {from} -> {to}\n");
    for (task, (place, files)) in plan.tasks.iter().zip(&places) {
        text.push_str(&match files {
            Some(mode) => told_of_files(task, place, *mode, to.as_str()),
            None => told(task, place),
        });
    }
    text.push_str(&ran(last.as_ref()));
    terminal::note(text.trim_end());
    let asked = format!("This overwrites {to}'s {site}. Go on? [y/N] ");
    let mut out = io::stderr().lock();
    let written = out
        .write_all(terminal::printable(&asked).as_bytes())
        .and_then(|()| out.flush());
    written.map_err(error::io("cannot write to the terminal"))?;
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(error::io("cannot read from the terminal"))?;
    Ok(matches!(
        answer.trim().to_ascii_lowercase().as_str(),
        "y" | "yes"
    ))
}

/// What a task will do, in numbers.
fn told(task: &TaskPlan, place: &str) -> String {
    let masked: usize = task.parts.iter().map(|part| part.masks.len()).sum();
    let masked = match masked {
        0 => "nothing is masked".to_owned(),
        columns => format!("masked: {}", terminal::count(columns as u64, "column")),
    };
    format!(
        "  {}: {place}\n    {} in about {}, {masked}\n",
        task.name,
        terminal::bytes(task.bytes),
        terminal::count(task.rows, "row"),
    )
}

/// The same of files, and what becomes of those that the target alone has.
fn told_of_files(task: &TaskPlan, place: &str, mode: Mode, to: &str) -> String {
    let own = if mode == Mode::Replace {
        format!("what only {to} has is DELETED")
    } else {
        format!("what only {to} has stays")
    };
    format!(
        "  {}: {place}\n    {} in {} to copy, {own}\n",
        task.name,
        terminal::bytes(task.bytes),
        terminal::count(task.rows, "file"),
    )
}

/// How it went last time.
fn ran(last: Option<&Run>) -> String {
    let Some(run) = last else {
        return "  it has not been copied yet\n".to_owned();
    };
    let when = run
        .finished_at
        .map_or_else(|| "now".to_owned(), |at| terminal::relative(at, Utc::now()));
    format!(
        "  last time: {}, {when}, {}\n",
        run.state,
        terminal::bytes(run.bytes())
    )
}
