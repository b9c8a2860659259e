//! Fuzz targets: what the kernel says of a process, whose name is anybody's. See `docs/fuzzing.md`.

use proptest::prelude::*;

use super::Stat;
use super::stderr::Lines;
use crate::fuzz::{bytes, config, runtime, texts};

proptest! {
    #![proptest_config(config())]

    #[test]
    fn stat(text in texts(&["tests/corpus/process_stat"]), parent: u32, started: u64) {
        let _ = Stat::parse(&text);
        // A name says nothing of the process.
        let fields = "1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0";
        let line = format!("7 ({text}) S {parent} {fields} {started} 0 0\n");
        let stat = Stat::parse(&line).unwrap();
        prop_assert_eq!((stat.gone, stat.parent, stat.started), (false, parent, started));
    }

    #[test]
    fn lines_on_stderr(said in bytes(&["tests/corpus/program_output", "tests/corpus/message"]), room in 1_usize..5000) {
        let found = runtime().block_on(async {
            let mut lines = Lines::of(tokio::io::BufReader::with_capacity(room, &said[..]));
            let mut found = Vec::new();
            while let Ok(Some(line)) = lines.next().await {
                found.push(line);
            }
            found
        });
        let text = String::from_utf8_lossy(&said);
        let expected: Vec<&str> = text.lines().collect();
        prop_assert_eq!(found, expected);
    }
}
