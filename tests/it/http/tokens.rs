//! Who is let in, and how far.

use envsyncd::state::RunState;

use crate::support::api::{Api, is_in};

#[test]
fn nobody_is_let_in_without_a_token_or_with_one_that_is_over() {
    let api = Api::new("");
    for path in [
        "/jobs",
        "/runs",
        "/environments",
        "/sites",
        "/history",
        "/snapshots",
        "/tokens",
        "/audit",
        "/metrics",
    ] {
        let refused = api
            .ask("", "GET", &format!("/api/v1{path}"), &[])
            .problem(401, "takes a token");
        assert_eq!(refused.header("www-authenticate"), "Bearer");
    }
    api.ask("envsyncd_0000", "GET", "/api/v1/jobs", &[])
        .problem(401, "unknown, expired or revoked");
    api.ask(
        "",
        "GET",
        "/api/v1/jobs",
        &["-H", "Authorization: Basic eDp5"],
    )
    .problem(401, "Bearer");
    // What takes none.
    api.ask("", "GET", "/healthz", &[]).expect(200);
    api.ask("", "GET", "/readyz", &[]).expect(200);
    api.ask("", "GET", "/api/v1/openapi.json", &[]).expect(200);
    let brief = api.token(&["brief", "--scope", "read", "--expires", "20s"]);
    api.get(&brief, "/api/v1/jobs");
    api.house.until("it was over", |_| {
        api.ask(&brief, "GET", "/api/v1/jobs", &[]).status == 401
    });
    api.ask(&brief, "GET", "/api/v1/jobs", &[])
        .problem(401, "expired");
    let token = api.token(&["ci", "--scope", "read"]);
    api.get(&token, "/api/v1/jobs");
    api.house
        .run(&["token", "create", "ci", "--scope", "run"])
        .expect(2)
        .says(&["ci"]);
    let list = api.house.run(&["token", "list"]).expect(0).stdout;
    assert!(list.contains("ci") && !list.contains(&token), "{list}");
    api.house.run(&["token", "revoke", "ci"]).expect(0);
    api.ask(&token, "GET", "/api/v1/jobs", &[])
        .problem(401, "revoked");
    api.house
        .run(&["token", "revoke", "ci"])
        .expect(2)
        .says(&["ci"]);
    // The state store has no token, and neither has the log.
    assert!(!is_in(&api.house.bed.path("state"), &token));
    assert!(!api.house.said().contains(&token));
}

#[test]
fn a_token_goes_as_far_as_its_scope_and_its_limits() {
    let mut api = Api::draft("");
    api.house.job("a");
    api.house.start();
    let read = api.token(&["reader", "--scope", "read"]);
    let into_test = api.token(&["tester", "--scope", "run", "--to", "integration"]);
    let of_other = api.token(&["other", "--scope", "run", "--site", "main"]);
    api.post(&read, "/api/v1/jobs/a/runs", "{}")
        .problem(403, "has the scope `read`, and this takes `run`");
    api.post(
        &read,
        "/api/v1/environments/staging/hold",
        r#"{"reason": "x"}"#,
    )
    .problem(403, "takes `run`");
    api.ask(&read, "GET", "/api/v1/tokens", &[])
        .problem(403, "takes `admin`");
    api.post(
        &read,
        "/api/v1/tokens",
        r#"{"name": "mine", "scope": "admin"}"#,
    )
    .problem(403, "takes `admin`");
    let sync = |token: &str, to: &str| {
        let body = format!(r#"{{"from": "production", "to": "{to}"}}"#);
        api.post(token, "/api/v1/sites/main/database/sync", &body)
    };
    sync(&into_test, "staging").problem(403, "is limited to what flows into integration");
    sync(&into_test, "integration").expect(202);
    api.house
        .until_run("site:main production->integration", RunState::Succeeded);
    // A job of a file, which no site has.
    api.post(&of_other, "/api/v1/jobs/a/runs", "{}")
        .problem(403, "is limited to the site main");
    assert_eq!(
        api.get(&of_other, "/api/v1/jobs")["items"],
        serde_json::json!([])
    );
    api.ask(&of_other, "GET", "/api/v1/jobs/a", &[])
        .problem(403, "is limited");
    let runs = api.get(&of_other, "/api/v1/runs");
    assert_eq!(runs["items"].as_array().unwrap().len(), 1);
    let run = api.house.last("site:main production->integration").unwrap();
    let staging = api.token(&["stager", "--scope", "run", "--to", "staging"]);
    api.ask(
        &staging,
        "GET",
        &format!("/api/v1/runs/{}/log", run.id),
        &[],
    )
    .problem(403, "is limited");
    api.post(
        &staging,
        "/api/v1/environments/integration/hold",
        r#"{"reason": "x"}"#,
    )
    .problem(403, "is limited");
    assert!(api.house.runs(Some("a")).is_empty());
}

#[test]
fn who_guesses_is_kept_out_for_a_while_and_logged() {
    let api = Api::new("");
    let token = api.token(&["ci", "--scope", "read"]);
    for _ in 0..10 {
        api.ask("envsyncd_wrong", "GET", "/api/v1/jobs", &[])
            .problem(401, "unknown");
    }
    let refused = api
        .ask("envsyncd_wrong", "GET", "/api/v1/jobs", &[])
        .problem(429, "too many wrong tokens");
    assert_eq!(refused.header("retry-after"), "60");
    api.ask(&token, "GET", "/api/v1/jobs", &[]).problem(429, "");
    assert!(api.house.times_said("a wrong or expired token was shown") >= 10);
    assert!(!api.house.said().contains("envsyncd_wrong"));
}

#[test]
fn a_local_user_is_known_by_the_socket() {
    let user = crate::daemon::user();
    let api = Api::new(&format!("peer_users = {{ {user} = \"run\" }}"));
    api.get("", "/api/v1/jobs");
    api.post(
        "",
        "/api/v1/sites/main/database/sync",
        r#"{"from": "prod", "to": "stage"}"#,
    )
    .expect(202);
    let run = api
        .house
        .until_run("site:main production->staging", RunState::Succeeded);
    assert_eq!(run.by, user);
    api.ask("", "GET", "/api/v1/audit", &[])
        .problem(403, "takes `admin`");
    // A page of another site, in that user's browser.
    api.ask(
        "",
        "POST",
        "/api/v1/sites/main/database/sync",
        &[
            "-H",
            "Origin: https://evil.example",
            "-H",
            "Content-Type: application/json",
            "-d",
            r#"{"from": "prod", "to": "stage"}"#,
        ],
    )
    .problem(403, "another site");
}

#[test]
fn a_proxy_s_user_is_believed_where_the_settings_say_so_and_nowhere_else() {
    let header = ["-H", "X-User: ann"];
    let api = Api::new("");
    api.ask("", "GET", "/api/v1/jobs", &header)
        .problem(401, "takes a token");
    let api = Api::new("trusted_proxy = \"unix\"\nuser_header = \"X-User\"");
    api.ask("", "GET", "/api/v1/jobs", &header).expect(200);
    api.ask(
        "",
        "GET",
        "/api/v1/jobs",
        &["-H", "X-User: ann", "-H", "X-User: root"],
    )
    .problem(401, "");
    api.ask("", "GET", "/api/v1/jobs", &["-H", "X-User: a b"])
        .problem(401, "");
    api.ask(
        "",
        "POST",
        "/api/v1/pause",
        &[
            "-H",
            "X-User: ann",
            "-H",
            "Content-Type: application/json",
            "-d",
            r#"{"reason": "x"}"#,
        ],
    )
    .problem(403, "takes `admin`");
}

#[test]
fn a_login_gives_a_session_of_its_own_whatever_the_browser_brought_along() {
    let api = Api::new("");
    let token = api.token(&["boss", "--scope", "admin"]);
    let form = format!("token={token}&then=%2Fjobs");
    let brought = "Cookie: envsyncd=chosen-by-somebody-else";
    let log_in = |form: &str| {
        let page = api.ask("", "GET", "/login", &["-H", brought]);
        let field = page.body.split("name=csrf value=\"").nth(1);
        let csrf = field
            .and_then(|rest| rest.split('"').next())
            .unwrap_or_default()
            .to_owned();
        api.ask(
            "",
            "POST",
            "/login",
            &["-H", brought, "-d", form, "-d", &format!("csrf={csrf}")],
        )
    };
    let answer = log_in(&form);
    assert_eq!(
        (answer.status, answer.header("location")),
        (303, "/jobs"),
        "{}",
        answer.body
    );
    let cookie = answer.header("set-cookie").to_owned();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"),
        "{cookie}"
    );
    assert!(!cookie.contains("chosen-by-somebody-else"), "{cookie}");
    let session = format!("Cookie: {}", cookie.split(';').next().unwrap());
    api.ask("", "GET", "/api/v1/jobs", &["-H", &session])
        .expect(200);
    api.ask("", "GET", "/api/v1/jobs", &["-H", brought])
        .problem(401, "");
    // It leads nowhere else.
    let away = log_in(&format!("token={token}&then=https%3A%2F%2Fevil.example%2F"));
    assert!(
        !away.header("location").contains("evil"),
        "{}",
        away.header("location")
    );
    // The token's end is the session's.
    api.house.run(&["token", "revoke", "boss"]).expect(0);
    api.ask("", "GET", "/api/v1/jobs", &["-H", &session])
        .problem(401, "");
}

#[test]
fn a_link_is_not_used_up_by_who_looks_at_its_head() {
    let api = Api::new("");
    let link = api.house.run(&["panel"]).expect(0).stdout;
    let (_, link) = link.trim().split_once("/login").expect("a link");
    let path = format!("/login{link}");
    for _ in 0..2 {
        let looked = api.ask("", "HEAD", &path, &["-I"]).expect(200);
        assert_eq!(looked.header("set-cookie"), "");
    }
    let used = api.ask("", "GET", &path, &[]).expect(303);
    assert!(used.header("set-cookie").contains("HttpOnly"));
    api.ask("", "GET", &path, &[]).expect(401);
}
