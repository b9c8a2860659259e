//! Tables. On a terminal a row is one line: what does not fit is said shorter, then left out, and the message is cut.

use std::io::{self, IsTerminal as _};

use comfy_table::{ContentArrangement, Table as Grid, presets};

use super::text::{one_line, printable};

/// How much of a message is worth a place on its row's line; with less it gets a line of its own.
const MESSAGE: usize = 24;

/// A column. The last one of a table is its message, of whatever length.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    head: &'static str,
    /// Where there is no room, the greatest goes first; 0 stays.
    rank: u8,
}

/// One that is never left out.
pub(super) const fn column(head: &'static str) -> Column {
    Column { head, rank: 0 }
}

/// One that may be left out: the greatest number first.
pub(super) const fn less(head: &'static str, rank: u8) -> Column {
    Column { head, rank }
}

/// What stands in a column.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    text: String,
    /// For where there is little room.
    short: Option<String>,
}

impl Cell {
    /// With what to say where there is little room.
    pub(super) fn or(text: impl Into<String>, short: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            short: Some(short.into()),
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self {
            text: text.into(),
            short: None,
        }
    }
}

/// How a row is shown where there are colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Tone {
    #[default]
    Plain,
    Bad,
}

/// A table that is being put together.
pub(super) struct Table {
    columns: Vec<Column>,
    rows: Vec<(Vec<Cell>, Tone)>,
}

impl Table {
    pub(super) fn new(columns: &[Column]) -> Self {
        Self {
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    /// As many cells as there are columns.
    pub(super) fn row(&mut self, tone: Tone, cells: Vec<Cell>) {
        self.rows.push((cells, tone));
    }

    /// Its lines, at most so wide as far as its columns let it; `None`: however wide it is.
    pub(super) fn lines(&self, width: Option<usize>) -> Vec<(String, Tone)> {
        let last = self.columns.len().saturating_sub(1);
        let longest = (self.rows.iter())
            .filter_map(|(cells, _)| Some(one_line(&cells.get(last)?.text).chars().count()))
            .fold(
                self.columns.get(last).map_or(0, |it| it.head.len()),
                usize::max,
            );
        let fits = |grid: &[String], message: usize| {
            let taken = grid.first().map_or(0, |line| line.chars().count());
            width.is_none_or(|width| taken + message <= width)
        };
        // With its message beside it, else with as much as can be above it.
        let reserved = 2 + longest.min(MESSAGE);
        let mut grid = self.fitting(|grid| fits(grid, reserved));
        let beside = fits(&grid, reserved);
        if !beside {
            grid = self.fitting(|grid| fits(grid, 0));
        }
        let room = |taken: usize| width.map_or(usize::MAX, |width| width.saturating_sub(taken));
        let mut lines = Vec::new();
        for (number, line) in grid.iter().enumerate() {
            let (text, tone) = match number.checked_sub(1).and_then(|row| self.rows.get(row)) {
                Some((cells, tone)) => (cells.get(last).map_or("", |cell| &cell.text), *tone),
                None => (self.columns.get(last).map_or("", |it| it.head), Tone::Plain),
            };
            let text = one_line(text);
            if beside {
                let text = cut(&text, room(line.chars().count() + 2));
                lines.push((format!("{line}  {text}").trim_end().to_owned(), tone));
                continue;
            }
            lines.push((line.trim_end().to_owned(), tone));
            if number > 0 && !text.is_empty() {
                lines.push((format!("  {}", cut(&text, room(2))), tone));
            }
        }
        lines
    }

    /// The columns without the message: said shorter, and some of them left out, until they fit or none is left to leave out.
    fn fitting(&self, fits: impl Fn(&[String]) -> bool) -> Vec<String> {
        let mut shown: Vec<usize> = (0..self.columns.len().saturating_sub(1)).collect();
        let mut grid = self.grid(&shown, false);
        if !fits(&grid) {
            grid = self.grid(&shown, true);
        }
        while !fits(&grid) {
            let droppable = shown.iter().filter(|at| self.columns[**at].rank > 0);
            let Some(least) = droppable.max_by_key(|at| self.columns[**at].rank).copied() else {
                break;
            };
            shown.retain(|at| *at != least);
            grid = self.grid(&shown, true);
        }
        grid
    }

    /// The columns without the message: a headline, and a line a row, all of one width.
    fn grid(&self, shown: &[usize], short: bool) -> Vec<String> {
        let mut grid = Grid::new();
        grid.load_preset(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled)
            .set_header(shown.iter().map(|at| self.columns[*at].head));
        for (cells, _) in &self.rows {
            grid.add_row(shown.iter().map(|at| {
                let cell = &cells[*at];
                one_line(cell.short.as_ref().filter(|_| short).unwrap_or(&cell.text))
            }));
        }
        // Each cell has a blank on both sides.
        grid.lines()
            .map(|line| line.strip_prefix(' ').unwrap_or(&line).to_owned())
            .map(|line| line.strip_suffix(' ').unwrap_or(&line).to_owned())
            .collect()
    }
}

fn cut(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let mut text: String = text.chars().take(room.saturating_sub(1)).collect();
    text.truncate(text.trim_end().len());
    text + "…"
}

/// How wide the terminal is, if it is one.
pub(super) fn width() -> Option<usize> {
    let size = io::stdout()
        .is_terminal()
        .then(terminal_size::terminal_size)
        .flatten();
    size.map(|(width, _)| usize::from(width.0))
}

/// A table of plain text, for who puts it together with more: as wide as the terminal at the most, if it is one.
pub(super) fn table(head: &[&'static str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let columns: Vec<Column> = head.iter().map(|head| column(head)).collect();
    let mut table = Table::new(&columns);
    for row in rows {
        table.row(Tone::Plain, row.into_iter().map(Cell::from).collect());
    }
    let lines = table.lines(width()).into_iter();
    lines
        .map(|(line, _)| printable(&line).into_owned() + "\n")
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0199d3a4-7c21";

    fn history() -> Table {
        let mut table = Table::new(&[
            column("RUN"),
            column("JOB"),
            column("STARTED"),
            less("DATA", 1),
            less("BY", 2),
            column("MESSAGE"),
        ]);
        for (tone, message) in [
            (Tone::Bad, "the disk is full; ".repeat(9)),
            (Tone::Plain, String::new()),
        ] {
            table.row(
                tone,
                vec![
                    ID.into(),
                    "accounts".into(),
                    Cell::or("2026-01-01 00:18:00 (3h ago)", "3h ago"),
                    "production -> staging".into(),
                    "schedule".into(),
                    message.into(),
                ],
            );
        }
        table
    }

    fn lines(table: &Table, width: Option<usize>) -> Vec<String> {
        table
            .lines(width)
            .into_iter()
            .map(|(line, _)| line)
            .collect()
    }

    #[test]
    fn without_a_terminal_nothing_is_left_out_or_cut() {
        let all = lines(&history(), None);
        assert_eq!(all.len(), 3);
        for part in [
            "3h ago)",
            "production -> staging",
            "schedule",
            &"the disk is full; ".repeat(9),
        ] {
            assert!(all[1].contains(part.trim_end()), "{part}: {}", all[1]);
        }
    }

    #[test]
    fn a_row_is_one_line_of_a_narrow_terminal_with_its_id_whole_and_its_message_last() {
        for width in [60, 80, 100, 120, 200] {
            let table = history();
            let all = table.lines(Some(width));
            assert_eq!(all.len(), 3, "{all:?}");
            assert!(
                all.iter().all(|(line, _)| line.chars().count() <= width),
                "{all:?}"
            );
            assert!(
                all[1].0.starts_with(ID) && all[2].0.starts_with(ID),
                "{all:?}"
            );
            assert!(all[1].0.contains("the disk is full; the"), "{all:?}");
            assert_eq!((all[1].1, all[2].1), (Tone::Bad, Tone::Plain));
        }
        let at_80 = lines(&history(), Some(80));
        assert!(
            at_80[1].contains(" 3h ago ") && !at_80[1].contains("00:18:00"),
            "{at_80:?}"
        );
        assert!(!at_80[0].contains("BY"), "{at_80:?}");
        assert!(at_80[1].ends_with('…'), "{at_80:?}");
    }

    #[test]
    fn where_no_message_fits_beside_it_stands_below() {
        let all = lines(&history(), Some(56));
        assert_eq!(all.len(), 4, "{all:?}");
        // And gives its room to what would have been left out.
        assert!(all[1].ends_with("production -> staging"), "{all:?}");
        let all = lines(&history(), Some(40));
        assert_eq!(all.len(), 4, "{all:?}");
        assert!(all[1].starts_with(ID) && all[3].starts_with(ID), "{all:?}");
        assert!(
            all[2].starts_with("  the disk is full") && all[2].ends_with('…'),
            "{all:?}"
        );
    }

    #[test]
    fn columns_are_aligned_and_have_no_trailing_blanks() {
        let text = table(
            &["JOB", "STATE"],
            [
                vec!["a".to_owned(), "failed".to_owned()],
                vec!["longer".to_owned(), String::new()],
                vec![String::new(), "new".to_owned()],
            ],
        );
        assert_eq!(text, "JOB     STATE\na       failed\nlonger\n        new\n");
    }

    #[test]
    fn what_a_cell_has_neither_breaks_its_line_nor_reaches_the_terminal() {
        let text = table(
            &["TABLE", "WHY"],
            [vec![
                "a\u{1b}[2Jb\nc".to_owned(),
                "x\u{9b}31m\ty".to_owned(),
            ]],
        );
        assert_eq!(
            text,
            "TABLE           WHY\na\\u{1b}[2Jb\\nc  x\\u{9b}31m\\ty\n"
        );
    }
}
