//! Small charts: how long the last runs took, a run's steps, a table beside the biggest.

use std::fmt;
use std::time::Duration;

use askama::filters::HtmlSafe;

use super::marks::Mark;
use super::words;

/// A run in a strip.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bar {
    pub(super) mark: Mark,
    pub(super) took: Duration,
}

impl Bar {
    fn is_good(self) -> bool {
        matches!(self.mark, Mark::Succeeded | Mark::Running)
    }

    fn words(self) -> String {
        let took = words::length(self.took);
        if self.is_good() {
            took
        } else {
            format!("{} after {took}", self.mark.word())
        }
    }
}

/// How long the last runs took, oldest first: a bar each, those that failed in another colour.
#[derive(Debug, Clone, Default)]
pub(super) struct Strip(pub(super) Vec<Bar>);

/// Of a strip's picture.
const HEIGHT: f64 = 16.0;

impl HtmlSafe for Strip {}

impl fmt::Display for Strip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(longest) = self.0.iter().map(|bar| bar.took).max() else {
            return f.write_str("<span class=none>none</span>");
        };
        let words: Vec<String> = self.0.iter().map(|bar| bar.words()).collect();
        let words = words.join(", ");
        let width = 5 * self.0.len();
        write!(
            f,
            "<svg class=strip viewBox=\"0 0 {width} 16\" width={width} height=16 role=img><title>{words}</title>"
        )?;
        for (class, is_good) in [("ok", true), ("ko", false)] {
            let bars = self.0.iter().enumerate();
            let mut path = String::new();
            for (place, bar) in bars.filter(|(_, bar)| bar.is_good() == is_good) {
                let share = bar.took.as_secs_f64() / longest.as_secs_f64().max(0.001);
                let height = (share * HEIGHT).max(2.0).round();
                path.push_str(&format!("M{} 16v-{height}", 5 * place + 2));
            }
            if !path.is_empty() {
                write!(f, "<path class={class} d=\"{path}\"/>")?;
            }
        }
        f.write_str("</svg>")
    }
}

/// How long each step of a task took: a bar to scale.
#[derive(Debug, Clone, Default)]
pub(super) struct Stages(pub(super) Vec<Duration>);

/// Of a bar, in its own units.
const WIDTH: u64 = 1000;

/// What can still be seen.
const LEAST: u64 = 2;

impl Stages {
    /// The colour of a step, by its place.
    pub(super) fn class(place: usize) -> &'static str {
        ["s0", "s1", "s2", "s3"][place % 4]
    }
}

impl HtmlSafe for Stages {}

impl fmt::Display for Stages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: f64 = self.0.iter().map(Duration::as_secs_f64).sum();
        let width = |took: &Duration| {
            let share = took.as_secs_f64() / all.max(1e-9);
            ((share * WIDTH as f64).round() as u64).max(LEAST)
        };
        let whole: u64 = self.0.iter().map(width).sum();
        write!(
            f,
            "<svg class=stages viewBox=\"0 0 {} 1\" preserveAspectRatio=none aria-hidden=true>",
            whole.max(1)
        )?;
        let mut left = 0;
        for (place, took) in self.0.iter().enumerate() {
            let width = width(took);
            let class = Self::class(place);
            write!(f, "<rect class={class} x={left} width={width} height=1 />")?;
            left += width;
        }
        f.write_str("</svg>")
    }
}

/// A part of a whole: a bar.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    pub(super) part: u64,
    pub(super) whole: u64,
}

impl HtmlSafe for Share {}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = self.part as f64 / self.whole.max(1) as f64;
        let width = (share * 100.0).round().clamp(0.0, 100.0);
        write!(
            f,
            "<svg class=share viewBox=\"0 0 100 1\" preserveAspectRatio=none aria-hidden=true><rect width={width} height=1 /></svg>"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strip_tells_each_run_and_draws_it_to_scale() {
        let bar = |mark, seconds| Bar {
            mark,
            took: Duration::from_secs(seconds),
        };
        let strip = Strip(vec![bar(Mark::Succeeded, 60), bar(Mark::Failed, 30)]).to_string();
        assert!(
            strip.contains("<title>1 min, failed after 30 s</title>"),
            "{strip}"
        );
        assert!(
            strip.contains("<path class=ok d=\"M2 16v-16\"/><path class=ko d=\"M7 16v-8\"/>"),
            "{strip}"
        );
        assert_eq!(Strip::default().to_string(), "<span class=none>none</span>");
    }

    #[test]
    fn steps_are_drawn_to_scale_and_the_shortest_is_seen() {
        let stages = Stages(vec![
            Duration::from_secs(100),
            Duration::from_millis(1),
            Duration::from_secs(300),
        ]);
        let drawn = stages.to_string();
        assert!(drawn.contains("viewBox=\"0 0 1002 1\""), "{drawn}");
        assert!(
            drawn.contains(
                "<rect class=s0 x=0 width=250 height=1 /><rect class=s1 x=250 width=2 height=1 />\
                 <rect class=s2 x=252 width=750 height=1 />"
            ),
            "{drawn}"
        );
        assert!(!Stages::default().to_string().contains("NaN"));
    }

    #[test]
    fn a_share_is_within_its_bar() {
        let drawn = |part, whole| Share { part, whole }.to_string();
        assert!(drawn(63, 100).contains("<rect width=63 "));
        assert!(drawn(0, 0).contains("<rect width=0 "));
        assert!(drawn(9, 1).contains("<rect width=100 "));
    }
}
