//! Fuzz targets: requests for a scope, lock files, and what `/proc` says. See `docs/fuzzing.md`.

use proptest::prelude::*;

use super::process::Process;
use super::reboot_lock::{self, Found};
use super::scope::{self, Request};
use super::{logind, target_lock};
use crate::error::{Error, Kind};
use crate::fuzz::{bytes, config, texts};

proptest! {
    #![proptest_config(config())]

    #[test]
    fn scope_request(line in texts(&["tests/corpus/scope_request"])) {
        if let Ok(request) = Request::parse(&line) {
            prop_assert_eq!(format!("1 {} {}\n", request.run, request.job), line);
        }
    }

    #[test]
    fn control_groups(text in texts(&["tests/corpus/control_groups"])) {
        let unit = "envsyncd-run-0199d3a4-7c21-7000-8000-0123456789ab.scope";
        prop_assert!(!scope::has_unit(&text, unit) || text.contains(unit));
    }

    #[test]
    fn reboot_lock_file(text in bytes(&["tests/corpus/reboot_lock"])) {
        if let Found::Ours(stored) = reboot_lock::understand(&text) {
            let written = serde_json::to_vec(&stored).unwrap();
            prop_assert!(matches!(reboot_lock::understand(&written), Found::Ours(again) if again == stored));
        }
    }

    #[test]
    fn signature_of_a_lock(signed in bytes(&["tests/corpus/lock"])) {
        let who = target_lock::whose(&signed);
        prop_assert!(!who.is_empty() && who.len() <= 6 * signed.len() + 100);
        let told = Error::new(Kind::Busy, who).to_string();
        prop_assert!(!told.contains('\n'), "{}", told);
    }

    #[test]
    fn scheduled_shutdown(text in texts(&["tests/corpus/scheduled_shutdown"])) {
        if let Some(what) = logind::understood(&text) {
            prop_assert!(what.starts_with("a ") && !what.contains('\n'), "{}", what);
            prop_assert!(what.len() <= text.len() + 60);
        }
    }

    #[test]
    fn process(pid: u32, started: u64, namespace: u64, boot in "[0-9a-f-]{0,40}") {
        let process = Process { pid, started, boot, machine: String::new(), namespace };
        let _ = (process.look(), process.is_here(), process.age());
    }
}
