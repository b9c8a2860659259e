//! `status [JOB]`, once or live

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::options::{Options, settings};
use super::state::state_to_read;
use super::table::{Cell, Table, Tone, column, less};
use super::terminal::Screen;
use super::{history, terminal};
use crate::config::job::Settings;
use crate::control::{documents, jobs};
use crate::error::Result;
use crate::state::{Daemon, Hold, KnownJob, Pause, Paused, Run, RunState, State};

/// Show the state of every job, or of one
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd status\n  envsyncd status publishing-api\n  envsyncd status --watch\n  envsyncd status --json"
)]
pub(super) struct Args {
    /// Show only this job
    pub(super) job: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
    /// Refresh every second, until Ctrl-C
    #[arg(short, long, conflicts_with = "json")]
    pub(super) watch: bool,
}

/// A job, as `status` shows it.
struct Job {
    name: String,
    last_run: Option<Run>,
    last_success: Option<DateTime<Utc>>,
    failures: u32,
    /// What the daemon knows of it, if it does.
    known: Option<KnownJob>,
    pause: Option<Pause>,
}

/// The content of one screen of `status`.
struct View {
    jobs: Vec<Job>,
    holds: Vec<Hold>,
    /// What pauses more than one job.
    pauses: Vec<Pause>,
    daemon: Option<Daemon>,
    now: DateTime<Utc>,
}

pub(super) fn main(options: &Options, args: &Args) -> Result<u8> {
    let settings = settings(options)?;
    let state = state_to_read(options, &settings)?;
    if let Some(job) = &args.job {
        jobs::find(job, &settings, state.as_ref())?;
    }
    if args.watch {
        return watch(args, &settings, state);
    }
    let view = look(args.job.as_deref(), &settings, state.as_ref())?;
    if args.json {
        terminal::print_json(&documents::Status {
            version: documents::VERSION,
            daemon: view.daemon.as_ref().map(documents::Daemon::new),
            jobs: view.jobs.iter().map(|job| document(job, &view)).collect(),
            holds: view.holds.iter().map(documents::Hold::new).collect(),
            pauses: view.pauses.iter().map(documents::Pause::new).collect(),
        })?;
        return Ok(0);
    }
    if view.jobs.is_empty() {
        terminal::note(&nothing(&settings));
    }
    screen(&view).show()?;
    Ok(0)
}

fn nothing(settings: &Settings) -> String {
    format!(
        "no jobs: none in {}, and no history in {}",
        settings.job_dirs_named(),
        settings.state_dir.display()
    )
}

/// On a terminal each view takes the place of the one before; elsewhere they follow each other.
fn watch(args: &Args, settings: &Settings, mut state: Option<State>) -> Result<u8> {
    use std::io::IsTerminal as _;
    let terminal = std::io::stdout().is_terminal();
    loop {
        if state.is_none() {
            state = State::open_if_there(&settings.state_dir)?;
        }
        let view = look(args.job.as_deref(), settings, state.as_ref())?;
        let mut shown = Screen::new();
        shown.line(&format!(
            "{}  every second, Ctrl-C ends it\n",
            view.now
                .with_timezone(&chrono::Local)
                .format("%Y-%m-%d %H:%M:%S")
        ));
        if view.jobs.is_empty() {
            shown.line(&nothing(settings));
        }
        add(&view, &mut shown);
        let goes_on = if terminal {
            let rows = terminal_size::terminal_size().map(|(_, rows)| rows.0);
            Screen::draw(&redrawn(&shown, rows))?
        } else {
            shown.line("");
            shown.show()?
        };
        if !goes_on {
            return Ok(0);
        }
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
}

/// Goes home and overwrites, which does not flicker as clearing first would; what does not fit is said to be there.
fn redrawn(screen: &Screen, rows: Option<u16>) -> String {
    let rows = rows.map_or(usize::MAX, usize::from);
    let all = screen.lines().count();
    let fits = if all < rows {
        all
    } else {
        rows.saturating_sub(2)
    };
    let mut drawn = String::from("\x1b[H");
    for line in screen.lines().take(fits) {
        drawn.push_str(line);
        drawn.push_str("\x1b[K\n");
    }
    if fits < all {
        let more = terminal::count((all - fits) as u64, "line");
        drawn.push_str(&format!("... and {more} more\x1b[K"));
    }
    drawn.push_str("\x1b[J");
    drawn
}

fn screen(view: &View) -> Screen {
    let mut screen = Screen::new();
    add(view, &mut screen);
    screen
}

fn add(view: &View, screen: &mut Screen) {
    if !view.jobs.is_empty() {
        let mut table = Table::new(&[
            column("JOB"),
            column("STATE"),
            column("LAST RUN"),
            less("TOOK", 1),
            column("LAST SUCCESS"),
            column("NEXT RUN"),
            column("MESSAGE"),
        ]);
        let mut jobs: Vec<&Job> = view.jobs.iter().collect();
        jobs.sort_by_key(|job| job.urgency());
        for job in jobs {
            let tone = job.last_run.as_ref().map_or(Tone::Plain, history::tone);
            table.row(tone, row(job, view));
        }
        screen.table(&table);
    }
    let mut below = Vec::new();
    for job in &view.jobs {
        if let Some(pause) = job.pause.as_ref().filter(|pause| is_of_one(pause)) {
            below.push(format!("{}: {}", job.name, pause.sentence()));
        }
        if let Some(known) = job.known.as_ref().filter(|known| !known.problem.is_empty()) {
            below.push(format!(
                "{}: its file is broken: {}",
                job.name, known.problem
            ));
        }
    }
    let wide = view.pauses.iter();
    below.extend(wide.map(|pause| format!("{} is {}", pause.what, pause.sentence())));
    below.extend(view.holds.iter().map(Hold::sentence));
    match &view.daemon {
        Some(daemon) if !daemon.is_alive() => below.push(format!(
            "no daemon keeps the schedules; the last one was seen {}",
            terminal::when(daemon.seen_at, view.now)
        )),
        Some(daemon) if !daemon.problem.is_empty() => {
            below.push(format!(
                "the daemon's settings are broken: {}",
                daemon.problem
            ));
        }
        _ => {}
    }
    if !below.is_empty() {
        if !screen.is_empty() {
            screen.line("");
        }
        for line in below {
            screen.line(&line);
        }
    }
}

fn look(only: Option<&str>, settings: &Settings, state: Option<&State>) -> Result<View> {
    let mut names = jobs::known_jobs(settings, state)?;
    names.retain(|name| only.is_none_or(|only| only == name));
    let (mut histories, mut known) = (BTreeMap::new(), BTreeMap::new());
    let (mut holds, mut pauses, mut daemon) = (Vec::new(), Vec::new(), None);
    if let Some(state) = state {
        let overview = state.overview()?;
        histories.extend(overview.into_iter().map(|job| (job.job.clone(), job)));
        known.extend(
            state
                .known_jobs()?
                .into_iter()
                .map(|job| (job.job.clone(), job)),
        );
        pauses = state.pauses()?;
        holds = state.holds()?;
        daemon = state.daemon()?;
    }
    let jobs = names
        .into_iter()
        .map(|name| {
            let history = histories.remove(&name);
            let last_run = (history.as_ref()).and_then(|job| job.last_run.as_ref());
            let to = to(&name, last_run, &pauses, settings);
            Job {
                known: known.remove(&name),
                pause: Pause::holding(&pauses, &name, to.as_deref()).cloned(),
                last_success: history.as_ref().and_then(|job| job.last_success_at),
                failures: history.as_ref().map_or(0, |job| job.consecutive_failures),
                last_run: history.and_then(|job| job.last_run),
                name,
            }
        })
        .collect();
    Ok(View {
        jobs,
        holds,
        pauses: pauses
            .into_iter()
            .filter(|pause| !is_of_one(pause))
            .collect(),
        daemon,
        now: Utc::now(),
    })
}

fn is_of_one(pause: &Pause) -> bool {
    matches!(pause.what, Paused::Job(_))
}

/// Where a job goes, as far as pauses make a difference by it: its file is read only then.
fn to(job: &str, last: Option<&Run>, pauses: &[Pause], settings: &Settings) -> Option<String> {
    let of_environment = |pause: &Pause| matches!(pause.what, Paused::To(_));
    if !pauses.iter().any(of_environment) {
        return None;
    }
    let file = settings.job_file(job);
    match crate::config::load_job(&file, settings) {
        Ok((job, _)) => Some(job.to.as_str().to_owned()),
        Err(_) => last.map(|run| run.to.clone()),
    }
}

impl Job {
    /// What somebody looks for first comes first: what went wrong, then what runs.
    fn urgency(&self) -> u8 {
        let is_broken = (self.known.as_ref()).is_some_and(|known| !known.problem.is_empty());
        match &self.last_run {
            Some(run) if history::tone(run) == Tone::Bad => 0,
            Some(run) if run.state == RunState::Running => 1,
            Some(run) if run.state == RunState::Pending => 2,
            _ if is_broken => 0,
            _ => 3,
        }
    }

    /// When the daemon will start it, as far as one is there to do so.
    fn next_run(&self, view: &View) -> Option<DateTime<Utc>> {
        if self.pause.is_some() || !view.daemon.as_ref().is_some_and(Daemon::is_alive) {
            return None;
        }
        self.known.as_ref()?.next_run_at
    }
}

fn row(job: &Job, view: &View) -> Vec<Cell> {
    let now = view.now;
    let time = |at: Option<DateTime<Utc>>| {
        at.map_or_else(
            || Cell::from("-"),
            |at| Cell::or(terminal::when(at, now), terminal::relative(at, now)),
        )
    };
    let next = match &job.pause {
        Some(_) => Cell::from("paused"),
        None => time(job.next_run(view)),
    };
    let broken = job
        .known
        .as_ref()
        .is_some_and(|known| !known.problem.is_empty());
    let Some(run) = &job.last_run else {
        return vec![
            job.name.as_str().into(),
            "never".into(),
            "-".into(),
            "-".into(),
            "-".into(),
            next,
            if broken { "its file is broken" } else { "" }.into(),
        ];
    };
    let message = if run.is_dead() {
        "its process is gone; the next start records it as failed and clears up".to_owned()
    } else if run.state == RunState::Pending {
        format!(
            "waits for its turn since {}",
            terminal::relative(run.started_at, now)
        )
    } else if run.finished_at.is_none() {
        run.step.clone()
    } else if job.failures > 1 {
        let text = format!("{} ({} failures in a row)", run.message, job.failures);
        text.trim_start().to_owned()
    } else if broken && run.message.is_empty() {
        "its file is broken".to_owned()
    } else {
        run.message.clone()
    };
    let waits = run.state == RunState::Pending;
    vec![
        job.name.as_str().into(),
        history::state_of(run).into(),
        time(Some(run.started_at).filter(|_| !waits)),
        if waits {
            "-".into()
        } else {
            terminal::length(run.duration(now)).into()
        },
        time(job.last_success),
        next,
        message.into(),
    ]
}

fn document(job: &Job, view: &View) -> documents::Job {
    documents::Job {
        job: job.name.clone(),
        state: job
            .last_run
            .as_ref()
            .map_or("never", |run| run.state.as_str()),
        last_run: job
            .last_run
            .as_ref()
            .map(|run| documents::Run::new(run, view.now)),
        last_success_at: job.last_success.map(documents::time),
        next_run_at: job.next_run(view).map(documents::time),
        consecutive_failures: job.failures,
        paused: job.pause.as_ref().map(documents::Pause::new),
        problem: job
            .known
            .as_ref()
            .map(|known| known.problem.clone())
            .unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_that_does_not_fit_says_how_much_is_left_out() {
        let mut text = Screen::new();
        text.line("1\n2\n3\n4\n5\n6");
        let drawn = redrawn(&text, Some(5));
        assert_eq!(
            drawn,
            "\x1b[H1\x1b[K\n2\x1b[K\n3\x1b[K\n... and 3 lines more\x1b[K\x1b[J"
        );
        assert!(redrawn(&text, Some(7)).ends_with("6\x1b[K\n\x1b[J"));
        assert!(redrawn(&text, None).ends_with("6\x1b[K\n\x1b[J"));
    }
}
