//! What is sent, and how often it is tried.

use std::cell::Cell;

use super::message::parts;
use super::*;

fn status(json: &str) -> StatusFile {
    let mut whole: serde_json::Value = serde_json::from_str(
        r#"{"version": 1, "job": "shop", "host": "db2", "from": "production", "to": "staging", "state": "failed",
            "run_id": "0199", "pid": null, "trigger": "schedule", "by": "", "started_at": null, "finished_at": null,
            "duration_seconds": 2.5, "last_success_at": null, "next_run_at": null, "consecutive_failures": 1,
            "errors": 1, "warnings": 0, "message": "disk | full", "tasks": []}"#,
    )
    .unwrap();
    let more: serde_json::Value = serde_json::from_str(json).unwrap();
    for (key, value) in more.as_object().unwrap() {
        whole[key] = value.clone();
    }
    serde_json::from_value(whole).unwrap()
}

#[test]
fn what_is_sent_is_what_the_plugin_prints_in_its_parts() {
    let message = Message::of(&status("{}"));
    assert_eq!(message.exit_code, 2);
    assert_eq!(
        message.output,
        "ENVSYNCD CRITICAL - shop: failed: disk / full\nCRITICAL shop: failed: disk / full; no success yet"
    );
    assert_eq!(
        message.perfdata,
        [
            "'shop age'=U;100800;187200;0",
            "'shop duration'=2.5s;;;0",
            "'shop bytes'=0B;;;0"
        ]
    );
}

#[test]
fn a_text_without_performance_data_has_none() {
    assert_eq!(parts("UNKNOWN - x"), ("UNKNOWN - x".into(), vec![]));
    assert_eq!(parts("OK\nmore"), ("OK\nmore".into(), vec![]));
}

/// Counts the tries until it goes well or is given up.
async fn count(again: bool, well: usize) -> (usize, Result<(), Error>) {
    let tried = Cell::new(0);
    let outcome = tries(|| {
        tried.set(tried.get() + 1);
        let number = tried.get();
        async move {
            let error = Error::new(Kind::Connection, format!("try {number}"));
            match number >= well {
                true => Ok(()),
                false if again => Err(Failure::for_now(error)),
                false => Err(Failure::for_good(error)),
            }
        }
    })
    .await;
    (tried.get(), outcome)
}

#[tokio::test]
async fn what_may_go_better_is_tried_again_and_the_last_word_counts() {
    let (tried, outcome) = count(true, 2).await;
    assert_eq!(tried, 2);
    outcome.unwrap();
    let (tried, outcome) = count(true, usize::MAX).await;
    assert_eq!(tried, TRIES);
    assert_eq!(outcome.unwrap_err().to_string(), "try 3");
}

#[tokio::test]
async fn what_cannot_go_better_is_not_tried_again() {
    let (tried, outcome) = count(false, usize::MAX).await;
    assert_eq!(tried, 1);
    outcome.unwrap_err();
}
