//! Fuzz targets: what is shown on a terminal. See `docs/fuzzing.md`.

use chrono::{DateTime, Utc};
use proptest::prelude::*;

use super::table::{Cell, Column, Table, Tone, column, less};
use super::terminal;
use crate::fuzz::{config, steers_no_terminal, texts};

const COLUMNS: [Column; 4] = [
    column("JOB"),
    less("FROM", 2),
    less("SIZE", 1),
    column("MESSAGE"),
];

proptest! {
    #![proptest_config(config())]

    #[test]
    fn table(cells in prop::collection::vec(texts(&["tests/corpus/terminal"]), 0..12), width in prop::option::of(0_usize..200)) {
        let mut table = Table::new(&COLUMNS);
        for row in cells.chunks_exact(COLUMNS.len()) {
            let mut row: Vec<Cell> = row.iter().map(|text| Cell::from(text.as_str())).collect();
            row[0] = Cell::or(cells[0].as_str(), "short");
            table.row(Tone::Bad, row);
        }
        let lines = table.lines(width);
        prop_assert!(lines.len() <= 1 + 2 * (cells.len() / COLUMNS.len()));
        for (line, _) in &lines {
            prop_assert!(steers_no_terminal(line, &[]), "{:?}", line);
        }
    }

    #[test]
    fn text(text in texts(&["tests/corpus/terminal"]), micros: i64, count: u64) {
        let shown = terminal::printable(&text);
        prop_assert!(steers_no_terminal(&shown, &['\n', '\t']), "{:?}", shown);
        let shown = terminal::one_line(&text);
        prop_assert!(steers_no_terminal(&shown, &[]), "{:?}", shown);
        let shown = terminal::json_line(&text).unwrap();
        prop_assert!(steers_no_terminal(&shown, &[]), "{:?}", shown);
        prop_assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
        let now: DateTime<Utc> = "2026-01-02T12:00:00Z".parse().unwrap();
        let at = DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::<Utc>::MAX_UTC);
        for at in [at, DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
            let _ = (terminal::when(at, now), terminal::relative(at, now));
        }
        let _ = (terminal::length(std::time::Duration::from_secs(count)), terminal::bytes(count), terminal::number(count));
    }
}
