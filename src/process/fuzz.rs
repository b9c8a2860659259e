//! Fuzz targets: what the kernel says of a process, whose name is anybody's. See `docs/fuzzing.md`.

use proptest::prelude::*;

use super::Stat;
use crate::fuzz::{config, texts};

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
}
