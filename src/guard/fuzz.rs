//! Fuzz targets: requests for a scope, lock files, and what `/proc` says. See `docs/fuzzing.md`.

use proptest::prelude::*;

use super::command::output::Lines;
use super::process::Process;
use super::reboot_lock::{self, Found};
use super::scope::{self, Request};
use super::{daemon_lock, logind, target_lock};
use crate::error::{Error, Kind};
use crate::fuzz::{bytes, config, lengths, pieces, texts};
use crate::secret::redaction::Redaction;

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
        let who = daemon_lock::whose(&signed);
        prop_assert!(who.is_empty() || who.starts_with(" (process ") && who.len() < 30);
    }

    #[test]
    fn output_of_a_hook(
        said in bytes(&["tests/corpus/program_output"]),
        lengths in lengths(),
        secret in "[!-)+-~]{8,20}",
        before in 4070_usize..4100,
    ) {
        let logged = |said: &[u8], lengths: &[usize]| {
            let mut logged = Vec::new();
            let mut lines = Lines::new(Redaction::of([secret.as_str()].into_iter()));
            let mut log = |line: &str| logged.push(line.to_owned());
            for piece in pieces(said, lengths) {
                lines.feed(piece, &mut log);
            }
            lines.end(&mut log);
            logged
        };
        // However it comes, it is logged as the same.
        let found = logged(&said, &lengths);
        prop_assert_eq!(&found, &logged(&said, &[said.len().max(1)]));
        prop_assert!(found.iter().all(|line| line.len() <= 3 * 5000), "{:?}", found);
        // And a secret that is cut in two does not come out in two.
        let long = [&vec![b'.'; before][..], secret.as_bytes(), &[b'.'; 400][..]].concat();
        let told = logged(&long, &lengths).concat();
        prop_assert!(!told.contains(&secret), "{}", told);
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
