//! A small chart: how long the last runs took.

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
}
