//! Icinga 2's answers, as its sources have them (lib/remote/actionshandler.cpp, lib/icinga/apiactions.cpp), those too
//! that only other versions give.

use super::*;

const SERVICE: &str = "db2!envsyncd shop";

fn failure(http: u16, body: &str) -> Failure {
    answer(http, body, SERVICE).expect_err(body)
}

#[test]
fn a_result_that_was_processed_is_a_success() {
    let body = r#"{"results":[{"code":200.0,"status":"Successfully processed check result for object 'db2!envsyncd shop'."}]}"#;
    answer(200, body, SERVICE).unwrap();
}

#[test]
fn a_refusal_is_understood_whatever_http_says() {
    for (http, body, part, again) in [
        (
            200,
            r#"{"results":[]}"#,
            "has no service `db2!envsyncd shop`",
            false,
        ),
        (
            404,
            r#"{"error":404.0,"status":"No objects found."}"#,
            "has no service `db2!envsyncd shop`",
            false,
        ),
        (
            200,
            r#"{"results":[{"code":200.0,"status":"Ignoring passive check result for unreachable object 'db2!envsyncd shop'."}]}"#,
            "ignored the result: Ignoring passive check result for unreachable object",
            false,
        ),
        (
            200,
            r#"{"results":[{"code":403.0,"status":"Passive checks are disabled for object 'db2!envsyncd shop'."}]}"#,
            "enable_passive_checks = true",
            false,
        ),
        (
            500,
            r#"{"results":[{"code":403.0,"status":"Passive checks are disabled for object 'db2!envsyncd shop'."}]}"#,
            "enable_passive_checks = true",
            false,
        ),
        (
            403,
            r#"{"error":403.0,"status":"Missing permission: actions/process-check-result"}"#,
            "permissions = [ \"actions/process-check-result\" ]",
            false,
        ),
        (
            401,
            r#"{"error":401.0,"status":"Unauthorized. Please check your user credentials."}"#,
            "see `user` and `password` in [icinga2]",
            false,
        ),
        (
            409,
            r#"{"results":[{"code":409.0,"status":"Newer check result already present. Check result for 'db2!envsyncd shop' was discarded."}]}"#,
            "compare the clocks",
            true,
        ),
        (
            500,
            r#"{"results":[{"code":409.0,"status":"Newer check result already present."}]}"#,
            "it has a newer one",
            true,
        ),
        (
            200,
            r#"{"results":[{"code":503.0,"status":"Action skipped: Shutting down."}]}"#,
            "cannot take results now",
            true,
        ),
        (
            503,
            r#"{"error":503.0,"status":"Shutting down."}"#,
            "cannot take results now (503: Shutting down)",
            true,
        ),
        (503, "", "cannot take results now", true),
        (
            400,
            r#"{"error":400.0,"status":"Invalid request body."}"#,
            "refused the result (400: Invalid request body)",
            false,
        ),
        (200, "<html>", "is not Icinga 2's API", false),
        (200, "{}", "is not Icinga 2's API", false),
        (302, "", "refused the result (302", false),
    ] {
        let failure = failure(http, body);
        let text = failure.error.to_string();
        assert!(text.contains(part), "{part} in {text}");
        assert!(failure.error.advice().is_some(), "{text}");
        assert_eq!(failure.again, again, "{text}");
    }
}

#[test]
fn what_a_server_says_is_one_line_and_short() {
    let text = failure(500, &"x\n".repeat(5000)).error.to_string();
    assert!(!text.contains('\n') && text.len() < 600, "{text}");
}

#[test]
fn a_result_is_good_until_the_next_run_should_have_ended() {
    let now: DateTime<Utc> = "2026-01-01T00:30:00Z".parse().unwrap();
    let with = |more: &str| -> StatusFile {
        serde_json::from_str(&format!(
            r#"{{"version": 1, "job": "shop", "host": "db2", "from": "a", "to": "b", "state": "succeeded",
                "run_id": null, "pid": null, "trigger": null, "by": "", "started_at": null, "finished_at": null,
                "last_success_at": null, "consecutive_failures": 0, "errors": 0, "warnings": 0, "message": "",
                "tasks": [], {more}}}"#
        ))
        .unwrap()
    };
    let hours = |status: &str| ttl(&with(status), now).map(|ttl| ttl.as_secs_f64() / 3600.0);
    // An hour's slack in each.
    assert_eq!(
        hours(
            r#""next_run_at": "2026-01-02T00:30:00Z", "timeout_seconds": 7200, "duration_seconds": 5.0"#
        ),
        Some(24.0 + 2.0 + 1.0)
    );
    assert_eq!(
        hours(r#""next_run_at": "2026-01-02T00:30:00Z", "duration_seconds": 5.0"#),
        Some(24.0 + 1.0 + 1.0)
    );
    assert_eq!(
        hours(r#""next_run_at": "2026-01-02T00:30:00Z", "duration_seconds": 7200.0"#),
        Some(24.0 + 4.0 + 1.0)
    );
    assert_eq!(
        hours(
            r#""next_run_at": "2026-01-01T00:29:00Z", "timeout_seconds": 7200, "duration_seconds": 5.0"#
        ),
        Some(2.0 + 1.0)
    );
    assert_eq!(
        hours(r#""next_run_at": null, "duration_seconds": 5.0"#),
        None
    );
}
