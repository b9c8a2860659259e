//! `token create`, `list` and `revoke`, and the audit list.

use envsyncd::state::{Scope, hash_of};

use super::*;

#[test]
fn a_token_is_shown_once_listed_without_its_secret_and_revoked() {
    let site = Site::new();
    let output = site.output(&["token", "list"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stderr).contains("no tokens"), "{output:?}");
    // Standard output is the token alone, fit for a file.
    let line = site.says(&[
        "token",
        "create",
        "ci",
        "--scope",
        "run",
        "--to",
        "staging",
        "--expires",
        "90d",
    ]);
    let secret = line.strip_suffix('\n').unwrap();
    assert!(
        secret.starts_with("envsyncd_") && secret.len() == 73,
        "{secret}"
    );
    site.says(&["token", "create", "dashboard", "--scope", "read"]);
    let token = site.state().token(&hash_of(secret)).unwrap().unwrap();
    assert_eq!(
        (token.scope, token.to),
        (Scope::Run, vec!["staging".to_owned()])
    );

    let (code, said) = site.fails(&["token", "create", "ci", "--scope", "admin"]);
    assert_eq!(code, 2);
    assert!(said.contains("token revoke ci"), "{said}");
    let listed = site.says(&["token", "list"]);
    assert!(
        listed.contains("to staging") && listed.contains("never"),
        "{listed}"
    );
    let document = site.json(&["token", "list", "--json"]);
    assert_eq!(document["tokens"][0]["name"], "ci");
    assert_eq!(document["tokens"][0]["to"][0], "staging");
    assert!(document["tokens"][1]["expires_at"].is_null());

    site.says(&["token", "revoke", "ci"]);
    let (code, said) = site.fails(&["token", "revoke", "ci"]);
    assert_eq!(code, 2);
    assert!(said.contains("there is no token `ci`"), "{said}");
    assert!(site.state().token(&hash_of(secret)).unwrap().is_none());

    // Nowhere on the disk, and in no list.
    let file = std::fs::read(site.root.path().join("state/state.db")).unwrap();
    let digits = &secret.as_bytes()["envsyncd_".len()..];
    assert!(!file.windows(digits.len()).any(|bytes| bytes == digits));
    let audit = site.json(&["history", "--audit", "--json"]);
    let outcomes: Vec<String> = (audit["entries"].as_array().unwrap().iter())
        .map(|entry| format!("{} {}", entry["action"], entry["outcome"] == "ok"))
        .collect();
    assert_eq!(
        outcomes,
        [
            "\"token revoke\" false",
            "\"token revoke\" true",
            "\"token create\" false",
            "\"token create\" true",
            "\"token create\" true",
        ]
    );
}

#[test]
fn a_token_needs_a_scope_and_a_plain_name() {
    let site = Site::new();
    for arguments in [
        &["token", "create", "ci"][..],
        &["token", "create", "ci", "--scope", "root"],
        &["token", "create", "a b", "--scope", "read"],
        &[
            "token",
            "create",
            "ci",
            "--scope",
            "read",
            "--expires",
            "soon",
        ],
    ] {
        assert_eq!(
            site.output(arguments).status.code(),
            Some(2),
            "{arguments:?}"
        );
    }
    assert!(site.state().tokens().unwrap().is_empty());
}

#[test]
fn the_audit_list_says_who_had_what_done_and_what_came_of_it() {
    let site = Site::new();
    let output = site.output(&["history", "--audit"]);
    assert!(
        text(&output.stderr).contains("nobody has had"),
        "{output:?}"
    );
    begin(&site.state(), "0199-1", "app", &Process::own());
    site.says(&["hold", "production", "--reason", "release 42"]);
    assert_eq!(
        site.fails(&["hold", "production", "--reason", "mine"]).0,
        75
    );
    site.says(&["pause", "app", "--reason", "freeze"]);
    assert_eq!(site.output(&["trigger", "app"]).status.code(), Some(2));
    site.output(&["release", "production"]);
    let shown = site.says(&["history", "--audit", "--limit", "5"]);
    let lines: Vec<&str> = shown.lines().skip(1).collect();
    assert_eq!(lines.len(), 5, "{shown}");
    for (line, words) in lines.iter().zip([
        ["release", "production", "ok"],
        // Its file is not there.
        ["run", "job `app`", "cannot be read"],
        ["pause", "job `app`", "ok"],
        ["hold", "production", "is held by"],
        ["hold", "production", "ok"],
    ]) {
        assert!(words.iter().all(|word| line.contains(word)), "{line}");
    }
    assert!(lines.iter().all(|line| line.contains(" cli ")), "{shown}");
}
