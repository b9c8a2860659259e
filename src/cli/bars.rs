//! Progress on a terminal: a bar a task, the biggest parts by name, a summary. Without one: plain lines.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::terminal;
use crate::error::Error;
use crate::run::progress::Progress;
use crate::state::RunState;

/// How often bars are drawn.
const EVERY: Duration = Duration::from_millis(120);

/// How often a plain line says how far it is.
const PLAIN_EVERY: Duration = Duration::from_secs(30);

/// Watches a run until it is ended.
pub(super) struct Bars {
    progress: Arc<Progress>,
    screen: Option<MultiProgress>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    quiet: bool,
}

impl Bars {
    /// Bars for a terminal, if there is one to draw on. Nothing is drawn before `start`.
    pub(super) fn new(progress: Arc<Progress>, quiet: bool) -> Self {
        let terminal = std::io::stderr().is_terminal() && !quiet;
        Self {
            progress,
            screen: terminal
                .then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10))),
            stop: Arc::new(AtomicBool::new(false)),
            thread: None,
            quiet,
        }
    }

    /// Starts drawing, in a thread of its own.
    pub(super) fn start(&mut self) {
        let (progress, screen, stop, quiet) = (
            self.progress.clone(),
            self.screen.clone(),
            self.stop.clone(),
            self.quiet,
        );
        self.thread = Some(std::thread::spawn(move || match screen {
            Some(screen) => draw(&progress, &screen, &stop),
            None if !quiet => say(&progress, &stop),
            None => {}
        }));
    }

    /// Prints a log line without tearing the bars.
    pub(super) fn printer(&self) -> Arc<dyn Fn(&str) + Send + Sync> {
        let screen = self.screen.clone();
        Arc::new(move |line| match &screen {
            Some(screen) => screen.suspend(|| {
                let _ = writeln!(std::io::stderr(), "{line}");
            }),
            None => {
                let _ = writeln!(std::io::stderr(), "{line}");
            }
        })
    }

    /// Stops drawing, and sums up on stdout.
    pub(super) fn end(mut self, error: Option<&Error>) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
        if let Some(screen) = &self.screen {
            let _ = screen.clear();
        }
        if self.quiet || error.is_some() {
            return;
        }
        for task in &self.progress.tasks {
            let done = match task.message() {
                message if message.is_empty() || task.rows() > 0 => format!(
                    "{}, {}",
                    terminal::count(task.rows(), "row"),
                    HumanBytes(task.bytes())
                ),
                // A rollback copies nothing.
                message => message,
            };
            let _ = writeln!(
                std::io::stdout(),
                "{}: {done} in {:.1} s",
                task.name,
                task.seconds()
            );
        }
    }
}

fn draw(progress: &Progress, screen: &MultiProgress, stop: &AtomicBool) {
    let style = ProgressStyle::with_template("{prefix:>12} {bar:30} {percent:>3}%  {msg}")
        .expect("the template is well-formed");
    let parts = ProgressStyle::with_template("{msg}").expect("the template is well-formed");
    let bars: Vec<(ProgressBar, ProgressBar)> = progress
        .tasks
        .iter()
        .map(|task| {
            let bar = screen.add(
                ProgressBar::new(1000)
                    .with_style(style.clone())
                    .with_prefix(task.name.clone()),
            );
            let below = screen.add(ProgressBar::new(1).with_style(parts.clone()));
            (bar, below)
        })
        .collect();
    while !stop.load(Ordering::SeqCst) {
        for (task, (bar, below)) in progress.tasks.iter().zip(&bars) {
            bar.set_position((task.percent() * 10.0) as u64);
            let seconds = task.seconds();
            let rate = if seconds > 0.0 {
                task.bytes() as f64 / seconds
            } else {
                0.0
            };
            let step = if task.state() == RunState::Running {
                progress.step()
            } else {
                task.state().as_str()
            };
            bar.set_message(format!(
                "{step}  {}, {}, {}/s",
                terminal::count(task.rows(), "row"),
                HumanBytes(task.bytes()),
                HumanBytes(rate as u64)
            ));
            let active: Vec<String> = task
                .active()
                .iter()
                .take(3)
                .map(|active| terminal::one_line(&active.label).into_owned())
                .collect();
            below.set_message(if active.is_empty() {
                String::new()
            } else {
                format!("{:>12} {}", "", active.join(", "))
            });
        }
        std::thread::park_timeout(EVERY);
    }
    for (bar, below) in bars {
        bar.finish_and_clear();
        below.finish_and_clear();
    }
}

fn say(progress: &Progress, stop: &AtomicBool) {
    loop {
        std::thread::park_timeout(PLAIN_EVERY);
        if stop.load(Ordering::SeqCst) {
            return;
        }
        for task in progress
            .tasks
            .iter()
            .filter(|task| task.state() == RunState::Running)
        {
            let _ = writeln!(
                std::io::stderr(),
                "{}: {} {:.0} %, {}, {}",
                task.name,
                progress.step(),
                task.percent(),
                terminal::count(task.rows(), "row"),
                HumanBytes(task.bytes())
            );
        }
    }
}
