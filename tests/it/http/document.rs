//! The API against its own description.

use std::path::Path;
use std::process::Command;

use crate::support::api::Api;

#[test]
fn the_document_has_every_address_and_each_operation_its_problems() {
    let api = Api::new("");
    let document = api.get("", "/api/v1/openapi.json");
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let paths = document["paths"].as_object().unwrap();
    for path in [
        "/healthz",
        "/api/v1/jobs/{job}/file",
        "/api/v1/jobs/{job}/runs",
        "/api/v1/runs/{run}/log",
        "/api/v1/sites/{site}/{content}/sync",
        "/api/v1/environments/{environment}/hold",
        "/api/v1/tokens/{name}",
    ] {
        assert!(paths.contains_key(path), "{path}");
    }
    for (path, item) in paths {
        for (method, operation) in item.as_object().unwrap() {
            let responses = &operation["responses"];
            for status in ["401", "403", "404", "409", "422"] {
                let content = &responses[status]["content"];
                assert!(
                    content["application/problem+json"].is_object(),
                    "{method} {path} {status}"
                );
            }
            let text = format!("{}{}", operation["summary"], operation["description"]);
            assert!(text.len() > 20, "{method} {path} says nothing");
        }
    }
}

#[test]
fn no_operation_of_the_document_is_for_who_has_no_token() {
    let api = Api::new("");
    let document = api.get("", "/api/v1/openapi.json");
    let mut asked = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        if path == "/healthz" || path == "/readyz" {
            continue;
        }
        for method in item.as_object().unwrap().keys() {
            let path = path.replace(['{', '}'], "");
            api.ask("", &method.to_uppercase(), &path, &[])
                .problem(401, "takes a token");
            asked += 1;
        }
    }
    assert!(asked > 30, "{asked}");
}

/// Whatever the document allows, and some of what it does not: no answer is a failure of the server's, or one that the document
/// has not. A short run; `script/soak` has a long one.
#[test]
fn whatever_is_asked_the_answer_is_as_the_document_says() {
    let (api, port) = Api::at_port(false);
    // It may write job files, too.
    api.let_write();
    let token = api.token(&["fuzz", "--scope", "admin"]);
    api.until_it_writes(Some(port), &token, true);
    let tools =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/http/schemathesis/bin/python3");
    let long = std::env::var_os("ENVSYNCD_SOAK").is_some();
    let output = Command::new(tools)
        .args(["-m", "schemathesis.cli", "run"])
        .arg(format!("http://127.0.0.1:{port}/api/v1/openapi.json"))
        .args(["--header", &format!("Authorization: Bearer {token}")])
        .args(["--seed", "7", "--phases", "examples,coverage,fuzzing"])
        .args(["--max-examples", if long { "400" } else { "4" }])
        .args([
            "--checks",
            // Not `ignored_auth`: ten wrong tokens, and nothing more would be answered.
            "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
        ])
        // The way in is not what is tried, and who is kept out by it could try nothing more.
        .args(["--exclude-path-regex", "^/(healthz|readyz)$"])
        .current_dir(api.house.bed.path(""))
        .output()
        .expect("script/http-tools puts it there");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", api.house.said());
    assert!(!api.house.said().contains("panicked"));
    // Job files were among it, and none was one.
    let audit = api.house.run(&["history", "--audit", "--json"]).expect(0);
    assert!(audit.stdout.contains("\"job "), "{}", audit.stdout);
    assert!(!api.house.said().contains("the job's file is broken"));
    // Its daemon is alive.
    assert!(
        api.house.json(&["status", "--json"])["daemon"]["alive"]
            .as_bool()
            .unwrap()
    );
}
