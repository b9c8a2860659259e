//! What every run says in its status file.

use std::os::unix::fs::PermissionsExt;

use super::{Lab, Scene};

pub(super) fn the_status_file_says_what_the_run_did<L: Lab>() {
    let scene = Scene::<L>::new();
    scene.once(&scene.file()).expect(0);
    let status = scene.bed.status("app");
    for (key, value) in [
        ("version", serde_json::json!(1)),
        ("job", "app".into()),
        ("from", "production".into()),
        ("to", "staging".into()),
        ("state", "succeeded".into()),
        ("pid", serde_json::Value::Null),
        ("trigger", "manual".into()),
        ("consecutive_failures", 0.into()),
        ("errors", 0.into()),
        ("message", "".into()),
    ] {
        assert_eq!(status[key], value, "{key} in {status}");
    }
    for key in ["host", "run_id", "by"] {
        assert!(status[key].is_string(), "{key} in {status}");
    }
    for key in ["started_at", "finished_at", "last_success_at"] {
        let time = status[key].as_str().unwrap_or_default();
        assert!(
            chrono::DateTime::parse_from_rfc3339(time).is_ok() && time.ends_with('Z'),
            "{key} in {status}"
        );
    }
    assert!(status["duration_seconds"].is_number(), "{status}");
    let task = &status["tasks"][0];
    assert_eq!(
        task["name"],
        L::KIND,
        "a task's default name is its kind: {status}"
    );
    assert_eq!(task["kind"], L::KIND, "{status}");
    assert_eq!(task["state"], "succeeded", "{status}");
    assert_eq!(task["progress_percent"].as_f64(), Some(100.0), "{status}");
    assert_eq!(task["rows"], 5 + scene.lab.rows_of_others(), "{status}");
    assert!(task["bytes"].as_u64() > Some(0), "{status}");
    // Readable by the monitoring's user.
    let mode = std::fs::metadata(scene.bed.path("status/app.json"))
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o644);
}
